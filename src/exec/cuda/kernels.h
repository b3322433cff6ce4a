/* What kernels.cu, the only CUDA C++, gives to the driver. */
#ifndef KERNELS_H
#define KERNELS_H
#include "exec/cuda/kernel_args.h"

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

#ifdef __cplusplus
}
#endif
#endif
