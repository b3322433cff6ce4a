#include "base/text.h"
#include "test.h"

TEST(text_grows_and_is_given)
{
    text_out t = {.ctx = test_ctx()};
    char *out;

    for (int i = 0; i < 1000; i++) text_say(&t, "%d,", i % 10);
    text_put_bytes(&t, "ab\0cd", 5);
    CHECK_INT(t.used, 2005);
    CHECK_OK(t.ctx, text_give(&t, &out));
    CHECK(memcmp(out + 1998, "9,ab\0cd", 8) == 0);
    CHECK(t.text == NULL && t.used == 0);
    mem_free(t.ctx, out);
}

static drmad_status write_long(drmad_ctx *ctx, void *arg)
{
    text_out t = {.ctx = ctx};
    char *out;

    (void)arg;
    for (int i = 0; i < 100; i++) text_put(&t, "0123456789");
    const drmad_status st = text_give(&t, &out);
    CHECK((st == DRMAD_OK) == (out != NULL));
    mem_free(ctx, out);
    return st;
}

TEST(text_failure_sticks)
{
    test_oom(write_long, NULL);
}

TEST(text_is_shown_short_and_plain)
{
    char buf[12];

    CHECK_STR(text_shown("plain", 8, buf), "plain");
    CHECK_STR(text_shown("a\x1b[2J\x7f", 8, buf), "a?[2J?");
    CHECK_STR(text_shown("123456789", 8, buf), "12345678...");
    CHECK_STR(text_shown("1234567\xc3\xa9", 8, buf), "1234567...");
}
