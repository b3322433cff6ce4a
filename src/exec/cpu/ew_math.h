/* Functions on a vector of floats, branch-free; the errors that ew.h states are measured in
 * tests/exec/test_ew.c.
 *
 * Coefficients: minimax fits by linear programming on 600 Chebyshev points (rational: iterated
 * with the previous
 * denominator as weight), in double, rounded to float; beside each its own error as a share of one
 * ulp. */
#ifndef EW_MATH_H
#define EW_MATH_H
#include "exec/cpu/simd.h"

#define C(x) vf_set(x)

/* e^x = 2^n e^r, n the nearest integer to x / ln 2, |r| <= ln 2 / 2, e^r = 1 + r + r^2 q(r) (0.05
 * ulp). ln 2 comes in two
 * parts, the first with so few bits that n times it is exact. 2^n is applied in two halves, so
 * that a result below
 * 2^-126 is rounded once and one above the largest float becomes infinite. */
INLINE vf vf_exp(vf x)
{
    const vf shift = C(0x1.8p23f); /* adding it rounds to an integer */

    x = vf_min(C(89.0f), vf_max(C(-104.0f), x)); /* NaN stays: see vf_max */
    vf t = vf_fma(x, C(0x1.715476p+0f), shift);
    vi n = vi_bits(t) - vi_bits(shift);
    t = t - shift;
    vf r = vf_fnma(t, C(0x1.63p-1f), x);
    r = vf_fnma(t, C(-2.12194440e-4f), r);
    vf q = vf_fma(C(1.381446607e-3f), r, C(8.368779905e-3f));
    q = vf_fma(q, r, C(4.166839272e-2f));
    q = vf_fma(q, r, C(1.666651964e-1f));
    q = vf_fma(q, r, C(4.999999404e-1f));
    vf e = vf_fma(r * r, q, r) + C(1);
    vi half = n >> 1, rest = n - half;
    return e * vf_bits((half + 127) << 23) * vf_bits((rest + 127) << 23);
}

/* log x = e ln 2 + log(1 + f), sqrt(1/2) <= 1 + f < sqrt 2. With s = f / (2 + f) and z = s^2,
 *   log(1 + f) = 2 atanh s = f - s (f - 2 z t),   t(z) = 1/3 + z/5 + ... (0.01 ulp)
 * f is exact, and an error of s counts for little. */
INLINE vf vf_log(vf x)
{
    const vf smallest = C(0x1p-126f), infinity = C(INFINITY);
    vf y = vf_if_less(x, smallest, x * C(0x1p23f), x); /* denormal: scaled */
    vi bits = vi_bits(y), e = (vi)((vu)bits - 0x3f3504f3u) >> 23; /* wraps for x < 0: unused */
    vf f = vf_bits(bits - (e << 23)) - C(1);
    vf n = __builtin_convertvector(e, vf) - vf_if_less(x, smallest, C(23), C(0));
    vf s = f / (C(2) + f), z = s * s;
    vf t = vf_fma(vf_fma(C(1.493674964e-1f), z, C(1.998874098e-1f)), z, C(3.333338797e-1f));
    vf low = vf_fma(n, C(-2.12194440e-4f), -(s * vf_fnma(z + z, t, f)));
    vf r = vf_fma(n, C(0x1.63p-1f), f + low);
    r = vf_if_less(C(0), x, r, vf_if_less(x, C(0), C(NAN), -infinity));
    return vf_if_less(x, infinity, r, x); /* infinity and NaN stay */
}

/* log(1 + t) for 0 <= t <= 1, in the same way (0.08 ulp). */
INLINE vf vf_log1p_of_unit(vf t)
{
    vf s = t / (C(2) + t), z = s * s;
    vf q = vf_fma(C(1.400633007e-1f), z, C(1.400083899e-1f));

    q = vf_fma(q, z, C(2.001076788e-1f));
    q = vf_fma(q, z, C(3.333320916e-1f));
    return vf_fnma(s, vf_fnma(z + z, q, t), t);
}

/* tanh x = x p(x^2) / q(x^2) up to 9.02, where tanh is 1 (0.4 ulp; rounded by a search over
 * neighbours). All coefficients are positive, so that rounding does
 * not add up; p(0) = q(0) = 1 keeps tiny x. */
INLINE vf vf_tanh(vf x)
{
    x = vf_min(C(9.02f), vf_max(C(-9.02f), x));
    vf z = x * x;
    vf p = vf_fma(C(1.338429634e-8f), z, C(2.063582724e-5f));
    vf q = vf_fma(C(7.790248446e-7f), z, C(3.288517764e-4f));
    p = vf_fma(p, z, C(3.497458063e-3f));
    q = vf_fma(q, z, C(2.588436380e-2f));
    p = vf_fma(p, z, C(1.338268816e-1f));
    q = vf_fma(q, z, C(4.671601057e-1f));
    p = vf_fma(p * z, x, x);
    q = vf_fma(q, z, C(1));
    return vf_min(C(1), vf_max(C(-1), p / q));
}

/* 1 / (1 + e^-x), from t = e^-|x| <= 1. */
INLINE vf vf_sigmoid(vf x)
{
    vf t = vf_exp(-vf_abs(x));

    return vf_if_less(x, C(0), t, C(1)) / (C(1) + t);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
INLINE vf vf_softplus(vf x)
{
    return vf_max(C(0), x) + vf_log1p_of_unit(vf_exp(-vf_abs(x)));
}

/* erf x = x + x p(x^2) below 0.92 (0.3 ulp), else 1 - e^-g(|x|) with g = -log erfc (0.03 ulp), 1
 * from 3.93 on. */
INLINE vf vf_erf(vf x)
{
    vf a = vf_min(C(3.93f), vf_abs(x)), z = a * a;
    vf p = vf_fma(C(-5.976895918e-4f), z, C(4.990980495e-3f));
    vf g = vf_fma(C(-1.982190151e-4f), a, C(3.065484110e-3f));

    p = vf_fma(p, z, C(-2.676556632e-2f));
    g = vf_fma(g, a, C(-2.231518924e-2f));
    p = vf_fma(p, z, C(1.128180251e-1f));
    g = vf_fma(g, a, C(1.041136310e-1f));
    p = vf_fma(p, z, C(-3.761249483e-1f));
    g = vf_fma(g, a, C(6.369761229e-1f));
    p = vf_fma(p, z, C(1.283791512e-1f));
    g = vf_fma(g, a, C(1.127797246e+0f));
    g = vf_fma(g, a, C(1.664555311e-4f));
    vf big = C(1) - vf_exp(-g);
    vf y = vf_if_less(C(0.92f), a, vf_with_sign(big, x), vf_fma(x, p, x));
    return vf_if_less(vf_abs(x), C(INFINITY), y,
                      vf_if_less(C(0), vf_abs(x), vf_with_sign(C(1), x), x));
}
#undef C
#endif
