/* cuBLASLt and cuDNN inside libdrmad_cuda.so: large products and convolutions (lower_library.c says
 * which) go to them where they are there, and to our kernels else.
 *
 *   cuda_library.c       finds them, keeps a plan for each size of call, runs calls
 *   cuda_matmul.c        cuBLASLt: matmul
 *   cuda_convolution.c   cuDNN: the three convolutions
 *   library_api.h        what is declared of them
 *
 * What is chosen follows from a call's sizes alone, and what is not deterministic is never chosen,
 * so bits are equal from run to run. Sums are in F32 (F64), and operands too unless `products` says
 * otherwise. */
#ifndef CUDA_LIBRARY_H
#define CUDA_LIBRARY_H
#include "base/shared_library.h"
#include "exec/cuda/gpu.h"
#include <cuda_runtime_api.h>

enum { LIBRARY_KEY = 24, LIBRARY_ALIGN = 16 }; /* bytes that operands lie at a multiple of */

/* A call made ready: its library's own descriptions and choices. Kept until the end. */
typedef struct library_plan {
    struct library_plan *next;
    int64_t key[LIBRARY_KEY]; /* kernel, type, sizes */
    bool refused, warm;       /* the library cannot do it; it has been run once */
    void *made;
} library_plan;

typedef struct opened_library {
    void *it; /* NULL: not found */
    void *workspace;
} opened_library;

enum { LIBRARY_CUBLASLT, LIBRARY_CUDNN, LIBRARIES };

typedef struct cuda_library {
    gpu *g; /* for errors */
    drmad_ctx *ctx;
    cudaStream_t stream;
    gpu_products products;
    bool looked;
    opened_library of[LIBRARIES];
    library_plan *first;
} cuda_library;

/* One of them. Every function that gives a status has left a message in ctx. */
typedef struct library_kind {
    size_t workspace; /* bytes */
    library_source source;
    const library_file *files; /* any of these */
    int32_t n;
    size_t bytes;                      /* of `it`: the table of functions, then the library's own */
    size_t (*version)(const void *it); /* 130101: 13.1.1 */
    void (*end)(void *it);
    drmad_status (*start)(cuda_library *l, drmad_ctx *ctx, void *it); /* before the first plan */
    /* Gives p->made, or p->refused. */
    drmad_status (*make)(cuda_library *l, drmad_ctx *ctx, void *it, const gpu_call *c,
                         library_plan *p);
    void (*drop)(cuda_library *l, void *it, void *made);
    /* Sends the call off, with tensors `at` as in product_operands; or sets p->refused. */
    drmad_status (*run)(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan *p,
                        void *const at[3]);
} library_kind;

extern const library_kind library_cublaslt, library_cudnn;

/* For the driver. */
void cuda_library_look(cuda_library *l, drmad_ctx *ctx); /* finds them, once */
void cuda_library_name(const cuda_library *l, char *buf,
                       size_t size); /* "none", "cuBLASLt 13.1.1" */
drmad_status cuda_library_takes(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, bool *out);
size_t cuda_library_workspaces(const cuda_library *l); /* bytes taken */
/* Bytes of device memory that the call needs beside its tensors. */
size_t cuda_library_room(const gpu_call *c);
/* Before a recording: runs the call once, its result thrown away, for at its first run a library
 * loads code and may take memory, which a recording forbids. Plans are made outside of it too.
 * *taken false: it is refused after all. */
drmad_status cuda_library_warm(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, void *room,
                               bool *taken);
/* *done false: nothing was sent off, our own kernel has to. */
drmad_status cuda_library_run(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, void *room,
                              bool *done);
void cuda_library_close(cuda_library *l);

/* cuda_driver.c: after a failure that is not a want of memory this gpu is lost. bytes 0: not
 * known. */
drmad_status cuda_answered(gpu *g, drmad_ctx *ctx, cudaError_t e, const char *what);
drmad_status cuda_no_memory(const gpu *g, drmad_ctx *ctx, const char *what, size_t bytes);
drmad_status cuda_library_failed(gpu *g, drmad_ctx *ctx, const char *library, const char *what,
                                 const char *text);
#endif
