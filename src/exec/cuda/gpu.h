/* The seam between the CUDA backend and what computes for it. The backend lowers a plan to a list
 * of calls, each one kernel with its arguments; a driver runs such lists. There are two drivers:
 * libdrmad_cuda.so, on an NVIDIA GPU, and the host's, which runs the same kernel bodies thread by
 * thread, so that all but the GPU itself is tested without one.
 *
 *   backend_cuda.c   a backend (exec/backend.h) over a driver: its memory, shares of it
 *   gpu_*.c          a plan's code: places, runs that are put by, order; passes of the grid
 *   cuda_load.c      finds and opens libdrmad_cuda.so
 *   lower/           plan -> calls; which tiles, how many blocks and threads; waves
 *   kernel/          kernels.def the kernels; kernel_args.h their arguments; body_*.h what they do
 *   driver/          cuda_*.c is libdrmad_cuda.so (large products by cuBLASLt and cuDNN), and the
 *                    host's; gpu_walk.c, of both: what of a list the kernel `walk` does at once
 *
 * A body is written as phases between barriers (body.h), in the part of C that is C++ too. Sums
 * have a fixed order: bits are equal from run to run. */
#ifndef GPU_H
#define GPU_H
#include "exec/backend.h"
#include "exec/cuda/kernel/kernel_args.h"

typedef enum gpu_kernel {
#define KERNEL(name) GPU_##name,
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    GPU_KERNELS
} gpu_kernel;

enum {
    GPU_ARGS_MAX = 512, /* bytes of one call's arguments */
    /* Goes up with every change of this seam; which kernels there are is part of it. */
    GPU_DRIVER_VERSION = 6 << 16 | GPU_KERNELS
};

/* One kernel of a program. `args` is the kernel's struct of kernel_args.h; addresses in it are the
 * device's. */
typedef struct gpu_call {
    gpu_kernel kernel;
    dtype type;              /* F32 or F64: of the body */
    int32_t blocks, threads; /* geometry.c; 0 blocks: passed by */
    size_t shared;           /* bytes of a block's shared memory */
    int32_t wave;            /* rises; calls of one wave may run at once */
    bool library;            /* the driver takes it (below): a launch of its own */
    _Alignas(16) unsigned char args[GPU_ARGS_MAX];
} gpu_call;

/* The call behind the wave of call i. */
static inline int32_t gpu_wave_end(const gpu_call *call, int32_t calls, int32_t i)
{
    int32_t end = i + 1;

    while (end < calls && call[end].wave == call[i].wave) end++;
    return end;
}

/* How many calls from `call` on are of its kernel, type and wave: one launch. */
static inline int32_t gpu_together(const gpu_call *call, int32_t calls)
{
    int32_t n = 1;

    while (n < calls && n < GPU_MANY && call[n].wave == call->wave && !call->library &&
           !call[n].library && call[n].kernel == call->kernel && call[n].type == call->type &&
           call[n].threads == call->threads)
        n++;
    return n;
}

/* Bytes of a kernel's struct of kernel_args.h. */
static inline size_t gpu_args_bytes(gpu_kernel k)
{
    static const size_t of[GPU_KERNELS] = {
#define KERNEL(name) [GPU_##name] = sizeof(name##_args),
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    };

    return of[k];
}

typedef struct gpu gpu;                 /* a driver's own: device, stream, library handles */
typedef struct gpu_program gpu_program; /* a list that is ready to run, as a CUDA graph */

typedef struct gpu_info {
    char name[64]; /* "NVIDIA H100 80GB HBM3"; "host" */
    int32_t major, minor, processors;
    size_t memory, free;     /* bytes */
    int32_t driver, runtime; /* 13000 */
    char libraries[64];      /* for products: "cuBLASLt 13.1.1, cuDNN 9.24.0"; "none" */
} gpu_info;

typedef struct gpu_transfer {
    void *device, *host; /* host: of alloc_host */
    size_t bytes;
    bool ahead; /* of `up`: below */
} gpu_transfer;

/* How the products that a library takes may see their F32 operands: rounded to TF32 (10 bits behind
 * the point) or bf16 (7; convolutions: TF32). Sums are F32 in any case. */
typedef enum gpu_products { PRODUCTS_F32, PRODUCTS_TF32, PRODUCTS_BF16 } gpu_products;

/* Every function gives a drmad_status and leaves a message in ctx. copy, wait, got and reach return
 * when it is done; run, put and get may return before. */
typedef struct gpu_driver {
    int version;
    drmad_status (*open)(drmad_ctx *ctx, int32_t device, gpu **out);
    void (*close)(gpu *g); /* NULL is fine */
    drmad_status (*info)(gpu *g, gpu_info *out);
    /* Once, before anything is lowered; else they are PRODUCTS_F32. DRMAD_E_MISSING: no library. */
    drmad_status (*products)(gpu *g, drmad_ctx *ctx, gpu_products how);
    /* Does a library compute this GPU_matmul, GPU_conv, GPU_conv_dx_few (its weight lies as a
     * library wants it) or GPU_conv_dw, with k in one share? Asked of large ones; the answer
     * follows from all in `c` but addresses. */
    drmad_status (*takes)(gpu *g, drmad_ctx *ctx, const gpu_call *c, bool *out);
    drmad_status (*alloc)(gpu *g, drmad_ctx *ctx, size_t bytes, void **out); /* zeroed */
    void (*free)(gpu *g, void *ptr);                                         /* NULL is fine */
    size_t (*held)(const gpu *g); /* bytes of the device's memory that it keeps for itself */
    /* `from` NULL: zeros, COPY_WITHIN. */
    drmad_status (*copy)(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes);
    /* Page-locked host memory, for what travels with every run. */
    drmad_status (*alloc_host)(gpu *g, drmad_ctx *ctx, size_t bytes, void **out);
    void (*free_host)(gpu *g, void *ptr);
    /* Copies the calls. `up`: copied to the device before the calls, `down` back after them, both
     * part of the program (0 bytes: none). Waves run in order. `up` ahead: it travels beside what
     * was run before; from here on nothing but this program uses its `device`, and the host may
     * change `host` when the program is reached. */
    drmad_status (*record)(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_transfer *up, const gpu_transfer *down, gpu_program **out);
    drmad_status (*run)(gpu *g, drmad_ctx *ctx, gpu_program *p);
    drmad_status (*wait)(gpu *g, drmad_ctx *ctx); /* until all runs are done */
    /* Until the last run of p is done, with all before it. */
    drmad_status (*reach)(gpu *g, drmad_ctx *ctx, gpu_program *p);
    /* From page-locked memory, in order with runs. That may be written again by a later get, and by
     * the host when that is there or a program that is run later is reached. */
    drmad_status (*put)(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes);
    /* To page-locked memory: what is there after all runs so far, beside later ones, which must not
     * write it before `got` returns: until all gets are done. */
    drmad_status (*get)(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes);
    drmad_status (*got)(gpu *g, drmad_ctx *ctx);
    void (*forget)(gpu *g, gpu_program *p);       /* NULL is fine */
} gpu_driver;

/* The one symbol of libdrmad_cuda.so. */
typedef const gpu_driver *drmad_cuda_driver_fn(void);

extern const gpu_driver gpu_host_driver;
#endif
