/* Rows of a Gaussian process that are derivatives of it. With D = (z - z') / l elementwise,
 * r = |D|, s = sqrt(5) r, every k, h, q, p below times s2:
 *
 *   k = (1 + s + s^2 / 3) e^-s                      h = -2 dk/dr2 = 5/3 (1 + s) e^-s
 *   q = -2 dh/dr2 = 25/3 e^-s                       p = -2 dq/dr2 = 125/3 e^-s / s
 *   cov(f, f'_j) = h D_j / l_j                      cov(f_i, f') = -h D_i / l_i
 *   cov(f_i, f'_j) = (h [i = j] - q D_i D_j) / (l_i l_j)
 *
 * f_i = df/dz_i. By ln l of a group m, with Q = sum over m of D_c^2 and [i] for "i is in m":
 *
 *   cov(f_i, f')     (2 h [i] - q Q) D_i / l_i
 *   cov(f_i, f'_j)   (Q (q [i = j] - p D_i D_j) + ([i] + [j]) (2 q D_i D_j - h [i = j]))
 *                    / (l_i l_j)
 *
 * p grows without bound as r falls, but p Q D_i D_j goes to 0.
 *
 * Source:  Rasmussen and Williams (2006), section 9.4; Solak et al., "Derivative observations in
 *          Gaussian process models of dynamic systems" (NIPS 2002).
 * Checked: tests/bo/test_gp_gradient.c, against differences. */
#include "bo/gp_inside.h"
#include <math.h>
#include <string.h>

/* D_c of g->at and point j. */
static double apart(const gp *g, int32_t c, int32_t j)
{
    return g->at[c] - g->x[(int64_t)c * g->room + j];
}

/* q and p of g->at and each point; p may be NULL. */
static void curves(const gp *g, double *q, double *p)
{
    const double s2 = gp_s2(g);

    for (int32_t j = 0; j < g->n; j++) {
        double r2 = 0;

        for (int32_t c = 0; c < g->shape.columns; c++) r2 += apart(g, c, j) * apart(g, c, j);
        const double s = sqrt(5 * r2);

        q[j] = 25.0 / 3 * s2 * exp(-s);
        if (p) p[j] = s > 0 ? 5 * q[j] / s : 0;
    }
}

/* From the last row on, for a row lies behind its point; values of the first points stay. */
void gp_spread(const gp *g, int32_t rows, double *k, const double *h)
{
    for (int32_t i = rows - 1; i >= 0 && g->point[i] != i; i--) {
        const int32_t j = g->point[i], c = g->along[i];

        k[i] = c < 0 ? k[j] : h[j] * apart(g, c, j) * g->over[c];
    }
}

/* Row a of K, a derivative: with all rows before it. */
static void derivative_row(const gp *g, int32_t a, const double *h, const double *q, double *out)
{
    const int32_t c = g->along[a];
    const double over = g->over[c];

    for (int32_t b = 0; b < a; b++) {
        const int32_t j = g->point[b], e = g->along[b];
        const double d = apart(g, c, j) * over;

        if (e < 0) out[b] = -h[j] * d;
        else out[b] = (c == e ? h[j] * over * over : 0) - q[j] * d * apart(g, e, j) * g->over[e];
    }
}

/* The prior variance of derivative row a. */
static double spread_of(const gp *g, int32_t a)
{
    const double over = g->over[g->along[a]];

    return 5.0 / 3 * gp_s2(g) * over * over;
}

/* h, q (and p) of the point of row a and all points, unless the row before is of that point. */
static void meet(gp *g, int32_t a, double *h, double *q, double *p)
{
    if (a > 0 && g->along[a - 1] >= 0 && g->point[a - 1] == g->point[a]) return;
    gp_point_at(g, g->point[a]);
    g->loops->row(g->n, g->shape.columns, g->x, g->room, g->at, gp_s2(g), g->row[4], h);
    curves(g, q, p);
}

void gp_gradient_rows(gp *g, double jitter)
{
    const double noise = exp(g->phi[g->shape.groups + 2]);
    double *h = g->row[5], *q = g->row[6];

    for (int32_t a = g->n; a < g->rows; a++) {
        double *k = g->factor + (int64_t)a * g->room;

        meet(g, a, h, q, NULL);
        derivative_row(g, a, h, q, k);
        k[a] = spread_of(g, a) * (1 + noise) + jitter;
    }
}

/* ---- by the hyperparameters ---- */

typedef struct meeting {
    double *h, *q, *p, *by_r2; /* by_r2: what multiplies Q of each point */
} meeting;

/* Half the sum over rows b < a, twice: W is symmetric. */
static void row_slopes(gp *g, int32_t a, const meeting *m, double *gradient)
{
    const int32_t c = g->along[a], *group = g->shape.group;
    const double *w = g->factor + (int64_t)a * g->room, over = g->over[c];

    for (int32_t b = 0; b < a; b++) {
        const int32_t j = g->point[b], e = g->along[b];
        const double d = apart(g, c, j) * over, v = w[b] - g->alpha[a] * g->alpha[b];

        if (e < 0) {
            m->by_r2[j] -= v * m->q[j] * d;
            gradient[group[c]] += v * 2 * m->h[j] * d;
            continue;
        }
        const double dd = d * apart(g, e, j) * g->over[e];
        const double same = c == e ? over * over : 0;
        const double both = v * (2 * m->q[j] * dd - m->h[j] * same);

        m->by_r2[j] += v * (m->q[j] * same - m->p[j] * dd);
        gradient[group[c]] += both, gradient[group[e]] += both;
    }
}

/* by_r2 times Q, for the point in g->at. */
static void point_slopes(gp *g, const meeting *m, double *gradient)
{
    for (int32_t c = 0; c < g->shape.columns; c++) {
        double sum = 0;

        for (int32_t j = 0; j < g->n; j++) sum += m->by_r2[j] * apart(g, c, j) * apart(g, c, j);
        gradient[g->shape.group[c]] += sum;
    }
}

void gp_gradient_slopes(gp *g, double *gradient)
{
    const meeting m = {g->row[5], g->row[6], g->row[2], g->row[3]};
    const double noise = exp(g->phi[g->shape.groups + 2]);

    for (int32_t a = g->n; a < g->rows; a++) {
        const double w = g->factor[(int64_t)a * g->room + a] - g->alpha[a] * g->alpha[a];
        const double half = 0.5 * w * spread_of(g, a);
        const bool last = a + 1 == g->rows || g->point[a + 1] != g->point[a];

        if (a == g->n || g->point[a - 1] != g->point[a])
            memset(m.by_r2, 0, sizeof *m.by_r2 * (size_t)g->n);
        meet(g, a, m.h, m.q, m.p);
        row_slopes(g, a, &m, gradient);
        gradient[g->shape.group[g->along[a]]] -= 2 * half * (1 + noise);
        gradient[g->shape.groups + 2] += half * noise;
        if (last) point_slopes(g, &m, gradient);
    }
}

/* ---- by the place of a prediction ---- */

void gp_gradient_moments(gp *g, const double *h, const double *beta, double *out)
{
    const int32_t columns = g->shape.columns;
    double *w = g->row[5], *q = g->row[6];

    curves(g, q, NULL);
    memset(w, 0, sizeof *w * (size_t)g->n);
    memset(out, 0, sizeof *out * (size_t)columns);
    for (int32_t a = 0; a < g->rows; a++) {
        const int32_t j = g->point[a], c = g->along[a];

        if (c < 0) {
            w[j] -= h[j] * beta[a];
        } else {
            w[j] -= q[j] * beta[a] * apart(g, c, j) * g->over[c];
            out[c] += h[j] * beta[a] * g->over[c];
        }
    }
    for (int32_t c = 0; c < columns; c++) {
        for (int32_t j = 0; j < g->n; j++) out[c] += w[j] * apart(g, c, j);
        out[c] *= g->over[c];
    }
}
