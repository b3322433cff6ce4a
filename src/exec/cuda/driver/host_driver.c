/* The driver without a GPU: runs the kernels' bodies on the CPU, block by block, phase by phase,
 * thread by thread. It is for proof, so it makes mistakes show:
 *
 *   its memory cannot be touched between runs and copies, as if it were not the host's;
 *   each piece lies before a page that nobody may touch;
 *   shared memory is NaN when a block begins, and ends where its buffer does;
 *   threads run in one order in one phase, in the other in the next: who reads in a phase what
 *   another thread writes in it gets different values;
 *   calls of one wave run backwards;
 *   where a walk is asked for (gpu_walk.h) its blocks go on in random turns;
 *   memory that changes while it travels (put, get, up ahead) ends the call that waits for it;
 *   what a get brings comes no sooner than that;
 *   a body whose threads disagree on whether there is another phase ends the run. */
#include "base/machine.h"
#include "exec/cuda/kernel/body_all.h"
#include "exec/cuda/driver/host_gpu.h"
#include "exec/cuda/kernel/product_operands.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ALIGN = 256, /* of device memory */
    WIDE = 40,   /* blocks at once, as if it had so many processors; a walk has fewer */
    SHARED = 96 << 10
};

struct gpu_program {
    gpu_call *call;
    int32_t calls;
    int64_t run; /* the number of its last */
    gpu_transfer up, down;
    char *shared, *state;
    size_t shared_bytes;
    gpu_walk walk;
    float *rounded; /* operands of a product that a library would take */
};

/* ---- kernels ---- */

/* One block; false: its threads disagree on whether there is another phase. `shared` bytes of
 * shared memory. */
typedef bool run_fn(const void *args, gpu_thread t, void *memory, size_t shared, void *state);

typedef struct kernel {
    run_fn *run;
    size_t state; /* bytes of a thread's */
} kernel;

#define RUN(name, body)                                                                            \
    static bool run_##body(const void *args, gpu_thread t, void *memory, size_t shared,            \
                           void *state)                                                            \
    {                                                                                              \
        const name##_args *x = args;                                                               \
        BODY_STATE(body) *s = state;                                                               \
        bool more = true;                                                                          \
        memset(s, 0, (size_t)t.threads * sizeof *s);                                               \
        memset(memory, 0xff, shared);                                                              \
        for (int phase = 0; more; phase++) {                                                       \
            int32_t say = 0;                                                                       \
            for (int32_t i = 0; i < t.threads; i++) {                                              \
                t.thread = (t.block + phase) % 2 ? t.threads - 1 - i : i;                          \
                say += body(x, t, &s[t.thread], memory, phase);                                    \
            }                                                                                      \
            more = say > 0;                                                                        \
            if (more && say != t.threads) return false;                                            \
        }                                                                                          \
        return true;                                                                               \
    }
#define KERNEL(name) RUN(name, name##_f32) RUN(name, name##_f64)
#define KERNEL_F32(name) RUN(name, name##_f32)
#define KERNEL_ANY(name) RUN(name, name##_any)
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL

#define ENTRY(body)                                                                                \
    {                                                                                              \
        run_##body, sizeof(BODY_STATE(body))                                                       \
    }
static const kernel kernel_table[GPU_KERNELS][2] = {
#define KERNEL(name) [GPU_##name] = {ENTRY(name##_f32), ENTRY(name##_f64)},
#define KERNEL_F32(name) [GPU_##name] = {ENTRY(name##_f32), {0}},
#define KERNEL_ANY(name) [GPU_##name] = {ENTRY(name##_any), ENTRY(name##_any)},
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
};

static const kernel walk_table[WALK_BODIES] = {
#define KERNEL(name) [WALK_##name##_f32] = ENTRY(name##_f32),
#define KERNEL_BOTH(name)                                                                          \
    [WALK_##name##_f32] = ENTRY(name##_f32), [WALK_##name##_f64] = ENTRY(name##_f64),
#define KERNEL_F32(name)
#define KERNEL_ALONE(name)
#define KERNEL_APART(name)
#define KERNEL_ANY(name) [WALK_##name##_any] = ENTRY(name##_any),
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
};

static const kernel *kernel_of(const gpu_call *c)
{
    return &kernel_table[c->kernel][c->type == F64];
}

/* ---- memory ---- */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void protect(const gpu *g, int how)
{
    for (const piece *p = g->first; p; p = p->next)
        if (p->device) mprotect(p->base, p->pages, how);
}

static drmad_status new_piece(gpu *g, drmad_ctx *ctx, size_t bytes, bool device, void **out)
{
    const size_t page = page_size(), asked = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    drmad_status st = DRMAD_OK;
    piece *p = NULL;
    size_t whole;

    *out = NULL;
    if (bytes > SIZE_MAX / 2)
        return FAIL(ctx, DRMAD_E_NOMEM, "device memory: %zu bytes asked for", bytes);
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    *p = (piece){.next = g->first, .bytes = bytes, .device = device};
    p->pages = asked > 0 ? (asked + page - 1) / page * page : page;
    whole = p->pages + page;
    p->base = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->base == MAP_FAILED)
        TRY(FAIL(ctx, DRMAD_E_NOMEM, "device memory: %zu bytes asked for", bytes));
    if (!device) mprotect(p->base, p->pages, PROT_READ | PROT_WRITE);
    p->start = p->base + p->pages - asked;
    g->used += p->pages;
    *out = p->start;
    g->first = p, p = NULL;
done:
    mem_free(ctx, p);
    return st;
}

static void free_piece(gpu *g, void *ptr)
{
    piece **at = &g->first;

    while (*at && (*at)->start != ptr) at = &(*at)->next;
    piece *p = *at;
    if (!ptr || !p) return;
    *at = p->next;
    g->used -= p->pages;
    munmap(p->base, p->pages + page_size());
    mem_free(g->ctx, p);
}

static drmad_status host_alloc(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    return new_piece(g, ctx, bytes, true, out);
}

static drmad_status host_alloc_host(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    return new_piece(g, ctx, bytes, false, out);
}

/* The piece that address is in: NULL, it is not the device's. */
static piece *piece_of(const gpu *g, const void *address)
{
    const char *at = address;
    piece *p = g->first;

    while (p && !(p->device && at >= p->start && at < p->base + p->pages)) p = p->next;
    return p;
}

drmad_status host_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                              size_t bytes)
{
    piece *const in[2] = {piece_of(g, to), from ? piece_of(g, from) : NULL};

    if (!in[0] != (way == COPY_DOWN) || (from && !in[1] != (way == COPY_UP)))
        return FAIL(ctx, DRMAD_E_INTERNAL, "copy %d: not from or to the device", (int)way);
    for (int k = 0; k < 2; k++)
        if (in[k]) mprotect(in[k]->base, in[k]->pages, PROT_READ | PROT_WRITE);
    if (from) memmove(to, from, bytes);
    else memset(to, 0, bytes);
    for (int k = 0; k < 2; k++)
        if (in[k]) mprotect(in[k]->base, in[k]->pages, PROT_NONE);
    return DRMAD_OK;
}

static drmad_status host_reach(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    return host_travels_end(g, ctx, p->run);
}

static void host_free_host(gpu *g, void *ptr)
{
    if (!ptr) return;
    host_got(g, g->ctx);
    host_travels_end(g, g->ctx, INT64_MAX);
    free_piece(g, ptr);
}

/* ---- the device ---- */

static drmad_status host_open(drmad_ctx *ctx, int32_t device, gpu **out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    if (device != 0)
        return FAIL(ctx, DRMAD_E_USAGE, "device %d: expected 0, there is one device", device);
    TRY(mem_alloc(ctx, 1, sizeof **out, out));
    (*out)->ctx = ctx;
    TRY(gpu_walk_asked(ctx, &(*out)->how));
done:
    if (st != DRMAD_OK) {
        mem_free(ctx, *out);
        *out = NULL;
    }
    return st;
}

static void host_close(gpu *g)
{
    if (!g) return;
    host_got(g, g->ctx);
    host_travels_end(g, g->ctx, INT64_MAX);
    while (g->first) free_piece(g, g->first->start);
    mem_free(g->ctx, g);
}

static drmad_status host_info(gpu *g, gpu_info *out)
{
    *out = (gpu_info){.major = 9, .processors = 1, .memory = (size_t)machine_memory()};
    snprintf(out->name, sizeof out->name, "host");
    snprintf(out->libraries, sizeof out->libraries, "none");
    out->free = out->memory > g->used ? out->memory - g->used : 0;
    return DRMAD_OK;
}

/* ---- products in less than F32: it takes the place of a library, with operands rounded ---- */

static drmad_status host_products(gpu *g, drmad_ctx *ctx, gpu_products how)
{
    (void)ctx;
    g->products = how;
    return DRMAD_OK;
}

static drmad_status host_takes(gpu *g, drmad_ctx *ctx, const gpu_call *c, bool *out)
{
    (void)ctx;
    *out = g->products != PRODUCTS_F32 && c->type == F32;
    return DRMAD_OK;
}

/* To so many bits behind the point, to nearest, halves away from 0; none is beyond the largest. */
static float round_to(float x, int bits)
{
    uint32_t v;

    memcpy(&v, &x, sizeof v);
    v += (uint32_t)1 << (22 - bits);
    v &= ~(((uint32_t)1 << (23 - bits)) - 1);
    memcpy(&x, &v, sizeof x);
    return x;
}

static size_t rounded_floats(const gpu_call *c)
{
    if (!c->library) return 0;
    const product_operands o = operands_of(c);
    return (size_t)(o.count[0] + o.count[1]);
}

/* The call with copies of its operands, rounded. */
static gpu_call round_operands(const gpu_call *c, gpu_products how, float *to)
{
    const product_operands o = operands_of(c);
    const int bits = how == PRODUCTS_BF16 && is_matmul(c) ? 7 : 10;
    gpu_call y = *c;
    matmul_args *m = (matmul_args *)(void *)y.args;
    conv_args *v = (conv_args *)(void *)y.args;
    float *at = to;

    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < o.count[k]; i++) *at++ = round_to(((float *)o.at[k])[i], bits);
    if (is_matmul(c)) m->a = to, m->b = to + o.count[0];
    else v->a = to, v->b = to + o.count[0];
    return y;
}

/* ---- programs ---- */

static void host_forget(gpu *g, gpu_program *p)
{
    if (!p) return;
    gpu_walk_free(g->ctx, &p->walk);
    mem_free(g->ctx, p->call);
    mem_free(g->ctx, p->shared);
    mem_free(g->ctx, p->state);
    mem_free(g->ctx, p->rounded);
    mem_free(g->ctx, p);
}

/* Grids of all sizes. */
static drmad_status find_walks(const gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    const bool cluster = g->how == GPU_WALK_CLUSTER;
    const gpu_walk_limits most = {cluster ? GPU_CLUSTER : WIDE, SHARED};
    drmad_status st = DRMAD_OK;

    if (g->how == GPU_WALK_NOT) return DRMAD_OK;
    TRY(gpu_walk_find(ctx, p->call, p->calls, &most, &p->walk));
    for (int32_t i = 0; i < p->walk.runs; i++) {
        gpu_walk_run *r = &p->walk.run[i];
        r->blocks = cluster ? GPU_CLUSTER : 1 + (r->call + r->calls) % (GPU_CLUSTER - 1);
    }
done:
    return st;
}

static drmad_status host_record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                                const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    drmad_status st = DRMAD_OK;
    gpu_program *p = NULL;
    size_t state = 0, rounded = 0;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *p->call, &p->call));
    if (n > 0) memcpy(p->call, calls, (size_t)n * sizeof *calls);
    p->calls = n;
    p->up = *up, p->down = *down;
    for (int32_t i = 0; i < n; i++) {
        const size_t need = kernel_of(&calls[i])->state * (size_t)calls[i].threads;
        if (need > state) state = need;
        if (rounded_floats(&calls[i]) > rounded) rounded = rounded_floats(&calls[i]);
        if (calls[i].shared > p->shared_bytes) p->shared_bytes = calls[i].shared;
    }
    p->shared_bytes = (p->shared_bytes + 63) / 64 * 64;
    TRY(mem_alloc(ctx, p->shared_bytes + 1, 1, &p->shared));
    TRY(mem_alloc(ctx, state + 1, 1, &p->state));
    if (rounded) TRY(mem_alloc(ctx, rounded, sizeof *p->rounded, &p->rounded));
    TRY(find_walks(g, ctx, p));
    *out = p, p = NULL;
done:
    host_forget(g, p);
    return st;
}

static drmad_status run_block(drmad_ctx *ctx, const gpu_program *p, const kernel *k,
                              const void *args, gpu_thread t, size_t shared)
{
    if (!k->run(args, t, p->shared + (p->shared_bytes - shared) / 16 * 16, shared, p->state))
        return FAIL(ctx, DRMAD_E_INTERNAL, "a kernel's threads disagree on its phases");
    return DRMAD_OK;
}

static drmad_status run_wave(const gpu *g, drmad_ctx *ctx, const gpu_program *p, int32_t from,
                             int32_t end)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = end - 1; i >= from; i--) {
        const gpu_call *c = &p->call[i];
        gpu_thread t = {.blocks = c->blocks, .threads = c->threads};
        gpu_call with;
        if (c->library && g->products != PRODUCTS_F32) {
            with = round_operands(c, g->products, p->rounded);
            c = &with;
        }
        for (; t.block < t.blocks; t.block++)
            TRY(run_block(ctx, p, kernel_of(c), c->args, t, c->shared));
    }
done:
    return st;
}

/* A block of a walk. */
typedef struct walking {
    walk_place at;
    walk_do last;
} walking;

static drmad_status take_turn(drmad_ctx *ctx, const gpu_program *p, const gpu_walk_run *r,
                              walking *w)
{
    const walk_list *list = (const walk_list *)(const void *)(p->walk.text + r->at);
    gpu_thread t = {.threads = GPU_THREADS};
    const walk_call *c;

    w->last = walk_next(list, &w->at, &c, &t);
    if (w->last != WALK_RUN) return DRMAD_OK;
    return run_block(ctx, p, &walk_table[c->body], (const char *)list + c->args, t, r->shared);
}

/* The walkers as far as the barrier, in random turns. */
static drmad_status walk_wave(drmad_ctx *ctx, const gpu_program *p, const gpu_walk_run *r,
                              walking *w, uint32_t *draw)
{
    drmad_status st = DRMAD_OK;
    int32_t going = r->blocks;

    for (int32_t i = 0; i < r->blocks; i++) w[i].last = WALK_RUN;
    while (going > 0) {
        *draw = *draw * 1664525u + 1013904223u;
        walking *x = &w[(*draw >> 16) % (uint32_t)r->blocks];
        if (x->last != WALK_RUN) continue;
        TRY(take_turn(ctx, p, r, x));
        going -= x->last != WALK_RUN;
    }
done:
    return st;
}

static drmad_status run_walk(drmad_ctx *ctx, const gpu_program *p, const gpu_walk_run *r)
{
    uint32_t draw = (uint32_t)r->call;
    drmad_status st = DRMAD_OK;
    walking w[GPU_CLUSTER];

    for (int32_t i = 0; i < r->blocks; i++)
        w[i] = (walking){.at = {.block = i, .blocks = r->blocks, .next = i}};
    for (int32_t wave = 1; wave <= r->waves; wave++) {
        TRY(walk_wave(ctx, p, r, w, &draw));
        for (int32_t i = 0; i < r->blocks; i++)
            if (w[i].last != (wave < r->waves ? WALK_WAIT : WALK_END))
                TRY(FAIL(ctx, DRMAD_E_INTERNAL, "walk: block %d is not where the others are", i));
    }
done:
    return st;
}

static drmad_status host_run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    drmad_status st = DRMAD_OK;

    st = host_ahead(g, ctx, &p->up);
    if (st != DRMAD_OK) return st;
    p->run = ++g->runs;
    protect(g, PROT_READ | PROT_WRITE);
    if (p->up.bytes) memcpy(p->up.device, p->up.host, p->up.bytes);
    for (int32_t i = 0, end; i < p->calls; i = end) {
        const gpu_walk_run *walk = gpu_walk_at(&p->walk, i);
        end = walk ? i + walk->calls : gpu_wave_end(p->call, p->calls, i);
        TRY(walk ? run_walk(ctx, p, walk) : run_wave(g, ctx, p, i, end));
    }
    if (p->down.bytes) memcpy(p->down.host, p->down.device, p->down.bytes);
done:
    protect(g, PROT_NONE);
    return st;
}

static size_t host_held(const gpu *g)
{
    (void)g;
    return 0;
}

/* Run returns when all is done. */
static drmad_status host_wait(gpu *g, drmad_ctx *ctx)
{
    return host_travels_end(g, ctx, INT64_MAX);
}

const gpu_driver gpu_host_driver = {
    .version = GPU_DRIVER_VERSION,
    .open = host_open,
    .close = host_close,
    .info = host_info,
    .products = host_products,
    .takes = host_takes,
    .alloc = host_alloc,
    .free = free_piece,
    .held = host_held,
    .copy = host_copy,
    .alloc_host = host_alloc_host,
    .free_host = host_free_host,
    .record = host_record,
    .run = host_run,
    .wait = host_wait,
    .reach = host_reach,
    .put = host_put,
    .get = host_get,
    .got = host_got,
    .forget = host_forget,
};
