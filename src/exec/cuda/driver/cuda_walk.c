/* Blocks that wait for one another must all be there: the driver promises that of a cooperative
 * launch and of a cluster, or refuses the launch. */
#include "exec/cuda/driver/cuda_walk.h"
#include "exec/cuda/kernel/kernels.h"

static cudaError_t set(enum cudaFuncAttribute what, int value)
{
    return cudaFuncSetAttribute(cuda_walk_kernel(), what, value);
}

static size_t shared_of(const gpu_walk_run *r)
{
    return r->bytes + r->shared;
}

static cudaError_t load_cluster(gpu_walk_run *r)
{
    const cudaLaunchConfig_t how = {.gridDim = {GPU_CLUSTER, 1, 1},
                                    .blockDim = {GPU_THREADS, 1, 1},
                                    .dynamicSmemBytes = shared_of(r)};
    int most = 0;
    cudaError_t e = set(cudaFuncAttributeNonPortableClusterSizeAllowed, 1);

    if (e == cudaSuccess) e = cudaOccupancyMaxPotentialClusterSize(&most, cuda_walk_kernel(), &how);
    r->blocks = GPU_CLUSTER;
    while (r->blocks > most || (r->blocks > 1 && r->blocks / 2 >= r->widest)) r->blocks /= 2;
    return e;
}

static cudaError_t load_grid(const cuda_walk *w, gpu_walk_run *r)
{
    int each = 0;
    const cudaError_t e = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, cuda_walk_kernel(),
                                                                        GPU_THREADS, shared_of(r));
    const int32_t most = each * w->most.blocks;

    r->blocks = most < r->widest ? most : r->widest;
    return e;
}

cudaError_t cuda_walk_load(const cuda_walk *w, gpu_walk_run *r)
{
    struct cudaFuncAttributes a;
    cudaError_t e = cudaFuncGetAttributes(&a, cuda_walk_kernel());

    if (e == cudaSuccess) e = set(cudaFuncAttributeMaxDynamicSharedMemorySize, (int)w->most.shared);
    if (e == cudaSuccess) e = w->how == GPU_WALK_CLUSTER ? load_cluster(r) : load_grid(w, r);
    return e;
}

cudaError_t cuda_walk_launch(const cuda_walk *w, const gpu_walk_run *r, const void *text,
                             cudaStream_t stream)
{
    const bool cluster = w->how == GPU_WALK_CLUSTER;
    cuda_walk_args a = {(const char *)text + r->at, (int32_t)r->bytes, cluster};
    cudaLaunchAttribute together = {.id = cudaLaunchAttributeCooperative, .val.cooperative = 1};
    void *args[] = {&a};

    if (cluster)
        together = (cudaLaunchAttribute){.id = cudaLaunchAttributeClusterDimension,
                                         .val.clusterDim = {(unsigned)r->blocks, 1, 1}};
    const cudaLaunchConfig_t how = {.gridDim = {(unsigned)r->blocks, 1, 1},
                                    .blockDim = {GPU_THREADS, 1, 1},
                                    .dynamicSmemBytes = shared_of(r),
                                    .stream = stream,
                                    .attrs = &together,
                                    .numAttrs = 1};
    return cudaLaunchKernelExC(&how, cuda_walk_kernel(), args);
}
