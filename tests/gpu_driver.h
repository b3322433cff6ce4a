/* The driver that tests of the CUDA backend take: the host's or, where DRMAD_CUDA_LIBRARY names a
 * library (tools/gpu-check does, on a GPU), that one's. */
#ifndef GPU_DRIVER_H
#define GPU_DRIVER_H
#include "exec/cuda/cuda.h"
#include "test.h"

static inline const gpu_driver *gpu_test_driver(void)
{
    const gpu_driver *d = &gpu_host_driver;
    drmad_ctx *ctx = test_ctx();

    if (getenv("DRMAD_CUDA_LIBRARY") && cuda_driver_find(ctx, &d) != DRMAD_OK) {
        fprintf(stderr, "%s\n", drmad_errmsg(ctx));
        exit(drmad_status_exit(DRMAD_E_MISSING));
    }
    return d;
}
#endif
