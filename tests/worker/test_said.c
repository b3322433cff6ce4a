/* Output of objectives, good and bad, cut at every byte. */
#include "worker/said.h"
#include "test.h"

typedef struct wanted {
    trial_state state;
    double value;
    const char *why;
} wanted;

/* All at once and byte by byte. */
static void check(const char *text, size_t n, const char *metric, wanted want)
{
    drmad_ctx *ctx = test_ctx();

    for (int pass = 0; pass < 2; pass++) {
        const size_t piece = pass ? n + 1 : 1;
        said_verdict v;
        said s;

        said_open(&s, ctx, metric);
        for (size_t i = 0; i < n; i += piece)
            CHECK_OK(ctx, said_take(&s, text + i, piece < n - i ? piece : n - i));
        CHECK_OK(ctx, said_end(&s));
        said_judge(&s, &v);
        CHECK_INT(v.state, want.state);
        if (want.state == TRIAL_COMPLETE && !(v.value == want.value))
            test_fail(__FILE__, __LINE__, "%s: %g", text, v.value);
        if (want.why && !strstr(v.why, want.why))
            test_fail(__FILE__, __LINE__, "%s: \"%s\"", text, v.why);
        said_close(&s);
    }
}

static void check_value(const char *text, double value)
{
    check(text, strlen(text), "", (wanted){TRIAL_COMPLETE, value, NULL});
}

static void check_fail(const char *text, const char *why)
{
    check(text, strlen(text), "", (wanted){TRIAL_FAIL, 0, why});
}

TEST(said_finds_the_result)
{
    check_value("{\"value\": 0.25}\n", 0.25);
    check_value("hello\n{\"value\": 1}\n{\"value\": 2}", 2);
    check_value("{\"value\": 2}\nbye\n", 2);
    check_value("  {\"loss\": 3, \"acc\": 4} \r\n", 3);
    check_value("{\"name\": \"x\", \"loss\": 3}\n", 3);
    check_value("{\"step\": 1, \"value\": 9}\n{\"value\": 5}\n", 5);
    check_value("{\"value\": 5}\n{\"step\": 1, \"value\": 9}\n", 5);
    check_value("{\"step\": 1, \"value\": 9}\n", 9);
    check_value("epoch 1\n0.125\n", 0.125);
    check_value("{\"value\": 5}\n7\n", 5);
    check_value("{\"value\": Infinity}\n", HUGE_VAL);
    check_value("{\"value\": -Infinity, \"a\": NaN}\n", -HUGE_VAL);
    check_value("{\"s\": \"NaN \\\" NaN\", \"value\": 1}\n", 1);
}

TEST(said_takes_the_metric_asked_for)
{
    const char text[] = "{\"value\": 1, \"a\": {\"b\": 2}, \"a.c\": 3}\n";
    const size_t n = sizeof text - 1;

    check(text, n, "a.b", (wanted){TRIAL_COMPLETE, 2, NULL});
    check(text, n, "a.c", (wanted){TRIAL_COMPLETE, 3, NULL});
    check(text, n, "value", (wanted){TRIAL_COMPLETE, 1, NULL});
    check(text, n, "a", (wanted){TRIAL_FAIL, 0, "no number called a"});
    check(text, n, "x.y", (wanted){TRIAL_FAIL, 0, "no number called x.y"});
}

TEST(said_fails_what_is_no_result)
{
    static const char junk[] = "\xff\xfe\0{\"value\": 1}\n\x80\x81 end\n";

    check_fail("", "no line of JSON in its output");
    check_fail("all fine\n", "ended: all fine");
    check_fail("{\"value\": }\n", "ended: {\"value\": }");
    check_fail("7\nbye\n", "ended: bye");
    check_fail("[1, 2]\n", "ended: [1, 2]");
    check_fail("{\"value\": NaN}\n", "the result is NaN");
    check_fail("{\"value\": \"0.5\"}\n", "no number");
    check_fail("{\"value\": 1, \"value\": 2}\n", "no line of JSON");
    check_fail("{\"name\": \"x\"}\n", "no number");
    check_fail("{\"state\": \"FAIL\", \"value\": 1}\n", "says FAIL");
    check_fail("{\"state\": \"GONE\", \"value\": 1}\n", "a state that is none");
    check_fail("{\"state\": 3}\n", "a state that is none");
    check(junk, sizeof junk - 1, "", (wanted){TRIAL_FAIL, 0, "end"});
    check("{\"state\": \"PRUNED\"}", 19, "", (wanted){TRIAL_PRUNED, 0, NULL});
}

TEST(said_drops_a_huge_line)
{
    const size_t n = 3 << 20;
    char *text = malloc(n + 32);

    if (!text) abort();
    memset(text, ' ', n);
    text[0] = '{';
    memcpy(text + n, "}\n", 3);
    drmad_ctx *ctx = test_ctx();
    said_verdict v;
    said s;

    said_open(&s, ctx, "");
    CHECK_OK(ctx, said_take(&s, text, n + 2));
    CHECK(s.room < 4 << 20);
    said_judge(&s, &v);
    CHECK_INT(v.state, TRIAL_FAIL);
    CHECK(strstr(v.why, "1 MiB"));
    CHECK_OK(ctx, said_take(&s, "{\"value\": 1}\n", 13));
    said_judge(&s, &v);
    CHECK_INT(v.state, TRIAL_COMPLETE);
    said_close(&s);
    free(text);
}

TEST(said_keeps_intermediate_values)
{
    drmad_ctx *ctx = test_ctx();
    const char text[] = "{\"step\": 0, \"value\": 0.5}\n{\"step\": -1, \"value\": NaN}\n"
                        "{\"step\": 1.5, \"value\": 3}\n{\"step\": 2, \"value\": \"x\"}\n";
    said s;

    said_open(&s, ctx, "");
    CHECK_OK(ctx, said_take(&s, text, sizeof text - 1));
    CHECK_INT(s.n_reports, 2);
    CHECK_INT(s.reports[0].step, 0);
    CHECK_NEAR(s.reports[0].value, 0.5, 0);
    CHECK_INT(s.reports[1].step, -1);
    CHECK(isnan(s.reports[1].value));
    said_close(&s);
}

static drmad_status whole(drmad_ctx *ctx, void *arg)
{
    const char text[] = "hello\n{\"step\": 0, \"value\": NaN}\n{\"value\": 1}\n";
    drmad_status st = DRMAD_OK;
    said s;

    (void)arg;
    said_open(&s, ctx, "");
    TRY(said_take(&s, text, sizeof text - 1));
    TRY(said_end(&s));
done:
    said_close(&s);
    return st;
}

TEST(said_survives_every_failed_allocation)
{
    test_oom(whole, NULL);
}
