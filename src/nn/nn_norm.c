/* Norms: y = (x - mean)/sqrt(var + eps) * weight + bias, mean and biased variance over the batch
 * (batch norm: Ioffe and Szegedy, ICML 2015), the features (layer norm: Ba, Kiros, Hinton, 2016) or
 * groups of channels and all pixels (group norm: Wu and He, ECCV 2018). */
#include "nn/nn_inside.h"

/* 1/sqrt(var + eps) */
static node inverse_deviation(graph *g, node variance, double eps)
{
    if (variance == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, variance);

    return g_recip(g, g_sqrt(g, g_add(g, variance, g_fill(g, graph_dtype(g, variance), s, eps))));
}

/* Mean and biased variance over `axes`, which stay with length 1; and x - mean. */
typedef struct moments {
    node mean, variance, centred;
    int64_t count; /* values in a mean */
} moments;

static moments moments_of(graph *g, node x, uint32_t axes)
{
    const shape s = *graph_shape(g, x);
    moments m = {.count = 1};

    for (int32_t i = 0; i < s.rank; i++)
        if (axes >> i & 1) m.count *= s.dim[i];
    m.mean = g_scale(g, g_sum(g, x, axes), 1.0 / (double)m.count);
    m.centred = g_sub(g, x, g_bcast(g, m.mean, s));
    m.variance = g_scale(g, g_sum(g, g_mul(g, m.centred, m.centred), axes), 1.0 / (double)m.count);
    return m;
}

/* x * weight + bias along the last dimension. */
static node affine(const nn_build *b, node x)
{
    const node *w = b->w + b->l->first;

    x = g_mul(b->g, x, nn_along_last(b->g, w[0], x));
    return b->l->no_bias ? x : g_add(b->g, x, nn_along_last(b->g, w[1], x));
}

/* The centred values times weight/deviation, one number a channel, plus bias. */
static node by_channel(const nn_build *b, node centred, node variance)
{
    graph *g = b->g;
    const node *w = b->w + b->l->first;
    node scale = g_mul(g, inverse_deviation(g, variance, b->l->eps), w[0]);

    return g_add(g, g_mul(g, centred, nn_along_last(g, scale, centred)),
                 nn_along_last(g, w[1], centred));
}

/* r' = (1 - momentum) r + momentum s */
static void put_next(const nn_build *b, int32_t tensor, node statistic)
{
    const double keep = 1 - b->l->momentum;

    b->pass->next[tensor] =
        g_add(b->g, g_scale(b->g, b->w[tensor], keep), g_scale(b->g, statistic, b->l->momentum));
}

/* Training: by the batch, whose moments are differentiated; the running variance takes the unbiased
 * one, as PyTorch's does. */
node nn_build_batch_norm(const nn_build *b)
{
    graph *g = b->g;
    const node x = b->in[0];
    const shape s = *graph_shape(g, x);
    const shape c = SHAPE(s.dim[s.rank - 1]);
    const int32_t mean = b->l->first + 2, variance = b->l->first + 3;

    if (!b->pass->train)
        return by_channel(b, g_sub(g, x, nn_along_last(g, b->w[mean], x)), b->w[variance]);
    moments m = moments_of(g, x, (1u << (s.rank - 1)) - 1);
    if (m.count < 2)
        return graph_fail(g,
                          "layer %s (batch_norm): one value a channel; a batch of at least 2 is "
                          "needed",
                          b->l->name);
    m.mean = g_reshape(g, m.mean, c), m.variance = g_reshape(g, m.variance, c);
    if (b->pass->next) {
        put_next(b, mean, m.mean);
        put_next(b, variance, g_scale(g, m.variance, (double)m.count / (double)(m.count - 1)));
    }
    return by_channel(b, m.centred, m.variance);
}

static node normalised(graph *g, node x, uint32_t axes, double eps)
{
    const moments m = moments_of(g, x, axes);

    return g_mul(g, m.centred,
                 g_bcast(g, inverse_deviation(g, m.variance, eps), *graph_shape(g, x)));
}

node nn_build_layer_norm(const nn_build *b)
{
    const int32_t last = graph_shape(b->g, b->in[0])->rank - 1;

    return affine(b, normalised(b->g, b->in[0], 1u << last, b->l->eps));
}

/* Seen as [B, pixels, groups, channels of a group]. */
node nn_build_group_norm(const nn_build *b)
{
    graph *g = b->g;
    const shape s = *graph_shape(g, b->in[0]);
    const int64_t c = s.dim[s.rank - 1], pixels = shape_count(&b->l->shape) / c;
    node x = g_reshape(g, b->in[0], SHAPE(s.dim[0], pixels, b->l->groups, c / b->l->groups));

    x = normalised(g, x, 1u << 1 | 1u << 3, b->l->eps);
    return affine(b, g_reshape(g, x, s));
}
