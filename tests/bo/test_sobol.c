/* Sobol points: the sequence itself against SciPy's, what scrambling must keep, what it gains. */
#include "bo/sobol.h"
#include "base/rng.h"
#include "bo/sampler.h"
#include "test.h"
#include "sobol_points.inc"

TEST(unscrambled_points_are_joe_and_kuos)
{
    for (size_t i = 0; i < COUNT(known); i++)
        for (int32_t d = 0; d < SOBOL_DIMS; d++) {
            uint32_t n = known[i].n, gray = n ^ n >> 1;

            if (sobol_digits(gray, d) != known[i].x[d])
                test_fail(__FILE__, __LINE__, "point %u, coordinate %d: %u, not %u", n, d,
                          sobol_digits(gray, d), known[i].x[d]);
        }
    CHECK_INT(sobol_digits(0, 5), 0);
    CHECK_INT(sobol_digits(1, 5), 0x80000000);
}

TEST(the_first_points_are_one_to_each_interval_in_every_coordinate)
{
    enum { N = 256 };
    const uint64_t seeds[] = {0, 1, 0xFFFFFFFFFFFFFFFF};
    double u[SOBOL_DIMS];

    for (size_t s = 0; s < COUNT(seeds); s++)
        for (int n = 1; n <= N; n *= 4) {
            static unsigned char hit[SOBOL_DIMS][N];

            memset(hit, 0, sizeof hit);
            for (int i = 0; i < n; i++) {
                sample_sobol(seeds[s], i, 0, SOBOL_DIMS, u);
                for (int d = 0; d < SOBOL_DIMS; d++) {
                    CHECK(u[d] > 0 && u[d] < 1);
                    hit[d][(int)(u[d] * n)]++;
                }
            }
            for (int d = 0; d < SOBOL_DIMS; d++)
                for (int i = 0; i < n; i++) CHECK_INT(hit[d][i], 1);
        }
}

/* The points of the first two coordinates are a (0, m, 2)-net in base 2: every box of area 2^-m
 * whose sides are powers of 1/2 has one of 2^m points, from any multiple of 2^m on. */
TEST(the_first_two_coordinates_are_a_perfect_net)
{
    for (int m = 2; m <= 8; m++)
        for (int split = 0; split <= m; split++)
            for (int block = 0; block < 3; block++) {
                int n = 1 << m, across = 1 << split, up = 1 << (m - split);
                unsigned char hit[256] = {0};
                double u[2];

                for (int i = 0; i < n; i++) {
                    sample_sobol(5, block * n + i, 0, 2, u);
                    hit[(int)(u[0] * across) * up + (int)(u[1] * up)]++;
                }
                for (int i = 0; i < n; i++) CHECK_INT(hit[i], 1);
            }
}

/* Of any pair of coordinates only 2^t boxes' worth is promised; Joe and Kuo chose the numbers for
 * small t in the first pairs. */
TEST(pairs_of_coordinates_are_nets_of_small_t)
{
    enum { M = 10, N = 1 << M, T = 4 };
    static double points[N][8];

    for (int i = 0; i < N; i++) sample_sobol(9, i, 0, 8, points[i]);
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < a; b++)
            for (int split = 0; split <= M - T; split++) {
                int across = 1 << split, up = 1 << (M - T - split), hit[N >> T] = {0};

                for (int i = 0; i < N; i++)
                    hit[(int)(points[i][a] * across) * up + (int)(points[i][b] * up)]++;
                for (int i = 0; i < N >> T; i++) CHECK_INT(hit[i], 1 << T);
            }
}

/* Warnock's formula: the square of the L2 star discrepancy. */
static double discrepancy(void (*draw)(uint64_t, int64_t, int32_t, int32_t, double *), int n, int s)
{
    static double u[512][8];
    double third = pow(3, -s), single = 0, pairs = 0;

    for (int i = 0; i < n; i++) draw(3, i, 0, s, u[i]);
    for (int i = 0; i < n; i++) {
        double product = 1;

        for (int d = 0; d < s; d++) product *= (1 - u[i][d] * u[i][d]) / 2;
        single += product;
        for (int j = 0; j < n; j++) {
            product = 1;
            for (int d = 0; d < s; d++) product *= 1 - fmax(u[i][d], u[j][d]);
            pairs += product;
        }
    }
    return third - 2 * single / n + pairs / n / n;
}

TEST(sobol_points_have_less_discrepancy_than_random_ones)
{
    /* measured: 64 and 6.3 times */
    CHECK(discrepancy(sample_sobol, 512, 2) * 30 < discrepancy(sample_random, 512, 2));
    CHECK(discrepancy(sample_sobol, 512, 5) * 3 < discrepancy(sample_random, 512, 5));
}

/* The mean of a smooth function over n points; it is 1. */
static double mean(void (*draw)(uint64_t, int64_t, int32_t, int32_t, double *), uint64_t seed,
                   int n)
{
    double sum = 0, u[4];

    for (int i = 0; i < n; i++) {
        draw(seed, i, 0, 4, u);
        sum += exp(u[0] + u[1] + u[2] + u[3]) / pow(M_E - 1, 4);
    }
    return sum / n;
}

TEST(means_over_sobol_points_are_unbiased_and_converge_faster)
{
    enum { SEEDS = 50 };
    double sobol = 0, random = 0, bias = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double e = mean(sample_sobol, seed, 1024) - 1;

        bias += e / SEEDS;
        sobol += e * e / SEEDS;
        random += pow(mean(sample_random, seed, 1024) - 1, 2) / SEEDS;
    }
    CHECK(sqrt(random) < 0.03);                  /* sd of f / 32 is .019 */
    CHECK(sqrt(sobol) * 30 < sqrt(random));      /* measured: 110 times smaller */
    CHECK(fabs(bias) < 4 * sqrt(sobol / SEEDS)); /* of 50 scramblings */
}

/* Whether the digits of a coordinate are flipped independently: over many seeds every digit of a
 * point is as often 0 as 1, and two points that part at digit k are independent after it. */
TEST(scrambling_is_uniform_and_nested)
{
    enum { SEEDS = 4096 };
    int ones[20] = {0}, same[20] = {0};
    double u[3], v[3];

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sample_sobol(seed, 0, 0, 3, u);
        sample_sobol(seed, 4, 0, 3, v); /* of 0 in coordinate 0: they part at the third digit */
        for (int k = 0; k < 20; k++) {
            int a = (int)(u[0] * (2 << k)) & 1, b = (int)(v[0] * (2 << k)) & 1;

            ones[k] += a, same[k] += a == b;
        }
    }
    for (int k = 0; k < 20; k++) {
        CHECK(abs(ones[k] - SEEDS / 2) < 5 * 32); /* five standard deviations */
        if (k < 2) CHECK_INT(same[k], SEEDS);
        else if (k == 2) CHECK_INT(same[k], 0);
        else CHECK(abs(same[k] - SEEDS / 2) < 5 * 32);
    }
}

TEST(a_point_depends_on_seed_number_and_attempt_alone)
{
    double u[70], v[70], w[70];

    sample_sobol(7, 12345, 0, 70, u);
    sample_sobol(7, 3, 0, 70, v);
    sample_sobol(7, 12345, 0, 5, w);
    for (int i = 0; i < 5; i++) CHECK(u[i] == w[i]);
    sample_sobol(7, 12345, 0, 70, w);
    for (int i = 0; i < 70; i++) CHECK(u[i] == w[i]);
    for (int i = 0; i < 70; i++) CHECK(u[i] != v[i]);
    sample_sobol(8, 12345, 0, 70, w);
    for (int i = 0; i < 70; i++) CHECK(u[i] != w[i]);
    sample_sobol(7, 12345, 1, 70, w);
    sample_random(7, 12345, 1, 70, v);
    for (int i = 0; i < 70; i++) CHECK(w[i] == v[i] && w[i] != u[i]);
    sample_random(7, 12345, 0, 70, v);
    for (int i = 0; i < 70; i++) CHECK((v[i] == u[i]) == (i >= SOBOL_DIMS)); /* beyond: random */
    sample_sobol(7, INT64_C(1) << 32, 0, 70, u); /* more points than digits: random */
    sample_random(7, INT64_C(1) << 32, 0, 70, v);
    for (int i = 0; i < 70; i++) CHECK(u[i] == v[i]);
}

/* Chi squared of 64 by 64 boxes, for neighbours in trial, coordinate and attempt: 4095 degrees of
 * freedom, so 4095 +- 90; five standard deviations. */
TEST(random_points_are_uniform_and_neighbours_independent)
{
    enum { SIDE = 64, BOXES = SIDE * SIDE, DRAWS = 40 * BOXES };
    static int hit[3][BOXES];
    double u[3][2];

    memset(hit, 0, sizeof hit);
    for (int64_t i = 0; i < DRAWS; i++) {
        sample_random(1, i, 0, 2, u[0]);
        sample_random(1, i + 1, 0, 2, u[1]);
        sample_random(1, i, 1, 2, u[2]);
        const double other[] = {u[0][1], u[1][0], u[2][0]};

        for (int k = 0; k < 3; k++) hit[k][(int)(u[0][0] * SIDE) * SIDE + (int)(other[k] * SIDE)]++;
    }
    for (int k = 0; k < 3; k++) {
        double chi = 0;

        for (int b = 0; b < BOXES; b++) chi += (hit[k][b] - 40.0) * (hit[k][b] - 40.0) / 40;
        CHECK_NEAR(chi, BOXES - 1, 450);
    }
}
