/* The code of a plan: made and given up; its calls, of one run and of several one behind another.
 * Each of the runs of a program has its own part of the blocks on the device, which addresses in
 * its calls point into: so the plan is lowered for each, and each has a tape of its own. So have
 * programs of one run whose blocks travel ahead, by seat. */
#include "exec/cuda/code_inside.h"
#include <stddef.h>
#include <string.h>

enum { APART_MAX = 32 << 20 }; /* bytes of results that have memory of their own */

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
                           .d = c->state->d,
                           .g = c->state->g,
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
    TRY(mem_alloc(ctx, RING * (size_t)c->out.n + 1, sizeof *c->sent, &c->sent));
    TRY(find_leaves(c));
    TRY(count(c));
    c->lower.tape_device = c->lower.scratch = NULL; /* the device's from here on */
    TRY(mem_alloc(ctx, (size_t)c->calls + 1, sizeof *c->lower.call, &c->lower.call));
    TRY(mem_alloc(ctx, c->tape_bytes + 1, 1, &c->lower.tape));
    TRY(gpu_take(s, ctx, c->tape_bytes + 1, &c->tape));
    TRY(gpu_take(s, ctx, c->scratch_bytes + 1, &c->lower.scratch));
    *out = c, c = NULL;
done:
    gpu_code_release(c);
    return st;
}

/* ---- given up ---- */

void code_forget(gpu_code *c)
{
    gpu_state *s = c->state;

    for (int i = 0; i < RING; i++)
        for (int k = 0; k < BATCHES; k++) {
            s->d->forget(s->g, c->seat[i].program[k]);
            c->seat[i].program[k] = NULL;
        }
}

void code_free_blocks(gpu_code *c)
{
    gpu_state *s = c->state;

    code_forget(c);
    for (int i = 0; i < RING; i++) {
        s->d->free_host(s->g, c->seat[i].up);
        s->d->free_host(s->g, c->seat[i].down);
        c->seat[i] = (gpu_seat){.up = NULL};
    }
    gpu_give(s, c->up);
    gpu_give(s, c->down);
    c->up = c->down = NULL;
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
    gpu_send_untold(s);
    if (s->last == c) s->last = NULL;
    s->d->wait(s->g, c->ctx);
    code_free_blocks(c);
    slots_free(c, &c->leaf);
    slots_free(c, &c->out);
    gpu_give(s, c->tape);
    gpu_give(s, c->tapes);
    gpu_give(s, c->lower.scratch);
    gpu_waves_free(&c->lower.waves, c->ctx);
    void *const host[] = {c->lower.place, c->leaf_at,    c->out_at,
                          c->lower.call,  c->lower.tape, c->sent};
    for (size_t i = 0; i < COUNT(host); i++) mem_free(c->ctx, host[i]);
    mem_free(c->ctx, c);
}

size_t gpu_code_bytes(const void *code)
{
    const gpu_code *c = code;
    const size_t runs = (size_t)code_parts(c);

    return runs * (c->tape_bytes + c->up_bytes + c->down_bytes) + c->scratch_bytes + c->own_bytes;
}

/* ---- calls ---- */

/* Of run i; NULL where there are no such blocks. */
static char *part(void *blocks, int32_t i, size_t bytes)
{
    return blocks ? (char *)blocks + (size_t)i * bytes : NULL;
}

char *code_block(const gpu_code *c, int32_t seat, bool down)
{
    const gpu_seat *own = &c->seat[c->batched ? 0 : seat];
    const int32_t at = c->batched ? seat : 0;

    return down ? part(own->down, at, c->down_bytes) : part(own->up, at, c->up_bytes);
}

/* To c->lower.call, for the run that has part `i` of the blocks. */
static drmad_status lower(gpu_code *c, int32_t i)
{
    const gpu_state *s = c->state;
    char *const up = part(c->up, i, c->up_bytes), *const down = part(c->down, i, c->down_bytes);
    gpu_lower *l = &c->lower;
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < c->leaf.n; k++) c->leaf_at[k] = code_address(&c->leaf.at[k], up);
    for (int32_t k = 0; k < c->out.n; k++) c->out_at[k] = code_address(&c->out.at[k], down);
    l->bad = (uint64_t *)(void *)down;
    l->tape_device = i == 0 ? c->tape : part(c->tapes, i - 1, c->tape_bytes);
    TRY(gpu_lower_steps(l));
    if (l->calls > c->calls || l->tape_used > c->tape_bytes || l->scratch_most > c->scratch_bytes)
        TRY(FAIL(c->ctx, DRMAD_E_INTERNAL, "cuda: a program of %d calls grew to %d", c->calls,
                 l->calls));
    if (l->tape_used) TRY(s->d->copy(s->g, c->ctx, COPY_UP, l->tape_device, l->tape, l->tape_used));
done:
    return st;
}

typedef struct call_list {
    gpu_call *call;
    int32_t n;
} call_list;

static int32_t next_wave(const call_list *list)
{
    return list->n > 0 ? list->call[list->n - 1].wave + 1 : 0;
}

/* Carries what the table at `offset` of the gpu_carry in part i says. */
static void add_carry(const gpu_code *c, int32_t i, size_t offset, call_list *list)
{
    const char *table = part(c->up, i, c->up_bytes) + c->staged_bytes + offset;
    const carry_args args = {.table = (const carry_table *)(const void *)table,
                             .bytes = (int64_t)c->carried};
    gpu_call call = {.kernel = GPU_carry, .type = F32, .wave = next_wave(list)};

    memcpy(call.args, &args, sizeof args);
    gpu_geometry(&call);
    list->call[list->n++] = call;
}

static drmad_status add_run(gpu_code *c, int32_t i, call_list *list)
{
    drmad_status st = DRMAD_OK;

    TRY(lower(c, i));
    if (c->carried) add_carry(c, i, offsetof(gpu_carry, before), list);
    const int32_t first = next_wave(list);
    for (int32_t k = 0; k < c->lower.calls; k++) {
        list->call[list->n] = c->lower.call[k];
        list->call[list->n++].wave += first;
    }
    if (c->carried && c->out.movings > 0) add_carry(c, i, offsetof(gpu_carry, after), list);
done:
    return st;
}

drmad_status code_record(gpu_code *c, int32_t first, int32_t runs, gpu_program **out)
{
    const gpu_state *s = c->state;
    const size_t n = (size_t)runs;
    const int32_t at = c->ahead ? first : 0;
    const gpu_transfer up = {part(c->up, at, c->up_bytes), code_block(c, first, false),
                             n * c->up_bytes, c->ahead};
    const gpu_transfer down = {part(c->down, at, c->down_bytes), code_block(c, first, true),
                               n * c->down_bytes, false};
    call_list list = {.n = 0};
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(mem_alloc(c->ctx, n * ((size_t)c->calls + 2), sizeof *list.call, &list.call));
    for (int32_t i = 0; i < runs; i++) TRY(add_run(c, at + i, &list));
    TRY(s->d->record(s->g, c->ctx, list.call, list.n, &up, &down, out));
done:
    mem_free(c->ctx, list.call);
    return st;
}
