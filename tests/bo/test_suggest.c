/* Suggestions: reproducible, keeping rules and given values, or a message that says why not. */
#include "bo/sampler.h"
#include "test.h"

static search *declared(drmad_ctx *ctx, const char *study)
{
    config *c = NULL;
    search *s = NULL;

    CHECK_OK(ctx, config_new(ctx, &c));
    CHECK_OK(ctx, config_read(c, "s.yaml", study, strlen(study)));
    CHECK_OK(ctx, config_finish(c));
    CHECK_OK(ctx, search_from_config(c, &s));
    config_free(c);
    return s;
}

static const char net[] = "parameters:\n"
                          "  - {name: dim, type: int, low: 8, high: 64, step: 8}\n"
                          "  - {name: heads, type: int, low: 1, high: 8}\n"
                          "  - {name: lr, low: 1e-4, high: 1, log: true}\n"
                          "  - {name: act, choices: [relu, tanh], when: heads > 4}\n"
                          "search: {constraints: [dim % heads == 0, lr * dim <= 8]}\n";

TEST(suggestions_keep_conditions_and_rules_and_repeat)
{
    static const cfg_sampler kinds[] = {CFG_SAMPLER_RANDOM, CFG_SAMPLER_SOBOL};
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    int seen[9] = {0};

    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int64_t number = 299; number >= 0; number--) { /* in any order */
            double x[] = {NAN, NAN, NAN, NAN}, y[] = {NAN, NAN, NAN, NAN};

            CHECK_OK(ctx, sampler_suggest(s, kinds[k], 11, number, x));
            CHECK_OK(ctx, search_check(s, x));
            CHECK_OK(ctx, sampler_suggest(s, kinds[k], 11, number, y));
            CHECK(memcmp(x, y, sizeof x) == 0);
            seen[(int)x[1]]++;
        }
    for (int heads = 1; heads <= 8; heads++) CHECK(seen[heads] > 0);
    search_free(s);
}

TEST(values_that_are_given_stay)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    double x[] = {NAN, 6, NAN, 1};

    CHECK_OK(ctx, sampler_suggest(s, CFG_SAMPLER_SOBOL, 1, 0, x));
    CHECK(x[1] == 6 && x[3] == 1 && (x[0] == 24 || x[0] == 48));
    CHECK_OK(ctx, search_check(s, x));
    search_free(s);
}

TEST(a_rule_that_no_point_keeps_is_named)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, "parameters: [{name: a, low: 0, high: 1}]\n"
                              "search: {constraints: [a >= 0, a > 2]}");
    double x = NAN;

    CHECK_FAILS(ctx, sampler_suggest(s, CFG_SAMPLER_RANDOM, 1, 17, &x), DRMAD_E_CONFIG,
                "trial 17: no point keeps the rule \"a > 2\" in 1000 attempts");
    CHECK(isnan(x));
    search_free(s);
}

static drmad_status torture(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    search *s = NULL;
    config *c = NULL;
    double x[] = {NAN, NAN, NAN, NAN};

    TRY(config_new(ctx, &c));
    TRY(config_read(c, "s", arg, strlen(arg)));
    TRY(config_finish(c));
    TRY(search_from_config(c, &s));
    TRY(sampler_suggest(s, CFG_SAMPLER_SOBOL, 1, 2, x));
done:
    search_free(s);
    config_free(c);
    return st;
}

TEST(suggestions_survive_failing_allocations)
{
    test_oom(torture, (void *)(uintptr_t)net);
}
