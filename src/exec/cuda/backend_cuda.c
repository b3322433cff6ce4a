/* The backend over a driver: the device, its memory, and which addresses are its own. */
#include "exec/cuda/cuda.h"
#include "exec/cuda/gpu_code.h"
#include <stdio.h>
#include <string.h>

typedef struct cuda_backend {
    backend on;            /* first: a backend of this kind is one of these */
    gpu_state *state, own; /* state: own, which a const backend may change */
} cuda_backend;

static gpu_state *state_of(const backend *b)
{
    return ((const cuda_backend *)b)->state;
}

/* ---- what is taken ---- */

/* The number of ranges that start at `memory` or before. */
static int32_t find(const gpu_state *s, const void *memory)
{
    int32_t low = 0, high = s->ranges;

    while (low < high) {
        const int32_t mid = (low + high) / 2;
        if ((uintptr_t)s->range[mid].start <= (uintptr_t)memory) low = mid + 1;
        else high = mid;
    }
    return low;
}

bool gpu_owns(const gpu_state *s, const void *memory)
{
    const int32_t i = find(s, memory) - 1;

    return i >= 0 && (uintptr_t)memory - (uintptr_t)s->range[i].start < s->range[i].bytes;
}

static drmad_status make_room(gpu_state *s)
{
    drmad_status st = DRMAD_OK;
    const size_t room = (size_t)s->room;

    if (s->ranges < s->room) return DRMAD_OK;
    TRY(mem_resize(s->ctx, &s->range, room, 2 * room + 16, sizeof *s->range));
    s->room = (int32_t)(2 * room + 16);
done:
    return st;
}

static void add(gpu_state *s, const void *memory, size_t bytes)
{
    const int32_t at = find(s, memory);

    memmove(&s->range[at + 1], &s->range[at], (size_t)(s->ranges - at) * sizeof *s->range);
    s->range[at] = (gpu_range){memory, bytes};
    s->ranges++;
    s->used += bytes;
}

static void drop(gpu_state *s, const void *memory)
{
    const int32_t at = find(s, memory) - 1;

    if (at < 0 || s->range[at].start != memory) return;
    s->used -= s->range[at].bytes;
    s->ranges--;
    memmove(&s->range[at], &s->range[at + 1], (size_t)(s->ranges - at) * sizeof *s->range);
}

static size_t used(const gpu_state *s)
{
    return s->used + s->d->held(s->g);
}

static drmad_status check_share(const gpu_state *s, drmad_ctx *ctx, size_t bytes)
{
    const size_t taken = used(s);
    char whose[64] = "of a trial";

    if (s->share == 0 || (taken <= s->share && bytes <= s->share - taken)) return DRMAD_OK;
    if (s->trials > 1)
        snprintf(whose, sizeof whose, "of each of %d trials side by side", (int)s->trials);
    return FAIL(
        ctx, DRMAD_E_NOMEM,
        "GPU: %zu bytes more are wanted; %zu of the share of %zu bytes %s are in use: %stake "
        "a smaller batch or trajectory: {kind: replay}",
        bytes, taken, s->share, whose, s->trials > 1 ? "set worker.jobs lower, " : "");
}

drmad_status gpu_take(gpu_state *s, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(check_share(s, ctx, bytes));
    TRY(make_room(s));
    TRY(s->d->alloc(s->g, ctx, bytes, out));
    add(s, *out, bytes);
done:
    return st;
}

void gpu_give(gpu_state *s, void *memory)
{
    if (!memory) return;
    gpu_send_untold(s);
    drop(s, memory);
    s->d->free(s->g, memory);
}

/* ---- the backend's functions ---- */

static drmad_status lend(const backend *b, drmad_ctx *ctx, size_t bytes, void **out)
{
    return gpu_take(state_of(b), ctx, bytes ? bytes : 1, out);
}

static void give_back(const backend *b, drmad_ctx *ctx, void *memory)
{
    (void)ctx;
    gpu_give(state_of(b), memory);
}

/* What the driver takes besides: code of kernels, graphs, gaps between pieces. */
static size_t less_margin(size_t bytes)
{
    return bytes - bytes / 16;
}

static drmad_status room(const backend *b, size_t *out)
{
    const gpu_state *s = state_of(b);
    const size_t taken = used(s), left = s->share > taken ? s->share - taken : 0;
    drmad_status st = DRMAD_OK;
    gpu_info i;

    TRY(s->d->info(s->g, &i));
    *out = less_margin(i.free);
    if (s->share > 0 && *out > left) *out = left;
done:
    return st;
}

static drmad_status copy(const backend *b, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes)
{
    return bytes ? gpu_copy(state_of(b), ctx, way, to, from, bytes) : DRMAD_OK;
}

static drmad_status lend_host(const backend *b, drmad_ctx *ctx, size_t bytes, void **out)
{
    const gpu_state *s = state_of(b);

    return s->d->alloc_host(s->g, ctx, bytes ? bytes : 1, out);
}

static void give_host_back(const backend *b, drmad_ctx *ctx, void *memory)
{
    const gpu_state *s = state_of(b);

    (void)ctx;
    if (memory) gpu_send_untold(state_of(b));
    s->d->free_host(s->g, memory);
}

static drmad_status copy_later(const backend *b, drmad_ctx *ctx, copy_way way, void *to,
                               const void *from, size_t bytes)
{
    gpu_state *s = state_of(b);
    drmad_status st = DRMAD_OK;

    TRY(gpu_send(s));
    TRY((way == COPY_UP ? s->d->put : s->d->get)(s->g, ctx, to, from, bytes));
done:
    return st;
}

static drmad_status copied(const backend *b, drmad_ctx *ctx)
{
    const gpu_state *s = state_of(b);

    return s->d->got(s->g, ctx);
}

static drmad_status bind(const backend *b, drmad_ctx *ctx, const plan *p, void **code)
{
    return gpu_code_bind(state_of(b), ctx, p, code);
}

static drmad_status pass_new(const backend *b, drmad_ctx *ctx, const pass_spec *p, void **out)
{
    return gpu_pass_new(state_of(b), ctx, p, out);
}

static bool supports(int32_t op, dtype t)
{
    (void)t; /* all operations, in all types that their shape rules allow */
    return op >= 0 && op < OP_COUNT;
}

/* Products are whole calls, so nothing is cut. What stays in a second-level cache is kept rather
 * than computed again. */
static const plan_target target = {
    .name = "cuda",
    .align = 256,
    .fuse = true,
    .tile_bytes = SIZE_MAX / 2,
    .tile_macs = INT64_MAX / 2,
    .recompute_bytes = 4 << 20,
    .supports = supports,
};

/* ---- */

static const backend functions = {
    .version = BACKEND_VERSION,
    .name = "cuda",
    .target = &target,
    .mixed = true,
    .arena = true,
    .bind = bind,
    .run = gpu_code_run,
    .wait = gpu_code_wait,
    .release = gpu_code_release,
    .bytes = gpu_code_bytes,
    .alloc = lend,
    .free = give_back,
    .copy = copy,
    .alloc_host = lend_host,
    .free_host = give_host_back,
    .copy_later = copy_later,
    .copied = copied,
    .room = room,
    .pass_new = pass_new,
    .pass_run = gpu_pass_run,
    .pass_block = gpu_pass_block,
    .pass_free = gpu_pass_free,
};

drmad_status cuda_backend_new(drmad_ctx *ctx, const gpu_driver *d, int32_t device, backend **out)
{
    drmad_status st = DRMAD_OK;
    cuda_backend *b = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *b, &b));
    b->on = functions;
    b->own = (gpu_state){.ctx = ctx, .d = d};
    b->state = &b->own;
    if (d->version != GPU_DRIVER_VERSION)
        TRY(FAIL(ctx, DRMAD_E_INTERNAL, "cuda: a driver of version %d, expected %d", d->version,
                 GPU_DRIVER_VERSION));
    TRY(d->open(ctx, device, &b->own.g));
    *out = &b->on, b = NULL;
done:
    if (b) cuda_backend_free(&b->on);
    return st;
}

drmad_status cuda_backend_products(backend *b, gpu_products how)
{
    const gpu_state *s = state_of(b);

    return s->d->products(s->g, s->ctx, how);
}

void cuda_backend_share(backend *b, size_t bytes, int32_t trials)
{
    state_of(b)->share = bytes;
    state_of(b)->trials = trials;
}

size_t cuda_backend_used(const backend *b)
{
    return used(state_of(b));
}

void cuda_backend_free(backend *b)
{
    if (!b) return;
    gpu_state *s = state_of(b);
    s->d->close(s->g);
    mem_free(s->ctx, s->range);
    mem_free(s->ctx, b);
}

drmad_status cuda_memory(drmad_ctx *ctx, int32_t device, size_t *out)
{
    const gpu_driver *d;
    drmad_status st = DRMAD_OK;
    backend *b = NULL;

    *out = 0;
    TRY(cuda_driver_find(ctx, &d));
    TRY(cuda_backend_new(ctx, d, device, &b));
    TRY(room(b, out));
done:
    cuda_backend_free(b);
    return st;
}
