/* Targets from values, and the replay of the niche search. */
#include "bo/warp.h"
#include "bo/niche.h"
#include "test.h"

static void check_targets(const observation *rows, int32_t n, double *t)
{
    const observation *at[16];
    double slope[16];
    double mean = 0, square = 0;

    for (int32_t i = 0; i < n; i++) at[i] = &rows[i];
    CHECK_OK(test_ctx(), warp_targets(test_ctx(), at, n, t, slope));
    for (int32_t i = 0; i < n; i++) mean += t[i] / n, square += t[i] * t[i] / n;
    CHECK_NEAR(mean, 0, 1e-14);
    CHECK_NEAR(square, 1, 1e-13);
}

TEST(targets_keep_the_order_and_bend_the_bad_half)
{
    const double values[] = {3, 1, 1e6, 2, 5, 4, 1e300};
    observation rows[7];
    double t[7];

    for (int i = 0; i < 7; i++)
        rows[i] = (observation){.state = OBSERVED_COMPLETE, .value = values[i]};
    check_targets(rows, 7, t);
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 7; k++) CHECK((values[i] < values[k]) == (t[i] < t[k]));
    /* median 4, rms of 0 to 3 below it: sqrt(14 / 4); below it all is linear */
    CHECK_NEAR((t[5] - t[1]) / (t[5] - t[0]), 3, 1e-12);
    const double s = sqrt(14.0 / 4);

    CHECK_NEAR((t[4] - t[5]) / (t[5] - t[0]), log1p(1 / s) * s, 1e-12);
}

TEST(failed_trials_are_worst_and_pruned_ones_no_better_than_the_median)
{
    observation rows[] = {
        {.state = OBSERVED_COMPLETE, .value = 1}, {.state = OBSERVED_COMPLETE, .value = 2},
        {.state = OBSERVED_COMPLETE, .value = 3}, {.state = OBSERVED_PRUNED, .value = 0},
        {.state = OBSERVED_PRUNED, .value = 9},   {.state = OBSERVED_PRUNED, .value = NAN},
        {.state = OBSERVED_FAILED, .value = NAN}};
    double t[7];

    check_targets(rows, 7, t);
    CHECK_NEAR(t[3], t[1], 1e-14);
    CHECK_NEAR(t[5], t[1], 1e-14);
    CHECK(t[4] > t[2] && t[6] > t[4]);
}

TEST(equal_and_absurd_values_are_targets_too)
{
    const double values[][4] = {{1, 1, 1, 1}, {1, 1, 1, 2}, {-1e308, 1e308, 0, 1}};

    for (int v = 0; v < 3; v++) {
        observation rows[4];
        const observation *at[4];
        double t[4], slope[4];

        for (int i = 0; i < 4; i++) {
            rows[i] = (observation){.state = OBSERVED_COMPLETE, .value = values[v][i]};
            at[i] = &rows[i];
        }
        CHECK_OK(test_ctx(), warp_targets(test_ctx(), at, 4, t, slope));
        for (int i = 0; i < 4; i++) CHECK(isfinite(t[i]));
    }
}

/* Six base proposals without gain close a ball about the best, but only once little is expected;
 * niche proposals then count against the best outside. */
TEST(a_ball_is_closed_when_nothing_is_gained_or_expected)
{
    const niche_options o = {.on = true,
                             .patience = 3,
                             .every = 4,
                             .tau = 0.03,
                             .radius = 0.35,
                             .idle = -7,
                             .spent = -9};
    static double z[20][2];
    gp_note notes[20];
    niche_row rows[20];
    int32_t centres[20], n;

    for (int i = 0; i < 20; i++) {
        notes[i] = (gp_note){.turn = i < 5 ? GP_NONE : i < 12 ? GP_BASE : GP_NICHE, .ei = -3};
        notes[i].balls = i < 12 ? 0 : 1;
        if (i >= 10) notes[i].ei = -8;
        z[i][0] = i < 12 ? 0.1 : 0.9;
        rows[i] = (niche_row){i == 4 ? 1 : 10 + i, z[i], &notes[i]};
    }
    CHECK_OK(test_ctx(), niche_closed(test_ctx(), &o, rows, 10, 2, 2, centres, &n));
    CHECK_INT(n, 0); /* still much expected */
    CHECK_OK(test_ctx(), niche_closed(test_ctx(), &o, rows, 11, 2, 2, centres, &n));
    CHECK_INT(n, 1);
    CHECK_INT(centres[0], 4);
    CHECK(niche_within(&o, rows, centres, n, z[0], 2, 2));
    CHECK(!niche_within(&o, rows, centres, n, z[12], 2, 2));
    CHECK_OK(test_ctx(), niche_closed(test_ctx(), &o, rows, 20, 2, 2, centres, &n));
    CHECK_INT(n, 2); /* the first outside is the best there: three more without gain */
    CHECK_INT(centres[1], 12);
}
