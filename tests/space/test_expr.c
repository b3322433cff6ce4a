/* Conditions and rules: what they are worth, what is refused and where, hostile texts. */
#include "space/expr.h"
#include "test.h"

/* x = 3, y = -0.5, flag = 1, act = "relu"; gone and lost are left out; "a b" = 2. */
static enum expr_type known(void *user, const char *name)
{
    static const char *const numbers[] = {"x", "y", "flag", "gone", "a b", "opt.lr"};

    (void)user;
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (strcmp(name, numbers[i]) == 0) return EXPR_NUMBER;
    return strcmp(name, "act") == 0 || strcmp(name, "lost") == 0 ? EXPR_TEXT : EXPR_MISSING;
}

static expr_value value(void *user, const char *name)
{
    static const struct {
        const char *name;
        double x;
    } numbers[] = {{"x", 3}, {"y", -0.5}, {"flag", 1}, {"a b", 2}, {"opt.lr", 0.1}};

    (void)user;
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return (expr_value){.type = EXPR_NUMBER, .number = numbers[i].x};
    if (strcmp(name, "act") == 0) return (expr_value){.type = EXPR_TEXT, .text = "relu"};
    return (expr_value){.type = EXPR_MISSING};
}

static const struct {
    const char *text;
    expr_truth want;
} worth[] = {
    {"x > 2", EXPR_TRUE},
    {"x > 3", EXPR_FALSE},
    {"x >= 3 and x <= 3 and x == 3 and not x != 3 and not x < 3", EXPR_TRUE},
    {"1 <= x < 3", EXPR_FALSE},
    {"1 <= x < 4 < 5", EXPR_TRUE},
    {"5 > x > 4", EXPR_FALSE},
    {"x", EXPR_TRUE},
    {"x - 3", EXPR_FALSE},
    {"flag", EXPR_TRUE},
    {"true and not false", EXPR_TRUE},
    /* binding */
    {"1 + 2 * 3 == 7", EXPR_TRUE},
    {"(1 + 2) * 3 == 9", EXPR_TRUE},
    {"2 - 3 - 4 == -5", EXPR_TRUE},
    {"24 / 4 / 2 == 3", EXPR_TRUE},
    {"2 ** 3 ** 2 == 512", EXPR_TRUE},
    {"-2 ** 2 == -4", EXPR_TRUE},
    {"2 ** -1 == 0.5", EXPR_TRUE},
    {"--x == 3", EXPR_TRUE},
    {"false and false or true", EXPR_TRUE},
    {"true or false and false", EXPR_TRUE},
    {"not x == 2", EXPR_TRUE},
    {"not not x", EXPR_TRUE},
    {"7 % 3 == 1 and -7 % 3 == 2 and 7 % -3 == -2 and -6 % 3 == 0", EXPR_TRUE},
    {"1e3 == 1000 and .5 == 5e-1 and 5. == 5", EXPR_TRUE},
    {"1e999 > x", EXPR_TRUE},
    /* functions */
    {"log(exp(2)) == 2 and sqrt(16) == 4 and abs(y) == 0.5 and floor(y) == -1", EXPR_TRUE},
    {"min(3, y, 2) == y and max(1, x, 2) == x", EXPR_TRUE},
    {"min(max(x, 1), 2) == 2", EXPR_TRUE},
    {"log(y) == log(y)", EXPR_FALSE}, /* not a number equals nothing */
    {"x / 0 > 1e308", EXPR_TRUE},
    /* texts and names */
    {"act == relu", EXPR_TRUE},
    {"relu == act", EXPR_TRUE},
    {"act == \"relu\" and act == 'relu'", EXPR_TRUE},
    {"act != tanh", EXPR_TRUE},
    {"act == 3", EXPR_FALSE},
    {"act != 3", EXPR_TRUE},
    {"x == \"3\"", EXPR_FALSE},
    {"`a b` == 2", EXPR_TRUE},
    {"opt.lr == 0.1", EXPR_TRUE},
    {"act == \"\xc3\xa9\"", EXPR_FALSE},
    {"act == \xc3\xa9t\xc3\xa9", EXPR_FALSE},
    /* what is left out */
    {"gone > 1", EXPR_OPEN},
    {"not gone > 1", EXPR_OPEN},
    {"gone == gone", EXPR_OPEN},
    {"lost == relu", EXPR_OPEN},
    {"lost != relu", EXPR_OPEN},
    {"gone > 1 and x == 2", EXPR_FALSE},
    {"x == 2 and gone > 1", EXPR_FALSE},
    {"gone > 1 or x == 3", EXPR_TRUE},
    {"x == 3 or gone > 1", EXPR_TRUE},
    {"gone > 1 and x == 3", EXPR_OPEN},
    {"gone > 1 or x == 2", EXPR_OPEN},
    {"max(gone, 1) > 0", EXPR_OPEN},
};

TEST(expressions_bind_and_compute_as_in_python)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(worth); i++) {
        expr *e = NULL;
        expr_truth got = EXPR_OPEN;

        CHECK_OK(ctx, expr_parse(ctx, worth[i].text, known, NULL, &e));
        if (!e) continue;
        CHECK_OK(ctx, expr_eval(ctx, e, value, NULL, &got));
        if (got != worth[i].want)
            test_fail(__FILE__, __LINE__, "%s is %d, not %d", worth[i].text, got, worth[i].want);
        CHECK_STR(expr_text(e), worth[i].text);
        expr_free(ctx, e);
    }
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "\"\": column 1: a value is missing"},
    {"x >", "column 4: a value is missing"},
    {"x > > 2", "column 5: a value is missing"},
    {"and x", "column 1: a value is missing"},
    {"(x > 2", "column 7: a ) is missing"},
    {"x > 2)", "column 6: an operator is missing before this"},
    {"x y", "column 3: an operator is missing before this"},
    {"x = 2", "column 3: = is not a comparison; write =="},
    {"x && y", "column 3: write `and`"},
    {"x || y", "column 3: write `or`"},
    {"!x", "column 1: write `not`"},
    {"x > $2", "column 5: a character that has no meaning here"},
    {"x > 1.2.3", "column 5: not a number that can be read"},
    {"x > 2px", "column 5: not a number that can be read"},
    {"x > 0x10", "column 5: not a number that can be read"},
    {"act == \"relu", "column 8: the closing quote is missing"},
    {"act == `relu", "column 8: the closing quote is missing"},
    {"depth > 2", "column 1: no parameter is called \"depth\""},
    {"x > depth", "column 5: no parameter is called \"depth\""},
    {"foo == bar", "column 1: no parameter is called \"foo\""},
    {"x + foo == 2", "column 5: no parameter is called \"foo\""},
    {"foo", "column 1: no parameter is called \"foo\""},
    {"`a  b` == 2 + 1 and `nope` > 1", "column 21: no parameter is called \"nope\""},
    {"act < 3", "column 1: a text cannot be computed with"},
    {"x + \"3\" == 6", "column 5: a text cannot be computed with"},
    {"not act", "column 5: a text cannot be computed with"},
    {"x and \"a\"", "column 7: a text cannot be computed with"},
    {"-act == 3", "column 2: a text cannot be computed with"},
    {"act", "column 1: a text is neither true nor false"},
    {"\"a\"", "column 1: a text is neither true nor false"},
    {"sin(x) > 2", "column 1: no such function; known are log, exp"},
    {"log(x, 2) > 2", "column 6: a ) is missing"},
    {"min(x) > 2", "column 6: min and max take two values"},
    {"min(x, ) > 2", "column 8: a value is missing"},
    {"log() > 2", "column 5: a value is missing"},
    {"a\tb\x01", "column 3: an operator is missing before this"},
};

TEST(wrong_expressions_are_refused_with_their_column)
{
    drmad_ctx *ctx = test_ctx();
    expr *e = NULL;

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(ctx, expr_parse(ctx, bad[i].text, known, NULL, &e), DRMAD_E_CONFIG, bad[i].why);
        CHECK(e == NULL);
    }
}

TEST(names_are_listed_and_a_mixed_choice_is_seen_when_computed_with)
{
    drmad_ctx *ctx = test_ctx();
    expr *e = NULL;

    CHECK_OK(ctx, expr_parse(ctx, "x > 1 and (act == tanh or `a b` < y)", known, NULL, &e));
    CHECK_STR(expr_name(e, 0), "x");
    CHECK_STR(expr_name(e, 1), "act");
    CHECK_STR(expr_name(e, 2), "a b");
    CHECK_STR(expr_name(e, 3), "y");
    CHECK(expr_name(e, 4) == NULL);
    expr_free(ctx, e);
}

static enum expr_type all_numbers(void *user, const char *name)
{
    (void)user, (void)name;
    return EXPR_NUMBER;
}

TEST(a_text_among_numbers_is_an_error_of_the_point)
{
    drmad_ctx *ctx = test_ctx();
    expr_truth truth;
    expr *e = NULL;

    CHECK_OK(ctx, expr_parse(ctx, "act > 1", all_numbers, NULL, &e));
    CHECK_FAILS(ctx, expr_eval(ctx, e, value, NULL, &truth), DRMAD_E_CONFIG,
                "\"act > 1\": column 7: a text cannot be computed with");
    expr_free(ctx, e);
    CHECK_OK(ctx, expr_parse(ctx, "act", all_numbers, NULL, &e));
    CHECK_FAILS(ctx, expr_eval(ctx, e, value, NULL, &truth), DRMAD_E_CONFIG, "neither true nor");
    expr_free(ctx, e);
}

/* `head` n times, `middle`, `tail` n times. */
static char *repeated(const char *head, const char *middle, const char *tail, size_t n)
{
    char *s = calloc(1, n * (strlen(head) + strlen(tail)) + strlen(middle) + 1), *p = s;

    for (size_t i = 0; i < n; i++) p = stpcpy(p, head);
    p = stpcpy(p, middle);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, tail);
    return s;
}

TEST(deep_and_long_expressions_end_in_a_message)
{
    static const struct {
        const char *head, *middle, *tail;
        size_t n;
        const char *why; /* NULL: fine */
    } hostile[] = {
        {"(", "x", ")", 20, NULL},
        {"x + ", "x", "", 250, NULL},
        {"(", "x", ")", 2000, "nested too deeply"},
        {"(", "", "", 4000, "nested too deeply"},
        {"-", "x", "", 4000, "nested too deeply"},
        {"not ", "x", "", 1000, "nested too deeply"},
        {"abs(", "x", ")", 500, "nested too deeply"},
        {"2 ** ", "x", "", 500, "nested too deeply"},
        {"x + ", "x", "", 1000, "the expression is too long"},
        {"x <", "x", "", 1000, "the expression is too long"},
        {"x or ", "x", "", 800, "the expression is too long"},
        {" ", "x", " ", 5000, "the expression is too long"},
        {"x", "", "", 4096, "no parameter is called \"xxx"},
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(hostile); i++) {
        char *text = repeated(hostile[i].head, hostile[i].middle, hostile[i].tail, hostile[i].n);
        expr *e = NULL;

        if (hostile[i].why)
            CHECK_FAILS(ctx, expr_parse(ctx, text, known, NULL, &e), DRMAD_E_CONFIG,
                        hostile[i].why);
        else CHECK_OK(ctx, expr_parse(ctx, text, known, NULL, &e));
        CHECK(strlen(drmad_errmsg(ctx)) < 300);
        expr_free(ctx, e);
        free(text);
    }
}

static drmad_status torture(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    expr_truth truth;
    expr *e = NULL;

    TRY(expr_parse(ctx, arg, known, NULL, &e));
    TRY(expr_eval(ctx, e, value, NULL, &truth));
    CHECK_INT(truth, EXPR_TRUE);
done:
    expr_free(ctx, e);
    return st;
}

TEST(expressions_survive_failing_allocations)
{
    char *text = repeated("x + ", "x > 0 and act == relu", "", 60);

    test_oom(torture, text);
    free(text);
}
