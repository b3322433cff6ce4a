/* The reverse step as one plan, and the walk over all steps.
 *
 * With w~ = dF/dw', b~ = dF/db' on entry (b: each of the optimiser's buffers) and L the batch's
 * loss with penalties (DESIGN section 2):
 *
 *   (w^, b^, u, h~)  = VJP of the optimiser's fragment, its gradient operand a leaf
 *   (H u, h~)        = one JVP of the joint gradient (dL/dw, dL/dh) along (w: u, h: 0)
 *   w~ = w^ + H u    b~ = b^
 *
 * The fragment's outputs and the values behind them are read from the trajectory
 * (optim_substitutes), so the primal weight gradient is formed only where a momentum's
 * hypergradient needs it on a path without b.
 * Checked: tests/hyper/, against differences of whole runs in double and against forward mode. */
#include "ad/ad.h"
#include "hyper/parts.h"
#include <math.h>
#include <string.h>

void parts_free(drmad_ctx *ctx, parts *p)
{
    void *all[] = {p->grad,   p->grad_leaf, p->u,        p->step_u,  p->squares,  p->squares_next,
                   p->hess,   p->given,     p->use_grad, p->use_cot, p->momentum, p->list,
                   p->mapped, p->from,      p->to,       p->rate[0], p->rate[1]};

    net_free(ctx, p->n);
    for (int k = 0; k < OPTIM_VECTORS; k++) mem_free(ctx, p->cot[k]);
    for (int k = 0; k < OPTIM_VECTORS; k++) mem_free(ctx, p->out[k]);
    for (size_t i = 0; i < COUNT(all); i++) mem_free(ctx, all[i]);
}

drmad_status parts_new(walker *w, job *j, parts *p)
{
    const size_t n = (size_t)w->t->spec.params->n, uses = (size_t)w->t->spec.space->n_uses + 1;
    const size_t all = (OPTIM_PAIRS + 2) * n + 2 * uses + 2 * (size_t)w->sums +
                       RATE_SLOTS * (size_t)w->rates + (size_t)w->t->masks;
    node **by_tensor[] = {&p->grad,    &p->grad_leaf,    &p->u,    &p->step_u,
                          &p->squares, &p->squares_next, &p->hess, &p->given};
    drmad_status st = DRMAD_OK;

    *p =
        (parts){.j = j, .tensors = (int32_t)n, .uses = (int32_t)uses - 1, .vectors = w->t->vectors};
    TRY(net_new(w->ctx, w->t, &p->n));
    for (size_t i = 0; i < COUNT(by_tensor); i++)
        TRY(mem_alloc(w->ctx, n, sizeof(node), by_tensor[i]));
    for (int32_t k = 0; k < p->vectors; k++) {
        TRY(mem_alloc(w->ctx, n, sizeof(node), &p->cot[k]));
        TRY(mem_alloc(w->ctx, n, sizeof(node), &p->out[k]));
    }
    TRY(mem_alloc(w->ctx, uses, sizeof(node), &p->use_grad));
    TRY(mem_alloc(w->ctx, uses, sizeof(node), &p->use_cot));
    TRY(mem_alloc(w->ctx, (size_t)w->sums + 1, sizeof *p->momentum, &p->momentum));
    for (int k = 0; k < RATE_SLOTS; k++)
        TRY(mem_alloc(w->ctx, (size_t)w->rates + 1, sizeof(node), &p->rate[k]));
    TRY(mem_alloc(w->ctx, all, sizeof(node), &p->list));
    TRY(mem_alloc(w->ctx, all, sizeof(node), &p->mapped));
    TRY(mem_alloc(w->ctx, all, sizeof(node), &p->from));
    TRY(mem_alloc(w->ctx, all, sizeof(node), &p->to));
    for (size_t i = 0; i < n; i++) p->given[i] = NODE_NONE;
    for (size_t i = 0; i < uses; i++) p->use_grad[i] = p->use_cot[i] = NODE_NONE;
    for (size_t i = 0; i < n; i++) p->squares[i] = NODE_NONE;
    p->rate_cot = NODE_NONE;
done:
    return st;
}

drmad_status parts_gradient(walker *w, parts *p)
{
    graph *g = p->j->g;
    const space *s = w->t->spec.space;
    drmad_status st = DRMAD_OK;

    p->n->adjoint = true;
    TRY(trainer_build_gradient(w->t, p->j, p->n, p->grad));
    if (p->n->total == NODE_NONE) goto done;
    node one = g_ones_like(g, p->n->total);
    for (int32_t i = 0; i < p->uses; i++)
        if (p->n->use[i] != NODE_NONE && !about_optimiser(s->uses[i].kind))
            TRY(ad_vjp(g, 1, &p->n->total, &one, 1, &p->n->use[i], &p->use_grad[i]));
done:
    return st;
}

/* The adjoint of one tensor's optimiser step, its gradient a leaf. */
static drmad_status build_update_adjoint(walker *w, parts *p, int32_t i)
{
    enum { G = OPTIM_VECTORS, H = G + 1, ALL = H + OPTIM_HYPERS };
    trainer *t = w->t;
    const optim_step *o = &p->n->step[i];
    node x[ALL], present[ALL], cot[ALL], c[OPTIM_VECTORS];
    drmad_status st = DRMAD_OK;
    int n = 0;

    if (t->spec.params->at[i].role == PARAM_STAT) {
        for (int32_t k = 0; k < p->vectors; k++) p->out[k][i] = NODE_NONE;
        p->u[i] = p->step_u[i] = NODE_NONE;
        return DRMAD_OK;
    }
    for (int k = 0; k < OPTIM_VECTORS; k++) x[k] = o->in.state[k];
    for (int k = 0; k < OPTIM_HYPERS; k++) x[H + k] = o->in.h[k];
    x[G] = o->in.g;
    for (int32_t k = 0; k < p->vectors; k++) c[k] = p->cot[k][i];
    for (int k = 0; k < ALL; k++)
        if (x[k] != NODE_NONE) present[n++] = x[k];
    TRY(ad_vjp(p->j->g, p->vectors, o->next, c, n, present, cot));
    for (int k = ALL - 1; k >= 0; k--) cot[k] = x[k] == NODE_NONE ? NODE_NONE : cot[--n];
    for (int32_t k = 0; k < p->vectors; k++) p->out[k][i] = cot[k];
    p->step_u[i] = p->u[i] = cot[G];
    if (trainer_tunes_schedule(t) && trainer_follows(t, i)) {
        const node one = g_reshape(p->j->g, cot[H + OPTIM_LR], SHAPE(1));
        p->rate_cot = p->rate_cot == NODE_NONE ? one : g_add(p->j->g, p->rate_cot, one);
    }
    for (int k = 0; k < OPTIM_HYPERS; k++) {
        const hyper_use *u = space_find(t->spec.space, optim_kind_of((optim_hyper)k), i);
        if (u && !(k == OPTIM_MOMENTUM && !w->exact))
            p->use_cot[u - t->spec.space->uses] = cot[H + k];
    }
done:
    return st;
}

/* ... and of the clipping before all of them. */
static drmad_status build_clip_adjoint(walker *w, parts *p)
{
    const hyper_use *use = space_find(w->t->spec.space, HYPER_CLIP, -1);
    node *x = p->list, *y = p->from, *c = p->mapped;
    drmad_status st = DRMAD_OK;
    int32_t n = 0;

    if (w->t->spec.optim.clip == CLIP_NONE) return DRMAD_OK;
    for (int32_t i = 0; i < p->tensors; i++) {
        if (p->n->clipped[i] == NODE_NONE) continue;
        x[n] = p->grad_leaf[i], y[n] = p->n->clipped[i], c[n++] = p->step_u[i];
    }
    if (use) x[n] = p->n->use[use - w->t->spec.space->uses];
    TRY(ad_vjp(p->j->g, n, y, c, use ? n + 1 : n, x, p->to));
    if (use) p->use_cot[use - w->t->spec.space->uses] = p->to[n];
    for (int32_t i = p->tensors - 1; i >= 0; i--)
        if (p->n->clipped[i] != NODE_NONE) p->u[i] = p->to[--n];
done:
    return st;
}

static drmad_status build_optimiser(walker *w, parts *p)
{
    trainer *t = w->t;
    job *j = p->j;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < p->tensors; i++) {
        const param *q = &t->spec.params->at[i];
        p->grad_leaf[i] =
            job_leaf(j, "gradient", t->spec.dtype, q->shape, (slot_ref){SLOT_NONE, 0});
        for (int32_t k = 0; k < p->vectors; k++)
            p->cot[k][i] = job_leaf(j, "dF/d(state)", t->spec.dtype, q->shape,
                                    trainer_tensor_ref(t, SLOT_WCOT + k, i));
    }
    TRY(trainer_build_update(t, j, p->n, p->grad_leaf));
    for (int32_t i = 0; i < p->tensors; i++) TRY(build_update_adjoint(w, p, i));
    TRY(build_clip_adjoint(w, p));
done:
    return st;
}

/* H u and the mixed products, by one JVP. Running statistics r enter the total as <c, r'> with
 * c = 0, whose tangent is r~': so the same JVP adds (dr'/dw)' r~' to H u, (dr'/dh)' r~' to h~, and
 * gives r~ = (dr'/dr)' r~'. */
drmad_status parts_second_order(walker *w, parts *p)
{
    graph *g = p->j->g;
    drmad_status st = DRMAD_OK;
    node *x = p->from, *tangent = p->mapped;
    int32_t n = p->tensors, nx = 0;

    for (int32_t i = 0; i < p->tensors; i++) {
        x[nx] = p->n->w[i], tangent[nx++] = p->u[i];
        if (p->n->next_cot[i] == NODE_NONE) continue;
        x[nx] = p->n->next_cot[i], tangent[nx++] = p->cot[0][i];
    }

    memcpy(p->list, p->grad, (size_t)n * sizeof(node));
    for (int32_t i = 0; i < p->uses; i++)
        if (p->use_grad[i] != NODE_NONE) p->list[n++] = p->use_grad[i];
    TRY(ad_jvp(g, nx, x, tangent, n, p->list, p->to));
    memcpy(p->hess, p->to, (size_t)p->tensors * sizeof(node));
    n = p->tensors;
    for (int32_t i = 0; i < p->uses; i++)
        if (p->use_grad[i] != NODE_NONE) p->use_cot[i] = p->to[n++];
    for (int32_t i = 0; w->t->spec.oracle && i < p->tensors; i++) {
        p->given[i] = job_leaf(p->j, "H u", w->t->spec.dtype, w->t->spec.params->at[i].shape,
                               trainer_tensor_ref(w->t, SLOT_HU, i));
        p->hess[i] = p->hess[i] == NODE_NONE ? p->given[i] : g_add(g, p->hess[i], p->given[i]);
    }
done:
    return st;
}

static void add_hessian(parts *p)
{
    for (int32_t i = 0; i < p->tensors; i++)
        if (p->hess[i] != NODE_NONE)
            p->out[0][i] =
                p->out[0][i] == NODE_NONE ? p->hess[i] : g_add(p->j->g, p->out[0][i], p->hess[i]);
}

/* The transposed sums of the momentum on a path without b (optim.h). */
static void build_momentum_sums(walker *w, parts *p)
{
    trainer *t = w->t;
    job *j = p->j;

    for (int32_t k = 0; k < w->sums; k++) {
        const momentum_sum *sum = &w->sum[k];
        const int32_t i = t->spec.space->uses[sum->use].tensor;
        const param *q = &t->spec.params->at[i];
        const optim_step *o = &p->n->step[i];
        const slot_ref z = {sum->slot + 2, 0};
        optim_momentum *m = &p->momentum[k];

        m->z = job_leaf(j, "momentum sum", t->spec.dtype, q->shape, z);
        m->active = job_leaf(j, "active", t->spec.dtype, shape_ones(q->shape.rank),
                             (slot_ref){sum->slot, 0});
        node cot = g_mul(j->g, g_bcast(j->g, o->in.h[OPTIM_LR], q->shape),
                         p->cot[0][i]); /* of s, or of b' */
        if (t->spec.optim.form == FORM_PYTORCH) cot = g_neg(j->g, cot);
        m->step_cot = t->spec.optim.nesterov ? cot : NODE_NONE;
        if (t->spec.optim.nesterov)
            cot = g_mul(j->g, g_bcast(j->g, o->in.h[OPTIM_MOMENTUM], q->shape), cot);
        m->buffer_cot = g_add(j->g, p->cot[1][i], cot);
        optim_momentum_build(j->g, &t->spec.optim, o, m);
    }
}

/* <u, p> for each element of a rate: by pairing where one number is wanted and nothing else asks
 * for the gradient. `pair` is <u, dL/dw> of the tensor, NODE_NONE with an oracle. */
static node rate_product(const walker *w, const parts *p, int32_t i, const shape *leaf, node pair)
{
    const optim_step *o = &p->n->step[i];
    graph *g = p->j->g;

    if (pair == NODE_NONE || w->sums > 0 || shape_count(leaf) > 1 ||
        w->t->spec.optim.clip != CLIP_NONE)
        return g_sum_to(g, g_mul(g, p->step_u[i], o->p), *leaf);
    pair = g_reshape(g, pair, *leaf);
    if (o->p == o->in.g) return pair;
    const node w0 = o->in.state[0];
    const shape full = *graph_shape(g, w0);
    node decay = g_mul(g, g_mul(g, g_bcast(g, o->in.h[OPTIM_DECAY], full), w0), p->u[i]);
    return g_add(g, pair, g_sum_to(g, decay, *leaf));
}

/* What rates.c asks of each step. */
static drmad_status build_rates(walker *w, parts *p)
{
    graph *g = p->j->g;
    drmad_status st = DRMAD_OK;

    if (w->rates == 0) return DRMAD_OK;
    for (int32_t i = 0; i < p->tensors; i++) p->list[i] = NODE_NONE;
    if (!w->t->spec.oracle) TRY(ad_pairing(g, p->n->total, p->tensors, p->n->w, p->u, p->list));
    for (int32_t k = 0; k < w->rates; k++) {
        const use_state *u = &w->t->use[w->rate[k].use];
        const int32_t i = u->use->tensor;
        const optim_in *in = &p->n->step[i].in;
        const node wd = in->h[OPTIM_DECAY], w0 = in->state[0];
        const shape full = *graph_shape(g, w0);

        p->rate[RATE_PRODUCT][k] = rate_product(w, p, i, &u->leaf, p->list[i]);
        p->rate[RATE_DECAY][k] = NODE_NONE;
        if (wd == NODE_NONE || !w->t->spec.optim.decoupled) continue;
        node decay = g_mul(g, g_mul(g, g_bcast(g, wd, full), w0), p->cot[0][i]);
        p->rate[RATE_DECAY][k] = g_neg(g, g_sum_to(g, decay, u->leaf));
    }
    st = graph_status(g);
done:
    return st;
}

/* All outputs, in the order in which put_back reads them. */
static int32_t gather_outputs(const walker *w, const parts *p)
{
    int32_t n = 0;

    for (int32_t k = 0; k < p->vectors; k++)
        for (int32_t i = 0; i < p->tensors; i++) p->list[n++] = p->out[k][i];
    for (int32_t i = 0; i < p->tensors; i++) p->list[n++] = p->u[i];
    for (int32_t i = 0; i < p->tensors; i++)
        if (p->squares[i] != NODE_NONE) p->list[n++] = p->squares[i];
    if (p->rate_cot != NODE_NONE) p->list[n++] = p->rate_cot;
    for (int32_t i = 0; i < p->uses; i++)
        if (p->use_cot[i] != NODE_NONE) p->list[n++] = p->use_cot[i];
    for (int32_t k = 0; k < w->sums; k++) {
        p->list[n++] = p->momentum[k].product;
        p->list[n++] = p->momentum[k].z1;
    }
    for (int32_t k = 0; k < RATE_SLOTS * w->rates; k++)
        p->list[n++] = p->rate[k % RATE_SLOTS][k / RATE_SLOTS];
    return n;
}

static void put_back(const walker *w, parts *p, const node *list)
{
    int32_t n = 0;

    for (int32_t k = 0; k < p->vectors; k++)
        for (int32_t i = 0; i < p->tensors; i++) p->out[k][i] = list[n++];
    for (int32_t i = 0; i < p->tensors; i++) p->u[i] = list[n++];
    for (int32_t i = 0; i < p->tensors; i++)
        if (p->squares[i] != NODE_NONE) p->squares[i] = list[n++];
    if (p->rate_cot != NODE_NONE) p->rate_cot = list[n++];
    for (int32_t i = 0; i < p->uses; i++)
        if (p->use_cot[i] != NODE_NONE) p->use_cot[i] = list[n++];
    for (int32_t k = 0; k < w->sums; k++) {
        p->momentum[k].product = list[n++];
        p->momentum[k].z1 = list[n++];
    }
    for (int32_t k = 0; k < RATE_SLOTS * w->rates; k++)
        p->rate[k % RATE_SLOTS][k / RATE_SLOTS] = list[n++];
}

/* The first `pairs` of from and to, in all outputs. */
static drmad_status substitute(parts *p, const walker *w, int32_t pairs)
{
    const int32_t n = gather_outputs(w, p);
    drmad_status st = DRMAD_OK;

    TRY(ad_substitute(p->j->g, pairs, p->from, p->to, n, p->list, p->mapped));
    put_back(w, p, p->mapped);
done:
    return st;
}

/* The averaged squares from those after the step, where the trajectory gives only their cells. */
static drmad_status substitute_squares(walker *w, parts *p)
{
    trainer *t = w->t;
    const int32_t v = optim_squares(&t->spec.optim);
    int32_t pairs = 0;

    if (!w->squares) return DRMAD_OK;
    for (int32_t i = 0; i < p->tensors; i++) {
        const shape s = t->spec.params->at[i].shape;
        if (t->spec.params->at[i].role == PARAM_STAT) continue;
        const node low =
            job_leaf(p->j, "low", t->spec.dtype, s, trainer_tensor_ref(t, SLOT_LOW, i));
        p->from[pairs] = p->n->step[i].in.state[v];
        p->to[pairs++] = p->squares[i] =
            optim_squares_before(p->j->g, &t->spec.optim, &p->n->step[i], p->squares_next[i], low);
    }
    return substitute(p, w, pairs);
}

/* The fragment's values from the trajectory; then the gradient itself wherever it is still asked
 * for. */
static drmad_status substitute_known(walker *w, parts *p)
{
    trainer *t = w->t;
    job *j = p->j;
    drmad_status st = DRMAD_OK;
    int32_t pairs = 0;

    for (int32_t i = 0; i < p->tensors; i++) {
        const param *q = &t->spec.params->at[i];
        if (q->role == PARAM_STAT) continue;
        const hyper_use *lr = space_find(t->spec.space, HYPER_LR, i);
        optim_known k = {.exact = w->exact};
        slot_ref inverse = {SLOT_NONE, 0};
        shape leaf = shape_ones(q->shape.rank);

        if (lr) {
            const int32_t u = (int32_t)(lr - t->spec.space->uses);
            inverse = trainer_use_ref(t, u, USE_INVERSE);
            leaf = t->use[u].leaf;
        }
        for (int32_t v = 0; v < p->vectors; v++)
            k.next[v] = job_leaf(j, v == 0 ? "w'" : "b'", t->spec.dtype, q->shape,
                                 trainer_tensor_ref(t, SLOT_W1 + v, i));
        k.inv_lr = job_leaf(j, "1/lr", t->spec.dtype, leaf, inverse);
        pairs += optim_substitutes(j->g, &t->spec.optim, &p->n->step[i], &k, p->from + pairs,
                                   p->to + pairs);
        if (w->squares) p->squares_next[i] = k.next[optim_squares(&t->spec.optim)];
    }
    TRY(substitute(p, w, pairs));
    TRY(substitute_squares(w, p));
    memcpy(p->from, p->grad_leaf, (size_t)p->tensors * sizeof(node));
    memcpy(p->to, p->grad, (size_t)p->tensors * sizeof(node));
    TRY(substitute(p, w, p->tensors));
done:
    return st;
}

/* Zeros for the leaves whose tangents carried the running statistics' adjoint; ReLU masks of the
 * true run in place of those of the path (DESIGN section 2, the grid's rules). */
drmad_status parts_substitute(walker *w, parts *p)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    int32_t pairs = 0;

    for (int32_t i = 0; i < p->tensors; i++) {
        if (p->n->next_cot[i] == NODE_NONE) continue;
        p->from[pairs] = p->n->next_cot[i];
        p->to[pairs++] = g_zeros_like(p->j->g, p->n->next_cot[i]);
    }
    for (int32_t l = 0; !w->exact && l < t->masks; l++) {
        const shape s = *graph_shape(p->j->g, p->n->kinks[l]);
        p->from[pairs] = p->n->kinks[l];
        p->to[pairs++] = job_leaf(p->j, "mask", t->spec.dtype, s, trainer_mask_ref(t, l));
    }
    if (pairs > 0) TRY(substitute(p, w, pairs));
done:
    return st;
}

drmad_status parts_put_cotangents(walker *w, parts *p)
{
    const trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < p->uses; i++) {
        w->has_cot[i] = p->use_cot[i] != NODE_NONE;
        if (t->spec.oracle && t->spec.space->uses[i].kind == HYPER_EXAMPLE_WEIGHT)
            w->has_cot[i] = true; /* from the oracle itself */
        else if (w->has_cot[i]) TRY(trainer_put_cotangent(w->t, p->j, i, p->use_cot[i]));
    }
done:
    return st;
}

static drmad_status put_outputs(walker *w, parts *p)
{
    trainer *t = w->t;
    job *j = p->j;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < p->tensors; i++) {
        if (p->squares[i] != NODE_NONE)
            TRY(job_output(j, p->squares[i],
                           trainer_tensor_ref(t, SLOT_W1 + optim_squares(&t->spec.optim), i),
                           p->squares_next[i]));
        for (int32_t k = 0; k < trainer_vectors_of(t, i); k++)
            TRY(job_output(j, p->out[k][i], trainer_tensor_ref(t, SLOT_WCOT + k, i), p->cot[k][i]));
    }
    TRY(parts_put_cotangents(w, p));
    if (p->rate_cot != NODE_NONE)
        TRY(job_output(j, p->rate_cot, (slot_ref){SLOT_LR_COT, 0}, NODE_NONE));
    for (int32_t k = 0; k < w->sums; k++) {
        const momentum_sum *s = &w->sum[k];
        const shape leaf = t->use[s->use].leaf;
        TRY(job_output(j, g_sum_to(j->g, p->momentum[k].product, leaf), (slot_ref){s->slot + 1, 0},
                       NODE_NONE));
        TRY(job_output(j, p->momentum[k].z1, (slot_ref){s->slot + 2, 0}, p->momentum[k].z));
    }
    for (int32_t k = 0; k < RATE_SLOTS * w->rates; k++) {
        const node x = p->rate[k % RATE_SLOTS][k / RATE_SLOTS];
        const slot_ref to = {w->rate[k / RATE_SLOTS].slot + k % RATE_SLOTS, 0};
        if (x != NODE_NONE) TRY(job_output(j, x, to, NODE_NONE));
    }
done:
    return st;
}

/* Adds <x, x> to *sum. */
static void add_square(graph *g, node x, node *sum)
{
    node square = g_reshape(g, g_dot(g, x, x), SHAPE(1, 1));

    *sum = *sum == NODE_NONE ? square : g_add(g, *sum, square);
}

/* |u|^2, |Hu|^2 and |w~|^2 over all tensors, for the stride rule. */
static drmad_status put_norms(walker *w, const parts *p)
{
    node sum[3] = {NODE_NONE, NODE_NONE, NODE_NONE};
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < p->tensors; i++) {
        add_square(p->j->g, p->u[i], &sum[0]);
        add_square(p->j->g, p->hess[i], &sum[1]);
        add_square(p->j->g, p->out[0][i], &sum[2]);
    }
    TRY(trainer_add_slots(w->t, 3, &w->norm_slot));
    for (int k = 0; k < 3; k++) {
        TRY(mem_alloc(w->ctx, 1, w->t->size, &w->t->slot[w->norm_slot + k]));
        TRY(job_output(p->j, sum[k], (slot_ref){w->norm_slot + k, 0}, NODE_NONE));
    }
done:
    return st;
}

/* With an oracle a reverse step is two plans: this one makes u, the oracle makes H u and what else
 * follows from u, the other one does the rest. */
static drmad_status build_direction(walker *w)
{
    drmad_status st = DRMAD_OK;
    parts p = {0};

    TRY(job_new(w->ctx, w->t->on, &w->direction));
    TRY(parts_new(w, w->direction, &p));
    p.n->strided = w->spec.stride > 1;
    TRY(trainer_build_gradient(w->t, p.j, p.n, p.grad));
    TRY(build_optimiser(w, &p));
    TRY(substitute_known(w, &p));
    for (int32_t i = 0; i < p.tensors; i++)
        TRY(job_output(p.j, p.u[i], trainer_tensor_ref(w->t, SLOT_U, i), NODE_NONE));
    TRY(job_compile(p.j));
    w->direction_asks = job_reads(p.j, SLOT_G);
done:
    parts_free(w->ctx, &p);
    return st;
}

drmad_status walker_build_back(walker *w)
{
    drmad_status st = DRMAD_OK;
    parts p = {0};

    if (w->t->spec.oracle) TRY(build_direction(w));
    TRY(job_new(w->ctx, w->t->on, &w->back));
    TRY(parts_new(w, w->back, &p));
    p.n->strided = w->spec.stride > 1;
    TRY(parts_gradient(w, &p));
    TRY(build_optimiser(w, &p));
    TRY(parts_second_order(w, &p));
    add_hessian(&p);
    build_momentum_sums(w, &p);
    TRY(build_rates(w, &p));
    TRY(substitute_known(w, &p));
    TRY(parts_substitute(w, &p));
    TRY(put_outputs(w, &p));
    if (w->spec.stride > 1) TRY(put_norms(w, &p));
    TRY(job_compile(w->back));
    w->asks_gradient = w->t->spec.oracle && job_reads(w->back, SLOT_G);
done:
    parts_free(w->ctx, &p);
    return st;
}
