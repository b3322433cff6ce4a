/* The implicit estimator: at the trained weights, with G(w, h) = dL/dw + (decay) w = 0 taken for
 * true,
 *
 *   dw/dh = -(dG/dw)^-1 dG/dh    so    dF/dh = dF/dh|w - (dG/dh)' q,   (dG/dw + damping) q = dF/dw
 *
 * L is the mean over fixed batches, those of the first steps of the run: with order `shuffle` or
 * `sequential` the batches of one epoch are the training set, less its last partial batch. One
 * plan gives both products of a batch (reverse.c); the algebra around it is in double on the host.
 * Checked: tests/hyper/test_implicit.c, against the exact hypergradient of a run that has
 * converged. */
#include "hyper/solve.h"
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

typedef struct implicit {
    solve *solver;
    solve_spec spec;
    int64_t batches;
    int64_t *place; /* [unknowns] */
    double *q;      /* flat */
    double *mixed;  /* [space->total] */
} implicit;

int64_t implicit_batches(const walker *w)
{
    const train_spec *s = &w->t->spec;
    int64_t n = w->spec.estimator.batches;

    if (n == 0) n = s->train.count / s->batch; /* an epoch's */
    return n > s->steps ? s->steps : n;
}

/* Every parameter, less the gaps between tensors. */
static void list_unknowns(const param_table *p, int64_t *list)
{
    for (int32_t i = 0; i < p->n; i++)
        for (int64_t e = 0; e < p->at[i].count; e++) *list++ = p->at[i].offset + e;
}

static drmad_status product(void *user, const double *x, double *y);

drmad_status implicit_open(walker *w)
{
    trainer *t = w->t;
    const estimator_spec *e = &w->spec.estimator;
    const size_t flat = (size_t)t->spec.params->total;
    drmad_status st = DRMAD_OK;
    implicit *m;

    TRY(mem_alloc(w->ctx, 1, sizeof *m, &m));
    w->solve = m;
    m->batches = implicit_batches(w);
    for (int32_t i = 0; i < t->spec.params->n; i++) m->spec.unknowns += t->spec.params->at[i].count;
    TRY(mem_alloc(w->ctx, (size_t)m->spec.unknowns, sizeof *m->place, &m->place));
    list_unknowns(t->spec.params, m->place);
    m->spec = (solve_spec){.kind = e->solver,
                           .n = t->spec.params->total,
                           .place = m->place,
                           .unknowns = m->spec.unknowns,
                           .terms = e->terms,
                           .damping = e->damping,
                           .tolerance = e->tolerance,
                           .scale = e->scale,
                           .product = product,
                           .user = w};
    TRY(solve_new(w->ctx, &m->spec, &m->solver));
    TRY(mem_alloc(w->ctx, flat, sizeof *m->q, &m->q));
    TRY(mem_alloc(w->ctx, (size_t)t->spec.space->total + 1, sizeof *m->mixed, &m->mixed));
    if (!t->slot[SLOT_U]) TRY(trainer_vector(t, flat, &t->slot[SLOT_U]));
    TRY(walker_build_products(w));
done:
    return st;
}

void implicit_close(walker *w)
{
    implicit *m = w->solve;

    if (!m) return;
    solve_free(m->solver);
    mem_free(w->ctx, m->place);
    mem_free(w->ctx, m->q);
    mem_free(w->ctx, m->mixed);
    mem_free(w->ctx, m);
}

size_t implicit_bytes(const walker *w)
{
    const implicit *m = w->solve;

    if (!m) return 0;
    return solve_bytes(&m->spec) + sizeof(double) * ((size_t)m->spec.n + (size_t)m->spec.unknowns +
                                                     (size_t)w->t->spec.space->total);
}

static drmad_status set_direction(walker *w, const double *x)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    void *u;

    TRY(trainer_fetch(t, t->slot[SLOT_U], &u));
    for (int64_t i = 0; i < t->spec.params->total; i++) trainer_put(t, u, i, x[i]);
    TRY(trainer_send(t, t->slot[SLOT_U]));
done:
    return st;
}

/* Both products of one batch, along the direction that is set. */
static drmad_status run_batch(walker *w, int64_t step)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    TRY(base_stopped(w->ctx));
    TRY(trainer_prepare(t, step));
    t->slot[SLOT_W] = t->state[t->now][0];
    if (t->spec.oracle)
        TRY(trainer_ask_product(t, step, t->slot[SLOT_W], t->slot[SLOT_U], PRODUCT_ALONE, NULL));
    TRY(job_run(w->back, t->slot));
done:
    return st;
}

/* y = H x: what solve asks for. */
static drmad_status product(void *user, const double *x, double *y)
{
    walker *w = user;
    trainer *t = w->t;
    const implicit *m = w->solve;
    drmad_status st = DRMAD_OK;
    void *hx;

    TRY(set_direction(w, x));
    memset(y, 0, (size_t)m->spec.n * sizeof *y);
    for (int64_t k = 0; k < m->batches; k++) {
        TRY(run_batch(w, k));
        TRY(trainer_fetch(t, t->slot[SLOT_WGRAD], &hx));
        for (int64_t i = 0; i < m->spec.unknowns; i++)
            y[m->place[i]] += trainer_get(t, hx, m->place[i]) / (double)m->batches;
    }
done:
    return st;
}

/* mixed = sum over the batches of (dG/dh)' q. */
static drmad_status mixed_product(walker *w)
{
    trainer *t = w->t;
    const space *s = t->spec.space;
    implicit *m = w->solve;
    drmad_status st = DRMAD_OK;

    memset(m->mixed, 0, (size_t)s->total * sizeof *m->mixed);
    for (int32_t i = 0; i < s->n_uses; i++) TRY(trainer_clear_sum(t, i));
    TRY(set_direction(w, m->q));
    for (int64_t k = 0; k < m->batches; k++) {
        TRY(run_batch(w, k));
        for (int32_t i = 0; i < s->n_uses; i++) {
            hyper_at at = trainer_at(t, &t->use[i], k);
            if (!w->has_cot[i]) continue;
            if (trainer_sums(t, i)) {
                if (k + 1 < m->batches) continue;
                TRY(trainer_take_sum(t, i));
                at.type = F64;
            }
            space_scatter(s, t->use[i].use, &at, t->use[i].host[USE_COT], m->mixed);
        }
    }
done:
    return st;
}

drmad_status walker_implicit(walker *w, const double *values, uint64_t seed, walk_report *r,
                             double *dvalues)
{
    implicit *m = w->solve;
    drmad_status st = DRMAD_OK;
    solve_report solved;

    r->growth = 1;
    trainer_restart(w->t, values, seed);
    st = solve_run(m->solver, w->dw, m->q, &solved);
    r->steps = solved.products;
    r->products = (solved.products + 1) * m->batches; /* the mixed one too */
    r->residual = solved.residual;
    r->negative = solved.negative;
    if (st != DRMAD_OK) goto done;
    TRY(mixed_product(w));
    for (int64_t i = 0; i < w->t->spec.space->total; i++)
        dvalues[i] -= m->mixed[i] / (double)m->batches;
done:
    return st;
}
