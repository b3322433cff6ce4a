/* How a kernel's body is written, so that nvcc compiles it for a GPU and gcc for the host.
 *
 * A body is a function
 *
 *   GPU_BODY bool NAME_T(const NAME_args *a, gpu_thread t, NAME_T_state *s, void *shared,
 *                        int phase)
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

enum { GPU_THREADS_MAX = 256 }; /* of a block: geometry.c keeps to it, kernels.cu relies on it */

typedef struct gpu_thread {
    int32_t block, blocks, thread, threads;
} gpu_thread;

/* An index outside its table: one store, so that of several one is told whole. The thread goes on
 * with another index. */
GPU_BODY void bad_index(uint64_t *bad, int32_t index, int64_t rows)
{
    const uint64_t most = 0x7fffffff, n = (uint64_t)rows < most ? (uint64_t)rows : most;

    *bad = (uint64_t)1 << 63 | n << 32 | (uint32_t)index;
}
#endif
