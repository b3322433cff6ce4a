/* Forward mode: one tangent carried through the run, exact, in O(1) memory. For audits. */
#include "ad/ad.h"
#include "hyper/walker.h"
#include <string.h>

/* The next state and its tangent, each over the memory of the state before. */
typedef struct pairs_of_state {
    const node *y, *out, *x, *tan;
} pairs_of_state;

static drmad_status put_outputs(const trainer *t, job *j, const pairs_of_state *p)
{
    const int32_t given = t->spec.oracle ? 1 : 0; /* x has that leaf behind each w */
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0, k = 0, at = 0; i < t->spec.params->n; i++) {
        for (int32_t v = 0; v < trainer_vectors_of(t, i); v++, k++) {
            TRY(job_output(j, p->y[k], trainer_tensor_ref(t, SLOT_W_OUT + v, i), p->x[at]));
            TRY(job_output(j, p->out[k], trainer_tensor_ref(t, SLOT_WTAN + v, i), p->tan[at]));
            at += v == 0 ? 1 + given : 1;
        }
    }
done:
    return st;
}

/* Of the oracle's gradient: along w, and along the weights of the examples (ask_tangent). */
static node gradient_tangent(trainer *t, job *j, int32_t tensor)
{
    const shape s = t->spec.params->at[tensor].shape;
    node hu = job_leaf(j, "tangent of the gradient", t->spec.dtype, s,
                       trainer_tensor_ref(t, SLOT_HU, tensor));

    if (!trainer_example_weights(t, USE_TAN)) return hu;
    return g_add(j->g, hu,
                 job_leaf(j, "gradient by the tangents of the examples' weights", t->spec.dtype, s,
                          trainer_tensor_ref(t, SLOT_U, tensor)));
}

/* The JVP of one training step along the state and h. */
drmad_status walker_build_tangent(walker *w)
{
    trainer *t = w->t;
    const int32_t tensors = t->spec.params->n, uses = t->spec.space->n_uses;
    const size_t all = (size_t)((t->vectors + 2) * tensors + uses);
    drmad_status st = DRMAD_OK;
    node *x = NULL, *tan = NULL, *y = NULL, *out = NULL, *grad = NULL;
    net *n = NULL;
    job *j;
    int32_t nx = 0, ny = 0;

    TRY(job_new(w->ctx, t->on, &w->tangent));
    j = w->tangent;
    TRY(net_new(w->ctx, t, &n));
    TRY(mem_alloc(w->ctx, all, sizeof *x, &x));
    TRY(mem_alloc(w->ctx, all, sizeof *tan, &tan));
    TRY(mem_alloc(w->ctx, all, sizeof *y, &y));
    TRY(mem_alloc(w->ctx, all, sizeof *out, &out));
    TRY(mem_alloc(w->ctx, (size_t)tensors, sizeof *grad, &grad));
    TRY(trainer_build_gradient(t, j, n, grad));
    TRY(trainer_build_update(t, j, n, grad));
    for (int32_t i = 0; i < tensors; i++) {
        const param *p = &t->spec.params->at[i];
        for (int32_t k = 0; k < trainer_vectors_of(t, i); k++) {
            x[nx] = n->step[i].in.state[k], y[ny++] = n->step[i].next[k];
            tan[nx++] = job_leaf(j, "tangent of the state", t->spec.dtype, p->shape,
                                 trainer_tensor_ref(t, SLOT_WTAN + k, i));
            if (k > 0 || !t->spec.oracle) continue;
            x[nx] = n->given[i];
            tan[nx++] = gradient_tangent(t, j, i);
        }
    }
    for (int32_t i = 0; i < uses; i++) {
        if (n->use[i] == NODE_NONE) continue;
        x[nx] = n->use[i];
        tan[nx++] = job_leaf(j, "tangent of h", t->use[i].type, t->use[i].leaf,
                             trainer_use_ref(t, i, USE_TAN));
    }
    for (int32_t i = 0; trainer_tunes_schedule(t) && i < tensors; i++) {
        if (!trainer_follows(t, i)) continue;
        x[nx] = n->step[i].in.h[OPTIM_LR];
        tan[nx] = job_leaf(j, "tangent of the base rate", t->spec.dtype, *graph_shape(j->g, x[nx]),
                           (slot_ref){SLOT_LR_TAN, 0});
        nx++;
    }
    TRY(ad_jvp(j->g, nx, x, tan, ny, y, out));
    TRY(put_outputs(t, j, &(const pairs_of_state){y, out, x, tan}));
    TRY(job_compile(j));
done:
    net_free(w->ctx, n);
    mem_free(w->ctx, x);
    mem_free(w->ctx, tan);
    mem_free(w->ctx, y);
    mem_free(w->ctx, out);
    mem_free(w->ctx, grad);
    return st;
}

/* A multiplier's leaf moves with the base rate too. */
static void add_rate_tangent(walker *w, const use_state *u, int64_t step, double rate)
{
    trainer *t = w->t;
    hyper_at at = trainer_at(t, u, step);
    void *tan = u->host[USE_TAN], *more = u->host[USE_COT];

    if (!trainer_tunes_schedule(t)) return;
    at.base = rate;
    space_fetch(t->spec.space, u->use, &at, t->values, more);
    for (size_t e = 0; e < u->count; e++)
        trainer_put(t, tan, (int64_t)e,
                    trainer_get(t, tan, (int64_t)e) + trainer_get(t, more, (int64_t)e));
}

/* The leaves are linear in the values, so a tangent is fetched like a value. */
static drmad_status fill_tangents(walker *w, int64_t step, const double *direction)
{
    trainer *t = w->t;
    const double rate = trainer_rate_tangent(t, step, direction);
    drmad_status st = DRMAD_OK;

    trainer_put(t, t->slot[SLOT_LR_TAN], 0, rate);
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        const use_state *u = &t->use[i];
        const hyper_at at = trainer_at(t, u, step);
        if (w->tangent_of[i] == u->filled) continue;
        space_fetch(t->spec.space, u->use, &at, direction, u->host[USE_TAN]);
        if (u->use->kind == HYPER_LR && t->spec.space->slices[u->use->slice].multiplier)
            add_rate_tangent(w, u, step, rate);
        TRY(trainer_send_use(t, i, USE_TAN));
        w->tangent_of[i] = u->filled;
    }
done:
    return st;
}

/* w_0's tangent: initial scales only. */
static drmad_status start_tangent(walker *w)
{
    trainer *t = w->t;
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;
    void *wtan;

    for (int32_t k = 0; k < t->vectors; k++) TRY(trainer_clear(t, w->tan[k]));
    if (!space_has(s->space, HYPER_INIT_SCALE)) return DRMAD_OK;
    TRY(trainer_fetch(t, w->tan[0], &wtan));
    for (int32_t i = 0; i < s->space->n_uses; i++) {
        const use_state *u = &t->use[i];
        if (u->use->kind != HYPER_INIT_SCALE) continue;
        const param *p = &s->params->at[u->use->tensor];
        const void *tan = u->host[USE_TAN];
        for (int64_t e = 0; e < p->count; e++)
            trainer_put(t, wtan, p->offset + e,
                        t->draw[p->offset + e] *
                            trainer_get(t, tan, use_index(&u->leaf, &p->shape, e)));
    }
    TRY(trainer_send(t, w->tan[0]));
done:
    return st;
}

/* The two parts of the tangent of the oracle's gradient, which the plan adds. */
static drmad_status ask_tangent(walker *w, int64_t step)
{
    trainer *t = w->t;
    const void *weights = trainer_example_weights(t, USE_TAN);
    drmad_status st = DRMAD_OK;
    double loss;

    TRY(trainer_ask_product(t, step, t->state[0][0], w->tan[0], PRODUCT_FORWARD, t->slot[SLOT_G]));
    if (!weights) return DRMAD_OK;
    TRY(trainer_ask_gradient(t, step, t->state[0][0], weights, t->slot[SLOT_U], &loss));
done:
    return st;
}

static drmad_status tangent_run(walker *w, const double *values, const double *direction,
                                uint64_t seed)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    trainer_restart(t, values, seed);
    TRY(trainer_prepare(t, 0));
    t->now = 0;
    TRY(trainer_start_state(t, t->state[0]));
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) w->tangent_of[i] = -1;
    TRY(fill_tangents(w, 0, direction));
    TRY(start_tangent(w));
    for (int64_t step = 0; step < t->spec.steps; step++) {
        TRY(base_stopped(w->ctx));
        TRY(trainer_prepare(t, step));
        TRY(fill_tangents(w, step, direction));
        if (t->spec.oracle) TRY(ask_tangent(w, step));
        trainer_bind(t, SLOT_W, t->state[0]);
        trainer_bind(t, SLOT_W_OUT, t->state[0]);
        trainer_bind(t, SLOT_WTAN, w->tan);
        TRY(job_run_later(w->tangent, t->slot));
    }
    TRY(job_wait(w->tangent, 0));
done:
    return st;
}

drmad_status walker_directional(walker *w, const double *values, const double *direction,
                                uint64_t seed, const examples *objective, double *value,
                                double *slope)
{
    trainer *t = w->t;
    const space *s = t->spec.space;
    drmad_status st = DRMAD_OK;
    double *dvalues = NULL;
    eval_result f;
    void *tan;

    if (!w->tangent) TRY(walker_build_tangent(w));
    for (int32_t k = 0; k < t->vectors; k++)
        if (!w->tan[k]) TRY(trainer_vector(t, (size_t)t->spec.params->total, &w->tan[k]));
    TRY(mem_alloc(w->ctx, (size_t)s->total, sizeof *dvalues, &dvalues));
    TRY(tangent_run(w, values, direction, seed));
    if (t->spec.oracle) {
        st = trainer_ask_slope(t, objective, w->tan[0], value, slope);
        goto done;
    }
    TRY(trainer_eval(t, objective, values, &f, w->dw, dvalues));
    *value = f.loss;
    *slope = 0;
    TRY(trainer_fetch(t, w->tan[0], &tan));
    for (int64_t i = 0; i < t->spec.params->total; i++) *slope += w->dw[i] * trainer_get(t, tan, i);
    for (int64_t i = 0; i < s->total; i++) *slope += dvalues[i] * direction[i];
done:
    mem_free(w->ctx, dvalues);
    return st;
}
