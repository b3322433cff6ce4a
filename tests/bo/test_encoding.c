/* Points as columns of a model, and back. */
#include "bo/encoding.h"
#include "bo/sampler.h"
#include "sampler_desk.h"
#include "test.h"

static const char space[] = "parameters:\n"
                            "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
                            "  - {name: depth, type: int, low: 1, high: 6}\n"
                            "  - {name: width, type: int, low: 1, high: 64, log: true}\n"
                            "  - {name: act, choices: [relu, tanh, gelu], when: depth > 1}\n"
                            "  - {name: size, choices: [s, m, l, xl], ordered: true}\n"
                            "  - {name: bias, choices: [true, false]}\n"
                            "  - {name: drop, low: 0, high: 0.5, step: 0.125, when: act == relu}\n"
                            "  - {name: mu, low: -100, high: 100, prior: normal, mean: 3, sd: 2}\n";

static double distance(const encoding *e, int32_t p, const double *a, const double *b)
{
    double r2 = 0;

    for (int32_t c = 0; c < e->columns; c++)
        if (e->group[c] == p) r2 += (a[c] - b[c]) * (a[c] - b[c]);
    return sqrt(r2);
}

TEST(points_come_back_from_their_latents)
{
    sampler_desk d;
    encoding *e;

    sampler_desk_open(&d, space, 1);
    CHECK_OK(d.ctx, encoding_new(d.space, &e));
    CHECK_INT(e->n, 8);
    for (int i = 0; i < 300; i++) {
        double u[8], x[8], back[8], v[8];
        bool keeps;
        int32_t broken;

        sample_random(5, i, 0, 8, u);
        CHECK_OK(d.ctx, search_draw(d.space, u, x, &broken));
        encoding_latent(e, x, v);
        CHECK_OK(d.ctx, encoding_point(e, v, NULL, back, &keeps));
        CHECK(keeps);
        for (int k = 0; k < 8; k++)
            CHECK((isnan(x[k]) && isnan(back[k])) || fabs(x[k] - back[k]) <= 1e-14 * fabs(x[k]));
        encoding_draw(e, u, v); /* the prior's draw, to the grid the same */
        CHECK_OK(d.ctx, encoding_point(e, v, NULL, back, &keeps));
        CHECK(fabs(log(back[0] / x[0])) < 1e-12 && back[1] == x[1] && back[5] == x[5]);
        CHECK(fabs(back[7] - x[7]) < 0.3); /* interpolated */
        CHECK_OK(d.ctx, search_check(d.space, back));
    }
    encoding_free(e);
    sampler_desk_close(&d);
}

TEST(distances_are_those_of_the_kinds)
{
    const double a[] = {1e-5, 3, 8, 0, 1, 0, 0.125, 3}, b[] = {1, 3, 8, 1, 3, 1, NAN, 9};
    const double c[] = {1, 1, 8, NAN, 3, 1, NAN, 9};
    double za[32], zb[32], zc[32];
    sampler_desk d;
    encoding *e;

    sampler_desk_open(&d, space, 1);
    CHECK_OK(d.ctx, encoding_new(d.space, &e));
    encoding_columns(e, a, za);
    encoding_columns(e, b, zb);
    encoding_columns(e, c, zc);
    CHECK_NEAR(distance(e, 0, za, zb), 1, 1e-14);
    CHECK_NEAR(distance(e, 1, za, zc), 2 / 6.0, 1e-14);
    CHECK_NEAR(distance(e, 3, za, zb), 1, 1e-14); /* relu, tanh */
    CHECK_NEAR(distance(e, 3, zb, zc), 1, 1e-14); /* tanh, left out */
    CHECK_NEAR(distance(e, 4, za, zb), 0.5, 1e-14);
    CHECK_NEAR(distance(e, 5, za, zb), 1, 1e-14);
    CHECK(distance(e, 6, za, zb) > 0.86 && distance(e, 6, za, zb) < 1); /* there, left out */
    CHECK_NEAR(distance(e, 6, zb, zc), 0, 0);
    CHECK_NEAR(distance(e, 7, za, zb), 0.5, 1e-14); /* 6 of 12: three sd to both sides */
    encoding_free(e);
    sampler_desk_close(&d);
}
