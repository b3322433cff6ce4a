/* A GPU of the driver over the CUDA runtime, and what the driver's files share.
 *
 *   cuda_driver.c    errors, opening, memory
 *   cuda_record.c    programs
 *   cuda_walk.h      the kernel `walk` in place of launches
 *   cuda_library.h   cuBLASLt and cuDNN in place of our kernels */
#ifndef CUDA_GPU_H
#define CUDA_GPU_H
#include "exec/cuda/driver/cuda_library.h"
#include "exec/cuda/driver/cuda_walk.h"

struct gpu {
    drmad_ctx *ctx;
    int device, shared_most;
    bool early; /* kernels may start before their turn */
    cuda_walk walk;
    cudaStream_t stream, up, down; /* up, down: what travels beside the stream's work */
    cudaEvent_t turn;          /* where in the stream such a copy may begin */
    cuda_library library;
    size_t held; /* bytes, by programs */
    char name[64];
    drmad_status lost;
    char why[384]; /* it is lost */
};

drmad_status cuda_enter(gpu *g, drmad_ctx *ctx); /* what every call begins with */
/* Of gpu.h's table. */
drmad_status cuda_alloc(gpu *g, drmad_ctx *ctx, size_t bytes, void **out);
void cuda_free(gpu *g, void *ptr);
drmad_status cuda_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                       size_t bytes);
drmad_status cuda_record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                         const gpu_transfer *up, const gpu_transfer *down, gpu_program **out);
drmad_status cuda_run(gpu *g, drmad_ctx *ctx, gpu_program *p);
drmad_status cuda_reach(gpu *g, drmad_ctx *ctx, gpu_program *p);
void cuda_forget(gpu *g, gpu_program *p);
#endif
