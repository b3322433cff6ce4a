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
static node affine(graph *g, node x, const nn_norm *p)
{
    if (p->weight != NODE_NONE) x = g_mul(g, x, nn_along_last(g, p->weight, x));
    return p->bias == NODE_NONE ? x : g_add(g, x, nn_along_last(g, p->bias, x));
}

/* The centred values times weight/deviation, one number a channel, plus bias. */
static node by_channel(graph *g, node centred, node variance, const nn_norm *p)
{
    node scale = inverse_deviation(g, variance, p->eps);

    if (p->weight != NODE_NONE) scale = g_mul(g, scale, p->weight);
    return affine(g, g_mul(g, centred, nn_along_last(g, scale, centred)),
                  &(nn_norm){.weight = NODE_NONE, .bias = p->bias});
}

/* r' = (1 - momentum) r + momentum s */
static node moved(graph *g, node running, node statistic, double momentum)
{
    if (running == NODE_NONE) return NODE_NONE;
    return g_add(g, g_scale(g, running, 1 - momentum), g_scale(g, statistic, momentum));
}

/* By the batch the moments are differentiated; the running variance takes the unbiased one, as
 * PyTorch's does. */
node nn_batch_norm(graph *g, node x, nn_norm *p)
{
    if (x == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, x);
    const shape c = SHAPE(s.dim[s.rank - 1]);

    if (!p->by_batch)
        return by_channel(g, g_sub(g, x, nn_along_last(g, p->mean, x)), p->variance, p);
    moments m = moments_of(g, x, (1u << (s.rank - 1)) - 1);
    if (m.count < 2)
        return graph_fail(g,
                          "layer %s (batch_norm): one value a channel; a batch of at least 2 is "
                          "needed",
                          p->name);
    m.mean = g_reshape(g, m.mean, c), m.variance = g_reshape(g, m.variance, c);
    const double unbiased = (double)m.count / (double)(m.count - 1);
    p->next_mean = moved(g, p->mean, m.mean, p->momentum);
    p->next_variance = moved(g, p->variance, g_scale(g, m.variance, unbiased), p->momentum);
    return by_channel(g, m.centred, m.variance, p);
}

static node normalised(graph *g, node x, uint32_t axes, double eps)
{
    const moments m = moments_of(g, x, axes);

    return g_mul(g, m.centred,
                 g_bcast(g, inverse_deviation(g, m.variance, eps), *graph_shape(g, x)));
}

node nn_layer_norm(graph *g, node x, const nn_norm *p)
{
    if (x == NODE_NONE) return NODE_NONE;
    return affine(g, normalised(g, x, 1u << (graph_shape(g, x)->rank - 1), p->eps), p);
}

/* Seen as [B, pixels, groups, channels of a group]. */
node nn_group_norm(graph *g, node x, int64_t groups, const nn_norm *p)
{
    if (x == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, x);
    const int64_t c = s.dim[s.rank - 1], pixels = shape_count(&s) / (s.dim[0] * c);
    node y = g_reshape(g, x, SHAPE(s.dim[0], pixels, groups, c / groups));

    y = normalised(g, y, 1u << 1 | 1u << 3, p->eps);
    return affine(g, g_reshape(g, y, s), p);
}

/* ---- layers ---- */

static nn_norm norm_of(const nn_build *b)
{
    const node *w = b->w + b->l->first;

    return (nn_norm){.name = b->l->name,
                     .weight = w[0],
                     .bias = b->l->no_bias ? NODE_NONE : w[1],
                     .eps = b->l->eps,
                     .mean = NODE_NONE,
                     .variance = NODE_NONE};
}

node nn_build_batch_norm(const nn_build *b)
{
    const int32_t mean = b->l->first + 2, variance = b->l->first + 3;
    nn_norm p = norm_of(b);

    p.mean = b->w[mean], p.variance = b->w[variance];
    p.by_batch = b->pass->train, p.momentum = b->l->momentum;
    const node y = nn_batch_norm(b->g, b->in[0], &p);
    if (p.by_batch && b->pass->next)
        b->pass->next[mean] = p.next_mean, b->pass->next[variance] = p.next_variance;
    return y;
}

node nn_build_layer_norm(const nn_build *b)
{
    const nn_norm p = norm_of(b);

    return nn_layer_norm(b->g, b->in[0], &p);
}

node nn_build_group_norm(const nn_build *b)
{
    const nn_norm p = norm_of(b);

    return nn_group_norm(b->g, b->in[0], b->l->groups, &p);
}
