#include "base/number.h"
#include "base/rng.h"
#include "test.h"
#include <float.h>

/* What Python's repr prints. */
TEST(numbers_are_written_as_python_does)
{
    static const struct {
        double x;
        const char *text;
    } rows[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {1.5e-7, "1.5e-07"},
        {123456789.125, "123456789.125"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {9007199254740993.0, "9007199254740992.0"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
    };
    char buf[NUMBER_SIZE];

    for (size_t i = 0; i < COUNT(rows); i++) CHECK_STR(number_print(rows[i].x, buf), rows[i].text);
    CHECK_STR(number_print((double)NAN, buf), "nan");
}

TEST(numbers_read_back_exactly)
{
    const rng_key key = {11, 0, 1};
    char buf[NUMBER_SIZE];
    double back;

    for (int i = 0; i < test_count(20000, 1000000); i++) {
        const uint64_t bits = rng_u64(key, (uint64_t)i);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        if (!number_read(number_print(x, buf), &back) || back != x)
            test_fail(__FILE__, __LINE__, "%a printed as %s", x, buf);
    }
}

TEST(what_is_no_number_is_refused)
{
    double x;

    static const char *const bad[] = {"", " 1", "1 ", "1x", "0x10", "1e", "--1", "one"};
    for (size_t i = 0; i < COUNT(bad); i++)
        if (number_read(bad[i], &x)) test_fail(__FILE__, __LINE__, "\"%s\" was read", bad[i]);
    CHECK(number_read("-inf", &x) && isinf(x));
    CHECK(number_read("1e-5", &x) && x == 1e-5);
}
