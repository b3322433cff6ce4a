/* Deeper: behind a layer, its batch norm and its ReLU the same three once more. */
#include "nn/morph_inside.h"
#include <stdio.h>
#include <string.h>

/* The one layer that reads layer i, auxiliary heads apart; -1: none or several. */
static int32_t reader_of(const nn_spec *s, int32_t i)
{
    int32_t found = -1;

    for (int32_t k = 0; k < s->n; k++)
        for (int32_t j = 0; j < s->at[k].inputs; j++) {
            if (s->at[k].from[j] != i || s->at[k].aside) continue;
            if (found >= 0) return -1;
            found = k;
        }
    return found;
}

static bool is_kind(const nn_spec *s, int32_t i, nn_kind kind)
{
    return i >= 0 && s->at[i].kind == kind;
}

typedef struct block {
    int32_t layer, norm, relu; /* norm -1: none */
} block;

static drmad_status find_block(const nn_spec *s, const char *name, block *b)
{
    *b = (block){.layer = nn_find(s, name), .norm = -1};
    if (b->layer < 0) return FAIL(s->ctx, DRMAD_E_CONFIG, "no layer is called \"%.60s\"", name);
    const nn_layer *l = &s->at[b->layer];
    if (l->kind != NN_LINEAR && l->kind != NN_CONV)
        return nn_refuse(s, l, "only behind linear and conv layers a net can become deeper");
    b->relu = reader_of(s, b->layer);
    if (is_kind(s, b->relu, NN_BATCH_NORM)) b->norm = b->relu, b->relu = reader_of(s, b->norm);
    if (is_kind(s, b->relu, NN_RELU)) return DRMAD_OK;
    return nn_refuse(s, l,
                     "has no ReLU of its own behind it: with another activation a second "
                     "layer would not be the identity");
}

/* NAME_2, or the first number that is free. */
static drmad_status name_anew(const nn_spec *s, nn_layer *l)
{
    char name[NN_NAME_MAX + 16];

    for (int k = 2; k < 1000; k++) {
        snprintf(name, sizeof name, "%s_%d", l->name, k);
        if (strlen(name) >= sizeof l->name) break;
        if (nn_find(s, name) != -2) continue;
        memcpy(l->name, name, strlen(name) + 1);
        return DRMAD_OK;
    }
    return nn_refuse(s, l, "no name is left for a layer behind it");
}

/* The layer again, reading what the new net has last, with as many inputs as outputs; of a
 * convolution the window is 1x1 as before or 3x3. */
static drmad_status add_identity(morph *m, const nn_spec *s, int32_t i)
{
    nn_layer l = s->at[i];
    const int32_t k = l.window.kernel[0] == 1 ? 1 : 3;
    drmad_status st = DRMAD_OK;

    TRY(name_anew(s, &l));
    if (l.kind == NN_CONV) l.window = (window){.kernel = {k, k}, .pad = {k / 2, k / 2}};
    l.from[0] = m->net->n - 1;
    TRY(morph_add(m, &l, s->at[i].first, true));
done:
    return st;
}

static drmad_status copy_layer(morph *m, const nn_spec *s, int32_t i, const int32_t *number)
{
    nn_layer l = s->at[i];

    for (int32_t k = 0; k < l.inputs; k++)
        if (l.from[k] != NN_INPUT) l.from[k] = number[l.from[k]];
    if (l.tied) l.tied = number[l.tied - 1] + 1;
    return morph_add(m, &l, l.first, false);
}

drmad_status morph_deeper(const nn_spec *s, const char *layer, morph **out)
{
    drmad_status st = DRMAD_OK;
    int32_t *number = NULL; /* of each old layer, what its readers read */
    morph *m = NULL;
    block b;

    *out = NULL;
    TRY(find_block(s, layer, &b));
    TRY(mem_alloc(s->ctx, (size_t)s->n, sizeof *number, &number));
    TRY(morph_new(s, &m));
    for (int32_t i = 0; i < s->n; i++) {
        TRY(copy_layer(m, s, i, number));
        number[i] = m->net->n - 1;
        if (i != b.relu) continue;
        TRY(add_identity(m, s, b.layer));
        if (b.norm >= 0) TRY(add_identity(m, s, b.norm));
        TRY(add_identity(m, s, b.relu));
        number[i] = m->net->n - 1;
    }
    *out = m, m = NULL;
done:
    mem_free(s->ctx, number);
    morph_free(m);
    return st;
}
