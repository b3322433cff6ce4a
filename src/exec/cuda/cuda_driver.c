/* The driver over the CUDA runtime, in libdrmad_cuda.so alone: CMake compiles it where nvcc is. It
 * is C; what must be CUDA C++ is in kernels.cu.
 *
 * Each `gpu` has a stream of its own, in which all that it does is ordered, so that trials side by
 * side on one GPU do not wait for each other. Memory is cudaMalloc's: it is taken when programs
 * are made, not while they run. A program is a CUDA graph, captured once, then launched.
 *
 * After an error that is not a want of memory the CUDA context of the process may be broken for
 * good. So the first is kept, and every later call of this `gpu` gives it again. */
#include "exec/cuda/cuda_library.h"
#include "exec/cuda/kernels.h"
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARED_PLAIN = 48 << 10, /* bytes of shared memory that a kernel gets without being asked */
    ARCH_OLDEST = 80         /* CMake: the first that kernels are compiled for */
};

struct gpu {
    drmad_ctx *ctx;
    int device, shared_most;
    bool early; /* kernels may start before their turn */
    cudaStream_t stream;
    cuda_library library;
    char name[64];
    drmad_status lost;
    char why[384]; /* it is lost */
};

struct gpu_program {
    cudaGraphExec_t exec;
    void *room; /* of its libraries' calls */
};

/* ---- errors ---- */

/* bytes 0: not known. */
static drmad_status no_memory(const gpu *g, drmad_ctx *ctx, const char *what, size_t bytes)
{
    size_t left = 0, all = 0;
    char wanted[48] = "";

    cudaGetLastError(); /* it is told */
    if (cudaMemGetInfo(&left, &all) != cudaSuccess) left = all = 0;
    if (bytes) snprintf(wanted, sizeof wanted, " of %zu bytes", bytes);
    return FAIL(ctx, DRMAD_E_NOMEM,
                "GPU %d (%s) is out of memory at %s%s: %zu of its %zu bytes are free; take a "
                "smaller batch, trajectory: {kind: replay} or fewer trials at a time",
                g->device, g->name, what, wanted, left, all);
}

/* A launch that we made wrong is our own mistake; all else is the machine's. */
static drmad_status status_of(cudaError_t e)
{
    switch (e) {
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated: return DRMAD_E_INTERNAL;
    default: return DRMAD_E_IO;
    }
}

static drmad_status answered(gpu *g, drmad_ctx *ctx, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return DRMAD_OK;
    if (e == cudaErrorMemoryAllocation) return no_memory(g, ctx, what, 0);
    g->lost = status_of(e);
    snprintf(g->why, sizeof g->why, "GPU %d (%s) failed at %s: %s (%s)", g->device, g->name, what,
             cudaGetErrorString(e), cudaGetErrorName(e));
    return FAIL(ctx, g->lost, "%s", g->why);
}

drmad_status cuda_no_memory(const gpu *g, drmad_ctx *ctx, const char *what, size_t bytes)
{
    return no_memory(g, ctx, what, bytes);
}

drmad_status cuda_answered(gpu *g, drmad_ctx *ctx, cudaError_t e, const char *what)
{
    return answered(g, ctx, e, what);
}

drmad_status cuda_library_failed(gpu *g, drmad_ctx *ctx, const char *library, const char *what,
                                 const char *text)
{
    g->lost = DRMAD_E_IO;
    snprintf(g->why, sizeof g->why,
             "GPU %d (%s): %s failed at %s: %s; DRMAD_CUDA_LIBRARIES=off keeps it out", g->device,
             g->name, library, what, text);
    return FAIL(ctx, g->lost, "%s", g->why);
}

/* What every call begins with: threads have a device each. */
static drmad_status enter(gpu *g, drmad_ctx *ctx)
{
    if (g->lost != DRMAD_OK) return FAIL(ctx, g->lost, "%s", g->why);
    return answered(g, ctx, cudaSetDevice(g->device), "choosing it");
}

/* ---- opening ---- */

#define MAJOR(v) ((v) / 1000)
#define MINOR(v) ((v) % 1000 / 10)
#define ELSE_CPU "or take device: cpu"

static drmad_status check_driver(drmad_ctx *ctx)
{
    int has = 0;

    if (cudaDriverGetVersion(&has) != cudaSuccess || has == 0)
        return FAIL(ctx, DRMAD_E_MISSING,
                    "device: cuda: this machine has no NVIDIA driver (libcuda.so.1); install it, "
                    "in a container pass the GPU on, " ELSE_CPU);
    if (MAJOR(has) < MAJOR(CUDART_VERSION))
        return FAIL(ctx, DRMAD_E_MISSING,
                    "device: cuda: the NVIDIA driver is too old: it serves CUDA %d.%d, "
                    "libdrmad_cuda.so needs %d.0; install a newer one, " ELSE_CPU,
                    MAJOR(has), MINOR(has), MAJOR(CUDART_VERSION));
    return DRMAD_OK;
}

static drmad_status check_count(drmad_ctx *ctx, int32_t device)
{
    int n = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);

    if (e != cudaSuccess && e != cudaErrorNoDevice)
        return FAIL(ctx, DRMAD_E_MISSING, "device: cuda: the GPUs cannot be used: %s (%s)",
                    cudaGetErrorString(e), cudaGetErrorName(e));
    if (n == 0)
        return FAIL(ctx, DRMAD_E_MISSING,
                    "device: cuda: no GPU is visible (CUDA_VISIBLE_DEVICES may hide them); "
                    "see nvidia-smi, " ELSE_CPU);
    if (device < 0 || device >= n)
        return FAIL(ctx, DRMAD_E_MISSING,
                    "device: cuda:%d: there is no such GPU, this machine shows %d, from cuda:0",
                    device, n);
    return DRMAD_OK;
}

/* Whether there is code for this GPU: machine code of its kind, or PTX that is no newer. */
static drmad_status check_code(gpu *g, const struct cudaDeviceProp *is)
{
    struct cudaFuncAttributes a;
    cudaError_t e = cudaErrorNoKernelImageForDevice;

    if (10 * is->major + is->minor >= ARCH_OLDEST)
        e = cudaFuncGetAttributes(&a, cuda_kernel(GPU_matmul, false, false));
    if (e == cudaErrorNoKernelImageForDevice || e == cudaErrorInvalidDeviceFunction)
        return FAIL(g->ctx, DRMAD_E_MISSING,
                    "device: cuda:%d: %s is of compute capability %d.%d; libdrmad_cuda.so has code "
                    "for %d.%d and newer ones: build it with that architecture, " ELSE_CPU,
                    g->device, g->name, is->major, is->minor, ARCH_OLDEST / 10, ARCH_OLDEST % 10);
    return answered(g, g->ctx, e, "loading the kernels");
}

static void close_gpu(gpu *g)
{
    if (!g) return;
    cudaSetDevice(g->device);
    if (g->stream) cudaStreamSynchronize(g->stream);
    cuda_library_close(&g->library);
    if (g->stream) cudaStreamDestroy(g->stream);
    mem_free(g->ctx, g);
}

static drmad_status open_gpu(drmad_ctx *ctx, int32_t device, gpu **out)
{
    struct cudaDeviceProp is;
    drmad_status st = DRMAD_OK;
    gpu *g = NULL;

    *out = NULL;
    TRY(check_driver(ctx));
    TRY(check_count(ctx, device));
    TRY(mem_alloc(ctx, 1, sizeof *g, &g));
    g->ctx = ctx;
    g->device = device;
    TRY(enter(g, ctx));
    TRY(answered(g, ctx, cudaGetDeviceProperties(&is, device), "asking what it is"));
    snprintf(g->name, sizeof g->name, "%.63s", is.name);
    g->shared_most = (int)is.sharedMemPerBlockOptin;
    g->early = is.major >= 9 && getenv("DRMAD_CUDA_EARLY");
    TRY(check_code(g, &is));
    TRY(answered(g, ctx, cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking),
                 "making a stream"));
    g->library = (cuda_library){.g = g, .ctx = ctx, .stream = g->stream};
    *out = g, g = NULL;
done:
    close_gpu(g);
    return st;
}

static drmad_status info(gpu *g, gpu_info *out)
{
    struct cudaDeviceProp is;
    drmad_status st = DRMAD_OK;
    int driver = 0, runtime = 0;

    memset(out, 0, sizeof *out);
    TRY(enter(g, g->ctx));
    TRY(answered(g, g->ctx, cudaGetDeviceProperties(&is, g->device), "asking what it is"));
    TRY(answered(g, g->ctx, cudaMemGetInfo(&out->free, &out->memory), "asking for its memory"));
    TRY(answered(g, g->ctx, cudaDriverGetVersion(&driver), "asking for the driver"));
    TRY(answered(g, g->ctx, cudaRuntimeGetVersion(&runtime), "asking for the runtime"));
    snprintf(out->name, sizeof out->name, "%s", g->name);
    out->major = is.major, out->minor = is.minor, out->processors = is.multiProcessorCount;
    out->driver = driver, out->runtime = runtime;
    cuda_library_look(&g->library, g->ctx);
    cuda_library_name(&g->library, out->libraries, sizeof out->libraries);
done:
    return st;
}

/* ---- libraries ---- */

static drmad_status products(gpu *g, drmad_ctx *ctx, gpu_products how)
{
    cuda_library *l = &g->library;

    if (how == PRODUCTS_F32) return DRMAD_OK;
    cuda_library_look(l, ctx);
    if (!l->of[LIBRARY_CUBLASLT].it)
        return FAIL(ctx, DRMAD_E_MISSING,
                    "products: %s needs cuBLASLt, which was not found: install CUDA's libraries, "
                    "name their folder in DRMAD_CUDA_LIBRARIES, or take products: f32",
                    how == PRODUCTS_TF32 ? "tf32" : "bf16");
    if (!l->of[LIBRARY_CUDNN].it)
        base_log(ctx, LOG_WARN, "cuDNN 9 was not found: convolutions are computed in f32");
    l->products = how;
    return DRMAD_OK;
}

static drmad_status takes(gpu *g, drmad_ctx *ctx, const gpu_call *c, bool *out)
{
    drmad_status st = DRMAD_OK;

    *out = false;
    TRY(enter(g, ctx));
    TRY(cuda_library_takes(&g->library, ctx, c, out));
done:
    return st;
}

/* ---- memory ---- */

static void free_memory(gpu *g, void *ptr)
{
    if (!ptr) return;
    cudaSetDevice(g->device);
    cudaFree(ptr); /* waits for what uses it */
}

static drmad_status alloc_memory(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;
    void *p = NULL;

    *out = NULL;
    TRY(enter(g, ctx));
    const cudaError_t e = cudaMalloc(&p, bytes);
    TRY(e == cudaErrorMemoryAllocation ? no_memory(g, ctx, "a piece", bytes)
                                       : answered(g, ctx, e, "taking memory"));
    TRY(answered(g, ctx, cudaMemsetAsync(p, 0, bytes, g->stream), "zeroing memory"));
    *out = p, p = NULL;
done:
    free_memory(g, p);
    return st;
}

static void free_host(gpu *g, void *ptr)
{
    if (!ptr) return;
    cudaSetDevice(g->device);
    cudaStreamSynchronize(g->stream);
    cudaFreeHost(ptr);
}

static drmad_status alloc_host(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;
    void *p = NULL;

    *out = NULL;
    TRY(enter(g, ctx));
    const cudaError_t e = cudaHostAlloc(&p, bytes, cudaHostAllocDefault);
    TRY(e == cudaErrorMemoryAllocation ? no_memory(g, ctx, "a page-locked piece of the host", bytes)
                                       : answered(g, ctx, e, "taking page-locked memory"));
    memset(p, 0, bytes);
    *out = p;
done:
    return st;
}

static drmad_status wait(gpu *g, drmad_ctx *ctx)
{
    drmad_status st = DRMAD_OK;

    TRY(enter(g, ctx));
    TRY(answered(g, ctx, cudaStreamSynchronize(g->stream), "running a program"));
done:
    return st;
}

/* Within the device nobody can look before the stream has done it, so there is no wait. */
static drmad_status copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes)
{
    static const enum cudaMemcpyKind kind[] = {
        [COPY_WITHIN] = cudaMemcpyDeviceToDevice,
        [COPY_UP] = cudaMemcpyHostToDevice,
        [COPY_DOWN] = cudaMemcpyDeviceToHost,
    };
    drmad_status st = DRMAD_OK;

    TRY(enter(g, ctx));
    if (!from) TRY(answered(g, ctx, cudaMemsetAsync(to, 0, bytes, g->stream), "zeroing memory"));
    else
        TRY(answered(g, ctx, cudaMemcpyAsync(to, from, bytes, kind[way], g->stream),
                     "copying memory"));
    if (way != COPY_WITHIN) TRY(wait(g, ctx));
done:
    return st;
}

/* ---- programs ---- */

static const void *kernel_of(const gpu_call *c, int32_t n)
{
    return cuda_kernel((int)c->kernel, c->type == F64, n > 1);
}

static size_t shared_of(const gpu_call *c, int32_t n)
{
    size_t most = 0;

    for (int32_t i = 0; i < n; i++)
        if (c[i].shared > most) most = c[i].shared;
    return most;
}

/* Before the recording: loading a kernel's code, at its first use, is no part of one. */
static drmad_status load(gpu *g, drmad_ctx *ctx, const gpu_call *c, int32_t n)
{
    struct cudaFuncAttributes a;
    drmad_status st = DRMAD_OK;

    TRY(answered(g, ctx, cudaFuncGetAttributes(&a, kernel_of(c, n)), "loading a kernel"));
    if (shared_of(c, n) > SHARED_PLAIN)
        TRY(answered(g, ctx,
                     cudaFuncSetAttribute(kernel_of(c, n),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          g->shared_most),
                     "asking for shared memory"));
done:
    return st;
}

/* The argument of several calls: as kernels.cu reads it. */
typedef struct many_args {
    cuda_many m;
    _Alignas(8) unsigned char args[GPU_MANY * GPU_ARGS_MAX];
} many_args;

static void pack(const gpu_call *c, int32_t n, many_args *out)
{
    static const size_t bytes[] = {
#define KERNEL(name) sizeof(name##_args),
#define KERNEL_ANY KERNEL
#include "exec/cuda/kernels.def"
#undef KERNEL
    };

    out->m = (cuda_many){.calls = n};
    for (int32_t i = 0; i < n; i++) {
        out->m.first[i + 1] = out->m.first[i] + c[i].blocks;
        memcpy(out->args + (size_t)i * bytes[c->kernel], c[i].args, bytes[c->kernel]);
    }
}

/* n calls at once. A kernel behind another comes to the processors while that one still runs, and
 * waits there until it is done (kernels.cu): programmatic dependent launch. */
static drmad_status launch(gpu *g, drmad_ctx *ctx, const gpu_call *c, int32_t n, bool *behind)
{
    many_args many;
    void *args[] = {n > 1 ? (void *)&many : (void *)c->args};
    cudaLaunchAttribute early = {.id = cudaLaunchAttributeProgrammaticStreamSerialization};
    drmad_status st = DRMAD_OK;

    pack(c, n, &many);
    if (many.m.first[n] == 0) return DRMAD_OK; /* empty tensors */
    const cudaLaunchConfig_t how = {.gridDim = {(unsigned)many.m.first[n], 1, 1},
                                    .blockDim = {(unsigned)c->threads, 1, 1},
                                    .dynamicSmemBytes = shared_of(c, n),
                                    .stream = g->stream,
                                    .attrs = &early,
                                    .numAttrs = *behind && g->early};
    early.val.programmaticStreamSerializationAllowed = 1;
    TRY(answered(g, ctx, cudaLaunchKernelExC(&how, kernel_of(c, n), args), "recording a kernel"));
    *behind = true;
done:
    return st;
}

typedef struct recording {
    const gpu_call *calls;
    int32_t n;
    void *room;
    const gpu_transfer *up, *down;
} recording;

static drmad_status transfer(gpu *g, drmad_ctx *ctx, copy_way way, const gpu_transfer *t)
{
    const bool up = way == COPY_UP;

    if (!t || t->bytes == 0) return DRMAD_OK;
    return answered(g, ctx,
                    cudaMemcpyAsync(up ? t->device : t->host, up ? t->host : t->device, t->bytes,
                                    up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                    g->stream),
                    "recording a copy");
}

/* Makes the libraries' calls and our kernels ready. Gives p->room. */
static drmad_status prepare(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                            gpu_program *p)
{
    drmad_status st = DRMAD_OK;
    size_t room = 0;
    bool taken;

    for (int32_t i = 0; i < n; i++) {
        const size_t need = calls[i].library ? cuda_library_room(&calls[i]) : 0;
        if (need > room) room = need;
    }
    if (room) TRY(alloc_memory(g, ctx, room, &p->room));
    for (int32_t i = 0, k; i < n; i += k) {
        k = gpu_together(&calls[i], n - i);
        taken = calls[i].library;
        if (taken) TRY(cuda_library_warm(&g->library, ctx, &calls[i], p->room, &taken));
        if (!taken) TRY(load(g, ctx, &calls[i], k));
    }
done:
    return st;
}

static drmad_status record_calls(gpu *g, drmad_ctx *ctx, const recording *r)
{
    drmad_status st = DRMAD_OK;
    bool behind = false, done;

    for (int32_t i = 0, k; i < r->n; i += k) {
        const gpu_call *c = &r->calls[i];
        k = gpu_together(c, r->n - i);
        done = false;
        if (c->library) TRY(cuda_library_run(&g->library, ctx, c, r->room, &done));
        if (!done) TRY(launch(g, ctx, c, k, &behind));
        behind &= !done;
    }
done:
    return st;
}

/* Captures in the mode in which other threads may go on with their own. Gives *out. */
static drmad_status capture(gpu *g, drmad_ctx *ctx, const recording *r, cudaGraph_t *out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(answered(g, ctx, cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeThreadLocal),
                 "recording"));
    st = transfer(g, ctx, COPY_UP, r->up);
    if (st == DRMAD_OK) st = record_calls(g, ctx, r);
    if (st == DRMAD_OK) st = transfer(g, ctx, COPY_DOWN, r->down);
    const cudaError_t e = cudaStreamEndCapture(g->stream, out); /* whatever came before */
    if (st == DRMAD_OK) st = answered(g, ctx, e, "recording");
done:
    return st;
}

static void forget(gpu *g, gpu_program *p)
{
    if (!p) return;
    cudaSetDevice(g->device);
    if (p->exec) {
        cudaStreamSynchronize(g->stream);
        cudaGraphExecDestroy(p->exec);
    }
    free_memory(g, p->room);
    mem_free(g->ctx, p);
}

static drmad_status record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    drmad_status st = DRMAD_OK;
    gpu_program *p = NULL;
    cudaGraph_t recorded = NULL;

    *out = NULL;
    TRY(enter(g, ctx));
    TRY(mem_alloc(g->ctx, 1, sizeof *p, &p));
    TRY(prepare(g, ctx, calls, n, p));
    TRY(capture(g, ctx, &(recording){calls, n, p->room, up, down}, &recorded));
    TRY(answered(g, ctx, cudaGraphInstantiate(&p->exec, recorded, 0), "making a program"));
    TRY(answered(g, ctx, cudaGraphUpload(p->exec, g->stream), "sending a program"));
    *out = p, p = NULL;
done:
    if (recorded) cudaGraphDestroy(recorded);
    forget(g, p);
    return st;
}

static drmad_status run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    drmad_status st = DRMAD_OK;

    TRY(enter(g, ctx));
    TRY(answered(g, ctx, cudaGraphLaunch(p->exec, g->stream), "starting a program"));
done:
    return st;
}

/* ---- the table ---- */

static const gpu_driver driver = {
    .version = GPU_DRIVER_VERSION,
    .open = open_gpu,
    .close = close_gpu,
    .info = info,
    .products = products,
    .takes = takes,
    .alloc = alloc_memory,
    .free = free_memory,
    .copy = copy,
    .alloc_host = alloc_host,
    .free_host = free_host,
    .record = record,
    .run = run,
    .wait = wait,
    .forget = forget,
};

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

const gpu_driver *drmad_cuda_driver(void)
{
    return &driver;
}
