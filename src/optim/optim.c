/* What all families share, and the way to them. */
#include "optim/family.h"

static const optim_family *family(const optim_spec *o)
{
    static const optim_family *const families[] = {[OPTIM_SGD] = &optim_sgd,
                                                   [OPTIM_RMSPROP] = &optim_rmsprop,
                                                   [OPTIM_ADAM] = &optim_adam,
                                                   [OPTIM_NADAM] = &optim_nadam};

    return families[o->kind];
}

drmad_status optim_check(drmad_ctx *ctx, const optim_spec *o)
{
    return family(o)->check(ctx, o);
}

int32_t optim_vectors(const optim_spec *o)
{
    return family(o)->vectors(o);
}

const char *optim_vector_name(const optim_spec *o, int32_t k)
{
    if (o->kind == OPTIM_ADAM || o->kind == OPTIM_NADAM) return k == 1 ? "exp_avg" : "exp_avg_sq";
    if (o->kind == OPTIM_SGD) return "momentum_buffer";
    if (k == 1) return "square_avg";
    return k == 2 && o->centered ? "grad_avg" : "momentum_buffer";
}

int32_t optim_squares(const optim_spec *o)
{
    return family(o)->squares;
}

dtype optim_type(hyper_kind k, dtype working)
{
    return k == HYPER_BETA1 || k == HYPER_BETA2 ? F64 : working;
}

hyper_kind optim_kind_of(optim_hyper h)
{
    static const hyper_kind kinds[OPTIM_HYPERS] = {
        [OPTIM_LR] = HYPER_LR,
        [OPTIM_MOMENTUM] = HYPER_MOMENTUM,
        [OPTIM_DECAY] = HYPER_WEIGHT_DECAY,
        [OPTIM_BETA1] = HYPER_BETA1,
        [OPTIM_BETA2] = HYPER_BETA2,
        [OPTIM_EPS] = HYPER_EPS,
    };

    return kinds[h];
}

bool optim_reads(const optim_spec *o, optim_hyper h)
{
    return (family(o)->reads & READS(h)) != 0 && (h != OPTIM_MOMENTUM || o->buffer);
}

optim_in optim_nothing(void)
{
    optim_in in = {.g = NODE_NONE};

    for (int k = 0; k < OPTIM_VECTORS; k++) in.state[k] = NODE_NONE;
    for (int k = 0; k < OPTIM_HYPERS; k++) in.h[k] = NODE_NONE;
    for (int k = 0; k < OPTIM_NUMBERS; k++) in.number[k] = NODE_NONE;
    return in;
}

optim_step optim_build(graph *g, const optim_spec *o, const optim_in *in)
{
    optim_step st = {.in = *in};

    for (int k = 0; k < OPTIM_VECTORS; k++) st.next[k] = NODE_NONE;
    st.p = optim_coupled(g, o, in);
    family(o)->build(g, o, &st);
    return st;
}

int optim_substitutes(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                      node from[], node to[])
{
    return family(o)->substitutes(g, o, st, k, from, to);
}

node optim_times(graph *g, node h, node x)
{
    return g_mul(g, g_bcast(g, h, *graph_shape(g, x)), x);
}

node optim_one_minus(graph *g, node x)
{
    return g_sub(g, g_ones_like(g, x), x);
}

node optim_coupled(graph *g, const optim_spec *o, const optim_in *in)
{
    const node wd = in->h[OPTIM_DECAY];

    if (wd == NODE_NONE || o->decoupled) return in->g;
    return g_add(g, in->g, optim_times(g, wd, in->state[0]));
}

/* lr wd w: what decoupled decay takes of w. */
static node taken(graph *g, const optim_in *in)
{
    return optim_times(g, in->h[OPTIM_LR], optim_times(g, in->h[OPTIM_DECAY], in->state[0]));
}

node optim_decayed(graph *g, const optim_spec *o, const optim_in *in)
{
    if (in->h[OPTIM_DECAY] == NODE_NONE || !o->decoupled) return in->state[0];
    return g_sub(g, in->state[0], taken(g, in));
}

node optim_displacement(graph *g, const optim_spec *o, const optim_in *in, const optim_known *k)
{
    node d = g_sub(g, in->state[0], k->next[0]);

    if (in->h[OPTIM_DECAY] != NODE_NONE && o->decoupled) d = g_sub(g, d, taken(g, in));
    if (o->form == FORM_MACLAURIN) d = g_neg(g, d);
    return optim_times(g, k->inv_lr, d);
}

node optim_moved(graph *g, const optim_spec *o, const optim_in *in, node s)
{
    return g_sub(g, optim_decayed(g, o, in), optim_times(g, in->h[OPTIM_LR], s));
}
