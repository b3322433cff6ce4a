/* Which values are computed again, and in what order the leaves that this reads are overwritten. */
#include "plan/plan_check.h"

static bool all_ops(int32_t op, dtype t)
{
    (void)t;
    return op >= 0;
}

static const plan_target device = {.name = "test",
                                   .align = 64,
                                   .fuse = true,
                                   .tile_bytes = 256 << 10,
                                   .tile_macs = 24 << 20,
                                   .supports = all_ops};

/* A norm of images and its ReLU, read again by what a backward pass reads it for; `shift` may be
 * overwritten by a value that needs the end. */
typedef struct scene {
    graph *g;
    plan *p;
    node z, centred, mask;
    plan_output out[3];
} scene;

static node spread(scene *s, node v)
{
    return g_bcast(s->g, v, *graph_shape(s->g, s->z));
}

static drmad_status open_scene(scene *s, drmad_ctx *ctx)
{
    drmad_status st = DRMAD_OK;
    const window v = {
        .kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1};

    *s = (scene){.g = NULL};
    TRY(graph_new(ctx, &s->g));
    graph *g = s->g;
    node x = graph_add_leaf(g, "x", F32, SHAPE(4, 8, 8, 16));
    node w = graph_add_leaf(g, "w", F32, SHAPE(16, 16, 3, 3));
    node shift = graph_add_leaf(g, "shift", F32, SHAPE(1, 1, 1, 16));
    s->z = g_conv(g, x, w, v);
    s->centred = g_sub(g, s->z, spread(s, g_scale(g, g_sum(g, s->z, 7), 1.0 / 256)));
    node variance = g_sum(g, g_mul(g, s->centred, s->centred), 7);
    node y = g_add(g, g_mul(g, s->centred, spread(s, g_recip(g, g_sqrt(g, variance)))),
                   spread(s, shift));
    s->mask = g_step(g, y);
    node next = g_conv(g, g_mul(g, y, s->mask), w, v);
    node back = g_mul(g, g_conv_dx(g, next, w, graph_rec(g, next)->attr.window), s->mask);
    node update = g_sub(g, shift, g_sum(g, back, 7));
    s->out[0] = (plan_output){g_sum(g, g_mul(g, back, s->centred), 7), -1};
    s->out[1] = (plan_output){update, (int32_t)graph_rec(g, shift)->attr.n};
    st = graph_status(g);
done:
    return st;
}

static void plan_scene(scene *s, size_t recompute_bytes)
{
    plan_target t = device;

    t.recompute_bytes = recompute_bytes;
    plan_free(s->p);
    s->p = NULL;
    CHECK_OK(test_ctx(), plan_new(test_ctx(), s->g, s->out, 2, &t, &s->p));
    check_memory(s->p);
    check_order(s->p);
}

static void close_scene(scene *s)
{
    plan_free(s->p);
    graph_free(s->g);
}

TEST(a_normalised_image_and_its_mask_are_not_kept)
{
    scene s;

    CHECK_OK(test_ctx(), open_scene(&s, test_ctx()));
    plan_scene(&s, 0);
    const size_t before = s.p->counts.arena;
    CHECK(s.p->node[s.centred].kept && s.p->node[s.mask].kept);
    plan_scene(&s, 1024);
    CHECK(s.p->node[s.z].kept);
    CHECK(!s.p->node[s.centred].kept && !s.p->node[s.mask].kept);
    CHECK(s.p->counts.arena < before);
    plan_scene(&s, 1 << 20); /* smaller values than that are not worth it */
    CHECK_INT(s.p->counts.arena, before);
    close_scene(&s);
}

/* The mask's clone reads `shift`: the step that overwrites it comes later. */
TEST(what_is_computed_again_reads_leaves_before_they_are_overwritten)
{
    scene s;

    CHECK_OK(test_ctx(), open_scene(&s, test_ctx()));
    plan_scene(&s, 1024);
    const plan *p = s.p;
    const node shift = graph_leaf(p->g, 2), writer = p->out[1].y;
    int readers = 0;
    for (node v = 0; v < p->nodes; v++) {
        if (p->node[v].cls == PN_DEAD || p->node[v].cls == PN_LEAF || v == writer) continue;
        for (int k = 0; k < p->node[v].n_in; k++) {
            if (p->node[v].in[k].src != shift) continue;
            readers++;
            CHECK(p->node[v].step < p->node[writer].step);
        }
    }
    CHECK_INT(readers, 2); /* forward and again */
    close_scene(&s);
}

static drmad_status plan_it(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    plan_target t = device;
    scene s;

    (void)arg;
    t.recompute_bytes = 1024;
    TRY(open_scene(&s, ctx));
    TRY(plan_new(ctx, s.g, s.out, 2, &t, &s.p));
done:
    close_scene(&s);
    return st;
}

TEST(every_allocation_of_it_may_fail)
{
    test_oom(plan_it, NULL);
}
