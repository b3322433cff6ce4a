/* One kernel at a time on the host driver, with seeded data, and the comparison with doubles from a
 * naive loop. */
#ifndef KERNEL_FIXTURE_H
#define KERNEL_FIXTURE_H
#include "base/rng.h"
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "test.h"

typedef struct kx {
    drmad_ctx *ctx;
    gpu *g;
    dtype type;
    uint64_t seed, drawn;
} kx;

bool kx_has(dtype t, gpu_kernel k); /* whether k is a kernel in that type */
void kx_open(kx *x, dtype t, uint64_t seed);
void kx_close(kx *x); /* and its memory */
int64_t kx_below(kx *x, int64_t n);
/* Device memory: zeros, copies, numbers in [-1, 1), which also come as doubles, to free(). */
void *kx_new(kx *x, size_t bytes);
void *kx_up(kx *x, const void *data, size_t bytes);
void *kx_numbers(kx *x, int64_t n, double **values);
int32_t *kx_indices(kx *x, int64_t n, int64_t below, int32_t **values);
void kx_down(kx *x, void *to, const void *from, size_t bytes);
/* Runs kernel k as the lowering would, before a wave that has nothing to do with it: so that with
 * DRMAD_CUDA_WALK these tests are of the kernel `walk`. */
void kx_call(kx *x, gpu_kernel k, const void *args, size_t bytes);
#define KX_CALL(x, name, args) kx_call(x, GPU_##name, args, sizeof *(args))
/* n elements of x->type at `got` against `want`, within tol of the largest. */
void kx_compare(kx *x, const char *what, const void *got, const double *want, int64_t n,
                double tol);
#endif
