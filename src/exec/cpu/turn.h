/* The transpose of a small square of floats, between rows that lie anywhere. For *_isa.c. */
#ifndef TURN_H
#define TURN_H
#include "exec/cpu/simd.h"

enum { TURN_MOST = 8, TURN = VL < TURN_MOST ? VL : TURN_MOST }; /* a panel is whole vectors wide */

/* out[p][j] = row[j][p], TURN values of p and of j. */
#if defined(ISA_IS_portable)
INLINE void turn(const float *const row[TURN], float *const out[TURN])
{
    for (int p = 0; p < TURN; p++)
        for (int j = 0; j < TURN; j++) out[p][j] = row[j][p];
}
#else
/* Rows j and j + 4 share a register, so that three rounds of shuffles inside 128 bits do. */
INLINE void turn(const float *const row[TURN], float *const out[TURN])
{
    for (int p = 0; p < TURN; p += 4) {
        __m256 r[4];
        UNROLL for (int j = 0; j < 4; j++) r[j] = _mm256_insertf128_ps(
            _mm256_castps128_ps256(_mm_loadu_ps(row[j] + p)), _mm_loadu_ps(row[j + 4] + p), 1);
        __m256 t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
        __m256 t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
        _mm256_storeu_ps(out[p], _mm256_shuffle_ps(t0, t2, 0x44));
        _mm256_storeu_ps(out[p + 1], _mm256_shuffle_ps(t0, t2, 0xee));
        _mm256_storeu_ps(out[p + 2], _mm256_shuffle_ps(t1, t3, 0x44));
        _mm256_storeu_ps(out[p + 3], _mm256_shuffle_ps(t1, t3, 0xee));
    }
}
#endif
#endif
