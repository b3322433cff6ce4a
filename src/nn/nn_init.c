/* Initial weights, by the kind of layer. */
#include "nn/nn_inside.h"
#include <math.h>

static const double token_std = 0.02; /* ViT and GPT draw positions and class tokens so */

/* How a tensor begins: a constant, or draws of some size. */
typedef struct start {
    double value, size;
    bool uniform;
} start;

/* Inputs and outputs of one of the layer's units, pixels of the window included. */
static void fans(const nn_layer *l, const shape *weight, double *in, double *out)
{
    const double pixels = l->kind == NN_CONV ? (double)(weight->dim[2] * weight->dim[3]) : 1;

    *in = (double)weight->dim[1] * pixels;
    *out = (double)weight->dim[0] * pixels;
}

static start weight_start(const nn_spec *s, const nn_layer *l, const shape *weight)
{
    const bool embedding = l->kind == NN_EMBEDDING || l->kind == NN_POSITION_EMBEDDING;
    double in, out;

    fans(l, weight, &in, &out);
    switch (s->draws.kind) {
    case INIT_XAVIER: return (start){.size = sqrt(2 / (in + out))};
    case INIT_KAIMING: return (start){.size = sqrt(2 / in)};
    case INIT_PYTORCH:
        if (l->std > 0) return (start){.size = l->std};
        return embedding ? (start){.size = 1} : (start){.size = 1 / sqrt(in), .uniform = true};
    default: return (start){.size = s->draws.std};
    }
}

static start tensor_start(const nn_spec *s, const nn_layer *l, const param *first, const param *p)
{
    switch (l->kind) {
    case NN_BATCH_NORM:
    case NN_LAYER_NORM:
    case NN_GROUP_NORM: /* weight, bias, running_mean, running_var */
        return (start){.value = p == first || p == first + 3};
    case NN_POSITION:
    case NN_CLASS_TOKEN: return (start){.size = l->std > 0 ? l->std : token_std};
    default: break;
    }
    if (p->role != PARAM_BIAS) return weight_start(s, l, &p->shape);
    const bool preset = s->draws.kind == INIT_PYTORCH && l->std > 0;
    if (s->draws.bias == BIAS_ZERO || preset || l->tied) return (start){0};
    return weight_start(s, l, &first->shape);
}

void nn_draw(const nn_spec *s, const param_table *p, uint64_t seed, double *w)
{
    for (int32_t i = 0; i < s->n; i++) {
        const nn_layer *l = &s->at[i];

        for (int32_t k = 0; k < l->tensors; k++) {
            const param *first = &p->at[l->first], *q = first + k;
            const rng_key key = {seed, 0, rng_site(q->name)};
            const start begin = tensor_start(s, l, first, q);

            for (int64_t e = 0; e < q->count; e++) {
                const double x = begin.size == 0 ? 0
                                 : begin.uniform ? 2 * rng_uniform(key, (uint64_t)e) - 1
                                                 : rng_normal(key, (uint64_t)e);
                w[q->offset + e] = begin.value + begin.size * x;
            }
        }
    }
}
