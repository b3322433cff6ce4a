/* A vector of VL floats, the same few names on every instruction set; + - * / and unary minus work
 * on it. Included by
 * *_isa.c only. Partial loads give 0 in the lanes beyond n; n lies in [1, VL). */
#ifndef SIMD_H
#define SIMD_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(ISA_IS_avx512) || defined(ISA_IS_avx2)
#include <immintrin.h>
#endif

#if defined(ISA_IS_avx512)
enum { VL = 16 };
#elif defined(ISA_IS_avx2)
enum { VL = 8 };
#else
enum { VL = 4 };
#endif
typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4))); /* also the bits of a vf, by a cast */
typedef uint32_t vu __attribute__((vector_size(VL * 4)));

/* UNROLL before a loop over registers, with constant bounds: it disappears. AS_IT_IS before one
 * that should not be copied
 * about. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define AS_IT_IS _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define AS_IT_IS _Pragma("GCC unroll 1")
#endif
#define INLINE static inline __attribute__((always_inline, unused))

#if defined(ISA_IS_avx512)

INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
INLINE __mmask16 vf_first(int n)
{
    return (__mmask16)((1u << n) - 1u);
}
INLINE vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), p);
}
INLINE void vf_store_n(float *p, vf x, int n)
{
    _mm512_mask_storeu_ps(p, vf_first(n), x);
}
INLINE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
INLINE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
INLINE vf vf_if_less(vf a, vf b, vf yes, vf no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

#elif defined(ISA_IS_avx2)

INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
INLINE vf vf_load_n(const float *p, int n)
{
    static const int32_t ones[2 * VL] = {-1, -1, -1, -1, -1, -1, -1, -1};

    return _mm256_maskload_ps(p,
                              _mm256_loadu_si256((const __m256i *)(const void *)(ones + VL - n)));
}
/* Not by a masked store, which takes a dozen cycles on AMD's cores before Zen 4. */
INLINE void vf_store_n(float *p, vf x, int n)
{
    __m128 part = _mm256_castps256_ps128(x);

    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
}
INLINE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
INLINE vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vf vf_if_less(vf a, vf b, vf yes, vf no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

#else

INLINE vf vf_load(const float *p)
{
    vf x;

    memcpy(&x, p, sizeof x);
    return x;
}
INLINE void vf_store(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}
INLINE vf vf_load_n(const float *p, int n)
{
    vf x = {0};

    for (int i = 0; i < n; i++) x[i] = p[i];
    return x;
}
INLINE void vf_store_n(float *p, vf x, int n)
{
    for (int i = 0; i < n; i++) p[i] = x[i];
}
INLINE vf vf_set(float x)
{
    return (vf){x, x, x, x};
}
INLINE vf vf_if_less(vf a, vf b, vf yes, vf no)
{
    vi m = a < b;

    return (vf)((m & (vi)yes) | (~m & (vi)no));
}
INLINE vf vf_max(vf a, vf b)
{
    return vf_if_less(b, a, a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return vf_if_less(a, b, a, b);
}
#if defined(__FP_FAST_FMAF) /* a processor that always has it, such as AArch64 */
INLINE vf vf_fma(vf a, vf b, vf c)
{
    for (int i = 0; i < VL; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return vf_fma(-a, b, c);
}
#else
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return c - a * b;
}
#endif
INLINE vf vf_sqrt(vf a)
{
    for (int i = 0; i < VL; i++) a[i] = sqrtf(a[i]);
    return a;
}

#endif

/* The value, in a register from here on: left alone, gcc loads an operand again for each use. */
INLINE vf vf_pin(vf x)
{
#if defined(ISA_IS_avx512) || defined(ISA_IS_avx2)
    __asm__ volatile("" : "+v"(x));
#endif
    return x;
}
/* vf_fma(a, b, sum), at this place and into the register of `sum`: gcc's own choice of places and
 * registers spills
 * where a kernel needs them all. */
INLINE vf vf_fma_here(vf a, vf b, vf sum)
{
#if defined(ISA_IS_avx512) || defined(ISA_IS_avx2)
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return vf_fma(a, b, sum);
#endif
}

/* vf_fma_here(vf_set(*a), b, sum). With AVX-512 one instruction, which broadcasts as it loads: on
 * Zen 4 a broadcast of its own, used once, costs a third of the kernel's speed. */
INLINE vf vf_fma_splat_here(const float *a, vf b, vf sum)
{
#if defined(ISA_IS_avx512)
    __asm__ volatile("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*a));
    return sum;
#else
    return vf_fma_here(vf_set(*a), b, sum);
#endif
}

/* max and min: where a or b is NaN they give b, as the x86 instructions do. */
INLINE vf vf_zero(void)
{
    return vf_set(0);
}
INLINE vf vf_bits(vi x)
{
    return (vf)x;
}
INLINE vi vi_bits(vf x)
{
    return (vi)x;
}
INLINE vi vi_set(int32_t x)
{
    return vi_bits(vf_zero()) + x;
}
INLINE vf vf_abs(vf x)
{
    return vf_bits(vi_bits(x) & INT32_MAX);
}
/* The magnitude of `x` with the sign of `s`. */
INLINE vf vf_with_sign(vf x, vf s)
{
    return vf_bits((vi_bits(x) & INT32_MAX) | (vi_bits(s) & INT32_MIN));
}
#endif
