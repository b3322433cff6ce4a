/* The GP sampler as a whole: it finds what it should, keeps every condition and rule, repeats
 * nothing, and a suggestion is a function of the history alone. */
#include "bo/sampler_gp.h"
#include "base/rng.h"
#include "sampler_desk.h"
#include "test.h"

TEST(it_finds_the_bottom_of_branins_function)
{
    enum { SEEDS = 3 };

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sampler_desk d;

        sampler_desk_open(&d, desk_flat, seed);
        /* worst of 20 other seeds after 40: 2e-3 with niche search; random search: .4 */
        CHECK(sampler_desk_run(&d, desk_branin, 40) < 0.02);
        sampler_desk_close(&d);
    }
}

TEST(it_keeps_conditions_and_rules_and_gains_by_it)
{
    sampler_desk d;

    sampler_desk_open(&d, desk_mixed, 5);
    double best =
        sampler_desk_run(&d, desk_tangled, 60); /* each point is checked as it is asked for */

    CHECK(best < 0.4);
    for (int32_t i = 0; i < d.n; i++)
        for (int32_t k = 0; k < i; k++) {
            int32_t j = 0;

            while (j < d.space->n &&
                   (d.x[i][j] == d.x[k][j] || (isnan(d.x[i][j]) && isnan(d.x[k][j]))))
                j++;
            CHECK(j < d.space->n); /* no two trials are the same */
        }
    sampler_desk_close(&d);
}

TEST(values_that_are_given_stay)
{
    sampler_desk d;

    sampler_desk_open(&d, desk_mixed, 5);
    sampler_desk_run(&d, desk_tangled, 20);
    const history h = {d.n, d.rows};
    double x[DESK_PARAMS] = {NAN, 4, NAN, 1, NAN, NAN, 2.5};
    char *note;

    CHECK_OK(d.ctx, sampler_suggest(d.s, &h, d.n, x, &note));
    CHECK_OK(d.ctx, search_check(d.space, x));
    CHECK(x[1] == 4 && x[3] == 1 && x[6] == 2.5);
    CHECK(strstr(note, "\"turn\""));
    mem_free(d.ctx, note);
    sampler_desk_close(&d);
}

/* Ten trials wait at once: all far apart, though the model has learnt nothing between them. */
TEST(pending_points_are_not_proposed_again)
{
    sampler_desk d;

    sampler_desk_open(&d, desk_flat, 3);
    sampler_desk_run(&d, desk_branin, 20);
    for (int i = 0; i < 10; i++) sampler_desk_ask(&d);
    for (int32_t i = 20; i < d.n; i++)
        for (int32_t k = 0; k < i; k++)
            CHECK(hypot(d.x[i][0] - d.x[k][0], d.x[i][1] - d.x[k][1]) > 1e-3);
    sampler_desk_close(&d);
}

/* A grid of 12 points is searched through before anything comes twice. */
TEST(a_small_grid_is_searched_through)
{
    static const char grid[] = "parameters:\n"
                               "  - {name: k, type: int, low: 1, high: 4}\n"
                               "  - {name: c, choices: [a, b, c]}\n";
    bool hit[4][3] = {{false}};
    sampler_desk d;

    sampler_desk_open(&d, grid, 3);
    for (int i = 0; i < 22; i++) {
        int32_t at = sampler_desk_ask(&d);

        sampler_desk_tell(&d, at, OBSERVED_COMPLETE, d.x[at][0] * 0.3 + d.x[at][1]);
        hit[(int)d.x[at][0] - 1][(int)d.x[at][1]] = true;
    }
    for (int k = 0; k < 4; k++)
        for (int c = 0; c < 3; c++) CHECK(hit[k][c]);
    sampler_desk_close(&d);
}

/* Half of the box fails: the sampler keeps away from it, and finds the best of the rest. */
TEST(failed_and_pruned_trials_are_kept_away_from)
{
    sampler_desk d;
    double best = INFINITY;
    int failed = 0;

    sampler_desk_open(&d, desk_flat, 4);
    for (int k = 0; k < 45; k++) {
        int32_t i = sampler_desk_ask(&d);
        const double y = desk_branin(d.x[i]);

        if (d.x[i][0] > 4) sampler_desk_tell(&d, i, OBSERVED_FAILED, k % 3 ? NAN : INFINITY);
        else if (y > 60) sampler_desk_tell(&d, i, OBSERVED_PRUNED, k % 3 ? y : NAN);
        else sampler_desk_tell(&d, i, OBSERVED_COMPLETE, y);
        if (d.x[i][0] <= 4) best = fmin(best, y);
        failed += k >= 10 && d.x[i][0] > 4;
    }
    CHECK(best < 0.05);
    CHECK(failed < 15); /* of 35 */
    sampler_desk_close(&d);
}

/* Nothing but trouble: every trial fails, or gives the same or absurd values. */
TEST(trouble_with_numbers_is_no_error)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, 0, 1e308}, {1e-320, 0, 3e-320, 0}};

    for (size_t v = 0; v < COUNT(values); v++) {
        sampler_desk d;

        sampler_desk_open(&d, desk_flat, v);
        for (int k = 0; k < 16; k++) {
            int32_t i = sampler_desk_ask(&d);
            const double y = values[v][k % 4];

            sampler_desk_tell(&d, i, isnan(y) ? OBSERVED_FAILED : OBSERVED_COMPLETE, y);
        }
        sampler_desk_close(&d);
    }
}

/* ---- turns ---- */

static int count_notes(const sampler_desk *d, const char *text)
{
    int n = 0;

    for (int32_t i = 0; i < d->n; i++) n += d->notes[i] && strstr(d->notes[i], text) != NULL;
    return n;
}

static double rough_branin(const double *x)
{
    static uint64_t looks;

    return desk_branin(x) + 3 * rng_normal((rng_key){5, 6, 7}, looks++);
}

/* Every second proposal expects noise; where that model finds some, none polishes; where it finds
 * none, one in eight does. */
TEST(models_with_and_without_noise_take_turns)
{
    sampler_desk d;

    sampler_desk_open(&d, desk_flat, 5);
    sampler_desk_run(&d, rough_branin, 46);
    CHECK_INT(count_notes(&d, "\"turn\":\"noisy\""), 20);
    CHECK_INT(count_notes(&d, "\"turn\":\"base\""), 20);
    CHECK_INT(count_notes(&d, "\"mean\""), 0);
    sampler_desk_close(&d);

    sampler_desk_open(&d, desk_flat, 5);
    sampler_desk_run(&d, desk_branin, 30);
    CHECK_INT(count_notes(&d, "\"turn\":\"noisy\""), 12);
    CHECK(count_notes(&d, "\"mean\"") >= 2);
    sampler_desk_close(&d);
}

/* ---- purity ---- */

/* So that the niche search begins within a short run. */
static void hasten(sampler *s)
{
    sampler_gp_niche(s)->idle = -3;
}

/* Gives how many suggestions came from the niche search. */
static int check_workers(const char *space, desk_fn *f, int trials)
{
    sampler_desk d;
    int niche;

    sampler_desk_open(&d, space, 8);
    desk_check_workers(&d, f, trials, hasten);
    niche = count_notes(&d, "\"turn\":\"niche\"");
    sampler_desk_close(&d);
    return niche;
}

TEST(a_suggestion_is_a_function_of_the_history_bit_for_bit)
{
    CHECK(check_workers(desk_flat, desk_branin, test_count(60, 150)) > 5);
    check_workers(desk_mixed, desk_tangled, test_count(30, 80));
}

/* Rows are appended to a factor only when fits become rare. */
TEST(it_is_so_too_where_rows_are_appended)
{
    check_workers(desk_flat, desk_branin, test_count(120, 180));
}

/* ---- memory ---- */

TEST(a_suggestion_survives_failing_allocations)
{
    sampler_desk d;

    sampler_desk_open(&d, desk_flat, 1);
    sampler_desk_run(&d, desk_branin, 12);
    sampler_desk_ask(&d); /* one waits */
    test_oom(sampler_desk_suggest_once, &d);
    sampler_desk_close(&d);
}

/* 1200 trials of others: the model is of the 512 nearest the best, the proposal near it. */
TEST(a_thousand_trials_are_narrowed_to_the_best_region)
{
    enum { MANY = 1200 };
    static observation rows[MANY];
    static double points[MANY][2];
    const history h = {MANY, rows};
    double best = INFINITY;
    int at = 0;
    sampler_desk d;

    sampler_desk_open(&d, desk_flat, 2);
    for (int i = 0; i < MANY; i++) {
        sample_random(9, i, 0, 2, points[i]);
        points[i][0] = 15 * points[i][0] - 5, points[i][1] *= 15;
        rows[i] = (observation){.number = i, .state = OBSERVED_COMPLETE, .x = points[i]};
        rows[i].value = desk_branin(points[i]);
        if (rows[i].value < best) best = rows[i].value, at = i;
    }
    for (int k = 0; k < 2; k++) {
        double x[2] = {NAN, NAN};
        char *note;

        CHECK_OK(d.ctx, sampler_suggest(d.s, &h, MANY + k, x, &note));
        CHECK(strstr(note, k ? "\"turn\":\"base\"" : "\"turn\":\"noisy\""));
        CHECK(hypot(x[0] - points[at][0], x[1] - points[at][1]) < 8);
        CHECK(desk_branin(x) < best);
        mem_free(d.ctx, note);
    }
    sampler_desk_close(&d);
}
