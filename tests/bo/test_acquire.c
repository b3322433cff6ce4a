/* The acquisition: its slopes, and what a known point is worth where there is noise. */
#include "bo/acquire.h"
#include "base/rng.h"
#include "bo/logei.h"
#include "test.h"

enum { N = 20, COLUMNS = 2, WAITING = 2, SIDES = 4 };
static const int32_t group[COLUMNS] = {0, 1};
static const gp_shape shape = {.columns = COLUMNS, .groups = COLUMNS, .group = group};
static const double phi[COLUMNS + 2] = {-1, -0.7, 0.2, -3};

typedef struct desk {
    drmad_ctx *ctx;
    linalg *lin;
    gp *g;
    double z[N + WAITING][COLUMNS], t[N];
} desk;

static void desk_open(desk *d)
{
    const rng_key key = {7, 8, 9};

    *d = (desk){.ctx = test_ctx()};
    CHECK_OK(d->ctx, linalg_open(d->ctx, &d->lin));
    CHECK_OK(d->ctx, gp_new(d->ctx, d->lin, shape, &d->g));
    for (int i = 0; i < N + WAITING; i++)
        for (int c = 0; c < COLUMNS; c++) d->z[i][c] = rng_uniform(key, (uint64_t)(i * 4 + c));
    for (int i = 0; i < N; i++)
        d->t[i] = sin(6 * d->z[i][0]) + d->z[i][1] + 0.2 * rng_normal(key, (uint64_t)i << 32);
    CHECK_OK(d->ctx, gp_data(d->g, N, d->z[0], d->t));
    CHECK(gp_factor(d->g, phi));
    gp_targets(d->g, d->t);
}

static void desk_close(desk *d)
{
    gp_free(d->g);
    linalg_close(d->lin);
}

static void check_slopes(const acquire_task *task)
{
    const rng_key key = {1, 1, 1};
    const double e = 1e-6;

    for (int k = 0; k < 20; k++) {
        double z[COLUMNS], slope[COLUMNS], a[2];

        for (int c = 0; c < COLUMNS; c++) z[c] = rng_uniform(key, (uint64_t)(k * 4 + c));
        acquire_value(task, z, slope);
        for (int c = 0; c < COLUMNS; c++) {
            const double at = z[c];

            for (int s = 0; s < 2; s++) {
                z[c] = at + (s ? e : -e);
                a[s] = acquire_value(task, z, NULL);
            }
            z[c] = at;
            CHECK_NEAR((a[1] - a[0]) / (2 * e), slope[c], 1e-6 * (1 + fabs(slope[c])));
        }
    }
}

/* Of improvement, with noise, polishing; each with fantasies too. */
TEST(slopes_of_the_acquisition_are_differences)
{
    double best[SIDES] = {-0.6, -0.7, -0.5, -0.9}, e[SIDES * WAITING], t[SIDES * WAITING];
    desk d;

    desk_open(&d);
    for (int i = 0; i < SIDES * WAITING; i++) e[i] = cos(i);
    for (int fantasies = 0; fantasies < 2; fantasies++) {
        for (int i = 0; fantasies && i < WAITING; i++) {
            bool done;

            CHECK_OK(d.ctx, gp_append(d.g, d.z[N + i], &done));
            CHECK(done);
        }
        if (fantasies) CHECK_OK(d.ctx, gp_fantasies(d.g, N, SIDES, e, t));
        check_slopes(&(acquire_task){.model = d.g, .best = best});
        check_slopes(&(acquire_task){.model = d.g, .best = best, .noise = exp(-3)});
        check_slopes(&(acquire_task){.model = d.g, .best = best, .polish = true});
    }
    desk_close(&d);
}

TEST(another_look_at_what_is_known_is_worth_little)
{
    const double best = -0.6, noise = exp(-3);
    desk d;

    desk_open(&d);
    const acquire_task task = {.model = d.g, .best = &best, .noise = noise};

    for (int i = 0; i < N + WAITING; i++) {
        double mean, variance;

        gp_predict(d.g, d.z[i], &mean, &variance, NULL, NULL);
        const double ei = logei(best, mean, sqrt(variance), NULL, NULL);
        const double share = 1 - sqrt(noise / (variance + noise));

        CHECK_NEAR(acquire_value(&task, d.z[i], NULL), ei + log(share), 1e-12 * (1 + fabs(ei)));
        CHECK(i >= N || share < 0.3);
    }
    desk_close(&d);
}
