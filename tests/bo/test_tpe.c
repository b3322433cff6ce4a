/* The TPE sampler: what it learns from, what it must keep, and that it is a function of the history
 * alone. */
#include "base/rng.h"
#include "bo/sampler_inside.h"
#include "gp_desk.h"
#include "test.h"

static const char flat[] = "parameters:\n"
                           "  - {name: a, low: -5, high: 10}\n"
                           "  - {name: b, low: 0, high: 15}\n";
static const char mixed[] = "parameters:\n"
                            "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
                            "  - {name: depth, type: int, low: 1, high: 6}\n"
                            "  - {name: width, type: int, low: 8, high: 1024, log: true}\n"
                            "  - {name: act, choices: [relu, tanh, gelu], when: depth > 1}\n"
                            "  - {name: size, choices: [s, m, l, xl], ordered: true}\n"
                            "  - {name: drop, low: 0, high: 0.5, step: 0.125, when: act == relu}\n"
                            "  - {name: mu, low: -100, high: 100, prior: normal, mean: 3, sd: 2}\n"
                            "  - {name: one, choices: [x]}\n"
                            "  - {name: set, low: 0, high: 1, fixed: 0.25}\n"
                            "search: {constraints: [depth * width <= 2048, lr * depth <= 1]}\n";

static double branin(const double *x)
{
    const double e = x[1] - 5.1 / (4 * M_PI * M_PI) * x[0] * x[0] + 5 / M_PI * x[0] - 6;

    return e * e + 10 * (1 - 1 / (8 * M_PI)) * cos(x[0]) + 10 - 0.397887357729739;
}

static double tangled(const double *x)
{
    double y = pow(log10(x[0]) + 2.5, 2) + fabs(x[1] - 3) + pow(log2(x[2]) - 7, 2) / 4;

    y += isnan(x[3]) ? 1 : x[3] == 0 ? 0 : 0.5;
    return y + fabs(x[4] - 2) / 2 + (isnan(x[5]) ? 0.3 : fabs(x[5] - 0.25)) + pow(x[6] - 4, 2) / 8;
}

static double mean_best(sampler_kind kind, const char *space, desk_fn *f, int trials)
{
    enum { SEEDS = 8 };
    double sum = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gp_desk d;

        gp_desk_open_kind(&d, kind, space, seed);
        sum += gp_desk_run(&d, f, trials) / SEEDS; /* each point is checked as it is asked for */
        gp_desk_close(&d);
    }
    return sum;
}

TEST(tpe_beats_random_points_on_all_kinds_of_parameters)
{
    /* measured: .018 and .86, .50 and 1.19 */
    CHECK(mean_best(SAMPLER_TPE, flat, branin, 60) * 10 <
          mean_best(SAMPLER_RANDOM, flat, branin, 60));
    CHECK(mean_best(SAMPLER_TPE, mixed, tangled, 80) * 1.8 <
          mean_best(SAMPLER_RANDOM, mixed, tangled, 80));
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
static double distance(gp_desk *d, observed state, int32_t n)
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
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_TPE, flat, 2);
    for (int i = 0; i < 40; i++) {
        int32_t at = gp_desk_ask(&d);

        d.x[at][0] = -5 + 15 * (i + 0.5) / 40, d.x[at][1] = 7.5;
        gp_desk_tell(&d, at, OBSERVED_COMPLETE, fabs(d.x[at][0] + 1.25));
    }
    const double near = distance(&d, OBSERVED_COMPLETE, 0);

    CHECK(near < 1);
    CHECK(distance(&d, OBSERVED_PENDING, 20) > 1.5 * near);
    CHECK(distance(&d, OBSERVED_FAILED, 20) == near);
    /* pruned ones are worse than the six best of the complete ones */
    CHECK(distance(&d, OBSERVED_PRUNED, 20) > 1.5 * near);
    gp_desk_close(&d);
}

/* Before enough trials have finished there is nothing to learn from. */
TEST(tpe_begins_with_sobol_points)
{
    gp_desk d, sobol;

    gp_desk_open_kind(&d, SAMPLER_TPE, flat, 6);
    gp_desk_open_kind(&sobol, SAMPLER_SOBOL, flat, 6);
    for (int i = 0; i < 15; i++) {
        int32_t a = gp_desk_ask(&d), b = gp_desk_ask(&sobol);

        CHECK((d.x[a][0] == sobol.x[b][0] && d.x[a][1] == sobol.x[b][1]) == (i < 12));
        if (i >= 2) gp_desk_tell(&d, a, i == 2 ? OBSERVED_PRUNED : OBSERVED_COMPLETE, i);
    }
    gp_desk_close(&d);
    gp_desk_close(&sobol);
}

TEST(tpe_keeps_values_that_are_given)
{
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_TPE, mixed, 5);
    gp_desk_run(&d, tangled, 30);
    for (int64_t k = 0; k < 20; k++) {
        const history h = {d.n, d.rows};
        double x[DESK_PARAMS] = {NAN, 4, NAN, 1, NAN, NAN, 2.5, NAN, NAN};
        char *note;

        CHECK_OK(d.ctx, sampler_suggest(d.s, &h, d.n + k, x, &note));
        CHECK_OK(d.ctx, search_check(d.space, x));
        CHECK(x[1] == 4 && x[3] == 1 && x[6] == 2.5);
        mem_free(d.ctx, note);
    }
    gp_desk_close(&d);
}

/* ---- purity ---- */

/* Four workers that finish in an order of their own; each suggestion is checked against one by a
 * sampler that has seen nothing before. */
static void check_workers(const char *space, desk_fn *f, int trials)
{
    const rng_key key = {11, 12, 13};
    int32_t runs[4];
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_TPE, space, 8);
    for (int w = 0; w < 4; w++) runs[w] = gp_desk_ask(&d);
    for (int k = 0; k < trials; k++) {
        const uint64_t w = rng_below(key, (uint64_t)k, 4);
        const int32_t i = runs[w];
        const history h = {d.n, d.rows};
        double x[DESK_PARAMS];
        char *note = NULL;
        sampler *fresh = NULL;

        if (k % 9 == 8) gp_desk_tell(&d, i, OBSERVED_FAILED, NAN);
        else gp_desk_tell(&d, i, k % 5 ? OBSERVED_COMPLETE : OBSERVED_PRUNED, f(d.x[i]));
        for (int p = 0; p < d.space->n; p++) x[p] = NAN;
        CHECK_OK(d.ctx, sampler_new(d.ctx, &d.options, d.space, &fresh));
        CHECK_OK(d.ctx, sampler_suggest(fresh, &h, d.n, x, &note));
        runs[w] = gp_desk_ask(&d);
        CHECK(memcmp(x, d.x[runs[w]], sizeof *x * (size_t)d.space->n) == 0);
        CHECK_STR(note, d.notes[runs[w]]);
        mem_free(d.ctx, note);
        sampler_free(fresh);
    }
    gp_desk_close(&d);
}

TEST(a_tpe_suggestion_is_a_function_of_the_history)
{
    check_workers(flat, branin, 60);
    check_workers(mixed, tangled, 120);
}

TEST(tpe_takes_trouble_with_numbers_and_spaces_without_a_choice)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, INFINITY, -INFINITY}};
    static const char *const spaces[] = {flat, "parameters: [{name: c, choices: [x]}]\n",
                                         "parameters: [{name: c, choices: [x, y]}]\n"};

    for (size_t v = 0; v < COUNT(values); v++)
        for (size_t s = 0; s < COUNT(spaces); s++) {
            gp_desk d;

            gp_desk_open_kind(&d, SAMPLER_TPE, spaces[s], v);
            for (int k = 0; k < 25; k++)
                gp_desk_tell(&d, gp_desk_ask(&d), OBSERVED_COMPLETE, values[v][k % 4]);
            gp_desk_close(&d);
        }
}

static drmad_status suggest_once(drmad_ctx *ctx, void *arg)
{
    const gp_desk *d = arg;
    const history h = {d->n, d->rows};
    drmad_status st = DRMAD_OK;
    double x[DESK_PARAMS];
    char *note = NULL;
    sampler *s = NULL;

    for (int32_t k = 0; k < d->space->n; k++) x[k] = NAN;
    d->space->ctx = ctx;
    TRY(sampler_new(ctx, &d->options, d->space, &s));
    TRY(sampler_suggest(s, &h, d->n, x, &note));
done:
    d->space->ctx = d->ctx;
    mem_free(ctx, note);
    sampler_free(s);
    return st;
}

TEST(tpe_survives_failing_allocations)
{
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_TPE, mixed, 1);
    gp_desk_run(&d, tangled, 15);
    gp_desk_ask(&d); /* one waits */
    test_oom(suggest_once, &d);
    gp_desk_close(&d);
}
