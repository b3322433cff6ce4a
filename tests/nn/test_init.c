/* Initial weights: the spread that each kind promises, and draws that depend on seed and tensor
 * name alone. */
#include "nn/nn.h"
#include "test.h"

enum { D0 = 60, D1 = 50, D2 = 7 };

typedef struct drawn {
    param_table *p;
    double *w;
} drawn;

static drawn draw(const nn_spec *s, uint64_t seed)
{
    drawn d = {0};

    CHECK_OK(test_ctx(), params_new(test_ctx(), &d.p));
    CHECK_OK(test_ctx(), nn_params(test_ctx(), s, d.p));
    CHECK_OK(test_ctx(), mem_alloc(test_ctx(), (size_t)d.p->total, sizeof *d.w, &d.w));
    nn_draw(s, d.p, seed, d.w);
    return d;
}

static void drawn_free(drawn *d)
{
    params_free(d->p);
    mem_free(test_ctx(), d->w);
}

/* Mean within 4 standard errors of 0; variance within 4 of its own, about sqrt(2/n) of it for a
 * normal draw and less for a uniform one. */
static void check_spread(const double *w, int64_t n, double std, const char *what)
{
    double sum = 0, square = 0;

    for (int64_t i = 0; i < n; i++) sum += w[i], square += w[i] * w[i];
    const double mean = sum / (double)n, variance = square / (double)n;
    if (!(fabs(mean) <= 4 * std / sqrt((double)n)))
        test_fail(__FILE__, __LINE__, "%s: mean %g, expected 0 with deviation %g", what, mean, std);
    if (!(fabs(variance / (std * std) - 1) <= 4 * sqrt(2.0 / (double)n)))
        test_fail(__FILE__, __LINE__, "%s: deviation %g, expected %g", what, sqrt(variance), std);
}

TEST(draws_spread_as_the_kind_says)
{
    const double std[] = {0.05, sqrt(2.0 / (D0 + D1)), sqrt(2.0 / D0), 1 / sqrt(3.0 * D0)};
    static const char *const name[] = {"normal", "xavier", "kaiming", "pytorch"};

    for (int kind = INIT_NORMAL; kind <= INIT_PYTORCH; kind++) {
        const nn_spec s = {.layers = 2,
                           .sizes = {D0, D1, D2},
                           .init = (nn_init)kind,
                           .init_std = 0.05,
                           .bias_init = BIAS_LIKE_WEIGHT};
        drawn d = draw(&s, 3);
        check_spread(d.w + d.p->at[0].offset, D0 * D1, std[kind], name[kind]);
        check_spread(d.w + d.p->at[1].offset, D1, std[kind], name[kind]);
        drawn_free(&d);
    }
}

TEST(pytorchs_draw_is_uniform_within_its_bound)
{
    const nn_spec s = {.layers = 1, .sizes = {D0, D1}, .init = INIT_PYTORCH};
    const double bound = 1 / sqrt(D0);
    drawn d = draw(&s, 3);
    int quarter[4] = {0};

    for (int64_t e = 0; e < D0 * D1; e++) {
        CHECK(fabs(d.w[e]) <= bound);
        const int k = (int)(2 * (d.w[e] / bound + 1));
        quarter[k < 0 ? 0 : k > 3 ? 3 : k]++;
    }
    for (int k = 0; k < 4; k++) /* 750 expected, deviation 24 */
        CHECK_NEAR(quarter[k], D0 * D1 / 4, 95);
    drawn_free(&d);
}

TEST(zero_biases_are_zero_and_weights_are_not)
{
    const nn_spec s = {.layers = 2, .sizes = {D0, D1, D2}, .init = INIT_XAVIER};
    drawn d = draw(&s, 3);

    for (int32_t i = 0; i < d.p->n; i++)
        for (int64_t e = 0; e < d.p->at[i].count; e++)
            CHECK((d.w[d.p->at[i].offset + e] == 0) == (d.p->at[i].role == PARAM_BIAS));
    drawn_free(&d);
}

TEST(draws_depend_on_seed_and_name_alone)
{
    const nn_spec s = {.layers = 2, .sizes = {D0, D1, D2}, .init = INIT_XAVIER};
    const nn_spec wider = {.layers = 3, .sizes = {D0, D1, 9, D2}, .init = INIT_XAVIER};
    drawn a = draw(&s, 3), b = draw(&wider, 3), c = draw(&s, 4), again = draw(&s, 3);
    int64_t same = 0, across = 0;

    CHECK(memcmp(a.w, again.w, (size_t)a.p->total * sizeof *a.w) == 0);
    CHECK(memcmp(a.w, b.w, D0 * D1 * sizeof *a.w) == 0); /* layers.0.weight, another model */
    for (int64_t e = 0; e < D0 * D1; e++) same += a.w[e] == c.w[e];
    const double *second = a.w + a.p->at[2].offset,
                 scale = sqrt(2.0 / (D0 + D1)) / sqrt(2.0 / (D1 + D2));
    for (int64_t e = 0; e < D1 * D2; e++) across += fabs(second[e] * scale - a.w[e]) < 1e-12;
    CHECK_INT(same, 0);
    CHECK_INT(across, 0);
    drawn_free(&a);
    drawn_free(&b);
    drawn_free(&c);
    drawn_free(&again);
}

TEST(gaps_between_tensors_stay_zero)
{
    const nn_spec s = {.layers = 1,
                       .sizes = {3, 5},
                       .init = INIT_NORMAL,
                       .init_std = 1,
                       .bias_init = BIAS_LIKE_WEIGHT};
    drawn d = draw(&s, 3);

    for (int64_t e = 0; e < d.p->total; e++) {
        bool inside = false;
        for (int32_t i = 0; i < d.p->n; i++)
            inside |= e >= d.p->at[i].offset && e < d.p->at[i].offset + d.p->at[i].count;
        CHECK((d.w[e] != 0) == inside);
    }
    drawn_free(&d);
}
