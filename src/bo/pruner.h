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
    int64_t min_resource; /* asha, hyperband: steps of the first rung */
    int64_t max_resource; /* hyperband: steps of a whole trial */
    int32_t reduction;    /* asha, hyperband: one of so many goes on; >= 2 */
} pruner_options;

/* What a trial has reported so far. */
typedef struct curve {
    int64_t number;
    observed state;
    int32_t n;
    const int64_t *steps; /* rising */
    const double *values; /* to be minimised; NaN counts as worst */
} curve;

/* Decides about curves[own], at its last step. */
bool prune_now(const pruner_options *o, const curve *curves, int32_t n, int32_t own);
#endif
