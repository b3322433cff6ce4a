/* Inner optimisers as graph fragments, one tensor at a time. The adjoint is not written here: it
 * comes from the ops' rules (ad/). What this room adds is which of a fragment's intermediate values
 * can be read from the trajectory instead of being computed again.
 *
 * PyTorch's SGD (torch.optim.SGD, 2.13), mu momentum, d dampening, wd decay; c = 1 at the first
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
#ifndef OPTIM_H
#define OPTIM_H
#include "ops/ops.h"

typedef enum optim_form { FORM_PYTORCH, FORM_MACLAURIN } optim_form;

typedef struct optim_spec {
    optim_form form;
    bool nesterov, decoupled;
    bool buffer;      /* false: no momentum anywhere, no b */
    double dampening; /* d */
} optim_spec;

drmad_status optim_check(drmad_ctx *ctx,
                         const optim_spec *o); /* refuses what PyTorch refuses, by name */

/* Operands of one tensor's step. lr, mu and wd have the tensor's rank, each dimension 1 or full; wd
 * is NODE_NONE for no decay; c is one element, NODE_NONE where it is always 1. b and mu are
 * NODE_NONE without a buffer. */
typedef struct optim_in {
    node w, b, g, lr, mu, wd, c;
} optim_in;

typedef struct optim_step {
    optim_in in;
    node w1, b1; /* the next state; b1 NODE_NONE without a buffer */
    node p, s;   /* see above; s is the step, w1 = w - lr s (Maclaurin: -s = b1) */
} optim_step;

optim_step optim_build(graph *g, const optim_spec *o, const optim_in *in);

/* What stands for the fragment's intermediates when a trajectory hands out both states: pairs
 * (from, to) for ad_substitute, at most OPTIM_PAIRS. `exact`: w0, b0, w1, b1 are the run's own.
 * Otherwise only w0 and w1 are given and s is the displacement over lr; inv_lr is a leaf shaped
 * like lr that holds 1/lr, or 0 where lr is 0. */
enum { OPTIM_PAIRS = 2 };
typedef struct optim_known {
    node w1, b1; /* leaves */
    node inv_lr; /* path only */
    bool exact;
} optim_known;
int optim_substitutes(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                      node from[], node to[]);

/* The momentum's hypergradient where b is not known, by the transposed sum (docs/MATH.md,
 * "Momentum on a path"): with B the cotangent of b', k the factor of p in b', and z the running
 * sum (start 0),
 *
 *   mu~ += <p, k z + a (dk/dmu) B + nesterov a s~>,    z' = mu z + a (B + nesterov mu s~)
 *
 * a = 1 while the step belongs to the slice's phase, else 0. `p` needs the explicit gradient. */
typedef struct optim_momentum {
    node z, active;  /* in: the running sum, shaped like w; one element */
    node buffer_cot; /* in: B */
    node step_cot;   /* in: s~, NODE_NONE unless nesterov */
    node product;    /* out: p * (...), shaped like w: sum it to mu's shape */
    node z1;         /* out: z' */
} optim_momentum;
void optim_momentum_build(graph *g, const optim_spec *o, const optim_step *st, optim_momentum *m);
#endif
