/* Draws against the closed forms of their distributions. A draw is the inverse of a distribution
 * function at u, so F(draw(u)) = u for every u, and on a grid the share of evenly spread u is each
 * point's probability: no random numbers, and no tolerance for them. */
#include "space/search.h"
#include "test.h"

enum { DRAWS = 20000 };

static search *declared(drmad_ctx *ctx, const char *entry)
{
    config *c = NULL;
    search *s = NULL;
    char study[256];

    snprintf(study, sizeof study, "parameters: [{name: p, %s}]", entry);
    CHECK_OK(ctx, config_new(ctx, &c));
    CHECK_OK(ctx, config_read(c, "s.yaml", study, strlen(study)));
    CHECK_OK(ctx, config_finish(c));
    CHECK_OK(ctx, search_from_config(c, &s));
    config_free(c);
    return s;
}

static double phi(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

typedef struct law {
    double low, high, mean, sd;
} law;

static double uniform(law l, double x)
{
    return (x - l.low) / (l.high - l.low);
}
static double log_uniform(law l, double x)
{
    return (log(x) - log(l.low)) / (log(l.high) - log(l.low));
}
static double normal(law l, double x)
{
    double a = phi((l.low - l.mean) / l.sd), b = phi((l.high - l.mean) / l.sd);

    return (phi((x - l.mean) / l.sd) - a) / (b - a);
}
static double log_normal(law l, double x)
{
    return normal((law){log(l.low), log(l.high), l.mean, l.sd}, log(x));
}

static const struct {
    const char *entry;
    double (*below)(law l, double x);
    law law;
} continuous[] = {
    {"low: -3, high: 5", uniform, {-3, 5, 0, 0}},
    {"low: 1e-5, high: 1, log: true", log_uniform, {1e-5, 1, 0, 0}},
    {"low: 1e-300, high: 1e300, log: true", log_uniform, {1e-300, 1e300, 0, 0}},
    {"low: -8, high: 8, prior: normal, mean: 0, sd: 1", normal, {-8, 8, 0, 1}},
    {"low: 0, high: 1, prior: normal, mean: 0.2, sd: 0.5", normal, {0, 1, 0.2, 0.5}},
    {"low: -2, high: 1, prior: normal, mean: 7, sd: 2", normal, {-2, 1, 7, 2}},
    {"low: 1, high: 2, log: true, prior: normal", normal, {1, 2, 1.5, 0.25}},
    {"low: 1e-4, high: 10, prior: log-normal, mean: -2, sd: 1.5", log_normal, {1e-4, 10, -2, 1.5}},
    {"low: 0, high: 50, prior: log-normal, mean: 0, sd: 1", log_normal, {0, 50, 0, 1}},
};

TEST(continuous_draws_follow_their_distribution)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(continuous); i++) {
        search *s = declared(ctx, continuous[i].entry);
        const search_param *p = &s->params[0];
        double worst = 0, before = -INFINITY;

        for (int k = 0; k < DRAWS; k++) {
            double u = (k + 0.5) / DRAWS, x = search_draw_one(p, u);

            CHECK(x >= before && x >= p->low && x <= p->high);
            before = x;
            worst = fmax(worst, fabs(continuous[i].below(continuous[i].law, x) - u));
        }
        /* rounding of x in a range far from 0, seen through the distribution function */
        if (!(worst < 1e-12))
            test_fail(__FILE__, __LINE__, "%s: off by %g", continuous[i].entry, worst);
        CHECK_NEAR(search_draw_one(p, 0), fmax(p->low, search_draw_one(p, 0)), 0);
        search_free(s);
    }
}

/* Far in a tail the closed form above has no digits left: x - low is nearly exponential there, with
 * rate |z| / sd, to within 1 / z^2. */
TEST(draws_far_in_a_tail_keep_their_shape)
{
    drmad_ctx *ctx = test_ctx();
    search *up = declared(ctx, "low: 30, high: 40, prior: normal, mean: 0, sd: 1");
    search *down = declared(ctx, "low: -40, high: -30, prior: normal, mean: 0, sd: 1");

    for (int k = 1; k < 1000; k++) {
        double u = k / 1000.0, x = search_draw_one(&up->params[0], u);

        CHECK_NEAR(1 - exp(-30 * (x - 30)), u, 0.003);
        CHECK_NEAR(search_draw_one(&down->params[0], 1 - u), -x, 1e-9);
    }
    search_free(up);
    search_free(down);
}

/* The share of DRAWS evenly spread u that give x. */
static double share(const search_param *p, double x)
{
    int n = 0;

    for (int k = 0; k < DRAWS; k++) n += fabs(search_draw_one(p, (k + 0.5) / DRAWS) - x) < 1e-9;
    return (double)n / DRAWS;
}

static const struct {
    const char *entry;
    int n;
    double low, step;
    double (*below)(law l, double x);
    law law; /* of what is rounded: half a step wider */
} grids[] = {
    {"type: int, low: 3, high: 7", 5, 3, 1, uniform, {2.5, 7.5, 0, 0}},
    {"type: int, low: -4, high: 9, step: 5", 3, -4, 5, uniform, {-6.5, 8.5, 0, 0}},
    {"low: 0, high: 1, step: 0.3", 4, 0, 0.3, uniform, {-0.15, 1.05, 0, 0}},
    {"type: int, low: 1, high: 8, log: true", 8, 1, 1, log_uniform, {0.5, 8.5, 0, 0}},
    {"type: int, low: 0, high: 6, prior: normal, mean: 2, sd: 1",
     7,
     0,
     1,
     normal,
     {-0.5, 6.5, 2, 1}},
    {"low: 0, high: 1, step: 0.25, prior: normal, mean: 1, sd: 0.5",
     5,
     0,
     0.25,
     normal,
     {-0.125, 1.125, 1, 0.5}},
    {"type: int, low: 1, high: 9, step: 2, prior: log-normal, mean: 1, sd: 1",
     5,
     1,
     2,
     log_normal,
     {0, 10, 1, 1}},
};

TEST(draws_on_a_grid_have_the_probability_of_the_stretch_around)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(grids); i++) {
        search *s = declared(ctx, grids[i].entry);
        double all = 0;

        for (int k = 0; k < grids[i].n; k++) {
            double x = grids[i].low + k * grids[i].step, half = 0.5 * grids[i].step;
            double want =
                grids[i].below(grids[i].law, x + half) - grids[i].below(grids[i].law, x - half);

            CHECK_NEAR(share(&s->params[0], x), want, 2.0 / DRAWS);
            all += share(&s->params[0], x);
        }
        CHECK_NEAR(all, 1, 1e-12); /* nothing beside the grid */
        search_free(s);
    }
}

TEST(choices_are_as_likely_as_they_weigh)
{
    drmad_ctx *ctx = test_ctx();
    search *even = declared(ctx, "choices: [a, b, c]");
    search *heavy = declared(ctx, "choices: [a, b, c, d], weights: [1, 0, 2, 5]");

    for (int i = 0; i < 3; i++) CHECK_NEAR(share(&even->params[0], i), 1 / 3.0, 1.0 / DRAWS);
    CHECK_NEAR(share(&heavy->params[0], 0), 0.125, 1.0 / DRAWS);
    CHECK_NEAR(share(&heavy->params[0], 1), 0, 0);
    CHECK_NEAR(share(&heavy->params[0], 2), 0.25, 1.0 / DRAWS);
    CHECK_NEAR(share(&heavy->params[0], 3), 0.625, 1.0 / DRAWS);
    CHECK_NEAR(search_draw_one(&heavy->params[0], 1 - 0x1p-53), 3, 0);
    search_free(even);
    search_free(heavy);
}

/* u lies in the stretch of what it is drawn to, and grid points' stretches are as long as they are
 * likely. */
static void check_places(const search_param *p, const char *entry, bool grid)
{
    for (int k = 0; k < 1000; k++) {
        double u = (k + 0.5) / 1000, from, to, x = search_draw_one(p, u);

        search_place_one(p, x, &from, &to);
        if (!(from <= u + 1e-12 && u - 1e-12 <= to && from >= 0 && to <= 1 && grid == (from < to)))
            test_fail(__FILE__, __LINE__, "%s: u %g, x %.17g, from %.17g to %.17g", entry, u, x,
                      from, to);
        if (grid && k % 50 == 0) CHECK_NEAR(to - from, share(p, x), 2.0 / DRAWS);
    }
}

TEST(places_undo_draws)
{
    static const char *const others[] = {
        "choices: [a, b, c]",
        "choices: [a, b, c, d], weights: [1, 0, 2, 5]",
        "choices: [a]",
        "low: 3, high: 3",
        "low: 0, high: 9, fixed: 4",
        "type: int, low: 1, high: 100000, log: true",
    };
    drmad_ctx *ctx = test_ctx();
    search *s = NULL;

    for (size_t i = 0; i < COUNT(continuous); i++) {
        s = declared(ctx, continuous[i].entry);
        check_places(&s->params[0], continuous[i].entry, false);
        search_free(s);
    }
    for (size_t i = 0; i < COUNT(grids) + COUNT(others); i++) {
        const char *entry = i < COUNT(grids) ? grids[i].entry : others[i - COUNT(grids)];

        s = declared(ctx, entry);
        check_places(&s->params[0], entry, true);
        search_free(s);
    }
    s = declared(ctx, "low: 30, high: 40, prior: normal, mean: 0, sd: 1"); /* far in a tail */
    check_places(&s->params[0], "tail", false);
    search_free(s);
}

/* hypero's samplers as docs/STUDY.md says them: means and variances of what hypero draws. */
TEST(the_samplers_of_hypero_have_their_moments)
{
    static const struct {
        const char *entry;
        double mean, variance;
    } rows[] = {
        {"low: 2, high: 5", 3.5, 0.75},                                    /* uniform(2, 5) */
        {"type: int, low: 1, high: 6", 3.5, 35 / 12.0},                    /* randint(1, 6) */
        {"low: -14, high: 18, prior: normal, mean: 2, sd: 2", 2, 4},       /* normal(2, 2) */
        {"low: 1, high: 2.718281828459045, log: true", M_E - 1, 0.242036}, /* logUniform(0, 1) */
        {"choices: [0, 1, 2], weights: [0.2, 0.3, 0.5]", 1.3, 0.61},       /* categorical */
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(rows); i++) {
        search *s = declared(ctx, rows[i].entry);
        double sum = 0, squares = 0;

        for (int k = 0; k < DRAWS; k++) {
            double x = search_draw_one(&s->params[0], (k + 0.5) / DRAWS);

            sum += x, squares += x * x;
        }
        double mean = sum / DRAWS;

        CHECK_NEAR(mean, rows[i].mean, 1e-3);
        CHECK_NEAR(squares / DRAWS - mean * mean, rows[i].variance, 2e-3);
        search_free(s);
    }
}

TEST(every_u_gives_a_value_that_may_be)
{
    static const char *const entries[] = {
        "low: 0.1, high: 0.7, step: 0.2",
        "low: -1e308, high: 1e308",
        "low: 5e-324, high: 1e308, log: true",
        "type: int, low: -9007199254740992, high: 9007199254740992",
        "type: int, low: 1, high: 9007199254740992, log: true",
        "low: 1, high: 1.0000000000000002",
        "low: 2, high: 2, prior: normal, mean: 2, sd: 1",
        "low: 0, high: 1e-300, prior: normal, mean: 0, sd: 1e300",
        "low: 0, high: 1, prior: normal, mean: 37, sd: 1",
        "type: int, low: 0, high: 5, prior: log-normal, mean: 3, sd: 0.1",
    };
    const double us[] = {0, 0x1p-53, 1e-9, 0.25, 0.5, 0.75, 1 - 1e-9, 1 - 0x1p-53};
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(entries); i++) {
        search *s = declared(ctx, entries[i]);

        for (size_t k = 0; s && k < COUNT(us); k++) {
            double x = search_draw_one(&s->params[0], us[k]);

            if (search_check(s, &x) != DRMAD_OK)
                test_fail(__FILE__, __LINE__, "%s, u = %g: %s", entries[i], us[k],
                          drmad_errmsg(ctx));
        }
        search_free(s);
    }
}
