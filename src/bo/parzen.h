/* A Parzen estimator of a few parameters of a space: a mixture with one product kernel around each
 * of n points and a flat one, the prior.
 *
 * It lives on the unit cube, where priors are flat (search_place_one), and its density is relative
 * to the prior's.
 * Ownership: parzen_new gives; the space and the list of parameters must outlive it.
 * Threads: one estimator, one thread at a time. */
#ifndef PARZEN_H
#define PARZEN_H
#include "base/rng.h"
#include "space/search.h"

typedef struct parzen parzen;

typedef struct parzen_points {
    int32_t n;
    const double *const *x; /* points of the space, in which the parameters have their values */
    const double *weights;  /* of the points; the prior's is 1 */
} parzen_points;

/* Of params[d], indices into the space. */
drmad_status parzen_new(const search *space, const int32_t *params, int32_t d,
                        const parzen_points *points, parzen **out);
void parzen_free(parzen *p); /* NULL is fine */

/* What is there (not NaN) of x's parameters is given from now on: draws keep it and follow the
 * density conditional on it. */
void parzen_condition(parzen *p, const double *x);
enum { PARZEN_ELEMENTS = 1 << 24 };
/* Puts a draw of the parameters that are not given into x, from the PARZEN_ELEMENTS elements of the
 * key that begin with `element`. Estimators of other parameters draw independently from the same.
 * The space has at most 65536 parameters. */
void parzen_draw(const parzen *p, rng_key key, uint64_t element, double *x);
/* ln of density / prior's density at x. */
double parzen_log_density(parzen *p, const double *x);
#endif
