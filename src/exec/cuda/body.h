/* How a kernel's body is written, so that nvcc compiles it for a GPU and gcc for the host.
 *
 * A body is a function
 *
 *   GPU_BODY bool NAME_T(const NAME_args *a, gpu_thread t, NAME_T_state *s, void *shared, int phase)
 *
 * which does one thread's part of one phase and says whether the block has another; all threads of
 * a block say the same. Between two phases lies a barrier. What a thread keeps from phase to phase
 * is in *s, zeroed at the start. A body with T in its name is in a file that is included twice,
 * with T float and double (body_typed.h). No atomics, no warp operations. */
#ifndef BODY_H
#define BODY_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define GPU_BODY static __device__ __forceinline__
#else
#define GPU_BODY static inline
#endif

typedef struct gpu_thread {
    int32_t block, blocks, thread, threads;
} gpu_thread;
#endif
