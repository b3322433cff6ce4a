/* The minimiser on functions whose minimum is known, free and against bounds: value, bounds, the
 * conditions of a constrained minimum, evaluations used. */
#include "base/rng.h"
#include "linalg/linalg.h"
#include "test.h"

enum { MOST = 10 };

typedef struct problem {
    int32_t calls;
    const double *lower, *upper;
    bool outside; /* a point that broke the bounds was asked for */
    double limit; /* no value where x0 + x1 is beyond; 0: everywhere one */
} problem;

static void look(problem *p, int32_t n, const double *x)
{
    p->calls++;
    for (int i = 0; i < n; i++)
        p->outside |= p->lower && (x[i] < p->lower[i] || x[i] > p->upper[i]);
}

static double rosenbrock(void *user, int32_t n, const double *x, double *g)
{
    problem *p = user;
    double f = 0;

    look(p, n, x);
    memset(g, 0, (size_t)n * sizeof *g);
    for (int i = 0; i + 1 < n; i++) {
        const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];

        f += 100 * a * a + b * b;
        g[i] += -400 * a * x[i] - 2 * b, g[i + 1] += 200 * a;
    }
    if (p->limit > 0 && x[0] + x[1] > p->limit) g[0] = f = NAN;
    return f;
}

static linalg *opened(void)
{
    linalg *l = NULL;
    drmad_ctx *ctx = test_ctx();

    CHECK_OK(ctx, linalg_open(ctx, &l));
    if (!l) exit(1);
    return l;
}

static double draw(int seed, int i, double low, double high)
{
    return low + (high - low) * rng_uniform((rng_key){.seed = (uint64_t)seed}, (uint64_t)i);
}

/* As far as x - g leads, bounds heeded: 0 at a minimum within bounds. */
static double slope(problem *p, int32_t n, const double *x)
{
    double g[MOST], worst = 0;

    rosenbrock(p, n, x, g);
    for (int i = 0; i < n; i++) {
        const double to = fmin(fmax(x[i] - g[i], p->lower[i]), p->upper[i]);

        worst = fmax(worst, fabs(to - x[i]));
    }
    return worst;
}

TEST(the_free_minimum_is_found_in_few_evaluations)
{
    linalg *l = opened();
    const int32_t dims[] = {2, 5, 10};
    const int32_t enough[] = {80, 90, 120}; /* seen: at most 61, 73, 96 */

    for (int k = 0; k < 3; k++)
        for (int start = 0; start < 10; start++) {
            problem p = {0};
            double x[MOST], g[MOST], value;
            const linalg_task t = {dims[k], NULL, NULL, 500, 1e-14, rosenbrock, &p};

            for (int i = 0; i < dims[k]; i++) x[i] = draw(start, i, 0, 2);
            CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
            CHECK(value < 1e-10 ||
                  (value > 3.9 && value < 4)); /* from n = 4 on there is a second one */
            CHECK(p.calls <= enough[k]);
            CHECK(rosenbrock(&p, dims[k], x, g) == value);
            for (int i = 0; i < dims[k]; i++) CHECK_NEAR(g[i], 0, 1e-3);
        }
    linalg_close(l);
}

/* Upper bounds below the minimum, one narrow box, one coordinate that is fixed by equal bounds. */
TEST(bounds_hold_and_the_end_is_a_minimum_within_them)
{
    static const double low[][5] = {
        {-1, -2, -2, -2, -2}, {-1.5, -1.5, 1.2, -1.5, -1.5}, {-2, .3, -2, -2, -2}};
    static const double high[][5] = {
        {.8, .8, .8, .8, .8}, {1.5, 1.5, 1.5, .5, 1.5}, {2, .3, 2, 2, 2}};
    linalg *l = opened();

    for (int k = 0; k < 3; k++)
        for (int start = 0; start < 20; start++) {
            problem p = {.lower = low[k], .upper = high[k]};
            double x[MOST], value;
            const linalg_task t = {5, low[k], high[k], 300, 1e-14, rosenbrock, &p};

            for (int i = 0; i < 5; i++) x[i] = draw(start, i, -3, 3); /* outside too */
            CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
            CHECK(!p.outside);
            CHECK(p.calls < 120);
            CHECK_NEAR(slope(&p, 5, x), 0, 1e-4);
            CHECK(!p.outside);
        }
    linalg_close(l);
}

TEST(it_steps_back_from_where_there_is_no_value)
{
    const double low[4] = {-2, -2, -2, -2}, high[4] = {2, 2, 2, 2};
    linalg *l = opened();

    for (int start = 0; start < 20; start++) {
        problem p = {.lower = low, .upper = high, .limit = 2.05}; /* the minimum is near the edge */
        double x[4], value;
        const linalg_task t = {4, low, high, 300, 1e-14, rosenbrock, &p};

        for (int i = 0; i < 4; i++) x[i] = draw(start, i, 0, 1);
        CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
        CHECK_NEAR(value, 0, 1e-8);
    }
    linalg_close(l);
}

TEST(without_any_value_the_point_stays)
{
    const double low[2] = {0, 0}, high[2] = {1, 1};
    problem p = {.limit = 1e-9};
    const linalg_task t = {2, low, high, 50, 1e-9, rosenbrock, &p};
    double x[2] = {.75, 7}, value;
    linalg *l = opened();

    CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
    CHECK(isinf(value) && x[0] == .75 && x[1] == 1);
    linalg_close(l);
}

TEST(it_keeps_to_its_evaluations_and_gives_the_best_of_them)
{
    const double low[5] = {-2, -2, -2, -2, -2}, high[5] = {2, 2, 2, 2, 2};
    double before = INFINITY;
    linalg *l = opened();

    for (int most = 1; most < 30; most++) {
        problem p = {.lower = low, .upper = high};
        double x[5] = {-1.2, 1, -1.2, 1, -1.2}, value;
        const linalg_task t = {5, low, high, most, 0, rosenbrock, &p};

        CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
        CHECK(p.calls >= most - 1 && p.calls <= most + 1);
        CHECK(value <= before); /* the same way, one step further */
        before = value;
    }
    linalg_close(l);
}

TEST(the_same_start_gives_the_same_bits)
{
    const double low[5] = {-2, -2, -2, -2, -2}, high[5] = {.9, .9, .9, .9, .9};
    double first[5], first_value = 0;
    linalg *l = opened();

    for (int k = 0; k < 3; k++) {
        problem p = {.lower = low, .upper = high};
        double x[5] = {-1, -1, 0, .5, 0}, y[5], value;
        linalg_task t = {5, low, high, 200, 1e-12, rosenbrock, &p};

        CHECK_OK(test_ctx(), linalg_minimise(l, &t, x, &value));
        if (k == 0) memcpy(first, x, sizeof x), first_value = value;
        CHECK(memcmp(x, first, sizeof x) == 0 && value == first_value);
        for (int i = 0; i < 5; i++) y[i] = draw(k, i, -1, 1); /* another run between */
        t.evaluations = 17;
        CHECK_OK(test_ctx(), linalg_minimise(l, &t, y, &value));
    }
    linalg_close(l);
}
