#include "mixed_device.h"
#include <sys/mman.h>

enum { IN_FLIGHT = 32, ROOM = 8 };

typedef struct late_output {
    int64_t run; /* by number */
    void *to, *from;
    size_t bytes;
} late_output;

typedef struct mixed_code {
    drmad_ctx *ctx;
    mixed_device *d;
    const plan *plan;
    void *inner;
    const void **leaf; /* of one run */
    void **out;
    const void **bound; /* leaves and outputs of the last run */
    bool *reads;        /* by leaf */
    late_output *late;
    int64_t begun;
    int32_t runs, lates; /* in flight */
} mixed_code;

static mixed_device *device_of(const backend *b)
{
    return (mixed_device *)(uintptr_t)b;
}

static bool inside(const mixed_device *d, const void *p)
{
    return (const char *)p >= d->memory && (const char *)p < d->memory + MIXED_BYTES;
}

/* Where the device finds it. */
void *mixed_real(const mixed_device *d, const void *p)
{
    return inside(d, p) ? d->real + ((const char *)p - d->memory) : (void *)(uintptr_t)p;
}

/* ---- memory ---- */

static drmad_status lend(const backend *b, drmad_ctx *ctx, size_t bytes, void **out)
{
    mixed_device *d = device_of(b);

    if (bytes == d->refused || d->used + bytes + 64 > MIXED_BYTES)
        return FAIL(ctx, DRMAD_E_NOMEM, "device: full");
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
    if (from) memcpy(mixed_real(d, to), mixed_real(d, from), bytes);
    else memset(mixed_real(d, to), 0, bytes);
    return DRMAD_OK;
}

/* ---- programs ---- */

static void release(void *p)
{
    mixed_code *code = p;

    if (!code) return;
    for (int32_t i = 0; i < code->lates; i++) free(code->late[i].from);
    backend_cpu.release(code->inner);
    mem_free(code->ctx, code->leaf);
    mem_free(code->ctx, code->out);
    mem_free(code->ctx, code->late);
    mem_free(code->ctx, code->bound);
    mem_free(code->ctx, code->reads);
    mem_free(code->ctx, code);
}

static drmad_status bind(const backend *b, drmad_ctx *ctx, const plan *p, void **out)
{
    drmad_status st = DRMAD_OK;
    mixed_code *code = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *code, &code));
    *code = (mixed_code){.ctx = ctx, .d = device_of(b), .plan = p};
    TRY(mem_alloc(ctx, (size_t)graph_leaves(p->g) + 1, sizeof *code->leaf, &code->leaf));
    TRY(mem_alloc(ctx, (size_t)p->outs + 1, sizeof *code->out, &code->out));
    TRY(mem_alloc(ctx, (size_t)(graph_leaves(p->g) + p->outs) + 1, sizeof *code->bound,
                  &code->bound));
    TRY(mem_alloc(ctx, IN_FLIGHT * (size_t)p->outs + 1, sizeof *code->late, &code->late));
    TRY(mem_alloc(ctx, (size_t)graph_leaves(p->g) + 1, sizeof *code->reads, &code->reads));
    plan_reads(code->plan, code->reads);
    TRY(backend_cpu.bind(&backend_cpu, ctx, p, &code->inner));
    *out = code, code = NULL;
done:
    release(code);
    return st;
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

/* Those of the older runs in flight come only now. */
static drmad_status wait(void *p, int32_t leave)
{
    mixed_code *code = p;
    int32_t left = 0;

    if (code->runs <= leave) return DRMAD_OK;
    for (int32_t i = 0; i < code->lates; i++) {
        const late_output o = code->late[i];
        if (o.run >= code->begun - leave) {
            code->late[left++] = o;
            continue;
        }
        memcpy(o.to, o.from, o.bytes);
        free(o.from);
    }
    code->d->seen.waits++;
    code->runs = leave, code->lates = left;
    return DRMAD_OK;
}

/* Where the run writes output i: late ones beside their memory, which is spoilt meanwhile. */
static void *written(mixed_code *code, const bound_memory *m, int32_t i, size_t bytes)
{
    if (!m->later || inside(code->d, m->out[i])) return mixed_real(code->d, m->out[i]);
    void *from = malloc(bytes);
    memset(m->out[i], 0xff, bytes);
    code->late[code->lates++] = (late_output){code->begun - 1, m->out[i], from, bytes};
    return from;
}

/* Counts the device's addresses that are not those of the run before. */
static void note_address(mixed_code *code, int32_t i, const void *now)
{
    const void *before = code->bound[i];

    code->d->seen.moved +=
        before && before != now && (inside(code->d, now) || inside(code->d, before));
    code->bound[i] = now;
}

static drmad_status run(void *p, const bound_memory *m)
{
    mixed_code *code = p;
    mixed_device *d = code->d;
    const graph *g = code->plan->g;

    if (!m->later || code->runs == IN_FLIGHT) wait(code, m->later ? IN_FLIGHT - ROOM : 0);
    code->runs += m->later, code->begun += m->later;
    d->seen.runs++;
    for (int32_t i = 0; i < graph_leaves(g); i++) {
        code->leaf[i] = mixed_real(d, m->leaf[i]);
        if (code->reads[i]) note_address(code, i, m->leaf[i]);
    }
    for (int32_t i = 0; i < code->plan->outs; i++)
        note_address(code, graph_leaves(g) + i, m->out[i]);
    for (int32_t i = 0; i < graph_leaves(g); i++)
        if (code->reads[i] && !inside(d, m->leaf[i])) count(d, &d->seen.up, leaf_bytes(g, i));
    for (int32_t i = 0; i < code->plan->outs; i++) {
        const plan_node *y = &code->plan->node[code->plan->out[i].y];
        const size_t bytes = (size_t)y->size * dtype_size(y->type);
        if (!inside(d, m->out[i])) count(d, &d->seen.down, bytes);
        code->out[i] = written(code, m, i, bytes);
    }
    const drmad_status st = backend_cpu.run(
        code->inner,
        &(bound_memory){.leaf = code->leaf, .out = code->out, .arena = mixed_real(d, m->arena)});
    d->seen.waits += !m->later;
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
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    d->memory = mmap(NULL, MIXED_BYTES, PROT_NONE, how, -1, 0);
    d->real = mmap(NULL, MIXED_BYTES, PROT_READ | PROT_WRITE, how, -1, 0);
    if (d->memory == MAP_FAILED || d->real == MAP_FAILED) abort();
    d->on = backend_cpu;
    d->on.name = "mixed";
    d->on.host = false, d->on.mixed = true;
    d->on.wait = wait;
    d->on.bind = bind, d->on.run = run, d->on.release = release, d->on.bytes = code_bytes;
    d->on.alloc = lend, d->on.free = give_back, d->on.copy = copy;
    mixed_passes(&d->on);
}

void mixed_close(mixed_device *d)
{
    CHECK_INT(d->live, 0);
    munmap(d->memory, MIXED_BYTES);
    munmap(d->real, MIXED_BYTES);
}
