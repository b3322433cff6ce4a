/* CMA-ES: the strategy against pycma's speed and the shape it must learn, margins of grids; the
 * sampler: generations from a history, mixed spaces, purity. */
#include "base/rng.h"
#include "bo/cma.h"
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
static const char grids[] = "parameters:\n"
                            "  - {name: a, type: int, low: 0, high: 20}\n"
                            "  - {name: b, type: int, low: 0, high: 20}\n"
                            "  - {name: c, type: int, low: 1, high: 1000, log: true}\n"
                            "  - {name: d, low: 0, high: 1}\n"
                            "  - {name: e, choices: [s, m, l], ordered: true}\n";

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

/* Least at (17, 2, 30, .4, m). */
static double stairs(const double *x)
{
    return pow((x[0] - 17) / 20, 2) + pow((x[1] - 2) / 20, 2) + pow(log(x[2] / 30) / 7, 2) +
           pow(x[3] - 0.4, 2) + 0.1 * fabs(x[4] - 1);
}

/* ---- the strategy ---- */

enum { D = 8, SIZE = 10 };

static double sphere(const double *v)
{
    double sum = 0;

    for (int i = 0; i < D; i++) sum += (v[i] - 0.45) * (v[i] - 0.45);
    return sum;
}

/* Turned by a reflection that mixes all axes; condition 1e4. */
static double ellipsoid(const double *v)
{
    double mean = 0, sum = 0;

    for (int i = 0; i < D; i++) mean += (v[i] - 0.45) / D;
    for (int i = 0; i < D; i++) sum += pow(10, 4.0 * i / (D - 1)) * pow(v[i] - 0.45 - 2 * mean, 2);
    return sum;
}

typedef struct swarm {
    drmad_ctx *ctx;
    linalg *lin;
    cma *c;
    double v[SIZE][D], value[SIZE];
    int64_t asked;
} swarm;

static void swarm_open(swarm *s)
{
    const double mean[D] = {0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2};

    *s = (swarm){.ctx = test_ctx()};
    CHECK_OK(s->ctx, linalg_open(s->ctx, &s->lin));
    CHECK_OK(s->ctx, cma_new(s->ctx, s->lin, D, &s->c));
    CHECK_INT(cma_size(D), SIZE);
    cma_start(s->c, mean);
}

static void swarm_close(swarm *s)
{
    cma_free(s->c);
    linalg_close(s->lin);
}

/* One generation; `hide`: nothing is known of coordinate 0. Gives the best value. */
static double generation(swarm *s, desk_fn *f, uint64_t seed, bool hide)
{
    cma_span members[SIZE * D];
    uint64_t elements[SIZE];
    int order[SIZE];

    for (int k = 0; k < SIZE; k++) {
        int at = k;

        cma_draw(s->c, (rng_key){seed, 1, 2}, (uint64_t)s->asked++ << 8, s->v[k]);
        s->value[k] = f(s->v[k]);
        for (; at > 0 && s->value[order[at - 1]] > s->value[k]; at--) order[at] = order[at - 1];
        order[at] = k;
    }
    for (int r = 0; r < SIZE; r++) {
        elements[r] = (uint64_t)(s->asked + r) << 8;
        for (int i = 0; i < D; i++) {
            const double v = s->v[order[r]][i];

            members[r * D + i] =
                hide && i == 0 ? (cma_span){-INFINITY, INFINITY} : (cma_span){v, v};
        }
    }
    CHECK_OK(s->ctx, cma_update(s->c, SIZE, members, (rng_key){seed, 1, 3}, elements));
    return s->value[order[0]];
}

static int rising(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Median of the evaluations to 1e-9. */
static int evaluations(desk_fn *f)
{
    enum { SEEDS = 21, MOST = 10000 };
    int count[SEEDS];

    for (int seed = 0; seed < SEEDS; seed++) {
        swarm s;

        swarm_open(&s);
        for (count[seed] = SIZE; generation(&s, f, (uint64_t)seed, false) > 1e-9;)
            if ((count[seed] += SIZE) > MOST) break;
        swarm_close(&s);
    }
    qsort(count, SEEDS, sizeof *count, rising);
    return count[SEEDS / 2];
}

/* pycma 4.5.0 by tests/bo/pycma.py: medians 1097 and 1998 of 21 seeds, which differ by 10 % or so
 * from another 21. */
TEST(cma_is_as_fast_as_pycma)
{
    CHECK_NEAR(evaluations(sphere), 1097, 150);
    CHECK_NEAR(evaluations(ellipsoid), 1998, 300);
}

/* On a quadratic function C becomes its inverse matrix but for scale: so steps along the steepest
 * axis, seen from C, are as long as those along the flattest. */
TEST(cma_learns_the_shape)
{
    swarm s;
    double steep = 0, flattest = 0;

    swarm_open(&s);
    for (int g = 0; g < 160; g++) generation(&s, ellipsoid, 5, false);
    for (int g = 0; g < 20; g++) {
        generation(&s, ellipsoid, 5, false);
        for (int k = 0; k < SIZE; k++) {
            double mean = 0, m0 = 0;

            for (int i = 0; i < D; i++) mean += s.v[k][i] / D, m0 += cma_mean(s.c)[i] / D;
            steep += pow(s.v[k][D - 1] - 2 * mean - cma_mean(s.c)[D - 1] + 2 * m0, 2);
            flattest += pow(s.v[k][0] - 2 * mean - cma_mean(s.c)[0] + 2 * m0, 2);
        }
    }
    const double ratio = flattest / steep;

    if (!(ratio > 2e3 && ratio < 5e4)) /* 1e4 */
        test_fail(__FILE__, __LINE__, "variances' ratio %g", ratio);
    swarm_close(&s);
}

TEST(unknown_coordinates_keep_their_width)
{
    double sum = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        swarm s;

        swarm_open(&s);
        for (int g = 0; g < 25; g++) generation(&s, sphere, seed, true);
        sum += log(cma_sd(s.c, 0) / cma_sd(s.c, 1)) / 20; /* the others narrow down */
        CHECK(fabs(cma_mean(s.c)[1] - 0.45) < 0.1);
        swarm_close(&s);
    }
    CHECK(sum > 0.3);
}

static double below(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

/* Each neighbouring cell keeps its probability, and a mean that need not move stays. */
TEST(margins_keep_neighbours_within_reach)
{
    const double least = 0.5 / (D * SIZE);
    const cma_span cells[] = {{0.19, 0.21}, {0.1, 0.9},     {-0.9, 0.9},
                              {0.199, 4},   {-INFINITY, 2}, {-2, INFINITY}};
    swarm s;

    for (size_t k = 0; k < COUNT(cells); k++) {
        swarm_open(&s);
        cma_margin(s.c, 3, cells[k]);
        const double m = cma_mean(s.c)[3], sd = cma_sd(s.c, 3);
        const double under = below((cells[k].from - m) / sd), over = below((m - cells[k].to) / sd);

        CHECK(m >= cells[k].from && m <= cells[k].to);
        if (isfinite(cells[k].from)) CHECK(under >= least * (1 - 1e-9));
        if (isfinite(cells[k].to)) CHECK(over >= least * (1 - 1e-9));
        if (k == 0) CHECK(m == 0.2 && sd == cma_sd(s.c, 4));
        swarm_close(&s);
    }
}

/* Numbers without use make it start anew, not fail. */
TEST(cma_starts_anew_when_it_is_spent)
{
    swarm s;
    bool again = false;

    swarm_open(&s);
    for (int g = 0; g < 400 && !again; g++) {
        generation(&s, sphere, 3, false);
        again = g > 50 && cma_sd(s.c, 0) > 0.1;
    }
    CHECK(again);
    swarm_close(&s);
}

/* ---- the sampler ---- */

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

TEST(cmaes_finds_minima_between_and_on_the_grid)
{
    /* measured: .0033 and .26, .0085 and .056, .38 and 1.15 */
    CHECK(mean_best(SAMPLER_CMAES, flat, branin, 150) * 20 <
          mean_best(SAMPLER_RANDOM, flat, branin, 150));
    CHECK(mean_best(SAMPLER_CMAES, grids, stairs, 200) * 4 <
          mean_best(SAMPLER_RANDOM, grids, stairs, 200));
    CHECK(mean_best(SAMPLER_CMAES, mixed, tangled, 150) * 1.8 <
          mean_best(SAMPLER_RANDOM, mixed, tangled, 150));
}

/* Every fifth worker never comes back: its generation is closed without it. */
TEST(cmaes_does_not_wait_for_the_lost)
{
    enum { SEEDS = 8 };
    double sum = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gp_desk d;
        double best = INFINITY;

        gp_desk_open_kind(&d, SAMPLER_CMAES, flat, seed);
        for (int k = 0; k < 180; k++) {
            int32_t i = gp_desk_ask(&d);

            if (k % 5 == 2) continue;
            gp_desk_tell(&d, i, OBSERVED_COMPLETE, branin(d.x[i]));
            best = fmin(best, branin(d.x[i]));
        }
        sum += best / SEEDS;
        gp_desk_close(&d);
    }
    CHECK(sum < 0.05); /* measured: .005 */
}

TEST(cmaes_keeps_values_that_are_given)
{
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_CMAES, mixed, 5);
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

static void check_workers(const char *space, desk_fn *f, int trials)
{
    const rng_key key = {11, 12, 13};
    int32_t runs[4];
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_CMAES, space, 8);
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

TEST(a_cmaes_suggestion_is_a_function_of_the_history)
{
    check_workers(flat, branin, 60);
    check_workers(mixed, tangled, 120);
}

TEST(cmaes_takes_trouble_with_numbers_and_spaces_without_a_number)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, INFINITY, -INFINITY}};
    static const char *const spaces[] = {flat, "parameters: [{name: c, choices: [x, y]}]\n",
                                         "parameters: [{name: k, type: int, low: 0, high: 1}]\n"};

    for (size_t v = 0; v < COUNT(values); v++)
        for (size_t s = 0; s < COUNT(spaces); s++) {
            gp_desk d;

            gp_desk_open_kind(&d, SAMPLER_CMAES, spaces[s], v);
            for (int k = 0; k < 50; k++)
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
    TRY(sampler_new(ctx, &d->options, d->space, &s));
    TRY(sampler_suggest(s, &h, d->n, x, &note));
done:
    mem_free(ctx, note);
    sampler_free(s);
    return st;
}

TEST(cmaes_survives_failing_allocations)
{
    gp_desk d;

    gp_desk_open_kind(&d, SAMPLER_CMAES, flat, 1);
    gp_desk_run(&d, branin, 20);
    gp_desk_ask(&d); /* one waits */
    test_oom(suggest_once, &d);
    gp_desk_close(&d);
}
