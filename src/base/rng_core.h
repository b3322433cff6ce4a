/* What is drawn, as base/rng.h says, for the CPU and, compiled again, for a GPU, which puts its own
 * words before a function. */
#ifndef RNG_CORE_H
#define RNG_CORE_H
#include <math.h>
#include <stdint.h>
#ifndef RNG_CORE
#define RNG_CORE static inline
#endif

RNG_CORE void rng_philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;

        c[0] = n0, c[1] = (uint32_t)p1, c[2] = n2, c[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

typedef struct rng_words {
    uint64_t first, second;
} rng_words;

/* Two 64-bit words for a key and an element. Step and site share the upper half of the counter with
 * the element's upper bits, which no tensor reaches. */
RNG_CORE rng_words rng_draw(uint64_t seed, uint32_t step, uint32_t site, uint64_t element)
{
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), step, site};
    rng_words w;

    rng_philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
    w.first = (uint64_t)c[1] << 32 | c[0];
    w.second = (uint64_t)c[3] << 32 | c[2];
    return w;
}

RNG_CORE double rng_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

RNG_CORE float rng_unit_f32(uint64_t bits)
{
    return (float)(bits >> 40) * 0x1p-24f;
}

RNG_CORE double rng_box_muller(rng_words w)
{
    return sqrt(-2.0 * log(1.0 - rng_unit(w.first))) *
           cos(6.283185307179586476925 * rng_unit(w.second));
}
#endif
