#include "mixed_device.h"
#include <sys/mman.h>

typedef struct mixed_code {
    drmad_ctx *ctx;
    mixed_device *d;
    const plan *plan;
    void *inner;
} mixed_code;

static mixed_device *device_of(const backend *b)
{
    return (mixed_device *)(uintptr_t)b;
}

static void touch(const mixed_device *d, bool on)
{
    if (mprotect(d->memory, MIXED_BYTES, on ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) abort();
}

static bool inside(const mixed_device *d, const void *p)
{
    return (const char *)p >= d->memory && (const char *)p < d->memory + MIXED_BYTES;
}

/* ---- memory ---- */

static drmad_status lend(const backend *b, drmad_ctx *ctx, size_t bytes, void **out)
{
    mixed_device *d = device_of(b);

    if (d->used + bytes + 64 > MIXED_BYTES) return FAIL(ctx, DRMAD_E_NOMEM, "device: full");
    *out = d->memory + d->used; /* fresh, so zero */
    d->used += (bytes + 127) / 64 * 64;
    d->live++;
    return DRMAD_OK;
}

static void give_back(const backend *b, drmad_ctx *ctx, void *ptr)
{
    mixed_device *d = device_of(b);

    (void)ctx;
    if (!ptr) return;
    CHECK(inside(d, ptr));
    d->live--;
}

static drmad_status copy(const backend *b, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes)
{
    mixed_device *d = device_of(b);

    if (d->calls++ == d->fail_copy_at) return FAIL(ctx, DRMAD_E_NOMEM, "device: a copy failed");
    CHECK(inside(d, to) == (way != COPY_DOWN));
    CHECK(!from || inside(d, from) == (way != COPY_UP));
    d->seen.copies += way != COPY_WITHIN;
    d->seen.copied_up += way == COPY_UP ? (int64_t)bytes : 0;
    d->seen.copied_down += way == COPY_DOWN ? (int64_t)bytes : 0;
    touch(d, true);
    if (from) memcpy(to, from, bytes);
    else memset(to, 0, bytes);
    touch(d, false);
    return DRMAD_OK;
}

/* ---- programs ---- */

static drmad_status bind(const backend *b, drmad_ctx *ctx, const plan *p, void **out)
{
    drmad_status st = DRMAD_OK;
    mixed_code *code = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *code, &code));
    *code = (mixed_code){.ctx = ctx, .d = device_of(b), .plan = p};
    TRY(backend_cpu.bind(&backend_cpu, ctx, p, &code->inner));
    *out = code, code = NULL;
done:
    mem_free(ctx, code);
    return st;
}

static void release(void *p)
{
    mixed_code *code = p;

    if (!code) return;
    backend_cpu.release(code->inner);
    mem_free(code->ctx, code);
}

static void count(mixed_device *d, int64_t *sum, size_t bytes)
{
    *sum += (int64_t)bytes;
    if ((int64_t)bytes > d->seen.largest) d->seen.largest = (int64_t)bytes;
}

static size_t leaf_bytes(const graph *g, int32_t i)
{
    const node y = graph_leaf(g, i);

    return (size_t)shape_count(graph_shape(g, y)) * dtype_size(graph_dtype(g, y));
}

static drmad_status run(void *p, const bound_memory *m)
{
    const mixed_code *code = p;
    mixed_device *d = code->d;
    const graph *g = code->plan->g;

    d->seen.runs++;
    for (int32_t i = 0; i < graph_leaves(g); i++)
        if (m->leaf[i] && !inside(d, m->leaf[i])) count(d, &d->seen.up, leaf_bytes(g, i));
    for (int32_t i = 0; i < code->plan->outs; i++)
        if (!inside(d, m->out[i])) {
            const plan_node *y = &code->plan->node[code->plan->out[i].y];
            count(d, &d->seen.down, (size_t)y->size * dtype_size(y->type));
        }
    touch(d, true);
    const drmad_status st = backend_cpu.run(code->inner, m);
    touch(d, false);
    return st;
}

static size_t code_bytes(const void *p)
{
    return backend_cpu.bytes(((const mixed_code *)p)->inner);
}

void mixed_open(mixed_device *d)
{
    memset(d, 0, sizeof *d);
    d->fail_copy_at = -1;
    d->memory = mmap(NULL, MIXED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (d->memory == MAP_FAILED) abort();
    d->on = backend_cpu;
    d->on.name = "mixed";
    d->on.host = false, d->on.mixed = true;
    d->on.bind = bind, d->on.run = run, d->on.release = release, d->on.bytes = code_bytes;
    d->on.alloc = lend, d->on.free = give_back, d->on.copy = copy;
}

void mixed_close(mixed_device *d)
{
    CHECK_INT(d->live, 0);
    munmap(d->memory, MIXED_BYTES);
}
