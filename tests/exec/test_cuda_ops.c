/* Every operation by itself on the CUDA backend over the host's driver, each node a step of its own
 * and in groups, against the naive evaluator; the steps that are cut or turned before they run; an
 * index outside its table. */
#include "each_op.h"
#include "gpu_driver.h"

static backend *open_backend(rx *x)
{
    backend *on = NULL;

    CHECK_OK(x->ctx, cuda_backend_new(x->ctx, gpu_test_driver(), 0, &on));
    x->target = *on->target;
    return on;
}

static drmad_status run(rx *x, const backend *on, const plan_output *out, void *y)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;
    program *prog = NULL;

    TRY(plan_new(x->ctx, x->g, out, 1, &x->target, &p));
    TRY(program_new(x->ctx, p, on, &prog));
    for (int32_t i = 0; i < graph_leaves(x->g); i++) program_set_leaf(prog, i, x->data[i]);
    program_set_output(prog, 0, y);
    TRY(program_run(prog));
done:
    program_free(prog);
    plan_free(p);
    return st;
}

static void check(rx *x, const backend *on, node n, double tol)
{
    const plan_output out = {n, -1};
    double *want = NULL;

    CHECK_OK(x->ctx, graph_status(x->g));
    rx_evaluate(x, 1, &out, &want);
    for (int fuse = 0; fuse < 2; fuse++) {
        void *y = malloc(rx_out_bytes(x, &out) + 1);
        x->target.fuse = fuse;
        CHECK_OK(x->ctx, run(x, on, &out, y));
        rx_compare(x, &out, 0, y, &(rx_wanted){&want, tol, fuse ? "in groups" : "alone"});
        free(y);
    }
    free(want);
}

TEST(each_operation_is_right_on_cuda)
{
    static const dims shapes[] = {{1, 1}, {3, 17}, {50, 10}, {1, 1500}, {130, 1}, {6, 300}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int op = 0; op < OP_COUNT; op++) {
                rx x;
                rx_open(&x, (dtype)t, (uint64_t)(100 * i) + (uint64_t)op);
                backend *on = open_backend(&x);
                check(&x, on, each_op(&x, op, shapes[i]), t == F32 ? 1e-5 : 1e-12);
                cuda_backend_free(on);
                rx_close(&x);
            }
}

/* Shares of k, all tiles that lowering chooses, weights that are turned, more indices than rows and
 * fewer, sums over an axis in the middle. */
static node large_op(rx *x, int which)
{
    graph *g = x->g;
    const window v = {
        .kernel = {3, 3}, .stride = {2, 1}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 2};
    const window w = {.size = {9, 8},
                      .kernel = {3, 3},
                      .stride = {2, 1},
                      .pad = {1, 1},
                      .dilation = {1, 1},
                      .groups = 2};
    window few = w;

    few.groups = 6;
    switch (which) {
    case 0: return g_matmul(g, rx_leaf(x, SHAPE(700, 30)), rx_leaf(x, SHAPE(700, 20)), true, false);
    case 1:
        return g_matmul(g, rx_leaf(x, SHAPE(6, 200, 40)), rx_leaf(x, SHAPE(6, 40, 300)), false,
                        false);
    case 2: return g_matmul(g, rx_leaf(x, SHAPE(4300, 9)), rx_leaf(x, SHAPE(30, 9)), false, true);
    case 3: return g_conv(g, rx_leaf(x, SHAPE(3, 9, 8, 12)), rx_leaf(x, SHAPE(10, 6, 3, 3)), v);
    case 4: return g_conv_dx(g, rx_leaf(x, SHAPE(3, 5, 8, 10)), rx_leaf(x, SHAPE(10, 6, 3, 3)), w);
    case 5:
        return g_conv_dw(g, rx_leaf(x, SHAPE(30, 9, 8, 12)), rx_leaf(x, SHAPE(30, 5, 8, 10)), w);
    case 6: return g_scatter_add(g, rx_leaf(x, SHAPE(700, 3)), rx_index(x, 700, 40), 40);
    case 7: return g_scatter_add(g, rx_leaf(x, SHAPE(40, 3)), rx_index(x, 40, 700), 700);
    case 8: return g_put(g, rx_leaf(x, SHAPE(40)), rx_index(x, 40, 33), SHAPE(11, 3));
    case 9: return g_sum(g, rx_leaf(x, SHAPE(3, 40, 5, 30)), 2 | 8);
    case 10: return g_permute(g, rx_leaf(x, SHAPE(33, 70, 3)), (int32_t[]){2, 1, 0});
    case 11: return g_conv(g, rx_leaf(x, SHAPE(30, 9, 8, 12)), rx_leaf(x, SHAPE(12, 2, 3, 3)), few);
    case 12:
        return g_conv_dx(g, rx_leaf(x, SHAPE(30, 5, 8, 12)), rx_leaf(x, SHAPE(12, 2, 3, 3)), few);
    case 13:
        return g_conv_dw(g, rx_leaf(x, SHAPE(30, 9, 8, 12)), rx_leaf(x, SHAPE(30, 5, 8, 12)), few);
    default: return NODE_NONE;
    }
}

TEST(large_operations_are_right_on_cuda)
{
    for (int t = F32; t <= F64; t++)
        for (int i = 0; i < 14; i++) {
            rx x;
            rx_open(&x, (dtype)t, (uint64_t)i);
            backend *on = open_backend(&x);
            check(&x, on, large_op(&x, i), t == F32 ? 1e-5 : 1e-12);
            cuda_backend_free(on);
            rx_close(&x);
        }
}

/* Bytes and whole numbers move too. */
TEST(other_types_move_on_cuda)
{
    for (int i = 0; i < 3; i++) {
        rx x;
        rx_open(&x, F32, (uint64_t)i);
        backend *on = open_backend(&x);
        node a = rx_bytes(&x, SHAPE(6, 5)), y = NODE_NONE;
        if (i == 0) y = g_gather(x.g, a, rx_index(&x, 4, 6));
        if (i == 1) y = g_permute(x.g, a, (int32_t[]){1, 0});
        if (i == 2) y = g_slice(x.g, a, 1, 1, 3);
        check(&x, on, g_cast(x.g, g_cast(x.g, y, I32), F32), 0);
        cuda_backend_free(on);
        rx_close(&x);
    }
}

TEST(an_index_outside_is_refused_on_cuda)
{
    for (int i = 0; i < 5; i++) {
        rx x;
        float y[64];
        rx_open(&x, F32, 1);
        backend *on = open_backend(&x);
        node index = rx_index(&x, 6, 6), a = rx_leaf(&x, SHAPE(6)), n = NODE_NONE;
        if (i == 0) n = g_take(x.g, a, index);
        if (i == 1) n = g_put(x.g, a, index, SHAPE(6));
        if (i == 2) n = g_gather(x.g, a, index);
        if (i == 3) n = g_scatter_add(x.g, a, index, 6);
        if (i == 4) n = g_scatter_add(x.g, a, index, 3);
        ((int32_t *)x.data[graph_rec(x.g, index)->attr.n])[3] = 6;
        for (int k = 0; i == 4 && k < 6; k++)
            ((int32_t *)x.data[graph_rec(x.g, index)->attr.n])[k] = k == 3 ? 6 : k % 3;
        CHECK_FAILS(x.ctx, run(&x, on, &(plan_output){n, -1}, y), DRMAD_E_DATA,
                    i == 4 ? "index 6 of a table of 3 rows" : "index 6 of a table of 6 rows");
        cuda_backend_free(on);
        rx_close(&x);
    }
}
