/* A net as a study would say it. */
#include "base/number.h"
#include "nn/morph.h"
#include "nn/nn_inside.h"

static void put_from(text_out *t, const nn_spec *s, int32_t i)
{
    const nn_layer *l = &s->at[i];

    if (l->inputs == 1 && l->from[0] == i - 1) return;
    for (int32_t k = 0; k < l->inputs; k++)
        text_say(t, "%s\"%s\"", k ? ", " : ", from: [",
                 l->from[k] == NN_INPUT ? "input" : s->at[l->from[k]].name);
    text_put(t, "]");
}

static void put_window(text_out *t, const nn_layer *l)
{
    const window *v = &l->window;

    text_say(t, ", kernel: %d, stride: %d, padding: %d", (int)v->kernel[0], (int)v->stride[0],
             (int)v->pad[0]);
    if (v->dilation[0] != 1) text_say(t, ", dilation: %d", (int)v->dilation[0]);
    if (v->groups != 1) text_say(t, ", groups: %d", (int)v->groups);
}

static void put_real(text_out *t, const char *before, double x)
{
    char number[NUMBER_SIZE];

    text_say(t, "%s%s", before, number_print(x, number));
}

static void put_channels(text_out *t, const char *key, const double *x, int64_t n)
{
    text_say(t, ", %s: [", key);
    for (int64_t i = 0; i < n; i++) put_real(t, i ? ", " : "", x[i]);
    text_put(t, "]");
}

static void put_keys(text_out *t, const nn_spec *s, const nn_layer *l)
{
    switch (l->kind) {
    case NN_LINEAR:
    case NN_CONV:
        text_say(t, ", out: %lld", (long long)l->out);
        if (l->kind == NN_CONV) put_window(t, l);
        if (l->no_bias) text_put(t, ", bias: false");
        if (l->tied) text_say(t, ", tied: \"%s\"", s->at[l->tied - 1].name);
        break;
    case NN_MAX_POOL:
    case NN_AVG_POOL: put_window(t, l); break;
    case NN_GROUP_NORM: text_say(t, ", groups: %lld", (long long)l->groups); /* fall through */
    case NN_LAYER_NORM:
    case NN_BATCH_NORM:
        put_real(t, ", eps: ", l->eps);
        if (l->kind == NN_BATCH_NORM) put_real(t, ", momentum: ", l->momentum);
        if (l->kind == NN_LAYER_NORM && l->no_bias) text_put(t, ", bias: false");
        break;
    case NN_DROPOUT: put_real(t, ", rate: ", l->rate); break;
    case NN_EMBEDDING:
        text_say(t, ", out: %lld, vocabulary: %lld", (long long)l->out, (long long)l->vocabulary);
        break;
    case NN_ATTENTION:
        text_say(t, ", heads: %d%s", (int)l->heads, l->causal ? ", causal: true" : "");
        break;
    case NN_NORMALIZE:
        put_channels(t, "mean", l->mean, l->shape.dim[l->shape.rank - 1]);
        put_channels(t, "std", l->deviation, l->shape.dim[l->shape.rank - 1]);
        break;
    default: break;
    }
}

void nn_print(const nn_spec *s, text_out *t)
{
    for (int32_t i = 0; i < s->n; i++) {
        const nn_layer *l = &s->at[i];

        text_say(t, "%s{kind: %s, name: \"%s\"", i ? ", " : "[", nn_kind_of(l->kind)->word,
                 l->name);
        put_from(t, s, i);
        put_keys(t, s, l);
        text_put(t, "}");
    }
    text_put(t, "]");
}
