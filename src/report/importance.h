/* How much of an objective's variance each parameter explains, alone and in pairs (fANOVA).
 *
 * Source:  Hutter, Hoos, Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
 *          Importance", ICML 2014, Algorithm 2.
 * Differs: a logarithmic parameter is uniform on its logarithm, as the search draws it; a
 *          parameter that a trial lacks lies in the middle of its range there; of more than
 *          IMPORTANCE_ROWS trials as many are taken, evenly by number; pairs among the
 *          IMPORTANCE_PAIRED most important alone.
 * Checked: tests/report/test_importance.c, against closed forms and Optuna's evaluator.
 * Threads: pure functions. */
#ifndef IMPORTANCE_H
#define IMPORTANCE_H
#include "report/forest.h"
#include "report/view.h"

enum { IMPORTANCE_TREES = 64, IMPORTANCE_ROWS = 600, IMPORTANCE_LEAST = 4, IMPORTANCE_PAIRED = 5 };

typedef struct importance {
    drmad_ctx *ctx;
    int32_t d, rows; /* rows 0: too few trials, or all values alike */
    double *alone;   /* d shares of the variance, 0 to 1, means over trees */
    double *both;    /* d x d, symmetric: what a pair explains beyond its two; NaN: not looked at */
    int32_t *order;  /* parameters, most important first */
} importance;

drmad_status importance_of_data(drmad_ctx *ctx, const forest_data *data, uint64_t seed,
                                importance **out);
/* Of the COMPLETE trials with a finite value. */
drmad_status importance_of(const view *v, int32_t objective, uint64_t seed, importance **out);
void importance_free(importance *m); /* NULL is fine */
#endif
