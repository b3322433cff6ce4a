/* Studies, their best trials, and what people see of hostile names. */
#include "report/report.h"
#include "test.h"

static store *open_store(drmad_ctx *ctx)
{
    const store_options o = {.create = true};
    char url[1200];
    store *s = NULL;

    snprintf(url, sizeof url, "sqlite:%s/overview.db", test_scratch());
    CHECK_OK(ctx, store_open(ctx, url, &o, &s));
    return s;
}

static int64_t make(store *s, const char *name, const study_direction *d, int32_t n)
{
    int64_t study = 0;
    bool made;

    CHECK_OK(store_ctx(s), store_study_create(s, name, d, n, &study, &made));
    return study;
}

static void add(store *s, int64_t study, trial_state state, const double *values, int32_t n)
{
    const store_trial t = {.state = state,
                           .start = "2026-01-02 03:04:05.000006",
                           .complete = "2026-01-02 03:04:06.000000",
                           .n_values = n,
                           .values = values};
    char key[STORE_REQUEST_SIZE];
    int64_t id, number;

    store_request(s, key);
    CHECK_OK(store_ctx(s), store_trial_add(s, study, &t, key, &id, &number));
}

static json_int_t count(const json_t *study, const char *what)
{
    return json_integer_value(json_object_get(json_object_get(study, "trials"), what));
}

TEST(studies_are_listed_with_their_best)
{
    static const study_direction up[] = {DIRECTION_MAXIMIZE}, down[] = {DIRECTION_MINIMIZE};
    drmad_ctx *ctx = test_ctx();
    store *s = open_store(ctx);
    buffer text = {.ctx = ctx};
    json_t *o;

    CHECK_OK(ctx, report_studies(s, &o, &text));
    CHECK_STR(text.text, "no study\n");
    json_decref(o);
    text_free(&text);

    const int64_t a = make(s, "a\033[2J", up, 1), b = make(s, "b", down, 1);
    for (int i = 0; i < 3; i++) add(s, a, TRIAL_COMPLETE, (double[]){i / 4.0}, 1);
    add(s, a, TRIAL_FAIL, NULL, 0);
    add(s, b, TRIAL_PRUNED, NULL, 0);
    CHECK_OK(ctx, report_studies(s, &o, &text));
    const json_t *first = json_array_get(json_object_get(o, "studies"), 0);
    const json_t *second = json_array_get(json_object_get(o, "studies"), 1);
    CHECK_STR(json_string_value(json_object_get(first, "name")), "a\033[2J");
    CHECK_INT(count(first, "total"), 4);
    CHECK_INT(count(first, "COMPLETE"), 3);
    CHECK_INT(count(first, "FAIL"), 1);
    CHECK_NEAR(json_real_value(json_object_get(first, "best")), 0.5, 0);
    CHECK(json_is_null(json_object_get(second, "best")));
    CHECK(strstr(text.text, "a\\x1b[2J") != NULL);
    CHECK(strchr(text.text, '\033') == NULL);
    json_decref(o);
    text_free(&text);
    store_close(s);
}

TEST(several_objectives_have_a_front)
{
    static const study_direction both[] = {DIRECTION_MINIMIZE, DIRECTION_MAXIMIZE};
    static const int wanted[] = {0, 2, 3};
    /* 1 and 4 are beaten by 0; 2 and 3 are better in one and worse in the other */
    static const double values[][2] = {{1, 5}, {1, 4}, {0, 3}, {2, HUGE_VAL}, {3, 5}};
    drmad_ctx *ctx = test_ctx();
    store *s = open_store(ctx);
    buffer text = {.ctx = ctx};
    json_t *o;

    const int64_t study = make(s, "front", both, 2);
    for (size_t i = 0; i < COUNT(values); i++) add(s, study, TRIAL_COMPLETE, values[i], 2);
    CHECK_OK(ctx, report_best(s, "front", &o, &text));
    const json_t *best = json_object_get(o, "best");
    CHECK_INT(json_array_size(best), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_object_get(json_array_get(best, i), "number");

        CHECK_INT(json_integer_value(number), wanted[i]);
    }
    CHECK(strstr(text.text, "values     2.0 inf") != NULL);
    json_decref(o);
    text_free(&text);
    store_close(s);
}

TEST(numbers_and_texts_have_one_form)
{
    drmad_ctx *ctx = test_ctx();
    buffer b = {.ctx = ctx};
    static const char wanted[] =
        "{\"a\":[0.1,1e-05,3,true,null],\"\\\"\\\\\\n\\u0001\":\"\xc3\xa9\"}";
    json_t *o = json_loads(wanted, 0, NULL);

    CHECK(o != NULL);
    CHECK_OK(ctx, buffer_json(&b, o));
    CHECK_STR(b.text, wanted);
    b.used = 0;
    CHECK_OK(ctx, buffer_name(&b, "a\tb\x7f\xc2\x9b\xc3\xa9"));
    CHECK_STR(b.text, "a\\x09b\\x7f\\xc2\\x9b\xc3\xa9");
    json_decref(o);
    text_free(&b);
}
