/* The TPE sampler: what it learns from, what it must keep, and that it is a function of the history
 * alone. */
#include "bo/sampler_inside.h"
#include "sampler_desk.h"
#include "test.h"

TEST(tpe_beats_random_points_on_all_kinds_of_parameters)
{
    /* measured: .018 and .86, .50 and 1.19 */
    CHECK(desk_mean_best(SAMPLER_TPE, desk_flat, desk_branin, 60) * 10 <
          desk_mean_best(SAMPLER_RANDOM, desk_flat, desk_branin, 60));
    CHECK(desk_mean_best(SAMPLER_TPE, desk_mixed, desk_tangled, 80) * 1.8 <
          desk_mean_best(SAMPLER_RANDOM, desk_mixed, desk_tangled, 80));
}

TEST(trials_are_ranked_as_they_finished)
{
    const observation rows[] = {
        {.number = 0, .state = OBSERVED_FAILED, .value = NAN},
        {.number = 1, .state = OBSERVED_PRUNED, .value = 1, .step = 3},
        {.number = 2, .state = OBSERVED_PRUNED, .value = NAN, .step = 9}, /* no report */
        {.number = 3, .state = OBSERVED_COMPLETE, .value = 7},
        {.number = 4, .state = OBSERVED_PRUNED, .value = 2, .step = 8},
        {.number = 5, .state = OBSERVED_COMPLETE, .value = -1},
        {.number = 6, .state = OBSERVED_PRUNED, .value = 0, .step = 3},
        {.number = 7, .state = OBSERVED_COMPLETE, .value = 7},
        {.number = 8, .state = OBSERVED_FAILED, .value = -9},
    };
    const int64_t want[] = {5, 3, 7, 4, 6, 1, 2, 0, 8};
    const observation *sorted[COUNT(rows)];

    for (size_t i = 0; i < COUNT(rows); i++) sorted[i] = &rows[COUNT(rows) - 1 - i];
    rank_rows(sorted, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) CHECK_INT(sorted[i]->number, want[i]);
}

/* 40 trials on one axis, the good ones around .25 of the range; then the mean of 50 suggestions'
 * distance from there. */
static double distance(sampler_desk *d, observed state, int32_t n)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t at = d->n++;

        d->x[at][0] = -1.25 + 0.05 * (i - n / 2.0), d->x[at][1] = 7.5;
        d->rows[at] =
            (observation){.number = at, .state = state, .x = d->x[at], .value = 0, .step = 1};
    }
    for (int64_t k = 0; k < 50; k++) {
        const history h = {d->n, d->rows};
        double x[] = {NAN, 7.5};
        char *note;

        CHECK_OK(d->ctx, sampler_suggest(d->s, &h, 1000 + k, x, &note));
        CHECK(x[1] == 7.5);
        sum += fabs(x[0] + 1.25) / 50;
        mem_free(d->ctx, note);
    }
    d->n -= n;
    return sum;
}

TEST(it_goes_where_trials_were_good_and_nobody_looks)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, SAMPLER_TPE, desk_flat, 2);
    for (int i = 0; i < 40; i++) {
        int32_t at = sampler_desk_ask(&d);

        d.x[at][0] = -5 + 15 * (i + 0.5) / 40, d.x[at][1] = 7.5;
        sampler_desk_tell(&d, at, OBSERVED_COMPLETE, fabs(d.x[at][0] + 1.25));
    }
    const double near = distance(&d, OBSERVED_COMPLETE, 0);

    CHECK(near < 1);
    CHECK(distance(&d, OBSERVED_PENDING, 20) > 1.5 * near);
    CHECK(distance(&d, OBSERVED_FAILED, 20) == near);
    /* pruned ones are worse than the six best of the complete ones */
    CHECK(distance(&d, OBSERVED_PRUNED, 20) > 1.5 * near);
    sampler_desk_close(&d);
}

/* Before enough trials have finished there is nothing to learn from. */
TEST(tpe_begins_with_sobol_points)
{
    sampler_desk d, sobol;

    sampler_desk_open_kind(&d, SAMPLER_TPE, desk_flat, 6);
    sampler_desk_open_kind(&sobol, SAMPLER_SOBOL, desk_flat, 6);
    for (int i = 0; i < 15; i++) {
        int32_t a = sampler_desk_ask(&d), b = sampler_desk_ask(&sobol);

        CHECK((d.x[a][0] == sobol.x[b][0] && d.x[a][1] == sobol.x[b][1]) == (i < 12));
        if (i >= 2) sampler_desk_tell(&d, a, i == 2 ? OBSERVED_PRUNED : OBSERVED_COMPLETE, i);
    }
    sampler_desk_close(&d);
    sampler_desk_close(&sobol);
}

TEST(tpe_keeps_values_that_are_given)
{
    desk_check_given(SAMPLER_TPE);
}

/* ---- purity ---- */

TEST(a_tpe_suggestion_is_a_function_of_the_history)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, SAMPLER_TPE, desk_flat, 8);
    desk_check_workers(&d, desk_branin, 60, NULL);
    sampler_desk_close(&d);
    sampler_desk_open_kind(&d, SAMPLER_TPE, desk_mixed, 8);
    desk_check_workers(&d, desk_tangled, 120, NULL);
    sampler_desk_close(&d);
}

TEST(tpe_takes_trouble_with_numbers_and_spaces_without_a_choice)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, INFINITY, -INFINITY}};
    static const char *const spaces[] = {desk_flat, "parameters: [{name: c, choices: [x]}]\n",
                                         "parameters: [{name: c, choices: [x, y]}]\n"};

    for (size_t v = 0; v < COUNT(values); v++)
        for (size_t s = 0; s < COUNT(spaces); s++) {
            sampler_desk d;

            sampler_desk_open_kind(&d, SAMPLER_TPE, spaces[s], v);
            for (int k = 0; k < 25; k++)
                sampler_desk_tell(&d, sampler_desk_ask(&d), OBSERVED_COMPLETE, values[v][k % 4]);
            sampler_desk_close(&d);
        }
}

TEST(tpe_survives_failing_allocations)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, SAMPLER_TPE, desk_mixed, 1);
    sampler_desk_run(&d, desk_tangled, 15);
    sampler_desk_ask(&d); /* one waits */
    test_oom(sampler_desk_suggest_once, &d);
    sampler_desk_close(&d);
}
