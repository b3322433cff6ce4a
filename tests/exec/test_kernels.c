/* Every operation of ops.def by itself, in both types and several shapes, against the naive
 * evaluator. */
#include "each_op.h"

/* Single: the kernels are within 4 ulp (ew.h) and sums have some hundred terms; double: the same
 * with libm. Relative to the largest value. */
static node matrix(rx *x, dims d)
{
    return rx_leaf(x, SHAPE(d.rows, d.cols));
}

TEST(each_operation_is_right)
{
    static const dims shapes[] = {{1, 1}, {3, 17}, {50, 10}, {1, 1500}, {130, 1}, {6, 300}};
    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int op = 0; op < OP_COUNT; op++) {
                rx x;
                rx_open(&x, (dtype)t, (uint64_t)(100 * i) + (uint64_t)op);
                rx_check_one(&x, each_op(&x, op, shapes[i]), t == F32 ? 2e-6 : 1e-14);
                rx_close(&x);
            }
}

static void set(rx *x, node leaf, const double *v)
{
    const node_rec *r = graph_rec(x->g, leaf);

    for (int64_t i = 0; i < shape_count(&r->shape); i++) {
        if (x->type == F32) ((float *)x->data[r->attr.n])[i] = (float)v[i];
        else ((double *)x->data[r->attr.n])[i] = v[i];
    }
}

/* A log of a sum of exponentials that would overflow, vanish, or is infinite in itself. */
TEST(logsumexp_survives_extremes)
{
    const double rows[] = {1000,     1000, -2000, -1000,     -1000,     -1e5,
                           INFINITY, 0,    1,     2,         -INFINITY, -INFINITY,
                           NAN,      0,    1,     -INFINITY, -INFINITY, -INFINITY};
    const double want[] = {1000 + M_LN2, -1000 + M_LN2, INFINITY, 2, NAN, -INFINITY};

    for (int t = F32; t <= F64; t++) {
        rx x;
        void *y[1];
        rx_open(&x, (dtype)t, 1);
        node a = rx_leaf(&x, SHAPE(6, 3));
        set(&x, a, rows);
        const plan_output out = {g_logsumexp(x.g, a), -1};
        CHECK(rx_run(&x, 1, &out, 1, false, y));
        for (int i = 0; i < 6; i++) {
            const double got = t == F32 ? (double)((float *)y[0])[i] : ((double *)y[0])[i];
            if (isfinite(want[i]))
                CHECK_NEAR(got, want[i], t == F32 ? 1e-4 : 1e-13); /* an ulp of 1000 */
            else CHECK(isnan(want[i]) ? isnan(got) != 0 : got == want[i]);
        }
        free(y[0]);
        rx_close(&x);
    }
}

/* Columns too wide for one sub-tile, rows too short for one, and tiles enough for partial sums. */
TEST(large_groups_are_right)
{
    static const dims shapes[] = {{40, 3000}, {5000, 13}, {1, 100000}, {100000, 1},
                                  {300, 784}, {30000, 6}, {4000, 20}};

    for (size_t i = 0; i < COUNT(shapes); i++) {
        rx x;
        rx_open(&x, F32, i);
        const dims d = shapes[i];
        node a = matrix(&x, d), row = rx_leaf(&x, SHAPE(1, d.cols));
        node y = g_mul(x.g, a, g_bcast(x.g, row, SHAPE(d.rows, d.cols)));
        node z = g_tanh(
            x.g, g_add(x.g, y, g_bcast(x.g, rx_leaf(&x, SHAPE(d.rows, 1)), SHAPE(d.rows, d.cols))));
        const plan_output out[] = {{y, 0},
                                   {z, -1},
                                   {g_sum(x.g, z, 1), -1},
                                   {g_sum(x.g, z, 2), -1},
                                   {g_dot(x.g, y, z), -1},
                                   {g_sum_all(x.g, y), -1}};
        /* Column sums run in single over up to 1e5 rows: errors grow like sqrt(rows) roundings. */
        rx_check(&x, COUNT(out), out, 2e-4);
        rx_close(&x);
    }
}

/* Work enough for threads: tiles by image, tap, matrix and runs of elements. */
TEST(large_images_are_right)
{
    for (int t = F32; t <= F64; t++) {
        rx x;
        rx_open(&x, (dtype)t, 5);
        const window v = {
            .size = {13, 11}, .kernel = {3, 3}, .stride = {1, 2}, .pad = {1, 1}, .groups = 1};
        window w = v;
        w.dilation[0] = w.dilation[1] = 1;
        const shape many = SHAPE(600, 30, 30);
        node a = rx_leaf(&x, SHAPE(8, 13, 11, 70)), k = rx_leaf(&x, SHAPE(24, 70, 3, 3));
        node y = g_conv(x.g, a, k, w), arg = g_maxpool_arg(x.g, a, w);
        node m = rx_leaf(&x, many), top = g_take(x.g, a, arg), p = g_pad(x.g, m, 1, 1, 32);
        const plan_output out[] = {{y, -1},
                                   {g_conv_dx(x.g, y, k, w), -1},
                                   {g_conv_dw(x.g, a, y, w), -1},
                                   {g_matmul(x.g, m, m, true, false), -1},
                                   {g_spread(x.g, g_sumpool(x.g, a, w), w), -1},
                                   {arg, -1},
                                   {g_put(x.g, top, arg, *graph_shape(x.g, a)), -1},
                                   {g_permute(x.g, m, (int32_t[]){2, 0, 1}), -1},
                                   {p, -1},
                                   {g_slice(x.g, p, 1, 1, 30), -1},
                                   {g_normal(x.g, rx_index(&x, 4, 99), 1, x.type, many), -1}};
        rx_check(&x, COUNT(out), out, t == F32 ? 2e-5 : 1e-13);
        rx_close(&x);
    }
}

/* Elements in the lanes of a vector and behind the last whole one; indices beyond 32 bits are out
 * of reach. */
TEST(draws_have_the_bits_of_the_generator)
{
    rx x;
    void *y[1];
    rx_open(&x, F32, 1);
    node key = rx_index(&x, 4, 1 << 30);
    const uint32_t *k = x.data[graph_rec(x.g, key)->attr.n];
    const rng_key at = {(uint64_t)k[1] << 32 | k[0], k[2], 77};
    const plan_output out = {g_uniform(x.g, key, 77, F32, SHAPE(10007)), -1};
    CHECK(rx_run(&x, 1, &out, 2, false, y));
    for (uint64_t i = 0; i < 10007; i++)
        if (((float *)y[0])[i] != rng_uniform_f32(at, i))
            test_fail(__FILE__, __LINE__, "element %d", (int)i);
    free(y[0]);
    rx_close(&x);
}

static void overflow_index(rx *x, node index)
{
    ((int32_t *)x->data[graph_rec(x->g, index)->attr.n])[3] = 6;
}

TEST(take_and_put_refuse_an_index_outside)
{
    for (int put = 0; put < 2; put++) {
        rx x;
        rx_open(&x, F32, 1);
        node index = rx_index(&x, 6, 6), v = rx_leaf(&x, SHAPE(6));
        const plan_output out = {put ? g_put(x.g, v, index, SHAPE(6)) : g_take(x.g, v, index), -1};
        plan *p = NULL;
        program *prog = NULL;
        float y[6];
        overflow_index(&x, index);
        CHECK_OK(x.ctx, plan_new(x.ctx, x.g, &out, 1, &x.target, &p));
        CHECK_OK(x.ctx, program_new(x.ctx, p, &backend_cpu, &prog));
        for (int32_t i = 0; i < graph_leaves(x.g); i++) program_set_leaf(prog, i, x.data[i]);
        program_set_output(prog, 0, y);
        CHECK_FAILS(x.ctx, program_run(prog), DRMAD_E_DATA, "index 6 of a table of 6 rows");
        program_free(prog);
        plan_free(p);
        rx_close(&x);
    }
}
