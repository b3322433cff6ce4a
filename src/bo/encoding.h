/* Points of a search as columns of a model, and back.
 *
 *   latent v   one double a free parameter: what the search for a proposal moves
 *      number   place in the range, (s(x) - from) / width, s the logarithm or nothing; 0 to 1, but
 *               with a normal prior 0 and 1 are three sd from the mean, cut to the range
 *      choice   its index
 *   point x    search.h; grids are kept, conditions and rules are looked at
 *   columns z  of distances: number: v of x, which lies on the grid
 *              choice of two: 0 or 1; of c: c columns, one of them 1 / sqrt 2, so that two that
 *              differ have distance 1
 *              left out: a choice of its own; of a number, (1/2, sqrt 3 / 2) where (v, 0) stands
 *              else: distance .87 to 1 from all that are there, 0 from one another
 *
 * so that all distances are Euclidean and every covariance matrix positive definite. (A distance of
 * exactly 1 between out and in is not of that kind.) All columns of a parameter share a
 * lengthscale. Fixed values have no columns.
 *
 * Ownership: encoding_new gives; it borrows the space and is valid while that does not change.
 * Threads: read-only once made. */
#ifndef ENCODING_H
#define ENCODING_H
#include "space/search.h"

typedef struct coded_param {
    int32_t index; /* in the space */
    bool choice, logarithm, conditional;
    double from, width;  /* number: v = (s(x) - from) / width */
    double lower, upper; /* of v; of a grid half a step beyond its ends */
    double count;        /* points of the grid, choices; 0: no grid */
    int32_t column, columns;
    double *quantiles; /* of v, for a prior that is not flat; NULL: flat */
} coded_param;

typedef struct encoding {
    const search *space;
    int32_t n, columns;
    coded_param *params;
    int32_t *group; /* of each column: its parameter, 0 <= . < n */
    bool heeds;     /* there are conditions or rules */
} encoding;

drmad_status encoding_new(const search *space, encoding **out);
void encoding_free(encoding *e); /* NULL is fine */

/* v of x; of what is left out the middle. */
void encoding_latent(const encoding *e, const double *x, double *v);
/* x of v. *keeps: no rule is broken. Fixed values are put in; so are those of `given` (one a
 * parameter of the space, NaN: free; NULL: none). */
drmad_status encoding_point(const encoding *e, const double *v, const double *given, double *x,
                            bool *keeps);
void encoding_columns(const encoding *e, const double *x, double *z);
/* dx / dv of free parameter p, NaN where it has none: choices, grids, left out. */
double encoding_slope(const encoding *e, int32_t p, const double *x);
/* Places on the grid of free parameter p, or its choices: 0 to count - 1. Of x, and its v. */
int32_t encoding_step(const encoding *e, int32_t p, const double *x);
double encoding_at_step(const encoding *e, int32_t p, int32_t step);
/* v of u in [0, 1)^n, after the priors. */
void encoding_draw(const encoding *e, const double *u, double *v);
#endif
