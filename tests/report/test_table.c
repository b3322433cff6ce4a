/* Tables from a store: bytes of CSV, names, order, versions. */
#include "report/report.h"
#include "test.h"
#include <locale.h>

typedef struct fixture {
    drmad_ctx *ctx;
    store *s;
    int64_t study;
    buffer out;
} fixture;

static fixture fx_open(const char *name, const study_direction *d, int32_t n)
{
    fixture fx = {.ctx = test_ctx()};
    const store_options o = {.create = true};
    char url[1200];
    bool made;

    fx.out.ctx = fx.ctx;
    snprintf(url, sizeof url, "sqlite:%s/table.db", test_scratch());
    CHECK_OK(fx.ctx, store_open(fx.ctx, url, &o, &fx.s));
    CHECK_OK(fx.ctx, store_study_create(fx.s, name, d, n, &fx.study, &made));
    return fx;
}

static void fx_close(fixture *fx)
{
    text_free(&fx->out);
    store_close(fx->s);
}

static const study_direction minimize[] = {DIRECTION_MINIMIZE};

#define REAL_0_10                                                                                  \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 0.0, \"high\": "  \
    "10.0, \"log\": false}}"
#define INT_0_10                                                                                   \
    "{\"name\": \"IntDistribution\", \"attributes\": {\"log\": false, \"step\": 1, \"low\": 0, "   \
    "\"high\": 10}}"
#define CHOICES                                                                                    \
    "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [\"re,lu\", null, "     \
    "true, "                                                                                       \
    "\"\", 3]}}"

static void add(fixture *fx, const store_trial *t)
{
    char key[STORE_REQUEST_SIZE];
    int64_t id, number;
    store_trial full = *t;

    full.start = full.complete = "2026-01-02 03:04:05.000006";
    store_request(fx->s, key);
    CHECK_OK(fx->ctx, store_trial_add(fx->s, fx->study, &full, key, &id, &number));
}

/* A COMPLETE trial of one value and one attribute, or of none (key NULL). */
static void add_simple(fixture *fx, double value, const char *key, const char *json,
                       const char *version)
{
    const store_attr a = {key, json, false};
    const store_trial t = {.state = TRIAL_COMPLETE,
                           .n_values = 1,
                           .values = &value,
                           .n_attrs = key != NULL,
                           .attrs = &a,
                           .version = version};

    add(fx, &t);
}

static const char *export(fixture *fx, const char *study, const report_query *q)
{
    text_free(&fx->out);
    CHECK_OK(fx->ctx, report_export(fx->s, study, q, &fx->out));
    return fx->out.text ? fx->out.text : "";
}

TEST(csv_has_its_bytes_from_the_rules)
{
    fixture fx = fx_open("s", minimize, 1);
    const double values[] = {0.1, 1e-5, -HUGE_VAL, 1e16, 12};

    for (int i = 0; i < 5; i++) {
        const store_param p[] = {{"lr, \"x\"", i == 0 ? 1.0 / 3 : i, REAL_0_10},
                                 {"n", i, INT_0_10},
                                 {"act\nb", i, CHOICES}};
        const store_trial t = {.state = TRIAL_COMPLETE,
                               .n_params = 3,
                               .params = p,
                               .n_values = 1,
                               .values = &values[i],
                               .version = i ? "v,1" : NULL};
        add(&fx, &t);
    }
    CHECK_STR(export(&fx, "s", &(report_query){0}),
              "number,state,version,\"lr, \"\"x\"\"\",n,\"act\nb\",value\n"
              "0,COMPLETE,,0.3333333333333333,0,\"re,lu\",0.1\n"
              "1,COMPLETE,\"v,1\",1,1,null,1e-05\n"
              "2,COMPLETE,\"v,1\",2,2,true,-inf\n"
              "3,COMPLETE,\"v,1\",3,3,\"\",1e+16\n"
              "4,COMPLETE,\"v,1\",4,4,3,12\n");
    CHECK_STR(export(&fx, "s", &(report_query){.order_by = "value", .desc = true, .params = "n"}),
              "number,state,version,n,value\n"
              "3,COMPLETE,\"v,1\",3,1e+16\n"
              "4,COMPLETE,\"v,1\",4,12\n"
              "0,COMPLETE,,0,0.1\n"
              "1,COMPLETE,\"v,1\",1,1e-05\n"
              "2,COMPLETE,\"v,1\",2,-inf\n");
    fx_close(&fx);
}

TEST(csv_does_not_depend_on_the_locale)
{
    fixture fx = fx_open("s", minimize, 1);
    char text[8];

    add_simple(&fx, 0.5, NULL, NULL, NULL);
    CHECK(test_comma_locale());
    snprintf(text, sizeof text, "%.1f", 0.5);
    CHECK_STR(text, "0,5"); /* the locale is what it should be */
    CHECK_STR(export(&fx, "s", &(report_query){0}),
              "number,state,version,value\n0,COMPLETE,,0.5\n");
    setlocale(LC_NUMERIC, "C");
    fx_close(&fx);
}

TEST(attributes_are_results_and_meta_data)
{
    fixture fx = fx_open("s", minimize, 1);

    add_simple(&fx, 2, "result:acc", "0.25", NULL);
    add_simple(&fx, 1, "meta:host", "\"a \\\"b\\\"\\u001b\"", NULL);
    add_simple(&fx, 3, "result:curve", "[0.1, 1.0, {\"a\": null}]", NULL);
    add_simple(&fx, 4, "other", "{\"q\": \"\\\"\"}", NULL);
    CHECK_STR(export(&fx, "s", &(report_query){0}),
              "number,state,version,value,acc,curve,host,other\n"
              "0,COMPLETE,,2,0.25,,,\n"
              "1,COMPLETE,,1,,,\"a \"\"b\"\"\x1b\",\n"
              "2,COMPLETE,,3,,\"[0.1,1.0,{\"\"a\"\":null}]\",,\n"
              "3,COMPLETE,,4,,,,\"{\"\"q\"\":\"\"\\\"\"\"\"}\"\n");
    CHECK_STR(
        export(&fx, "s",
               &(report_query){.results = "acc", .meta = "", .order_by = "acc", .desc = true}),
        "number,state,version,acc\n"
        "0,COMPLETE,,0.25\n"
        "1,COMPLETE,,\n"
        "2,COMPLETE,,\n"
        "3,COMPLETE,,\n");
    fx_close(&fx);
}

TEST(objectives_have_the_names_that_the_study_gives)
{
    static const study_direction both[] = {DIRECTION_MINIMIZE, DIRECTION_MAXIMIZE};
    fixture fx = fx_open("s", both, 2);
    const double values[] = {0.5, 3};
    const store_trial t = {.state = TRIAL_COMPLETE, .n_values = 2, .values = values};
    const report_query q = {.format = "json"};
    char name[2401], json[2600];

    add(&fx, &t);
    CHECK_STR(export(&fx, "s", &(report_query){0}),
              "number,state,version,value_0,value_1\n0,COMPLETE,,0.5,3\n");
    for (size_t i = 0; i < 2400; i++) name[i] = "\xc3\xa9"[i % 2]; /* longer than any name */
    name[2400] = '\0';
    snprintf(json, sizeof json, "[\"loss\", \"%s\"]", name);
    const store_attr a = {"study:metric_names", json, true};
    CHECK_OK(fx.ctx, store_study_set_attr(fx.s, fx.study, &a));
    CHECK(strstr(export(&fx, "s", &q), name) != NULL);
    CHECK(strstr(export(&fx, "s", &q), "{\"loss\":0.5,") != NULL);
    fx_close(&fx);
}

TEST(names_with_commas_are_asked_for_as_json)
{
    fixture fx = fx_open("s", minimize, 1);

    add_simple(&fx, 1, "meta:a,b", "1", NULL);
    CHECK_STR(export(&fx, "s", &(report_query){.results = "", .meta = "[\"a,b\"]"}),
              "number,state,version,\"a,b\"\n0,COMPLETE,,1\n");
    fx_close(&fx);
}

TEST(what_is_not_there_is_named)
{
    fixture fx = fx_open("s", minimize, 1);
    const report_query wrong[] = {
        {.params = "lr"},  {.results = "acc"},
        {.meta = "hots"},  {.order_by = "xx"},
        {.version = "v9"}, {.min_version = "v9"},
        {.format = "xml"}, {.version = "v1", .min_version = "v1"},
    };
    static const char *const says[] = {
        "no parameter \"lr\"",
        "no result \"acc\"; there is value",
        "no meta-data \"hots\"; there is host",
        "no column \"xx\"",
        "no version \"v9\"; there is v1",
        "no version \"v9\"",
        "expected csv or json",
        "one of them",
    };

    add_simple(&fx, 1, "meta:host", "1", "v1");
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_FAILS(fx.ctx, report_export(fx.s, "s", &wrong[i], &fx.out), DRMAD_E_USAGE, says[i]);
    CHECK_FAILS(fx.ctx, report_export(fx.s, "none", &(report_query){0}, &fx.out), DRMAD_E_USAGE,
                "none");
    fx_close(&fx);
}

TEST(versions_are_in_the_order_of_their_first_use)
{
    fixture fx = fx_open("s", minimize, 1);
    static const char *const used[] = {"v9", "v10", "v9", NULL, "a"};

    for (size_t i = 0; i < COUNT(used); i++) add_simple(&fx, (double)i, NULL, NULL, used[i]);
    CHECK_STR(export(&fx, "s", &(report_query){.version = "v9"}),
              "number,state,version,value\n0,COMPLETE,v9,0\n2,COMPLETE,v9,2\n");
    CHECK_STR(export(&fx, "s", &(report_query){.min_version = "v10"}),
              "number,state,version,value\n1,COMPLETE,v10,1\n4,COMPLETE,a,4\n");
    fx_close(&fx);
}

TEST(json_tables_read_back)
{
    fixture fx = fx_open("s\"\n", minimize, 1);
    const double infinite = HUGE_VAL;
    const store_param p = {"act", 0, CHOICES};
    const store_trial t = {
        .state = TRIAL_COMPLETE, .n_values = 1, .values = &infinite, .n_params = 1, .params = &p};

    add(&fx, &t);
    const store_trial queued = {.state = TRIAL_WAITING};
    char key[STORE_REQUEST_SIZE];
    int64_t id, number;
    store_request(fx.s, key);
    CHECK_OK(fx.ctx, store_trial_add(fx.s, fx.study, &queued, key, &id, &number));
    json_t *o = json_loads(export(&fx, "s\"\n", &(report_query){.format = "json"}), 0, NULL);
    CHECK(json_is_object(o));
    CHECK_STR(json_string_value(json_object_get(o, "study")), "s\"\n");
    json_t *first = json_array_get(json_object_get(o, "trials"), 0);
    json_t *second = json_array_get(json_object_get(o, "trials"), 1);
    CHECK_STR(json_string_value(json_object_get(json_object_get(first, "results"), "value")),
              "inf");
    CHECK_STR(json_string_value(json_object_get(json_object_get(first, "params"), "act")), "re,lu");
    CHECK_STR(json_string_value(json_object_get(second, "state")), "WAITING");
    CHECK(json_is_null(json_object_get(second, "start")));
    json_decref(o);
    fx_close(&fx);
}

TEST(a_study_without_trials_has_a_head)
{
    fixture fx = fx_open("s", minimize, 1);

    CHECK_STR(export(&fx, "s", &(report_query){.params = "lr", .order_by = "lr"}),
              "number,state,version,lr\n");
    fx_close(&fx);
}
