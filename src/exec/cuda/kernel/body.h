/* How a kernel's body is written, so that nvcc compiles it for a GPU and gcc for the host.
 *
 * A body is a function
 *
 *   GPU_BODY bool NAME_T(const NAME_args *a, gpu_thread t, NAME_T_state *s, void *shared,
 *                        int phase)
 *
 * which does one thread's part of one phase and says whether the block has another; all threads of
 * a block say the same. Between two phases lies a barrier. What a thread keeps from phase to phase
 * is in *s, zeroed at the start. T is f32 and f64, from a file that is included twice
 * (body_typed.h), or any. No atomics, no warp operations. body_all.h has them all. */
#ifndef BODY_H
#define BODY_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define GPU_BODY static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define BODY_PRAGMA(text) _Pragma(#text)
#define UNROLL_BY(n) BODY_PRAGMA(unroll n)
#define BODY_ALIGN(bytes) __align__(bytes)
#define MULTIPLY_ADD(a, b, c) fma(a, b, c) /* fused: nothing else is, cmake/cuda.cmake */
/* p points into global memory: without the word, accesses may have to find out where they go. */
#define GPU_GLOBAL(p) __builtin_assume(__isGlobal(p))
#else
#define GPU_BODY static inline
#define UNROLL
#define UNROLL_BY(n)
#define BODY_ALIGN(bytes) __attribute__((aligned(bytes)))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define GPU_GLOBAL(p) (void)(p)
#endif

enum {
    GPU_THREADS = 256, /* of every block: kernels.cu relies on it */
    GPU_BLOCKS = 2     /* of a multiprocessor at least: 128 registers a thread */
};

#define BODY_JOIN_(a, b) a##b
#define BODY_JOIN(a, b) BODY_JOIN_(a, b)
#define BODY_STATE(body) BODY_JOIN(body, _state) /* matmul_f32 -> matmul_f32_state */

typedef struct gpu_thread {
    int32_t block, blocks, thread, threads;
} gpu_thread;

/* Of a body that keeps nothing. */
typedef struct no_state {
    int32_t none;
} no_state;

/* Thread's first element, and the way to its next, where a grid goes over elements. */
GPU_BODY int64_t first_of(gpu_thread t)
{
    return (int64_t)t.block * t.threads + t.thread;
}

GPU_BODY int64_t stride_of(gpu_thread t)
{
    return (int64_t)t.blocks * t.threads;
}

/* i / dim; *at = i % dim. Half as wide numbers are divided much faster. */
GPU_BODY int64_t divide(int64_t i, int64_t dim, int64_t *at)
{
    if ((uint64_t)i <= 0xffffffffu && (uint64_t)dim <= 0xffffffffu) {
        *at = (int64_t)((uint32_t)i % (uint32_t)dim);
        return (int64_t)((uint32_t)i / (uint32_t)dim);
    }
    *at = i % dim;
    return i / dim;
}

/* As bf16_from and bf16_to of tensor/tensor.h. */
GPU_BODY uint16_t bf16_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

GPU_BODY float bf16_number(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* An index outside its table: one store, so that of several one is told whole. The thread goes on
 * with another index. */
GPU_BODY void bad_index(uint64_t *bad, int32_t index, int64_t rows)
{
    const uint64_t most = 0x7fffffff, n = (uint64_t)rows < most ? (uint64_t)rows : most;

    *bad = (uint64_t)1 << 63 | n << 32 | (uint32_t)index;
}
#endif
