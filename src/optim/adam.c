/* Adam and AdamW: torch.optim.Adam, torch.optim.AdamW, 2.13 (Kingma and Ba, ICLR 2015; Loshchilov
 * and Hutter, ICLR 2019). State (w, m, v), t the steps done, this one included:
 *
 *   p  = g + wd w                (coupled; decoupled: p = g)
 *   m' = b1 m + (1 - b1) p       v' = b2 v + (1 - b2) p^2
 *   D  = sqrt(v'/c2) + eps       c1 = 1 - b1^t, c2 = 1 - b2^t
 *   s  = m'/(c1 D)               w' = w - lr s   (decoupled: (1 - lr wd) w - lr s)
 *
 * eps inside the root, smooth where v' is small: D = sqrt(v'/c2 + eps). */
#include "optim/family.h"

static int32_t adam_vectors(const optim_spec *o)
{
    (void)o;
    return 3;
}

node optim_adam_inverse(graph *g, const optim_spec *o, const optim_in *in, node v)
{
    const node c2 = optim_correction(g, in->h[OPTIM_BETA2], in->number[OPTIM_STEP], v);

    return optim_inverse_root(g, o, optim_times(g, g_recip(g, c2), v), in->h[OPTIM_EPS]);
}

static node correction(graph *g, const optim_in *in, node m)
{
    return optim_correction(g, in->h[OPTIM_BETA1], in->number[OPTIM_STEP], m);
}

static void adam_build(graph *g, const optim_spec *o, optim_step *st)
{
    const optim_in *in = &st->in;
    const node m = optim_average(g, in->h[OPTIM_BETA1], in->state[1], st->p);
    const node v = optim_average(g, in->h[OPTIM_BETA2], in->state[2], g_mul(g, st->p, st->p));

    st->s = g_mul(g, optim_times(g, g_recip(g, correction(g, in, m)), m),
                  optim_adam_inverse(g, o, in, v));
    st->next[0] = optim_moved(g, o, in, st->s);
    st->next[1] = m;
    st->next[2] = v;
}

/* p from the averages before and after. The digits lost are those of 1/(1 - b1): one at b1 = .9. */
static node p_from_averages(graph *g, const optim_in *in, node m1)
{
    const node beta = in->h[OPTIM_BETA1], m = in->state[1];
    const node rest = g_sub(g, m1, optim_times(g, optim_keep(g, beta, m), m));

    return optim_times(g, g_recip(g, optim_gain(g, beta, m)), rest);
}

/* On a path m' is the displacement: s c1 D. */
static int adam_substitutes(graph *g, const optim_spec *o, const optim_step *st,
                            const optim_known *k, node from[], node to[])
{
    const optim_in *in = &st->in;

    from[0] = st->next[1];
    if (k->exact) {
        to[0] = k->next[1];
        from[1] = st->next[2], to[1] = k->next[2];
        from[2] = st->p, to[2] = p_from_averages(g, in, k->next[1]);
        return 3;
    }
    const node s = optim_displacement(g, o, in, k);
    const node root = g_recip(g, optim_adam_inverse(g, o, in, st->next[2]));
    to[0] = g_mul(g, root, optim_times(g, correction(g, in, s), s));
    return 1;
}

const optim_family optim_adam = {
    .reads = READS(OPTIM_LR) | READS(OPTIM_DECAY) | READS(OPTIM_BETA1) | READS(OPTIM_BETA2) |
             READS(OPTIM_EPS),
    .check = optim_adaptive_check,
    .vectors = adam_vectors,
    .squares = 2,
    .build = adam_build,
    .substitutes = adam_substitutes,
};
