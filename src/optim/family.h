/* A family of optimisers, one file each. Inside room optim only. */
#ifndef FAMILY_H
#define FAMILY_H
#include "optim/optim.h"

typedef struct optim_family {
    unsigned reads; /* bits of optim_hyper */
    drmad_status (*check)(drmad_ctx *ctx, const optim_spec *o);
    int32_t (*vectors)(const optim_spec *o);
    int32_t squares; /* the vector that averages squared gradients; -1 = none */
    void (*build)(graph *g, const optim_spec *o, optim_step *st); /* st->in is set */
    int (*substitutes)(graph *g, const optim_spec *o, const optim_step *st, const optim_known *k,
                       node from[], node to[]);
} optim_family;

extern const optim_family optim_sgd, optim_rmsprop, optim_adam, optim_nadam;

#define READS(h) (1u << (h))

/* x times h, which is spread over x's shape. */
node optim_times(graph *g, node h, node x);
node optim_one_minus(graph *g, node x);
/* beta and 1 - beta in the type and shape of x; 1 - beta^t in the type of x. */
node optim_keep(graph *g, node beta, node x);
node optim_gain(graph *g, node beta, node x);
node optim_correction(graph *g, node beta, node step, node x);
/* beta^t, F64. */
node optim_power(graph *g, node beta, node step);
/* The root of x, 0 where x is not above 0; its derivative there is 0 too. */
node optim_root(graph *g, node x);
/* 1/(sqrt x + eps), or 1/sqrt(x + eps) where eps is inside. */
node optim_inverse_root(graph *g, const optim_spec *o, node x, node eps);
/* Adam's 1/D from v'. */
node optim_adam_inverse(graph *g, const optim_spec *o, const optim_in *in, node v);
/* a where m is 1, b where it is 0. */
node optim_choose(graph *g, node m, node a, node b);
/* beta x + (1 - beta) y. */
node optim_average(graph *g, node beta, node x, node y);
/* w - lr s, decay included. */
node optim_moved(graph *g, const optim_spec *o, const optim_in *in, node s);
drmad_status optim_adaptive_check(drmad_ctx *ctx, const optim_spec *o);
/* g + wd w, or g where there is no decay or it is decoupled. */
node optim_coupled(graph *g, const optim_spec *o, const optim_in *in);
/* w, or (1 - lr wd) w where decay is decoupled. */
node optim_decayed(graph *g, const optim_spec *o, const optim_in *in);
/* s = (w - w')/lr, without what decoupled decay takes. */
node optim_displacement(graph *g, const optim_spec *o, const optim_in *in, const optim_known *k);
#endif
