/* The text that a caller's device gets of a plan: every attribute of every operation is in it. */
#include "exec/device.h"
#include "test.h"

typedef struct caller {
    char text[4096];
} caller;

static int keep_text(void *user, const char *text, int64_t *number)
{
    caller *c = user;

    snprintf(c->text, sizeof c->text, "%s", text);
    *number = 1;
    return DRMAD_OK;
}

static void forget(void *user, int64_t number)
{
    (void)user, (void)number;
}

static node build(graph *g)
{
    const window v = {
        .kernel = {2, 3}, .stride = {1, 2}, .pad = {0, 1}, .dilation = {2, 1}, .groups = 1};
    node x = graph_add_leaf(g, "x", F32, SHAPE(1, 5, 6, 2)), p = g_sumpool(g, x, v);
    node key = graph_add_leaf(g, "key", I32, SHAPE(4));
    const shape s = *graph_shape(g, p);

    p = g_mul(g, p, g_uniform(g, key, 77, F32, s));
    return g_add(g, p, g_iota(g, F32, s, 2));
}

TEST(the_text_of_a_program_has_all_attributes)
{
    drmad_ctx *ctx = test_ctx();
    caller c = {""};
    device d = {.compile = keep_text, .release = forget, .program_user = &c};
    graph *g = NULL;
    plan *p = NULL;
    void *code = NULL;

    device_init(&d);
    CHECK_OK(ctx, graph_new(ctx, &g));
    const plan_output out = {build(g), -1};
    CHECK_OK(ctx, plan_new(ctx, g, &out, 1, d.on.target, &p));
    CHECK_OK(ctx, d.on.bind(&d.on, ctx, p, &code));
    CHECK_STR(c.text, "0 leaf f32 1,5,6,2 - leaf=0\n"
                      "1 sumpool f32 1,3,3,2 0 size=5,6 kernel=2,3 stride=1,2 pad=0,1 "
                      "dilation=2,1 groups=1\n"
                      "2 leaf i32 4 - leaf=1\n"
                      "3 uniform f32 1,3,3,2 2 site=77\n"
                      "4 mul f32 1,3,3,2 1,3\n"
                      "5 iota f32 1,3,3,2 - axis=2\n"
                      "6 add f32 1,3,3,2 4,5\n"
                      "out 6\n");
    d.on.release(code);
    plan_free(p);
    graph_free(g);
}
