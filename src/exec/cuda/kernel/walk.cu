/* The kernel `walk`: body_walk.h. A body is a function of its own here, so that none takes
 * registers from another.
 *
 * What a wave writes, other multiprocessors read in the next. Both barriers release what all
 * threads of a block have written and acquire for what all of them read behind it, at the scope of
 * the GPU or of the cluster; compiled, they make first-level caches forget (CCTL.IVALL). Loads that
 * would not care (ld.global.nc) there are none of on data, because nothing says to the compiler
 * that what a body reads is constant while the kernel runs; so let no operand become
 * const __restrict__. */
#include "exec/cuda/kernel/body_all.h"
#include "exec/cuda/kernel/body_walk.h"
#include "exec/cuda/kernel/kernels.h"
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

#define ALONE(name, T)                                                                             \
    static __device__ __noinline__ void walk_##name##_##T(const void *args, gpu_thread t,          \
                                                          void *shared)                            \
    {                                                                                              \
        const name##_args *a = (const name##_args *)args;                                          \
        BODY_STATE(name##_##T) s = {};                                                             \
        for (int phase = 0; name##_##T(a, t, &s, shared, phase); phase++) __syncthreads();         \
    }
#define KERNEL(name) ALONE(name, f32)
#define KERNEL_BOTH(name) ALONE(name, f32) ALONE(name, f64)
#define KERNEL_F32(name)
#define KERNEL_ALONE(name)
#define KERNEL_APART(name)
#define KERNEL_ANY(name) ALONE(name, any)
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL

static __device__ void run(int32_t body, const void *args, gpu_thread t, void *shared)
{
    switch (body) {
#define ONE(name, T)                                                                               \
    case WALK_##name##_##T: walk_##name##_##T(args, t, shared); break;
#define KERNEL(name) ONE(name, f32)
#define KERNEL_BOTH(name) ONE(name, f32) ONE(name, f64)
#define KERNEL_F32(name)
#define KERNEL_ALONE(name)
#define KERNEL_APART(name)
#define KERNEL_ANY(name) ONE(name, any)
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    }
}

static __device__ void wait_for_all(bool cluster)
{
#if __CUDA_ARCH__ >= 900
    if (cluster) {
        cg::this_cluster().sync();
        return;
    }
#endif
    (void)cluster; /* before 9.0 there are none */
    cg::this_grid().sync();
}

static __global__ void __launch_bounds__(GPU_THREADS, GPU_BLOCKS)
    walk_kernel(const __grid_constant__ cuda_walk_args a)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const walk_list *list = (const walk_list *)(const void *)shared;
    walk_place p = {(int32_t)blockIdx.x, (int32_t)gridDim.x, 0, (int32_t)blockIdx.x};
    gpu_thread t = {0, 0, (int32_t)threadIdx.x, (int32_t)blockDim.x};
    const walk_call *c;
    walk_do next;

    for (int32_t i = t.thread; i < a.bytes / WALK_ALIGN; i += t.threads)
        ((uint4 *)(void *)shared)[i] = ((const uint4 *)a.list)[i];
    __syncthreads();
    while ((next = walk_next(list, &p, &c, &t)) != WALK_END) {
        if (next == WALK_WAIT) {
            wait_for_all(a.cluster);
            continue;
        }
        run(c->body, shared + c->args, t, shared + a.bytes);
        __syncthreads(); /* before its shared memory is another's */
    }
}

const void *cuda_walk_kernel(void)
{
    return (const void *)walk_kernel;
}
