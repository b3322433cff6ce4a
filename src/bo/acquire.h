/* The point of largest expected improvement, over mixed spaces with conditions and rules.
 *
 *   a(z) = ln mean_s EI(best_s; mean_s(z), v(z)) + ln(1 - sigma / sqrt(v(z) + sigma2))
 *
 * s: the fantasies, one without pending trials; v: the variance of f. The second term, where there
 * is noise, is Huang et al.'s ("Global optimization of stochastic black-box systems via sequential
 * kriging meta-models", J. Global Optimization 34 (2006), equation 13): another look at what is
 * known by now to within the noise is worth little.
 *
 * Or, to polish: a(z) = -mean_s of mean_s(z).
 *
 * First many candidates at once: a Sobol sequence over the space and points around the best so far;
 * then the best of them and some drawn by exp(a) are climbed: numbers by L-BFGS within their
 * bounds, in units of their lengthscales; choices and grids one after another, every value (of long
 * grids the neighbours); in turn until neither gains. Long grids are climbed as if they were
 * continuous and snapped.
 *
 * Ownership: a task borrows all it points to. Threads: pure but for the model's working rows. */
#ifndef ACQUIRE_H
#define ACQUIRE_H
#include "bo/encoding.h"
#include "bo/gp.h"

typedef struct acquire_ball {
    const double *centre; /* columns */
    double radius;
} acquire_ball;

typedef struct acquire_task {
    const encoding *code;
    gp *model;
    const double *best;      /* one a side of the model */
    double noise;            /* sigma2; 0: none is reckoned with */
    bool polish;
    const double *given;     /* values that stay, NaN: free; NULL: none */
    const double *incumbent; /* latent */
    const double *known;     /* n_known x columns: points not to be proposed again */
    int32_t n_known, n_balls;
    const acquire_ball *balls; /* nothing within is proposed */
    const double *low, *high;  /* of v, where a box narrows it; NULL: the parameters' own */
    uint64_t seed;
    int64_t number;
} acquire_task;

/* Fills in x. *value: a there. *found: false when no candidate keeps rules and is new. */
drmad_status acquire(const acquire_task *task, double *x, double *value, bool *found);

/* a at z; its gradient over the columns unless NULL. */
double acquire_value(const acquire_task *task, const double *z, double *gradient);
#endif
