/* The driver over the CUDA runtime, in libdrmad_cuda.so alone: CMake compiles it where nvcc is. It
 * is C; what must be CUDA C++ is in kernels.cu and walk.cu.
 *
 * Each `gpu` has a stream of its own, in which all that it does is ordered, so that trials side by
 * side on one GPU do not wait for each other; and two for what is sent and brought meanwhile.
 * Memory is cudaMalloc's: it is taken when programs are made, not while they run.
 *
 * After an error that is not a want of memory the CUDA context of the process may be broken for
 * good. So the first is kept, and every later call of this `gpu` gives it again. */
#include "exec/cuda/driver/cuda_gpu.h"
#include "exec/cuda/kernel/kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARCH_OLDEST = 80 }; /* CMake: the first that kernels are compiled for */

/* ---- errors ---- */

/* bytes 0: not known. */
drmad_status cuda_no_memory(const gpu *g, drmad_ctx *ctx, const char *what, size_t bytes)
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

drmad_status cuda_answered(gpu *g, drmad_ctx *ctx, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return DRMAD_OK;
    if (e == cudaErrorMemoryAllocation) return cuda_no_memory(g, ctx, what, 0);
    g->lost = status_of(e);
    snprintf(g->why, sizeof g->why, "GPU %d (%s) failed at %s: %s (%s)", g->device, g->name, what,
             cudaGetErrorString(e), cudaGetErrorName(e));
    return FAIL(ctx, g->lost, "%s", g->why);
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
drmad_status cuda_enter(gpu *g, drmad_ctx *ctx)
{
    if (g->lost != DRMAD_OK) return FAIL(ctx, g->lost, "%s", g->why);
    return cuda_answered(g, ctx, cudaSetDevice(g->device), "choosing it");
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
    return cuda_answered(g, g->ctx, e, "loading the kernels");
}

static drmad_status check_walk(gpu *g, const struct cudaDeviceProp *is)
{
    drmad_status st = DRMAD_OK;

    TRY(gpu_walk_asked(g->ctx, &g->walk.how));
    g->walk.most = (gpu_walk_limits){is->multiProcessorCount, is->sharedMemPerBlockOptin};
    if (g->walk.how != GPU_WALK_CLUSTER) return DRMAD_OK;
    g->walk.most.blocks = GPU_CLUSTER;
    if (is->major < 9)
        TRY(FAIL(g->ctx, DRMAD_E_USAGE,
                 "DRMAD_CUDA_WALK=cluster: GPU %d (%s) is of compute capability %d.%d, clusters "
                 "begin with 9.0; take grid",
                 g->device, g->name, is->major, is->minor));
done:
    return st;
}

static void close_gpu(gpu *g)
{
    if (!g) return;
    cudaSetDevice(g->device);
    const cudaStream_t all[] = {g->stream, g->up, g->down};
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i]) cudaStreamSynchronize(all[i]);
    cuda_library_close(&g->library);
    if (g->turn) cudaEventDestroy(g->turn);
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i]) cudaStreamDestroy(all[i]);
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
    TRY(cuda_enter(g, ctx));
    TRY(cuda_answered(g, ctx, cudaGetDeviceProperties(&is, device), "asking what it is"));
    snprintf(g->name, sizeof g->name, "%.63s", is.name);
    g->shared_most = (int)is.sharedMemPerBlockOptin;
    g->early = is.major >= 9 && getenv("DRMAD_CUDA_EARLY");
    TRY(check_code(g, &is));
    TRY(check_walk(g, &is));
    cudaStream_t *const all[] = {&g->stream, &g->up, &g->down};
    for (size_t i = 0; i < COUNT(all); i++)
        TRY(cuda_answered(g, ctx, cudaStreamCreateWithFlags(all[i], cudaStreamNonBlocking),
                          "making a stream"));
    TRY(cuda_answered(g, ctx, cudaEventCreateWithFlags(&g->turn, cudaEventDisableTiming),
                      "making an event"));
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
    TRY(cuda_enter(g, g->ctx));
    TRY(cuda_answered(g, g->ctx, cudaGetDeviceProperties(&is, g->device), "asking what it is"));
    TRY(cuda_answered(g, g->ctx, cudaMemGetInfo(&out->free, &out->memory),
                      "asking for its memory"));
    TRY(cuda_answered(g, g->ctx, cudaDriverGetVersion(&driver), "asking for the driver"));
    TRY(cuda_answered(g, g->ctx, cudaRuntimeGetVersion(&runtime), "asking for the runtime"));
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
    TRY(cuda_enter(g, ctx));
    TRY(cuda_library_takes(&g->library, ctx, c, out));
done:
    return st;
}

/* ---- memory ---- */

static size_t held(const gpu *g)
{
    return g->held + cuda_library_workspaces(&g->library);
}

void cuda_free(gpu *g, void *ptr)
{
    if (!ptr) return;
    cudaSetDevice(g->device);
    cudaFree(ptr); /* waits for what uses it */
}

drmad_status cuda_alloc(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;
    void *p = NULL;

    *out = NULL;
    TRY(cuda_enter(g, ctx));
    const cudaError_t e = cudaMalloc(&p, bytes);
    TRY(e == cudaErrorMemoryAllocation ? cuda_no_memory(g, ctx, "a piece", bytes)
                                       : cuda_answered(g, ctx, e, "taking memory"));
    TRY(cuda_answered(g, ctx, cudaMemsetAsync(p, 0, bytes, g->stream), "zeroing memory"));
    *out = p, p = NULL;
done:
    cuda_free(g, p);
    return st;
}

static void free_host(gpu *g, void *ptr)
{
    if (!ptr) return;
    cudaSetDevice(g->device);
    cudaStreamSynchronize(g->stream);
    cudaStreamSynchronize(g->up);
    cudaStreamSynchronize(g->down);
    cudaFreeHost(ptr);
}

static drmad_status alloc_host(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;
    void *p = NULL;

    *out = NULL;
    TRY(cuda_enter(g, ctx));
    const cudaError_t e = cudaHostAlloc(&p, bytes, cudaHostAllocDefault);
    TRY(e == cudaErrorMemoryAllocation
            ? cuda_no_memory(g, ctx, "a page-locked piece of the host", bytes)
            : cuda_answered(g, ctx, e, "taking page-locked memory"));
    memset(p, 0, bytes);
    *out = p;
done:
    return st;
}

static drmad_status wait_for(gpu *g, drmad_ctx *ctx, cudaStream_t stream, const char *what)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    TRY(cuda_answered(g, ctx, cudaStreamSynchronize(stream), what));
done:
    return st;
}

static drmad_status wait(gpu *g, drmad_ctx *ctx)
{
    return wait_for(g, ctx, g->stream, "running a program");
}

/* Within the device nobody can look before the stream has done it, so there is no wait. */
drmad_status cuda_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                       size_t bytes)
{
    static const enum cudaMemcpyKind kind[] = {
        [COPY_WITHIN] = cudaMemcpyDeviceToDevice,
        [COPY_UP] = cudaMemcpyHostToDevice,
        [COPY_DOWN] = cudaMemcpyDeviceToHost,
    };
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    if (!from)
        TRY(cuda_answered(g, ctx, cudaMemsetAsync(to, 0, bytes, g->stream), "zeroing memory"));
    else
        TRY(cuda_answered(g, ctx, cudaMemcpyAsync(to, from, bytes, kind[way], g->stream),
                          "copying memory"));
    if (way != COPY_WITHIN) TRY(wait(g, ctx));
done:
    return st;
}

/* ---- copies that nobody waits for ---- */

static drmad_status put(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    TRY(cuda_answered(g, ctx, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, g->stream),
                      "sending memory"));
done:
    return st;
}

static drmad_status get(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    TRY(cuda_answered(g, ctx, cudaEventRecord(g->turn, g->stream), "marking a copy's turn"));
    TRY(cuda_answered(g, ctx, cudaStreamWaitEvent(g->down, g->turn, 0), "waiting for its turn"));
    TRY(cuda_answered(g, ctx, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, g->down),
                      "bringing memory"));
done:
    return st;
}

static drmad_status got(gpu *g, drmad_ctx *ctx)
{
    return wait_for(g, ctx, g->down, "bringing memory");
}

/* ---- the table ---- */

static const gpu_driver driver = {
    .version = GPU_DRIVER_VERSION,
    .open = open_gpu,
    .close = close_gpu,
    .info = info,
    .products = products,
    .takes = takes,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .held = held,
    .copy = cuda_copy,
    .alloc_host = alloc_host,
    .free_host = free_host,
    .record = cuda_record,
    .run = cuda_run,
    .wait = wait,
    .reach = cuda_reach,
    .put = put,
    .get = get,
    .got = got,
    .forget = cuda_forget,
};

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

const gpu_driver *drmad_cuda_driver(void)
{
    return &driver;
}
