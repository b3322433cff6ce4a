/* Random points, and points of either kind that keep the rules. */
#include "base/rng.h"
#include "bo/sampler.h"
#include <string.h>

void sample_random(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u)
{
    rng_key key = {seed, (uint32_t)attempt, rng_site("sample/random")};

    for (int32_t i = 0; i < n; i++) u[i] = rng_uniform(key, (uint64_t)number << 16 | (uint32_t)i);
}

drmad_status sampler_suggest(const search *s, cfg_sampler kind, uint64_t seed, int64_t number,
                             double *x)
{
    drmad_status st = DRMAD_OK;
    const size_t n = (size_t)s->n;
    double *u = NULL, *try = NULL;
    int32_t broken = -1;

    TRY(mem_alloc(s->ctx, n + 1, sizeof *u, &u));
    TRY(mem_alloc(s->ctx, n + 1, sizeof *try, &try));
    for (int32_t attempt = 0; attempt < SAMPLE_ATTEMPTS; attempt++) {
        if (kind == CFG_SAMPLER_SOBOL) sample_sobol(seed, number, attempt, s->n, u);
        else sample_random(seed, number, attempt, s->n, u);
        memcpy(try, x, n * sizeof *x);
        TRY(search_complete(s, u, try, &broken));
        if (broken < 0) break;
    }
    if (broken >= 0)
        st = FAIL(s->ctx, DRMAD_E_CONFIG,
                  "trial %lld: no point keeps the rule \"%.200s\" in %d attempts; loosen the rule "
                  "or change the ranges",
                  (long long)number, expr_text(s->rules[broken]), SAMPLE_ATTEMPTS);
    else memcpy(x, try, n * sizeof *x);
done:
    mem_free(s->ctx, u);
    mem_free(s->ctx, try);
    return st;
}
