/* What kernels.cu, the only CUDA C++, gives to the driver. */
#ifndef KERNELS_H
#define KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What cudaLaunchKernel takes for kernel number `kernel` of kernels.def, its one argument being
 * the kernel's struct of kernel_args.h. */
const void *cuda_kernel(int kernel, int f64);

#ifdef __cplusplus
}
#endif
#endif
