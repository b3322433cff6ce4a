/* libdrmad_cuda.so, found when a study first asks for a GPU, so that one drmad serves machines with
 * and without one. */
#include "exec/cuda/cuda.h"
#include "base/shared_library.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct library_table {
    drmad_cuda_driver_fn *drmad_cuda_driver;
} library_table;

static const library_symbol symbols[] = {LIBRARY_SYMBOL(drmad_cuda_driver)};

static const char *named(void)
{
    const char *file = secure_getenv("DRMAD_CUDA_LIBRARY");

    return file && file[0] ? file : NULL;
}

static drmad_status open_library(drmad_ctx *ctx, library_table *table)
{
    static const library_file usual[] = {{"libdrmad_cuda.so", NULL, true},
                                         {"libdrmad_cuda.so", NULL, false}};
    const library_file own = {named(), NULL, false};
    const library_source source = {.what = "the CUDA backend",
                                   .oldest = "a CUDA backend of drmad",
                                   .symbols = symbols,
                                   .n = COUNT(symbols)};
    char why[sizeof ctx->errmsg];

    if (library_open_any(ctx, source, own.name ? &own : usual, own.name ? 1 : COUNT(usual),
                         table) == DRMAD_OK)
        return DRMAD_OK;
    snprintf(why, sizeof why, "%s", ctx->errmsg);
    return FAIL(ctx, DRMAD_E_MISSING,
                "device: cuda: %s; build drmad where nvcc is and put libdrmad_cuda.so beside "
                "libdrmad.so, or name the file in DRMAD_CUDA_LIBRARY, or take device: cpu",
                why);
}

drmad_status cuda_driver_find(drmad_ctx *ctx, const gpu_driver **out)
{
    drmad_status st = DRMAD_OK;
    library_table table;

    *out = NULL;
    TRY(open_library(ctx, &table));
    const gpu_driver *d = table.drmad_cuda_driver();
    if (d->version != GPU_DRIVER_VERSION)
        TRY(FAIL(ctx, DRMAD_E_MISSING,
                 "device: cuda: %s is of another build than this drmad (interface %d.%d, expected "
                 "%d.%d): install both from one build, or take device: cpu",
                 named() ? named() : "libdrmad_cuda.so", d->version >> 16, d->version & 0xffff,
                 GPU_DRIVER_VERSION >> 16, GPU_DRIVER_VERSION & 0xffff));
    *out = d;
done:
    return st;
}

drmad_status cuda_describe(drmad_ctx *ctx, int32_t device, char *buf, size_t size)
{
    const gpu_driver *d;
    drmad_status st = DRMAD_OK;
    gpu *g = NULL;
    gpu_info i;

    if (size) buf[0] = '\0';
    TRY(cuda_driver_find(ctx, &d));
    TRY(d->open(ctx, device, &g));
    TRY(d->info(g, &i));
    snprintf(
        buf, size,
        "%s (sm_%d%d, %d multiprocessors, %zu MiB, driver %d.%d, runtime %d.%d, libraries: %s)",
        i.name, i.major, i.minor, i.processors, i.memory >> 20, i.driver / 1000,
        i.driver % 1000 / 10, i.runtime / 1000, i.runtime % 1000 / 10, i.libraries);
done:
    if (g) d->close(g);
    return st;
}
