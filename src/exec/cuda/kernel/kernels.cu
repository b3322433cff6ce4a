/* The kernels: each body of body_all.h with a barrier between its phases, in both types. A thread
 * has as many registers as leave room for GPU_BLOCKS blocks. */
#include "exec/cuda/kernel/body_all.h"
#include "exec/cuda/kernel/kernels.h"

/* From compute capability 9.0 on, a kernel may be there before the one in front of it is done; it
 * touches nothing until then. Its own follower may come when all its blocks have begun. */
#if __CUDA_ARCH__ >= 900
#define AWAIT_TURN()                                                                               \
    asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory")
#else
#define AWAIT_TURN() (void)0
#endif

#define PHASES(body, args, t)                                                                      \
    extern __shared__ __align__(16) unsigned char shared[];                                        \
    BODY_STATE(body) s = {};                                                                       \
    AWAIT_TURN();                                                                                  \
    for (int phase = 0; body(args, t, &s, shared, phase); phase++) __syncthreads()

/* One call; and several, each block being of one of them. */
#define KERNEL_OF(name, T)                                                                         \
    static __global__ void __launch_bounds__(GPU_THREADS, GPU_BLOCKS)                              \
        name##_##T##_kernel(const __grid_constant__ name##_args a)                                 \
    {                                                                                              \
        const gpu_thread t = {(int32_t)blockIdx.x, (int32_t)gridDim.x, (int32_t)threadIdx.x,       \
                              (int32_t)blockDim.x};                                                \
        PHASES(name##_##T, &a, t);                                                                 \
    }                                                                                              \
    struct name##_##T##_many {                                                                     \
        cuda_many m;                                                                               \
        name##_args a[GPU_MANY];                                                                   \
    };                                                                                             \
    static_assert(sizeof(name##_##T##_many) ==                                                     \
                      sizeof(cuda_many) + GPU_MANY * sizeof(name##_args),                          \
                  "as cuda_driver.c packs");                                                       \
    static __global__ void __launch_bounds__(GPU_THREADS, GPU_BLOCKS)                              \
        name##_##T##_many_kernel(const __grid_constant__ name##_##T##_many x)                      \
    {                                                                                              \
        int k = 0;                                                                                 \
        while (k + 1 < x.m.calls && x.m.first[k + 1] <= (int32_t)blockIdx.x) k++;                  \
        const gpu_thread t = {(int32_t)blockIdx.x - x.m.first[k],                                  \
                              x.m.first[k + 1] - x.m.first[k], (int32_t)threadIdx.x,               \
                              (int32_t)blockDim.x};                                                \
        PHASES(name##_##T, &x.a[k], t);                                                            \
    }

#define KERNEL(name) KERNEL_OF(name, f32) KERNEL_OF(name, f64)
#define KERNEL_F32(name) KERNEL_OF(name, f32)
#define KERNEL_ANY(name) KERNEL_OF(name, any)
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL

const void *cuda_kernel(int kernel, int f64, int many)
{
#define ONE(name, T) {(const void *)name##_##T##_kernel, (const void *)name##_##T##_many_kernel}
    const void *const table[][2][2] = {
#define KERNEL(name) {ONE(name, f32), ONE(name, f64)},
#define KERNEL_F32(name) {ONE(name, f32), {nullptr, nullptr}},
#define KERNEL_ANY(name) {ONE(name, any), ONE(name, any)},
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    };

    return table[kernel][f64][many];
}
