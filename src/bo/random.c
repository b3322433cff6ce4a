/* Random points. */
#include "base/rng.h"
#include "bo/sampler.h"

void sample_random(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u)
{
    rng_key key = {seed, (uint32_t)attempt, rng_site("sample/random")};

    for (int32_t i = 0; i < n; i++) u[i] = rng_uniform(key, (uint64_t)number << 16 | (uint32_t)i);
}
