/* The code of a plan: its calls, and how what is bound to its leaves and outputs gets to them.
 *
 *   direct   memory of the device, the same in every run: used as it is
 *   staged   memory of the host: through page-locked blocks, one way up and one down for all,
 *            which are part of the recorded program
 *   moving   anything else: a place of its own on the device, and a copy before or after
 *
 * An address begins as direct or staged. The first that does not stay so makes it moving, and the
 * program is recorded again, at most once for each leaf and output. */
#include "exec/cuda/gpu_code.h"
#include "exec/cuda/gpu_lower.h"
#include <string.h>

enum {
    ALIGN = 256,
    APART_MAX = 32 << 20, /* bytes of results that have memory of their own */
    RING = 8 /* blocks for each way: so many runs go off before the host waits for the device */
};

typedef enum way { WAY_UNUSED, WAY_NEW, WAY_DIRECT, WAY_STAGED, WAY_MOVING } way;

typedef struct gpu_slot {
    way way;
    size_t bytes, at; /* at: in the block, staged */
    void *device;     /* what calls use */
    void *own;        /* moving: memory to give back, of this and slots behind it */
} gpu_slot;

/* Leaves or outputs. */
typedef struct gpu_slots {
    gpu_slot *at;
    int32_t n;
    int32_t *moving; /* those, by their memory's address when they began to move */
    int32_t movings;
} gpu_slots;

/* The program once, with blocks of its own in host memory. */
typedef struct gpu_copy {
    void *up, *down;
    gpu_program *program;
    void **out; /* where the outputs of a run under way go */
} gpu_copy;

typedef struct gpu_code {
    drmad_ctx *ctx;
    gpu_state *state;
    const plan *plan;
    gpu_slots leaf, out;
    const void **leaf_at; /* addresses for lowering */
    void **out_at;
    gpu_lower lower;
    size_t tape_bytes, scratch_bytes, up_bytes, down_bytes, own_bytes;
    int32_t calls;
    bool flags, begun, lowered;
    void *up, *down; /* the blocks on the device */
    gpu_copy copy[RING];
    int32_t in_flight; /* runs since the last wait, of which copies know; at most RING */
} gpu_code;

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- counting ---- */

/* An address that nobody reads; all differ. */
static void *nowhere(int32_t i)
{
    return (void *)((uintptr_t)(i + 1) << 36); /* NOLINT */
}

static drmad_status find_leaves(gpu_code *c)
{
    const plan *p = c->plan;
    drmad_status st = DRMAD_OK;
    bool *reads = NULL;

    TRY(mem_alloc(c->ctx, (size_t)c->leaf.n + 1, sizeof *reads, &reads));
    plan_reads(p, reads);
    for (int32_t i = 0; i < c->leaf.n; i++) {
        if (!reads[i]) continue;
        c->leaf.at[i].way = WAY_NEW;
        c->leaf.at[i].bytes = p->node[graph_leaf(p->g, i)].bytes;
    }
    for (int32_t i = 0; i < c->out.n; i++) {
        c->out.at[i].way = WAY_NEW;
        c->out.at[i].bytes = p->node[p->out[i].y].bytes;
    }
done:
    mem_free(c->ctx, reads);
    return st;
}

static drmad_status count(gpu_code *c)
{
    drmad_status st = DRMAD_OK;
    int32_t n = 0;

    for (int32_t i = 0; i < c->leaf.n; i++) c->leaf_at[i] = nowhere(n++);
    for (int32_t i = 0; i < c->out.n; i++) {
        const int32_t leaf = c->plan->out[i].alias;
        c->out_at[i] = leaf < 0 ? nowhere(n++) : (void *)(uintptr_t)c->leaf_at[leaf];
    }
    c->lower = (gpu_lower){.ctx = c->ctx,
                           .plan = c->plan,
                           .leaf = c->leaf_at,
                           .out = c->out_at,
                           .arena = nowhere(n),
                           .bad = nowhere(n + 1),
                           .apart = true,
                           .scratch = nowhere(n + 2),
                           .tape_device = nowhere(n + 3)};
    TRY(mem_alloc(c->ctx, (size_t)c->plan->nodes + 1, sizeof *c->lower.place, &c->lower.place));
    TRY(gpu_lower_steps(&c->lower));
    if (c->lower.scratch_most > APART_MAX) {
        c->lower.apart = false;
        TRY(gpu_lower_steps(&c->lower));
    }
    c->calls = c->lower.call_room = c->lower.calls;
    c->flags = c->lower.flags;
    c->tape_bytes = c->lower.tape_room = c->lower.tape_used;
    c->scratch_bytes = c->lower.scratch_most;
done:
    return st;
}

static drmad_status slots_new(drmad_ctx *ctx, gpu_slots *s, int32_t n)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *s->at, &s->at));
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *s->moving, &s->moving));
    s->n = n;
done:
    return st;
}

drmad_status gpu_code_bind(gpu_state *s, drmad_ctx *ctx, const plan *p, void **out)
{
    drmad_status st = DRMAD_OK;
    gpu_code *c = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *c, &c));
    *c = (gpu_code){.ctx = ctx, .state = s, .plan = p};
    TRY(slots_new(ctx, &c->leaf, graph_leaves(p->g)));
    TRY(slots_new(ctx, &c->out, p->outs));
    TRY(mem_alloc(ctx, (size_t)c->leaf.n + 1, sizeof *c->leaf_at, &c->leaf_at));
    TRY(mem_alloc(ctx, (size_t)c->out.n + 1, sizeof *c->out_at, &c->out_at));
    TRY(find_leaves(c));
    TRY(count(c));
    c->lower.tape_device = c->lower.scratch = NULL; /* the device's from here on */
    TRY(mem_alloc(ctx, (size_t)c->calls + 1, sizeof *c->lower.call, &c->lower.call));
    TRY(mem_alloc(ctx, c->tape_bytes + 1, 1, &c->lower.tape));
    TRY(gpu_take(s, ctx, c->tape_bytes + 1, &c->lower.tape_device));
    TRY(gpu_take(s, ctx, c->scratch_bytes + 1, &c->lower.scratch));
    *out = c, c = NULL;
done:
    gpu_code_release(c);
    return st;
}

static void free_blocks(gpu_code *c)
{
    gpu_state *s = c->state;

    for (int i = 0; i < RING; i++) {
        s->d->free_host(s->g, c->copy[i].up);
        s->d->free_host(s->g, c->copy[i].down);
        mem_free(c->ctx, c->copy[i].out);
        c->copy[i] = (gpu_copy){.up = NULL};
    }
    gpu_give(s, c->up);
    gpu_give(s, c->down);
    c->up = c->down = NULL;
}

static void forget(gpu_code *c)
{
    const gpu_state *s = c->state;

    for (int i = 0; i < RING; i++) {
        s->d->forget(s->g, c->copy[i].program);
        c->copy[i].program = NULL;
    }
}

static void slots_free(const gpu_code *c, gpu_slots *s)
{
    for (int32_t i = 0; i < s->n; i++) gpu_give(c->state, s->at[i].own);
    mem_free(c->ctx, s->at);
    mem_free(c->ctx, s->moving);
}

void gpu_code_release(void *code)
{
    gpu_code *c = code;

    if (!c) return;
    gpu_state *s = c->state;
    s->d->wait(s->g, c->ctx);
    forget(c);
    slots_free(c, &c->leaf);
    slots_free(c, &c->out);
    free_blocks(c);
    gpu_give(s, c->lower.tape_device);
    gpu_give(s, c->lower.scratch);
    gpu_waves_free(&c->lower.waves, c->ctx);
    void *const host[] = {c->lower.place, c->leaf_at, c->out_at, c->lower.call, c->lower.tape};
    for (size_t i = 0; i < COUNT(host); i++) mem_free(c->ctx, host[i]);
    mem_free(c->ctx, c);
}

size_t gpu_code_bytes(const void *code)
{
    const gpu_code *c = code;

    return c->tape_bytes + c->scratch_bytes + c->up_bytes + c->down_bytes + c->own_bytes;
}

/* ---- where things lie ---- */

/* The first run says what is staged; the blocks have their sizes from there on. */
static drmad_status make_blocks(gpu_code *c, const bound_memory *m)
{
    gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;

    c->up_bytes = 0, c->down_bytes = c->flags ? ALIGN : 0; /* the flag comes first */
    for (int32_t i = 0; i < c->leaf.n; i++) {
        if (c->leaf.at[i].way == WAY_UNUSED || gpu_owns(s, m->leaf[i])) continue;
        c->leaf.at[i].at = c->up_bytes;
        c->up_bytes += round_up(c->leaf.at[i].bytes);
    }
    for (int32_t i = 0; i < c->out.n; i++) {
        if (gpu_owns(s, m->out[i])) continue;
        c->out.at[i].at = c->down_bytes;
        c->down_bytes += round_up(c->out.at[i].bytes);
    }
    free_blocks(c); /* of a first run that failed */
    if (c->up_bytes) TRY(gpu_take(s, c->ctx, c->up_bytes, &c->up));
    if (c->down_bytes) TRY(gpu_take(s, c->ctx, c->down_bytes, &c->down));
done:
    return st;
}

/* Is it decided how `memory` gets to the calls, and still right? Decides it at first. */
static bool stays(const gpu_code *c, gpu_slot *s, const void *memory, void *block)
{
    const bool owned = gpu_owns(c->state, memory);

    switch (s->way) {
    case WAY_NEW:
        s->way = owned ? WAY_DIRECT : WAY_STAGED;
        s->device = owned ? (void *)(uintptr_t)memory : (char *)block + s->at;
        return true;
    case WAY_DIRECT: return owned && s->device == memory;
    case WAY_STAGED: return !owned;
    default: return true;
    }
}

/* Does slot j lie behind slot i in what is bound to them? */
static bool follows(const gpu_slots *s, const void *const *memory, int32_t i, int32_t j)
{
    return memory[j] == (const char *)memory[i] + s->at[i].bytes;
}

static void sort_by_address(int32_t *list, int32_t n, const void *const *memory)
{
    for (int32_t i = 1; i < n; i++) {
        const int32_t k = list[i];
        int32_t j = i;
        for (; j > 0 && (uintptr_t)memory[list[j - 1]] > (uintptr_t)memory[k]; j--)
            list[j] = list[j - 1];
        list[j] = k;
    }
}

/* Slots that lie behind one another get places that do so too: one copy for all. */
static drmad_status make_places(gpu_code *c, gpu_slots *s, const int32_t *list, int32_t n)
{
    drmad_status st = DRMAD_OK;
    size_t bytes = 0;

    for (int32_t k = 0; k < n; k++) bytes += s->at[list[k]].bytes;
    TRY(gpu_code_wait(c)); /* for what they now are */
    TRY(gpu_take(c->state, c->ctx, bytes, &s->at[list[0]].own));
    char *device = s->at[list[0]].own;
    for (int32_t k = 0; k < n; k++) {
        s->at[list[k]].way = WAY_MOVING;
        s->at[list[k]].device = device;
        device += s->at[list[k]].bytes;
    }
    s->movings += n;
    c->own_bytes += bytes;
    c->lowered = false;
done:
    return st;
}

static drmad_status settle(gpu_code *c, gpu_slots *s, const void *const *memory, void *block)
{
    drmad_status st = DRMAD_OK;
    int32_t *list = s->moving + s->movings, n = 0;

    for (int32_t i = 0; i < s->n; i++)
        if (!stays(c, &s->at[i], memory[i], block)) list[n++] = i;
    sort_by_address(list, n, memory);
    for (int32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && follows(s, memory, list[end - 1], list[end]);) end++;
        TRY(make_places(c, s, list + i, end - i));
    }
done:
    return st;
}

static drmad_status lower(gpu_code *c, void *arena)
{
    const gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;

    TRY(gpu_code_wait(c));
    forget(c);
    for (int32_t i = 0; i < c->leaf.n; i++) c->leaf_at[i] = c->leaf.at[i].device;
    for (int32_t i = 0; i < c->out.n; i++) c->out_at[i] = c->out.at[i].device;
    c->lower.arena = arena;
    c->lower.bad = c->down;
    TRY(gpu_lower_steps(&c->lower));
    if (c->lower.calls > c->calls || c->lower.tape_used > c->tape_bytes ||
        c->lower.scratch_most > c->scratch_bytes)
        TRY(FAIL(c->ctx, DRMAD_E_INTERNAL, "cuda: a program of %d calls grew to %d", c->calls,
                 c->lower.calls));
    if (c->lower.tape_used)
        TRY(s->d->copy(s->g, c->ctx, COPY_UP, c->lower.tape_device, c->lower.tape,
                       c->lower.tape_used));
    c->lowered = true;
done:
    return st;
}

static drmad_status settle_all(gpu_code *c, const bound_memory *m)
{
    drmad_status st = DRMAD_OK;

    if (!c->begun) TRY(make_blocks(c, m));
    c->begun = true;
    TRY(settle(c, &c->leaf, m->leaf, c->up));
    TRY(settle(c, &c->out, (const void *const *)m->out, c->down));
    if (!c->lowered) TRY(lower(c, m->arena));
done:
    return st;
}

/* ---- running ---- */

static drmad_status new_copy(gpu_code *c, gpu_copy *x)
{
    const gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;

    if (c->up_bytes && !x->up) TRY(s->d->alloc_host(s->g, c->ctx, c->up_bytes, &x->up));
    if (c->down_bytes && !x->down) TRY(s->d->alloc_host(s->g, c->ctx, c->down_bytes, &x->down));
    if (!x->out) TRY(mem_alloc(c->ctx, (size_t)c->out.n + 1, sizeof *x->out, &x->out));
    const gpu_transfer up = {c->up, x->up, c->up_bytes}, down = {c->down, x->down, c->down_bytes};
    TRY(s->d->record(s->g, c->ctx, c->lower.call, c->lower.calls, &up, &down, &x->program));
done:
    return st;
}

/* One whose blocks no run under way still needs. */
static drmad_status choose_copy(gpu_code *c, gpu_copy **out)
{
    drmad_status st = DRMAD_OK;

    if (c->in_flight == RING) TRY(gpu_code_wait(c));
    *out = &c->copy[c->in_flight];
    if (!(*out)->program) TRY(new_copy(c, *out));
done:
    return st;
}

/* What moves to its place, or from there where `back`; what lies behind one another together. */
static drmad_status copy_moving(const gpu_code *c, const gpu_slots *s, const void *const *memory,
                                bool back)
{
    const gpu_state *g = c->state;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0, end; i < s->movings; i = end) {
        const gpu_slot *v = &s->at[s->moving[i]];
        size_t bytes = v->bytes;
        for (end = i + 1; end < s->movings; end++) {
            const gpu_slot *next = &s->at[s->moving[end]];
            if (!follows(s, memory, s->moving[end - 1], s->moving[end]) ||
                next->device != (char *)v->device + bytes)
                break;
            bytes += next->bytes;
        }
        void *const there = (void *)(uintptr_t)memory[s->moving[i]];
        const copy_way to = gpu_owns(g, there) ? COPY_WITHIN : back ? COPY_DOWN : COPY_UP;
        TRY(g->d->copy(g->g, c->ctx, to, back ? there : v->device, back ? v->device : there,
                       bytes));
    }
done:
    return st;
}

static void stage(const gpu_code *c, const bound_memory *m, void *block)
{
    for (int32_t i = 0; i < c->leaf.n; i++) {
        const gpu_slot *v = &c->leaf.at[i];
        if (v->way == WAY_STAGED) memcpy((char *)block + v->at, m->leaf[i], v->bytes);
    }
}

/* What a run has left for the host. */
static uint64_t take(const gpu_code *c, const gpu_copy *x)
{
    uint64_t bad = 0;

    for (int32_t i = 0; i < c->out.n; i++)
        if (c->out.at[i].way == WAY_STAGED)
            memcpy(x->out[i], (char *)x->down + c->out.at[i].at, c->out.at[i].bytes);
    if (c->flags) memcpy(&bad, x->down, sizeof bad);
    return bad;
}

drmad_status gpu_code_wait(void *code)
{
    gpu_code *c = code;
    const gpu_state *s = c->state;
    const int32_t runs = c->in_flight;
    drmad_status st = DRMAD_OK;
    uint64_t bad = 0;

    c->in_flight = 0;
    if (runs == 0) return DRMAD_OK;
    TRY(s->d->wait(s->g, c->ctx));
    for (int32_t i = 0; i < runs; i++) {
        const uint64_t more = take(c, &c->copy[i]);
        if (bad == 0) bad = more;
    }
    if (bad == 0) return DRMAD_OK;
    TRY(s->d->copy(s->g, c->ctx, COPY_WITHIN, c->down, NULL, sizeof bad));
    return FAIL(c->ctx, DRMAD_E_DATA, "index %d of a table of %d rows", (int32_t)(uint32_t)bad,
                (int32_t)(bad >> 32 & 0x7fffffff));
done:
    return st;
}

drmad_status gpu_code_run(void *code, const bound_memory *m)
{
    gpu_code *c = code;
    const gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;
    gpu_copy *x;

    TRY(settle_all(c, m));
    TRY(choose_copy(c, &x));
    stage(c, m, x->up);
    TRY(copy_moving(c, &c->leaf, m->leaf, false));
    for (int32_t i = 0; i < c->out.n; i++) x->out[i] = m->out[i];
    TRY(s->d->run(s->g, c->ctx, x->program));
    c->in_flight += c->up_bytes + c->down_bytes > 0;
    TRY(copy_moving(c, &c->out, (const void *const *)m->out, true));
    if (c->down_bytes && !m->later) TRY(gpu_code_wait(c));
done:
    return st;
}
