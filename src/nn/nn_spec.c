/* The list of layers: adding a record checks it against what it reads and infers its output. What a
 * kind's output looks like and which tensors it has stands in nn_kinds.c. */
#include "nn/nn_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SIZE_MAX_EACH = 1 << 24 }; /* of a dimension */

drmad_status nn_new(drmad_ctx *ctx, shape input, nn_spec **out)
{
    drmad_status st = DRMAD_OK;
    nn_spec *s = NULL;

    *out = NULL;
    for (int32_t i = 0; i < input.rank; i++)
        if (input.dim[i] < 1 || input.dim[i] > SIZE_MAX_EACH)
            return FAIL(ctx, DRMAD_E_CONFIG, "model: input of size %lld, expected 1 to 2^24",
                        (long long)input.dim[i]);
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->input = input;
    s->dense = true;
    s->output = NN_INPUT;
    *out = s;
done:
    return st;
}

void nn_free(nn_spec *s)
{
    if (!s) return;
    mem_free(s->ctx, s->at);
    mem_free(s->ctx, s);
}

int32_t nn_find(const nn_spec *s, const char *name)
{
    if (strcmp(name, "input") == 0) return NN_INPUT;
    for (int32_t i = 0; i < s->n; i++)
        if (strcmp(s->at[i].name, name) == 0) return i;
    return -2;
}

const shape *nn_shape(const nn_spec *s, int32_t layer)
{
    return layer == NN_INPUT ? &s->input : &s->at[layer].shape;
}

const shape *nn_output(const nn_spec *s)
{
    return nn_shape(s, s->output);
}

bool nn_is_head(const nn_layer *l)
{
    return l->aside && l->kind == NN_LINEAR;
}

bool nn_kinked(const nn_spec *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (s->at[i].kind == NN_RELU || s->at[i].kind == NN_MAX_POOL) return true;
    return false;
}

bool nn_draws_masks(const nn_spec *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (s->at[i].kind == NN_DROPOUT) return true;
    return false;
}

drmad_status nn_refuse(const nn_spec *s, const nn_layer *l, const char *fmt, ...)
{
    char why[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return FAIL(s->ctx, DRMAD_E_CONFIG, "layer %s (%s): %s", l->name, nn_kind_of(l->kind)->word,
                why);
}

static drmad_status check_name(const nn_spec *s, const nn_layer *l)
{
    if (nn_find(s, l->name) != -2) return nn_refuse(s, l, "another layer has this name");
    return DRMAD_OK;
}

/* Which layers it reads: by default the one before. */
static drmad_status resolve_inputs(const nn_spec *s, nn_layer *l)
{
    const nn_kind_def *k = nn_kind_of(l->kind);

    if (l->inputs == 0) l->from[l->inputs++] = s->n - 1;
    if (l->inputs < k->least || l->inputs > k->most)
        return nn_refuse(s, l, "reads %d layers, expected %s%d", (int)l->inputs,
                         k->most > k->least ? "at least " : "", (int)k->least);
    for (int32_t i = 0; i < l->inputs; i++)
        if (l->from[i] < NN_INPUT || l->from[i] >= s->n)
            return nn_refuse(s, l, "reads layer %d, which is not before it", (int)l->from[i]);
    return DRMAD_OK;
}

static drmad_status check_output(const nn_spec *s, const nn_layer *l)
{
    for (int32_t i = 0; i < l->shape.rank; i++)
        if (l->shape.dim[i] < 1 || l->shape.dim[i] > SIZE_MAX_EACH)
            return nn_refuse(s, l, "size %lld, expected 1 to 2^24", (long long)l->shape.dim[i]);
    return DRMAD_OK;
}

drmad_status nn_add(nn_spec *s, const nn_layer *record)
{
    drmad_status st = DRMAD_OK;
    nn_layer l = *record;

    if (!l.name[0]) snprintf(l.name, sizeof l.name, "%d", (int)s->n);
    const nn_kind_def *k = nn_kind_of(l.kind);
    TRY(check_name(s, &l));
    TRY(resolve_inputs(s, &l));
    l.mask = -1;
    TRY(k->infer(s, &l));
    TRY(check_output(s, &l));
    TRY(mem_resize(s->ctx, &s->at, (size_t)s->n, (size_t)s->n + 1, sizeof *s->at));
    l.first = s->tensors;
    l.tensors = nn_tensors(s, &l, NULL);
    if (l.kind == NN_RELU && l.shape.rank == 1) l.mask = s->masks++;
    l.site = l.kind == NN_DROPOUT || nn_is_head(&l) ? s->sites++ : -1;
    if (!l.aside) s->output = s->n;
    s->tensors += l.tensors;
    s->tokens = s->tokens || (l.kind == NN_EMBEDDING && l.from[0] == NN_INPUT);
    s->dense = s->dense && l.shape.rank == 1;
    s->at[s->n++] = l;
done:
    return st;
}

/* What makes a vector of what a head reads; false: it is one, or there is one a position. */
static bool head_pools(const nn_spec *s, int32_t from, nn_layer *squeeze)
{
    const shape *x = nn_shape(s, from);

    squeeze->kind = x->rank == 3 ? NN_GLOBAL_AVG_POOL : NN_FIRST_TOKEN;
    return x->rank == 3 || (x->rank == 2 && !s->tokens);
}

drmad_status nn_add_head(nn_spec *s, const char *after, const char *name, double weight)
{
    const int32_t from = nn_find(s, after);
    const shape *out = nn_output(s);
    nn_layer squeeze = {.from = {from}, .inputs = 1, .aside = true};
    nn_layer last = {.kind = NN_LINEAR, .from = {from}, .inputs = 1, .aside = true};
    drmad_status st = DRMAD_OK;

    if (from < 0 || s->at[from].aside)
        return FAIL(s->ctx, DRMAD_E_CONFIG, "no layer of the net is called \"%.60s\"", after);
    if (strlen(name) + sizeof ".pool" > sizeof last.name)
        return FAIL(s->ctx, DRMAD_E_CONFIG, "name longer than %d characters",
                    (int)(sizeof last.name - sizeof ".pool"));
    last.out = out->rank > 0 ? out->dim[out->rank - 1] : 0;
    last.weight = weight;
    snprintf(squeeze.name, sizeof squeeze.name, "%s.pool", name);
    snprintf(last.name, sizeof last.name, "%s", name);
    if (head_pools(s, from, &squeeze)) {
        TRY(nn_add(s, &squeeze));
        last.from[0] = s->n - 1;
    }
    st = nn_add(s, &last);
done:
    return st;
}

drmad_status nn_mlp(drmad_ctx *ctx, const int64_t *sizes, int32_t layers, nn_kind activation,
                    nn_spec **out)
{
    drmad_status st = DRMAD_OK;
    nn_spec *s = NULL;

    *out = NULL;
    if (layers < 1)
        return FAIL(ctx, DRMAD_E_CONFIG, "model.layers: needs at least input and output");
    TRY(nn_new(ctx, SHAPE(sizes[0]), &s));
    for (int32_t l = 0; l < layers; l++) {
        nn_layer linear = {.kind = NN_LINEAR, .out = sizes[l + 1]}, bend = {.kind = activation};
        snprintf(linear.name, sizeof linear.name, "layers.%d", (int)l);
        snprintf(bend.name, sizeof bend.name, "activations.%d", (int)l);
        TRY(nn_add(s, &linear));
        if (l + 1 < layers) TRY(nn_add(s, &bend));
    }
    *out = s, s = NULL;
done:
    nn_free(s);
    return st;
}

drmad_status nn_params(const nn_spec *s, param_table *p)
{
    drmad_status st = DRMAD_OK;
    int32_t number = 0;

    for (int32_t i = 0; i < s->n; i++) {
        const nn_layer *l = &s->at[i];
        nn_tensor t[NN_TENSORS_MAX];
        const int32_t n = nn_tensors(s, l, t);

        for (int32_t k = 0; k < n; k++) {
            char name[NN_NAME_MAX + 16];
            snprintf(name, sizeof name, "%s%s%s", l->name, t[k].suffix[0] ? "." : "", t[k].suffix);
            TRY(params_add(p, name, t[k].shape, t[k].role, number));
        }
        number += n > 0;
        if (l->site >= 0)
            TRY(params_add_site(p, l->name,
                                l->kind == NN_DROPOUT ? HYPER_DROPOUT : HYPER_AUXILIARY));
    }
done:
    return st;
}

int64_t nn_macs(const nn_spec *s)
{
    int64_t macs = 0;

    for (int32_t i = 0; i < s->n; i++) {
        const nn_layer *l = &s->at[i];
        nn_tensor t[NN_TENSORS_MAX];
        const int32_t n = l->aside ? 0 : nn_tensors(s, l, t);
        int64_t places = 1; /* where a tensor's element is used */

        for (int32_t k = 0; k + 1 < l->shape.rank; k++) places *= l->shape.dim[k];
        for (int32_t k = 0; k < n; k++)
            macs += shape_count(&t[k].shape) * (l->kind == NN_EMBEDDING ? 0 : places);
        if (l->kind == NN_ATTENTION) macs += 2 * places * places * l->shape.dim[1];
    }
    return macs;
}
