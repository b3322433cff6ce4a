/* The inside of a walker, shared by reverse.c, forward.c and walk.c. */
#ifndef WALKER_H
#define WALKER_H
#include "hyper/walk.h"
#include "train/trainer.h"

/* One phase of a momentum use whose gradient comes from the transposed sum. */
typedef struct momentum_sum {
    int32_t use, phase;
    int32_t slot; /* active; slot + 1: cotangent; slot + 2: the sum z */
} momentum_sum;

struct walker {
    drmad_ctx *ctx;
    trainer *t;
    walk_spec spec;
    trajectory *tr;
    traj_spec kept; /* what tr was made from */
    bool exact;     /* the trajectory hands out the run's own states */
    job *back, *tangent;
    job *direction;     /* oracle: u of a reverse step */
    bool asks_gradient; /* oracle: `back` reads dL/dw too */
    bool *has_cot;     /* by use: the reverse plan gives its cotangent */
    int64_t *inverted; /* by use: the fill of which USE_INVERSE holds the inverse */
    momentum_sum *sum;
    int32_t sums;
    void *wcot, *bcot;
    void *wtan, *btan;
    int32_t norm_slot; /* strides: |u|^2, |Hu|^2, |w~|^2 after the step; 0 = none */
    void *ahead;       /* strides: the weights at the end of a block */
    void *middle;      /* strides: those in its middle */
    double *dw;        /* dF/dw at the end, flat */
};

drmad_status walker_build_back(walker *w);
drmad_status walker_build_tangent(walker *w);
/* All steps, from the last to the first, adding into dvalues. */
drmad_status walker_back(walker *w, walk_report *report, double *dvalues);
double walker_norm(const walker *w, const void *flat);
#endif
