/* The kernel `walk` over the CUDA runtime: how many blocks there may be, and the launch. */
#ifndef CUDA_WALK_H
#define CUDA_WALK_H
#include "exec/cuda/driver/gpu_walk.h"
#include <cuda_runtime_api.h>

/* Of a GPU. */
typedef struct cuda_walk {
    gpu_walk_how how;
    gpu_walk_limits most; /* blocks: its multiprocessors, or those of a cluster */
} cuda_walk;

/* Before anything is recorded: loads the kernel, and decides r->blocks, which must all be there at
 * once. */
cudaError_t cuda_walk_load(const cuda_walk *w, gpu_walk_run *r);

/* `text`: the lists, on the device. */
cudaError_t cuda_walk_launch(const cuda_walk *w, const gpu_walk_run *r, const void *text,
                             cudaStream_t stream);
#endif
