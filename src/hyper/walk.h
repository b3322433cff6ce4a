/* Hypergradients: one training run, recorded, and the walk back (DESIGN section 2; docs/MATH.md has
 * the derivation), or another estimator in its place. A walker holds the trajectory and the reverse
 * plan of one trainer; it can be used for any number of runs.
 * Ownership: walker_new borrows the trainer, which must outlive it. Threads: the trainer's. */
#ifndef WALK_H
#define WALK_H
#include "train/train.h"

/* How dF/dh comes from a run. With J_t the Jacobian of step t by its hyperparameters and P_t the
 * product of the Jacobians by the state of all steps after t:
 *
 *   unrolled   sum over t of J_t' P_t' dF/dw_T       exact on an exact trajectory
 *   truncated  the same over the last steps alone, the state before them held fixed
 *   one-step   sum over t of J_t' dF/dw_{t+1}, F on a few examples drawn for the step: what the
 *              step does to F at once. Luketina, Berglund, Greff, Raiko, "Scalable Gradient-Based
 *              Tuning of Continuous Regularization Hyperparameters", ICML 2016 (T1-T2), which moves
 *              h during the run where this moves it after the run, by the sum
 *   implicit   -(d2L/dw dh)' q,  (d2L/dw dw + damping) q = dF/dw, at w_T: the derivative of a
 *              minimum of L, which w_T is taken for
 *
 * Each adds dF/dh at fixed weights. */
typedef enum estimator_kind {
    ESTIMATOR_UNROLLED,
    ESTIMATOR_TRUNCATED,
    ESTIMATOR_ONE_STEP,
    ESTIMATOR_IMPLICIT
} estimator_kind;

typedef enum solver_kind { SOLVER_CG, SOLVER_NEUMANN, SOLVER_NYSTROM } solver_kind;

typedef struct estimator_spec {
    estimator_kind kind;
    double last;  /* truncated: below 1 a share of the steps, else their number */
    int64_t rows; /* one-step: examples of the objective for each step */
    /* implicit: */
    solver_kind solver;
    int64_t terms;    /* products at most; Nystrom: columns */
    double tolerance; /* CG: of the residual, relative */
    double damping;
    double scale;    /* Neumann */
    int64_t batches; /* L is the mean over the batches of the first so many steps; 0: of an epoch */
} estimator_spec;

typedef struct walk_spec {
    estimator_spec estimator;
    traj_kind trajectory;
    traj_quality quality;
    size_t memory;         /* bytes; 0 = no limit */
    bool fills_device;     /* states on a device may take what it has left, whatever `memory` is */
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
    double growth;    /* largest |w~_t| / |w~_T| on the way back */
    int64_t steps;    /* reverse steps made; implicit: products with H */
    int64_t products; /* runs of the reverse plan; implicit: of one batch each */
    double residual;  /* implicit: |(H + damping) q - v| / |v|, v = dF/dw; NAN for the others */
    bool negative;    /* CG met negative curvature and stopped there */
    double train_seconds, eval_seconds, reverse_seconds;
    traj_kind trajectory; /* the kind used; TRAJ_NONE: the estimator walks nothing back */
    traj_stats kept;
} walk_report;

typedef struct walker walker;

/* Refuses (DRMAD_E_CONFIG) hyperparameters that the trajectory cannot serve or the estimator cannot
 * see. */
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
/* About what walking back and audits will take besides, on a device; trainer_later_bytes apart. */
size_t walker_later_bytes(const walker *w);
void walker_explain(const walker *w, void (*line)(void *user, const char *text), void *user);
traj_kind walker_kind(const walker *w); /* what `auto` became; TRAJ_NONE: see the report */
const char *estimator_name(estimator_kind k);
const char *solver_name(solver_kind k);
/* What one hypergradient costs besides run and F: runs of the reverse plan, at most, and examples
 * that dF/dw is taken on. */
int64_t walker_products(const walker *w);
int64_t walker_rows(const walker *w);
int64_t walker_step_macs(const walker *w); /* multiply-adds of a reverse step's products */
#endif
