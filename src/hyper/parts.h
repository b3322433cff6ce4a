/* What the graphs of reverse.c and products.c are made of, and the steps both take. */
#ifndef PARTS_H
#define PARTS_H
#include "hyper/walker.h"

/* Everything the reverse graph is made of; arrays by tensor or by use. */
typedef struct parts {
    job *j;
    net *n;
    node *grad, *grad_leaf, *hess; /* by tensor */
    node *given;                   /* oracle only: its H u */
    node *u, *step_u;              /* cotangents of the gradient: as it is, clipped */
    node *squares, *squares_next;  /* the averaged squares v, a leaf of v' */
    node *cot[OPTIM_VECTORS], *out[OPTIM_VECTORS]; /* by vector of a state, by tensor */
    node *use_grad, *use_cot;                      /* by use */
    node rate_cot;                                 /* of the base rate */
    node *rate[RATE_SLOTS];                        /* by rate series; NODE_NONE = 0 */
    optim_momentum *momentum;                      /* by sum */
    node *list, *mapped, *from, *to;               /* scratch */
    int32_t tensors, uses, vectors;
} parts;

drmad_status parts_new(walker *w, job *j, parts *p);
void parts_free(drmad_ctx *ctx, parts *p);
/* Loss, dL/dw, and dL/dh of the uses in the loss. */
drmad_status parts_gradient(walker *w, parts *p);
/* p->hess and p->use_cot from p->u and the adjoints p->cot of the next running statistics. */
drmad_status parts_second_order(walker *w, parts *p);
/* In the outputs: zeros for the leaves that carried those adjoints, ReLU masks of the true run. */
drmad_status parts_substitute(walker *w, parts *p);
drmad_status parts_put_cotangents(walker *w, parts *p); /* the outputs of the uses */
#endif
