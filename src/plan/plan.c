/* plan_new: checks what it is given, runs the passes in order, counts. */
#include "plan/plan_inside.h"

static drmad_status check_output(const plan *p, int32_t i)
{
    const plan_output *o = &p->out[i];
    char a[128], b[128];

    if (o->y < 0 || o->y >= graph_size(p->g))
        return FAIL(p->ctx, DRMAD_E_MODEL, "plan: output %d is node %d, expected one of %d", i,
                    o->y, graph_size(p->g));
    if (o->alias == -1) return DRMAD_OK;
    if (o->alias < 0 || o->alias >= graph_leaves(p->g))
        return FAIL(p->ctx, DRMAD_E_USAGE,
                    "plan: output %d may overwrite leaf %d, expected one of %d", i, o->alias,
                    graph_leaves(p->g));
    const node leaf = graph_leaf(p->g, o->alias);
    if (graph_dtype(p->g, leaf) != graph_dtype(p->g, o->y) ||
        shape_count(graph_shape(p->g, leaf)) != shape_count(graph_shape(p->g, o->y)))
        return FAIL(p->ctx, DRMAD_E_USAGE, "plan: output %d, %s%s, cannot overwrite leaf %s, %s%s",
                    i, dtype_name(graph_dtype(p->g, o->y)),
                    shape_print(graph_shape(p->g, o->y), a, sizeof a),
                    graph_leaf_name(p->g, o->alias), dtype_name(graph_dtype(p->g, leaf)),
                    shape_print(graph_shape(p->g, leaf), b, sizeof b));
    for (int32_t j = 0; j < i; j++)
        if (p->out[j].alias == o->alias)
            return FAIL(p->ctx, DRMAD_E_USAGE, "plan: outputs %d and %d both overwrite leaf %s", j,
                        i, graph_leaf_name(p->g, o->alias));
    return DRMAD_OK;
}

static void count(plan *p)
{
    plan_counts *c = &p->counts;

    c->steps = p->steps;
    for (int32_t i = 0; i < p->steps; i++) {
        const plan_step *s = &p->step[i];
        c->nodes += s->n;
        c->matmuls += s->matmuls;
        c->macs += s->macs;
        c->groups += s->points + s->sums > 0;
        c->plains += s->points + s->sums + s->matmuls == 0;
        c->points += (s->points + s->sums) * s->count;
    }
}

static drmad_status run_passes(plan *p)
{
    drmad_status st = DRMAD_OK;
    plan_work w = {.p = p};
    const size_t room = (size_t)graph_size(p->g) + 2 * (size_t)p->outs;

    w.room = (int32_t)room;
    TRY(mem_alloc(p->ctx, room, sizeof *w.cluster, &w.cluster));
    TRY(mem_alloc(p->ctx, room, sizeof *w.next, &w.next));
    TRY(mem_alloc(p->ctx, room, sizeof *w.mark, &w.mark));
    TRY(mem_alloc(p->ctx, room, sizeof *w.stack, &w.stack));
    TRY(plan_trace(p));
    TRY(plan_attach(&w));
    TRY(plan_group(&w));
    TRY(plan_recompute(&w));
    TRY(plan_schedule(&w));
    TRY(plan_place(&w));
    count(p);
done:
    mem_free(p->ctx, w.edge);
    mem_free(p->ctx, w.cluster);
    mem_free(p->ctx, w.next);
    mem_free(p->ctx, w.mark);
    mem_free(p->ctx, w.stack);
    return st;
}

drmad_status plan_new(drmad_ctx *ctx, const graph *g, const plan_output *y, int n,
                      const plan_target *target, plan **out)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;

    *out = NULL;
    TRY(graph_status(g));
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    p->ctx = ctx;
    p->g = g;
    p->target = *target;
    p->outs = n;
    p->nodes = graph_size(g);
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *p->out, &p->out));
    /* Outputs may each add two copies (attach.c). */
    TRY(mem_alloc(ctx, (size_t)p->nodes + 2 * (size_t)n + 1, sizeof *p->node, &p->node));
    for (int32_t i = 0; i < n; i++) {
        p->out[i] = y[i];
        TRY(check_output(p, i));
    }
    TRY(run_passes(p));
    *out = p, p = NULL;
done:
    plan_free(p);
    return st;
}

void plan_free(plan *p)
{
    if (!p) return;
    mem_free(p->ctx, p->out);
    mem_free(p->ctx, p->node);
    mem_free(p->ctx, p->order);
    mem_free(p->ctx, p->step);
    mem_free(p->ctx, p);
}

void plan_reads(const plan *p, bool *reads)
{
    for (int32_t i = 0; i < graph_leaves(p->g); i++) reads[i] = false;
    for (int32_t i = 0; i < p->steps; i++)
        for (int32_t j = 0; j < p->step[i].n; j++) {
            const plan_node *v = &p->node[p->order[p->step[i].first + j]];
            for (int k = 0; k < 2 * v->n_in; k++) {
                const node u = k % 2 ? v->in[k / 2].index : v->in[k / 2].src;
                if (u != NODE_NONE && p->node[u].cls == PN_LEAF)
                    reads[graph_rec(p->g, u)->attr.n] = true;
            }
        }
}
