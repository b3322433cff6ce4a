/* Pruners: whether a trial that runs is worth going on with, from the curves of all.
 *
 * Source: median stopping as in Golovin et al., "Google Vizier" (KDD 2017), section 3.2.1;
 *         ASHA: Li et al., "A system for massively parallel hyperparameter tuning" (MLSys 2020);
 *         Hyperband: Li et al. (JMLR 18, 2018), its brackets as independent ASHAs.
 * Threads: pure functions. */
#ifndef PRUNER_H
#define PRUNER_H
#include "bo/history.h"

typedef enum pruner_kind { PRUNER_NONE, PRUNER_MEDIAN, PRUNER_ASHA, PRUNER_HYPERBAND } pruner_kind;

typedef struct pruner_options {
    pruner_kind kind;
    uint64_t seed;        /* hyperband: of the brackets */
    int32_t startup;      /* median: finished trials before anything is pruned */
    int64_t warmup;       /* median: steps before anything is pruned */
    int64_t interval;     /* median: steps between decisions */
    int64_t min_resource; /* asha, hyperband: step of the first rung; 0: a hundredth of the longest
                           * finished trial's, at least 1; without one nothing is pruned */
    int64_t max_resource; /* hyperband: steps of a whole trial; 0: of the longest finished one */
    int32_t reduction;    /* asha, hyperband: one of so many goes on; >= 2 */
} pruner_options;

/* What a trial has reported so far. */
typedef struct curve {
    int64_t number;
    observed state;
    int32_t n;
    const int64_t *steps; /* rising */
    const double *values; /* to be minimised; NaN: worst for the trial itself, none for others */
} curve;

/* Decides about curves[own], at its last step, as Optuna 4.9 does when it is asked after every
 * report; O(n log steps). */
bool prune_now(const pruner_options *o, const curve *curves, int32_t n, int32_t own);

/* Hyperband's brackets: 0 has its first rung at min_resource, the next ones `reduction` times later
 * each. Both resources must be given. */
int32_t prune_brackets(const pruner_options *o);
int32_t prune_bracket(const pruner_options *o, int64_t number); /* of one trial */
#endif
