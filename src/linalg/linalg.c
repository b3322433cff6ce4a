/* Where LAPACK and NLopt are found.
 *
 * OpenBLAS is asked for one thread, so that bits do not depend on the machine's cores, and for its
 * AVX2 kernels on every processor that has AVX2 and FMA. There are three reasons for the latter:
 * Debian's 0.3.21 takes Xeons that it does not know for a core of 2004 (OpenBLAS issue 4267); on a
 * Zen 4 the AVX-512 kernels are slower at our sizes (docs/DEPENDENCIES.md); and a study whose
 * workers run on different processors gets the same bits from them. OPENBLAS_CORETYPE, where the
 * user has set it, is heeded. */
#include "linalg/linalg_inside.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static drmad_status load_lapack(drmad_ctx *ctx, lapack *out)
{
    static const library_symbol symbols[] = {
#define SYMBOL(f) {#f, offsetof(lapack, f)}
        SYMBOL(dpotrf_), SYMBOL(dpotri_), SYMBOL(dsyevd_),
        SYMBOL(dtrsv_),  SYMBOL(dtrsm_),  SYMBOL(dgemm_),
#undef SYMBOL
    };
    static const library_source source = {.what = "LAPACK",
                                          .package = "libopenblas0-serial",
                                          .oldest = "LAPACK 3",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};
    static const library_file files[] = {{"libscipy_openblas.so", "scipy_", true},
                                         {"libopenblas.so.0", NULL, false},
                                         {"liblapack.so.3", NULL, false}};

    return library_open_any(ctx, source, files, COUNT(files), out);
}

/* Sets a variable; what it was goes to *old, from the context's memory, NULL for nothing. */
static drmad_status put_env(drmad_ctx *ctx, const char *name, const char *value, char **old)
{
    const char *was = getenv(name);

    *old = NULL;
    const drmad_status st = was ? mem_strdup(ctx, was, old) : DRMAD_OK;
    if (st == DRMAD_OK && value) setenv(name, value, 1);
    return st;
}

static void restore_env(drmad_ctx *ctx, const char *name, char *old)
{
    old ? setenv(name, old, 1) : unsetenv(name);
    mem_free(ctx, old);
}

/* OpenBLAS reads both variables while it is loaded. */
static drmad_status load_lapack_first(drmad_ctx *ctx, lapack *out)
{
    static const char threads[] = "OPENBLAS_NUM_THREADS", core[] = "OPENBLAS_CORETYPE";
    const bool choose =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !getenv(core);
    char *was;
    const drmad_status st = put_env(ctx, threads, "1", &was);

    if (st != DRMAD_OK) return st;
    if (choose) setenv(core, "Haswell", 1);
    const drmad_status loaded = load_lapack(ctx, out);
    if (choose) unsetenv(core);
    restore_env(ctx, threads, was);
    return loaded;
}

/* The environment is the process's, and so are these two: without them contexts on two threads
 * would put back what the other had set, and what is set moves under a getenv elsewhere. A library
 * once loaded stays (RTLD_NODELETE) and reads no more variables: they are set once. */
static drmad_status load_lapack_for_one_thread(drmad_ctx *ctx, lapack *out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;

    pthread_mutex_lock(&lock);
    const drmad_status st = loaded ? load_lapack(ctx, out) : load_lapack_first(ctx, out);
    loaded |= st == DRMAD_OK;
    pthread_mutex_unlock(&lock);
    return st;
}

static drmad_status load_nlopt(drmad_ctx *ctx, nlopt *out)
{
    static const library_symbol symbols[] = {
#define SYMBOL(f) {#f, offsetof(nlopt, f)}
        SYMBOL(nlopt_algorithm_from_string),
        SYMBOL(nlopt_create),
        SYMBOL(nlopt_destroy),
        SYMBOL(nlopt_set_min_objective),
        SYMBOL(nlopt_set_lower_bounds),
        SYMBOL(nlopt_set_upper_bounds),
        SYMBOL(nlopt_set_maxeval),
        SYMBOL(nlopt_set_ftol_rel),
        SYMBOL(nlopt_optimize),
#undef SYMBOL
    };
    static const library_source source = {.what = "NLopt",
                                          .package = "libnlopt0",
                                          .oldest = "NLopt 2.6.2",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};
    static const library_file files[] = {{"libdrmad_nlopt.so", NULL, true},
                                         {"libnlopt.so.1", NULL, false},
                                         {"libnlopt.so.0", NULL, false}};

    return library_open_any(ctx, source, files, COUNT(files), out);
}

drmad_status linalg_open(drmad_ctx *ctx, linalg **out)
{
    drmad_status st = DRMAD_OK;
    linalg *l = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *l, &l));
    l->ctx = ctx;
    TRY(load_lapack_for_one_thread(ctx, &l->lapack));
    TRY(load_nlopt(ctx, &l->nlopt));
    *out = l, l = NULL;
done:
    linalg_close(l);
    return st;
}

void linalg_close(linalg *l)
{
    if (l) mem_free(l->ctx, l);
}
