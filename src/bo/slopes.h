/* The gradients of trials as derivatives of a model's targets along its columns.
 *
 *   dt / dz = dt/dy  dy/dx  dx/dz     warp.h; the trial's gradient; encoding.h
 *
 * Only of complete trials, and along numbers without a grid.
 * Threads: pure. */
#ifndef SLOPES_H
#define SLOPES_H
#include "bo/encoding.h"
#include "bo/history.h"

/* Whether any of the rows has one. */
bool slopes_there(const encoding *e, const observation *const *rows, int32_t n);
/* slopes[n x columns], NaN where there is none; by_value[n]: dt/dy. At most `most` are given: all
 * of the best row, then of the next, as long as a row's fit. */
drmad_status slopes_make(drmad_ctx *ctx, const encoding *e, const observation *const *rows,
                         int32_t n, const double *by_value, int32_t most, double *slopes);
#endif
