/* ln EI against many digits, its slopes against differences. */
#include "bo/logei.h"
#include "test.h"

static const double known[][4] = {
#include "logei_values.inc"
};

TEST(log_ei_is_exact_far_into_the_tail)
{
    for (size_t i = 0; i < COUNT(known); i++) {
        const double u = known[i][0];
        double dm, ds, a = logei(u, 0, 1, &dm, &ds);

        CHECK_NEAR(a, known[i][1], 1e-14 * fmax(1, fabs(known[i][1])));
        /* the slopes lose what q = 1 - x M loses at x = 4: a digit and a half */
        CHECK_NEAR(-dm, known[i][2], 1e-13 * known[i][2]);
        CHECK_NEAR(ds, known[i][3], 1e-13 * known[i][3]);
    }
}

TEST(log_ei_scales_with_the_deviation)
{
    for (double s = 1e-12; s < 1e3; s *= 10)
        for (double u = -50; u < 5; u += 1.7)
            CHECK_NEAR(logei(3 + u * s, 3, s, NULL, NULL), logei(u, 0, 1, NULL, NULL) + log(s),
                       1e-2 * fmax(1, u * u) * fmin(1, 1e-13 / s) + 1e-12 * (1 + u * u));
}

TEST(slopes_of_log_ei_are_differences)
{
    const double e = 1e-5;

    for (double m = -3; m < 40; m += 0.37)
        for (double s = 0.3; s < 3; s *= 1.7) {
            double dm, ds;

            logei(0.5, m, s, &dm, &ds);
            double by_m = (logei(0.5, m + e, s, NULL, NULL) - logei(0.5, m - e, s, NULL, NULL));
            double by_s = (logei(0.5, m, s + e, NULL, NULL) - logei(0.5, m, s - e, NULL, NULL));

            /* rounding of a ~ u^2 / 2 over 2 e; third derivatives */
            CHECK_NEAR(by_m / (2 * e), dm, 1e-7 * fmax(1, m * m / s / s));
            CHECK_NEAR(by_s / (2 * e), ds, 1e-6 * fmax(1, m * m / s / s / s));
        }
}
