/* SGD fragments. */
#include "optim/optim.h"

drmad_status optim_check(drmad_ctx *ctx, const optim_spec *o)
{
    if (o->nesterov && (!o->buffer || o->dampening != 0))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "optimizer.nesterov: needs momentum > 0 and dampening 0, as in PyTorch; "
                    "dampening is %g",
                    o->dampening);
    if (o->form == FORM_MACLAURIN && (o->nesterov || o->dampening != 0 || !o->buffer))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "optimizer.form: maclaurin has momentum, and neither nesterov nor dampening");
    return DRMAD_OK;
}

/* x times the leaf h, which is spread over x's shape; NODE_NONE stands for 1. */
static node times(graph *g, node h, node x)
{
    return h == NODE_NONE ? x : g_mul(g, g_bcast(g, h, *graph_shape(g, x)), x);
}

static node one_minus(graph *g, node x)
{
    return g_sub(g, g_ones_like(g, x), x);
}

/* The factor of p in b', in mu's or c's shape. */
static node buffer_gain(graph *g, const optim_spec *o, const optim_in *in)
{
    if (o->form == FORM_MACLAURIN) return g_neg(g, one_minus(g, in->mu));
    return in->c;
}

optim_step optim_build(graph *g, const optim_spec *o, const optim_in *in)
{
    optim_step st = {.in = *in, .b1 = NODE_NONE, .p = in->g};
    node w = in->w;

    if (in->wd != NODE_NONE && !o->decoupled) st.p = g_add(g, in->g, times(g, in->wd, in->w));
    st.s = st.p;
    if (o->buffer) {
        st.b1 = g_add(g, times(g, in->mu, in->b), times(g, buffer_gain(g, o, in), st.p));
        st.s = o->nesterov ? g_add(g, st.p, times(g, in->mu, st.b1)) : st.b1;
    }
    if (o->form == FORM_MACLAURIN) {
        st.w1 = g_add(g, in->w, times(g, in->lr, st.b1));
        return st;
    }
    if (in->wd != NODE_NONE && o->decoupled) w = g_sub(g, w, times(g, in->lr, times(g, in->wd, w)));
    st.w1 = g_sub(g, w, times(g, in->lr, st.s));
    return st;
}

/* p from the two buffers: p = (b' - mu b) / k. */
static node p_from_buffers(graph *g, const optim_spec *o, const optim_step *st, node b1)
{
    node gain = buffer_gain(g, o, &st->in);
    node rest = g_sub(g, b1, times(g, st->in.mu, st->in.b));

    return gain == NODE_NONE ? rest : times(g, g_recip(g, gain), rest);
}

int optim_substitutes(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                      node from[], node to[])
{
    const optim_in *in = &st->in;
    int n = 0;

    if (k->exact && o->buffer) {
        from[n] = st->b1, to[n++] = k->b1;
        from[n] = st->p, to[n++] = p_from_buffers(g, o, st, k->b1);
        return n;
    }
    /* The displacement: w - w' = lr s + (decoupled) lr wd w. In Maclaurin's form s is b' and
     * w' - w = lr b'. */
    node d = g_sub(g, in->w, k->w1);
    if (in->wd != NODE_NONE && o->decoupled)
        d = g_sub(g, d, times(g, in->lr, times(g, in->wd, in->w)));
    if (o->form == FORM_MACLAURIN) d = g_neg(g, d);
    from[n] = st->s, to[n++] = times(g, k->inv_lr, d);
    return n;
}

void optim_momentum_build(graph *g, const optim_spec *o, const optim_step *st, optim_momentum *m)
{
    const optim_in *in = &st->in;
    node cot = m->buffer_cot;
    node sum = times(g, buffer_gain(g, o, in), m->z);

    if (o->form == FORM_MACLAURIN) sum = g_add(g, sum, times(g, m->active, cot));
    if (o->nesterov) {
        sum = g_add(g, sum, times(g, m->active, m->step_cot));
        cot = g_add(g, cot, times(g, in->mu, m->step_cot));
    }
    m->product = g_mul(g, st->p, sum);
    m->z1 = g_add(g, times(g, in->mu, m->z), times(g, m->active, cot));
}
