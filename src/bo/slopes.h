/* The gradients of trials as derivatives of a model's targets along its columns.
 *
 *   dt / dz = dt/dy  dy/dx  dx/dz     warp.h; the trial's gradient; encoding.h
 *
 * Only of complete trials, and along numbers without a grid. A gradient that is much steeper than
 * the targets ever rise from point to point is left out: behind training on the brink of chaos the
 * exact one is of that kind, and says nothing about the next point.
 * Threads: pure. */
#ifndef SLOPES_H
#define SLOPES_H
#include "bo/encoding.h"
#include "bo/history.h"

/* Whether any of the rows has one. */
bool slopes_there(const encoding *e, const observation *const *rows, int32_t n);
/* A model's data so far. */
typedef struct slope_data {
    const encoding *code;
    int32_t n;
    const observation *const *rows;
    const double *z, *t;    /* n x columns; targets */
    const double *by_value; /* dt/dy */
} slope_data;

/* slopes[n x columns], NaN where there is none. At most `most` are given: all of the best row, then
 * of the next, as long as a row's fit. */
drmad_status slopes_make(drmad_ctx *ctx, const slope_data *d, int32_t most, double *slopes);
#endif
