/* Inner optimisers as graph fragments, one tensor at a time. The adjoint is not written here: it
 * comes from the ops' rules (ad/). What this room adds is which of a fragment's intermediate values
 * can be read from the trajectory instead of being computed again.
 *
 * A state is `optim_vectors` flat vectors: the weights w, then the optimiser's buffers, all of them
 * zero at the start. The formulas of a family, and what it keeps, stand at the top of its file. */
#ifndef OPTIM_H
#define OPTIM_H
#include "config/hyper.h"
#include "ops/ops.h"

enum { OPTIM_VECTORS = 4 }; /* of a state at most: the weights and three buffers */

typedef enum optim_kind { OPTIM_SGD, OPTIM_RMSPROP, OPTIM_ADAM, OPTIM_NADAM } optim_kind;
typedef enum optim_form { FORM_PYTORCH, FORM_MACLAURIN } optim_form;
typedef enum optim_clip { CLIP_NONE, CLIP_NORM, CLIP_VALUE } optim_clip;

typedef struct optim_spec {
    optim_kind kind;
    optim_form form; /* of SGD */
    bool nesterov, decoupled;
    bool buffer;           /* SGD, RMSprop; false: no momentum anywhere, no b */
    double dampening;      /* SGD: d */
    bool centered;         /* RMSprop */
    bool eps_inside;       /* all but SGD: eps inside the root */
    double momentum_decay; /* NAdam */
    optim_clip clip;
} optim_spec;

drmad_status optim_check(drmad_ctx *ctx,
                         const optim_spec *o); /* refuses what PyTorch refuses, by name */
int32_t optim_vectors(const optim_spec *o);    /* of a state, the weights included */
/* What torch calls vector k >= 1 in an optimiser's state_dict: "momentum_buffer", "exp_avg". */
const char *optim_vector_name(const optim_spec *o, int32_t k);
int32_t optim_squares(const optim_spec *o); /* which of them averages squared gradients; -1: none */

/* The hyperparameters of a step, and their kinds in a space. */
typedef enum optim_hyper {
    OPTIM_LR,
    OPTIM_MOMENTUM,
    OPTIM_DECAY,
    OPTIM_BETA1,
    OPTIM_BETA2, /* RMSprop: alpha */
    OPTIM_EPS,
    OPTIM_HYPERS
} optim_hyper;
hyper_kind optim_kind_of(optim_hyper h);
bool optim_reads(const optim_spec *o, optim_hyper h); /* whether a step depends on it at all */
/* The type of its leaf. Betas are F64 in any graph: 1 - beta and 1 - beta^t lose half of F32's
 * digits. */
dtype optim_type(hyper_kind k, dtype working);

/* Single numbers that change with the step and not with any hyperparameter. */
typedef enum optim_number {
    OPTIM_GAIN,    /* SGD: c, in the working type */
    OPTIM_STEP,    /* F64: steps done, this one included */
    OPTIM_PRODUCT, /* F64: NAdam's, see nadam.c */
    OPTIM_NUMBERS
} optim_number;
/* OPTIM_PRODUCT of step t (from 0) from that of the step before, 1 at first. */
double optim_product(const optim_spec *o, int64_t t, double before);

/* Operands of one tensor's step: NODE_NONE where the optimiser has no such thing. Hyperparameters
 * have the tensor's rank, each dimension 1 or full; no decay is NODE_NONE. Numbers have its rank,
 * each dimension 1; OPTIM_GAIN is NODE_NONE where it is always 1. */
typedef struct optim_in {
    node state[OPTIM_VECTORS];
    node g;
    node h[OPTIM_HYPERS];
    node number[OPTIM_NUMBERS];
} optim_in;
optim_in optim_nothing(void); /* all NODE_NONE */

typedef struct optim_step {
    optim_in in;
    node next[OPTIM_VECTORS]; /* the next state */
    node p, s;                /* the gradient with coupled decay; the step, w' = w - lr s */
} optim_step;

optim_step optim_build(graph *g, const optim_spec *o, const optim_in *in);

/* The gradients of all tensors as they enter the steps, clipped at `at`, one element, as
 * torch.nn.utils.clip_grad_norm_ and clip_grad_value_ (2.13) do; in place, NODE_NONE stays. */
void optim_clip_build(graph *g, const optim_spec *o, int32_t n, node at, node *grad);

/* What stands for the fragment's intermediates when a trajectory hands out both states: pairs
 * (from, to) for ad_substitute, at most OPTIM_PAIRS. `exact`: both states are the run's own.
 * Otherwise only the weights are given, and the squares in state and next state if they have any,
 * and s is the displacement over lr; inv_lr is a leaf shaped like lr that holds 1/lr, or 0 where lr
 * is 0. */
enum { OPTIM_PAIRS = 4 };
typedef struct optim_known {
    node next[OPTIM_VECTORS]; /* leaves */
    node inv_lr;              /* path only */
    bool exact;
} optim_known;
int optim_substitutes(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                      node from[], node to[]);

/* How long the first step is beside usual ones; 0 where steps have no length of their own (SGD). */
double optim_first_step(const optim_spec *o, double beta2);

/* The averaged squares v before the step, where only their cells are known (traj_cells.h): `next` a
 * leaf of those after it, `low` one of the cells' lower bounds, 0 for no gradient yet,
 *
 *   v = min(max((v' - (1 - beta2) p^2)/beta2, low), SQUARES_CELL low)
 *
 * Source: our reference grid.md, section 3. */
enum { SQUARES_CELL = 4 }; /* upper bound of a cell over the lower one */
node optim_squares_before(graph *g, const optim_spec *o, const optim_step *st, node next, node low);

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
