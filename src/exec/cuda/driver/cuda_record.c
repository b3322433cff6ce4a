/* Programs of the driver over the CUDA runtime: a CUDA graph each, captured once, then launched.
 * Where they are asked for or found, the kernel `walk` takes the place of launches (gpu_walk.h),
 * and a library that of our kernels for large products (cuda_library.h). */
#include "exec/cuda/driver/cuda_gpu.h"
#include "exec/cuda/kernel/kernels.h"
#include <string.h>

enum {
    SHARED_PLAIN = 48 << 10
}; /* bytes of shared memory that a kernel gets without being asked */

struct gpu_program {
    cudaGraphExec_t exec;
    cudaEvent_t done; /* its last run; before the first, what came before it was recorded */
    gpu_transfer up;  /* ahead: no part of the graph; else 0 bytes */
    cudaEvent_t here; /* `up` has arrived */
    void *lists; /* of the kernel `walk` */
    void *room;  /* of its libraries' calls */
    size_t held; /* bytes of both */
};

/* What becomes a program. */
typedef struct recording {
    const gpu_call *call;
    int32_t calls;
    const gpu_transfer *up, *down;
    gpu_walk walk;
} recording;

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

    TRY(cuda_answered(g, ctx, cudaFuncGetAttributes(&a, kernel_of(c, n)), "loading a kernel"));
    if (shared_of(c, n) > SHARED_PLAIN)
        TRY(cuda_answered(g, ctx,
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
    const size_t bytes = gpu_args_bytes(c->kernel);

    out->m = (cuda_many){.calls = n};
    for (int32_t i = 0; i < n; i++) {
        out->m.first[i + 1] = out->m.first[i] + c[i].blocks;
        memcpy(out->args + (size_t)i * bytes, c[i].args, bytes);
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
    TRY(cuda_answered(g, ctx, cudaLaunchKernelExC(&how, kernel_of(c, n), args),
                      "recording a kernel"));
    *behind = true;
done:
    return st;
}

static drmad_status transfer(gpu *g, drmad_ctx *ctx, copy_way way, const gpu_transfer *t)
{
    const bool up = way == COPY_UP;

    if (!t || t->bytes == 0) return DRMAD_OK;
    return cuda_answered(
        g, ctx,
        cudaMemcpyAsync(up ? t->device : t->host, up ? t->host : t->device, t->bytes,
                        up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, g->stream),
        "recording a copy");
}

static drmad_status record_calls(gpu *g, drmad_ctx *ctx, const gpu_program *p, const recording *r)
{
    drmad_status st = DRMAD_OK;
    bool behind = false, done;

    for (int32_t i = 0, k; i < r->calls; i += k) {
        const gpu_walk_run *run = gpu_walk_at(&r->walk, i);
        const gpu_call *c = &r->call[i];
        k = run ? run->calls : gpu_together(c, r->calls - i);
        done = run;
        if (run)
            TRY(cuda_answered(g, ctx, cuda_walk_launch(&g->walk, run, p->lists, g->stream),
                              "recording a walk"));
        else if (c->library) TRY(cuda_library_run(&g->library, ctx, c, p->room, &done));
        if (!done) TRY(launch(g, ctx, c, k, &behind));
        behind = behind && !done;
    }
done:
    return st;
}

/* Captures in the mode in which other threads may go on with their own. Gives *out. */
static drmad_status capture(gpu *g, drmad_ctx *ctx, const gpu_program *p, const recording *r,
                            cudaGraph_t *out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(cuda_answered(g, ctx, cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeThreadLocal),
                      "recording"));
    if (p->up.bytes == 0) st = transfer(g, ctx, COPY_UP, r->up);
    if (st == DRMAD_OK) st = record_calls(g, ctx, p, r);
    if (st == DRMAD_OK) st = transfer(g, ctx, COPY_DOWN, r->down);
    const cudaError_t e = cudaStreamEndCapture(g->stream, out); /* whatever came before */
    if (st == DRMAD_OK) st = cuda_answered(g, ctx, e, "recording");
done:
    return st;
}

static drmad_status hold(gpu *g, drmad_ctx *ctx, gpu_program *p, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_alloc(g, ctx, bytes, out));
    p->held += bytes;
    g->held += bytes;
done:
    return st;
}

/* The walks, their kernel's code, and p->lists. */
static drmad_status prepare_walks(gpu *g, drmad_ctx *ctx, gpu_program *p, recording *r)
{
    drmad_status st = DRMAD_OK;
    gpu_walk *w = &r->walk;

    if (g->walk.how == GPU_WALK_NOT) return DRMAD_OK;
    TRY(gpu_walk_find(ctx, r->call, r->calls, &g->walk.most, w));
    for (int32_t i = 0; i < w->runs; i++)
        TRY(cuda_answered(g, ctx, cuda_walk_load(&g->walk, &w->run[i]), "loading the kernel walk"));
    if (w->runs == 0) return DRMAD_OK;
    TRY(hold(g, ctx, p, w->bytes, &p->lists));
    TRY(cuda_copy(g, ctx, COPY_UP, p->lists, w->text, w->bytes));
done:
    return st;
}

/* The libraries' calls, and p->room; the code of the other kernels. */
static drmad_status prepare_calls(gpu *g, drmad_ctx *ctx, gpu_program *p, const recording *r)
{
    drmad_status st = DRMAD_OK;
    size_t room = 0;
    bool taken;

    for (int32_t i = 0; i < r->calls; i++) {
        const size_t need = r->call[i].library ? cuda_library_room(&r->call[i]) : 0;
        if (need > room) room = need;
    }
    if (room) TRY(hold(g, ctx, p, room, &p->room));
    for (int32_t i = 0, k; i < r->calls; i += k) {
        const gpu_walk_run *run = gpu_walk_at(&r->walk, i);
        const gpu_call *c = &r->call[i];
        k = run ? run->calls : gpu_together(c, r->calls - i);
        taken = run;
        if (!run && c->library) TRY(cuda_library_warm(&g->library, ctx, c, p->room, &taken));
        if (!taken) TRY(load(g, ctx, c, k));
    }
done:
    return st;
}

void cuda_forget(gpu *g, gpu_program *p)
{
    if (!p) return;
    cudaSetDevice(g->device);
    if (p->exec) {
        cudaStreamSynchronize(g->stream);
        cudaGraphExecDestroy(p->exec);
    }
    if (p->done) cudaEventDestroy(p->done);
    if (p->here) cudaEventDestroy(p->here);
    cuda_free(g, p->lists);
    cuda_free(g, p->room);
    g->held -= p->held;
    mem_free(g->ctx, p);
}

drmad_status cuda_record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                         const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    recording r = {.call = calls, .calls = n, .up = up, .down = down};
    drmad_status st = DRMAD_OK;
    gpu_program *p = NULL;
    cudaGraph_t recorded = NULL;

    *out = NULL;
    TRY(cuda_enter(g, ctx));
    TRY(mem_alloc(g->ctx, 1, sizeof *p, &p));
    TRY(cuda_answered(g, ctx, cudaEventCreateWithFlags(&p->done, cudaEventDisableTiming),
                      "making an event"));
    if (up && up->ahead) {
        p->up = *up;
        TRY(cuda_answered(g, ctx, cudaEventCreateWithFlags(&p->here, cudaEventDisableTiming),
                          "making an event"));
    }
    TRY(prepare_walks(g, ctx, p, &r));
    TRY(prepare_calls(g, ctx, p, &r));
    TRY(capture(g, ctx, p, &r, &recorded));
    TRY(cuda_answered(g, ctx, cudaGraphInstantiate(&p->exec, recorded, 0), "making a program"));
    TRY(cuda_answered(g, ctx, cudaGraphUpload(p->exec, g->stream), "sending a program"));
    TRY(cuda_answered(g, ctx, cudaEventRecord(p->done, g->stream), "marking a program's end"));
    *out = p, p = NULL;
done:
    if (recorded) cudaGraphDestroy(recorded);
    gpu_walk_free(ctx, &r.walk);
    cuda_forget(g, p);
    return st;
}

/* Waits for the program's own last run alone: only that used the memory that it goes to. */
static drmad_status send_ahead(gpu *g, drmad_ctx *ctx, const gpu_program *p)
{
    const gpu_transfer *up = &p->up;
    drmad_status st = DRMAD_OK;

    TRY(cuda_answered(g, ctx, cudaStreamWaitEvent(g->up, p->done, 0), "waiting for its turn"));
    TRY(cuda_answered(
        g, ctx, cudaMemcpyAsync(up->device, up->host, up->bytes, cudaMemcpyHostToDevice, g->up),
        "sending memory"));
    TRY(cuda_answered(g, ctx, cudaEventRecord(p->here, g->up), "marking a copy's end"));
    TRY(cuda_answered(g, ctx, cudaStreamWaitEvent(g->stream, p->here, 0), "waiting for a copy"));
done:
    return st;
}

drmad_status cuda_run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    if (p->up.bytes) TRY(send_ahead(g, ctx, p));
    TRY(cuda_answered(g, ctx, cudaGraphLaunch(p->exec, g->stream), "starting a program"));
    TRY(cuda_answered(g, ctx, cudaEventRecord(p->done, g->stream), "marking a program's end"));
done:
    return st;
}

drmad_status cuda_reach(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    drmad_status st = DRMAD_OK;

    TRY(cuda_enter(g, ctx));
    TRY(cuda_answered(g, ctx, cudaEventSynchronize(p->done), "running a program"));
done:
    return st;
}
