/* Parzen estimators: densities that integrate to one, against a naive sum; draws follow them. */
#include "bo/parzen.h"
#include "sampler_desk.h"
#include "test.h"

static const char mixed[] = "parameters:\n"
                            "  - {name: lr, low: 1e-4, high: 1, log: true}\n"
                            "  - {name: n, type: int, low: 1, high: 9, log: true}\n"
                            "  - {name: c, choices: [a, b, c], weights: [5, 2, 1]}\n"
                            "  - {name: o, choices: [s, m, l], ordered: true}\n"
                            "  - {name: wide, type: int, low: 0, high: 5000}\n";
enum { LR, N, C, O, WIDE, PARAMS };

typedef struct setting {
    sampler_desk d;
    double x[40][PARAMS], weights[40];
    const double *rows[40];
} setting;

static void setting_open(setting *t, int32_t n)
{
    double u[PARAMS];
    int32_t broken;

    sampler_desk_open_kind(&t->d, SAMPLER_RANDOM, mixed, 1);
    for (int32_t i = 0; i < n; i++) {
        sample_random(7, i, 0, PARAMS, u);
        for (int k = 0; k < PARAMS; k++) u[k] = 0.3 + 0.4 * u[k]; /* not all over the cube */
        CHECK_OK(t->d.ctx, search_draw(t->d.space, u, t->x[i], &broken));
        t->weights[i] = 0.5 + i % 3, t->rows[i] = t->x[i];
    }
}

static parzen *made(setting *t, const int32_t *params, int32_t d, int32_t n)
{
    const parzen_points points = {n, t->rows, t->weights};
    parzen *p = NULL;

    CHECK_OK(t->d.ctx, parzen_new(t->d.space, params, d, &points, &p));
    if (!p) exit(1); /* the failure has been told */
    return p;
}

/* The integral over the prior, by evenly spread u in each of the parameters. */
static double integral(setting *t, parzen *p, const int32_t *params, int32_t d, int32_t each)
{
    double sum = 0, x[PARAMS] = {0};
    int32_t all = 1;

    for (int32_t k = 0; k < d; k++) all *= each;
    for (int32_t i = 0; i < all; i++) {
        for (int32_t k = 0, rest = i; k < d; k++, rest /= each)
            x[params[k]] =
                search_draw_one(&t->d.space->params[params[k]], (rest % each + 0.5) / each);
        sum += exp(parzen_log_density(p, x));
    }
    return sum / all;
}

TEST(densities_integrate_to_one_over_the_prior)
{
    static const int32_t sets[][3] = {{LR, N, C}, {C, O, N}, {LR, O, C}, {WIDE, C, N}};
    static setting t;

    setting_open(&t, 40);
    for (size_t s = 0; s < COUNT(sets); s++)
        for (int32_t n = 0; n <= 40; n += 8) {
            parzen *p = made(&t, sets[s], 3, n);

            CHECK_NEAR(integral(&t, p, sets[s], 3, 64), 1, 0.03); /* of cells cut by 64 steps */
            parzen_free(p);
            p = made(&t, sets[s], 1, n);
            CHECK_NEAR(integral(&t, p, sets[s], 1, 20000), 1, 0.003);
            parzen_free(p);
        }
    sampler_desk_close(&t.d);
}

static double below(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

/* Two points and the prior, every number worked out as parzen.c's opening says. */
TEST(a_density_is_the_sum_it_is_said_to_be)
{
    static const int32_t params[] = {LR, C};
    const double sd =
        0.25; /* of both: the distance of their places, .25 and .5; the bound is 1/8 */
    const double place[] = {0.25, 0.5}, weight[] = {0.5, 1.5}, total = 3;
    const double own = 1 - 3.0 / (2 + 1 + 3), prior[] = {5 / 8.0, 2 / 8.0, 1 / 8.0};
    static setting t;

    setting_open(&t, 2);
    for (int k = 0; k < 2; k++) {
        t.x[k][LR] = pow(10, -4 + 4 * place[k]);
        t.x[k][C] = k;
        t.weights[k] = weight[k];
    }
    parzen *p = made(&t, params, 2, 2);

    for (int i = 0; i < 60; i++) {
        double u = (i + 0.5) / 60, want = 1 / total, x[PARAMS] = {0};

        x[LR] = pow(10, -4 + 4 * u), x[C] = i % 3;
        for (int k = 0; k < 2; k++) {
            double z = (u - place[k]) / sd;
            double mass = below((1 - place[k]) / sd) - below(-place[k] / sd);
            double same = (1 - own) + (i % 3 == k ? own / prior[k] : 0);

            want += weight[k] / total * exp(-z * z / 2) / sqrt(2 * M_PI) / sd / mass * same;
        }
        CHECK_NEAR(exp(parzen_log_density(p, x)), want, 1e-12 * want);
    }
    parzen_free(p);
    sampler_desk_close(&t.d);
}

/* The share of draws in each of 24 equal parts of u, or of each choice, against the density. */
static void check_draws(setting *t, parzen *p, int32_t param, int32_t parts)
{
    enum { DRAWS = 20000, FINE = 100 };
    const search_param *q = &t->d.space->params[param];
    int32_t hits[24] = {0};
    double x[PARAMS] = {0}, from, to;

    for (int i = 0; i < DRAWS; i++) {
        parzen_draw(p, (rng_key){3, 0, 4}, (uint64_t)i * PARZEN_ELEMENTS, x);
        search_place_one(q, x[param], &from, &to);
        hits[(int)((from + (to - from) / 2) * parts)]++;
    }
    for (int k = 0; k < parts; k++) {
        double want = 0;

        for (int i = 0; i < FINE; i++) {
            x[param] = search_draw_one(q, (k + (i + 0.5) / FINE) / parts);
            want += exp(parzen_log_density(p, x)) / FINE / parts * DRAWS;
        }
        CHECK_NEAR(hits[k], want, 5 * sqrt(want) + 3); /* five standard deviations */
    }
}

TEST(draws_follow_the_density)
{
    static const int32_t lr[] = {LR}, o[] = {O}, n[] = {N};
    static setting t;

    setting_open(&t, 10);
    parzen *p = made(&t, lr, 1, 10);

    check_draws(&t, p, LR, 24);
    parzen_free(p);
    p = made(&t, o, 1, 10);
    check_draws(&t, p, O, 3);
    parzen_free(p);
    p = made(&t, n, 1, 0); /* the prior alone */
    for (int i = 1; i < 10; i++) {
        double x[PARAMS] = {0};

        x[N] = i;
        CHECK_NEAR(parzen_log_density(p, x), 0, 1e-12);
    }
    parzen_free(p);
    sampler_desk_close(&t.d);
}

TEST(draws_keep_what_is_given_and_follow_the_rest)
{
    enum { DRAWS = 20000 };
    static const int32_t params[] = {LR, C, O};
    static setting t;
    double x[PARAMS] = {0.02, 0, NAN, NAN, 0}, density[9], sum = 0;
    int32_t hits[9] = {0};

    setting_open(&t, 12);
    parzen *p = made(&t, params, 3, 12);

    parzen_condition(p, x);
    for (int i = 0; i < DRAWS; i++) {
        x[C] = x[O] = NAN;
        parzen_draw(p, (rng_key){5, 0, 4}, (uint64_t)i * PARZEN_ELEMENTS, x);
        CHECK(x[LR] == 0.02);
        hits[(int)x[C] * 3 + (int)x[O]]++;
    }
    for (int k = 0; k < 9; k++) {
        const double prior[] = {5, 2, 1};

        x[C] = k / 3, x[O] = k % 3;
        sum += density[k] = prior[k / 3] * exp(parzen_log_density(p, x));
    }
    for (int k = 0; k < 9; k++) {
        double want = density[k] / sum * DRAWS;

        CHECK_NEAR(hits[k], want, 5 * sqrt(want) + 3);
    }
    parzen_free(p);
    sampler_desk_close(&t.d);
}

TEST(points_at_one_place_and_at_the_borders_do_no_harm)
{
    static const int32_t params[] = {LR, N, C, O};
    static setting t;

    setting_open(&t, 40);
    for (int i = 0; i < 40; i++)
        for (int k = 0; k < 4; k++)
            t.x[i][k] = search_draw_one(&t.d.space->params[k], i % 4 < 2 ? 0 : 1 - 0x1p-53);
    parzen *p = made(&t, params, 4, 40);

    for (int i = 0; i < 1000; i++) {
        double x[PARAMS] = {0};

        parzen_draw(p, (rng_key){6, 0, 4}, (uint64_t)i * PARZEN_ELEMENTS, x);
        x[WIDE] = 0;
        CHECK_OK(t.d.ctx, search_check(t.d.space, x));
        CHECK(isfinite(parzen_log_density(p, x)));
    }
    parzen_free(p);
    sampler_desk_close(&t.d);
}
