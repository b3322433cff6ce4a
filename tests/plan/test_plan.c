/* Plans: what is planned at all, how nodes become steps, who runs before whom, where results lie,
 * and what is refused. That the steps compute the right thing is proven in tests/exec. */
#include "plan/plan_check.h"

static bool all_ops(int32_t op, dtype t)
{
    (void)op, (void)t;
    return true;
}

static bool no_tanh(int32_t op, dtype t)
{
    return !(op == OP_tanh && t == F32);
}

static const plan_target device = {.name = "test",
                                   .align = 64,
                                   .fuse = true,
                                   .tile_bytes = 256 << 10,
                                   .tile_macs = 24 << 20,
                                   .supports = all_ops};

typedef struct px {
    drmad_ctx *ctx;
    graph *g;
    plan *p;
} px;

static void px_open(px *x)
{
    *x = (px){.ctx = test_ctx()};
    CHECK_OK(x->ctx, graph_new(x->ctx, &x->g));
}

static void px_close(px *x)
{
    plan_free(x->p);
    graph_free(x->g);
}

static node leaf(px *x, int64_t rows, int64_t cols)
{
    return graph_add_leaf(x->g, "leaf", F32, SHAPE(rows, cols));
}

static plan *make(px *x, int n, const plan_output *out)
{
    plan_free(x->p);
    x->p = NULL;
    CHECK_OK(x->ctx, graph_status(x->g));
    CHECK_OK(x->ctx, plan_new(x->ctx, x->g, out, n, &device, &x->p));
    return x->p;
}

static plan *make_one(px *x, node y)
{
    return make(x, 1, &(plan_output){y, -1});
}

static const plan_node *planned(const px *x, node n)
{
    return &x->p->node[n];
}

TEST(dead_nodes_and_views_cost_nothing)
{
    px x;

    px_open(&x);
    node a = leaf(&x, 6, 4), b = leaf(&x, 4, 6);
    node dead = g_exp(x.g, g_log(x.g, a));
    node view = g_reshape(x.g, g_slice(x.g, a, 0, 2, 2), SHAPE(4, 2));
    node y = g_matmul(x.g, view, g_transpose(x.g, g_reshape(x.g, b, SHAPE(12, 2))), false, false);
    make_one(&x, y);
    CHECK_INT(x.p->counts.nodes, 1);
    CHECK_INT(x.p->counts.matmuls, 1);
    CHECK_INT(x.p->counts.macs, 4 * 2 * 12);
    CHECK_INT(planned(&x, dead)->cls, PN_DEAD);
    CHECK_INT(planned(&x, view)->cls, PN_DEAD);
    CHECK_INT(planned(&x, y)->in[0].offset, 8);
    px_close(&x);
}

TEST(broadcasts_gathers_and_casts_are_read_in_place)
{
    px x;

    px_open(&x);
    node table = graph_add_leaf(x.g, "table", U8, SHAPE(100, 8));
    node index = graph_add_leaf(x.g, "index", I32, SHAPE(5));
    node labels = graph_add_leaf(x.g, "labels", I32, SHAPE(5));
    node row = leaf(&x, 1, 8), column = leaf(&x, 5, 1);
    node v = g_cast(x.g, g_gather(x.g, table, index), F32);
    node y = g_mul(x.g, v, g_bcast(x.g, row, SHAPE(5, 8)));
    y = g_add(x.g, y, g_bcast(x.g, column, SHAPE(5, 8)));
    y = g_sub(x.g, y, g_onehot(x.g, labels, 8, F32));
    make_one(&x, y);
    CHECK_INT(x.p->counts.steps, 1);
    CHECK_INT(x.p->counts.nodes, 3);
    CHECK_INT(x.p->step[0].cols, 8);
    CHECK_INT(x.p->counts.arena, 0);
    px_close(&x);
}

/* Broadcast to a product's operand: now it must lie in memory. */
TEST(a_product_reads_memory)
{
    px x;

    px_open(&x);
    node row = leaf(&x, 1, 8), b = leaf(&x, 8, 3);
    node wide = g_bcast(x.g, row, SHAPE(5, 8));
    make_one(&x, g_matmul(x.g, wide, b, false, false));
    CHECK_INT(x.p->counts.steps, 2);
    CHECK_INT(planned(&x, wide)->cls, PN_POINT);
    CHECK_INT(x.p->counts.arena, 192); /* 160 bytes, in units of 64 */
    px_close(&x);
}

/* A layer and its backward pass: products with what follows them, in as few steps as there can
 * be. */
TEST(elementwise_work_joins_its_product)
{
    px x;

    px_open(&x);
    node in = leaf(&x, 50, 784), w = leaf(&x, 50, 784), bias = leaf(&x, 1, 50);
    node c = leaf(&x, 50, 50), lr = leaf(&x, 1, 1);
    node z = g_add(x.g, g_matmul(x.g, in, w, false, true), g_bcast(x.g, bias, SHAPE(50, 50)));
    node a = g_tanh(x.g, z);
    node dz = g_mul(x.g, c, g_sub(x.g, g_ones_like(x.g, a), g_mul(x.g, a, a)));
    node dw = g_matmul(x.g, dz, in, true, false);
    node w1 = g_sub(x.g, w, g_mul(x.g, g_bcast(x.g, lr, SHAPE(50, 784)), dw));
    const plan_output out[] = {{w1, 1}, {g_sum(x.g, dz, 1), -1}};
    make(&x, 2, out);
    CHECK_INT(x.p->counts.steps, 2);
    CHECK_INT(x.p->counts.macs, 2 * 50 * 50 * 784);
    CHECK_INT(planned(&x, z)->kept, false);
    CHECK_INT(planned(&x, a)->step, planned(&x, dz)->step);
    CHECK_INT(planned(&x, w1)->step, planned(&x, dw)->step);
    check_memory(x.p);
    check_order(x.p);
    px_close(&x);
}

TEST(products_add_into_one_memory)
{
    px x;

    px_open(&x);
    node a = leaf(&x, 8, 8), b = leaf(&x, 8, 8), c = leaf(&x, 8, 8);
    node ab = g_matmul(x.g, a, b, false, false), bc = g_matmul(x.g, b, c, false, false);
    node ca = g_matmul(x.g, c, a, false, false);
    node sum = g_add(x.g, g_add(x.g, ab, bc), ca);
    make_one(&x, sum);
    CHECK_INT(x.p->counts.steps, 1);
    CHECK_INT(x.p->step[0].points, 0);
    CHECK_INT(planned(&x, ab)->into, sum);
    CHECK_INT(planned(&x, bc)->into, sum);
    CHECK_INT(planned(&x, ca)->into, sum);
    px_close(&x);
}

TEST(large_products_are_cut_into_tiles)
{
    px x;

    px_open(&x);
    node a = leaf(&x, 128, 800), w = leaf(&x, 800, 784), c = leaf(&x, 128, 784);
    node dw = g_matmul(x.g, a, c, true, false);
    make(&x, 1, &(plan_output){g_sub(x.g, w, dw), 1});
    const plan_step *s = &x.p->step[0];
    CHECK_INT(x.p->steps, 1);
    CHECK((size_t)(s->tile_rows * s->tile_cols) * sizeof(float) <=
          device.tile_bytes + 784 * 84 * 4);
    CHECK(s->tile_rows < 800);
    CHECK_INT(planned(&x, dw)->at.kind, PLACE_TILE);
    CHECK_INT(x.p->counts.arena, 0);
    px_close(&x);
}

TEST(readers_of_a_leaf_run_before_it_is_overwritten)
{
    px x;

    px_open(&x);
    node w = leaf(&x, 8, 8), v = leaf(&x, 8, 8);
    node w1 = g_scale(x.g, w, 0.5);
    node used = g_matmul(x.g, v, w, false, false);
    node both = g_matmul(x.g, w1, w, false, false);
    const plan_output early[] = {{w1, 0}, {used, -1}}, late[] = {{w1, 0}, {both, -1}};
    make(&x, 2, early);
    CHECK(planned(&x, used)->step < planned(&x, w1)->step);
    make(&x, 2, late); /* `both` needs w and w1: w1 waits in the arena */
    CHECK_INT(planned(&x, w1)->at.kind, PLACE_ARENA);
    CHECK(x.p->out[0].y >= graph_size(x.g));
    CHECK(planned(&x, x.p->out[0].y)->step > planned(&x, both)->step);
    px_close(&x);
}

/* A chain of layers, forwards and backwards, with values that live long and short. */
TEST(results_that_live_together_lie_apart)
{
    px x;
    node w[6], a[7];
    plan_output out[7];

    px_open(&x);
    a[0] = leaf(&x, 20, 30);
    for (int l = 0; l < 6; l++) {
        w[l] = leaf(&x, 30, 30);
        a[l + 1] = g_tanh(x.g, g_matmul(x.g, a[l], w[l], false, false));
    }
    node c = a[6];
    for (int l = 5; l >= 0; l--) {
        c = g_mul(x.g, c, g_sub(x.g, g_ones_like(x.g, c), g_mul(x.g, a[l + 1], a[l + 1])));
        node grad = g_matmul(x.g, a[l], c, true, false);
        out[l] = (plan_output){g_sub(x.g, w[l], grad), l + 1};
        c = g_matmul(x.g, c, w[l], false, true);
    }
    out[6] = (plan_output){g_softmax(x.g, c), -1};
    make(&x, 7, out);
    check_memory(x.p);
    check_order(x.p);
    /* Six activations and the cotangent would be 7 x 2400 bytes; nothing else has to be kept. */
    CHECK(x.p->counts.arena <= 10 * 2432);
    px_close(&x);
}

typedef struct lines {
    char text[8192];
} lines;

static void keep_line(void *user, const char *text)
{
    lines *l = user;

    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s\n", text);
}

TEST(a_plan_explains_itself)
{
    px x;
    lines l = {""};

    px_open(&x);
    node in = leaf(&x, 5, 7), w = leaf(&x, 3, 7), bias = leaf(&x, 1, 3);
    node z = g_matmul(x.g, in, w, false, true);
    make_one(&x, g_logsumexp(x.g, g_tanh(x.g, g_add(x.g, z, g_bcast(x.g, bias, SHAPE(5, 3))))));
    plan_explain(x.p, keep_line, &l);
    CHECK(strstr(l.text, "step 0: 1 matmul, 2 elementwise, 0 sums over 15 f32, 210 flop") != NULL);
    CHECK(strstr(l.text, "%3 = matmul(%0, %1) tb [5,3]  at 0, 60 bytes") != NULL);
    CHECK(strstr(l.text, "add(%3, col%2)") != NULL);
    CHECK(strstr(l.text, "logsumexp") != NULL && strstr(l.text, "output 0") != NULL);
    CHECK(strstr(l.text, "total: 2 steps, 1 groups, 1 matmuls of 105 multiply-adds, 1 others") !=
          NULL);
    px_close(&x);
}

TEST(what_cannot_be_planned_is_refused)
{
    px x;
    plan *p;
    plan_target poor = device;

    px_open(&x);
    node a = leaf(&x, 2, 3), b = leaf(&x, 3, 2), y = g_tanh(x.g, a);
    const plan_output none = {NODE_NONE, -1}, far = {y, 7}, odd = {y, 2}, fits = {y, -1};
    const plan_output twice[] = {{y, 0}, {g_exp(x.g, a), 0}};
    node c = leaf(&x, 4, 4);
    (void)b, (void)c;
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, &none, 1, &device, &p), DRMAD_E_MODEL,
                "output 0 is node -1");
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, &far, 1, &device, &p), DRMAD_E_USAGE,
                "leaf 7, expected one of 3");
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, &odd, 1, &device, &p), DRMAD_E_USAGE,
                "f32[2,3], cannot overwrite leaf leaf, f32[4,4]");
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, twice, 2, &device, &p), DRMAD_E_USAGE,
                "both overwrite");
    poor.supports = no_tanh;
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, &fits, 1, &poor, &p), DRMAD_E_MODEL,
                "tanh of f32 [2,3]: not available on test");
    CHECK(p == NULL);
    g_matmul(x.g, a, a, false, false);
    CHECK_FAILS(x.ctx, plan_new(x.ctx, x.g, &fits, 1, &device, &p), DRMAD_E_MODEL, "");
    px_close(&x);
}

static drmad_status plan_a_layer(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    graph *g = NULL;
    plan *p = NULL;

    (void)arg;
    TRY(graph_new(ctx, &g));
    node w = graph_add_leaf(g, "w", F32, SHAPE(4, 4)), v = graph_add_leaf(g, "v", F32, SHAPE(4, 4));
    node y = g_tanh(g, g_matmul(g, w, v, false, false));
    const plan_output out[] = {{y, 0}, {w, 1}, {y, -1}};
    TRY(graph_status(g) == DRMAD_OK ? DRMAD_OK : DRMAD_E_NOMEM);
    TRY(plan_new(ctx, g, out, 3, &device, &p));
done:
    plan_free(p);
    graph_free(g);
    return st;
}

TEST(every_allocation_may_fail)
{
    test_oom(plan_a_layer, NULL);
}
