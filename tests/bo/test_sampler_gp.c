/* The GP sampler as a whole: it finds what it should, keeps every condition and rule, repeats
 * nothing, and a suggestion is a function of the history alone. */
#include "base/rng.h"
#include "bo/sampler_gp.h"
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

TEST(it_finds_the_bottom_of_branins_function)
{
    enum { SEEDS = 3 };

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gp_desk d;

        gp_desk_open(&d, flat, seed);
        /* worst of 20 other seeds after 40: 2e-3 with niche search; random search: .4 */
        CHECK(gp_desk_run(&d, branin, 40) < 0.02);
        gp_desk_close(&d);
    }
}

TEST(it_keeps_conditions_and_rules_and_gains_by_it)
{
    gp_desk d;

    gp_desk_open(&d, mixed, 5);
    double best = gp_desk_run(&d, tangled, 60); /* each point is checked as it is asked for */

    CHECK(best < 0.4);
    for (int32_t i = 0; i < d.n; i++)
        for (int32_t k = 0; k < i; k++) {
            int32_t j = 0;

            while (j < d.space->n &&
                   (d.x[i][j] == d.x[k][j] || (isnan(d.x[i][j]) && isnan(d.x[k][j]))))
                j++;
            CHECK(j < d.space->n); /* no two trials are the same */
        }
    gp_desk_close(&d);
}

TEST(values_that_are_given_stay)
{
    gp_desk d;

    gp_desk_open(&d, mixed, 5);
    gp_desk_run(&d, tangled, 20);
    const history h = {d.n, d.rows};
    double x[DESK_PARAMS] = {NAN, 4, NAN, 1, NAN, NAN, 2.5};
    char *note;

    CHECK_OK(d.ctx, sampler_suggest(d.s, &h, d.n, x, &note));
    CHECK_OK(d.ctx, search_check(d.space, x));
    CHECK(x[1] == 4 && x[3] == 1 && x[6] == 2.5);
    CHECK(strstr(note, "\"turn\""));
    mem_free(d.ctx, note);
    gp_desk_close(&d);
}

/* Ten trials wait at once: all far apart, though the model has learnt nothing between them. */
TEST(pending_points_are_not_proposed_again)
{
    gp_desk d;

    gp_desk_open(&d, flat, 3);
    gp_desk_run(&d, branin, 20);
    for (int i = 0; i < 10; i++) gp_desk_ask(&d);
    for (int32_t i = 20; i < d.n; i++)
        for (int32_t k = 0; k < i; k++)
            CHECK(hypot(d.x[i][0] - d.x[k][0], d.x[i][1] - d.x[k][1]) > 1e-3);
    gp_desk_close(&d);
}

/* A grid of 12 points is searched through before anything comes twice. */
TEST(a_small_grid_is_searched_through)
{
    static const char grid[] = "parameters:\n"
                               "  - {name: k, type: int, low: 1, high: 4}\n"
                               "  - {name: c, choices: [a, b, c]}\n";
    bool hit[4][3] = {{false}};
    gp_desk d;

    gp_desk_open(&d, grid, 3);
    for (int i = 0; i < 22; i++) {
        int32_t at = gp_desk_ask(&d);

        gp_desk_tell(&d, at, OBSERVED_COMPLETE, d.x[at][0] * 0.3 + d.x[at][1]);
        hit[(int)d.x[at][0] - 1][(int)d.x[at][1]] = true;
    }
    for (int k = 0; k < 4; k++)
        for (int c = 0; c < 3; c++) CHECK(hit[k][c]);
    gp_desk_close(&d);
}

/* Half of the box fails: the sampler keeps away from it, and finds the best of the rest. */
TEST(failed_and_pruned_trials_are_kept_away_from)
{
    gp_desk d;
    double best = INFINITY;
    int failed = 0;

    gp_desk_open(&d, flat, 4);
    for (int k = 0; k < 45; k++) {
        int32_t i = gp_desk_ask(&d);
        const double y = branin(d.x[i]);

        if (d.x[i][0] > 4) gp_desk_tell(&d, i, OBSERVED_FAILED, k % 3 ? NAN : INFINITY);
        else if (y > 60) gp_desk_tell(&d, i, OBSERVED_PRUNED, k % 3 ? y : NAN);
        else gp_desk_tell(&d, i, OBSERVED_COMPLETE, y);
        if (d.x[i][0] <= 4) best = fmin(best, y);
        failed += k >= 10 && d.x[i][0] > 4;
    }
    CHECK(best < 0.05);
    CHECK(failed < 15); /* of 35 */
    gp_desk_close(&d);
}

/* Nothing but trouble: every trial fails, or gives the same or absurd values. */
TEST(trouble_with_numbers_is_no_error)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, 0, 1e308}, {1e-320, 0, 3e-320, 0}};

    for (size_t v = 0; v < COUNT(values); v++) {
        gp_desk d;

        gp_desk_open(&d, flat, v);
        for (int k = 0; k < 16; k++) {
            int32_t i = gp_desk_ask(&d);
            const double y = values[v][k % 4];

            gp_desk_tell(&d, i, isnan(y) ? OBSERVED_FAILED : OBSERVED_COMPLETE, y);
        }
        gp_desk_close(&d);
    }
}

/* ---- purity ---- */

/* Four workers that finish in an order of their own; each suggestion is checked against one by a
 * sampler that has seen nothing before. Gives how many came from the niche search. */
static int check_workers(const char *space, desk_fn *f, int trials)
{
    const rng_key key = {11, 12, 13};
    int32_t runs[4];
    int niche = 0;
    gp_desk d;

    gp_desk_open(&d, space, 8);
    sampler_gp_niche(d.s)->idle = -3; /* so that it begins within a short run */
    for (int w = 0; w < 4; w++) runs[w] = gp_desk_ask(&d);
    for (int k = 0; k < trials; k++) {
        const uint64_t w = rng_below(key, (uint64_t)k, 4);
        const int32_t i = runs[w];
        const history h = {d.n, d.rows};
        double x[DESK_PARAMS];
        char *note = NULL;
        sampler *fresh = NULL;

        if (k % 9 == 8) gp_desk_tell(&d, i, OBSERVED_FAILED, NAN);
        else gp_desk_tell(&d, i, OBSERVED_COMPLETE, f(d.x[i]));
        for (int p = 0; p < d.space->n; p++) x[p] = NAN;
        CHECK_OK(d.ctx, sampler_new(d.ctx, &d.options, d.space, &fresh));
        sampler_gp_niche(fresh)->idle = -3;
        CHECK_OK(d.ctx, sampler_suggest(fresh, &h, d.n, x, &note));
        runs[w] = gp_desk_ask(&d);
        CHECK(memcmp(x, d.x[runs[w]], sizeof *x * (size_t)d.space->n) == 0);
        CHECK_STR(note, d.notes[runs[w]]);
        niche += strstr(note, "\"turn\":\"niche\"") != NULL;
        mem_free(d.ctx, note);
        sampler_free(fresh);
    }
    gp_desk_close(&d);
    return niche;
}

TEST(a_suggestion_is_a_function_of_the_history_bit_for_bit)
{
    CHECK(check_workers(flat, branin, test_count(60, 150)) > 10);
    check_workers(mixed, tangled, test_count(30, 80));
}

/* Rows are appended to a factor only when fits become rare. */
TEST(it_is_so_too_where_rows_are_appended)
{
    check_workers(flat, branin, test_count(120, 180));
}

/* ---- memory ---- */

static drmad_status suggest_once(drmad_ctx *ctx, void *arg)
{
    const gp_desk *d = arg;
    const history h = {d->n, d->rows};
    drmad_status st = DRMAD_OK;
    double x[DESK_PARAMS];
    char *note = NULL;
    sampler *s = NULL;

    for (int32_t k = 0; k < d->space->n; k++) x[k] = NAN;
    TRY(sampler_new(ctx, &d->options, d->space, &s));
    TRY(sampler_suggest(s, &h, d->n, x, &note));
done:
    mem_free(ctx, note);
    sampler_free(s);
    return st;
}

TEST(a_suggestion_survives_failing_allocations)
{
    gp_desk d;

    gp_desk_open(&d, flat, 1);
    gp_desk_run(&d, branin, 12);
    gp_desk_ask(&d); /* one waits */
    test_oom(suggest_once, &d);
    gp_desk_close(&d);
}

/* 1200 trials of others: the model is of the 512 nearest the best, the proposal near it. */
TEST(a_thousand_trials_are_narrowed_to_the_best_region)
{
    enum { MANY = 1200 };
    static observation rows[MANY];
    static double points[MANY][2];
    const history h = {MANY, rows};
    double x[2] = {NAN, NAN}, best = INFINITY;
    int at = 0;
    char *note;
    gp_desk d;

    gp_desk_open(&d, flat, 2);
    for (int i = 0; i < MANY; i++) {
        sample_random(9, i, 0, 2, points[i]);
        points[i][0] = 15 * points[i][0] - 5, points[i][1] *= 15;
        rows[i] = (observation){.number = i, .state = OBSERVED_COMPLETE, .x = points[i]};
        rows[i].value = branin(points[i]);
        if (rows[i].value < best) best = rows[i].value, at = i;
    }
    CHECK_OK(d.ctx, sampler_suggest(d.s, &h, MANY, x, &note));
    CHECK(strstr(note, "\"turn\":\"base\""));
    CHECK(hypot(x[0] - points[at][0], x[1] - points[at][1]) < 8);
    CHECK(branin(x) < best);
    mem_free(d.ctx, note);
    gp_desk_close(&d);
}
