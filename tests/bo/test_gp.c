/* The Gaussian process: loops against libm, likelihood and predictions against differences,
 * appended rows against a whole factor. */
#include "bo/gp_inside.h"
#include "base/rng.h"
#include "test.h"

enum { N = 37, COLUMNS = 5, GROUPS = 4 };
static const int32_t group[COLUMNS] = {0, 1, 1, 2, 3};
static const gp_shape shape = {.columns = COLUMNS, .groups = GROUPS, .group = group};
static const double phi[GROUPS + 2] = {-1.1, -0.4, 0.3, -0.8, 0.5, -6};

typedef struct desk {
    drmad_ctx *ctx;
    linalg *lin;
    gp *g;
    double z[N + 8][COLUMNS], t[N + 8];
} desk;

static void desk_open(desk *d)
{
    const rng_key key = {1, 2, 3};

    *d = (desk){.ctx = test_ctx()};
    CHECK_OK(d->ctx, linalg_open(d->ctx, &d->lin));
    CHECK_OK(d->ctx, gp_new(d->ctx, d->lin, shape, &d->g));
    for (int i = 0; i < N + 8; i++) {
        for (int c = 0; c < COLUMNS; c++) d->z[i][c] = rng_uniform(key, (uint64_t)(i * 16 + c));
        d->t[i] = sin(5 * d->z[i][0]) + d->z[i][1] * d->z[i][3] +
                  0.1 * rng_normal(key, (uint64_t)i << 32);
    }
    CHECK_OK(d->ctx, gp_data(d->g, N, d->z[0], d->t));
}

static void desk_close(desk *d)
{
    gp_free(d->g);
    linalg_close(d->lin);
}

static double naive(const double *a, const double *b, const double *p)
{
    double r2 = 0;

    for (int c = 0; c < COLUMNS; c++) r2 += pow((a[c] - b[c]) / exp(p[group[c]]), 2);
    return exp(p[GROUPS]) * (1 + sqrt(5 * r2) + 5 * r2 / 3) * exp(-sqrt(5 * r2));
}

static void check_loops(const gp_loops *loops)
{
    enum { M = 43, LD = 48 };
    static double x[2 * LD], k[LD], h[LD], w[LD], sum[LD], out[2], slopes[2];
    const double at[] = {0.3, -0.2};
    const rng_key key = {4, 5, 6};

    memset(sum, 0, sizeof sum);
    for (int i = 0; i < 2 * LD; i++) x[i] = pow(10, 4 * rng_uniform(key, (uint64_t)i) - 2);
    for (int j = 0; j < LD; j++) w[j] = j < M ? rng_normal(key, (uint64_t)j + 1000) : 0;
    loops->row(M, 2, x, LD, at, 2.5, k, h);
    loops->moments(M, 2, x, LD, at, w, out);
    slopes[0] = slopes[1] = 0;
    loops->slopes(M, 2, x, LD, at, w, 0.3, k, h, slopes);
    loops->squares(M, w, sum);
    double moments[2] = {0, 0}, want[2] = {0, 0};

    for (int j = 0; j < M; j++) {
        double d[] = {at[0] - x[j], at[1] - x[LD + j]}, r = sqrt(5 * (d[0] * d[0] + d[1] * d[1]));

        /* exp(-r) is as exact as r is: half an ulp of r each */
        CHECK_NEAR(k[j], 2.5 * (1 + r + r * r / 3) * exp(-r), 2e-16 * (5 + r) * k[j] + 1e-300);
        CHECK_NEAR(h[j], 2.5 * 5 / 3 * (1 + r) * exp(-r), 2e-16 * (5 + r) * h[j] + 1e-300);
        CHECK_NEAR(sum[j], w[j] * w[j], 0);
        for (int c = 0; c < 2; c++) {
            moments[c] += w[j] * d[c];
            want[c] += (w[j] - 0.3 * k[j]) * h[j] * d[c] * d[c];
        }
    }
    for (int c = 0; c < 2; c++) {
        CHECK_NEAR(out[c], moments[c], 1e-11);
        CHECK_NEAR(slopes[c], want[c], 1e-11);
    }
    CHECK_NEAR(loops->dot(M, w, x), loops->dot(M, x, w), 0);
}

TEST(the_loops_of_every_instruction_set_agree_with_libm)
{
    check_loops(&gp_loops_portable);
    if (gp_loops_best() != &gp_loops_portable) check_loops(&gp_loops_avx2);
    if (gp_loops_best() == &gp_loops_avx512) check_loops(&gp_loops_avx512);
}

/* L L' = K, and what follows from it, with K by its formula. */
TEST(the_factor_is_that_of_the_naive_covariance)
{
    desk d;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            const double noise = i == j ? exp(phi[5]) + GP_JITTER : 0;
            double sum = 0, want = naive(d.z[i], d.z[j], phi) + noise;

            for (int k = 0; k <= j; k++)
                sum += d.g->factor[i * d.g->room + k] * d.g->factor[j * d.g->room + k];
            CHECK_NEAR(sum, want, 1e-13);
        }
    gp_targets(d.g, d.t);
    for (int i = 0; i < N; i++) { /* K alpha = t - mu */
        double sum = (exp(phi[5]) + GP_JITTER) * d.g->alpha[i];

        for (int j = 0; j < N; j++) sum += naive(d.z[i], d.z[j], phi) * d.g->alpha[j];
        CHECK_NEAR(sum, d.t[i] - d.g->mean, 1e-11);
    }
    desk_close(&d);
}

TEST(the_gradient_of_the_posterior_is_its_difference)
{
    desk d;
    double g[GROUPS + 2], moved[GROUPS + 2];
    const double e = 1e-5;

    desk_open(&d);
    gp_objective(d.g, phi, g);
    for (int i = 0; i < GROUPS + 2; i++) {
        memcpy(moved, phi, sizeof moved);
        moved[i] += e;
        double above = gp_objective(d.g, moved, NULL);
        moved[i] -= 2 * e;
        double below = gp_objective(d.g, moved, NULL);

        CHECK_NEAR((above - below) / (2 * e), g[i], 1e-7 * fmax(1, fabs(g[i])));
    }
    desk_close(&d);
}

TEST(a_fit_ends_where_the_gradient_does)
{
    desk d;
    double g[GROUPS + 2], at[GROUPS + 2], value, start;

    desk_open(&d);
    gp_prior_median(&shape, at);
    start = gp_objective(d.g, at, NULL);
    CHECK_OK(d.ctx, gp_fit(d.g, at, 100, &value));
    CHECK(value < start - 1);
    CHECK_NEAR(gp_objective(d.g, at, g), value, 1e-9);
    for (int i = 0; i < GROUPS + 2; i++) CHECK_NEAR(g[i], 0, 0.05); /* stops on 1e-5 of value */
    desk_close(&d);
}

TEST(where_there_is_no_noise_the_fit_finds_none)
{
    gp_shape noisy = shape;
    desk d;
    double at[GROUPS + 2], value;

    desk_open(&d);
    for (int i = 0; i < N; i++) {
        for (int c = 1; c < COLUMNS; c++) d.z[i][c] = 0.5;
        d.t[i] = sin(2 * d.z[i][0]);
    }
    CHECK_OK(d.ctx, gp_data(d.g, N, d.z[0], d.t));
    gp_prior_median(&shape, at);
    CHECK_OK(d.ctx, gp_fit(d.g, at, 200, &value));
    CHECK(exp(at[GROUPS + 1]) < 1e-9);
    noisy.noisy = true; /* begins at e^-7, and goes below what sampler_gp.c takes for none */
    d.g->shape = noisy;
    gp_prior_median(&noisy, at);
    CHECK_OK(d.ctx, gp_fit(d.g, at, 200, &value));
    CHECK(exp(at[GROUPS + 1]) < 1e-4);
    desk_close(&d);
}

/* Noise of sd .1, and the model that expects it. The other, from where it starts, stays with what
 * it expects: short lengthscales. */
TEST(where_there_is_noise_the_model_that_expects_it_finds_it)
{
    gp_shape noisy = shape;
    double at[GROUPS + 2], other[GROUPS + 2], value;
    desk d;

    desk_open(&d);
    gp_prior_median(&shape, other);
    CHECK_OK(d.ctx, gp_fit(d.g, other, 200, &value));
    noisy.noisy = true;
    d.g->shape = noisy;
    gp_prior_median(&noisy, at);
    CHECK_OK(d.ctx, gp_fit(d.g, at, 200, &value));
    CHECK(exp(at[GROUPS + 1]) > 0.1 * 0.1 / 4 && exp(at[GROUPS + 1]) < 0.1 * 0.1 * 4);
    CHECK(exp(other[GROUPS + 1]) < 1e-9);
    CHECK(other[0] < at[0]);
    desk_close(&d);
}

TEST(slopes_of_predictions_are_differences)
{
    desk d;
    double z[COLUMNS], mean, variance, dm[COLUMNS], dv[COLUMNS], m[2], v[2];
    const double e = 1e-5;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    gp_targets(d.g, d.t);
    memcpy(z, d.z[N], sizeof z);
    gp_predict(d.g, z, &mean, &variance, dm, dv);
    for (int c = 0; c < COLUMNS; c++) {
        for (int k = 0; k < 2; k++) {
            z[c] = d.z[N][c] + (k ? e : -e);
            gp_predict(d.g, z, &m[k], &v[k], NULL, NULL);
        }
        z[c] = d.z[N][c];
        CHECK_NEAR((m[1] - m[0]) / (2 * e), dm[c], 1e-7);
        CHECK_NEAR((v[1] - v[0]) / (2 * e), dv[c], 1e-7);
    }
    desk_close(&d);
}

TEST(many_predictions_are_those_one_by_one)
{
    desk d;
    double mean[8], variance[8], m, v;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    gp_targets(d.g, d.t);
    CHECK_OK(d.ctx, gp_predict_many(d.g, 8, d.z[N], mean, variance));
    for (int i = 0; i < 8; i++) {
        gp_predict(d.g, d.z[N + i], &m, &v, NULL, NULL);
        CHECK_NEAR(mean[i], m, 1e-12);
        CHECK_NEAR(variance[i], v, 1e-12);
    }
    gp_predict(d.g, d.z[3], &m, &v, NULL, NULL); /* at a point of the data: nearly its target */
    CHECK_NEAR(m, d.t[3], 0.05);
    CHECK(v < exp(phi[5]));
    desk_close(&d);
}

TEST(appended_rows_are_those_of_a_whole_factor)
{
    desk d;
    gp *whole;
    double m[2], v[2];
    bool done;

    desk_open(&d);
    CHECK_OK(d.ctx, gp_new(d.ctx, d.lin, shape, &whole));
    CHECK_OK(d.ctx, gp_data(whole, N + 8, d.z[0], d.t));
    CHECK(gp_factor(whole, phi));
    CHECK(gp_factor(d.g, phi));
    for (int i = 0; i < 8; i++) {
        CHECK_OK(d.ctx, gp_append(d.g, d.z[N + i], &done));
        CHECK(done);
    }
    gp_targets(d.g, d.t);
    gp_targets(whole, d.t);
    for (int i = 0; i < N + 8; i++)
        for (int j = 0; j <= i; j++)
            CHECK_NEAR(d.g->factor[i * d.g->room + j], whole->factor[i * whole->room + j], 1e-9);
    gp_predict(d.g, d.z[0], &m[0], &v[0], NULL, NULL);
    gp_predict(whole, d.z[0], &m[1], &v[1], NULL, NULL);
    CHECK_NEAR(m[0], m[1], 1e-9);
    CHECK_NEAR(v[0], v[1], 1e-9);
    gp_free(whole);
    desk_close(&d);
}

/* With e = 0 a fantasy is the mean, and the means stay what they were; the spread of fantasies is
 * that of the prediction. */
TEST(fantasies_are_draws_from_the_posterior)
{
    enum { SIDES = 400 };
    static double e[SIDES], t[SIDES], mean[SIDES];
    const rng_key key = {7, 8, 9};
    double before, variance, v, sum = 0, square = 0;
    desk d;
    bool done;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    gp_targets(d.g, d.t);
    gp_predict(d.g, d.z[N], &before, &variance, NULL, NULL);
    CHECK_OK(d.ctx, gp_append(d.g, d.z[N], &done));
    for (int i = 0; i < SIDES; i++) e[i] = i ? rng_normal(key, (uint64_t)i) : 0;
    CHECK_OK(d.ctx, gp_fantasies(d.g, N, SIDES, e, t));
    CHECK_NEAR(t[0], before, 1e-12);
    for (int i = 0; i < SIDES; i++) sum += t[i] / SIDES, square += pow(t[i] - before, 2) / SIDES;
    variance += exp(phi[5]) + GP_JITTER;
    CHECK_NEAR(sum, before, 4 * sqrt(variance / SIDES));
    CHECK_NEAR(square / variance, 1, 4 * sqrt(2.0 / SIDES));
    gp_predict(d.g, d.z[N], mean, &v, NULL, NULL); /* now known up to the noise */
    for (int i = 0; i < SIDES; i++)
        CHECK_NEAR(mean[i], t[i], (exp(phi[5]) / variance + 1e-9) * fabs(t[i] - before) + 1e-9);
    desk_close(&d);
}

/* 60 equal points and no noise: the jitter grows until it can be factored. */
TEST(equal_points_are_factored_all_the_same)
{
    static double z[60][COLUMNS], t[60];
    const double flat[GROUPS + 2] = {3, 3, 3, 3, 7, log(1e-8)};
    desk d;
    double m, v;

    desk_open(&d);
    CHECK_OK(d.ctx, gp_data(d.g, 60, z[0], t));
    CHECK(gp_factor(d.g, flat));
    gp_targets(d.g, t);
    gp_predict(d.g, z[0], &m, &v, NULL, NULL);
    CHECK(isfinite(m) && v > 0);
    desk_close(&d);
}

static drmad_status grow(drmad_ctx *ctx, void *arg)
{
    const desk *d = arg;
    drmad_status st = DRMAD_OK;
    double at[GROUPS + 2], t[2], e[2] = {1, -1}, mean[4], variance[2], value;
    gp *g = NULL;
    bool done;

    TRY(gp_new(ctx, d->lin, shape, &g));
    TRY(gp_data(g, N, d->z[0], d->t));
    gp_prior_median(&shape, at);
    TRY(gp_fit(g, at, 3, &value));
    if (!gp_factor(g, at)) goto done;
    gp_targets(g, d->t);
    TRY(gp_append(g, d->z[N], &done));
    TRY(gp_fantasies(g, N, 2, e, t));
    TRY(gp_predict_many(g, 2, d->z[N], mean, variance));
done:
    gp_free(g);
    return st;
}

TEST(a_model_outlives_any_failing_allocation)
{
    desk d;

    desk_open(&d);
    test_oom(grow, &d);
    desk_close(&d);
}
