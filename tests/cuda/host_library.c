/* libdrmad_cuda_host.so: the host driver behind the door of libdrmad_cuda.so, for whole studies
 * with `device: cuda` on machines without a GPU: DRMAD_CUDA_LIBRARY=.../libdrmad_cuda_host.so. */
#include "exec/cuda/gpu.h"

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

const gpu_driver *drmad_cuda_driver(void)
{
    return &gpu_host_driver;
}
