/* The forward pass: layer by layer, each kind from the ops. Norms are in nn_norm.c, what works on
 * sequences in nn_sequence.c. */
#include "nn/nn_inside.h"
#include <string.h>

static node weight_of(const nn_build *b)
{
    return b->w[b->l->tied ? b->s->at[b->l->tied - 1].first : b->l->first];
}

/* A vector along the last dimension, repeated over the others of x. */
node nn_along_last(graph *g, node v, node x)
{
    if (v == NODE_NONE || x == NODE_NONE) return NODE_NONE;
    const shape full = *graph_shape(g, x);
    shape s = shape_ones(full.rank);

    s.dim[full.rank - 1] = full.dim[full.rank - 1];
    return g_bcast(g, g_reshape(g, v, s), full);
}

static node add_bias(const nn_build *b, node y)
{
    if (b->l->no_bias) return y;
    return g_add(b->g, y, nn_along_last(b->g, b->w[b->l->first + b->l->tensors - 1], y));
}

/* The batch of what the layer gives: [B, shape...]. */
shape nn_batch_shape(const nn_build *b)
{
    shape s = {.rank = b->l->shape.rank + 1};

    s.dim[0] = graph_shape(b->g, b->in[0])->dim[0];
    for (int32_t i = 0; i < b->l->shape.rank; i++) s.dim[i + 1] = b->l->shape.dim[i];
    return s;
}

node nn_build_linear(const nn_build *b)
{
    const shape s = nn_batch_shape(b), x = *graph_shape(b->g, b->in[0]);
    node in = b->in[0];

    if (x.rank > 2) /* every position for itself */
        in = g_reshape(b->g, in, SHAPE(x.dim[0] * x.dim[1], x.dim[2]));
    node y = add_bias(b, g_matmul(b->g, in, weight_of(b), false, true));
    return x.rank > 2 ? g_reshape(b->g, y, s) : y;
}

node nn_build_conv(const nn_build *b)
{
    return add_bias(b, g_conv(b->g, b->in[0], weight_of(b), b->l->window));
}

node nn_build_activation(const nn_build *b)
{
    graph *g = b->g;
    const node z = b->in[0];

    switch (b->l->kind) {
    case NN_RELU:
        if (b->pass->kinks && b->l->mask >= 0) b->pass->kinks[b->l->mask] = g_step(g, z);
        return g_relu(g, z);
    case NN_SIGMOID: return g_sigmoid(g, z);
    case NN_SOFTPLUS: return g_softplus(g, z);
    case NN_GELU: return g_gelu(g, z);
    case NN_SILU: return g_mul(g, z, g_sigmoid(g, z));
    default: return g_tanh(g, z);
    }
}

node nn_build_max_pool(const nn_build *b)
{
    return g_take(b->g, b->in[0], g_maxpool_arg(b->g, b->in[0], b->l->window));
}

/* Pixels beyond the border count as zeros, as torch.nn.AvgPool2d has it by default. */
node nn_build_avg_pool(const nn_build *b)
{
    const window *v = &b->l->window;

    return g_scale(b->g, g_sumpool(b->g, b->in[0], *v), 1.0 / (v->kernel[0] * v->kernel[1]));
}

node nn_build_global_avg_pool(const nn_build *b)
{
    const shape x = *graph_shape(b->g, b->in[0]);
    node sum = g_sum(b->g, b->in[0], 1u << 1 | 1u << 2);

    return g_reshape(b->g, g_scale(b->g, sum, 1.0 / (double)(x.dim[1] * x.dim[2])),
                     nn_batch_shape(b));
}

/* Images in the order c, h, w, so that the weights of PyTorch's next linear layer fit. */
node nn_build_flatten(const nn_build *b)
{
    node x = b->in[0];

    if (graph_shape(b->g, x)->rank == 4) x = g_permute(b->g, x, (const int32_t[]){0, 3, 1, 2});
    return g_reshape(b->g, x, nn_batch_shape(b));
}

node nn_build_reshape(const nn_build *b)
{
    return g_reshape(b->g, b->in[0], nn_batch_shape(b));
}

/* 1 - z, z = sigmoid((ln p/(1 - p) + ln u/(1 - u))/T) for a rate p that is tuned: "concrete
 * dropout", Gal, Hron and Kendall, NeurIPS 2017, equation 5, at their temperature T. z goes to the
 * mask of 0 and 1 with T. Draws of 0 and 1 are kept out of the logarithm. */
static node relaxed_mask(graph *g, node u, node rate)
{
    static const double temperature = 0.1, margin = 1e-6;
    const shape s = *graph_shape(g, u);
    const node one = g_ones_like(g, u);

    u = g_add(g, g_scale(g, u, 1 - 2 * margin), g_fill(g, graph_dtype(g, u), s, margin));
    node odds = g_sub(g, g_log(g, u), g_log(g, g_sub(g, one, u)));
    odds = g_add(g, odds, g_sub(g, g_log(g, rate), g_log(g, g_sub(g, one, rate))));
    return g_sub(g, one, g_sigmoid(g, g_scale(g, odds, 1 / temperature)));
}

/* x m / (1 - rate) with m = 1 where a uniform draw exceeds the rate: Srivastava et al., JMLR 2014,
 * scaled in training as PyTorch does. */
node nn_dropout(graph *g, node x, const nn_pass *pass, const char *name, double rate, node own)
{
    const bool tuned = pass->train && own != NODE_NONE;

    if (!pass->train || pass->key == NODE_NONE || (rate == 0 && !tuned)) return x;
    const shape s = *graph_shape(g, x);
    const dtype t = graph_dtype(g, x);
    node u = g_uniform(g, pass->key, rng_site(name), t, s);
    if (tuned) {
        node share = g_bcast(g, g_reshape(g, own, shape_ones(s.rank)), s);
        node kept = g_mul(g, x, relaxed_mask(g, u, share));
        return g_mul(g, kept, g_recip(g, g_sub(g, g_ones_like(g, share), share)));
    }
    node keep = g_step(g, g_sub(g, u, g_fill(g, t, s, rate)));

    return g_mul(g, x, g_scale(g, keep, 1 / (1 - rate)));
}

node nn_build_dropout(const nn_build *b)
{
    const node own = b->pass->rates ? b->pass->rates[b->l->site] : NODE_NONE;

    return nn_dropout(b->g, b->in[0], b->pass, b->l->name, b->l->rate, own);
}

node nn_build_add(const nn_build *b)
{
    node y = b->in[0];

    for (int32_t i = 1; i < b->l->inputs; i++) y = g_add(b->g, y, b->in[i]);
    return y;
}

node nn_join(graph *g, const node *part, int32_t n, int32_t axis)
{
    int64_t total = 0, at = 0;
    node y = NODE_NONE;

    for (int32_t i = 0; i < n; i++) total += graph_shape(g, part[i])->dim[axis];
    for (int32_t i = 0; i < n; i++) {
        node padded = g_pad(g, part[i], axis, at, total);
        y = i == 0 ? padded : g_add(g, y, padded);
        at += graph_shape(g, part[i])->dim[axis];
    }
    return y;
}

node nn_build_concat(const nn_build *b)
{
    return nn_join(b->g, b->in, b->l->inputs, b->l->shape.rank);
}

/* A constant along the last dimension of x. */
static node channels(graph *g, node x, const double *value)
{
    const shape s = *graph_shape(g, x);
    const int64_t c = s.dim[s.rank - 1];
    node part[NN_CHANNELS_MAX];

    for (int64_t i = 0; i < c; i++) part[i] = g_fill(g, graph_dtype(g, x), SHAPE(1), value[i]);
    return nn_along_last(g, nn_join(g, part, (int32_t)c, 0), x);
}

node nn_standardise(graph *g, node x, const double *mean, const double *deviation)
{
    if (x == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, x);
    double inverse[NN_CHANNELS_MAX];

    for (int64_t i = 0; i < s.dim[s.rank - 1]; i++) inverse[i] = 1 / deviation[i];
    return g_mul(g, g_sub(g, x, channels(g, x, mean)), channels(g, x, inverse));
}

node nn_build_normalize(const nn_build *b)
{
    return nn_standardise(b->g, b->in[0], b->l->mean, b->l->deviation);
}

/* The layer's node, NODE_NONE when one of its inputs has none. */
static node build_layer(graph *g, const nn_spec *s, const node *w, const node *y, int32_t i, node x,
                        const nn_pass *pass)
{
    const nn_layer *l = &s->at[i];
    nn_build b = {.g = g, .s = s, .l = l, .pass = pass, .w = w};

    for (int32_t k = 0; k < l->inputs; k++) {
        b.in[k] = l->from[k] == NN_INPUT ? x : y[l->from[k]];
        if (b.in[k] == NODE_NONE) return NODE_NONE;
    }
    return nn_kind_of(l->kind)->build(&b);
}

node nn_forward(graph *g, const nn_spec *s, const node *w, node x, const nn_pass *pass)
{
    node *y = NULL, out = NODE_NONE;
    const drmad_status st = mem_alloc(graph_ctx(g), (size_t)s->n + 1, sizeof *y, &y);

    if (st != DRMAD_OK) return graph_stop(g, st);
    for (int32_t i = 0; pass->kinks && i < s->masks; i++) pass->kinks[i] = NODE_NONE;
    for (int32_t i = 0; pass->next && i < s->tensors; i++) pass->next[i] = NODE_NONE;
    for (int32_t i = 0; i < s->n; i++) y[i] = build_layer(g, s, w, y, i, x, pass);
    out = s->output == NN_INPUT ? x : y[s->output];
    if (pass->outputs) memcpy(pass->outputs, y, (size_t)s->n * sizeof *y);
    mem_free(graph_ctx(g), y);
    return out;
}
