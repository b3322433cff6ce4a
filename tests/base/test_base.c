#include "base/rng.h"
#include "test.h"

/* Random123's known answers for philox4x32-10: all zeros, all ones, digits of pi. */
TEST(philox_gives_the_published_values)
{
    const rng_key ones = {UINT64_MAX, UINT32_MAX, UINT32_MAX};
    const rng_key pi = {UINT64_C(0x299f31d0a4093822), 0x13198a2e, 0x03707344};

    CHECK(rng_u64((rng_key){0, 0, 0}, 0) == UINT64_C(0xe169c58d6627e8d5));
    CHECK(rng_u64(ones, UINT64_MAX) == UINT64_C(0x41c83b0e408f276d));
    CHECK(rng_u64(pi, UINT64_C(0x85a308d3243f6a88)) == UINT64_C(0x94fdccebd16cfe09));
}

TEST(a_permutation_hits_every_value_once)
{
    const uint64_t sizes[] = {1, 2, 3, 5, 16, 17, 1000, 60000};
    static unsigned char seen[60000];

    for (size_t s = 0; s < COUNT(sizes); s++) {
        rng_perm p = rng_perm_make((rng_key){7, (uint32_t)s, 3}, sizes[s]);
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < sizes[s]; i++) seen[rng_perm_at(&p, i)]++;
        for (uint64_t i = 0; i < sizes[s]; i++) CHECK_INT(seen[i], 1);
    }
}

TEST(normal_draws_have_mean_0_and_variance_1)
{
    const int n = 200000;
    double sum = 0, squares = 0;

    for (int i = 0; i < n; i++) {
        double x = rng_normal((rng_key){1, 2, 3}, (uint64_t)i);
        sum += x, squares += x * x;
    }
    CHECK_NEAR(sum / n, 0, 5 / sqrt(n)); /* five standard errors */
    CHECK_NEAR(squares / n, 1, 5 * sqrt(2.0 / n));
}

TEST(an_allocation_too_large_is_refused_and_says_how_large)
{
    drmad_ctx *ctx = test_ctx();
    void *p;

    CHECK_FAILS(ctx, mem_alloc(ctx, SIZE_MAX / 2, 4, &p), DRMAD_E_NOMEM, "out of memory");
    CHECK(p == NULL);
}
