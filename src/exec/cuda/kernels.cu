/* The kernels: each body of body_all.h with a barrier between its phases, in both types. A thread
 * has as many registers as leave room for GPU_BLOCKS blocks. */
#include "exec/cuda/body_all.h"
#include "exec/cuda/kernels.h"

/* From compute capability 9.0 on, a kernel may be there before the one in front of it is done; it
 * touches nothing until then. Its own follower may come when all its blocks have begun. */
#if __CUDA_ARCH__ >= 900
#define AWAIT_TURN()                                                                               \
    asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory")
#else
#define AWAIT_TURN() (void)0
#endif

#define KERNEL_OF(name, T)                                                                         \
    static __global__ void __launch_bounds__(GPU_THREADS, GPU_BLOCKS)                              \
        name##_##T##_kernel(const __grid_constant__ name##_args a)                                 \
    {                                                                                              \
        extern __shared__ __align__(16) unsigned char shared[];                                    \
        const gpu_thread t = {(int32_t)blockIdx.x, (int32_t)gridDim.x, (int32_t)threadIdx.x,       \
                              (int32_t)blockDim.x};                                                \
        BODY_STATE(name##_##T) s = {};                                                             \
                                                                                                   \
        AWAIT_TURN();                                                                              \
        for (int phase = 0; name##_##T(&a, t, &s, shared, phase); phase++) __syncthreads();        \
    }

#define KERNEL(name) KERNEL_OF(name, f32) KERNEL_OF(name, f64)
#define KERNEL_ANY(name) KERNEL_OF(name, any)
#include "exec/cuda/kernels.def"
#undef KERNEL
#undef KERNEL_ANY

const void *cuda_kernel(int kernel, int f64)
{
    const void *const table[][2] = {
#define KERNEL(name) {(const void *)name##_f32_kernel, (const void *)name##_f64_kernel},
#define KERNEL_ANY(name) {(const void *)name##_any_kernel, (const void *)name##_any_kernel},
#include "exec/cuda/kernels.def"
#undef KERNEL
#undef KERNEL_ANY
    };

    return table[kernel][f64];
}
