/* A plan, a backend's code for it, the arena, and what is bound to leaves and outputs. */
#include "exec/backend.h"
#include <string.h>

struct program {
    drmad_ctx *ctx;
    const plan *plan;
    const backend *on;
    void *code, *arena;
    const void **leaf;
    void **out;
    bool *reads; /* by leaf: the plan needs it */
};

drmad_status backend_alloc(const backend *b, drmad_ctx *ctx, size_t count, size_t size,
                           void *out_ptr)
{
    size_t bytes;
    void *got = NULL;

    memcpy(out_ptr, &got, sizeof got);
    if (!size_mul(count, size, &bytes))
        return FAIL(ctx, DRMAD_E_NOMEM, "out of memory: %zu times %zu bytes", count, size);
    const drmad_status st = b->alloc(b, ctx, bytes ? bytes : 1, &got);
    if (st == DRMAD_OK) memcpy(out_ptr, &got, sizeof got);
    return st;
}

drmad_status program_new(drmad_ctx *ctx, const plan *q, const backend *b, program **out)
{
    drmad_status st = DRMAD_OK;
    program *p = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    p->ctx = ctx;
    p->plan = q;
    p->on = b;
    if (b->version != BACKEND_VERSION)
        TRY(FAIL(ctx, DRMAD_E_INTERNAL, "backend %s: version %d, expected %d", b->name, b->version,
                 BACKEND_VERSION));
    TRY(mem_alloc(ctx, (size_t)graph_leaves(q->g) + 1, sizeof *p->leaf, &p->leaf));
    TRY(mem_alloc(ctx, (size_t)graph_leaves(q->g) + 1, sizeof *p->reads, &p->reads));
    TRY(mem_alloc(ctx, (size_t)q->outs + 1, sizeof *p->out, &p->out));
    plan_reads(q, p->reads);
    if (b->arena) TRY(backend_alloc(b, ctx, q->counts.arena + 1, 1, &p->arena));
    TRY(b->bind(b, ctx, q, &p->code));
    *out = p, p = NULL;
done:
    program_free(p);
    return st;
}

void program_free(program *p)
{
    if (!p) return;
    p->on->release(p->code);
    p->on->free(p->on, p->ctx, p->arena);
    mem_free(p->ctx, p->leaf);
    mem_free(p->ctx, p->reads);
    mem_free(p->ctx, p->out);
    mem_free(p->ctx, p);
}

bool program_reads(const program *p, int32_t number)
{
    return p->reads[number];
}

void program_set_leaf(program *p, int32_t number, const void *memory)
{
    p->leaf[number] = memory;
}

void program_set_output(program *p, int32_t i, void *memory)
{
    p->out[i] = memory;
}

static drmad_status run(program *p, bool later)
{
    const plan *q = p->plan;

    for (int32_t i = 0; i < graph_leaves(q->g); i++)
        if (p->reads[i] && !p->leaf[i])
            return FAIL(p->ctx, DRMAD_E_USAGE, "program: leaf %s has no memory",
                        graph_leaf_name(q->g, i));
    for (int32_t i = 0; i < q->outs; i++)
        if (!p->out[i]) return FAIL(p->ctx, DRMAD_E_USAGE, "program: output %d has no memory", i);
    return p->on->run(p->code, &(bound_memory){p->leaf, p->out, p->arena, later});
}

drmad_status program_run(program *p)
{
    return run(p, false);
}

drmad_status program_run_later(program *p)
{
    return run(p, p->on->wait != NULL);
}

drmad_status program_wait(program *p, int32_t leave)
{
    return p->on->wait ? p->on->wait(p->code, leave) : DRMAD_OK;
}

size_t program_bytes(const program *p)
{
    return p->plan->counts.arena + p->on->bytes(p->code);
}
