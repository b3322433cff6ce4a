/* Every op's rule, to second order: a row an op, on random shapes with dimensions of 1 among
 * them. */
#include "ad_fixture.h"

enum { SEEDS = 8 };

typedef struct row {
    int32_t op;
    bool constant;                  /* nothing passes: every derivative is NODE_NONE */
    node (*build)(fx *f, nodes *x); /* fills the variables, gives y */
    tolerance tol;                  /* 0: fx_smooth */
} row;

static node var(nodes *x, node n)
{
    nodes_add(x, n);
    return n;
}

static node any(fx *f, nodes *x, double lo, double hi)
{
    return var(x, fx_uniform(f, fx_shape(f, 1 + (int32_t)fx_draw(f, 0.0, 3.0)), lo, hi));
}

#define UNARY(op, lo, hi)                                                                          \
    static node row_##op(fx *f, nodes *x)                                                          \
    {                                                                                              \
        return g_##op(f->g, any(f, x, lo, hi));                                                    \
    }
UNARY(exp, -2.0, 2.0)
UNARY(log, 0.5, 2.0)
UNARY(sqrt, 0.5, 2.0)
UNARY(recip, 0.5, 2.0)
UNARY(tanh, -2.0, 2.0)
UNARY(sigmoid, -2.0, 2.0)
UNARY(softplus, -2.0, 2.0)
UNARY(erf, -2.0, 2.0)
UNARY(logsumexp, -2.0, 2.0)
UNARY(rowmax, -2.0, 2.0)
UNARY(step, 0.5, 2.0)
UNARY(sign, 0.5, 2.0)

#define BINARY(op)                                                                                 \
    static node row_##op(fx *f, nodes *x)                                                          \
    {                                                                                              \
        node a = any(f, x, -2.0, 2.0);                                                             \
        return g_##op(f->g, a, var(x, fx_like(f, a)));                                             \
    }
BINARY(add)
BINARY(sub)
BINARY(mul)

static node row_leaf(fx *f, nodes *x)
{
    return any(f, x, -2.0, 2.0);
}

static node row_fill(fx *f, nodes *x)
{
    return g_fill(f->g, F64, *graph_shape(f->g, any(f, x, -1.0, 1.0)), 3.0);
}

/* mul(x, x): two uses of one operand. */
static node row_square(fx *f, nodes *x)
{
    node a = any(f, x, -2.0, 2.0);

    return g_mul(f->g, a, a);
}

static node row_scale(fx *f, nodes *x)
{
    return g_scale(f->g, any(f, x, -2.0, 2.0), -0.7);
}

/* Axes 0 and 2 of [a, b, c], none of them 1: a sum over dimensions of 1 is no node. */
static node row_sum(fx *f, nodes *x)
{
    return g_sum(f->g, var(x, fx_uniform(f, SHAPE(3, fx_dim(f), 2), -1.0, 1.0)), 5);
}

static node row_bcast(fx *f, nodes *x)
{
    int64_t n = fx_dim(f);

    return g_bcast(f->g, var(x, fx_uniform(f, SHAPE(1, n, 1), -1.0, 1.0)), SHAPE(3, n, fx_dim(f)));
}

static node row_reshape(fx *f, nodes *x)
{
    int64_t n = fx_dim(f);

    return g_reshape(f->g, var(x, fx_uniform(f, SHAPE(4, n), -1.0, 1.0)), SHAPE(2, n, 2));
}

static node row_permute(fx *f, nodes *x)
{
    node a = var(x, fx_uniform(f, fx_shape(f, 3), -1.0, 1.0));

    return g_permute(f->g, a, (int32_t[]){2, 0, 1}); /* not its own inverse */
}

static node row_slice(fx *f, nodes *x)
{
    return g_slice(f->g, var(x, fx_uniform(f, SHAPE(fx_dim(f), 5, 2), -1.0, 1.0)), 1, 1, 3);
}

static node row_pad(fx *f, nodes *x)
{
    return g_pad(f->g, var(x, fx_uniform(f, SHAPE(fx_dim(f), 3, 2), -1.0, 1.0)), 1, 1, 5);
}

static node row_gather(fx *f, nodes *x)
{
    int64_t rows = fx_dim(f);

    return g_gather(f->g, var(x, fx_uniform(f, SHAPE(rows, fx_dim(f)), -1.0, 1.0)),
                    fx_index(f, 6, rows)); /* rows repeat, or are left out */
}

static node row_scatter_add(fx *f, nodes *x)
{
    int64_t rows = fx_dim(f);

    return g_scatter_add(f->g, var(x, fx_uniform(f, SHAPE(6, fx_dim(f)), -1.0, 1.0)),
                         fx_index(f, 6, rows), rows);
}

static node row_cast(fx *f, nodes *x)
{
    return g_cast(f->g, g_cast(f->g, any(f, x, -1.0, 1.0), F32), F64);
}

static node product(fx *f, nodes *x, bool ta, bool tb)
{
    int64_t m = fx_dim(f), k = fx_dim(f), n = fx_dim(f);
    node a = var(x, fx_uniform(f, ta ? SHAPE(k, m) : SHAPE(m, k), -1.0, 1.0));
    node b = var(x, fx_uniform(f, tb ? SHAPE(n, k) : SHAPE(k, n), -1.0, 1.0));

    return g_matmul(f->g, a, b, ta, tb);
}

static node row_matmul(fx *f, nodes *x)
{
    return product(f, x, false, false);
}

static node row_matmul_ta(fx *f, nodes *x)
{
    return product(f, x, true, false);
}

static node row_matmul_tb(fx *f, nodes *x)
{
    return product(f, x, false, true);
}

static node row_matmul_ta_tb(fx *f, nodes *x)
{
    return product(f, x, true, true);
}

static node batched(fx *f, nodes *x, bool ta, bool tb)
{
    int64_t b = 1 + fx_dim(f), m = fx_dim(f), k = fx_dim(f), n = fx_dim(f);
    node a = var(x, fx_uniform(f, ta ? SHAPE(b, k, m) : SHAPE(b, m, k), -1.0, 1.0));
    node c = var(x, fx_uniform(f, tb ? SHAPE(b, n, k) : SHAPE(b, k, n), -1.0, 1.0));

    return g_matmul(f->g, a, c, ta, tb);
}

static node row_batched(fx *f, nodes *x)
{
    return batched(f, x, false, false);
}

static node row_batched_ta(fx *f, nodes *x)
{
    return batched(f, x, true, false);
}

static node row_batched_tb(fx *f, nodes *x)
{
    return batched(f, x, false, true);
}

static node row_batched_ta_tb(fx *f, nodes *x)
{
    return batched(f, x, true, true);
}

/* A window with all its parts drawn; the images are larger than what it reaches. */
static window any_window(fx *f)
{
    window v = {.groups = 1};

    for (int k = 0; k < 2; k++) {
        v.kernel[k] = 1 + (int32_t)fx_draw(f, 0.0, 3.0);
        v.stride[k] = 1 + (int32_t)fx_draw(f, 0.0, 2.0);
        v.dilation[k] = 1 + (int32_t)fx_draw(f, 0.0, 2.0);
        v.pad[k] = (int32_t)fx_draw(f, 0.0, v.kernel[k] / 2 + 1.0);
        v.size[k] = 1 + v.dilation[k] * (v.kernel[k] - 1) + (int64_t)fx_draw(f, 0.0, 3.0);
    }
    return v;
}

typedef struct conv_shapes {
    window v;
    shape x, w, y;
} conv_shapes;

static conv_shapes any_conv(fx *f)
{
    conv_shapes s = {.v = any_window(f)};
    const int64_t n = 1 + (int64_t)fx_draw(f, 0.0, 2.0);
    s.v.groups = 1 + (int32_t)fx_draw(f, 0.0, 2.0);
    const int64_t c = (int64_t)fx_draw(f, 1.0, 3.0), o = s.v.groups * (int64_t)fx_draw(f, 1.0, 3.0);

    s.x = SHAPE(n, s.v.size[0], s.v.size[1], c * s.v.groups);
    s.w = SHAPE(o, c, s.v.kernel[0], s.v.kernel[1]);
    s.y = SHAPE(n, window_out(&s.v, 0), window_out(&s.v, 1), o);
    return s;
}

static node row_conv(fx *f, nodes *x)
{
    const conv_shapes s = any_conv(f);
    node image = var(x, fx_uniform(f, s.x, -1.0, 1.0));

    return g_conv(f->g, image, var(x, fx_uniform(f, s.w, -1.0, 1.0)), s.v);
}

static node row_conv_dx(fx *f, nodes *x)
{
    const conv_shapes s = any_conv(f);
    node y = var(x, fx_uniform(f, s.y, -1.0, 1.0));

    return g_conv_dx(f->g, y, var(x, fx_uniform(f, s.w, -1.0, 1.0)), s.v);
}

static node row_conv_dw(fx *f, nodes *x)
{
    const conv_shapes s = any_conv(f);
    node image = var(x, fx_uniform(f, s.x, -1.0, 1.0));

    return g_conv_dw(f->g, image, var(x, fx_uniform(f, s.y, -1.0, 1.0)), s.v);
}

static node row_sumpool(fx *f, nodes *x)
{
    const window v = any_window(f);

    return g_sumpool(f->g, var(x, fx_uniform(f, SHAPE(2, v.size[0], v.size[1], 3), -1.0, 1.0)), v);
}

static node row_spread(fx *f, nodes *x)
{
    const window v = any_window(f);
    const shape s = SHAPE(2, window_out(&v, 0), window_out(&v, 1), 3);

    return g_spread(f->g, var(x, fx_uniform(f, s, -1.0, 1.0)), v);
}

static node row_maxpool_arg(fx *f, nodes *x)
{
    window v = any_window(f);

    v.dilation[0] = v.dilation[1] = 1; /* else padding may fill a window */
    return g_maxpool_arg(f->g, var(x, fx_uniform(f, SHAPE(2, v.size[0], v.size[1], 3), -1.0, 1.0)),
                         v);
}

/* Max-pooling as nets have it. */
static node row_take(fx *f, nodes *x)
{
    node arg = row_maxpool_arg(f, x);

    return g_take(f->g, x->at[0], arg);
}

static node row_put(fx *f, nodes *x)
{
    const int64_t n = 2 + fx_dim(f);
    node index = g_reshape(f->g, fx_index(f, 2 * n, 6), SHAPE(2, n)); /* repeats */

    return g_put(f->g, var(x, fx_uniform(f, SHAPE(2, n), -1.0, 1.0)), index, SHAPE(3, 2));
}

static node row_iota(fx *f, nodes *x)
{
    return g_iota(f->g, F64, *graph_shape(f->g, any(f, x, -1.0, 1.0)), 0);
}

static node row_uniform(fx *f, nodes *x)
{
    return g_uniform(f->g, fx_index(f, 4, 1000), 7, F64, *graph_shape(f->g, any(f, x, -1.0, 1.0)));
}

static node row_normal(fx *f, nodes *x)
{
    return g_normal(f->g, fx_index(f, 4, 1000), 7, F64, *graph_shape(f->g, any(f, x, -1.0, 1.0)));
}

static node row_argmax(fx *f, nodes *x)
{
    return g_argmax(f->g, var(x, fx_uniform(f, fx_shape(f, 2), -1.0, 1.0)));
}

static node row_onehot(fx *f, nodes *x)
{
    return g_onehot(f->g, row_argmax(f, x), 4, F64);
}

/* Rounding to f32 is 6e-8 of each value: over a step of 1/4, differences of a linear function see
 * it about doubled. */
#define SINGLE                                                                                     \
    {                                                                                              \
        .step = 0.25, .difference = 2e-6, .rounding = 1e-6                                         \
    }

static const row rows[] = {
    {OP_leaf, .build = row_leaf},
    {OP_fill, .build = row_fill, .constant = true},
    {OP_exp, .build = row_exp},
    {OP_log, .build = row_log},
    {OP_sqrt, .build = row_sqrt},
    {OP_recip, .build = row_recip},
    {OP_tanh, .build = row_tanh},
    {OP_sigmoid, .build = row_sigmoid},
    {OP_softplus, .build = row_softplus},
    {OP_erf, .build = row_erf},
    {OP_logsumexp, .build = row_logsumexp},
    {OP_rowmax, .build = row_rowmax},
    {OP_add, .build = row_add},
    {OP_sub, .build = row_sub},
    {OP_scale, .build = row_scale},
    {OP_sum, .build = row_sum},
    {OP_bcast, .build = row_bcast},
    {OP_reshape, .build = row_reshape},
    {OP_permute, .build = row_permute},
    {OP_slice, .build = row_slice},
    {OP_pad, .build = row_pad},
    {OP_gather, .build = row_gather},
    {OP_scatter_add, .build = row_scatter_add},
    {OP_cast, .build = row_cast, .tol = SINGLE},
    {OP_mul, .build = row_mul},
    {OP_mul, .build = row_square},
    {OP_matmul, .build = row_matmul},
    {OP_matmul, .build = row_matmul_ta},
    {OP_matmul, .build = row_matmul_tb},
    {OP_matmul, .build = row_matmul_ta_tb},
    {OP_matmul, .build = row_batched},
    {OP_matmul, .build = row_batched_ta},
    {OP_matmul, .build = row_batched_tb},
    {OP_matmul, .build = row_batched_ta_tb},
    {OP_conv, .build = row_conv},
    {OP_conv_dx, .build = row_conv_dx},
    {OP_conv_dw, .build = row_conv_dw},
    {OP_sumpool, .build = row_sumpool},
    {OP_spread, .build = row_spread},
    {OP_take, .build = row_take},
    {OP_put, .build = row_put},
    {OP_iota, .build = row_iota, .constant = true},
    {OP_maxpool_arg, .build = row_maxpool_arg, .constant = true},
    {OP_uniform, .build = row_uniform, .constant = true},
    {OP_normal, .build = row_normal, .constant = true},
    {OP_step, .build = row_step, .constant = true},
    {OP_sign, .build = row_sign, .constant = true},
    {OP_onehot, .build = row_onehot, .constant = true},
    {OP_argmax, .build = row_argmax, .constant = true},
};

TEST(every_op_has_a_row)
{
    for (int32_t op = 0; op < OP_COUNT; op++) {
        int found = 0;
        for (size_t i = 0; i < COUNT(rows); i++) found += rows[i].op == op;
        if (!found) test_fail(__FILE__, __LINE__, "%s: no row", op_get(op)->name);
    }
}

static bool contains(const graph *g, int32_t op)
{
    for (node n = 0; n < graph_size(g); n++)
        if (graph_rec(g, n)->op == op) return true;
    return false;
}

static void check_nothing_passes(fx *f, const nodes *y, const nodes *x)
{
    nodes t = fx_like_all(f, x), c = {1, {NODE_NONE}};

    if (op_carries(f->g, y->at[0])) c.at[0] = fx_like(f, y->at[0]);
    CHECK_INT(fx_jvp(f, x, &t, y).at[0], NODE_NONE);
    CHECK_INT(fx_vjp(f, y, &c, x).at[0], NODE_NONE);
}

static void check_row(const row *r, uint64_t seed)
{
    fx f;
    nodes x = {0}, y = {.n = 1};

    fx_open(&f, seed);
    y.at[0] = r->build(&f, &x);
    CHECK_OK(test_ctx(), graph_status(f.g));
    /* A row on dimensions of 1 may be folded to its operand; some seed must show the op itself. */
    if (seed == SEEDS && !contains(f.g, r->op)) test_fail(__FILE__, __LINE__, "the op is missing");
    if (r->constant) check_nothing_passes(&f, &y, &x);
    else fx_check_derivs(&f, &y, &x, 2, r->tol.step > 0.0 ? &r->tol : &fx_smooth);
    fx_close(&f);
}

TEST(every_rule_is_right_to_second_order)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) check_row(&rows[i], seed);
}

/* -- compositions, on inputs away from their kinks */

static node abs_of(graph *g, node x)
{
    return g_abs(g, x);
}

static node sum_all(graph *g, node x)
{
    return g_sum_all(g, x);
}

static node self_dot(graph *g, node x)
{
    return g_dot(g, x, x);
}

/* The transpose as a node, and as a flag of the product that takes it. */
static node gram(graph *g, node x)
{
    return g_add(g, g_matmul(g, g_transpose(g, x), x, false, false),
                 g_transpose(g, g_matmul(g, x, g_exp(g, x), true, false)));
}

TEST(compositions_are_right_to_second_order)
{
    static node (*const build[])(graph * g, node x) = {g_relu,  abs_of,   g_gelu, g_softmax,
                                                       sum_all, self_dot, gram};

    for (size_t i = 0; i < COUNT(build); i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            fx f;
            fx_open(&f, seed);
            nodes x = {1, {fx_away(&f, fx_shape(&f, 2))}}, y = {1, {build[i](f.g, x.at[0])}};
            fx_check_derivs(&f, &y, &x, 2, &fx_smooth);
            fx_close(&f);
        }
}

/* relu' is 0 at 0, as in PyTorch. */
TEST(relu_has_derivative_zero_at_zero)
{
    fx f;
    fx_open(&f, 1);
    nodes x = {1, {fx_uniform(&f, SHAPE(3), 0.0, 0.0)}}, y = {1, {g_relu(f.g, x.at[0])}};
    nodes c = {1, {g_ones_like(f.g, x.at[0])}}, dx = fx_vjp(&f, &y, &c, &x);
    double *v = fx_value(&f, dx.at[0]);

    for (int i = 0; i < 3; i++) CHECK_NEAR(v[i], 0.0, 0.0);
    free(v);
    fx_close(&f);
}

/* At +-40 tanh and sigmoid are flat to the last bit and exp overflows in a naive soft-plus or
 * soft-max at +-800. */
TEST(saturated_inputs_give_finite_derivatives)
{
    static node (*const build[])(graph * g, node x) = {g_tanh, g_sigmoid, g_softplus,
                                                       g_erf,  g_gelu,    g_softmax};

    for (size_t i = 0; i < COUNT(build); i++) {
        fx f;
        fx_open(&f, 3);
        node in = fx_uniform(&f, SHAPE(1, 4), 0.0, 0.0);
        double *at = f.data[graph_rec(f.g, in)->attr.n];
        memcpy(at, (double[]){-800.0, -40.0, 40.0, 800.0}, 4 * sizeof *at);
        nodes x = {1, {in}}, y = {1, {build[i](f.g, in)}}, c = fx_like_all(&f, &y);
        nodes dx = fx_vjp(&f, &y, &c, &x), d2x = fx_vjp(&f, &dx, &c, &x);
        double *v = fx_value(&f, d2x.at[0]);
        for (int k = 0; k < 4; k++) CHECK(isfinite(v[k]));
        free(v);
        fx_close(&f);
    }
}
