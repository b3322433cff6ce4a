/* Counter-based random numbers: a pure function of (seed, step, site, element), so any draw can be
 * replayed alone. */
#ifndef RNG_H
#define RNG_H
#include <stdint.h>

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011). */
typedef struct rng_key {
    uint64_t seed;
    uint32_t step, site;
} rng_key;

uint32_t rng_site(const char *path);                /* a stable number for a site's path (FNV-1a) */
uint64_t rng_u64(rng_key k, uint64_t element);      /* 64 random bits */
double rng_uniform(rng_key k, uint64_t element);    /* [0, 1), 53 bits */
float rng_uniform_f32(rng_key k, uint64_t element); /* the same, cut to 24 bits */
double rng_normal(rng_key k, uint64_t element);     /* standard normal, Box-Muller */
uint64_t rng_below(rng_key k, uint64_t element, uint64_t n); /* [0, n), n > 0 */

/* A random permutation of [0, n) with random access, keyed by `k`: rounds of x -> a x + c and
 * x -> x ^ x >> s, each one to one on the next power of two, walked until the value falls below n
 * (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002; such
 * rounds for sampling: Kensler, "Correlated multi-jittered sampling", Pixar, 2013). n >= 1. */
enum { RNG_PERM_ROUNDS = 6 };
typedef struct rng_perm {
    uint64_t n, mask, times[RNG_PERM_ROUNDS], plus[RNG_PERM_ROUNDS];
    unsigned shift;
} rng_perm;

rng_perm rng_perm_make(rng_key k, uint64_t n);
uint64_t rng_perm_at(const rng_perm *p, uint64_t i); /* i in [0, n) */
#endif
