/* CMA-ES: the strategy against pycma's speed and the shape it must learn, margins of grids; the
 * sampler: generations from a history, mixed spaces, purity. */
#include "base/rng.h"
#include "bo/cma.h"
#include "sampler_desk.h"
#include "test.h"

static const char grids[] = "parameters:\n"
                            "  - {name: a, type: int, low: 0, high: 20}\n"
                            "  - {name: b, type: int, low: 0, high: 20}\n"
                            "  - {name: c, type: int, low: 1, high: 1000, log: true}\n"
                            "  - {name: d, low: 0, high: 1}\n"
                            "  - {name: e, choices: [s, m, l], ordered: true}\n";

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

TEST(cmaes_finds_minima_between_and_on_the_grid)
{
    /* measured: .0033 and .26, .0085 and .056, .38 and 1.15 */
    CHECK(desk_mean_best(SAMPLER_CMAES, desk_flat, desk_branin, 150) * 20 <
          desk_mean_best(SAMPLER_RANDOM, desk_flat, desk_branin, 150));
    CHECK(desk_mean_best(SAMPLER_CMAES, grids, stairs, 200) * 4 <
          desk_mean_best(SAMPLER_RANDOM, grids, stairs, 200));
    CHECK(desk_mean_best(SAMPLER_CMAES, desk_mixed, desk_tangled, 150) * 1.8 <
          desk_mean_best(SAMPLER_RANDOM, desk_mixed, desk_tangled, 150));
}

/* Every fifth worker never comes back: its generation is closed without it. */
TEST(cmaes_does_not_wait_for_the_lost)
{
    enum { SEEDS = 8 };
    double sum = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sampler_desk d;
        double best = INFINITY;

        sampler_desk_open_kind(&d, SAMPLER_CMAES, desk_flat, seed);
        for (int k = 0; k < 180; k++) {
            int32_t i = sampler_desk_ask(&d);

            if (k % 5 == 2) continue;
            sampler_desk_tell(&d, i, OBSERVED_COMPLETE, desk_branin(d.x[i]));
            best = fmin(best, desk_branin(d.x[i]));
        }
        sum += best / SEEDS;
        sampler_desk_close(&d);
    }
    CHECK(sum < 0.05); /* measured: .005 */
}

TEST(cmaes_keeps_values_that_are_given)
{
    desk_check_given(SAMPLER_CMAES);
}

TEST(a_cmaes_suggestion_is_a_function_of_the_history)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, SAMPLER_CMAES, desk_flat, 8);
    desk_check_workers(&d, desk_branin, 60, NULL);
    sampler_desk_close(&d);
    sampler_desk_open_kind(&d, SAMPLER_CMAES, desk_mixed, 8);
    desk_check_workers(&d, desk_tangled, 120, NULL);
    sampler_desk_close(&d);
}

TEST(cmaes_takes_trouble_with_numbers_and_spaces_without_a_number)
{
    static const double values[][4] = {
        {NAN, NAN, NAN, NAN}, {1, 1, 1, 1}, {1e308, -1e308, INFINITY, -INFINITY}};
    static const char *const spaces[] = {desk_flat, "parameters: [{name: c, choices: [x, y]}]\n",
                                         "parameters: [{name: k, type: int, low: 0, high: 1}]\n"};

    for (size_t v = 0; v < COUNT(values); v++)
        for (size_t s = 0; s < COUNT(spaces); s++) {
            sampler_desk d;

            sampler_desk_open_kind(&d, SAMPLER_CMAES, spaces[s], v);
            for (int k = 0; k < 50; k++)
                sampler_desk_tell(&d, sampler_desk_ask(&d), OBSERVED_COMPLETE, values[v][k % 4]);
            sampler_desk_close(&d);
        }
}

TEST(cmaes_survives_failing_allocations)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, SAMPLER_CMAES, desk_flat, 1);
    sampler_desk_run(&d, desk_branin, 20);
    sampler_desk_ask(&d); /* one waits */
    test_oom(sampler_desk_suggest_once, &d);
    sampler_desk_close(&d);
}
