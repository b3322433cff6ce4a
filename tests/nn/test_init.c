/* Initial weights: the spread that each kind promises, and draws that depend on seed and tensor
 * name alone. */
#include "nn/nn.h"
#include "test.h"

enum { D0 = 60, D1 = 50, D2 = 7 };

typedef struct drawn {
    param_table *p;
    double *w;
} drawn;

/* Of the net `s`, which it takes. */
static drawn draw_net(nn_spec *s, nn_draws draws, uint64_t seed)
{
    drawn d = {0};

    s->draws = draws;
    CHECK_OK(test_ctx(), params_new(test_ctx(), &d.p));
    CHECK_OK(test_ctx(), nn_params(s, d.p));
    CHECK_OK(test_ctx(), mem_alloc(test_ctx(), (size_t)d.p->total, sizeof *d.w, &d.w));
    nn_draw(s, d.p, seed, d.w);
    nn_free(s);
    return d;
}

static drawn draw(const int64_t *sizes, int32_t layers, nn_draws draws, uint64_t seed)
{
    nn_spec *s = NULL;

    CHECK_OK(test_ctx(), nn_mlp(test_ctx(), sizes, layers, NN_TANH, &s));
    return draw_net(s, draws, seed);
}

static const int64_t usual[] = {D0, D1, D2};

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
        const nn_draws s = {.kind = (nn_init)kind, .std = 0.05, .bias = BIAS_LIKE_WEIGHT};
        drawn d = draw(usual, 2, s, 3);
        check_spread(d.w + d.p->at[0].offset, D0 * D1, std[kind], name[kind]);
        check_spread(d.w + d.p->at[1].offset, D1, std[kind], name[kind]);
        drawn_free(&d);
    }
}

TEST(pytorchs_draw_is_uniform_within_its_bound)
{
    const double bound = 1 / sqrt(D0);
    drawn d = draw(usual, 1, (nn_draws){.kind = INIT_PYTORCH}, 3);
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
    drawn d = draw(usual, 2, (nn_draws){.kind = INIT_XAVIER}, 3);

    for (int32_t i = 0; i < d.p->n; i++)
        for (int64_t e = 0; e < d.p->at[i].count; e++)
            CHECK((d.w[d.p->at[i].offset + e] == 0) == (d.p->at[i].role == PARAM_BIAS));
    drawn_free(&d);
}

TEST(draws_depend_on_seed_and_name_alone)
{
    const nn_draws s = {.kind = INIT_XAVIER};
    const int64_t wider[] = {D0, D1, 9, D2};
    drawn a = draw(usual, 2, s, 3), b = draw(wider, 3, s, 3), c = draw(usual, 2, s, 4);
    drawn again = draw(usual, 2, s, 3);
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
    const nn_draws s = {.kind = INIT_NORMAL, .std = 1, .bias = BIAS_LIKE_WEIGHT};
    drawn d = draw((const int64_t[]){3, 5}, 1, s, 3);

    for (int64_t e = 0; e < d.p->total; e++) {
        bool inside = false;
        for (int32_t i = 0; i < d.p->n; i++)
            inside |= e >= d.p->at[i].offset && e < d.p->at[i].offset + d.p->at[i].count;
        CHECK((d.w[e] != 0) == inside);
    }
    drawn_free(&d);
}

/* Of `tensor` in a net of one layer that reads rows of `input`. */
static const double *draw_layer(shape input, const nn_layer *l, drawn *d, int32_t tensor)
{
    nn_spec *s = NULL;

    CHECK_OK(test_ctx(), nn_new(test_ctx(), input, &s));
    CHECK_OK(test_ctx(), nn_add(s, l));
    *d = draw_net(s, (nn_draws){.kind = INIT_PYTORCH, .bias = BIAS_LIKE_WEIGHT}, 3);
    return d->w + d->p->at[tensor].offset;
}

TEST(each_kind_of_layer_begins_as_pytorchs_module)
{
    const nn_layer conv = {.kind = NN_CONV, .out = 40, .window = {.kernel = {3, 5}, .groups = 2}};
    const nn_layer drawn_conv = {
        .kind = NN_CONV, .out = 40, .window = {.kernel = {3, 5}}, .std = 0.02};
    const nn_layer norm = {.kind = NN_BATCH_NORM};
    const nn_layer words = {.kind = NN_EMBEDDING, .vocabulary = 90, .out = 30};
    drawn d;

    const double *w = draw_layer(SHAPE(8, 8, 6), &conv, &d, 0), bound = 1 / sqrt(3 * 3 * 5);
    check_spread(w, d.p->at[0].count, bound / sqrt(3), "conv");
    for (int64_t e = 0; e < d.p->at[0].count; e++) CHECK(fabs(w[e]) <= bound);
    for (int64_t e = 0; e < 40; e++) CHECK(fabs(d.w[d.p->at[1].offset + e]) <= bound);
    drawn_free(&d);

    w = draw_layer(SHAPE(8, 8, 6), &drawn_conv, &d, 0);
    check_spread(w, d.p->at[0].count, 0.02, "conv of a preset");
    for (int64_t e = 0; e < 40; e++) CHECK(d.w[d.p->at[1].offset + e] == 0);
    drawn_free(&d);

    draw_layer(SHAPE(8, 8, 6), &norm, &d, 0);
    for (int32_t i = 0; i < 4; i++) /* weight, bias, running_mean, running_var */
        for (int64_t e = 0; e < 6; e++) CHECK(d.w[d.p->at[i].offset + e] == (i == 0 || i == 3));
    drawn_free(&d);

    w = draw_layer(SHAPE(7), &words, &d, 0);
    check_spread(w, d.p->at[0].count, 1, "embedding");
    drawn_free(&d);
}
