/* Commands cut into words, and what is filled into them. */
#include "worker/template.h"
#include "test.h"

static const char *value_of(void *user, const char *name)
{
    (void)user;
    if (strcmp(name, "lr") == 0) return "0.001";
    if (strcmp(name, "act") == 0) return "a b; rm -rf \"$HOME\" {lr}";
    return NULL;
}

/* The words with | between them. */
static void check_words(const char *text, const char *want)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;
    char **argv = NULL, got[512] = "";

    CHECK_OK(ctx, template_new(ctx, text, &t));
    if (!t) return;
    CHECK_OK(ctx, template_fill(t, value_of, NULL, &argv));
    for (int i = 0; argv[i]; i++) {
        strcat(got, i ? "|" : "");
        strcat(got, argv[i]);
    }
    CHECK_STR(got, want);
    mem_free(ctx, argv);
    template_free(t);
}

TEST(template_cuts_words_as_a_shell_does)
{
    check_words("python train.py", "python|train.py");
    check_words("  a\tb\nc  ", "a|b|c");
    check_words("a 'b  c' \"d  e\"", "a|b  c|d  e");
    check_words("a'b'\"c\"d", "abcd");
    check_words("a '' \"\" b", "a|||b");
    check_words("a\\ b \\' \\\\", "a b|'|\\");
    check_words("\"a\\\"b\\\\c\\n\" 'a\\b'", "a\"b\\c\\n|a\\b");
    check_words("'\"' \"'\"", "\"|'");
}

TEST(template_fills_within_words)
{
    check_words("t {lr}", "t|0.001");
    check_words("t --lr={lr}, '{lr}' \"{lr}\"", "t|--lr=0.001,|0.001|0.001");
    check_words("t {act} x", "t|a b; rm -rf \"$HOME\" {lr}|x");
    check_words("t {gone} x{gone}y", "t||xy");
    check_words("t {{lr}} '{{' }}", "t|{lr}|{|}");
    check_words("t {lr}{lr}", "t|0.0010.001");
}

TEST(template_names_what_it_uses)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;

    CHECK_OK(ctx, template_new(ctx, "t {lr} {{no}} -x{optimizer.wd}", &t));
    CHECK_INT(template_words(t), 4);
    CHECK_STR(template_name(t, 0), "lr");
    CHECK_STR(template_name(t, 1), "optimizer.wd");
    CHECK(template_name(t, 2) == NULL);
    template_free(t);
}

TEST(template_refuses_by_column)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"", "no command"},
        {"  ", "no command"},
        {"a 'b", "column 5: a quote"},
        {"a \"b\\", "column 5: nothing behind"},
        {"a {lr", "column 3: {"},
        {"a {l{r}", "column 3: {"},
        {"a {}", "column 3: {}"},
        {"a } b", "column 3: }"},
        {"a\\", "column 2: nothing"},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(ctx, template_new(ctx, bad[i].text, &t), DRMAD_E_CONFIG, bad[i].what);
        CHECK(t == NULL);
    }
}

static drmad_status whole(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    template *t = NULL;
    char **argv = NULL;

    (void)arg;
    TRY(template_new(ctx, "a {lr} 'b c'", &t));
    TRY(template_fill(t, value_of, NULL, &argv));
done:
    mem_free(ctx, argv);
    template_free(t);
    return st;
}

TEST(template_survives_every_failed_allocation)
{
    test_oom(whole, NULL);
}
