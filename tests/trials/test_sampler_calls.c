/* The public sampler and trials that are added whole, as another language's binding uses them. */
#include "drmad/sampler.h"
#include "drmad/store.h"
#include "drmad/trial.h"
#include "test.h"
#include <jansson.h>

static const char real_x[] = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, "
                             "\"low\": -2.0, \"high\": 6.0, \"log\": false}}";
static const char real_wide[] = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                "null, \"low\": -2.0, \"high\": 600.0, \"log\": false}}";
static const char whole[] = "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": true, "
                            "\"step\": 1, \"low\": 1, \"high\": 64}}";
static const char choice[] = "{\"name\": \"CategoricalDistribution\", \"attributes\": "
                             "{\"choices\": [\"a\", null, 3]}}";

enum { SETTINGS = 8 };

static drmad_sampler *open_sampler(const char *const *settings)
{
    drmad_ctx *ctx = test_ctx();
    drmad_sampler *s = NULL;
    int n = 0, index;

    while (settings[n]) n++;
    CHECK_OK(ctx, drmad_sampler_new(ctx, settings, n, &s));
    if (!s) abort();
    CHECK_OK(ctx, drmad_sampler_add_param(s, "x", real_x, &index));
    CHECK_INT(index, 0);
    CHECK_OK(ctx, drmad_sampler_add_param(s, "n", whole, &index));
    CHECK_OK(ctx, drmad_sampler_add_param(s, "c", choice, &index));
    CHECK_INT(index, 2);
    return s;
}
#define SAMPLER(...) open_sampler((const char *const[]){__VA_ARGS__, NULL})

static void suggest(drmad_sampler *s, int64_t number, double x[3])
{
    x[0] = x[1] = x[2] = NAN;
    CHECK_OK(test_ctx(), drmad_sampler_suggest(s, number, x));
}

TEST(public_sampler_fills_in_what_is_missing)
{
    drmad_sampler *s = SAMPLER("sampler=sobol", "seed=3"), *other = SAMPLER("sampler=sobol");
    double x[3] = {1.5, NAN, 1}, y[3];

    CHECK_OK(test_ctx(), drmad_sampler_suggest(s, 0, x));
    CHECK(x[0] == 1.5 && x[2] == 1);
    for (int i = 0; i < 20; i++) {
        suggest(s, i, x);
        CHECK(x[0] >= -2 && x[0] <= 6);
        CHECK(x[1] >= 1 && x[1] <= 64 && x[1] == floor(x[1]));
        CHECK(x[2] == 0 || x[2] == 1 || x[2] == 2);
        suggest(other, i, y);
        CHECK(memcmp(x, y, sizeof x) != 0);
        suggest(s, i, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
    }
    drmad_sampler_free(s);
    drmad_sampler_free(other);
    drmad_sampler_free(NULL);
}

TEST(public_sampler_refuses_what_it_does_not_know)
{
    static const struct {
        const char *setting, *says;
    } bad[] = {
        {"sampler=cat", "expected gp, tpe, cmaes, sobol or random"},
        {"direction=up", "expected minimize or maximize"},
        {"seed=-1", "must not be below 0"},
        {"startup=-1", "must not be below 0"},
        {"colour=red", "is no setting"},
    };
    drmad_ctx *ctx = test_ctx();
    const double x[3] = {0, 1, 2};
    drmad_sampler *s;
    int index;

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(ctx, drmad_sampler_new(ctx, &bad[i].setting, 1, &s), DRMAD_E_USAGE,
                    bad[i].says);
        CHECK(s == NULL);
    }
    s = SAMPLER("sampler=random");
    CHECK_FAILS(ctx, drmad_sampler_observe(s, 0, "DONE", x, 0, 0), DRMAD_E_USAGE, "COMPLETE");
    CHECK_FAILS(ctx, drmad_sampler_observe(s, -1, "FAIL", x, NAN, 0), DRMAD_E_USAGE, "begin with");
    CHECK_FAILS(ctx, drmad_sampler_add_param(s, "x", choice, &index), DRMAD_E_CONFIG, "another");
    CHECK_FAILS(ctx, drmad_sampler_add_param(s, "y", "{}", &index), DRMAD_E_STORAGE, "Optuna");
    CHECK_INT(index, -1);
    drmad_sampler_free(s);
}

/* With a model, points must follow what is observed. */
static double mean_x(const char *kind, const char *direction, uint64_t seed)
{
    char text[40];
    drmad_sampler *s;
    double x[3], sum = 0;

    snprintf(text, sizeof text, "seed=%d", (int)seed);
    s = SAMPLER(kind, direction, text, "startup=8");
    for (int i = 0; i < 24; i++) {
        suggest(s, i, x);
        CHECK_OK(test_ctx(), drmad_sampler_observe(s, i, "COMPLETE", x, x[0], 0));
        if (i >= 14) sum += x[0] / 10;
    }
    drmad_sampler_free(s);
    return sum;
}

TEST(public_sampler_goes_where_its_direction_says)
{
    const char *const kinds[] = {"sampler=gp", "sampler=tpe", "sampler=cmaes"};

    for (size_t i = 0; i < COUNT(kinds); i++) {
        const double low = mean_x(kinds[i], "direction=minimize", 1);
        const double high = mean_x(kinds[i], "direction=maximize", 1);

        if (!(low < 1 && high > 3))
            test_fail(__FILE__, __LINE__, "%s: means of [-2, 6] are %g and %g", kinds[i], low,
                      high);
    }
}

/* What is forgotten, replaced or lies outside leaves no trace; a pending trial does. */
TEST(public_sampler_knows_what_it_was_told_last)
{
    drmad_ctx *ctx = test_ctx();
    drmad_sampler *s[2] = {SAMPLER("sampler=gp", "startup=6"), SAMPLER("sampler=gp", "startup=6")};
    double x[2][3], outside[3] = {100, 2, 0};
    int index;

    for (int k = 0; k < 2; k++) {
        if (k) CHECK_OK(ctx, drmad_sampler_observe(s[k], 50, "COMPLETE", outside, -9, 0));
        for (int i = 0; i < 8; i++) {
            suggest(s[k], i, x[k]);
            if (k) CHECK_OK(ctx, drmad_sampler_observe(s[k], i, "COMPLETE", x[k], 77, 0));
            CHECK_OK(ctx, drmad_sampler_observe(s[k], i, "COMPLETE", x[k], x[k][0], 0));
        }
        if (k) CHECK_OK(ctx, drmad_sampler_observe(s[k], 60, "COMPLETE", x[k], 5, 0));
        drmad_sampler_forget(s[k], 60);
        suggest(s[k], 8, x[k]);
    }
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0);
    suggest(s[0], 9, x[0]); /* 8 runs still */
    CHECK(memcmp(x[0], x[1], sizeof x[0]) != 0);
    CHECK_OK(ctx, drmad_sampler_add_param(s[1], "x", real_wide, &index));
    CHECK_INT(index, 0);
    suggest(s[1], 9, x[1]); /* now 50 counts */
    CHECK(x[1][0] >= -2 && x[1][0] <= 600);
    for (int k = 0; k < 2; k++) drmad_sampler_free(s[k]);
}

TEST(public_sampler_takes_a_parameter_in_midway)
{
    drmad_ctx *ctx = test_ctx();
    drmad_sampler *s = SAMPLER("sampler=tpe", "startup=4");
    double x[4];
    int index;

    for (int i = 0; i < 12; i++) {
        if (i == 6) CHECK_OK(ctx, drmad_sampler_add_param(s, "late", real_x, &index));
        x[3] = NAN;
        suggest(s, i, x);
        CHECK(i < 6 || (x[3] >= -2 && x[3] <= 6));
        CHECK_OK(ctx, drmad_sampler_observe(s, i, i % 3 ? "COMPLETE" : "PRUNED", x, x[0], 1));
    }
    drmad_sampler_free(s);
}

/* Of a bowl in two numbers: the least of `trials`, whose last point is x. */
static double bowl(const char *gradients, const char *direction, bool tell, int trials, double *x)
{
    const char *const settings[] = {"seed=5", "startup=2", gradients, direction};
    const double sign = strcmp(direction, "direction=maximize") == 0 ? -1 : 1;
    drmad_ctx *ctx = test_ctx();
    drmad_sampler *s = NULL;
    double least = INFINITY;
    int index;

    CHECK_OK(ctx, drmad_sampler_new(ctx, settings, COUNT(settings), &s));
    CHECK_OK(ctx, drmad_sampler_add_param(s, "x", real_x, &index));
    CHECK_OK(ctx, drmad_sampler_add_param(s, "y", real_wide, &index));
    for (int i = 0; i < trials; i++) {
        x[0] = x[1] = NAN;
        CHECK_OK(ctx, drmad_sampler_suggest(s, i, x));
        const double a = x[0] - 4.5, b = x[1] / 100 - 1;
        const double slope[] = {sign * 2 * a, sign * 2 * b / 100};

        CHECK_OK(ctx, drmad_sampler_observe(s, i, "COMPLETE", x, sign * (a * a + b * b), 0));
        if (tell) CHECK_OK(ctx, drmad_sampler_gradient(s, i, slope));
        least = fmin(least, a * a + b * b);
    }
    drmad_sampler_free(s);
    return least;
}

TEST(public_sampler_learns_from_gradients)
{
    static const char off[] = "gradients=false", on[] = "gradients=true";
    double plain[2], x[2], y[2];

    const double without = bowl(off, "direction=minimize", false, 8, plain);
    CHECK_NEAR(bowl(off, "direction=minimize", true, 8, x), without, 0); /* not asked for */
    CHECK(memcmp(x, plain, sizeof x) == 0);
    CHECK(bowl(on, "direction=minimize", true, 8, x) < 0.5 * without);
    bowl(on, "direction=maximize", true, 8, y);
    CHECK(memcmp(x, y, sizeof x) == 0); /* the same bowl upside down */
}

/* A gradient belongs to a point, and a parameter that comes later has none. */
TEST(public_sampler_keeps_gradients_with_their_points)
{
    drmad_ctx *ctx = test_ctx();
    drmad_sampler *s[2] = {SAMPLER("gradients=true", "startup=2"),
                           SAMPLER("gradients=true", "startup=2")};
    const double slope[3] = {-3, 0.1, NAN}, other[3] = {0.5, 3, 1};
    double x[2][4];
    int index;

    CHECK_FAILS(ctx, drmad_sampler_gradient(s[0], 0, slope), DRMAD_E_USAGE, "observe it before");
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 6; i++) {
            suggest(s[k], i, x[k]);
            CHECK_OK(ctx, drmad_sampler_observe(s[k], i, "COMPLETE", x[k], x[k][0], 0));
            if (i == 5 || (k && i == 4)) CHECK_OK(ctx, drmad_sampler_gradient(s[k], i, slope));
            if (i == 4) CHECK_OK(ctx, drmad_sampler_observe(s[k], 4, "COMPLETE", other, 1, 0));
        }
    }
    for (int k = 0; k < 2; k++) {
        CHECK_OK(ctx, drmad_sampler_add_param(s[k], "late", real_x, &index));
        for (int i = 0; i < 4; i++) x[k][i] = NAN;
        CHECK_OK(ctx, drmad_sampler_suggest(s[k], 6, x[k]));
    }
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0);
    for (int k = 0; k < 2; k++) drmad_sampler_free(s[k]);
}

static drmad_status body(drmad_ctx *ctx, void *arg)
{
    const char *settings[] = {"sampler=sobol"};
    drmad_status st = DRMAD_OK;
    drmad_sampler *s = NULL;
    double x = NAN;
    int index;

    (void)arg;
    TRY(drmad_sampler_new(ctx, settings, 1, &s));
    TRY(drmad_sampler_add_param(s, "x", real_x, &index));
    TRY(drmad_sampler_suggest(s, 0, &x));
    TRY(drmad_sampler_observe(s, 0, "COMPLETE", &x, 1, 0));
    TRY(drmad_sampler_gradient(s, 0, &x));
    TRY(drmad_sampler_observe(s, 1, "FAIL", &x, NAN, 0));
    TRY(drmad_sampler_add_param(s, "c", choice, &index));
done:
    drmad_sampler_free(s);
    return st;
}

TEST(public_sampler_oom)
{
    test_oom(body, NULL);
}

/* ---- trials that are added whole ---- */

static drmad_study *open_study(char url[400])
{
    char store[420];
    const char *settings[] = {store, "search.trials=none"};
    drmad_study *s = NULL;

    snprintf(url, 400, "sqlite:%s/t.db", test_scratch());
    snprintf(store, sizeof store, "store=%s#t", url);
    CHECK_OK(test_ctx(), drmad_study_load(test_ctx(), NULL, settings, COUNT(settings), &s));
    if (!s) abort();
    return s;
}

static const char whole_trial[] =
    "{\"state\": \"COMPLETE\", \"values\": [\"inf\"], \"params\": {\"x\": 1.5, \"c\": null}, "
    "\"distributions\": {\"x\": {\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, "
    "\"low\": -2.0, \"high\": 6.0, \"log\": false}}, \"c\": {\"name\": "
    "\"CategoricalDistribution\", \"attributes\": {\"choices\": [\"a\", null]}}}, "
    "\"intermediate_values\": [[3, 0.5], [1, \"nan\"]], \"user_attrs\": {\"who\": [1, 2]}, "
    "\"start\": \"2026-01-02 03:04:05.000006\", \"complete\": \"2026-01-02 04:04:05.000000\"}";

TEST(a_trial_is_added_as_it_is_given)
{
    drmad_ctx *ctx = test_ctx();
    char url[400];
    drmad_study *s = open_study(url);
    drmad_store *store = NULL;
    json_t *want = json_loads(whole_trial, 0, NULL), *got, *value;
    const char *key;
    int64_t number = -1;

    CHECK_OK(ctx, drmad_study_add(s, whole_trial, &number));
    CHECK_INT(number, 0);
    CHECK_OK(ctx, drmad_store_open(ctx, url, NULL, 0, &store));
    CHECK_OK(ctx, drmad_store_trials(store, "t", NULL, 0));
    got = json_loads(drmad_store_result_json(store), 0, NULL);
    json_array_clear(json_object_get(want, "intermediate_values"));
    json_array_append_new(json_object_get(want, "intermediate_values"),
                          json_pack("[i,s]", 1, "nan"));
    json_array_append_new(json_object_get(want, "intermediate_values"), json_pack("[i,f]", 3, 0.5));
    json_object_foreach(want, key, value)
    {
        json_t *there = json_object_get(json_array_get(json_object_get(got, "trials"), 0), key);

        if (!json_equal(there, value)) test_fail(__FILE__, __LINE__, "%s differs", key);
    }
    json_decref(want);
    json_decref(got);
    drmad_store_close(store);
    drmad_study_free(s);
}

TEST(a_trial_that_makes_no_sense_is_not_added)
{
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"[]", "JSON object"},
        {"{\"state\": \"RUNNING\"}", "\"state\": expected"},
        {"{\"state\": \"WAITING\"}", "\"params\": expected"},
        {"{\"state\": \"COMPLETE\", \"values\": [\"a\"]}", "\"values\": expected"},
        {"{\"state\": \"FAIL\", \"params\": {\"x\": 1}}", "must bring its distribution"},
        {"{\"state\": \"FAIL\", \"params\": {\"x\": 1}, \"distributions\": {\"x\": {}}}",
         "distribution"},
        {"{\"state\": \"FAIL\", \"intermediate_values\": [[0.5, 1]]}", "intermediate_values"},
    };
    drmad_ctx *ctx = test_ctx();
    char url[400];
    drmad_study *s = open_study(url);
    int64_t number;

    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_FAILS(ctx, drmad_study_add(s, bad[i].json, &number), DRMAD_E_USAGE, bad[i].says);
    CHECK_INT(number, -1);
    CHECK(drmad_study_add(s, "{\"state\": \"COMPLETE\", \"values\": [1, 2]}", &number) != DRMAD_OK);
    drmad_study_free(s);
}

TEST(a_queued_point_fixes_what_is_declared_while_the_trial_runs)
{
    drmad_ctx *ctx = test_ctx();
    char url[400];
    drmad_study *s = open_study(url);
    drmad_trial *t = NULL;
    int64_t number, n = 0;
    double x = 0;

    CHECK_OK(ctx,
             drmad_study_add(s, "{\"state\": \"WAITING\", \"params\": {\"x\": 0.25}}", &number));
    CHECK_OK(ctx, drmad_study_ask(s, &t));
    CHECK_OK(ctx, drmad_trial_suggest_real(t, "x", 0, 1, 0, 0, &x));
    CHECK_OK(ctx, drmad_trial_suggest_int(t, "n", 1, 4, 1, 0, &n));
    CHECK(x == 0.25 && n >= 1 && n <= 4);
    CHECK_OK(ctx, drmad_study_set_attr(s, "who", "{\"is\": \"me\"}"));
    CHECK(drmad_study_set_attr(s, "who", "{") != DRMAD_OK);
    drmad_trial_free(t);
    drmad_study_free(s);
}

static drmad_status add_body(drmad_ctx *ctx, void *arg)
{
    const char *settings[] = {arg, "search.trials=none"};
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;
    int64_t number;

    TRY(drmad_study_load(ctx, NULL, settings, COUNT(settings), &s));
    TRY(drmad_study_add(s, whole_trial, &number));
    TRY(drmad_study_set_attr(s, "key", "1"));
done:
    drmad_study_free(s);
    return st;
}

TEST(a_trial_is_added_oom)
{
    char store[420];

    snprintf(store, sizeof store, "store=sqlite:%s/t.db", test_scratch());
    test_oom(add_body, store);
}
