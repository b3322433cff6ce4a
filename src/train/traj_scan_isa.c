/* The grid's compare, for one instruction set. 64 weights give a word of bits without a branch;
 * the first four set bits of a word are written unconditionally, because one or two weights in 64
 * have crossed and a loop over so few is mispredicted nearly every time. */
#include "train/traj_scan.h"
#include <math.h>
#if defined(ISA_IS_avx2) || defined(ISA_IS_avx512)
#include <immintrin.h>
#endif

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define ISA(name) JOIN(name, ISA_SUFFIX)

#if defined(ISA_IS_avx512)
static inline uint64_t left16(const float *w, const float *hat, __m512 half)
{
    __m512 d = _mm512_abs_ps(_mm512_sub_ps(_mm512_loadu_ps(w), _mm512_loadu_ps(hat)));

    return _mm512_cmp_ps_mask(d, half, _CMP_NLE_UQ);
}

static inline uint64_t left64(const float *w, const float *hat, float half)
{
    __m512 h = _mm512_set1_ps(half);

    return left16(w, hat, h) | left16(w + 16, hat + 16, h) << 16 |
           left16(w + 32, hat + 32, h) << 32 | left16(w + 48, hat + 48, h) << 48;
}
#elif defined(ISA_IS_avx2)
static inline __m256i left8(const float *w, const float *hat, __m256 half)
{
    __m256 d = _mm256_sub_ps(_mm256_loadu_ps(w), _mm256_loadu_ps(hat));

    d = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d);
    return _mm256_castps_si256(_mm256_cmp_ps(d, half, _CMP_NLE_UQ));
}

/* 32 lane masks to 32 bits: two packs within the 128-bit halves, one permutation to undo their
 * order. */
static inline uint64_t left32(const float *w, const float *hat, __m256 half)
{
    __m256i a = _mm256_packs_epi32(left8(w, hat, half), left8(w + 8, hat + 8, half));
    __m256i b = _mm256_packs_epi32(left8(w + 16, hat + 16, half), left8(w + 24, hat + 24, half));
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

    a = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
    return (uint32_t)_mm256_movemask_epi8(a);
}

static inline uint64_t left64(const float *w, const float *hat, float half)
{
    __m256 h = _mm256_set1_ps(half);

    return left32(w, hat, h) | left32(w + 32, hat + 32, h) << 32;
}
#endif

#if defined(ISA_IS_avx2) || defined(ISA_IS_avx512)
/* Writes at least four places, meaningless where fewer bits are set. */
static inline int spread(uint64_t m, int base, uint16_t *hits)
{
    int n = __builtin_popcountll(m);

    for (int j = 0; j < 4; j++) {
        hits[j] = (uint16_t)(base + __builtin_ctzll(m | 1ull << 63));
        m &= m - 1;
    }
    for (int j = 4; j < n; j++) {
        hits[j] = (uint16_t)(base + __builtin_ctzll(m));
        m &= m - 1;
    }
    return n;
}
#endif

int ISA(traj_scan_f32)(const float *w, const float *hat, float half, int n, uint16_t *hits)
{
    int found = 0, i = 0;

#if defined(ISA_IS_avx2) || defined(ISA_IS_avx512)
    for (; i + 64 <= n; i += 64) found += spread(left64(w + i, hat + i, half), i, hits + found);
#endif
    for (; i < n; i++) {
        hits[found] = (uint16_t)i;
        found += !(fabsf(w[i] - hat[i]) <= half);
    }
    return found;
}

int ISA(traj_scan_f64)(const double *w, const double *hat, double half, int n, uint16_t *hits)
{
    int found = 0;

    for (int i = 0; i < n; i++) {
        hits[found] = (uint16_t)i;
        found += !(fabs(w[i] - hat[i]) <= half);
    }
    return found;
}
