/* The data of one model of the GP sampler, in the order of its factor: for sampler_gp.c.
 *
 * Ownership: set_make gives, set_free takes; rows belong to the scene. */
#ifndef GP_SET_H
#define GP_SET_H
#include "bo/gp_scene.h"

enum { ROWS_MOST = 1000, ROWS_NEAR = 512 };

typedef struct gp_set {
    const observation **rows;
    double *z, *t;    /* t: targets */
    int32_t n, whole; /* whole: factored at once; the others are appended */
    int32_t n_pending;
    double *pending;    /* columns of trials that run */
    bool gradients;     /* slopes are used: all rows are factored at once, each time */
    double *slopes;     /* of t by the columns, NaN: not known */
    double *low, *high; /* of latents: where to look; NULL: everywhere */
} gp_set;

drmad_status set_make(const gp_scene *c, gp_set *out);
void set_free(drmad_ctx *ctx, gp_set *set);
/* All rows, number rising; without_balls: those outside the closed balls. */
void set_take(const gp_scene *c, const niche_options *o, bool without_balls, gp_set *set);
/* Of more than ROWS_MOST rows the ROWS_NEAR nearest the best one, and the box they fill about it:
 * a trust region as in Eriksson et al., "Scalable global optimization via local Bayesian
 * optimization" (NeurIPS 2019), whose size follows from the data. */
drmad_status set_narrow(const gp_scene *c, gp_set *set);
/* Rows that the fit of trial `place` of the scene saw first, then the others. Where that can no
 * longer be told the rows stay as they are. */
drmad_status set_order(const gp_scene *c, int32_t place, gp_set *set);

bool set_is_complete(const observation *row);
int32_t set_complete(const gp_set *set);
/* The place of the least value of a complete row; there is one. */
int32_t set_best(const gp_set *set);
#endif
