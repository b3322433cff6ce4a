/* A small training step on the CUDA backend: w' = w - lr x' (tanh(x w) - 0.5) with x the rows of a
 * table by index, and the loss. */
#ifndef CUDA_STEP_H
#define CUDA_STEP_H
#include "exec/cuda/cuda.h"

enum { STEP_BATCH = 6, STEP_IN = 9, STEP_OUT = 5, STEP_ROWS = 20 };

typedef struct step {
    backend *on;
    graph *g;
    plan *q;
    program *p; /* leaves: w, lr, rows, index; outputs: w, which may lie over the leaf; loss */
    double w[STEP_IN * STEP_OUT], lr, rows[STEP_ROWS * STEP_IN], loss;
    double *table; /* rows, or what the test gives */
    int32_t index[STEP_BATCH];
    void *there, *rate; /* on the device: w; what a test likes */
} step;

drmad_status step_open(drmad_ctx *ctx, const gpu_driver *d, step *s); /* all bound to the host's */
/* With `rows` rows in `table`. */
drmad_status step_open_table(drmad_ctx *ctx, const gpu_driver *d, int64_t rows, double *table,
                             step *s);
void step_close(drmad_ctx *ctx, step *s);                             /* what step_open left too */
#endif
