/* NAdam: torch.optim.NAdam, 2.13 (Dozat, ICLR workshop 2016). State and letters as of Adam
 * (adam.c), psi = momentum_decay:
 *
 *   mu_t = b1 (1 - .96^(t psi)/2)            M_t = mu_1 mu_2 ... mu_t
 *   s    = ((1 - mu_t)/(1 - M_t) p + mu_(t+1)/(1 - M_t mu_(t+1)) m') / D,   D = sqrt(v'/c2) + eps
 *
 * M_t = b1^t P_t, where P_t, the product of the brackets, is a number of the step alone: b1 must
 * therefore be the same at all steps. */
#include "optim/family.h"
#include <math.h>

static const double base = 0.96;

static int32_t nadam_vectors(const optim_spec *o)
{
    (void)o;
    return 3;
}

static double bracket(const optim_spec *o, double t)
{
    return 1 - 0.5 * pow(base, t * o->momentum_decay);
}

double optim_product(const optim_spec *o, int64_t t, double before)
{
    return o->kind == OPTIM_NADAM ? before * bracket(o, (double)(t + 1)) : 1;
}

/* 1 - .96^(t psi)/2, t a node. */
static node bracket_node(graph *g, const optim_spec *o, node t)
{
    const node half = g_scale(g, g_exp(g, g_scale(g, t, o->momentum_decay * log(base))), 0.5);

    return optim_one_minus(g, half);
}

/* The factors of p and of m' in s D, in the type of x. */
static void factors(graph *g, const optim_spec *o, const optim_in *in, node x, node out[2])
{
    const node t = in->number[OPTIM_STEP], b1 = in->h[OPTIM_BETA1];
    const dtype type = graph_dtype(g, x);
    const node mu = optim_times(g, bracket_node(g, o, t), b1);
    const node ahead = optim_times(g, bracket_node(g, o, g_add(g, t, g_ones_like(g, t))), b1);
    const node all = optim_times(g, in->number[OPTIM_PRODUCT], optim_power(g, b1, t));
    const node of_p = g_mul(g, optim_one_minus(g, mu), g_recip(g, optim_one_minus(g, all)));
    const node rest = optim_one_minus(g, g_mul(g, all, ahead));

    out[0] = g_cast(g, of_p, type);
    out[1] = g_cast(g, g_mul(g, ahead, g_recip(g, rest)), type);
}

static void nadam_build(graph *g, const optim_spec *o, optim_step *st)
{
    const optim_in *in = &st->in;
    const node m = optim_average(g, in->h[OPTIM_BETA1], in->state[1], st->p);
    const node v = optim_average(g, in->h[OPTIM_BETA2], in->state[2], g_mul(g, st->p, st->p));
    node f[2];

    factors(g, o, in, m, f);
    st->s = g_mul(g, g_add(g, optim_times(g, f[0], st->p), optim_times(g, f[1], m)),
                  optim_adam_inverse(g, o, in, v));
    st->next[0] = optim_moved(g, o, in, st->s);
    st->next[1] = m;
    st->next[2] = v;
}

/* On a path m' = (s D - f0 p)/f1. */
static int nadam_substitutes(graph *g, const optim_spec *o, const optim_step *st,
                             const optim_known *k, node from[], node to[])
{
    const optim_in *in = &st->in;
    node f[2];

    if (k->exact) return optim_adam.substitutes(g, o, st, k, from, to);
    const node s = optim_displacement(g, o, in, k);
    const node root = g_recip(g, optim_adam_inverse(g, o, in, st->next[2]));
    factors(g, o, in, s, f);
    const node rest = g_sub(g, g_mul(g, root, s), optim_times(g, f[0], st->p));
    from[0] = st->next[1], to[0] = optim_times(g, g_recip(g, f[1]), rest);
    return 1;
}

const optim_family optim_nadam = {
    .reads = READS(OPTIM_LR) | READS(OPTIM_DECAY) | READS(OPTIM_BETA1) | READS(OPTIM_BETA2) |
             READS(OPTIM_EPS),
    .check = optim_adaptive_check,
    .vectors = nadam_vectors,
    .squares = 2,
    .build = nadam_build,
    .substitutes = nadam_substitutes,
};
