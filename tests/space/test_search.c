/* The space of a search: distributions as Optuna writes them, points in and out, conditions and
 * rules, what a study declares. */
#include "base/rng.h"
#include "space/search.h"
#include "test.h"

typedef struct number_row {
    double low, high, step;
    bool log;
    const char *json;
} number_row;
typedef struct choices_row {
    const char *choices[12];
    const char *json;
} choices_row;
typedef struct old_row {
    const char *old, *json;
} old_row;
#include "distributions.inc"

static search_param *number_param(drmad_ctx *ctx, search_type type, const number_row *row)
{
    search_param *p = NULL;

    CHECK_OK(ctx, mem_alloc(ctx, 1, sizeof *p, &p));
    CHECK_OK(ctx, mem_strdup(ctx, "p", &p->name));
    p->type = type;
    p->low = row->low, p->high = row->high, p->step = row->step, p->log = row->log;
    return p;
}

/* In a space of its own; the space keeps it. */
static const search_param *added(drmad_ctx *ctx, search_param *p, search **s)
{
    int32_t i = 0;

    CHECK_OK(ctx, search_new(ctx, s));
    CHECK_OK(ctx, search_add(*s, p, &i));
    if (i != 0) exit(1); /* the failure has been told */
    return &(*s)->params[0];
}

/* Its distribution is `json`, reads back, and is then the same again. */
static void check_distribution(drmad_ctx *ctx, search_param *p, const char *json)
{
    search_param *back = NULL;
    search *s = NULL;
    const search_param *q = added(ctx, p, &s);

    CHECK_STR(q->distribution, json);
    CHECK_OK(ctx, search_param_parse(ctx, "p", json, &back));
    if (back) {
        CHECK_STR(back->distribution, json);
        CHECK_INT(back->type, q->type);
        CHECK_INT(back->log, q->log);
        CHECK(back->low == q->low && back->high == q->high && back->step == q->step);
        CHECK_INT(back->n_choices, q->n_choices);
        for (int32_t i = 0; i < q->n_choices; i++) {
            CHECK_STR(back->choices[i], q->choices[i]);
            CHECK_STR(back->texts[i], q->texts[i]);
        }
    }
    search_param_free(ctx, back);
    search_free(s);
}

TEST(distributions_are_the_bytes_that_optuna_writes)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(floats); i++)
        check_distribution(ctx, number_param(ctx, SEARCH_FLOAT, &floats[i]), floats[i].json);
    for (size_t i = 0; i < COUNT(ints); i++)
        check_distribution(ctx, number_param(ctx, SEARCH_INT, &ints[i]), ints[i].json);
    for (size_t i = 0; i < COUNT(categoricals); i++) {
        search_param *p = NULL;

        CHECK_OK(ctx, mem_alloc(ctx, 1, sizeof *p, &p));
        CHECK_OK(ctx, mem_strdup(ctx, "p", &p->name));
        p->type = SEARCH_CATEGORICAL;
        CHECK_OK(ctx, mem_alloc(ctx, 12, sizeof *p->choices, &p->choices));
        for (; categoricals[i].choices[p->n_choices]; p->n_choices++)
            CHECK_OK(ctx, mem_strdup(ctx, categoricals[i].choices[p->n_choices],
                                     &p->choices[p->n_choices]));
        check_distribution(ctx, p, categoricals[i].json);
    }
}

TEST(distributions_of_older_versions_and_the_short_form_are_read)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(olds); i++) {
        search_param *p = NULL;

        CHECK_OK(ctx, search_param_parse(ctx, "p", olds[i].old, &p));
        if (p) CHECK_STR(p->distribution, olds[i].json);
        search_param_free(ctx, p);
    }
}

TEST(what_is_no_distribution_is_refused_with_the_parameter)
{
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "3",
        "null",
        "\"x",
        "{}",
        "{\"name\": \"FloatDistribution\"}",
        "{\"name\": \"FloatDistribution\", \"attributes\": 3}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": 2, \"high\": 1}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": \"0\", \"high\": 1}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": NaN, \"high\": 1}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": 0, \"high\": 1e999}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": 0, \"high\": 1, \"step\": "
        "-1}}",
        "{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": 0, \"high\": 1, \"log\": "
        "true}}",
        "{\"name\": \"IntDistribution\", \"attributes\": {\"low\": 0.5, \"high\": 1}}",
        "{\"name\": \"IntDistribution\", \"attributes\": {\"low\": 0, \"high\": 1e300}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": []}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [[1]]}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [nope]}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [01]}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [1.]}}",
        "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": 1}}",
        "{\"name\": \"NormalDistribution\", \"attributes\": {\"low\": 0, \"high\": 1}}",
        "{\"name\": \"float\", \"attributes\": {\"low\": 0, \"high\": 1}}",
        "{\"type\": \"FloatDistribution\", \"low\": 0, \"high\": 1}",
        "{\"type\": \"float\", \"low\": 0}",
    };
    drmad_ctx *ctx = test_ctx();
    search_param *p = NULL;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        CHECK_FAILS(ctx, search_param_parse(ctx, "lr", wrong[i], &p), DRMAD_E_STORAGE,
                    "parameter \"lr\": not a distribution");
        CHECK(p == NULL);
    }
    char *deep = calloc(1, 100001);

    memset(deep, '[', 100000);
    CHECK_FAILS(ctx, search_param_parse(ctx, "lr", deep, &p), DRMAD_E_STORAGE, "not JSON");
    free(deep);
}

/* ---- from a study ---- */

static search *declared(drmad_ctx *ctx, const char *study)
{
    config *c = NULL;
    search *s = NULL;

    CHECK_OK(ctx, config_new(ctx, &c));
    CHECK_OK(ctx, config_read(c, "s.yaml", study, strlen(study)));
    CHECK_OK(ctx, config_finish(c));
    CHECK_OK(ctx, search_from_config(c, &s));
    config_free(c);
    if (!s) CHECK_OK(ctx, search_new(ctx, &s));
    return s;
}

static const char net[] =
    "parameters:\n"
    "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
    "  - {name: depth, type: int, low: 1, high: 8}\n"
    "  - {name: act, choices: [relu, tanh, null, 3, \"3\"], when: depth > 2}\n"
    "  - {name: slope, low: 0, high: 1, step: 0.25, when: act == relu}\n"
    "  - {name: seed, type: int, low: 0, high: 9, fixed: 7}\n"
    "search: {constraints: [lr * depth <= 2, slope < 0.9 or depth == 3]}\n";

TEST(conditions_leave_out_and_rules_are_told)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    const double low[] = {0.5, 0, 0, 0.5, 0.5}, high[] = {0, 0.9, 0, 0.99, 0.5};
    const double tanh_there[] = {0, 0.9, 0.21, 0.5, 0.5}, steep[] = {0.999, 0.9, 0.3, 0, 0};
    double x[5];
    int32_t broken;

    CHECK_INT(s->n, 5);
    CHECK_OK(ctx, search_draw(s, low, x, &broken));
    CHECK_NEAR(x[0], sqrt(1e-5), 1e-12);
    CHECK(x[1] == 1 && isnan(x[2]) && isnan(x[3]) && x[4] == 7);
    CHECK_INT(broken, -1); /* slope is left out, which the rule does not mind */
    CHECK_OK(ctx, search_draw(s, high, x, &broken));
    CHECK(x[1] == 8 && x[2] == 0 && x[3] == 1);
    CHECK_INT(broken, 1);
    CHECK_OK(ctx, search_draw(s, tanh_there, x, &broken));
    CHECK(x[2] == 1 && isnan(x[3]));
    CHECK_INT(broken, -1);
    CHECK_OK(ctx, search_draw(s, steep, x, &broken));
    CHECK_INT(broken, 0);
    search_free(s);
}

TEST(given_values_stay_where_a_point_is_completed)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    const double u[] = {0, 0, 0, 0, 0};
    double x[5];
    int32_t broken;

    CHECK_OK(ctx, search_parse(s, "{\"depth\": 3, \"act\": \"tanh\", \"slope\": 0.5}", x));
    CHECK(isnan(x[0]) && x[1] == 3 && x[2] == 1 && x[3] == 0.5 && isnan(x[4]));
    CHECK_OK(ctx, search_complete(s, u, x, &broken));
    CHECK(x[0] == 1e-5 && x[1] == 3 && x[2] == 1 && isnan(x[3]) && x[4] == 7);
    CHECK_INT(broken, -1);
    search_free(s);
}

static const struct {
    const char *text, *json; /* what is read, how it prints */
} points[] = {
    {"{\"lr\": 0.1, \"depth\": 4, \"act\": \"relu\", \"slope\": 0.5, \"seed\": 1}",
     "{\"lr\": 0.1, \"depth\": 4, \"act\": \"relu\", \"slope\": 0.5, \"seed\": 1}"},
    {"lr=0.1 depth=4   act=relu slope=.5", "{\"lr\": 0.1, \"depth\": 4, \"act\": \"relu\", "
                                           "\"slope\": 0.5}"},
    {"{\"act\": null, \"lr\": 1}", "{\"lr\": 1.0, \"act\": null}"},
    {"act=null lr=1e-5", "{\"lr\": 1e-05, \"act\": null}"},
    {"act=3", "{\"act\": 3}"},
    {"{\"act\": \"3\", \"depth\": 2.0}", "{\"depth\": 2, \"act\": \"3\"}"},
    {"act=\"3\"", "{\"act\": \"3\"}"},
    {"{\"act\": 3.0}", "{\"act\": 3}"},
    {"  ", "{}"},
    {" {} ", "{}"},
};

TEST(points_are_read_and_printed)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    double x[5];

    for (size_t i = 0; i < COUNT(points); i++) {
        char *json = NULL;

        CHECK_OK(ctx, search_parse(s, points[i].text, x));
        CHECK_OK(ctx, search_print(s, x, &json));
        if (json) CHECK_STR(json, points[i].json);
        mem_free(ctx, json);
    }
    search_free(s);
}

static const struct {
    const char *text, *why;
} bad_points[] = {
    {"{\"lr\": 2}", "parameter lr: 2.0 lies outside its range, 1e-05 to 1.0"},
    {"{\"depth\": 2.5}", "parameter depth: 2.5 is not a whole number"},
    {"{\"depth\": 0}", "parameter depth: 0.0 lies outside its range"},
    {"{\"slope\": 0.3}", "parameter slope: 0.3 is none of its values, 0.0 and on by 0.25"},
    {"{\"slope\": true}", "parameter slope: true is not a number"},
    {"{\"slope\": null}", "parameter slope: null is not a number"},
    {"{\"slope\": \"0.5\"}", "is not a number"},
    {"{\"act\": \"gelu\"}", "parameter act: \"gelu\" is none of its choices, \"relu\", \"tanh\""},
    {"act=gelu", "parameter act: \"gelu\" is none of its choices"},
    {"{\"act\": []}", "parameter act: takes a single value"},
    {"{\"act\": {}}", "parameter act: takes a single value"},
    {"{\"Lr\": 1}", "no parameter is called \"Lr\"; known are lr, depth, act, slope, seed"},
    {"lr", "\"lr\" is not of the form name=value"},
    {"lr=", "parameter lr:  is not a number"},
    {"=1", "no parameter is called \"\""},
    {"lr=0.1 lr=0.2", "parameter lr: stands there twice"},
    {"{\"lr\": 0.1, \"lr\": 0.2}", "duplicate"},
    {"lr=nan", "is not a number"},
    {"lr=inf", "is not a number"},
    {"{\"lr\": NaN}", "not a JSON object"},
    {"{\"lr\": 1e999}", "not a JSON object"},
    {"{\"lr\": 0.1", "not a JSON object"},
    {"{\"lr\": 0.1} x", "not a JSON object"},
    {"{\"\xff\": 1}", "not a JSON object"},
    {"{\"a\\u0000b\": 1}", "not a JSON object"},
};

TEST(points_that_are_wrong_or_hostile_are_refused_by_name)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    char *deep = calloc(1, 200011);
    double x[5];

    for (size_t i = 0; i < COUNT(bad_points); i++)
        CHECK_FAILS(ctx, search_parse(s, bad_points[i].text, x), DRMAD_E_CONFIG, bad_points[i].why);
    strcpy(deep, "{\"lr\": ");
    memset(deep + 7, '[', 200000);
    CHECK_FAILS(ctx, search_parse(s, deep, x), DRMAD_E_CONFIG, "not a JSON object");
    memset(deep, 'x', 200000);
    CHECK_FAILS(ctx, search_parse(s, deep, x), DRMAD_E_CONFIG, "not of the form");
    free(deep);
    search_free(s);
}

TEST(a_whole_point_is_checked_against_conditions_and_rules)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, net);
    double x[] = {0.1, 4, 0, 0.5, 7};

    CHECK_OK(ctx, search_check(s, x));
    x[3] = NAN;
    CHECK_FAILS(ctx, search_check(s, x), DRMAD_E_CONFIG, "parameter slope: has no value");
    x[2] = 1, x[3] = 0.5;
    CHECK_FAILS(ctx, search_check(s, x), DRMAD_E_CONFIG,
                "parameter slope: has a value, but its condition act == relu does not hold");
    x[2] = 0, x[0] = 0.9;
    CHECK_FAILS(ctx, search_check(s, x), DRMAD_E_CONFIG, "breaks the rule lr * depth <= 2");
    x[2] = 5;
    CHECK_FAILS(ctx, search_check(s, x), DRMAD_E_CONFIG, "5.0 is the index of none of its 5");
    x[2] = 0, x[0] = INFINITY;
    CHECK_FAILS(ctx, search_check(s, x), DRMAD_E_CONFIG, "parameter lr: inf lies outside");
    char *json = NULL;

    CHECK_FAILS(ctx, search_print(s, x, &json), DRMAD_E_CONFIG,
                "parameter lr: inf is no value of its type");
    CHECK(json == NULL);
    x[0] = 50, x[1] = 1.5;
    CHECK_FAILS(ctx, search_print(s, x, &json), DRMAD_E_CONFIG, "parameter depth: 1.5 is no value");
    x[1] = 99; /* outside the range, but stored by somebody: printed all the same */
    CHECK_OK(ctx, search_print(s, x, &json));
    CHECK_STR(json, "{\"lr\": 50.0, \"depth\": 99, \"act\": \"relu\", \"slope\": 0.5, "
                    "\"seed\": 7}");
    mem_free(ctx, json);
    x[2] = 1e300;
    CHECK_FAILS(ctx, search_print_one(ctx, &s->params[2], x[2], &json), DRMAD_E_CONFIG, "act");
    search_free(s);
}

TEST(names_and_texts_print_as_python_prints_them)
{
    drmad_ctx *ctx = test_ctx();
    search *s = declared(ctx, "parameters:\n"
                              "- {name: \"l\xc3\xa9\\\"r\\\\\", low: 0, high: 1}\n"
                              "- {name: \"{lr}; DROP TABLE\", choices: [\"\xf0\x9f\x98\x80\"]}\n");
    double x[] = {0.5, 0};
    char *json = NULL;

    CHECK_OK(ctx, search_print(s, x, &json));
    CHECK_STR(json, "{\"l\\u00e9\\\"r\\\\\": 0.5, \"{lr}; DROP TABLE\": \"\\ud83d\\ude00\"}");
    CHECK_OK(ctx, search_parse(s, json, x));
    CHECK(x[0] == 0.5 && x[1] == 0);
    CHECK_STR(s->params[1].texts[0], "\xf0\x9f\x98\x80");
    mem_free(ctx, json);
    search_free(s);
}

/* `study` is refused with a message that has `why` in it. */
static void check_refused(drmad_ctx *ctx, const char *study, const char *why)
{
    config *c = NULL;
    search *s = NULL;

    CHECK_OK(ctx, config_new(ctx, &c));
    CHECK_OK(ctx, config_read(c, "s.yaml", study, strlen(study)));
    CHECK_OK(ctx, config_finish(c));
    CHECK_FAILS(ctx, search_from_config(c, &s), DRMAD_E_CONFIG, why);
    CHECK(s == NULL);
    config_free(c);
}

static const struct {
    const char *entry, *why;
} bad_entries[] = {
    {"low: 0", "s.yaml:1:14: parameters.0.high: a finite low and high must be given"},
    {"high: 0", "parameters.0.low: a finite low and high must be given"},
    {"low: 0, high: .inf", "s.yaml:1:38: parameters.0.high: a finite"},
    {"low: 2, high: 1", "s.yaml:1:29: parameters.0.low: low 2 must not lie above high 1"},
    {"low: 0, high: 1, log: true", "parameters.0.low: low 0; under log it must be above 0"},
    {"type: int, low: 0, high: 1, log: true", "low 0; under log it must be at least 1"},
    {"low: 1, high: 2, log: true, step: 0.1", "parameters.0.step: 0.1; step and log exclude"},
    {"type: int, low: 1, high: 9, log: true, step: 2", "parameters.0.step: 2; step and log"},
    {"type: int, low: 0.5, high: 1", "parameters.0.low: 0.5 is not a whole number"},
    {"type: int, low: 0, high: 1e17", "parameters.0.high: 1e+17 is not a whole number within 2^53"},
    {"type: int, low: 0, high: 4, step: 1.5", "parameters.0.step: 1.5 is not a whole number"},
    {"low: 0, high: 1, step: 1e-300", "parameters.0.step: 1e-300 makes too many values"},
    {"low: 0, high: 1e300, step: 1", "parameters.0.step: 1 makes too many values"},
    {"low: 0, high: 1, choices: [a]", "low: a categorical has choices, no range"},
    {"type: categorical", "parameters.0.choices: a categorical needs at least one"},
    {"type: float, low: 0, high: 1, choices: [a]", "choices: are for a categorical only"},
    {"low: 0, high: 1, weights: [1]", "parameters.0.weights: are for a categorical only"},
    {"low: 0, high: 1, ordered: true", "parameters.0.ordered: is for a categorical only"},
    {"choices: [a], log: true", "parameters.0.log: is for numbers only"},
    {"choices: [a], step: 1", "parameters.0.step: is for numbers only"},
    {"choices: [a], prior: normal",
     "parameters.0.prior: is for numbers only; choices have weights"},
    {"choices: [a, b], weights: [1]", "parameters.0.weights: must be as many as the choices"},
    {"choices: [a, b], weights: [0, 0]", "parameters.0.weights: all are 0"},
    {"choices: [a, b, a]", "parameters.0.choices: \"a\" is there twice"},
    {"choices: [1e0, 1.0]", "parameters.0.choices: 1.0 is there twice"},
    {"low: 0, high: 1, mean: 1", "parameters.0.mean: is for prior: normal or log-normal"},
    {"low: 0, high: 1, sd: 1", "parameters.0.sd: is for prior: normal or log-normal"},
    {"low: 0, high: 1, prior: normal, sd: 0", "parameters.0.sd: mean 0.5 and sd 0 must be finite"},
    {"low: 0, high: 1, prior: normal, mean: 99, sd: 1", "mean 99 lies more than 37 times sd 1"},
    {"low: 0, high: 1, prior: normal, mean: -99, sd: 1", "mean -99 lies more than 37 times sd 1"},
    {"low: 0, high: 1, prior: log-normal",
     "parameters.0.mean: mean -inf and sd inf must be finite"},
    {"low: -1, high: 1, prior: log-normal", "prior: log-normal values are above 0"},
    {"low: 1, high: 2, prior: log-normal, mean: 99, sd: 1", "both are of the natural logarithm"},
    {"low: 0, high: 1, when: a > 1",
     "parameters.0.when: \"a > 1\": column 1: no parameter is called"},
    {"low: 0, high: 1, when: z > 1", "parameters.0.when: \"z > 1\": column 1: no parameter"},
    {"low: 0, high: 1, when: 1 < 2", "parameters.0.when: names no parameter"},
    {"low: 0, high: 1, fixed: 2", "parameters.0.fixed: 2.0 lies outside its range, 0.0 to 1.0"},
    {"low: 0, high: 1, fixed: x", "parameters.0.fixed: x is not a number"},
    {"choices: [a, b], fixed: c",
     "parameters.0.fixed: \"c\" is none of its choices, \"a\" or \"b\""},
};

TEST(declarations_that_make_no_sense_are_refused_by_key)
{
    drmad_ctx *ctx = test_ctx();
    char study[512];

    for (size_t i = 0; i < COUNT(bad_entries); i++) {
        snprintf(study, sizeof study, "parameters: [{name: z, %s}]", bad_entries[i].entry);
        check_refused(ctx, study, bad_entries[i].why);
    }
    check_refused(ctx, "parameters: [{name: a, low: 0, high: 1}, {name: a, low: 0, high: 1}]",
                  "s.yaml:1:49: parameters.1.name: is another parameter's already");
    check_refused(ctx,
                  "parameters: [{name: a, low: 0, high: 1}]\n"
                  "search: {constraints: [a < 1, a < b]}",
                  "s.yaml:2:31: search.constraints.1: \"a < b\": column 5: no parameter is called");
    check_refused(ctx, "parameters: [{name: a, low: 0, high: 1}]\nsearch: {enqueue: [a=1, a=2]}",
                  "s.yaml:2:25: search.enqueue.1: parameter a: 2.0 lies outside its range");
    check_refused(ctx, "search: {enqueue: [a=1]}",
                  "search.enqueue.0: no parameter is called \"a\"");
}

TEST(what_a_study_declares_is_what_the_space_has)
{
    drmad_ctx *ctx = test_ctx();
    search *s =
        declared(ctx, "parameters:\n"
                      "- {name: a, choices: [x, 2, \"null\"], weights: [1, 2, 5], ordered: true}\n"
                      "- {name: b, choices: [x, null, \"null\"], fixed: \"null\"}\n"
                      "- {name: c, low: 0, high: 1, step: 0.3, prior: normal}\n"
                      "- {name: d, low: 1, high: 100, log: true, prior: log-normal}\n"
                      "- {name: e, type: int, low: -3, high: 9, step: 5, fixed: 2}\n");

    CHECK_INT(s->n, 5);
    CHECK_NEAR(s->params[0].weights[2], 0.625, 1e-15);
    CHECK(s->params[0].ordered && !s->params[1].weights);
    CHECK(s->params[1].fixed && s->params[1].fixed_value == 1); /* null before its namesake */
    CHECK_NEAR(s->params[2].high, 0.9, 0);
    CHECK_NEAR(s->params[2].mean, 0.45, 1e-15);
    CHECK_NEAR(s->params[2].sd, 0.225, 1e-15);
    CHECK_NEAR(s->params[3].mean, log(100) / 2, 1e-15);
    CHECK_NEAR(s->params[3].sd, log(100) / 4, 1e-15);
    CHECK_NEAR(s->params[4].high, 7, 0);
    CHECK_NEAR(s->params[4].fixed_value, 2, 0);
    search_free(s);
    s = declared(ctx, "seed: 3");
    CHECK_INT(s->n, 0);
    search_free(s);
}

TEST(a_space_grows_and_keeps_what_must_stay_the_same)
{
    drmad_ctx *ctx = test_ctx();
    number_row row = {0, 1, 0, false, NULL}, wider = {-1, 2, 0, false, NULL};
    number_row logarithmic = {1, 2, 0, true, NULL};
    search *s = NULL;
    int32_t i = 7;

    CHECK_OK(ctx, search_new(ctx, &s));
    CHECK_OK(ctx, search_add(s, number_param(ctx, SEARCH_FLOAT, &row), &i));
    CHECK_INT(i, 0);
    CHECK_OK(ctx, search_add(s, number_param(ctx, SEARCH_FLOAT, &wider), &i));
    CHECK_INT(i, 0);
    CHECK_INT(s->n, 1);
    CHECK_NEAR(s->params[0].high, 2, 0);
    CHECK_FAILS(ctx, search_add(s, number_param(ctx, SEARCH_INT, &row), &i), DRMAD_E_CONFIG,
                "parameter p: was declared before with another type");
    CHECK_INT(i, -1);
    CHECK_FAILS(ctx, search_add(s, number_param(ctx, SEARCH_FLOAT, &logarithmic), &i),
                DRMAD_E_CONFIG, "give it another name");
    CHECK_INT(search_find(s, "p"), 0);
    CHECK_INT(search_find(s, "q"), -1);

    search_param *bare = number_param(ctx, SEARCH_CATEGORICAL, &row);

    bare->n_choices = 1;
    CHECK_OK(ctx, mem_alloc(ctx, 1, sizeof *bare->choices, &bare->choices));
    CHECK_OK(ctx, mem_strdup(ctx, "relu", &bare->choices[0]));
    CHECK_FAILS(ctx, search_add(s, bare, &i), DRMAD_E_CONFIG,
                "parameter p: choices: relu is neither null");
    search_free(s);
    search_free(NULL);
}

static drmad_status torture(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    search_param *p = NULL;
    double x[5], u[5] = {0};
    char *json = NULL;
    search *s = NULL;
    config *c = NULL;
    int32_t broken;

    TRY(config_new(ctx, &c));
    TRY(config_read(c, "s", arg, strlen(arg)));
    TRY(config_finish(c));
    TRY(search_from_config(c, &s));
    TRY(search_draw(s, u, x, &broken));
    TRY(search_print(s, x, &json));
    TRY(search_parse(s, json, x));
    TRY(search_parse(s, "act=tanh lr=0.1 depth=5", x));
    TRY(search_param_parse(ctx, "p", s->params[2].distribution, &p));
done:
    mem_free(ctx, json);
    search_param_free(ctx, p);
    search_free(s);
    config_free(c);
    return st;
}

TEST(spaces_survive_failing_allocations)
{
    test_oom(torture, (void *)(uintptr_t)net);
}
