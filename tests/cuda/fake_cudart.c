#include "fake_cudart.h"
#include "exec/cuda/driver/gpu_walk.h"
#include "exec/cuda/kernel/kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPS_MAX = 64,
    PIECES_MAX = 64,
    PROCESSORS = 132,
    CALLS_MAX = 64,
    LIBRARY_BYTES = 512,
    DIRTY = 1 << 16
};

/* A copy, a kernel, zeros, or what a library does, of a captured list; walk: `from` is its list,
 * of `bytes`. */
typedef struct op {
    fake_run_fn *run;
    unsigned char what[LIBRARY_BYTES];
    bool kernel, walk;
    gpu_call call;
    copy_way way;
    void *to;
    const void *from;
    size_t bytes;
} op;

/* The first that is made does all at once, another when it is waited for, also by the first. */
struct CUstream_st {
    bool other;
    int seen; /* of fake.begun, when an event that it waited for was recorded */
    int n;
    op *later;
};

struct CUevent_st {
    int seen;
    cudaStream_t of; /* recorded in another than the first */
};

struct CUgraph_st {
    int n;
    op at[OPS_MAX];
};

typedef struct piece {
    void *at;
    size_t bytes;
} piece;

fake_cuda fake;
static drmad_ctx *ctx;
static gpu *host;
static struct CUgraph_st *captured;
static piece pieces[PIECES_MAX];
static char kernels[GPU_KERNELS][2][2]; /* their addresses stand for kernels */
static char walk_kernel;

void fake_reset(void)
{
    if (!ctx) ctx = drmad_ctx_new(NULL, NULL);
    if (!host) gpu_host_driver.open(ctx, 0, &host);
    fake = (fake_cuda){.driver = 13000,
                       .devices = 1,
                       .major = 9,
                       .memory = 1 << 30,
                       .each = 2,
                       .cluster = 16,
                       .fail_at = -1,
                       .library_fail_at = -1,
                       .error = cudaErrorLaunchFailure,
                       .current = -1};
}

const void *cuda_kernel(int kernel, int f64, int many)
{
    return &kernels[kernel][f64][many];
}

const void *cuda_walk_kernel(void)
{
    return &walk_kernel;
}

/* What every call that may fail begins with. */
#define CALL()                                                                                     \
    do {                                                                                           \
        if (fake.calls++ == fake.fail_at) return fake.error;                                       \
    } while (0)

/* ---- the machine ---- */

cudaError_t cudaDriverGetVersion(int *v)
{
    CALL();
    *v = fake.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    CALL();
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    CALL();
    *n = fake.devices;
    return fake.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device)
{
    CALL();
    fake.current = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *is, int device)
{
    CALL();
    (void)device;
    memset(is, 0, sizeof *is);
    snprintf(is->name, sizeof is->name, "Fake H100");
    is->major = fake.major, is->minor = fake.minor, is->multiProcessorCount = PROCESSORS;
    is->sharedMemPerBlockOptin = 227 << 10;
    return cudaSuccess;
}

static size_t used(void)
{
    size_t all = 0;

    for (int i = 0; i < PIECES_MAX; i++) all += pieces[i].at ? pieces[i].bytes : 0;
    return all;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    CALL();
    *all = fake.memory, *left = fake.memory - used();
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *kernel)
{
    CALL();
    (void)kernel;
    memset(a, 0, sizeof *a);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute what, int value)
{
    CALL();
    (void)kernel;
    fake.shared_asked += what == cudaFuncAttributeMaxDynamicSharedMemorySize && value > 48 << 10;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, const void *kernel, int threads,
                                                          size_t shared)
{
    CALL();
    *n = kernel == &walk_kernel && threads == GPU_THREADS && shared > 0 ? fake.each : 0;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxPotentialClusterSize(int *n, const void *kernel,
                                                 const cudaLaunchConfig_t *how)
{
    CALL();
    *n = kernel == &walk_kernel && how->blockDim.x == GPU_THREADS ? fake.cluster : 0;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaErrorLaunchFailure ? "cudaErrorLaunchFailure" : "cudaErrorOther";
}

const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorLaunchFailure ? "unspecified launch failure" : "another error";
}

/* ---- memory ---- */

static cudaError_t take(size_t bytes, void **out,
                        drmad_status (*alloc)(gpu *, drmad_ctx *, size_t, void **))
{
    int i = 0;

    while (i < PIECES_MAX && pieces[i].at) i++;
    if (i == PIECES_MAX || used() + bytes > fake.memory) return cudaErrorMemoryAllocation;
    if (alloc(host, ctx, bytes, out) != DRMAD_OK) return cudaErrorMemoryAllocation;
    pieces[i] = (piece){*out, bytes};
    fake.live++;
    return cudaSuccess;
}

static void give_back(void *p)
{
    for (int i = 0; i < PIECES_MAX; i++)
        if (p && pieces[i].at == p) pieces[i].at = NULL, fake.live--;
}

/* What comes is full of what was there before; as far as a test would look. */
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    CALL();
    const cudaError_t e = take(bytes, out, gpu_host_driver.alloc);
    const size_t dirty = bytes < DIRTY ? bytes : DIRTY;
    char *before = malloc(dirty);
    memset(before, 0x55, dirty);
    if (e == cudaSuccess) gpu_host_driver.copy(host, ctx, COPY_UP, *out, before, dirty);
    free(before);
    return e;
}

cudaError_t cudaFree(void *p)
{
    give_back(p);
    gpu_host_driver.free(host, p);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags)
{
    CALL();
    (void)flags;
    return take(bytes, out, gpu_host_driver.alloc_host);
}

cudaError_t cudaFreeHost(void *p)
{
    give_back(p);
    gpu_host_driver.free_host(host, p);
    return cudaSuccess;
}

/* ---- streams and graphs ---- */

static bool run_calls(const gpu_call *call, int32_t n)
{
    const gpu_transfer none = {0};
    gpu_program *p = NULL;
    const bool good = gpu_host_driver.record(host, ctx, call, n, &none, &none, &p) == DRMAD_OK &&
                      gpu_host_driver.run(host, ctx, p) == DRMAD_OK;

    gpu_host_driver.forget(host, p);
    return good;
}

/* The call that a list has it as. */
static gpu_call call_of(const walk_list *l, const walk_call *c, size_t shared)
{
    static const struct {
        gpu_kernel kernel;
        dtype type;
        size_t args;
    } of[WALK_BODIES] = {
#define ONE(name, T, type) [WALK_##name##_##T] = {GPU_##name, type, sizeof(name##_args)},
#define KERNEL(name) ONE(name, f32, F32)
#define KERNEL_BOTH(name) ONE(name, f32, F32) ONE(name, f64, F64)
#define KERNEL_F32(name)
#define KERNEL_ALONE(name)
#define KERNEL_APART(name)
#define KERNEL_ANY(name) ONE(name, any, F32)
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    };
    gpu_call call = {.kernel = of[c->body].kernel,
                     .type = of[c->body].type,
                     .blocks = c->end - c->first,
                     .threads = GPU_THREADS,
                     .shared = shared};

    memcpy(call.args, (const char *)l + c->args, of[c->body].args);
    return call;
}

static bool walked(const op *o)
{
    walk_list *l = malloc(o->bytes);
    gpu_call call[CALLS_MAX];
    bool good = gpu_host_driver.copy(host, ctx, COPY_DOWN, l, o->from, o->bytes) == DRMAD_OK &&
                l->calls <= CALLS_MAX;

    for (int32_t i = 0; good && i < l->calls; i++) {
        const walk_call *c = walk_calls(l) + i;
        call[i] = call_of(l, c, o->call.shared);
        call[i].wave = i == 0 ? 0 : call[i - 1].wave + (c->first == 0);
    }
    good = good && run_calls(call, l->calls);
    free(l);
    return good;
}

static bool done(const op *o)
{
    if (o->walk) return walked(o);
    if (o->run) {
        o->run(o->what);
        return true;
    }
    if (o->kernel) return run_calls(&o->call, 1);
    return gpu_host_driver.copy(host, ctx, o->way, o->to, o->from, o->bytes) == DRMAD_OK;
}

static cudaError_t now_or_later(const op *o)
{
    fake.begun++;
    if (!fake.capturing) return done(o) ? cudaSuccess : cudaErrorLaunchFailure;
    if (captured->n == OPS_MAX) return cudaErrorUnknown;
    captured->at[captured->n++] = *o;
    return cudaSuccess;
}

cudaError_t fake_later(fake_run_fn *run, const void *what, size_t n)
{
    op o = {.run = run};

    if (n > sizeof o.what) return cudaErrorInvalidValue;
    memcpy(o.what, what, n);
    return now_or_later(&o);
}

void fake_read(void *to, const void *device, size_t bytes)
{
    if (gpu_host_driver.copy(host, ctx, COPY_DOWN, to, device, bytes) != DRMAD_OK) abort();
}

void fake_write(void *device, const void *from, size_t bytes)
{
    if (gpu_host_driver.copy(host, ctx, COPY_UP, device, from, bytes) != DRMAD_OK) abort();
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t s)
{
    CALL();
    (void)s, (void)value;
    return now_or_later(&(op){.way = COPY_WITHIN, .to = to, .bytes = bytes});
}

static cudaError_t put_off(cudaStream_t s, const op *o)
{
    if (s->n == OPS_MAX) return cudaErrorUnknown;
    fake.hasty += s->seen != fake.begun;
    fake.waited = s->seen;
    s->later[s->n++] = *o;
    return cudaSuccess;
}

static cudaError_t catch_up(cudaStream_t s)
{
    bool good = true;

    for (int i = 0; i < s->n; i++) good = done(&s->later[i]) && good;
    s->n = 0;
    return good ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t s)
{
    const copy_way way = kind == cudaMemcpyHostToDevice   ? COPY_UP
                         : kind == cudaMemcpyDeviceToHost ? COPY_DOWN
                                                          : COPY_WITHIN;

    CALL();
    const op o = {.way = way, .to = to, .from = from, .bytes = bytes};
    return s->other ? put_off(s, &o) : now_or_later(&o);
}

/* The calls of one launch, one after another. */
static cudaError_t launch_many(op *o, const void *args)
{
    const size_t bytes = gpu_args_bytes(o->call.kernel);
    const cuda_many *m = args;
    const char *at = (const char *)(m + 1);
    cudaError_t e = cudaSuccess;

    for (int32_t i = 0; i < m->calls && e == cudaSuccess; i++) {
        memcpy(o->call.args, at + (size_t)i * bytes, bytes);
        o->call.blocks = m->first[i + 1] - m->first[i];
        e = now_or_later(o);
    }
    return e;
}

/* All its blocks there at once, or none. */
static cudaError_t launch_walk(const cudaLaunchConfig_t *how, const cuda_walk_args *a)
{
    const cudaLaunchAttribute *t = how->attrs;
    const bool cluster = t->id == cudaLaunchAttributeClusterDimension;
    const unsigned n = how->gridDim.x;
    const op o = {.walk = true,
                  .from = a->list,
                  .bytes = (size_t)a->bytes,
                  .call.shared = how->dynamicSmemBytes - (size_t)a->bytes};

    if (how->numAttrs != 1 || cluster != (a->cluster != 0) || how->blockDim.x != GPU_THREADS)
        return cudaErrorInvalidValue;
    if (!cluster && (t->id != cudaLaunchAttributeCooperative || !t->val.cooperative))
        return cudaErrorInvalidValue;
    if (cluster && t->val.clusterDim.x != n) return cudaErrorInvalidClusterSize;
    if (n > (unsigned)(cluster ? fake.cluster : fake.each * PROCESSORS))
        return cudaErrorCooperativeLaunchTooLarge;
    fake.walks++;
    fake.walkers = (int)n;
    return now_or_later(&o);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *kernel, void **args)
{
    const ptrdiff_t at = (const char *)kernel - kernels[0][0];
    op o = {.kernel = true};

    CALL();
    if (kernel == &walk_kernel) return launch_walk(how, args[0]);
    o.call = (gpu_call){.kernel = (gpu_kernel)(at / 4),
                        .type = at / 2 % 2 ? F64 : F32,
                        .blocks = (int32_t)how->gridDim.x,
                        .threads = (int32_t)how->blockDim.x,
                        .shared = how->dynamicSmemBytes};
    fake.launches++;
    for (unsigned i = 0; i < how->numAttrs; i++)
        fake.early += how->attrs[i].id == cudaLaunchAttributeProgrammaticStreamSerialization &&
                      how->attrs[i].val.programmaticStreamSerializationAllowed;
    if (at % 2) return launch_many(&o, args[0]);
    memcpy(o.call.args, args[0], sizeof o.call.args);
    return now_or_later(&o);
}

static cudaError_t make(size_t bytes, void **out)
{
    CALL();
    *out = calloc(1, bytes);
    fake.live++;
    return cudaSuccess;
}

static cudaError_t unmake(void *p)
{
    free(p);
    fake.live--;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    (void)flags;
    const cudaError_t e = make(sizeof **out, (void **)out);
    if (e != cudaSuccess) return e;
    (*out)->other = fake.streams++ > 0;
    (*out)->later = malloc(OPS_MAX * sizeof(op));
    return e;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    fake.streams--;
    free(s->later);
    return unmake(s);
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    CALL();
    if (fake.capturing) return cudaErrorStreamCaptureUnsupported;
    return catch_up(s);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    (void)flags;
    return make(sizeof **out, (void **)out);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    return unmake(e);
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    CALL();
    e->seen = fake.begun;
    e->of = s->other ? s : NULL;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    CALL();
    (void)flags;
    if (!s->other) return e->of ? catch_up(e->of) : cudaSuccess;
    if (e->seen > s->seen) s->seen = e->seen;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    CALL();
    fake.reached = e->seen;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    CALL();
    (void)s;
    if (mode != cudaStreamCaptureModeThreadLocal || fake.capturing) return cudaErrorUnknown;
    captured = calloc(1, sizeof *captured);
    fake.live++;
    fake.capturing = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    const bool good = fake.calls++ != fake.fail_at;

    (void)s;
    fake.capturing = false;
    *out = good ? captured : NULL;
    if (!good) free(captured), fake.live--;
    return good ? cudaSuccess : fake.error;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags)
{
    CALL();
    (void)flags;
    struct CUgraph_st *copy = malloc(sizeof *copy);
    *copy = *g;
    *out = (cudaGraphExec_t)copy;
    fake.live++;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t p, cudaStream_t s)
{
    CALL();
    (void)p, (void)s;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t p, cudaStream_t s)
{
    const struct CUgraph_st *g = (const struct CUgraph_st *)p;

    CALL();
    (void)s;
    fake.begun++;
    for (int i = 0; i < g->n; i++)
        if (!done(&g->at[i])) return cudaErrorLaunchFailure;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    return unmake(g);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t p)
{
    return unmake(p);
}
