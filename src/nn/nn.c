/* The multi-layer perceptron, losses and regularisers. */
#include "nn/nn.h"
#include <math.h>
#include <stdio.h>

drmad_status nn_params(drmad_ctx *ctx, const nn_spec *s, param_table *p)
{
    drmad_status st = DRMAD_OK;
    char name[64];

    if (s->layers < 1 || s->layers > NN_LAYERS_MAX)
        return FAIL(ctx, DRMAD_E_CONFIG, "model.layers: %d layers, expected 1 to %d", s->layers,
                    NN_LAYERS_MAX);
    for (int32_t l = 0; l <= s->layers; l++)
        if (s->sizes[l] < 1 || s->sizes[l] > 1 << 24)
            return FAIL(ctx, DRMAD_E_CONFIG, "model.layers: size %lld, expected 1 to 2^24",
                        (long long)s->sizes[l]);
    for (int32_t l = 0; l < s->layers; l++) {
        snprintf(name, sizeof name, "layers.%d.weight", l);
        TRY(params_add(p, name, SHAPE(s->sizes[l + 1], s->sizes[l]), PARAM_WEIGHT, l));
        snprintf(name, sizeof name, "layers.%d.bias", l);
        TRY(params_add(p, name, SHAPE(s->sizes[l + 1]), PARAM_BIAS, l));
    }
done:
    return st;
}

bool nn_kinked(const nn_spec *s)
{
    return s->activation == ACT_RELU && s->layers > 1;
}

static node activate(graph *g, nn_activation a, node z, node *kink)
{
    switch (a) {
    case ACT_RELU: *kink = g_step(g, z); return g_relu(g, z);
    case ACT_SIGMOID: return g_sigmoid(g, z);
    case ACT_SOFTPLUS: return g_softplus(g, z);
    case ACT_GELU: return g_gelu(g, z);
    default: return g_tanh(g, z);
    }
}

node nn_forward(graph *g, const nn_spec *s, const node *w, node x, node *kinks)
{
    for (int32_t l = 0; l < s->layers; l++) {
        node kink = NODE_NONE, z = g_matmul(g, x, w[2 * l], false, true);
        if (z == NODE_NONE) return NODE_NONE;
        node bias = g_reshape(g, w[2 * l + 1], SHAPE(1, s->sizes[l + 1]));
        z = g_add(g, z, g_bcast(g, bias, *graph_shape(g, z)));
        x = l + 1 < s->layers ? activate(g, s->activation, z, &kink) : z;
        if (kinks && l + 1 < s->layers) kinks[l] = kink;
    }
    return x;
}

static node row_sum(graph *g, node x)
{
    return g_sum(g, x, 1u << 1);
}

node nn_row_loss(graph *g, nn_loss loss, node z, node labels, node smoothing)
{
    if (z == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, z);
    node q = g_onehot(g, labels, s.dim[1], graph_dtype(g, z));

    if (loss == LOSS_SQUARED) {
        node d = g_sub(g, z, q);
        return g_scale(g, row_sum(g, g_mul(g, d, d)), 0.5);
    }
    if (loss == LOSS_LOGISTIC) return row_sum(g, g_sub(g, g_softplus(g, z), g_mul(g, q, z)));
    node hit = row_sum(g, g_mul(g, q, z));
    if (smoothing != NODE_NONE) { /* sum_k q_k z_k = hit + e (mean z - hit) */
        node e = g_bcast(g, smoothing, SHAPE(s.dim[0], 1));
        node mean = g_scale(g, row_sum(g, z), 1.0 / (double)s.dim[1]);
        hit = g_add(g, hit, g_mul(g, e, g_sub(g, mean, hit)));
    }
    return g_sub(g, g_logsumexp(g, z), hit);
}

node nn_row_correct(graph *g, node z, node labels)
{
    if (z == NODE_NONE) return NODE_NONE;
    const int64_t k = graph_shape(g, z)->dim[1];
    const dtype t = graph_dtype(g, z);

    return row_sum(g, g_mul(g, g_onehot(g, g_argmax(g, z), k, t), g_onehot(g, labels, k, t)));
}

/* <lambda spread over w, x> as one element [1,1]. */
static node penalty(graph *g, node w, node lambda, node x)
{
    if (w == NODE_NONE) return NODE_NONE;
    return g_reshape(g, g_dot(g, g_bcast(g, lambda, *graph_shape(g, w)), x), SHAPE(1, 1));
}

node nn_l2(graph *g, node w, node lambda)
{
    return g_scale(g, penalty(g, w, lambda, g_mul(g, w, w)), 0.5);
}

node nn_l1(graph *g, node w, node lambda)
{
    return penalty(g, w, lambda, g_abs(g, w));
}

static double weight_std(const nn_spec *s, int32_t layer)
{
    const double in = (double)s->sizes[layer], out = (double)s->sizes[layer + 1];

    switch (s->init) {
    case INIT_XAVIER: return sqrt(2 / (in + out));
    case INIT_KAIMING: return sqrt(2 / in);
    case INIT_PYTORCH: return 1 / sqrt(in); /* the bound of a uniform draw */
    default: return s->init_std;
    }
}

void nn_draw(const nn_spec *s, const param_table *p, uint64_t seed, double *w)
{
    for (int32_t i = 0; i < p->n; i++) {
        const param *q = &p->at[i];
        const rng_key key = {seed, 0, rng_site(q->name)};
        const double size = weight_std(s, q->layer);
        const bool zero = q->role == PARAM_BIAS && s->bias_init == BIAS_ZERO;

        for (int64_t e = 0; e < q->count; e++) {
            double x = s->init == INIT_PYTORCH ? 2 * rng_uniform(key, (uint64_t)e) - 1
                                               : rng_normal(key, (uint64_t)e);
            w[q->offset + e] = zero ? 0 : size * x;
        }
    }
}
