/* Philox4x32-10 and what is drawn from it. */
#include "base/rng.h"
#include <math.h>

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;

        c[0] = n0, c[1] = (uint32_t)p1, c[2] = n2, c[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

/* Two 64-bit words for (k, element). Step and site share the upper half of the counter with the
 * element's upper
 * bits, which no tensor reaches. */
static void draw(rng_key k, uint64_t element, uint64_t out[2])
{
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), k.step, k.site};

    philox(c, (uint32_t)k.seed, (uint32_t)(k.seed >> 32));
    out[0] = (uint64_t)c[1] << 32 | c[0];
    out[1] = (uint64_t)c[3] << 32 | c[2];
}

uint32_t rng_site(const char *path)
{
    uint32_t h = 2166136261u;

    while (*path) h = (h ^ (unsigned char)*path++) * 16777619u;
    return h;
}

uint64_t rng_u64(rng_key k, uint64_t element)
{
    uint64_t r[2];

    draw(k, element, r);
    return r[0];
}

static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double rng_uniform(rng_key k, uint64_t element)
{
    return unit(rng_u64(k, element));
}

float rng_uniform_f32(rng_key k, uint64_t element)
{
    return (float)(rng_u64(k, element) >> 40) * 0x1p-24f;
}

double rng_normal(rng_key k, uint64_t element)
{
    uint64_t r[2];

    draw(k, element, r);
    return sqrt(-2.0 * log(1.0 - unit(r[0]))) * cos(6.283185307179586476925 * unit(r[1]));
}

uint64_t rng_below(rng_key k, uint64_t element, uint64_t n)
{
    return (uint64_t)(((__extension__(unsigned __int128) rng_u64(k, element)) * n) >> 64);
}

/* Six rounds: with four, pairs of values of small n were up to 12 times less even than chance. */
rng_perm rng_perm_make(rng_key k, uint64_t n)
{
    rng_perm p = {.n = n};
    unsigned bits = 2;

    while (bits < 64 && (UINT64_C(1) << bits) < n) bits++;
    p.mask = UINT64_MAX >> (64 - bits);
    p.shift = (bits + 1) / 2;
    for (unsigned r = 0; r < RNG_PERM_ROUNDS; r++) {
        p.times[r] = rng_u64(k, 2 * r) | 1;
        p.plus[r] = rng_u64(k, 2 * r + 1);
    }
    return p;
}

uint64_t rng_perm_at(const rng_perm *p, uint64_t i)
{
    do {
        for (int r = 0; r < RNG_PERM_ROUNDS; r++) {
            i = (i * p->times[r] + p->plus[r]) & p->mask;
            i ^= i >> p->shift;
        }
    } while (i >= p->n);
    return i;
}
