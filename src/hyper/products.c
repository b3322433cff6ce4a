/* The plan of the implicit estimator: the second-order products of a batch along a direction from
 * outside. */
#include "hyper/parts.h"

/* Decay inside the optimiser: training ends where dL/dw + wd w = 0, decoupled or not. */
static void add_decay(walker *w, parts *p, int32_t i)
{
    graph *g = p->j->g;
    const space *s = w->t->spec.space;
    const hyper_use *u = space_find(s, HYPER_WEIGHT_DECAY, i);
    node wd = trainer_leaf_or(w->t, p->j, p->n, HYPER_WEIGHT_DECAY, i, w->t->spec.weight_decay);

    if (wd == NODE_NONE) return;
    node decay = g_mul(g, g_bcast(g, wd, *graph_shape(g, p->u[i])), p->u[i]);
    p->hess[i] = p->hess[i] == NODE_NONE ? decay : g_add(g, p->hess[i], decay);
    if (u)
        p->use_cot[u - s->uses] =
            g_sum_to(g, g_mul(g, p->u[i], p->n->w[i]), w->t->use[u - s->uses].leaf);
}

/* H u of one tensor; a device adds it to those of the batches before. */
static drmad_status put_product(walker *w, parts *p, int32_t i)
{
    const param *q = &w->t->spec.params->at[i];
    const slot_ref to = {SLOT_HU, q->offset * (int64_t)sizeof(double)};
    graph *g = p->j->g;

    if (!implicit_sums(w))
        return job_output(p->j, p->out[0][i], trainer_tensor_ref(w->t, SLOT_HU, i), p->given[i]);
    node sum = job_leaf(p->j, "sum of products", F64, q->shape, to);
    return job_output(p->j, g_add(g, sum, g_cast(g, p->out[0][i], F64)), to, sum);
}

/* The same products for a u and an r~' from outside, without a step around them. */
drmad_status walker_build_products(walker *w)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    parts p = {0};

    TRY(job_new(w->ctx, t->on, &w->back));
    TRY(parts_new(w, w->back, &p));
    p.vectors = 1;
    TRY(parts_gradient(w, &p));
    for (int32_t i = 0; i < p.tensors; i++) {
        const param *q = &t->spec.params->at[i];
        const bool statistic = q->role == PARAM_STAT;
        node given = job_leaf(p.j, statistic ? "dF/d(statistic)" : "u", t->spec.dtype, q->shape,
                              trainer_tensor_ref(t, statistic ? SLOT_WCOT : SLOT_U, i));
        p.u[i] = statistic ? NODE_NONE : given;
        p.cot[0][i] = statistic ? given : NODE_NONE;
    }
    TRY(parts_second_order(w, &p));
    for (int32_t i = 0; i < p.tensors; i++) {
        if (p.u[i] != NODE_NONE) add_decay(w, &p, i);
        p.out[0][i] = p.hess[i];
    }
    TRY(parts_substitute(w, &p));
    for (int32_t i = 0; i < p.tensors; i++) /* the oracle's H u, to which nothing comes, is there */
        if (p.out[0][i] != p.given[i]) TRY(put_product(w, &p, i));
    TRY(parts_put_cotangents(w, &p));
    TRY(job_compile(p.j));
done:
    parts_free(w->ctx, &p);
    return st;
}
