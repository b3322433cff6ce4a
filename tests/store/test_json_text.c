/* JSON in place: what is one value, what it says, how it is written. */
#include "store/json_text.h"
#include "test.h"

static json_span whole(const char *text)
{
    json_span v = {NULL, NULL};

    if (!json_whole(text, strlen(text), &v)) test_fail(__FILE__, __LINE__, "%s: refused", text);
    return v;
}

TEST(json_text_knows_what_is_one_value)
{
    static const char *const good[] = {"0",           "-1.5e-3", "NaN",        "-Infinity",
                                       "null",        " [ ] ",   "{}",         "[1,[2,{\"a\":3}]]",
                                       "\"\\u00e9\"", "\"\"",    "{\"a\" : 1}"};
    static const char *const bad[] = {
        "",           "01",      "1.",    "+1",  ".5",  "1e",      "nul",         "[1,]",
        "[1",         "{\"a\"}", "{a:1}", "\"a", "1 2", "\"\\x\"", "\"\\u12g4\"", "\"\n\"",
        "{\"a\":1,}", "-",       "[,1]",  "]",   "Inf"};
    char deep[4096];
    json_span v;

    for (size_t i = 0; i < COUNT(good); i++) whole(good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (json_whole(bad[i], strlen(bad[i]), &v))
            test_fail(__FILE__, __LINE__, "%s: accepted", bad[i]);
    memset(deep, '[', 2000), memset(deep + 2000, ']', 2000);
    CHECK(!json_whole(deep, 4000, &v));
    CHECK(json_whole(deep + 1700, 600, &v));
}

TEST(json_text_finds_members)
{
    json_span v = whole("{ \"a\":1, \"b\" : [1, -2.5 ,NaN], \"a\":\"x\", \"t\":true }");
    double x[3] = {0}, inf = 0;
    int64_t n;
    int i = 0;

    CHECK(json_is(json_member(v, "a"), '"')); /* the last of two, as in Python */
    CHECK(json_truth(json_member(v, "t")));
    CHECK(!json_member(v, "c").at);
    for (json_walk w = json_walk_of(json_member(v, "b")); json_next(&w) && i < 3; i++)
        CHECK(json_double(w.value, x + i));
    CHECK_INT(i, 3);
    CHECK(x[0] == 1 && x[1] == -2.5 && isnan(x[2]));
    CHECK(json_int(whole("-9223372036854775808"), &n) && n == INT64_MIN);
    CHECK(!json_int(whole("9223372036854775808"), &n));
    CHECK(!json_int(whole("1.0"), &n));
    CHECK(json_double(whole("-Infinity"), &inf) && inf < 0 && isinf(inf));
    json_walk empty = json_walk_of(whole("[ ]")), scalar = json_walk_of(whole("12"));
    CHECK(!json_next(&empty));
    CHECK(!json_next(&scalar));
}

TEST(json_text_reads_and_writes_strings)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"\"a\\\"b\\\\c\\/d\\n\"", "a\"b\\c/d\n"},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "é€😀"},
        {"\"\\ud83d\"", "\xED\xA0\xBD"}, /* a half of a pair */
        {"\"a\\u0000b\"", "a\xC0\x80"
                          "b"},
    };
    drmad_ctx *ctx = test_ctx();
    text_out o = {.ctx = ctx};
    char *text;

    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_OK(ctx, json_text(ctx, whole(rows[i].json), &text));
        CHECK_STR(text, rows[i].text);
        mem_free(ctx, text);
    }
    json_put_string(&o, "x'); DROP\t\"\\\x01é");
    text_put(&o, ",");
    json_put_real(&o, -INFINITY);
    text_put(&o, ",");
    json_put_real(&o, 0.1);
    json_put_json(&o, " { \"a b\" :\n [1, \"x\\\" y\"] } ", "attr");
    CHECK_STR(o.text,
              "\"x'); DROP\\u0009\\\"\\\\\\u0001é\",-Infinity,0.1{\"a b\":[1,\"x\\\" y\"]}");
    json_put_json(&o, "{", "attr k");
    CHECK_FAILS(ctx, o.st, DRMAD_E_USAGE, "attr k: not JSON");
    text_free(&o);
}

TEST(json_text_compares_as_python_does)
{
    CHECK(json_same(whole("[1,\"a\",null]"), whole("[1.0, \"\\u0061\", null ]")));
    CHECK(json_same(whole("true"), whole("1")));
    CHECK(json_same(whole("\"é😀\""), whole("\"\\u00e9\\ud83d\\ude00\"")));
    CHECK(!json_same(whole("[1]"), whole("[1,2]")));
    CHECK(!json_same(whole("[\"1\"]"), whole("[1]")));
    CHECK(!json_same(whole("null"), whole("0")));
}
