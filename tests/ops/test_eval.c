/* The oracle itself: tests/eval.c against closed forms and results worked by hand. */
#include "base/rng.h"
#include "eval.h"
#include "test.h"

/* x f64 [2,3], index i32 [4], bytes u8 [2,3] */
static const double x_data[] = {-1.5, 0.25, 2.0, 0.5, 3.0, -0.75};
static const int32_t index_data[] = {1, 0, 1, 1};
static const uint8_t bytes_data[] = {0, 1, 2, 128, 254, 255};
static const void *const data[] = {x_data, index_data, bytes_data};

typedef struct given {
    graph *g;
    node x, index, bytes;
} given;

static given open_given(void)
{
    given v = {NULL, 0, 0, 0};

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &v.g));
    v.x = graph_add_leaf(v.g, "x", F64, SHAPE(2, 3));
    v.index = graph_add_leaf(v.g, "index", I32, SHAPE(4));
    v.bytes = graph_add_leaf(v.g, "bytes", U8, SHAPE(2, 3));
    return v;
}

static double slow_sigmoid(double x)
{
    return 0.5 + 0.5 * tanh(0.5 * x);
}

static double slow_softplus(double x)
{
    return log(1.0 + exp(x));
}

static double one_over(double x)
{
    return 1.0 / x;
}

static double is_positive(double x)
{
    return x > 0.0 ? 1.0 : 0.0;
}

static double sign_of(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}

static double slow_gelu(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2.0));
}

TEST(functions_of_one_element_have_their_values)
{
    static const struct {
        node (*build)(graph *g, node x);
        double (*want)(double x);
    } rows[] = {
        {g_exp, exp},
        {g_tanh, tanh},
        {g_sigmoid, slow_sigmoid},
        {g_erf, erf},
        {g_softplus, slow_softplus},
        {g_recip, one_over},
        {g_step, is_positive},
        {g_sign, sign_of},
        {g_gelu, slow_gelu},
        {g_abs, fabs},
    };
    given v = open_given();

    for (size_t i = 0; i < COUNT(rows); i++) {
        double *y = eval_one(v.g, data, rows[i].build(v.g, v.x));
        for (size_t k = 0; k < COUNT(x_data); k++)
            CHECK_NEAR(y[k], rows[i].want(x_data[k]), 1e-14); /* values below 10, a few roundings */
        free(y);
    }
    node positive = g_mul(v.g, v.x, v.x);
    double *l = eval_one(v.g, data, g_log(v.g, positive)),
           *s = eval_one(v.g, data, g_sqrt(v.g, positive));
    for (size_t k = 0; k < COUNT(x_data); k++) {
        CHECK_NEAR(l[k], 2.0 * log(fabs(x_data[k])), 1e-14);
        CHECK_NEAR(s[k], fabs(x_data[k]), 1e-14);
    }
    free(l);
    free(s);
    graph_free(v.g);
}

static void check_values(const given *v, node n, const double *want, int64_t count)
{
    double *have = eval_one(v->g, data, n);

    CHECK_INT(shape_count(graph_shape(v->g, n)), count);
    for (int64_t i = 0; i < count; i++) CHECK_NEAR(have[i], want[i], 1e-14);
    free(have);
}

#define VALUES(v, n, ...)                                                                          \
    check_values((v), (n), (const double[]){__VA_ARGS__},                                          \
                 (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

TEST(moves_have_their_values)
{
    given v = open_given();
    graph *g = v.g;
    node column = g_sum(g, v.x, 2), cube = g_reshape(g, v.x, SHAPE(1, 2, 3));

    VALUES(&v, g_transpose(g, v.x), -1.5, 0.5, 0.25, 3.0, 2.0, -0.75);
    VALUES(&v, g_permute(g, cube, (int32_t[]){2, 0, 1}), -1.5, 0.5, 0.25, 3.0, 2.0, -0.75);
    VALUES(&v, column, 0.75, 2.75);
    VALUES(&v, g_sum(g, v.x, 1), -1.0, 3.25, 1.25);
    VALUES(&v, g_sum_all(g, v.x), 3.5);
    VALUES(&v, g_bcast(g, column, SHAPE(2, 2)), 0.75, 0.75, 2.75, 2.75);
    VALUES(&v, g_slice(g, v.x, 1, 1, 2), 0.25, 2.0, 3.0, -0.75);
    VALUES(&v, g_pad(g, column, 1, 1, 3), 0.0, 0.75, 0.0, 0.0, 2.75, 0.0);
    VALUES(&v, g_gather(g, column, v.index), 2.75, 0.75, 2.75, 2.75);
    VALUES(&v, g_gather(g, v.index, v.index), 0.0, 1.0, 0.0, 0.0);
    VALUES(&v, g_scatter_add(g, g_reshape(g, g_slice(g, v.x, 1, 0, 2), SHAPE(4)), v.index, 3), 0.25,
           2.0, 0.0);
    graph_free(g);
}

TEST(rows_and_classes_have_their_values)
{
    given v = open_given();
    graph *g = v.g;
    double a = log(exp(-1.5) + exp(0.25) + exp(2.0)), b = log(exp(0.5) + exp(3.0) + exp(-0.75));

    VALUES(&v, g_logsumexp(g, v.x), a, b);
    VALUES(&v, g_rowmax(g, v.x), 2.0, 3.0);
    VALUES(&v, g_argmax(g, v.x), 2.0, 1.0);
    VALUES(&v, g_argmax(g, g_fill(g, F64, SHAPE(1, 4), 1.0)), 0.0); /* the first of equals */
    VALUES(&v, g_onehot(g, v.index, 2, F64), 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0);
    VALUES(&v, g_softmax(g, v.x), exp(-1.5 - a), exp(0.25 - a), exp(2.0 - a), exp(0.5 - b),
           exp(3.0 - b), exp(-0.75 - b));
    graph_free(g);
}

TEST(products_have_their_values)
{
    given v = open_given();
    graph *g = v.g;
    node left = g_slice(g, v.x, 1, 0, 2), right = g_slice(g, v.x, 1, 1, 2);
    /* left = [-1.5 .25; .5 3], right = [.25 2; 3 -.75] */

    VALUES(&v, g_matmul(g, left, right, false, false), 0.375, -3.1875, 9.125, -1.25);
    VALUES(&v, g_matmul(g, left, right, true, false), 1.125, -3.375, 9.0625, -1.75);
    VALUES(&v, g_matmul(g, left, right, false, true), 0.125, -4.6875, 6.125, -0.75);
    VALUES(&v, g_matmul(g, left, right, true, true), 0.625, -4.875, 6.0625, -1.5);
    VALUES(&v, g_mul(g, left, right), -0.375, 0.5, 1.5, -2.25);
    VALUES(&v, g_dot(g, left, right), -0.625);
    node rows = g_reshape(g, v.x, SHAPE(2, 1, 3));
    VALUES(&v, g_matmul(g, rows, rows, false, true), 6.3125, 9.8125);
    VALUES(&v, g_sub(g, g_add(g, left, right), g_scale(g, left, 2.0)), 1.75, 1.75, 2.5, -3.75);
    graph_free(g);
}

TEST(windows_have_their_values)
{
    given v = open_given();
    graph *g = v.g;
    const window near = {.kernel = {2, 2}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    const window far = {
        .kernel = {2, 2}, .stride = {2, 2}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1};
    window back = near;
    node x = g_reshape(g, g_iota(g, F64, SHAPE(9), 0), SHAPE(1, 3, 3, 1));
    node w = g_reshape(g, g_iota(g, F64, SHAPE(4), 0), SHAPE(1, 1, 2, 2));
    node y = g_reshape(g, w, SHAPE(1, 2, 2, 1)), arg = g_maxpool_arg(g, x, near);

    back.size[0] = back.size[1] = 3;
    VALUES(&v, g_conv(g, x, w, near), 19.0, 25.0, 37.0, 43.0);
    VALUES(&v, g_conv(g, x, w, far), 0.0, 8.0, 21.0, 43.0);
    VALUES(&v, g_conv_dx(g, y, w, back), 0.0, 0.0, 1.0, 0.0, 4.0, 6.0, 4.0, 12.0, 9.0);
    VALUES(&v, g_conv_dw(g, x, y, near), 19.0, 25.0, 37.0, 43.0);
    VALUES(&v, g_sumpool(g, x, near), 8.0, 12.0, 20.0, 24.0);
    VALUES(&v, g_spread(g, y, back), 0.0, 1.0, 1.0, 2.0, 6.0, 4.0, 2.0, 5.0, 3.0);
    VALUES(&v, arg, 4.0, 5.0, 7.0, 8.0);
    VALUES(&v, g_take(g, x, arg), 4.0, 5.0, 7.0, 8.0);
    VALUES(&v, g_put(g, y, arg, SHAPE(3, 3)), 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0);
    VALUES(&v, g_put(g, g_reshape(g, w, SHAPE(4)), v.index, SHAPE(3)), 1.0, 5.0, 0.0);
    graph_free(g);
}

/* index_data as a key: seed 1, step 1. */
TEST(draws_are_those_of_the_generator)
{
    given v = open_given();
    const rng_key k = {.seed = 1, .step = 1, .site = 4};
    double *u = eval_one(v.g, data, g_uniform(v.g, v.index, 4, F64, SHAPE(2, 50)));
    double *f = eval_one(v.g, data, g_uniform(v.g, v.index, 4, F32, SHAPE(2, 50)));
    double *n = eval_one(v.g, data, g_normal(v.g, v.index, 4, F64, SHAPE(2, 50)));

    for (uint64_t i = 0; i < 100; i++) {
        CHECK_NEAR(u[i], rng_uniform(k, i), 0.0);
        CHECK(f[i] <= u[i] && u[i] - f[i] < 0x1p-24);
        CHECK_NEAR(n[i], rng_normal(k, i), 0.0);
    }
    free(u);
    free(f);
    free(n);
    graph_free(v.g);
}

TEST(single_precision_and_integers_are_kept)
{
    given v = open_given();
    graph *g = v.g;
    node third = g_fill(g, F32, SHAPE(1), 1.0 / 3.0), bytes = g_cast(g, v.bytes, F32);

    VALUES(&v, third, (double)(1.0f / 3.0f));
    VALUES(&v, g_exp(g, third), (double)(float)exp((double)(1.0f / 3.0f)));
    VALUES(&v, g_cast(g, g_fill(g, F64, SHAPE(1), 1.0 / 3.0), F32), (double)(1.0f / 3.0f));
    VALUES(&v, g_cast(g, v.bytes, I32), 0.0, 1.0, 2.0, 128.0, 254.0, 255.0);
    VALUES(&v, g_sum(g, bytes, 2), 3.0, 637.0);
    graph_free(g);
}
