/* libdrmad_cuda_host.so: the host driver behind the door of libdrmad_cuda.so, for whole studies
 * with `device: cuda` on machines without a GPU: DRMAD_CUDA_LIBRARY=.../libdrmad_cuda_host.so. */
#include "exec/cuda/gpu.h"

/* libdrmad_cuda_other.so: as of another build. */
#ifdef OTHER_BUILD
static const gpu_driver driver = {.version = GPU_DRIVER_VERSION + 1};
#else
#define driver gpu_host_driver
#endif

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

const gpu_driver *drmad_cuda_driver(void)
{
    return &driver;
}
