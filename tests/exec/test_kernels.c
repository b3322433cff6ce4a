/* Every operation of ops.def by itself, in both types and several shapes, against the naive
 * evaluator. An operation without a row here does not compile. */
#include "run_fixture.h"

typedef struct dims {
    int64_t rows, cols;
} dims;

static node matrix(rx *x, dims d)
{
    return rx_leaf(x, SHAPE(d.rows, d.cols));
}

/* In [0.5, 1.5). */
static node positive(rx *x, dims d)
{
    node a = matrix(x, d);
    const shape s = *graph_shape(x->g, a);

    return g_add(x->g, g_scale(x->g, a, 0.5), g_fill(x->g, x->type, s, 1.0));
}

#define UNARY(name, arg)                                                                           \
    static node build_##name(rx *x, dims d)                                                        \
    {                                                                                              \
        return g_##name(x->g, arg(x, d));                                                          \
    }
#define BINARY(name)                                                                               \
    static node build_##name(rx *x, dims d)                                                        \
    {                                                                                              \
        node a = matrix(x, d);                                                                     \
        return g_##name(x->g, a, matrix(x, d));                                                    \
    }

UNARY(exp, matrix)
UNARY(log, positive)
UNARY(sqrt, positive)
UNARY(recip, positive)
UNARY(tanh, matrix)
UNARY(sigmoid, matrix)
UNARY(softplus, matrix)
UNARY(erf, matrix)
UNARY(logsumexp, matrix)
UNARY(rowmax, matrix)
UNARY(step, matrix)
UNARY(sign, matrix)
UNARY(argmax, matrix)
BINARY(add)
BINARY(sub)
BINARY(mul)

static node build_leaf(rx *x, dims d)
{
    return matrix(x, d);
}

static node build_fill(rx *x, dims d)
{
    return g_fill(x->g, x->type, SHAPE(d.rows, d.cols), 0.75);
}

static node build_scale(rx *x, dims d)
{
    return g_scale(x->g, matrix(x, d), -1.5);
}

static node build_sum(rx *x, dims d)
{
    graph *g = x->g;
    node a = rx_leaf(x, SHAPE(2, d.rows, d.cols));
    node all = g_sum_all(g, a), ends = g_sum(g, a, 5), middle = g_sum(g, a, 2);

    return g_add(g, g_bcast(g, all, SHAPE(2, d.rows, d.cols)),
                 g_mul(g, g_bcast(g, ends, SHAPE(2, d.rows, d.cols)),
                       g_bcast(g, middle, SHAPE(2, d.rows, d.cols))));
}

static node build_bcast(rx *x, dims d)
{
    return g_bcast(x->g, rx_leaf(x, SHAPE(1, d.rows, 1)), SHAPE(3, d.rows, d.cols));
}

static node build_reshape(rx *x, dims d)
{
    return g_reshape(x->g, g_exp(x->g, matrix(x, d)), SHAPE(d.cols, d.rows));
}

static node build_permute(rx *x, dims d)
{
    return g_permute(x->g, rx_leaf(x, SHAPE(2, d.rows, d.cols)), (int32_t[]){2, 0, 1});
}

static node build_slice(rx *x, dims d)
{
    return g_slice(x->g, rx_leaf(x, SHAPE(d.rows, d.cols + 3)), 1, 2, d.cols);
}

static node build_pad(rx *x, dims d)
{
    return g_pad(x->g, matrix(x, d), 1, 2, d.cols + 3);
}

static node build_gather(rx *x, dims d)
{
    node a = matrix(x, d);

    return g_gather(x->g, a, rx_index(x, 2 * d.rows, d.rows));
}

static node build_scatter_add(rx *x, dims d)
{
    node a = matrix(x, d);

    return g_scatter_add(x->g, a, rx_index(x, d.rows, 3), 3);
}

static node build_cast(rx *x, dims d)
{
    return g_cast(x->g, rx_bytes(x, SHAPE(d.rows, d.cols)), x->type);
}

static node build_matmul(rx *x, dims d)
{
    node a = matrix(x, d), b = rx_leaf(x, SHAPE(7, d.cols));

    return g_matmul(x->g, a, b, false, true);
}

static node build_onehot(rx *x, dims d)
{
    return g_onehot(x->g, rx_index(x, d.rows, d.cols), d.cols, x->type);
}

/* Single: the kernels are within 4 ulp (ew.h) and sums have some hundred terms; double: the same
 * with libm. Relative to the largest value. */
TEST(each_operation_is_right)
{
    static const dims shapes[] = {{1, 1}, {3, 17}, {50, 10}, {1, 1500}, {130, 1}, {6, 300}};
    static node (*const build[OP_COUNT])(rx *, dims) = {
#define OP(name) build_##name,
#include "ops/ops.def"
#undef OP
    };

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int op = 0; op < OP_COUNT; op++) {
                rx x;
                rx_open(&x, (dtype)t, (uint64_t)(100 * i) + (uint64_t)op);
                rx_check_one(&x, build[op](&x, shapes[i]), t == F32 ? 2e-6 : 1e-14);
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
    static const dims shapes[] = {{40, 3000}, {5000, 13}, {1, 100000}, {100000, 1}, {300, 784}};

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
