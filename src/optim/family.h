/* A family of optimisers, one file each. Inside room optim only. */
#ifndef FAMILY_H
#define FAMILY_H
#include "optim/optim.h"

typedef struct optim_family {
    unsigned reads; /* bits of optim_hyper */
    drmad_status (*check)(drmad_ctx *ctx, const optim_spec *o);
    int32_t (*vectors)(const optim_spec *o);
    void (*build)(graph *g, const optim_spec *o, optim_step *st); /* st->in is set */
    int (*substitutes)(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                       node from[], node to[]);
} optim_family;

extern const optim_family optim_sgd;

#define READS(h) (1u << (h))

/* x times h, which is spread over x's shape. */
node optim_times(graph *g, node h, node x);
node optim_one_minus(graph *g, node x);
/* g + wd w, or g where there is no decay or it is decoupled. */
node optim_coupled(graph *g, const optim_spec *o, const optim_in *in);
/* w, or (1 - lr wd) w where decay is decoupled. */
node optim_decayed(graph *g, const optim_spec *o, const optim_in *in);
/* s = (w - w')/lr, without what decoupled decay takes. */
node optim_displacement(graph *g, const optim_spec *o, const optim_in *in, const optim_known *k);
#endif
