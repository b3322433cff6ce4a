/* The values of trials as targets of a model: mean 0, standard deviation 1, the bad half bent.
 *
 *   m = median y,  s = rms of m - y over y <= m,  t = (y - m) / s,  ln(1 + t) where t > 0
 *
 * The order stays, so the best does. A trial that failed gets the worst target and half a unit. A
 * pruned one counts as its last value, but as no better than the median of those that ended: what
 * it would have reached is not known, only that it was among the worse. */
#ifndef WARP_H
#define WARP_H
#include "bo/history.h"

/* Of rows that are not pending; at least one is complete. slope[n]: dt / dy, NaN where t does not
 * follow from the row's own value. */
drmad_status warp_targets(drmad_ctx *ctx, const observation *const *rows, int32_t n, double *t,
                          double *slope);
#endif
