/* What kernels.cu and walk.cu, the only CUDA C++, give to the driver. */
#ifndef KERNELS_H
#define KERNELS_H
#include "exec/cuda/kernel/kernel_args.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What cudaLaunchKernel takes for kernel number `kernel` of kernels.def, its one argument being
 * the kernel's struct of kernel_args.h; or, where `many`, what follows. */
const void *cuda_kernel(int kernel, int f64, int many);

/* Of several calls at once: theirs begin at these blocks, the end behind them; then GPU_MANY such
 * structs. */
typedef struct cuda_many {
    int32_t calls, first[GPU_MANY + 1];
} cuda_many;

/* The kernel that goes through a list of body_walk.h, in memory of the device, with GPU_THREADS
 * threads a block. Its blocks must all be there at once: one cluster, or else a cooperative launch.
 * A block's shared memory: `bytes`, then what the calls need. */
typedef struct cuda_walk_args {
    const void *list;
    int32_t bytes; /* of the list */
    int32_t cluster;
} cuda_walk_args;

const void *cuda_walk_kernel(void);

#ifdef __cplusplus
}
#endif
#endif
