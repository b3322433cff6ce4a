/* What all families share, and the way to them. */
#include "optim/family.h"

static const optim_family *family(const optim_spec *o)
{
    (void)o;
    return &optim_sgd;
}

drmad_status optim_check(drmad_ctx *ctx, const optim_spec *o)
{
    return family(o)->check(ctx, o);
}

int32_t optim_vectors(const optim_spec *o)
{
    return family(o)->vectors(o);
}

hyper_kind optim_kind_of(optim_hyper h)
{
    static const hyper_kind kinds[OPTIM_HYPERS] = {
        [OPTIM_LR] = HYPER_LR,
        [OPTIM_MOMENTUM] = HYPER_MOMENTUM,
        [OPTIM_DECAY] = HYPER_WEIGHT_DECAY,
    };

    return kinds[h];
}

bool optim_reads(const optim_spec *o, optim_hyper h)
{
    if (h == OPTIM_MOMENTUM) return o->buffer;
    return (family(o)->reads & READS(h)) != 0;
}

optim_in optim_nothing(void)
{
    optim_in in = {.g = NODE_NONE, .c = NODE_NONE};

    for (int k = 0; k < OPTIM_VECTORS; k++) in.state[k] = NODE_NONE;
    for (int k = 0; k < OPTIM_HYPERS; k++) in.h[k] = NODE_NONE;
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
