/* The inside of a walker, shared by reverse.c, forward.c and walk.c. */
#ifndef WALKER_H
#define WALKER_H
#include "hyper/walk.h"
#include "train/trainer.h"

/* One phase of a momentum use whose gradient comes from the transposed sum. */
typedef struct momentum_sum {
    int32_t use, phase;
    int32_t slot; /* active; slot + 1: cotangent; slot + 2: the sum z */
} momentum_sum;

/* A rate whose read-out is steadied by a sum over the momentum's memory: rates.c. */
enum { RATE_PRODUCT, RATE_DECAY, RATE_SLOTS };
typedef struct rate_series {
    int32_t use;
    int32_t slot; /* + RATE_PRODUCT: <u, p>; + RATE_DECAY: what decoupled decay adds */
    double *back; /* [count]: the adjoint on numbers */
    double *mu;   /* [steps] */
    double *sum;  /* [steps][count]: <u, p>/N, then F */
    double *raw;  /* the same, by displacement; NULL where it is a phase's */
    double *scratch;
    double *first; /* [count]: <b~_0, b_0> */
} rate_series;

typedef struct late_step late_step; /* late.c */

struct walker {
    drmad_ctx *ctx;
    trainer *t;
    walk_spec spec;
    trajectory *tr;      /* NULL: one-step, implicit */
    traj_spec kept;      /* what tr was made from */
    int64_t first;       /* the first step walked back */
    bool exact;          /* the trajectory hands out the run's own states */
    job *back, *tangent; /* back: the reverse step; implicit: H u and (d2L/dh dw) u */
    job *direction;      /* oracle: u of a reverse step */
    bool asks_gradient;  /* oracle: `back` reads dL/dw too */
    bool direction_asks; /* ... so does `direction` */
    bool squares;        /* the trajectory gives the averaged squares by their cells alone */
    bool *has_cot;       /* by use: the reverse plan gives its cotangent */
    int64_t *inverted;   /* by use: the fill of which USE_INVERSE holds the inverse */
    int64_t *tangent_of; /* by use: the fill whose tangent USE_TAN holds */
    momentum_sum *sum;
    int32_t sums;
    rate_series *rate;
    int32_t rates;
    void *cot[OPTIM_VECTORS], *tan[OPTIM_VECTORS]; /* of a state */
    void *fixed[2][OPTIM_VECTORS]; /* on a device: where the plan reads states t and t+1 */
    int32_t norm_slot;             /* strides: |u|^2, |Hu|^2, |w~|^2 after the step; 0 = none */
    void *ahead;                   /* strides: the weights at the end of a block */
    void *middle;                  /* strides: those in its middle */
    double *dw;                    /* dF/dw at the end, flat */
    struct implicit *solve;        /* NULL but for implicit */
    late_step *late;               /* [LATE_STEPS], or NULL: each step is waited for */
    int32_t late_head, lates;      /* the oldest under way; how many */
    job *norm;                     /* on a device: |w~|^2 */
    int32_t square_slot;
    double square;            /* that, of a device that takes host addresses */
    double norm_last, growth; /* |w~_T|; the largest |w~_t| / |w~_T| so far */
};

/* The steps walked back, and what an estimator cannot see, refused: estimator.c. */
drmad_status estimator_open(walker *w);
bool estimator_walks(const walker *w); /* unrolled, truncated: a trajectory */
bool about_optimiser(hyper_kind k);

/* dvalues += the estimate, over the run just made and F's dw: one_step.c, implicit.c. */
drmad_status implicit_open(walker *w);
void implicit_close(walker *w);
size_t implicit_bytes(const walker *w);
bool implicit_sums(const walker *w); /* the plan adds to SLOT_HU, in double */
drmad_status walker_implicit(walker *w, const double *values, uint64_t seed, walk_report *r,
                             double *dvalues);
/* The run itself, during which it is summed. */
drmad_status walker_one_step(walker *w, const double *values, uint64_t seed,
                             const examples *objective, walk_report *r, double *sum);
int64_t implicit_batches(const walker *w);

drmad_status walker_build_back(walker *w);
drmad_status walker_build_products(walker *w); /* in place of it: implicit */
drmad_status walker_build_tangent(walker *w);
/* All steps, from the last to the first, adding into dvalues. */
drmad_status walker_back(walker *w, walk_report *report, double *dvalues);
drmad_status rates_new(walker *w);
void rates_free(walker *w);
size_t rates_bytes(const walker *w);
rate_series *rates_of(const walker *w, int32_t use); /* NULL: none */
void rates_begin(walker *w);
void rates_note(walker *w, rate_series *r, int64_t step);
drmad_status rates_collect(walker *w, double *dvalues);
/* One reverse step on `view`, and its cotangents into dvalues: back.c. Batch and leaves of the step
 * are in place. */
drmad_status walker_reverse_step(walker *w, int64_t step, const traj_view *view, double *dvalues);
/* Its parts: the step sent off; and, once it has been waited for, its cotangents. */
drmad_status walker_send_step(walker *w, int64_t step, const traj_view *view);
drmad_status walker_collect(walker *w, int64_t step, double *dvalues);
/* Steps that are not waited for: late.c. */
drmad_status late_new(walker *w);
void late_free(walker *w);
void late_forget(walker *w); /* what a failed way back has left under way */
drmad_status late_reverse(walker *w, int64_t step, double *dvalues); /* loads it, too */
drmad_status late_norm(walker *w); /* |w~| after the step sent last, to be noted with it */
drmad_status walker_start_adjoint(walker *w); /* w~ = dF/dw, b~ = 0 */
/* |w~|; its square on a device that takes host addresses, there after job_wait(w->norm); and what
 * follows from that after `step`. */
drmad_status walker_norm(walker *w, double *out);
drmad_status walker_send_norm(walker *w, double *square);
drmad_status walker_note_norm(walker *w, int64_t step, double norm);
drmad_status walker_build_norm(walker *w); /* on a device: the plan that takes it */
#endif
