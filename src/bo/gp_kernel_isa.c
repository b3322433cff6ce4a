/* The loops of gp_kernel.h on vectors of doubles. One exponential and one root a pair of points.
 *
 *   exp(x), x <= 0:  x = n ln 2 + r, |r| <= ln 2 / 2;  2^n by its bits, exp(r) by its series to
 *                    r^13 (the rest is below 2^-56); below exp(-700) the result is 0
 *
 * Checked: tests/bo/test_gp.c, against libm and a naive loop, on every instruction set. */
#include "bo/gp_kernel.h"
#include <math.h>
#include <stddef.h>
#if defined(ISA_IS_avx512) || defined(ISA_IS_avx2)
#include <immintrin.h>
#endif

#if defined(ISA_IS_avx512)
enum { VL = 8 };
#elif defined(ISA_IS_avx2)
enum { VL = 4 };
#else
enum { VL = 2 };
#endif
typedef double vd __attribute__((vector_size(VL * 8), aligned(8), may_alias));
typedef int64_t vl __attribute__((vector_size(VL * 8)));
typedef double vdr __attribute__((vector_size(VL * 8))); /* in registers */

#define JOIN_(name, isa) name##_##isa
#define JOIN(name, isa) JOIN_(name, isa)
#define INLINE static inline __attribute__((always_inline))

INLINE vdr load(const double *p)
{
    return *(const vd *)p;
}

INLINE void store(double *p, vdr x)
{
    *(vd *)p = x;
}

INLINE vdr root(vdr x)
{
#if defined(ISA_IS_avx512)
    return (vdr)_mm512_sqrt_pd((__m512d)x);
#elif defined(ISA_IS_avx2)
    return (vdr)_mm256_sqrt_pd((__m256d)x);
#else
    for (int i = 0; i < VL; i++) x[i] = sqrt(x[i]);
    return x;
#endif
}

INLINE double total(vdr x)
{
    double sum = 0;

    for (int i = 0; i < VL; i++) sum += x[i];
    return sum;
}

INLINE vdr exp_negative(vdr x)
{
    static const double series[] = {1.0 / 6227020800,
                                    1.0 / 479001600,
                                    1.0 / 39916800,
                                    1.0 / 3628800,
                                    1.0 / 362880,
                                    1.0 / 40320,
                                    1.0 / 5040,
                                    1.0 / 720,
                                    1.0 / 120,
                                    1.0 / 24,
                                    1.0 / 6,
                                    0.5,
                                    1,
                                    1};
    const double shift = 0x1.8p52; /* its last bits are then n */
    vl far = x < -700.0;
    vdr y = (vdr)((vl)x & ~far);
    vdr moved = y * 0x1.71547652b82fep0 + shift;
    vdr n = moved - shift;
    vdr r = (y - n * 0x1.62e42fefa38p-1) - n * 0x1.ef35793c7673p-45;
    vdr p = r * series[0] + series[1];

    for (size_t i = 2; i < sizeof series / sizeof *series; i++) p = p * r + series[i];
    vl bits = (vl)p + ((vl)moved << 52);

    return (vdr)(bits & ~far);
}

static void row(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                double scale, double *k, double *h)
{
    for (int32_t j = 0; j < n; j += VL) {
        vdr r2 = {0};

        for (int32_t c = 0; c < columns; c++) {
            vdr d = at[c] - load(x + c * ld + j);

            r2 += d * d;
        }
        vdr s = 0x1.1e3779b97f4a8p1 * root(r2), e = scale * exp_negative(-s), first = (1 + s) * e;

        store(k + j, first + (5.0 / 3) * r2 * e);
        if (h) store(h + j, (5.0 / 3) * first);
    }
}

static void moments(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                    const double *w, double *out)
{
    for (int32_t c = 0; c < columns; c++) {
        vdr sum = {0};

        for (int32_t j = 0; j < n; j += VL) sum += load(w + j) * (at[c] - load(x + c * ld + j));
        out[c] = total(sum);
    }
}

static void slopes(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                   const double *w, double a, const double *alpha, const double *h, double *out)
{
    const int32_t whole = n / VL * VL;

    for (int32_t c = 0; c < columns; c++) {
        const double *xc = x + c * ld;
        vdr sum = {0};
        double rest = 0;

        for (int32_t j = 0; j < whole; j += VL) {
            vdr d = at[c] - load(xc + j);

            sum += (load(w + j) - a * load(alpha + j)) * load(h + j) * d * d;
        }
        for (int32_t j = whole; j < n; j++)
            rest += (w[j] - a * alpha[j]) * h[j] * (at[c] - xc[j]) * (at[c] - xc[j]);
        out[c] += total(sum) + rest;
    }
}

static void squares(int32_t n, const double *v, double *sum)
{
    for (int32_t j = 0; j < n; j += VL) store(sum + j, load(sum + j) + load(v + j) * load(v + j));
}

static double dot(int32_t n, const double *a, const double *b)
{
    vdr sum[4] = {{0}, {0}, {0}, {0}};
    int32_t j = 0;
    double rest = 0;

    for (; j + 4 * VL <= n; j += 4 * VL)
        for (int i = 0; i < 4; i++) sum[i] += load(a + j + i * VL) * load(b + j + i * VL);
    for (; j < n; j++) rest += a[j] * b[j];
    return total((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

const gp_loops JOIN(gp_loops, ISA_SUFFIX) = {row, moments, slopes, squares, dot};
