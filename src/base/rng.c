/* Philox4x32-10 and what is drawn from it. */
#include "base/rng.h"
#include "base/rng_core.h"

uint32_t rng_site(const char *path)
{
    uint32_t h = 2166136261u;

    while (*path) h = (h ^ (unsigned char)*path++) * 16777619u;
    return h;
}

uint64_t rng_u64(rng_key k, uint64_t element)
{
    return rng_draw(k.seed, k.step, k.site, element).first;
}

double rng_uniform(rng_key k, uint64_t element)
{
    return rng_unit(rng_u64(k, element));
}

float rng_uniform_f32(rng_key k, uint64_t element)
{
    return rng_unit_f32(rng_u64(k, element));
}

double rng_normal(rng_key k, uint64_t element)
{
    return rng_box_muller(rng_draw(k.seed, k.step, k.site, element));
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
