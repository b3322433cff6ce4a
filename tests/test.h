/* The smallest test runner that says what went wrong: TEST bodies register themselves, CHECK goes
 * on after a failure,
 * and every binary prints one line a test: "PASS name", "FAIL name", "SKIP name: reason".
 * tools/run-tests adds them up. */
#ifndef TEST_H
#define TEST_H
#include "base/base.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void test_fn(void);
void test_register(const char *name, test_fn *fn);
void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void test_skip(const char *reason); /* the reason must stand in tests/allowed-skips */
const char *test_data(
    const char
        *name); /* a path under DRMAD_DATA or ../shared/data; the test fails when it is absent */
const char *test_scratch(void); /* an empty folder of this test's own, removed afterwards */
/* A locale with a decimal comma: one of the system's, else one made on the spot. Afterwards:
 * setlocale(LC_NUMERIC, "C"). */
bool test_comma_locale(void);
int test_count(int reduced, int full); /* full when DRMAD_LONG=1 */
/* Built with clang's AddressSanitizer: all takes ten times as long, and a fault that it finds it
 * finds in some of many cases that are alike. */
bool test_sanitized(void);
drmad_ctx *test_ctx(
    void); /* a context that reports its log lines on stderr; freed after the test */

#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(#name, name);                                                                \
    }                                                                                              \
    static void name(void)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) test_fail(__FILE__, __LINE__, "%s", #cond);                                   \
    } while (0)
#define CHECK_OK(ctx, call)                                                                        \
    do {                                                                                           \
        drmad_status check_st = (call);                                                            \
        if (check_st != DRMAD_OK)                                                                  \
            test_fail(__FILE__, __LINE__, "%s: %s", #call, drmad_errmsg(ctx));                     \
    } while (0)
/* Fails unless the call gives `want` and the message contains `text`. */
#define CHECK_FAILS(ctx, call, want, text)                                                         \
    do {                                                                                           \
        drmad_status check_st = (call);                                                            \
        if (check_st != (want) || !strstr(drmad_errmsg(ctx), (text)))                              \
            test_fail(__FILE__, __LINE__, "%s: status %d, message \"%s\"", #call, (int)check_st,   \
                      drmad_errmsg(ctx));                                                          \
    } while (0)
#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long check_g = (long long)(got), check_w = (long long)(want);                         \
        if (check_g != check_w)                                                                    \
            test_fail(__FILE__, __LINE__, "%s = %lld, expected %lld", #got, check_g, check_w);     \
    } while (0)
#define CHECK_NEAR(got, want, tol)                                                                 \
    do {                                                                                           \
        double check_g = (got), check_w = (want);                                                  \
        if (!(fabs(check_g - check_w) <= (tol)))                                                   \
            test_fail(__FILE__, __LINE__, "%s = %.17g, expected %.17g +- %g", #got, check_g,       \
                      check_w, (double)(tol));                                                     \
    } while (0)
#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *check_g = (got), *check_w = (want);                                            \
        if (strcmp(check_g, check_w) != 0)                                                         \
            test_fail(__FILE__, __LINE__, "%s = \"%s\", expected \"%s\"", #got, check_g, check_w); \
    } while (0)

/* A context's allocator over malloc, whose allocation number `countdown` from now on fails, counted
 * from 0; `live` blocks are not yet freed. */
typedef struct torture {
    long countdown, live;
} torture;

void *torture_alloc(void *user, void *ptr, size_t size);

/* Runs `body(ctx, arg)` with allocation 1, 2, ... failing, until a run succeeds. Every failing run
 * must give DRMAD_E_NOMEM and leave nothing allocated. */
void test_oom(drmad_status (*body)(drmad_ctx *ctx, void *arg), void *arg);
#endif
