/* What the tests of the estimators share. */
#ifndef ESTIMATES_H
#define ESTIMATES_H
#include "toy.h"

enum { SEED = 42 };

walk_spec estimate_by(const estimator_spec *e);

/* Every kind that the estimator sees: all but initial scales and, of a minimum, the optimiser's.
 * Not l1: its kinks make differences no judge. */
int32_t declare_seen(const toy *t, hyper_per per, int64_t phases, bool minimum, hyper_decl *out);

/* Fails unless `got` is `want` to within `share` of each slice's largest entry, which is not 0. */
void close_to(const toy *t, const double *got, const double *want, double share, const char *what);

/* One weight, one example of input 1 with the target 0, F on one with the target 2; plain SGD at
 * rate 1/2, l2 = 1/4, w_0 = 4, two steps:
 *
 *   L = w^2/2 + w^2/8:   w_1 = 4 - 5/2 = 3/2,  w_2 = 3/2 - 15/16 = 9/16;   dF/dw = w - 2
 *   l2:  -lr w_t (w_{t+1} - 2):  -1/2 * 4 * (-1/2) = 1,  -1/2 * 3/2 * (-23/16) = 69/64
 *   lr:  -(5/4 w_t)(w_{t+1} - 2):  -5 * (-1/2) = 5/2,  -15/8 * (-23/16) = 345/128
 *
 * Trained for `steps`, by the caller's functions; out = dF/dl2 and, with `rate`, dF/dlr. */
void one_weight_gradient(const walk_spec *walk, int64_t steps, bool rate, double out[2],
                         walk_report *r);
#endif
