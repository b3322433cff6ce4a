/* SGD. PyTorch's (torch.optim.SGD, 2.13), mu momentum, d dampening, wd decay; c = 1 at the first
 * step, else 1 - d:
 *
 *   p = g + wd w            (coupled; decoupled: p = g)
 *   b' = mu b + c p         (b_0 = 0, so the first buffer is p)
 *   s = nesterov ? p + mu b' : b'
 *   w' = w - lr s           (decoupled: (1 - lr wd) w - lr s)
 *
 * Without momentum there is no buffer and d is ignored, as in PyTorch.
 * Maclaurin's form (Maclaurin, Duvenaud, Adams, ICML 2015, Algorithm 1; DrMAD, arXiv 1601.00917),
 * beta = mu, alpha = lr:
 *
 *   b' = beta b - (1 - beta) p,   w' = w + alpha b',   b_0 = 0 */
#include "optim/family.h"

static drmad_status sgd_check(drmad_ctx *ctx, const optim_spec *o)
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

static int32_t sgd_vectors(const optim_spec *o)
{
    return o->buffer ? 2 : 1;
}

/* The factor of p in b', in mu's or c's shape; NODE_NONE stands for 1. */
static node buffer_gain(graph *g, const optim_spec *o, const optim_in *in)
{
    if (o->form == FORM_MACLAURIN) return g_neg(g, optim_one_minus(g, in->h[OPTIM_MOMENTUM]));
    return in->number[OPTIM_GAIN];
}

static node gained(graph *g, const optim_spec *o, const optim_in *in, node x)
{
    const node gain = buffer_gain(g, o, in);

    return gain == NODE_NONE ? x : optim_times(g, gain, x);
}

static void sgd_build(graph *g, const optim_spec *o, optim_step *st)
{
    const optim_in *in = &st->in;
    const node lr = in->h[OPTIM_LR], mu = in->h[OPTIM_MOMENTUM];

    st->s = st->p;
    if (o->buffer) {
        const node b1 = g_add(g, optim_times(g, mu, in->state[1]), gained(g, o, in, st->p));
        st->s = o->nesterov ? g_add(g, st->p, optim_times(g, mu, b1)) : b1;
        st->next[1] = b1;
    }
    if (o->form == FORM_MACLAURIN) st->next[0] = g_add(g, in->state[0], optim_times(g, lr, st->s));
    else st->next[0] = optim_moved(g, o, in, st->s);
}

/* p from the two buffers: p = (b' - mu b) / k. */
static node p_from_buffers(graph *g, const optim_spec *o, const optim_in *in, node b1)
{
    node gain = buffer_gain(g, o, in);
    node rest = g_sub(g, b1, optim_times(g, in->h[OPTIM_MOMENTUM], in->state[1]));

    return gain == NODE_NONE ? rest : optim_times(g, g_recip(g, gain), rest);
}

/* On a path the step is the displacement: w - w' = lr s + (decoupled) lr wd w; in Maclaurin's form
 * s is b' and w' - w = lr b'. */
static int sgd_substitutes(graph *g, const optim_spec *o, const optim_step *st,
                           const optim_known *k, node from[], node to[])
{
    if (k->exact && o->buffer) {
        from[0] = st->next[1], to[0] = k->next[1];
        from[1] = st->p, to[1] = p_from_buffers(g, o, &st->in, k->next[1]);
        return 2;
    }
    from[0] = st->s, to[0] = optim_displacement(g, o, &st->in, k);
    return 1;
}

void optim_momentum_build(graph *g, const optim_spec *o, const optim_step *st, optim_momentum *m)
{
    const optim_in *in = &st->in;
    const node mu = in->h[OPTIM_MOMENTUM];
    node cot = m->buffer_cot;
    node sum = gained(g, o, in, m->z);

    if (o->form == FORM_MACLAURIN) sum = g_add(g, sum, optim_times(g, m->active, cot));
    if (o->nesterov) {
        sum = g_add(g, sum, optim_times(g, m->active, m->step_cot));
        cot = g_add(g, cot, optim_times(g, mu, m->step_cot));
    }
    m->product = g_mul(g, st->p, sum);
    m->z1 = g_add(g, optim_times(g, mu, m->z), optim_times(g, m->active, cot));
}

const optim_family optim_sgd = {
    .reads = READS(OPTIM_LR) | READS(OPTIM_MOMENTUM) | READS(OPTIM_DECAY),
    .check = sgd_check,
    .vectors = sgd_vectors,
    .squares = -1,
    .build = sgd_build,
    .substitutes = sgd_substitutes,
};
