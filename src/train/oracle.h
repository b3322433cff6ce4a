/* Values and derivatives of the data loss that somebody else computes: the other way, besides our
 * own graph, in which a trainer comes to a gradient. What each function promises stands in
 * drmad/model.h. Everything else of a step (penalties, decay, momentum, rates) stays a graph. */
#ifndef ORACLE_H
#define ORACLE_H
#include "drmad/model.h"
#include "exec/backend.h"

typedef struct oracle {
    drmad_start_fn *start;
    drmad_gradient_fn *gradient;
    drmad_product_fn *product;
    drmad_evaluate_fn *evaluate;
    drmad_batch_fn *batch; /* NULL: nothing can be tuned per example */
    void *user;
    bool busy;         /* a function is under way: the study must not be called again */
    const backend *on; /* where its vectors live; NULL: in host memory */
} oracle;
#endif
