/* Scrambled Sobol points, each from its number alone.
 *
 *   x = index_1 v_1 ^ index_2 v_2 ^ ...        index_k: bit k - 1 of the point's number
 *   v_k = m_k / 2^k                            m_k by the recurrence of the coordinate's polynomial
 *   x's digits are then scrambled: whether digit k is flipped depends on the digits before it, by
 *   a random bit for each of the 2^(k-1) possible beginnings
 *
 * Source:  Sobol, "On the distribution of points in a cube", USSR Comput. Math. 7 (1967); numbers:
 *          directions.def. Scrambling: Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences"
 *          (1995) and "Scrambled net variance for integrals of smooth functions", Ann. Statist. 25
 *          (1997), 1541-1562: the error over n points falls like n^-1.5 where random points' falls
 *          like n^-0.5, and no point is ever on the border 0.
 * Differs: the random bits are not stored in a tree, they are hashed from the beginning's place in
 *          it; as in Burley, "Practical hash-based Owen scrambling", JCGT 9 (2020), after Laine and
 *          Karras, but with a hash (Philox) whose bits are independent for all purposes, since a
 *          trial can afford a microsecond a coordinate.
 * Checked: tests/bo/test_sobol.c: points against SciPy's, nets, integrals. */
#include "bo/sobol.h"
#include "base/rng.h"
#include "bo/sampler.h"

enum { DIGITS = 32, DEGREE_MAX = 9 };

typedef struct direction {
    uint16_t polynomial, m[DEGREE_MAX];
} direction;

static const direction directions[SOBOL_DIMS - 1] = {
#define DIRECTION(polynomial, ...) {polynomial, {__VA_ARGS__}},
#include "bo/directions.def"
#undef DIRECTION
};

/* v[k] = m_(k+1) / 2^(k+1), times 2^32. With a_i the coefficient of x^(degree - i):
 * m_k = 2 a_1 m_(k-1) ^ 4 a_2 m_(k-2) ^ ... ^ 2^degree m_(k-degree) ^ m_(k-degree) */
static void direction_numbers(int32_t dim, uint32_t v[DIGITS])
{
    if (dim == 0) {
        for (int k = 0; k < DIGITS; k++) v[k] = UINT32_C(1) << (DIGITS - 1 - k);
        return;
    }
    const direction *d = &directions[dim - 1];
    int degree = 0;

    while (d->polynomial >> (degree + 1)) degree++;
    for (int k = 0; k < DIGITS; k++) {
        if (k < degree) {
            v[k] = (uint32_t)d->m[k] << (DIGITS - 1 - k);
            continue;
        }
        v[k] = v[k - degree] ^ v[k - degree] >> degree;
        for (int i = 1; i < degree; i++)
            if (d->polynomial >> (degree - i) & 1) v[k] ^= v[k - i];
    }
}

uint32_t sobol_digits(uint32_t index, int32_t dim)
{
    uint32_t v[DIGITS], x = 0;

    direction_numbers(dim, v);
    for (int k = 0; k < DIGITS; k++)
        if (index >> k & 1) x ^= v[k];
    return x;
}

/* The digits after the 32nd are random, as those of an infinite scrambling are. */
static double scrambled(rng_key key, uint32_t x)
{
    uint64_t y = 0;

    for (int k = 0; k < DIGITS; k++) {
        uint64_t before = (UINT64_C(1) << k) | ((uint64_t)x >> (DIGITS - k));
        uint64_t digit = x >> (DIGITS - 1 - k) & 1;

        y = y << 1 | (digit ^ (rng_u64(key, before) & 1));
    }
    uint64_t tail = rng_u64(key, UINT64_C(1) << DIGITS | x) >> (64 - 21);

    return (double)(y << 21 | tail) * 0x1p-53;
}

void sample_sobol(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u)
{
    sample_random(seed, number, attempt, n, u);
    if (attempt > 0 || number < 0 || number > UINT32_MAX) return;
    for (int32_t i = 0; i < n && i < SOBOL_DIMS; i++) {
        rng_key key = {seed, (uint32_t)i, rng_site("sample/sobol")};

        u[i] = scrambled(key, sobol_digits((uint32_t)number, i));
    }
}
