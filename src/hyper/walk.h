/* Hypergradients: one training run, recorded, and the walk back (DESIGN section 2; docs/MATH.md has
 * the derivation). A walker holds the trajectory and the reverse plan of one trainer; it can be
 * used for any number of runs.
 * Ownership: walker_new borrows the trainer, which must outlive it. Threads: the trainer's. */
#ifndef WALK_H
#define WALK_H
#include "train/train.h"

typedef struct walk_spec {
    traj_kind trajectory;
    traj_quality quality;
    size_t memory;         /* bytes; 0 = no limit */
    const char *spill_dir; /* NULL = nowhere */
    int32_t stride;        /* largest reverse stride: 1 = every step; 4 to 8 = `fast` */
    bool
        /* use w alone though the trajectory keeps b: what grid and line must do; for tests */
        path_only;
    bool tenth; /* line: the first T/10 steps only, unscaled, as the authors' code does */
} walk_spec;

typedef struct walk_report {
    eval_result value; /* F */
    train_report run;
    double growth; /* largest |w~_t| / |w~_T| on the way back */
    int64_t steps; /* reverse steps made */
    double train_seconds, eval_seconds, reverse_seconds;
    traj_kind trajectory; /* the kind used */
    traj_stats kept;
} walk_report;

typedef struct walker walker;

/* Refuses (DRMAD_E_CONFIG) hyperparameters that the trajectory cannot serve. */
drmad_status walker_new(drmad_ctx *ctx, trainer *t, const walk_spec *spec, walker **out);
void walker_free(walker *w); /* NULL is fine */

/* Trains with `values` from `seed`, evaluates F on `objective` and walks back: dvalues = dF/dvalues
 * [space->total]. DRMAD_E_DIVERGED when the run or the way back is not finite; report then says how
 * far it got. */
drmad_status walker_gradient(walker *w, const double *values, uint64_t seed,
                             const examples *objective, walk_report *report, double *dvalues);

/* The exact derivative of F along `direction` (in values), by forward mode: one run of step and
 * tangent, memory O(1). */
drmad_status walker_directional(walker *w, const double *values, const double *direction,
                                uint64_t seed, const examples *objective, double *value,
                                double *slope);

size_t walker_bytes(const walker *w); /* plans, vectors and an estimate of the trajectory */
void walker_explain(const walker *w, void (*line)(void *user, const char *text), void *user);
traj_kind walker_kind(const walker *w);    /* what `auto` became */
int64_t walker_step_macs(const walker *w); /* multiply-adds of a reverse step's products */
#endif
