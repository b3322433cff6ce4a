/* rng_uniform_f32 of many elements: Philox (base/rng.c) with an element in each lane of 64 bits, of
 * which the lower 32 count. Integers only, so that all instruction sets give the same bits. */
#include "exec/cpu/draw_kernels.h"
#if defined(ISA_IS_avx512)
#include <immintrin.h>
typedef unsigned long long lanes __attribute__((vector_size(64)));
#define TIMES(a, b) ((lanes)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#elif defined(ISA_IS_avx2)
#include <immintrin.h>
typedef unsigned long long lanes __attribute__((vector_size(32)));
#define TIMES(a, b) ((lanes)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#else
typedef unsigned long long lanes __attribute__((vector_size(16)));
#define TIMES(a, b) (((a)&0xffffffffu) * (b))
#endif

enum { LANES = sizeof(lanes) / 8, BESIDE = 4, ROUNDS = 10 }; /* BESIDE hides a product's latency */

typedef struct counter {
    lanes c[4];
} counter;

/* 0, 1, 2, ... */
static inline lanes places(void)
{
    lanes x = {0};

    for (int i = 0; i < LANES; i++) x[i] = (unsigned long long)i;
    return x;
}

static inline counter next(counter x, uint32_t k0, uint32_t k1)
{
    const lanes zero = {0};
    const lanes p0 = TIMES(x.c[0], zero + 0xD2511F53u), p1 = TIMES(x.c[2], zero + 0xCD9E8D57u);

    return (counter){{p1 >> 32 ^ x.c[1] ^ k0, p1, p0 >> 32 ^ x.c[3] ^ k1, p0}};
}

void EW_ISA(draw_uniform)(rng_key k, uint64_t first, int64_t n, float *y)
{
    for (int64_t at = 0; at < n; at += BESIDE * LANES) {
        const int left = n - at < BESIDE * LANES ? (int)(n - at) : BESIDE * LANES;
        uint32_t k0 = (uint32_t)k.seed, k1 = (uint32_t)(k.seed >> 32);
        uint32_t bits[BESIDE * LANES];
        counter x[BESIDE];
        for (int b = 0; b < BESIDE; b++) {
            const lanes zero = {0}, e = zero + (first + (uint64_t)(at + b * LANES)) + places();
            x[b] = (counter){{e, e >> 32, zero + k.step, zero + k.site}};
        }
        for (int round = 0; round < ROUNDS; round++) {
            for (int b = 0; b < BESIDE; b++) x[b] = next(x[b], k0, k1);
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        for (int i = 0; i < BESIDE * LANES; i++) bits[i] = (uint32_t)x[i / LANES].c[1][i % LANES];
        for (int i = 0; i < left; i++) y[at + i] = (float)(int32_t)(bits[i] >> 8) * 0x1p-24f;
    }
}
