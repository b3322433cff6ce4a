/* For gp.c, gp_fit.c, gp_gradient.c and their tests alone. */
#ifndef GP_INSIDE_H
#define GP_INSIDE_H
#include "bo/gp.h"

#define GP_JITTER 1e-13 /* on K's diagonal, beside the noise */

/* gp_factor with this jitter and no other; `slopes`: h of gp_kernel.h is kept. */
bool gp_factor_at(gp *g, const double *phi, double jitter, bool slopes);
/* Room for so many rows, what is there kept. */
drmad_status gp_room(gp *g, int32_t rows);
double gp_s2(const gp *g);
/* g->at becomes point i. */
void gp_point_at(const gp *g, int32_t i);
/* mu of the targets; row[0] is K^-1 1 afterwards. */
double gp_level(gp *g);

/* ---- gp_gradient.c: only called where g->rows > g->n, derivatives are there ---- */

/* k, of g->at and each point, becomes its covariances with the first `rows` rows; h likewise of
 * gp_kernel.h. In place. */
void gp_spread(const gp *g, int32_t rows, double *k, const double *h);
/* The rows of K from g->n on; jitter on the diagonal. */
void gp_gradient_rows(gp *g, double jitter);
/* What derivatives add to the gradient of gp_objective, W = K^-1 - alpha alpha' in the factor's
 * lower triangle. */
void gp_gradient_slopes(gp *g, double *gradient);
/* sum_a beta_a d cov(f(at), row a) / d at, for all rows; h as for gp_spread. */
void gp_gradient_moments(gp *g, const double *h, const double *beta, double *out);
#endif
