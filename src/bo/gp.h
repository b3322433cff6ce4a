/* A Gaussian process over a few hundred points: its fit, its factor, what it predicts.
 *
 *   f ~ GP(mu, s2 k)     k: Matern-5/2 of the distance sum_c ((z_c - z'_c) / l_group(c))^2
 *   t = f + noise        K = s2 k + (sigma2 + 1e-13) I,  L L' = K
 *   mu = 1'K^-1 t / 1'K^-1 1,  alpha = K^-1 (t - mu)
 *   mean(z) = mu + k(z)'alpha,  variance(z) = s2 - |L^-1 k(z)|^2, that of f without noise
 *
 * phi holds the logarithms of what is fitted: l of each group, s2, sigma2. It is the largest of the
 * posterior under ln l ~ N(ln(.22 sqrt(groups)), .5^2), ln s2 ~ N(0, 1), ln sigma2 ~ N(-24, 4^2)
 * or, where noise is expected, N(-7, 3^2).
 *
 * With gradients there are further rows, each a derivative of f along a column at a point, seen
 * with noise of variance sigma2_g times its own prior variance, 5/3 s2 / l^2; ln sigma2_g, one for
 * all, is the last of phi, ~ N(-3, 2^2). The covariances: gp_gradient.c. All that is said of k(z)
 * and K holds for all rows; mu is subtracted from values alone.
 *
 * The model knows columns of numbers, not parameters: encoding.h. Several right sides (fantasies of
 * what runs still) share one factor.
 *
 * Source: Rasmussen and Williams, "Gaussian processes for machine learning" (2006), chapters 2, 5;
 *         scaled prior: Hvarfner, Hellsten, Nardi, "Vanilla Bayesian optimization performs great in
 *         high dimensions" (ICML 2024), here shorter and tighter: docs/SEARCH.md.
 * Ownership: gp_new gives, gp_free takes; arrays passed in are copied.
 * Threads: one gp, one thread at a time. */
#ifndef GP_H
#define GP_H
#include "bo/gp_kernel.h"
#include "linalg/linalg.h"

typedef struct gp_shape {
    int32_t columns, groups;
    const int32_t *group; /* of each column; borrowed */
    bool gradients;       /* phi has one more */
    bool noisy;           /* noise is expected: the prior of ln sigma2 */
} gp_shape;

typedef struct gp {
    drmad_ctx *ctx;
    const linalg *lin;
    const gp_loops *loops;
    gp_shape shape;
    int32_t n, rows; /* points; their values and derivatives, values first, then what is appended */
    int32_t room;    /* for rows; a multiple of GP_PAD and the stride of all matrices */
    int32_t sides;   /* right sides */
    int32_t *point;  /* room: of each row */
    int32_t *along;  /* room: the column of a derivative, -1: a value */
    double *phi;     /* gp_count */
    double *z;       /* columns x room: as given */
    double *x;       /* the same over lengthscales */
    double *factor;  /* room x room, L in the lower triangle */
    double *slope;   /* room x room: h of gp_kernel.h, while fitting */
    double *t;       /* room: targets */
    double *alpha;   /* sides x room */
    double mean;     /* mu */
    double *row[7];  /* room each: working rows; the last three: gp_gradient.c */
    double *at;      /* 3 columns: a point over lengthscales; sums by column; */
    double *over;    /* 1 / l of each column, of the newest factor: the third part of it */
} gp;

drmad_status gp_new(drmad_ctx *ctx, const linalg *lin, gp_shape shape, gp **out);
void gp_free(gp *g); /* NULL is fine */

/* How many numbers phi has. */
int32_t gp_count(const gp_shape *shape);
/* Room for n points, no more and no less: results are then to the bit those of a new model. Forgets
 * the data where that changes anything. */
drmad_status gp_reserve(gp *g, int32_t n);
/* The data: n points, row by row (n x columns), and targets. Forgets what was there. */
drmad_status gp_data(gp *g, int32_t n, const double *z, const double *t);
/* Derivatives of the targets, for a shape with gradients, after gp_data: slopes is n x columns, NaN
 * where none is known. */
drmad_status gp_gradients(gp *g, const double *slopes);
/* The median of phi's prior. */
void gp_prior_median(const gp_shape *shape, double *phi);
/* -log posterior at phi, up to a constant, for the data; gradient[gp_count] may be NULL.
 * INFINITY: K is not positive definite. */
double gp_objective(gp *g, const double *phi, double *gradient);
/* Lowers the objective from phi, which becomes the best that was met; *value: there. */
drmad_status gp_fit(gp *g, double *phi, int32_t evaluations, double *value);

/* Factors K at phi. false: not positive definite, even with jitter. */
bool gp_factor(gp *g, const double *phi);
/* One more point without a target, O(n^2). *done: it could be taken in. */
drmad_status gp_append(gp *g, const double *z, bool *done);
/* Takes appended points away: the first n stay. */
void gp_drop(gp *g, int32_t n);
/* Targets of all n points, after factor and appends: one right side. O(n^2). Derivatives stay. */
void gp_targets(gp *g, const double *t);
/* Targets for the points beyond the first `known`, drawn from their joint posterior given those of
 * the known: t = mu + L w with w = L^-1 (t - mu) for the known and w = e, standard normal, beyond.
 * e and t are sides x (n - known). O(n^2) a side. */
drmad_status gp_fantasies(gp *g, int32_t known, int32_t sides, const double *e, double *t);

/* At z: mean[sides] and variance; with slopes, d/dz of both: dmean sides x columns, dvariance
 * columns. dmean and dvariance may be NULL together. */
void gp_predict(gp *g, const double *z, double *mean, double *variance, double *dmean,
                double *dvariance);
/* At m points; z is m x columns, mean sides x m, variance m. */
drmad_status gp_predict_many(gp *g, int32_t m, const double *z, double *mean, double *variance);
#endif
