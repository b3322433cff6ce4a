/* For gp.c, gp_fit.c and their tests alone. */
#ifndef GP_INSIDE_H
#define GP_INSIDE_H
#include "bo/gp.h"

/* gp_factor with this jitter and no other; `slopes`: h of gp_kernel.h is kept. */
bool gp_factor_at(gp *g, const double *phi, double jitter, bool slopes);
/* mu of the targets; row[0] is K^-1 1 afterwards. */
double gp_level(gp *g);
#endif
