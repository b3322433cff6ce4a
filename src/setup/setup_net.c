/* The net that a study's `model:` describes, for the rows of its data. */
#include "nn/morph.h"
#include "setup/setup_parts.h"
#include <stdio.h>
#include <string.h>

enum { CIFAR_PIXELS = 64 }; /* stem: auto */

/* One more than the largest token. */
static int64_t vocabulary_of(const dataset *d)
{
    int64_t most = 0;

    for (int64_t i = 0; i < d->n * d->width; i++) {
        const int64_t token =
            d->dtype == U8 ? ((const uint8_t *)d->rows)[i] : ((const int32_t *)d->rows)[i];
        if (token > most) most = token;
    }
    return most + 1;
}

/* Rows of an image are [h, w, c]; of token ids the last one is only predicted. */
static drmad_status input_shape(const setup *s, bool tokens, shape *out)
{
    const dataset *d = s->train_data;

    *out = d->row;
    if (d->row.rank == 2) *out = SHAPE(d->row.dim[0], d->row.dim[1], 1);
    if (!tokens && d->dtype == I32)
        return config_refuse(s->cfg, "data",
                             "rows of %s are whole numbers (i32), which only nets that begin with "
                             "an embedding read; save them as u8 or f32",
                             d->name);
    if (!tokens) return DRMAD_OK;
    if (d->row.rank != 1 || d->width < 2 || (d->dtype != I32 && d->dtype != U8))
        return config_refuse(s->cfg, "data",
                             "the net reads token ids: rows of at least 2 whole numbers, of which "
                             "%s has none",
                             d->name);
    *out = SHAPE(d->width - 1);
    return DRMAD_OK;
}

static nn_kind activation_of(const config_model *m)
{
    return (nn_kind)(NN_TANH + m->activation);
}

static drmad_status build_mlp(setup *s)
{
    const config_model *m = &s->cfg->set.model;
    const dataset *d = s->train_data;
    const int32_t layers = m->layers.n - 1;
    int64_t size[COUNT(m->layers.at)];

    memcpy(size, m->layers.at, sizeof size);
    if (size[0] == 0) size[0] = d->width;
    if (size[layers] == 0) size[layers] = d->classes;
    shape row;

    if (size[0] != d->width)
        return config_refuse(s->cfg, "model.layers", "%lld inputs; %s has %lld a row",
                             (long long)size[0], d->name, (long long)d->width);
    const drmad_status st = input_shape(s, false, &row);
    if (st != DRMAD_OK) return st;
    return nn_mlp(s->ctx, size, layers, activation_of(m), &s->net);
}

static drmad_status build_preset(setup *s)
{
    const config_model *m = &s->cfg->set.model;
    const bool tokens = m->preset == NN_GPT_NANO;
    nn_preset p = {.kind = (cfg_preset)m->preset,
                   .width = m->width,
                   .depth = m->depth > 0 ? m->depth : 0,
                   .heads = m->heads,
                   .patch = m->patch,
                   .dropout = m->dropout,
                   .activation = m->activation < 0 ? NN_LINEAR : activation_of(m)};
    drmad_status st = DRMAD_OK;

    TRY(input_shape(s, tokens, &p.input));
    if (!tokens && p.input.rank != 3)
        return config_refuse(s->cfg, "model.preset", "reads images; a row of %s is none",
                             s->train_data->name);
    p.classes = tokens ? vocabulary_of(s->train_data) : s->train_data->classes;
    p.small_stem = m->stem < 0 ? p.input.dim[0] <= CIFAR_PIXELS : m->stem == CFG_STEM_CIFAR;
    TRY(nn_from_preset(s->ctx, &p, &s->net));
done:
    return st;
}

/* Numbers of the layers that `from` names. */
static drmad_status read_inputs(setup *s, int32_t i, const config_layer *c, nn_layer *l)
{
    char key[64];

    snprintf(key, sizeof key, "model.net.%d.from", (int)i);
    for (int32_t k = 0; k < c->from.n; k++) {
        l->from[k] = nn_find(s->net, c->from.at[k]);
        if (l->from[k] < NN_INPUT)
            return config_refuse(s->cfg, key, "no layer before this one is called \"%.40s\"",
                                 c->from.at[k]);
    }
    l->inputs = c->from.n;
    return DRMAD_OK;
}

static drmad_status read_channels(setup *s, int32_t i, const config_layer *c, nn_layer *l)
{
    char key[64];

    snprintf(key, sizeof key, "model.net.%d.mean", (int)i);
    if (c->mean.n != c->std.n)
        return config_refuse(s->cfg, key, "%d means and %d standard deviations", (int)c->mean.n,
                             (int)c->std.n);
    memcpy(l->mean, c->mean.at, sizeof l->mean);
    memcpy(l->deviation, c->std.at, sizeof l->deviation);
    return DRMAD_OK;
}

/* The window's numbers along height and width, of which a study may name one for both. */
static window read_window(const config_layer *c)
{
    window v = {.groups = c->kind == NN_CONV ? (int32_t)c->groups : 1};

    for (int i = 0; i < 2; i++) {
        v.kernel[i] = (int32_t)c->kernel.at[i < c->kernel.n ? i : 0];
        v.stride[i] = (int32_t)c->stride.at[i < c->stride.n ? i : 0];
        v.pad[i] = (int32_t)c->padding.at[i < c->padding.n ? i : 0];
        v.dilation[i] = (int32_t)c->dilation.at[i < c->dilation.n ? i : 0];
    }
    return v;
}

static drmad_status read_layer(setup *s, int32_t i, const config_layer *c)
{
    nn_layer l = {.kind = (nn_kind)c->kind,
                  .out = c->out,
                  .window = read_window(c),
                  .groups = c->groups,
                  .no_bias = !c->bias,
                  .eps = c->eps,
                  .momentum = c->momentum,
                  .rate = c->rate,
                  .vocabulary = c->vocabulary,
                  .heads = (int32_t)c->heads,
                  .causal = c->causal};
    drmad_status st = DRMAD_OK;
    char key[64];

    snprintf(key, sizeof key, "model.net.%d.name", (int)i);
    if (strlen(c->name) >= sizeof l.name)
        return config_refuse(s->cfg, key, "longer than %d characters", NN_NAME_MAX - 1);
    snprintf(l.name, sizeof l.name, "%s", c->name);
    TRY(read_inputs(s, i, c, &l));
    TRY(read_channels(s, i, c, &l));
    if (c->tied[0]) {
        l.tied = nn_find(s->net, c->tied) + 1;
        if (l.tied < 1) l.tied = INT32_MAX; /* refused by nn_add */
    }
    st = nn_add(s->net, &l);
done:
    return st;
}

static drmad_status build_list(setup *s)
{
    const config_model *m = &s->cfg->set.model;
    drmad_status st = DRMAD_OK;
    shape input;

    TRY(input_shape(s, m->net.at[0].kind == NN_EMBEDDING, &input));
    TRY(nn_new(s->ctx, input, &s->net));
    for (int32_t i = 0; i < m->net.n; i++) TRY(read_layer(s, i, &m->net.at[i]));
done:
    return st;
}

/* What the loss needs: [classes], or one such vector a position. */
static drmad_status check_net_output(const setup *s)
{
    const config_model *m = &s->cfg->set.model;
    const char *key = m->net.n > 0 ? "model.net" : m->preset ? "model.preset" : "model.layers";
    const shape *out = nn_output(s->net);
    const bool tokens = s->net->tokens;
    char text[96];

    if (out->rank != (tokens ? 2 : 1))
        return config_refuse(s->cfg, key, "the last layer gives %s; one number a class%s is needed",
                             shape_print(out, text, sizeof text), tokens ? " and position" : "");
    const int64_t outputs = out->dim[out->rank - 1];
    const int64_t needed = tokens ? vocabulary_of(s->train_data) : s->train_data->classes;
    if (outputs < needed)
        return config_refuse(s->cfg, key, "%lld outputs for %lld %s", (long long)outputs,
                             (long long)needed, tokens ? "tokens" : "classes");
    if (tokens && s->cfg->set.train.loss != CFG_LOSS_CROSS_ENTROPY)
        return config_refuse(s->cfg, "train.loss", "of sequences it is cross_entropy");
    for (int32_t i = 0; i < s->net->n; i++)
        if (s->net->at[i].kind == NN_EMBEDDING && s->net->at[i].vocabulary < needed)
            return config_refuse(s->cfg, key, "a vocabulary of %lld for %lld tokens",
                                 (long long)s->net->at[i].vocabulary, (long long)needed);
    return DRMAD_OK;
}

static drmad_status add_heads(setup *s)
{
    const config_model *m = &s->cfg->set.model;
    char key[64], name[NN_NAME_MAX];
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < m->auxiliary.n; i++) {
        const config_auxiliary *a = &m->auxiliary.at[i];

        snprintf(key, sizeof key, "model.auxiliary.%d.after", (int)i);
        snprintf(name, sizeof name, "auxiliary.%d", (int)i);
        if (nn_find(s->net, a->after) < 0)
            return config_refuse(s->cfg, key, "no layer of the net is called \"%.60s\"", a->after);
        TRY(nn_add_head(s->net, a->after, a->name[0] ? a->name : name, a->weight));
    }
done:
    return st;
}

/* What `model.grow` makes of the net. */
static drmad_status grow(setup *s)
{
    const config_model *c = &s->cfg->set.model;
    drmad_status st = DRMAD_OK;
    morph *m = NULL;

    for (int32_t i = 0; i < c->grow.n; i++) {
        TRY(morph_parse(s->net, c->grow.at[i], (uint64_t)i, &m));
        nn_free(s->net);
        s->net = m->net, m->net = NULL;
        morph_free(m);
        m = NULL;
    }
done:
    morph_free(m);
    return st;
}

drmad_status setup_net(setup *s)
{
    const config_model *m = &s->cfg->set.model;
    drmad_status st = DRMAD_OK;

    if (m->net.n > 0) TRY(build_list(s));
    else if (m->preset != NN_MLP) TRY(build_preset(s));
    else TRY(build_mlp(s));
    TRY(add_heads(s));
    TRY(grow(s));
    s->net->draws = (nn_draws){
        .kind = (nn_init)m->init, .bias = (nn_bias_init)m->init_bias, .std = m->init_std};
    TRY(check_net_output(s));
done:
    return st;
}
