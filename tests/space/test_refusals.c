/* Every declaration that makes no sense is refused, and the message names the declaration and the
 * reason. */
#include "space/space.h"
#include "test.h"

typedef struct refusal {
    const char *text; /* part of the message */
    hyper_decl d;
} refusal;

/* A learning rate per `global` (unless the rest says more) within [low, high]. */
#define LR(phases_, low_, high_, start_, ...) KIND(LR, phases_, low_, high_, start_, __VA_ARGS__)
#define KIND(kind_, phases_, low_, high_, start_, ...)                                             \
    {                                                                                              \
        HYPER_DECL(HYPER_##kind_, phases_, low_, high_, start_), __VA_ARGS__                       \
    }
#define HYPER_DECL(kind_, phases_, low_, high_, start_)                                            \
    .kind = (kind_), .phases = (phases_), .low = (low_), .high = (high_), .start = (start_)
#define TIES(...)                                                                                  \
    .ties = (const hyper_tie[]){__VA_ARGS__},                                                      \
    .n_ties = sizeof((const hyper_tie[]){__VA_ARGS__}) / sizeof(hyper_tie)

static const refusal cases[] = {
    {"hyper.0 (lr): start 0 has no logarithm", LR(1, 0, 1, 0, .per = PER_GLOBAL)},
    {"start -1 has no logarithm", LR(1, 1e-4, 1, -1, .per = PER_GLOBAL)},
    {"low 0 has no logarithm", LR(1, 0, 1, .1, .per = PER_GLOBAL)},
    {"start 2 lies outside [low, high] = [0.0001, 1]", LR(1, 1e-4, 1, 2, .per = PER_GLOBAL)},
    {"start 1e-05 lies outside", LR(1, 1e-4, 1, 1e-5, .per = PER_GLOBAL)},
    {"not NaN", LR(1, NAN, 1, .1, .per = PER_GLOBAL)},
    {"not NaN", LR(1, 1e-4, NAN, .1, .per = PER_GLOBAL)},
    {"not NaN", LR(1, 1e-4, 1, NAN, .per = PER_GLOBAL)},
    {"low 1 must lie below high 0.5", LR(1, 1, .5, .1, .per = PER_GLOBAL)},
    {"low 0.1 must lie below high 0.1", LR(1, .1, .1, .1, .per = PER_GLOBAL)},
    {"or is not finite", LR(1, 1e-4, INFINITY, INFINITY, .per = PER_GLOBAL)},
    {"or is not finite", LR(1, 1e-4, INFINITY, INFINITY, .transform = TRANSFORM_IDENTITY)},
    {"logit needs finite bounds", LR(1, 1e-4, INFINITY, .1, .transform = TRANSFORM_LOGIT)},
    {"strictly inside", LR(1, 1e-4, 1, 1, .transform = TRANSFORM_LOGIT)},
    {"strictly inside", LR(1, 1e-4, 1, 1e-4, .transform = TRANSFORM_LOGIT)},
    {"lr makes sense in [0, inf] only", LR(1, -1, 1, .1, .transform = TRANSFORM_IDENTITY)},
    {"momentum makes sense in [0, 1] only", KIND(MOMENTUM, 1, 1e-4, 1.5, .1, .per = PER_GLOBAL)},
    {"-1 phases", LR(-1, 1e-4, 1, .1, .per = PER_GLOBAL)},
    {"8 phases for 7 training steps", LR(8, 1e-4, 1, .1, .per = PER_GLOBAL)},
    {"start of training has no phases", KIND(INIT_SCALE, 2, 1e-4, 1, .1, .per = PER_GLOBAL)},
    {"start of training has no phases", KIND(INIT_SCALE, 0, 1e-4, 1, .1, .per = PER_GLOBAL)},
    {"the evaluation uses it too", KIND(INPUT_SCALE, 0, 1e-4, 1, .1, .per = PER_GLOBAL)},
    {"match \"*x*\" reaches no parameter", LR(1, 1e-4, 1, .1, .match = "*x*")},
    {"match \"a*\" cannot be used", KIND(LABEL_SMOOTHING, 1, 1e-4, 1, .1, .match = "a*")},
    {"match \"a*\" cannot be used", KIND(EXAMPLE_WEIGHT, 1, 1e-4, 1, .1, .match = "a*")},
    {"no value per unit-in: match \"*.bias\" reaches no matrix",
     LR(1, 1e-4, 1, .1, .match = "*.bias", .per = PER_UNIT_IN)},
    {"no value per example: it is about weights", LR(1, 1e-4, 1, .1, .per = PER_EXAMPLE)},
    {"no value per class: it is about weights", KIND(L2, 1, 1e-4, 1, .1, .per = PER_CLASS)},
    {"no value per layer: it is one number for the loss",
     KIND(LABEL_SMOOTHING, 1, 1e-4, 1, .1, .per = PER_LAYER)},
    {"no value per unit-in: it is about examples",
     KIND(EXAMPLE_WEIGHT, 1, 1e-4, 1, .1, .per = PER_UNIT_IN)},
    {"no value per weight: it is about examples",
     KIND(EXAMPLE_WEIGHT, 1, 1e-4, 1, .1, .per = PER_WEIGHT)},
    {"no value per example: it is about the loss",
     KIND(LOSS_WEIGHT, 1, 1e-4, 1, .1, .per = PER_EXAMPLE)},
    {"no value per unit-out: it is about the columns",
     KIND(INPUT_SCALE, 1, 1e-4, 1, .1, .per = PER_UNIT_OUT)},
    {"no value per unit-out: it is about dropout layers",
     KIND(DROPOUT, 1, 1e-4, .9, .1, .per = PER_UNIT_OUT)},
    {"the model has no dropout layer; presets have them where model.dropout is above 0",
     KIND(DROPOUT, 1, 1e-4, .9, .1, .per = PER_LAYER)},
    {"the model has no auxiliary head; model.auxiliary adds them",
     KIND(AUXILIARY, 1, 1e-4, .9, .1, .per = PER_GLOBAL)},
    {"match \"x*\" reaches no auxiliary head", KIND(AUXILIARY, 1, 1e-4, .9, .1, .match = "x*")},
    {"no value per class: the task has none",
     KIND(EXAMPLE_WEIGHT, 1, 1e-4, 1, .1, .per = PER_CLASS)},
    {"no base value", KIND(INIT_SCALE, 1, 1e-4, 1, .1, .multiplier = true)},
    {"no base value", KIND(EXAMPLE_WEIGHT, 1, 1e-4, 1, .1, .multiplier = true)},
    {"no base value", KIND(INPUT_SCALE, 1, 1e-4, 1, .1, .multiplier = true)},
    {"ties.1 ends at meta-step 3; it must end after 3",
     LR(1, 1e-4, 1, .1, .per = PER_WEIGHT, TIES({PER_GLOBAL, 3}, {PER_LAYER, 3}))},
    {"ties.0 ends at meta-step 0", LR(1, 1e-4, 1, .1, .per = PER_WEIGHT, TIES({PER_GLOBAL, 0}))},
    {"ties.0 is loosened from layer to global", LR(1, 1e-4, 1, .1, TIES({PER_LAYER, 3}))},
    {"from unit-in to unit-out", LR(1, 1e-4, 1, .1, .per = PER_UNIT_OUT, TIES({PER_UNIT_IN, 3}))},
    {"from weight to tensor",
     LR(1, 1e-4, 1, .1, .per = PER_WEIGHT, TIES({PER_WEIGHT, 1}, {PER_TENSOR, 3}))},
    {"no value per class: it is about weights",
     LR(1, 1e-4, 1, .1, .per = PER_WEIGHT, TIES({PER_CLASS, 1}))},
};

static param_table *two_layers(drmad_ctx *ctx)
{
    param_table *p = NULL;

    CHECK_OK(ctx, params_new(ctx, &p));
    CHECK_OK(ctx, params_add(p, "layers.0.weight", SHAPE(4, 3), PARAM_WEIGHT, 0));
    CHECK_OK(ctx, params_add(p, "layers.0.bias", SHAPE(4), PARAM_BIAS, 0));
    return p;
}

TEST(declarations_without_sense_are_refused_by_name)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    space_facts f = {.steps = 7, .examples = 5, .inputs = 3};

    for (size_t i = 0; i < COUNT(cases); i++) {
        space *s = NULL;

        CHECK_FAILS(ctx, space_new(ctx, p, &f, &cases[i].d, 1, &s), DRMAD_E_CONFIG, cases[i].text);
        CHECK(strstr(drmad_errmsg(ctx), "hyper.0 (") != NULL);
        CHECK(s == NULL);
    }
    params_free(p);
}

TEST(two_declarations_may_not_reach_the_same_tensor)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    space_facts f = {.steps = 7};
    hyper_decl d[] = {LR(1, 1e-4, 1, .1, .match = "*.weight"),
                      LR(1, 1e-4, 1, .1, .per = PER_LAYER)};
    hyper_decl e[] = {KIND(LABEL_SMOOTHING, 1, 1e-4, 1, .1, .per = PER_GLOBAL),
                      KIND(LABEL_SMOOTHING, 2, 1e-4, 1, .1, .per = PER_GLOBAL)};
    space *s = NULL;

    CHECK_FAILS(ctx, space_new(ctx, p, &f, d, 2, &s), DRMAD_E_CONFIG,
                "hyper.1 (lr): reaches layers.0.weight, which hyper.0 reaches already");
    CHECK_FAILS(ctx, space_new(ctx, p, &f, e, 2, &s), DRMAD_E_CONFIG, "reaches the data");
    d[1].match = "*.bias";
    CHECK_OK(ctx, space_new(ctx, p, &f, d, 2, &s));
    space_free(s);
    params_free(p);
}

TEST(a_space_beyond_the_memory_limit_is_refused_with_its_size)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    space_facts f = {.steps = 1000, .memory = 16 * 1000 * sizeof(double)};
    hyper_decl d = LR(0, 1e-4, 1, .1, .per = PER_WEIGHT);
    space *s = NULL;

    CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
    CHECK_INT(s->total, 16000);
    space_free(s);
    f.memory--;
    CHECK_FAILS(
        ctx, space_new(ctx, p, &f, &d, 1, &s), DRMAD_E_CONFIG,
        "4 values per weight x 1000 in time beyond the 12000 before them: more than the 15999");
    f.memory = 0, f.steps = INT32_MAX; /* no overflow either */
    CHECK_FAILS(ctx, space_new(ctx, p, &f, &d, 1, &s), DRMAD_E_CONFIG, "more than the");
    params_free(p);
}

TEST(momentum_at_every_step_needs_a_trajectory_that_keeps_the_buffer)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    space_facts f = {.steps = 7};
    hyper_decl d = KIND(MOMENTUM, 0, 1e-4, 1, .1, .transform = TRANSFORM_LOGIT);
    space *s = NULL;

    CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
    CHECK_OK(ctx, space_check_trajectory(s, "full", true));
    CHECK_FAILS(ctx, space_check_trajectory(s, "grid", false), DRMAD_E_CONFIG, "trajectory: grid");
    space_free(s);
    d.phases = 7; /* phases of one step are the same thing */
    CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
    CHECK_FAILS(ctx, space_check_trajectory(s, "line", false), DRMAD_E_CONFIG, "momentum");
    space_free(s);
    d.phases = 3;
    CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
    CHECK_OK(ctx, space_check_trajectory(s, "grid", false));
    space_free(s);
    params_free(p);
}

typedef struct heard {
    int lines;
    char last[160];
} heard;

static void hear(void *user, int level, const char *line)
{
    heard *h = user;

    (void)level;
    h->lines++;
    snprintf(h->last, sizeof h->last, "%s", line);
}

TEST(rates_at_every_step_of_a_grid_are_warned_of_once)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    space_facts f = {.steps = 7};
    hyper_decl d = LR(7, 1e-4, 1, .1, .per = PER_TENSOR);
    space *s = NULL;
    heard h = {0};

    CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
    drmad_ctx_set_log(ctx, hear, &h);
    CHECK_OK(ctx, space_check_trajectory(s, "full", true));
    CHECK_INT(h.lines, 0);
    CHECK_OK(ctx, space_check_trajectory(s, "grid", false));
    CHECK_INT(h.lines, 1);
    CHECK(strstr(h.last, " and 1 more: learning rates at every step are noisy"));
    space_free(s);
    params_free(p);
}

TEST(facts_are_checked)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = two_layers(ctx);
    hyper_decl d = LR(1, 1e-4, 1, .1, .per = PER_GLOBAL);
    space *s = NULL;

    CHECK_FAILS(ctx, space_new(ctx, p, &(space_facts){.steps = 0}, &d, 1, &s), DRMAD_E_CONFIG,
                "0 training steps");
    CHECK_FAILS(ctx, space_new(ctx, p, &(space_facts){.steps = 1LL << 40}, &d, 1, &s),
                DRMAD_E_CONFIG, "training steps");
    CHECK_FAILS(ctx, space_new(ctx, p, &(space_facts){.steps = 1, .inputs = -1}, &d, 1, &s),
                DRMAD_E_INTERNAL, "count");
    CHECK_OK(ctx, space_new(ctx, p, &(space_facts){.steps = 1}, NULL, 0,
                            &s)); /* nothing to tune: allowed here */
    CHECK_INT(s->total, 0);
    space_free(s);
    params_free(p);
}
