/* What the kinds of layers are: the shape of their output, and their tensors in PyTorch's layout */
#include "nn/nn_inside.h"
#include <string.h>

#define PRINT(s) shape_print((s), (char[96]){0}, 96)

static const shape *input_of(const nn_spec *s, const nn_layer *l)
{
    return nn_shape(s, l->from[0]);
}

static drmad_status want_rank(const nn_spec *s, const nn_layer *l, int32_t rank, const char *what)
{
    const shape *x = input_of(s, l);

    if (x->rank == rank) return DRMAD_OK;
    return nn_refuse(s, l, "reads %s, expected %s", PRINT(x), what);
}

static drmad_status infer_same(const nn_spec *s, nn_layer *l)
{
    l->shape = *input_of(s, l);
    return DRMAD_OK;
}

static drmad_status infer_linear(const nn_spec *s, nn_layer *l)
{
    const shape *x = input_of(s, l);

    if (x->rank < 1 || x->rank > 2)
        return nn_refuse(s, l,
                         "reads %s, expected [features] or [t, features]; a `flatten` layer "
                         "makes images so",
                         PRINT(x));
    if (l->out < 1) return nn_refuse(s, l, "needs `out`, the number of outputs");
    if (l->tied) {
        const nn_layer *e = l->tied - 1 < s->n ? &s->at[l->tied - 1] : NULL;
        if (!e || e->kind != NN_EMBEDDING) return nn_refuse(s, l, "is tied to no embedding");
        if (e->vocabulary != l->out || e->out != x->dim[x->rank - 1])
            return nn_refuse(s, l, "is [%lld,%lld], tied to %s, which is [%lld,%lld]",
                             (long long)l->out, (long long)x->dim[x->rank - 1], e->name,
                             (long long)e->vocabulary, (long long)e->out);
    }
    l->shape = *x;
    l->shape.dim[x->rank - 1] = l->out;
    return DRMAD_OK;
}

/* The window's defaults and the size of what it gives. */
static drmad_status infer_window(const nn_spec *s, nn_layer *l, bool pools)
{
    const shape *x = input_of(s, l);
    window *v = &l->window;
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 3, "images [h, w, c]"));
    v->groups = v->groups ? v->groups : 1;
    for (int i = 0; i < 2; i++) {
        v->size[i] = x->dim[i];
        v->stride[i] = v->stride[i] ? v->stride[i] : pools ? v->kernel[i] : 1;
        v->dilation[i] = v->dilation[i] ? v->dilation[i] : 1;
        if (v->kernel[i] < 1) return nn_refuse(s, l, "needs `kernel`, the size of its window");
        if (pools && 2 * v->pad[i] > v->kernel[i])
            return nn_refuse(s, l, "padding %d is more than half of the window", (int)v->pad[i]);
        if (window_out(v, i) < 1)
            return nn_refuse(s, l,
                             "a window of %d with padding %d and dilation %d does not fit "
                             "into %s",
                             (int)v->kernel[i], (int)v->pad[i], (int)v->dilation[i], PRINT(x));
    }
    l->shape = SHAPE(window_out(v, 0), window_out(v, 1), x->dim[2]);
done:
    return st;
}

static drmad_status infer_conv(const nn_spec *s, nn_layer *l)
{
    drmad_status st = DRMAD_OK;

    TRY(infer_window(s, l, false));
    if (l->out < 1) return nn_refuse(s, l, "needs `out`, the number of channels it gives");
    if (l->shape.dim[2] % l->window.groups != 0 || l->out % l->window.groups != 0)
        return nn_refuse(s, l, "%d groups divide %lld and %lld channels unevenly",
                         (int)l->window.groups, (long long)l->shape.dim[2], (long long)l->out);
    l->shape.dim[2] = l->out;
done:
    return st;
}

static drmad_status infer_pool(const nn_spec *s, nn_layer *l)
{
    return infer_window(s, l, true);
}

static drmad_status infer_norm(const nn_spec *s, nn_layer *l)
{
    const shape *x = input_of(s, l);

    if (x->rank < 1) return nn_refuse(s, l, "reads a single number");
    l->eps = l->eps > 0 ? l->eps : 1e-5;
    l->momentum = l->momentum > 0 ? l->momentum : 0.1;
    l->shape = *x;
    if (l->kind != NN_GROUP_NORM) return DRMAD_OK;
    l->groups = l->groups ? l->groups : 1;
    if (x->dim[x->rank - 1] % l->groups != 0)
        return nn_refuse(s, l, "%lld groups divide %lld channels unevenly", (long long)l->groups,
                         (long long)x->dim[x->rank - 1]);
    return DRMAD_OK;
}

static drmad_status infer_global_pool(const nn_spec *s, nn_layer *l)
{
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 3, "images [h, w, c]"));
    l->shape = SHAPE(input_of(s, l)->dim[2]);
done:
    return st;
}

static drmad_status infer_flatten(const nn_spec *s, nn_layer *l)
{
    l->shape = SHAPE(shape_count(input_of(s, l)));
    return DRMAD_OK;
}

static drmad_status infer_tokens(const nn_spec *s, nn_layer *l)
{
    const shape *x = input_of(s, l);
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 3, "images [h, w, c]"));
    l->shape = SHAPE(x->dim[0] * x->dim[1], x->dim[2]);
done:
    return st;
}

static drmad_status infer_first_token(const nn_spec *s, nn_layer *l)
{
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 2, "a sequence [t, c]"));
    l->shape = SHAPE(input_of(s, l)->dim[1]);
done:
    return st;
}

static drmad_status infer_dropout(const nn_spec *s, nn_layer *l)
{
    if (!(l->rate >= 0 && l->rate < 1))
        return nn_refuse(s, l, "rate %g, expected 0 up to 1", l->rate);
    return infer_same(s, l);
}

static drmad_status infer_embedding(const nn_spec *s, nn_layer *l)
{
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 1, "token ids [t]"));
    if (l->from[0] != NN_INPUT) return nn_refuse(s, l, "reads the net's input only");
    if (l->vocabulary < 1 || l->out < 1) return nn_refuse(s, l, "needs `vocabulary` and `out`");
    l->shape = SHAPE(input_of(s, l)->dim[0], l->out);
done:
    return st;
}

static drmad_status infer_position(const nn_spec *s, nn_layer *l)
{
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 2, "a sequence [t, c]"));
    l->shape = *input_of(s, l);
    if (l->kind == NN_CLASS_TOKEN) l->shape.dim[0]++;
done:
    return st;
}

static drmad_status infer_attention(const nn_spec *s, nn_layer *l)
{
    const shape *x = input_of(s, l);
    drmad_status st = DRMAD_OK;

    TRY(want_rank(s, l, 2, "queries, keys and values side by side, [t, 3 c]"));
    l->heads = l->heads ? l->heads : 1;
    if (x->dim[1] % (3 * (int64_t)l->heads) != 0)
        return nn_refuse(s, l, "%lld columns are not queries, keys and values of %d heads",
                         (long long)x->dim[1], (int)l->heads);
    l->shape = SHAPE(x->dim[0], x->dim[1] / 3);
done:
    return st;
}

static drmad_status infer_add(const nn_spec *s, nn_layer *l)
{
    l->shape = *input_of(s, l);
    for (int32_t i = 1; i < l->inputs; i++)
        if (!shape_same(nn_shape(s, l->from[i]), &l->shape))
            return nn_refuse(s, l, "adds %s and %s", PRINT(&l->shape),
                             PRINT(nn_shape(s, l->from[i])));
    return DRMAD_OK;
}

static drmad_status infer_concat(const nn_spec *s, nn_layer *l)
{
    l->shape = *input_of(s, l);
    const int32_t last = l->shape.rank - 1;

    for (int32_t i = 1; i < l->inputs; i++) {
        shape x = *nn_shape(s, l->from[i]);
        const int64_t more = x.dim[last];
        x.dim[last] = l->shape.dim[last];
        if (!shape_same(&x, &l->shape))
            return nn_refuse(s, l, "joins %s and %s along the last dimension", PRINT(&l->shape),
                             PRINT(nn_shape(s, l->from[i])));
        l->shape.dim[last] += more;
    }
    return DRMAD_OK;
}

static drmad_status infer_normalize(const nn_spec *s, nn_layer *l)
{
    const shape *x = input_of(s, l);

    if (x->rank < 1 || x->dim[x->rank - 1] > NN_CHANNELS_MAX)
        return nn_refuse(s, l, "reads %s, expected at most %d channels", PRINT(x), NN_CHANNELS_MAX);
    for (int64_t c = 0; c < x->dim[x->rank - 1]; c++)
        if (!(l->deviation[c] > 0)) return nn_refuse(s, l, "needs a mean and a std a channel");
    return infer_same(s, l);
}

static const nn_kind_def kinds[CFG_END_layer_kind] = {
    [NN_LINEAR] = {"linear", 1, 1, infer_linear, nn_build_linear},
    [NN_CONV] = {"conv", 1, 1, infer_conv, nn_build_conv},
    [NN_BATCH_NORM] = {"batch_norm", 1, 1, infer_norm, nn_build_batch_norm},
    [NN_LAYER_NORM] = {"layer_norm", 1, 1, infer_norm, nn_build_layer_norm},
    [NN_GROUP_NORM] = {"group_norm", 1, 1, infer_norm, nn_build_group_norm},
    [NN_TANH] = {"tanh", 1, 1, infer_same, nn_build_activation},
    [NN_RELU] = {"relu", 1, 1, infer_same, nn_build_activation},
    [NN_SIGMOID] = {"sigmoid", 1, 1, infer_same, nn_build_activation},
    [NN_SOFTPLUS] = {"softplus", 1, 1, infer_same, nn_build_activation},
    [NN_GELU] = {"gelu", 1, 1, infer_same, nn_build_activation},
    [NN_SILU] = {"silu", 1, 1, infer_same, nn_build_activation},
    [NN_MAX_POOL] = {"max_pool", 1, 1, infer_pool, nn_build_max_pool},
    [NN_AVG_POOL] = {"avg_pool", 1, 1, infer_pool, nn_build_avg_pool},
    [NN_GLOBAL_AVG_POOL] = {"global_avg_pool", 1, 1, infer_global_pool, nn_build_global_avg_pool},
    [NN_FLATTEN] = {"flatten", 1, 1, infer_flatten, nn_build_flatten},
    [NN_TOKENS] = {"tokens", 1, 1, infer_tokens, nn_build_reshape},
    [NN_FIRST_TOKEN] = {"first_token", 1, 1, infer_first_token, nn_build_first_token},
    [NN_DROPOUT] = {"dropout", 1, 1, infer_dropout, nn_build_dropout},
    [NN_EMBEDDING] = {"embedding", 1, 1, infer_embedding, nn_build_embedding},
    [NN_POSITION] = {"position", 1, 1, infer_position, nn_build_position},
    [NN_POSITION_EMBEDDING] = {"position_embedding", 1, 1, infer_position, nn_build_position},
    [NN_CLASS_TOKEN] = {"class_token", 1, 1, infer_position, nn_build_class_token},
    [NN_ATTENTION] = {"attention", 1, 1, infer_attention, nn_build_attention},
    [NN_ADD] = {"add", 2, NN_INPUTS_MAX, infer_add, nn_build_add},
    [NN_CONCAT] = {"concat", 2, NN_INPUTS_MAX, infer_concat, nn_build_concat},
    [NN_NORMALIZE] = {"normalize", 1, 1, infer_normalize, nn_build_normalize},
};

const nn_kind_def *nn_kind_of(nn_kind k)
{
    return &kinds[k];
}

int32_t nn_tensors(const nn_spec *s, const nn_layer *l, nn_tensor *out)
{
    const shape *x = input_of(s, l);
    const int64_t in = x->rank > 0 ? x->dim[x->rank - 1] : 1, c = in;
    const window *v = &l->window;
    nn_tensor t[NN_TENSORS_MAX];
    int32_t n = 0;

    switch (l->kind) {
    case NN_LINEAR:
        if (!l->tied) t[n++] = (nn_tensor){"weight", SHAPE(l->out, in), PARAM_WEIGHT};
        if (!l->no_bias) t[n++] = (nn_tensor){"bias", SHAPE(l->out), PARAM_BIAS};
        break;
    case NN_CONV:
        t[n++] = (nn_tensor){"weight", SHAPE(l->out, in / v->groups, v->kernel[0], v->kernel[1]),
                             PARAM_WEIGHT};
        if (!l->no_bias) t[n++] = (nn_tensor){"bias", SHAPE(l->out), PARAM_BIAS};
        break;
    case NN_BATCH_NORM:
    case NN_LAYER_NORM:
    case NN_GROUP_NORM:
        t[n++] = (nn_tensor){"weight", SHAPE(c), PARAM_NORM};
        if (!l->no_bias) t[n++] = (nn_tensor){"bias", SHAPE(c), PARAM_NORM};
        if (l->kind != NN_BATCH_NORM) break;
        t[n++] = (nn_tensor){"running_mean", SHAPE(c), PARAM_STAT};
        t[n++] = (nn_tensor){"running_var", SHAPE(c), PARAM_STAT};
        break;
    case NN_EMBEDDING:
        t[n++] = (nn_tensor){"weight", SHAPE(l->vocabulary, l->out), PARAM_WEIGHT};
        break;
    case NN_POSITION: t[n++] = (nn_tensor){"", SHAPE(1, x->dim[0], c), PARAM_BIAS}; break;
    case NN_POSITION_EMBEDDING:
        t[n++] = (nn_tensor){"weight", SHAPE(x->dim[0], c), PARAM_WEIGHT};
        break;
    case NN_CLASS_TOKEN: t[n++] = (nn_tensor){"", SHAPE(1, 1, c), PARAM_BIAS}; break;
    default: break;
    }
    if (out) memcpy(out, t, (size_t)n * sizeof *t);
    return n;
}
