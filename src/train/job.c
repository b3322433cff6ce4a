/* Jobs: graph -> plan -> program, and the binding of leaves and outputs to slots. */
#include "train/job.h"

drmad_status job_new(drmad_ctx *ctx, const backend *on, job **out)
{
    drmad_status st = DRMAD_OK;
    job *j = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *j, &j));
    j->ctx = ctx;
    j->on = on;
    TRY(graph_new(ctx, &j->g));
    *out = j, j = NULL;
done:
    job_free(j);
    return st;
}

void job_free(job *j)
{
    if (!j) return;
    program_free(j->prog);
    plan_free(j->plan);
    graph_free(j->g);
    mem_free(j->ctx, j->leaf);
    mem_free(j->ctx, j->out);
    mem_free(j->ctx, j->out_node);
    mem_free(j->ctx, j->out_alias);
    mem_free(j->ctx, j);
}

node job_leaf(job *j, const char *name, dtype t, shape s, slot_ref ref)
{
    const size_t n = (size_t)j->leaves;
    node leaf = graph_add_leaf(j->g, name, t, s);

    if (leaf == NODE_NONE) return NODE_NONE;
    const drmad_status st = mem_resize(j->ctx, &j->leaf, n, n + 1, sizeof *j->leaf);
    if (st != DRMAD_OK) return graph_stop(j->g, st);
    j->leaf[j->leaves++] = ref;
    return leaf;
}

drmad_status job_output(job *j, node y, slot_ref ref, node alias)
{
    const size_t n = (size_t)j->outs;
    drmad_status st = graph_status(j->g);

    if (st != DRMAD_OK) return st;
    if (y == NODE_NONE)
        return FAIL(j->ctx, DRMAD_E_INTERNAL, "output %d of a plan is a constant zero", j->outs);
    TRY(mem_resize(j->ctx, &j->out, n, n + 1, sizeof *j->out));
    TRY(mem_resize(j->ctx, &j->out_node, n, n + 1, sizeof *j->out_node));
    TRY(mem_resize(j->ctx, &j->out_alias, n, n + 1, sizeof *j->out_alias));
    j->out[n] = ref;
    j->out_node[n] = y;
    j->out_alias[n] = alias == NODE_NONE ? -1 : (int32_t)graph_rec(j->g, alias)->attr.n;
    j->outs++;
done:
    return st;
}

drmad_status job_compile(job *j)
{
    drmad_status st = graph_status(j->g);
    plan_output *y = NULL;

    if (st != DRMAD_OK) return st;
    TRY(mem_alloc(j->ctx, (size_t)j->outs, sizeof *y, &y));
    for (int32_t i = 0; i < j->outs; i++) y[i] = (plan_output){j->out_node[i], j->out_alias[i]};
    TRY(plan_new(j->ctx, j->g, y, j->outs, j->on->target, &j->plan));
    TRY(program_new(j->ctx, j->plan, j->on, &j->prog));
done:
    mem_free(j->ctx, y);
    return st;
}

bool job_reads(const job *j, slot_id slot)
{
    for (int32_t i = 0; i < j->leaves; i++)
        if (j->leaf[i].slot == (int32_t)slot && program_reads(j->prog, i)) return true;
    return false;
}

static void bind(job *j, void *const slots[])
{
    for (int32_t i = 0; i < j->leaves; i++) {
        char *base = slots[j->leaf[i].slot];
        program_set_leaf(j->prog, i, base ? base + j->leaf[i].offset : NULL);
    }
    for (int32_t i = 0; i < j->outs; i++) {
        char *base = slots[j->out[i].slot];
        program_set_output(j->prog, i, base ? base + j->out[i].offset : NULL);
    }
}

drmad_status job_run(job *j, void *const slots[])
{
    bind(j, slots);
    return program_run(j->prog);
}

drmad_status job_run_later(job *j, void *const slots[])
{
    bind(j, slots);
    return program_run_later(j->prog);
}

drmad_status job_wait(job *j, int32_t leave)
{
    return program_wait(j->prog, leave);
}
