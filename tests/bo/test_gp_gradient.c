/* The Gaussian process with derivatives among its data: covariances, likelihood and predictions
 * against differences, the chain from a trial's gradient to the model, the sampler as a whole. */
#include "base/rng.h"
#include "bo/gp_inside.h"
#include "bo/slopes.h"
#include "bo/warp.h"
#include "sampler_desk.h"
#include "test.h"

enum { N = 14, COLUMNS = 4, GROUPS = 3, PHI = GROUPS + 3, ROWS = N * (1 + COLUMNS) };
static const int32_t group[COLUMNS] = {0, 1, 1, 2};
static const gp_shape shape = {
    .columns = COLUMNS, .groups = GROUPS, .group = group, .gradients = true};
static const double phi[PHI] = {-0.8, -0.2, 0.3, 0.4, -7, -4};

typedef struct desk {
    drmad_ctx *ctx;
    linalg *lin;
    gp *g;
    double z[N + 3][COLUMNS], t[N + 3], slopes[N + 3][COLUMNS];
} desk;

/* t = sin(3 z0) + z1 z3 + cos(2 z2); every third derivative is not known. */
static void desk_open(desk *d)
{
    const rng_key key = {1, 2, 3};

    *d = (desk){.ctx = test_ctx()};
    CHECK_OK(d->ctx, linalg_open(d->ctx, &d->lin));
    CHECK_OK(d->ctx, gp_new(d->ctx, d->lin, shape, &d->g));
    for (int i = 0; i < N + 3; i++) {
        double *z = d->z[i], *s = d->slopes[i];

        for (int c = 0; c < COLUMNS; c++) z[c] = rng_uniform(key, (uint64_t)(i * 16 + c));
        d->t[i] = sin(3 * z[0]) + z[1] * z[3] + cos(2 * z[2]);
        s[0] = 3 * cos(3 * z[0]), s[1] = z[3], s[2] = -2 * sin(2 * z[2]), s[3] = z[1];
        for (int c = 0; c < COLUMNS; c++)
            if ((i + c) % 3 == 2) s[c] = NAN;
    }
    CHECK_OK(d->ctx, gp_data(d->g, N, d->z[0], d->t));
    CHECK_OK(d->ctx, gp_gradients(d->g, d->slopes[0]));
}

static void desk_close(desk *d)
{
    gp_free(d->g);
    linalg_close(d->lin);
}

static double naive(const double *a, const double *b)
{
    double r2 = 0;

    for (int c = 0; c < COLUMNS; c++) r2 += pow((a[c] - b[c]) / exp(phi[group[c]]), 2);
    return exp(phi[GROUPS]) * (1 + sqrt(5 * r2) + 5 * r2 / 3) * exp(-sqrt(5 * r2));
}

/* The covariance of two rows by differences of the kernel: e^2 of it is lost. */
static double by_differences(const desk *d, int32_t a, int32_t b)
{
    const double e = 1e-4;
    const int32_t c[] = {d->g->along[a], d->g->along[b]};
    double sum = 0;

    for (int side = 0; side < 4; side++) {
        double x[COLUMNS], y[COLUMNS];

        memcpy(x, d->z[d->g->point[a]], sizeof x), memcpy(y, d->z[d->g->point[b]], sizeof y);
        if (c[0] >= 0) x[c[0]] += side & 1 ? e : -e;
        if (c[1] >= 0) y[c[1]] += side & 2 ? e : -e;
        const double sign = (c[0] < 0 || side & 1 ? 1 : -1) * (c[1] < 0 || side & 2 ? 1 : -1);

        sum += sign * naive(x, y);
    }
    return sum / ((c[0] < 0 ? 2 : 2 * e) * (c[1] < 0 ? 2 : 2 * e));
}

TEST(covariances_of_derivatives_are_differences_of_the_kernel)
{
    desk d;

    desk_open(&d);
    CHECK(d.g->rows > 3 * N && d.g->rows < ROWS);
    CHECK(gp_factor(d.g, phi));
    for (int a = 0; a < d.g->rows; a++)
        for (int b = 0; b <= a; b++) {
            const double *la = d.g->factor + (int64_t)a * d.g->room;
            const double *lb = d.g->factor + (int64_t)b * d.g->room;
            double sum = 0, noise = 0;

            for (int k = 0; k <= b; k++) sum += la[k] * lb[k];
            if (a == b)
                noise = d.g->along[a] < 0 ? exp(phi[4]) : by_differences(&d, a, a) * exp(phi[5]);
            CHECK_NEAR(sum, by_differences(&d, a, b) + noise, 2e-5);
        }
    desk_close(&d);
}

TEST(the_gradient_of_the_posterior_with_derivatives_is_its_difference)
{
    desk d;
    double g[PHI], moved[PHI];
    const double e = 1e-5;

    desk_open(&d);
    gp_objective(d.g, phi, g);
    for (int i = 0; i < PHI; i++) {
        memcpy(moved, phi, sizeof moved);
        moved[i] += e;
        const double above = gp_objective(d.g, moved, NULL);
        moved[i] -= 2 * e;
        const double below = gp_objective(d.g, moved, NULL);

        CHECK_NEAR((above - below) / (2 * e), g[i], 1e-7 * fmax(1, fabs(g[i])));
    }
    desk_close(&d);
}

TEST(predictions_with_derivatives_agree_with_their_differences)
{
    enum { M = 11 };
    desk d;
    double z[M][COLUMNS], mean[M], variance[M], one, var, dm[COLUMNS], dv[COLUMNS];
    const rng_key key = {5, 6, 7};
    const double e = 1e-5;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    gp_targets(d.g, d.t);
    for (int j = 0; j < M; j++)
        for (int c = 0; c < COLUMNS; c++)
            z[j][c] = 1.4 * rng_uniform(key, (uint64_t)(j * COLUMNS + c)) - 0.2;
    CHECK_OK(d.ctx, gp_predict_many(d.g, M, z[0], mean, variance));
    for (int j = 0; j < M; j++) {
        gp_predict(d.g, z[j], &one, &var, dm, dv);
        CHECK_NEAR(one, mean[j], 1e-11);
        CHECK_NEAR(var, variance[j], 1e-11);
        for (int c = 0; c < COLUMNS; c++) {
            double m[2], v[2];

            for (int side = 0; side < 2; side++) {
                double at[COLUMNS];

                memcpy(at, z[j], sizeof at);
                at[c] += side ? e : -e;
                gp_predict(d.g, at, &m[side], &v[side], NULL, NULL);
            }
            CHECK_NEAR(dm[c], (m[1] - m[0]) / (2 * e), 1e-7);
            CHECK_NEAR(dv[c], (v[1] - v[0]) / (2 * e), 1e-7);
        }
    }
    desk_close(&d);
}

/* Without noise the mean has the values and the derivatives that it was given; elsewhere it is
 * better than it is from the values alone. */
TEST(the_mean_has_the_derivatives_that_it_was_given)
{
    const double quiet[PHI] = {-0.8, -0.2, 0.3, 0.4, -18, -18};
    const gp_shape alone = {.columns = COLUMNS, .groups = GROUPS, .group = group};
    const rng_key key = {8, 9, 10};
    desk d;
    gp *values = NULL;
    double mean, var, dm[COLUMNS], dv[COLUMNS], error[2] = {0, 0};

    desk_open(&d);
    CHECK(gp_factor(d.g, quiet));
    gp_targets(d.g, d.t);
    CHECK_OK(d.ctx, gp_new(d.ctx, d.lin, alone, &values));
    CHECK_OK(d.ctx, gp_data(values, N, d.z[0], d.t));
    CHECK(gp_factor(values, quiet));
    gp_targets(values, d.t);
    for (int i = 0; i < N; i++) {
        gp_predict(d.g, d.z[i], &mean, &var, dm, dv);
        CHECK_NEAR(mean, d.t[i], 1e-4);
        for (int c = 0; c < COLUMNS; c++)
            if (!isnan(d.slopes[i][c])) CHECK_NEAR(dm[c], d.slopes[i][c], 1e-3);
    }
    for (int i = 0; i < 100; i++) {
        double z[COLUMNS];

        for (int c = 0; c < COLUMNS; c++) z[c] = rng_uniform(key, (uint64_t)(i * COLUMNS + c));
        const double want = sin(3 * z[0]) + z[1] * z[3] + cos(2 * z[2]);

        gp_predict(d.g, z, &mean, &var, NULL, NULL);
        error[0] += fabs(mean - want);
        gp_predict(values, z, &mean, &var, NULL, NULL);
        error[1] += fabs(mean - want);
    }
    CHECK(error[0] < 0.6 * error[1]);
    gp_free(values);
    desk_close(&d);
}

/* A point that is appended stands behind the derivatives; it counts as it does before them. Its
 * most probable value is the mean there. */
TEST(points_appended_behind_derivatives_count_as_they_should)
{
    desk d;
    gp *whole = NULL;
    double mean[2], var[2], e[2] = {0, 0}, t[2];
    bool done;

    desk_open(&d);
    CHECK(gp_factor(d.g, phi));
    gp_targets(d.g, d.t);
    gp_predict(d.g, d.z[N], mean, var, NULL, NULL);
    for (int i = N; i < N + 2; i++) {
        CHECK_OK(d.ctx, gp_append(d.g, d.z[i], &done));
        CHECK(done);
    }
    CHECK_OK(d.ctx, gp_fantasies(d.g, N, 1, e, t));
    CHECK_NEAR(t[0], mean[0], 1e-10);
    for (int c = 0; c < COLUMNS; c++) d.slopes[N][c] = d.slopes[N + 1][c] = NAN;
    CHECK_OK(d.ctx, gp_new(d.ctx, d.lin, shape, &whole));
    CHECK_OK(d.ctx, gp_data(whole, N + 2, d.z[0], d.t));
    CHECK_OK(d.ctx, gp_gradients(whole, d.slopes[0]));
    CHECK(gp_factor(whole, phi));
    gp_targets(whole, d.t), gp_targets(d.g, d.t);
    gp_predict(whole, d.z[N + 2], &mean[0], &var[0], NULL, NULL);
    gp_predict(d.g, d.z[N + 2], &mean[1], &var[1], NULL, NULL);
    CHECK_NEAR(mean[1], mean[0], 1e-9);
    CHECK_NEAR(var[1], var[0], 1e-10);
    gp_drop(d.g, N);
    gp_targets(d.g, d.t);
    gp_predict(d.g, d.z[N], &mean[1], &var[1], NULL, NULL);
    CHECK_NEAR(mean[1], t[0], 1e-10);
    gp_free(whole);
    desk_close(&d);
}

/* ---- from trials ---- */

static const char mixed[] = "parameters:\n"
                            "  - {name: lr, low: 1e-4, high: 1, log: true}\n"
                            "  - {name: depth, type: int, low: 1, high: 6}\n"
                            "  - {name: act, choices: [a, b]}\n"
                            "  - {name: mu, low: -2, high: 6}\n"
                            "  - {name: drop, low: 0, high: 1, when: act == b}\n";

/* Rows a hair apart: dt / dz is the difference of their targets over that of their columns. */
TEST(gradients_of_trials_become_slopes_of_targets)
{
    enum { ROWS_HERE = 8, MORE = 2 };
    double x[ROWS_HERE][5], gradient[ROWS_HERE][5], t[ROWS_HERE], by_value[ROWS_HERE];
    double z[ROWS_HERE * 16], slopes[ROWS_HERE * 16];
    observation rows[ROWS_HERE];
    const observation *all[ROWS_HERE];
    encoding *e = NULL;
    sampler_desk d;

    sampler_desk_open(&d, mixed, 1);
    CHECK_OK(d.ctx, encoding_new(d.space, &e));
    for (int i = 0; i < ROWS_HERE; i++) {
        const double hair = i % 2 ? 1e-6 : 0; /* pairs: lr moves in the first two, then mu */
        double lr = 0.01 * (i / 2 + 1), mu = i / 2 - 1;

        if (i < 4) lr *= 1 + hair;
        else mu += hair;
        memcpy(x[i], (double[]){lr, 2, i % 4 / 2, mu, i % 4 / 2 ? 0.5 : NAN}, sizeof x[i]);
        memcpy(gradient[i], (double[]){7, 1, 1, 3, 2}, sizeof gradient[i]);
        rows[i] = (observation){i, OBSERVED_COMPLETE, x[i], 7 * lr + 3 * mu, 0, gradient[i], NULL};
        all[i] = &rows[i];
        encoding_columns(e, x[i], z + i * e->columns);
    }
    const slope_data data = {e, ROWS_HERE, all, z, t, by_value};

    CHECK(slopes_there(e, all, ROWS_HERE));
    CHECK_OK(d.ctx, warp_targets(d.ctx, all, ROWS_HERE, t, by_value));
    CHECK_OK(d.ctx, slopes_make(d.ctx, &data, 1000, slopes));
    for (int i = 0; i < ROWS_HERE; i += 2) {
        const int32_t c = e->params[i < 4 ? 0 : 3].column;
        const double want =
            (t[i + 1] - t[i]) / (z[(i + 1) * e->columns + c] - z[i * e->columns + c]);

        CHECK_NEAR(slopes[i * e->columns + c], want, 1e-4 * fabs(want));
        CHECK(want != 0);
        for (int p = 1; p < 3; p++) CHECK(isnan(slopes[i * e->columns + e->params[p].column]));
        CHECK(isnan(slopes[i * e->columns + e->params[4].column]) == isnan(x[i][4]));
    }
    gradient[4][3] = 3000; /* nowhere do the targets rise like that */
    CHECK_OK(d.ctx, slopes_make(d.ctx, &data, 1000, slopes));
    for (int i = 0; i < ROWS_HERE; i++) CHECK(isnan(slopes[i * e->columns]) == (i == 4));
    gradient[4][3] = 3;
    /* the best rows first; a trial that failed and one without a gradient have none */
    rows[1].state = OBSERVED_FAILED, rows[2].gradient = NULL;
    CHECK_OK(d.ctx, slopes_make(d.ctx, &data, 2 + 3, slopes));
    for (int i = 0; i < ROWS_HERE; i++) CHECK(isnan(slopes[i * e->columns]) == (i != 0 && i != 3));
    CHECK(!slopes_there(e, all + 1, MORE));
    encoding_free(e);
    sampler_desk_close(&d);
}

/* ---- the sampler ---- */

static const char flat[] = "parameters:\n"
                           "  - {name: a, low: -5, high: 10}\n"
                           "  - {name: b, low: 0, high: 15}\n";

static double branin(const double *x, double *g)
{
    const double q = 5.1 / (4 * M_PI * M_PI), p = 1 - 1 / (8 * M_PI);
    const double e = x[1] - q * x[0] * x[0] + 5 / M_PI * x[0] - 6;

    g[0] = 2 * e * (5 / M_PI - 2 * q * x[0]) - 10 * p * sin(x[0]), g[1] = 2 * e;
    return e * e + 10 * p * cos(x[0]) + 10 - 0.397887357729739;
}

/* Trials one by one, the last `waiting` left pending; each is checked against a sampler that has
 * seen nothing before. Gives how many it took to .01, `trials` when it did not. */
static int32_t run(sampler_desk *d, double (*gradient)[2], int32_t trials, int32_t waiting)
{
    int32_t there = trials;

    for (int32_t k = 0; k < trials; k++) {
        const history h = {d->n, d->rows};
        double x[2] = {NAN, NAN};
        char *note = NULL;
        sampler *fresh = NULL;

        CHECK_OK(d->ctx, sampler_new(d->ctx, &d->options, d->space, &fresh));
        CHECK_OK(d->ctx, sampler_suggest(fresh, &h, d->n, x, &note));
        const int32_t i = sampler_desk_ask(d);

        CHECK(memcmp(x, d->x[i], sizeof x) == 0);
        CHECK_STR(note, d->notes[i]);
        mem_free(d->ctx, note);
        sampler_free(fresh);
        if (k >= trials - waiting) continue;
        const double value = branin(d->x[i], gradient[i]);

        sampler_desk_tell(d, i, OBSERVED_COMPLETE, value);
        d->rows[i].gradient = gradient[i];
        if (value < 0.01 && there == trials) there = i + 1;
    }
    return there;
}

static void desk_with_gradients(sampler_desk *d, uint64_t seed, bool gradients)
{
    sampler_desk_open(d, flat, seed);
    d->options.gradients = gradients;
    sampler_free(d->s);
    CHECK_OK(d->ctx, sampler_new(d->ctx, &d->options, d->space, &d->s));
}

TEST(the_sampler_finds_branins_bottom_sooner_with_gradients)
{
    enum { SEEDS = 6, TRIALS = 30 };
    static double gradient[TRIALS][2];
    int32_t sum[2] = {0, 0};

    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (int with = 0; with < 2; with++) {
            sampler_desk d;

            desk_with_gradients(&d, seed, with);
            sum[with] += run(&d, gradient, TRIALS, 0);
            for (int32_t i = 0; with && i < d.n; i++) /* derivatives tell noise from cusps */
                CHECK(!d.notes[i] || !strstr(d.notes[i], "\"turn\":\"noisy\""));
            sampler_desk_close(&d);
        }
    CHECK(sum[1] < 0.7 * sum[0]); /* bench_gegp: half, in the median */
}

static drmad_status suggest_with_gradients(drmad_ctx *ctx, void *arg)
{
    const sampler_desk *d = arg;
    const history h = {d->n, d->rows};
    drmad_status st = DRMAD_OK;
    double x[2] = {NAN, NAN};
    char *note = NULL;
    sampler *s = NULL;

    TRY(sampler_new(ctx, &d->options, d->space, &s));
    TRY(sampler_suggest(s, &h, d->n, x, &note));
done:
    mem_free(ctx, note);
    sampler_free(s);
    return st;
}

/* Also with trials that run still: fantasies among derivatives. */
TEST(a_suggestion_with_gradients_survives_failing_allocations)
{
    static double gradient[16][2];
    sampler_desk d;

    desk_with_gradients(&d, 2, true);
    run(&d, gradient, 16, 3);
    test_oom(suggest_with_gradients, &d);
    sampler_desk_close(&d);
}
