/* Machines without LAPACK or NLopt; one thread; memory that runs out. */
#include "linalg/linalg_inside.h"
#include "test.h"
#include <pthread.h>

TEST(a_library_that_is_missing_is_named_with_its_package)
{
    static const library_symbol symbols[] = {{"dpotrf_", 0}, {"dpotrf_of_tomorrow_", 8}};
    static const library_file nowhere[] = {{"libnot-there.so.7", NULL, false},
                                           {"libnot-there-either.so.7", NULL, true}};
    static const library_file somewhere[] = {{"libnot-there.so.7", NULL, true},
                                             {"libopenblas.so.0", NULL, false}};
    library_source source = {
        .what = "LAPACK", .package = "libx7", .oldest = "x 7", .symbols = symbols, .n = 1};
    drmad_ctx *ctx = test_ctx();
    void *table[2] = {NULL, NULL};

    CHECK_FAILS(ctx, library_open_any(ctx, source, nowhere, 2, table), DRMAD_E_MISSING,
                "apt install libx7");
    CHECK_FAILS(ctx, library_open_any(ctx, source, nowhere, 2, table), DRMAD_E_MISSING,
                "libnot-there-either.so.7");
    CHECK_OK(ctx, library_open_any(ctx, source, somewhere, 2, table));
    CHECK(table[0]);
    source.n = 2;
    CHECK_FAILS(ctx, library_open_any(ctx, source, somewhere, 2, table), DRMAD_E_MISSING,
                "dpotrf_of_tomorrow_");
}

static int threads(void)
{
    char line[256];
    int n = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f)) sscanf(line, "Threads: %d", &n);
    if (f) fclose(f);
    return n;
}

/* Also where the user asks for more: bits must not depend on it. What they had set is there again
 * afterwards. */
TEST(loading_starts_no_threads_and_leaves_the_environment_alone)
{
    drmad_ctx *ctx = test_ctx();
    linalg *l = NULL;

    setenv("OPENBLAS_NUM_THREADS", "4", 1);
    const int before = threads();
    CHECK_OK(ctx, linalg_open(ctx, &l));
    CHECK_INT(threads(), before);
    CHECK_STR(getenv("OPENBLAS_NUM_THREADS"), "4");
    CHECK(!getenv("OPENBLAS_CORETYPE"));
    linalg_close(l);
    unsetenv("OPENBLAS_NUM_THREADS");
    CHECK_OK(ctx, linalg_open(ctx, &l));
    CHECK(!getenv("OPENBLAS_NUM_THREADS"));
    linalg_close(l);
}

static void *open_often(void *arg)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    bool *ok = arg;

    for (int i = 0; i < 100; i++) {
        linalg *l = NULL;

        *ok = linalg_open(ctx, &l) == DRMAD_OK && *ok;
        linalg_close(l);
    }
    drmad_ctx_free(ctx);
    return NULL;
}

/* One put back what another one had set, so that it stayed. */
TEST(loading_on_threads_leaves_the_environment_alone)
{
    pthread_t thread[4];
    bool ok[COUNT(thread)] = {true, true, true, true};

    for (size_t i = 0; i < COUNT(thread); i++)
        CHECK_INT(pthread_create(&thread[i], NULL, open_often, &ok[i]), 0);
    for (size_t i = 0; i < COUNT(thread); i++) {
        pthread_join(thread[i], NULL);
        CHECK(ok[i]);
    }
    CHECK(!getenv("OPENBLAS_NUM_THREADS"));
    CHECK(!getenv("OPENBLAS_CORETYPE"));
}

static double bowl(void *user, int32_t n, const double *x, double *g)
{
    double f = 0;

    (void)user;
    for (int i = 0; i < n; i++) f += x[i] * x[i], g[i] = 2 * x[i];
    return f;
}

static drmad_status everything(drmad_ctx *ctx, void *arg)
{
    double a[9] = {4, 0, 0, 1, 3, 0, 0, 1, 2}, x[3] = {1, 2, 3}, value;
    const linalg_task t = {3, NULL, NULL, 50, 1e-9, bowl, NULL};
    linalg *l = NULL;
    drmad_status st = DRMAD_OK;

    (void)arg;
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* its copy is an allocation too */
    TRY(linalg_open(ctx, &l));
    TRY(linalg_eigen(l, 3, a, 3, x));
    TRY(linalg_minimise(l, &t, x, &value));
    CHECK_NEAR(value, 0, 1e-9);
done:
    linalg_close(l);
    unsetenv("OPENBLAS_NUM_THREADS");
    return st;
}

TEST(linalg_out_of_memory)
{
    test_oom(everything, NULL);
}
