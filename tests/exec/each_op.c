#include "each_op.h"

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

    node c = g_matmul(x->g, a, b, false, true), one = g_reshape(x->g, c, SHAPE(1, d.rows, 7));
    node two =
        g_matmul(x->g, rx_leaf(x, SHAPE(2, d.rows, 5)), rx_leaf(x, SHAPE(2, 7, 5)), false, true);
    return g_mul(x->g, two, g_bcast(x->g, one, SHAPE(2, d.rows, 7)));
}

static node build_onehot(rx *x, dims d)
{
    return g_onehot(x->g, rx_index(x, d.rows, d.cols), d.cols, x->type);
}

/* Images of d.rows x 4 pixels in two groups, a window that looks over their edge. */
static node image(rx *x, dims d)
{
    return rx_leaf(x, SHAPE(3, d.rows, 4, 2));
}

static window window_for(dims d)
{
    return (window){.size = {d.rows, 4},
                    .kernel = {3, 2},
                    .stride = {2, 1},
                    .pad = {1, 1},
                    .dilation = {1, 2},
                    .groups = 2};
}

static window pool_for(dims d)
{
    window v = window_for(d);

    v.groups = v.dilation[1] = 1;
    return v;
}

static node result(rx *x, window v, int64_t channels)
{
    return rx_leaf(x, SHAPE(3, window_out(&v, 0), window_out(&v, 1), channels));
}

/* As many outputs as fit the columns. */
static node weight(rx *x, dims d)
{
    return rx_leaf(x, SHAPE(2 + d.cols % 20 * 2, 1, 3, 2));
}

static node build_conv(rx *x, dims d)
{
    node a = image(x, d);

    return g_conv(x->g, a, weight(x, d), window_for(d));
}

static node build_conv_dx(rx *x, dims d)
{
    node w = weight(x, d);

    return g_conv_dx(x->g, result(x, window_for(d), graph_shape(x->g, w)->dim[0]), w,
                     window_for(d));
}

static node build_conv_dw(rx *x, dims d)
{
    node a = image(x, d);

    return g_conv_dw(x->g, a, result(x, window_for(d), 2 + d.cols % 20 * 2), window_for(d));
}

static node build_sumpool(rx *x, dims d)
{
    return g_sumpool(x->g, image(x, d), pool_for(d));
}

static node build_spread(rx *x, dims d)
{
    return g_spread(x->g, result(x, pool_for(d), 2), pool_for(d));
}

static node build_maxpool_arg(rx *x, dims d)
{
    return g_maxpool_arg(x->g, image(x, d), pool_for(d));
}

static node build_take(rx *x, dims d)
{
    node a = image(x, d);

    return g_take(x->g, a, g_maxpool_arg(x->g, a, pool_for(d)));
}

/* By an index that stays in its image, and by one that does not. */
static node build_put(rx *x, dims d)
{
    node a = image(x, d), arg = g_maxpool_arg(x->g, a, pool_for(d));
    node back = g_put(x->g, result(x, pool_for(d), 2), arg, *graph_shape(x->g, a));
    node any = g_put(x->g, rx_leaf(x, SHAPE(d.cols)), rx_index(x, d.cols, 5), SHAPE(5, 1, 1, 1));

    return g_mul(x->g, back, g_bcast(x->g, g_sum_all(x->g, any), *graph_shape(x->g, a)));
}

static node build_uniform(rx *x, dims d)
{
    return g_uniform(x->g, rx_index(x, 4, 1000), 9, x->type, SHAPE(d.rows, d.cols));
}

static node build_normal(rx *x, dims d)
{
    return g_normal(x->g, rx_index(x, 4, 1000), 9, x->type, SHAPE(d.rows, d.cols));
}

static node build_iota(rx *x, dims d)
{
    return g_iota(x->g, x->type, SHAPE(d.rows, d.cols, 2), 1);
}

node each_op(rx *x, int op, dims d)
{
    static node (*const build[OP_COUNT])(rx *, dims) = {
#define OP(name) build_##name,
#include "ops/ops.def"
#undef OP
    };

    return build[op](x, d);
}
