/* A run is as many waves in a row as there are of which each call has a body in `walk`, none is
 * wider than WALK_ROUNDS grids, and whose list fits a block's shared memory. */
#include "exec/cuda/driver/gpu_walk.h"
#include <stdlib.h>
#include <string.h>

enum {
    WALK_ROUNDS = 4 /* in wider waves the processors are busy anyway; a guess, not measured */
};

/* What a list needs so far. */
typedef struct extent {
    int32_t calls, waves, widest;
    size_t args, shared;
} extent;

static walk_body body_of(const gpu_call *c)
{
    static const walk_body of[GPU_KERNELS][2] = {
#define KERNEL(name) [GPU_##name] = {WALK_##name##_f32, WALK_NOTHING},
#define KERNEL_BOTH(name) [GPU_##name] = {WALK_##name##_f32, WALK_##name##_f64},
#define KERNEL_F32(name) [GPU_##name] = {WALK_NOTHING, WALK_NOTHING},
#define KERNEL_ALONE KERNEL_F32
#define KERNEL_APART KERNEL_F32
#define KERNEL_ANY(name) [GPU_##name] = {WALK_##name##_any, WALK_##name##_any},
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    };

    return c->library ? WALK_NOTHING : of[c->kernel][c->type == F64];
}

static size_t args_of(const gpu_call *c)
{
    return (gpu_args_bytes(c->kernel) + WALK_ALIGN - 1) / WALK_ALIGN * WALK_ALIGN;
}

static size_t bytes_of(const extent *e)
{
    return sizeof(walk_list) + (size_t)e->calls * sizeof(walk_call) + e->args;
}

/* Adds the wave of calls [i, end) to *e; false: it is not to be walked, or has no room there. */
static bool add_wave(const gpu_call *call, int32_t i, int32_t end, const gpu_walk_limits *m,
                     extent *e)
{
    extent x = *e;
    int64_t blocks = 0;

    for (; i < end; i++) {
        const gpu_call *c = &call[i];
        if (c->blocks == 0) continue;
        if (body_of(c) == WALK_NOTHING || c->threads != GPU_THREADS) return false;
        blocks += c->blocks;
        x.calls++;
        x.args += args_of(c);
        if (c->shared > x.shared) x.shared = c->shared;
    }
    if (blocks > (int64_t)WALK_ROUNDS * m->blocks || bytes_of(&x) + x.shared > m->shared)
        return false;
    if (blocks > x.widest) x.widest = (int32_t)blocks;
    x.waves += blocks > 0;
    *e = x;
    return true;
}

/* The waves from call i on that go together; gives the call behind them, at least one wave on. */
static int32_t extend(const gpu_call *call, int32_t n, int32_t i, const gpu_walk_limits *m,
                      extent *e)
{
    int32_t end = gpu_wave_end(call, n, i);

    *e = (extent){0};
    if (!add_wave(call, i, end, m, e)) return end;
    while (end < n && add_wave(call, end, gpu_wave_end(call, n, end), m, e))
        end = gpu_wave_end(call, n, end);
    return end;
}

static void write_list(const gpu_call *call, const gpu_walk_run *r, void *to)
{
    walk_list *l = to;
    walk_call *c = (walk_call *)(void *)(l + 1);
    int32_t wave = -1, first = 0;

    for (int32_t i = r->call; i < r->call + r->calls; i++) l->calls += call[i].blocks > 0;
    size_t at = sizeof *l + (size_t)l->calls * sizeof *c;
    for (int32_t i = r->call; i < r->call + r->calls; i++) {
        const gpu_call *from = &call[i];
        if (from->blocks == 0) continue;
        if (from->wave != wave) wave = from->wave, first = 0;
        *c++ = (walk_call){(int32_t)body_of(from), first, first + from->blocks, (int32_t)at};
        first += from->blocks;
        memcpy((char *)to + at, from->args, args_of(from));
        at += args_of(from);
    }
}

drmad_status gpu_walk_find(drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_walk_limits *m, gpu_walk *out)
{
    drmad_status st = DRMAD_OK;
    extent e;

    *out = (gpu_walk){.runs = 0};
    TRY(mem_alloc(ctx, (size_t)n / 2 + 1, sizeof *out->run, &out->run));
    for (int32_t i = 0, end; i < n; i = end) {
        end = extend(calls, n, i, m, &e);
        if (e.waves < 2) continue;
        out->run[out->runs++] = (gpu_walk_run){.call = i,
                                               .calls = end - i,
                                               .waves = e.waves,
                                               .widest = e.widest,
                                               .at = out->bytes,
                                               .bytes = bytes_of(&e),
                                               .shared = e.shared};
        out->bytes += bytes_of(&e);
    }
    TRY(mem_alloc(ctx, out->bytes + 1, 1, &out->text));
    for (int32_t i = 0; i < out->runs; i++)
        write_list(calls, &out->run[i], out->text + out->run[i].at);
done:
    return st;
}

void gpu_walk_free(drmad_ctx *ctx, gpu_walk *w)
{
    mem_free(ctx, w->run);
    mem_free(ctx, w->text);
    *w = (gpu_walk){.runs = 0};
}

const gpu_walk_run *gpu_walk_at(const gpu_walk *w, int32_t call)
{
    for (int32_t i = 0; i < w->runs; i++)
        if (w->run[i].call == call && w->run[i].blocks > 0) return &w->run[i];
    return NULL;
}

drmad_status gpu_walk_asked(drmad_ctx *ctx, gpu_walk_how *out)
{
    const char *word = getenv("DRMAD_CUDA_WALK");

    *out = GPU_WALK_NOT;
    if (!word || !*word) return DRMAD_OK;
    if (strcmp(word, "grid") == 0) *out = GPU_WALK_GRID;
    else if (strcmp(word, "cluster") == 0) *out = GPU_WALK_CLUSTER;
    else return FAIL(ctx, DRMAD_E_USAGE, "DRMAD_CUDA_WALK=%s: expected grid or cluster", word);
    return DRMAD_OK;
}
