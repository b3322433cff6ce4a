/* The runner behind test.h: one process a binary, tests in order of registration; an argument runs
 * only the tests whose name contains it. DRMAD_TIMES=1 shows what each takes of a core. */
#include "test.h"
#include <locale.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TESTS_MAX = 1024, FAILURES_SHOWN = 10 };

static struct {
    const char *name;
    test_fn *fn;
} tests[TESTS_MAX];
static int test_total, failures;
static const char *skipped;
static drmad_ctx *current;
static char scratch[256];

void test_register(const char *name, test_fn *fn)
{
    if (test_total == TESTS_MAX) abort();
    tests[test_total].name = name;
    tests[test_total++].fn = fn;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    if (++failures > FAILURES_SHOWN) return;
    printf("  %s:%d: ", file, line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void test_skip(const char *reason)
{
    skipped = reason;
}

const char *test_data(const char *name)
{
    static char path[512];
    const char *root = getenv("DRMAD_DATA");

    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared/data", name);
    if (access(path, R_OK) != 0)
        test_fail(__FILE__, __LINE__, "%s: no such data; set DRMAD_DATA", path);
    return path;
}

const char *test_scratch(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(scratch, sizeof scratch, "%s/drmad-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) test_fail(__FILE__, __LINE__, "%s: cannot make it", scratch);
    return scratch;
}

int test_count(int reduced, int full)
{
    const char *s = getenv("DRMAD_LONG");

    return s && s[0] == '1' ? full : reduced;
}

bool test_sanitized(void)
{
#if defined __has_feature
#if __has_feature(address_sanitizer)
    return true;
#endif
#endif
    return false;
}

static void log_line(void *user, int level, const char *line)
{
    (void)user;
    if (level <= LOG_WARN) fprintf(stderr, "  log: %s\n", line);
}

drmad_ctx *test_ctx(void)
{
    if (!current) {
        current = drmad_ctx_new(NULL, NULL);
        if (!current) abort();
        drmad_ctx_set_log(current, log_line, NULL);
    }
    return current;
}

void *torture_alloc(void *user, void *ptr, size_t size)
{
    torture *t = user;

    if (size == 0) {
        if (ptr) t->live--;
        free(ptr);
        return NULL;
    }
    if (t->countdown-- == 0) return NULL;
    t->live++;
    return malloc(size);
}

void test_oom(drmad_status (*body)(drmad_ctx *ctx, void *arg), void *arg)
{
    for (long n = 1;; n++) { /* allocation 0 is the context itself */
        torture t = {.countdown = n};
        drmad_ctx *ctx = drmad_ctx_new(torture_alloc, &t);
        drmad_status st = body(ctx, arg);

        if (st != DRMAD_OK && st != DRMAD_E_NOMEM)
            test_fail(__FILE__, __LINE__, "allocation %ld failing gave status %d: %s", n, (int)st,
                      drmad_errmsg(ctx));
        drmad_ctx_free(ctx);
        if (t.live != 0)
            test_fail(__FILE__, __LINE__, "allocation %ld failing left %ld blocks", n, t.live);
        if (t.countdown >= 0) {
            if (st != DRMAD_OK)
                test_fail(__FILE__, __LINE__, "no allocation failed, yet status %d", (int)st);
            return;
        }
        if (failures > FAILURES_SHOWN) return;
    }
}

/* In the test's folder where it has one: asking for a folder again would make that one another. */
bool test_comma_locale(void)
{
    const char *dir = scratch[0] ? scratch : test_scratch();
    char path[300], command[700];

    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8")) return true;
    snprintf(path, sizeof path, "%s/comma", dir);
    FILE *f = fopen(path, "w");

    if (!f) return false;
    fprintf(f,
            "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\nEND LC_NUMERIC\n");
    fclose(f);
    snprintf(command, sizeof command, "localedef -c -i %s %s/xx_XX >/dev/null 2>&1", path, dir);
    if (system(command) < 0) return false;
    setenv("LOCPATH", dir, 1);
    return setlocale(LC_NUMERIC, "xx_XX") != NULL;
}

static void run(int i)
{
    const clock_t begun = clock();
    char cmd[512];

    failures = 0, skipped = NULL, scratch[0] = '\0';
    tests[i].fn();
    if (getenv("DRMAD_TIMES"))
        printf("  %.2f s\n", (double)(clock() - begun) / (double)CLOCKS_PER_SEC);
    drmad_ctx_free(current);
    current = NULL;
    if (scratch[0]) {
        snprintf(cmd, sizeof cmd, "rm -rf '%s'", scratch);
        if (system(cmd) != 0) printf("  %s: left behind\n", scratch);
    }
    if (failures) printf("FAIL %s (%d)\n", tests[i].name, failures);
    else if (skipped) printf("SKIP %s: %s\n", tests[i].name, skipped);
    else printf("PASS %s\n", tests[i].name);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 0; i < test_total; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1])) continue;
        run(i);
        failed |= failures != 0;
    }
    return failed;
}
