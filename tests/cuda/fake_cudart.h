/* A CUDA runtime for tests of cuda_driver.c: its memory and its kernels are the host driver's, its
 * machine is what a test says, and any call of it can be made to fail. */
#ifndef FAKE_CUDART_H
#define FAKE_CUDART_H
#include <cuda_runtime_api.h>
#include <stdbool.h>

typedef struct fake_cuda {
    int driver, devices, major, minor; /* the machine: 13000, 1, 9, 0 */
    size_t memory;                     /* bytes that may be taken */
    int fail_at;                       /* that call fails, from 0; -1: none */
    cudaError_t error;                 /* with this */
    int calls, live;                   /* so far; things not given back */
    int begun;                         /* what the first stream has been given to do */
    int streams;
    int reached; /* what had begun when the event was recorded that was waited for last */
    int hasty;   /* copies of another stream that did not wait for all that had begun */
    int waited;  /* what the last of them waited for, as `begun` was then */
    int launches, shared_asked;        /* kernels recorded; asked to have more shared memory */
    int early;                         /* of the kernels: may start before their turn */
    int each, cluster;  /* blocks of `walk` that find room: on a multiprocessor, in a cluster */
    int walks, walkers; /* launches of it; blocks of the last */
    int current;        /* device; -1: none chosen */
    bool capturing;
    /* fake_cublaslt.c, fake_cudnn.c: */
    int library_calls, library_fail_at, library_status; /* as calls, fail_at, error */
    int refuse;        /* 1: all sizes; 2: finds no way; 3: wants more workspace than there is */
    int compute, math; /* the last product's, the last convolution's */
    int products, convolutions; /* sent off */
} fake_cuda;

extern fake_cuda fake;

/* For fake libraries: n bytes of `what` are kept and given to `run` when the stream comes to it,
 * which reads and writes device memory with the other two. */
typedef void fake_run_fn(const void *what);
cudaError_t fake_later(fake_run_fn *run, const void *what, size_t n);
void fake_read(void *to, const void *device, size_t bytes);
void fake_write(void *device, const void *from, size_t bytes);

void fake_reset(void); /* a machine with one H100-like GPU, and nothing fails */
#endif
