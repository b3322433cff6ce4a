/* What is fitted, phi, and how: the largest of the posterior, by L-BFGS with exact gradients.
 *
 *   J(phi) = (t - mu)'alpha / 2 + sum_i ln L_ii + sum ((phi - m) / v)^2 / 2
 *   dJ / d phi_j = tr(W dK/dphi_j) / 2 + (phi_j - m_j) / v_j^2      W = K^-1 - alpha alpha'
 *   dK / d ln l_g = s2 h sum_(c in g) ((z_c - z'_c) / l_g)^2        h: gp_kernel.h
 *   tr(W s2 k) = n - (t - mu)'alpha - (sigma2 + jitter) tr W
 *
 * Derivatives add their own terms: gp_gradient.c.
 *
 * mu is where dJ / dmu = 0, so that it adds nothing to the gradient.
 *
 * Source:  Rasmussen and Williams (2006), equations 2.30 and 5.9.
 * Checked: tests/bo/test_gp.c, against differences. */
#include "bo/gp_inside.h"
#include <math.h>

typedef struct prior {
    double mean, sd, low, high; /* normal; bounds of the fit */
} prior;

/* Of phi's number i. */
static prior prior_of(const gp_shape *shape, int32_t i)
{
    static const prior sigma2[] = {{-24, 4, -30, 0}, {-7, 3, -30, 0}};

    if (i < shape->groups)
        return (prior){log(0.22 * sqrt(shape->groups)), 0.5, log(0.005), log(50)};
    if (i == shape->groups) return (prior){0, 1, -7, 7};
    if (i == shape->groups + 1) return sigma2[shape->noisy];
    return (prior){-3, 2, -18.420680743952367, 2};
}

void gp_prior_median(const gp_shape *shape, double *phi)
{
    for (int32_t i = 0; i < gp_count(shape); i++) phi[i] = prior_of(shape, i).mean;
}

/* Adds the prior's part. */
static double add_prior(const gp *g, const double *phi, double *gradient)
{
    double sum = 0;

    for (int32_t i = 0; i < gp_count(&g->shape); i++) {
        const prior p = prior_of(&g->shape, i);
        const double e = (phi[i] - p.mean) / p.sd;

        sum += 0.5 * e * e;
        if (gradient) gradient[i] += e / p.sd;
    }
    return sum;
}

/* The factor becomes the lower triangle of K^-1. */
static void add_slopes(gp *g, double fit, double *gradient)
{
    const int32_t groups = g->shape.groups;
    double *by_column = g->at + g->shape.columns, trace = 0, rest_trace = 0;

    linalg_inverse(g->lin, g->rows, g->factor, g->room);
    for (int32_t c = 0; c < g->shape.columns; c++) by_column[c] = 0;
    for (int32_t i = 0; i < g->n; i++) {
        const double *w = g->factor + (int64_t)i * g->room;

        gp_point_at(g, i);
        g->loops->slopes(i, g->shape.columns, g->x, g->room, g->at, w, g->alpha[i], g->alpha,
                         g->slope + (int64_t)i * g->room, by_column);
        trace += w[i] - g->alpha[i] * g->alpha[i];
    }
    for (int32_t c = 0; c < g->shape.columns; c++) gradient[g->shape.group[c]] += by_column[c];
    for (int32_t i = g->n; i < g->rows; i++)
        rest_trace += g->factor[(int64_t)i * g->room + i] - g->alpha[i] * g->alpha[i];
    const double sigma2 = exp(g->phi[groups + 1]);

    gradient[groups] += 0.5 * (g->rows - fit - sigma2 * trace - GP_JITTER * (trace + rest_trace));
    gradient[groups + 1] += 0.5 * sigma2 * trace;
    if (g->rows > g->n) gp_gradient_slopes(g, gradient);
}

double gp_objective(gp *g, const double *phi, double *gradient)
{
    double logs = 0, fit = 0;

    if (!gp_factor_at(g, phi, GP_JITTER, gradient != NULL)) return INFINITY;
    gp_targets(g, g->t);
    for (int32_t i = 0; i < g->rows; i++) {
        logs += log(g->factor[(int64_t)i * g->room + i]);
        fit += (g->t[i] - (g->along[i] < 0 ? g->mean : 0)) * g->alpha[i];
    }
    for (int32_t i = 0; gradient && i < gp_count(&g->shape); i++) gradient[i] = 0;
    if (gradient) add_slopes(g, fit, gradient);
    return 0.5 * fit + logs + add_prior(g, phi, gradient);
}

static double objective(void *user, int32_t n, const double *phi, double *gradient)
{
    (void)n;
    return gp_objective(user, phi, gradient);
}

drmad_status gp_fit(gp *g, double *phi, int32_t evaluations, double *value)
{
    const int32_t n = gp_count(&g->shape);
    drmad_status st = DRMAD_OK;
    double *lower = NULL, *upper;

    TRY(mem_alloc(g->ctx, 2 * (size_t)n, sizeof *lower, &lower));
    upper = lower + n;
    for (int32_t i = 0; i < n; i++) {
        const prior p = prior_of(&g->shape, i);

        lower[i] = p.low, upper[i] = p.high;
    }
    const linalg_task task = {.n = n,
                              .lower = lower,
                              .upper = upper,
                              .evaluations = evaluations,
                              .tolerance = 1e-5,
                              .fn = objective,
                              .user = g};

    TRY(linalg_minimise(g->lin, &task, phi, value));
done:
    mem_free(g->ctx, lower);
    return st;
}
