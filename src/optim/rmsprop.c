/* RMSprop: torch.optim.RMSprop, 2.13 (Tieleman and Hinton, 2012). State (w, v, [centered: a],
 * [momentum: b]), alpha = beta2:
 *
 *   p  = g + wd w
 *   v' = alpha v + (1 - alpha) p^2        a' = alpha a + (1 - alpha) p
 *   D  = sqrt(v' - [centered] a'^2) + eps
 *   q  = p/D                              b' = mu b + q
 *   s  = b', without momentum q           w' = w - lr s
 *
 * eps inside the root: D = sqrt(v' - [centered] a'^2 + eps). */
#include "optim/family.h"

static int32_t rmsprop_vectors(const optim_spec *o)
{
    return 2 + o->centered + o->buffer;
}

static int32_t buffer_at(const optim_spec *o)
{
    return o->centered ? 3 : 2;
}

static node inverse_root(graph *g, const optim_spec *o, const optim_in *in, const node next[])
{
    node x = next[1];

    if (o->centered) x = g_sub(g, x, g_mul(g, next[2], next[2]));
    return optim_inverse_root(g, o, x, in->h[OPTIM_EPS]);
}

static void rmsprop_build(graph *g, const optim_spec *o, optim_step *st)
{
    const optim_in *in = &st->in;
    const node alpha = in->h[OPTIM_BETA2];
    const int32_t b = buffer_at(o);

    st->next[1] = optim_average(g, alpha, in->state[1], g_mul(g, st->p, st->p));
    if (o->centered) st->next[2] = optim_average(g, alpha, in->state[2], st->p);
    st->s = g_mul(g, st->p, inverse_root(g, o, in, st->next));
    if (o->buffer) {
        st->s = g_add(g, optim_times(g, in->h[OPTIM_MOMENTUM], in->state[b]), st->s);
        st->next[b] = st->s;
    }
    st->next[0] = optim_moved(g, o, in, st->s);
}

/* p = (b' - mu b) D, as safe as with SGD. Without momentum p would be the displacement's, which
 * loses too many digits. */
static int rmsprop_substitutes(graph *g, const optim_spec *o, const optim_step *st,
                               const optim_known *k, node from[], node to[])
{
    const optim_in *in = &st->in;
    const int32_t b = buffer_at(o);
    int n = 0;

    if (!k->exact) {
        from[0] = st->s, to[0] = optim_displacement(g, o, in, k);
        return 1;
    }
    for (int32_t i = 1; i < b; i++) from[n] = st->next[i], to[n++] = k->next[i];
    if (!o->buffer) return n;
    const node q = g_sub(g, k->next[b], optim_times(g, in->h[OPTIM_MOMENTUM], in->state[b]));
    from[n] = st->next[b], to[n++] = k->next[b];
    from[n] = st->p, to[n++] = g_mul(g, q, g_recip(g, inverse_root(g, o, in, k->next)));
    return n;
}

const optim_family optim_rmsprop = {
    .reads = READS(OPTIM_LR) | READS(OPTIM_DECAY) | READS(OPTIM_MOMENTUM) | READS(OPTIM_BETA2) |
             READS(OPTIM_EPS),
    .check = optim_adaptive_check,
    .vectors = rmsprop_vectors,
    .squares = 1,
    .build = rmsprop_build,
    .substitutes = rmsprop_substitutes,
};
