/* The implicit estimator: at the trained weights, with G(w, h) = dL/dw + (decay) w = 0 taken for
 * true,
 *
 *   dw/dh = -(dG/dw)^-1 dG/dh    so    dF/dh = dF/dh|w - (dG/dh)' q,   (dG/dw + damping) q = dF/dw
 *
 * L is the mean over fixed batches, those of the first steps of the run: with order `shuffle` or
 * `sequential` the batches of one epoch are the training set, less its last partial batch. One
 * plan gives both products of a batch (reverse.c); the algebra around it is in double on the host.
 *
 * Running statistics r follow the weights, r' = r'(w, r, h), so F(w_T, r_T) is a function of w_T
 * alone: with r~ = dF/dr_T, and from the last batch to the first as often as it takes,
 *
 *   dF/dw += (dr'/dw)' r~     dF/dh += (dr'/dh)' r~     r~ <- (dr'/dr)' r~
 *
 * An oracle's statistics are its own: they count as constants here.
 * Checked: tests/hyper/test_implicit.c, against the exact hypergradient of a run that has
 * converged. */
#include "hyper/solve.h"
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

/* Of its start: what is left of r~ when no more is added. */
static const double forgotten = 1e-9;

typedef struct implicit {
    solve *solver;
    solve_spec spec;
    int64_t batches;
    int64_t *place;                 /* [unknowns] */
    int64_t *statistic, statistics; /* the places of running statistics */
    double *v, *q;                  /* flat */
    double *mixed;                  /* [space->total] */
    double *sum;                    /* flat: of a device that sums products itself; else NULL */
} implicit;

int64_t implicit_batches(const walker *w)
{
    const train_spec *s = &w->t->spec;
    int64_t n = w->spec.estimator.batches;

    if (n == 0) n = s->train.count / s->batch; /* an epoch's */
    return n > s->steps ? s->steps : n;
}

static bool is_statistic(const param *p)
{
    return p->role == PARAM_STAT;
}

/* The places of all parameters, less the gaps between tensors. */
static drmad_status list_places(walker *w, implicit *m)
{
    const param_table *p = w->t->spec.params;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(w->ctx, (size_t)p->total, sizeof *m->place, &m->place));
    TRY(mem_alloc(w->ctx, (size_t)p->total, sizeof *m->statistic, &m->statistic));
    for (int32_t i = 0; i < p->n; i++)
        for (int64_t e = p->at[i].offset; e < p->at[i].offset + p->at[i].count; e++)
            if (is_statistic(&p->at[i])) m->statistic[m->statistics++] = e;
            else m->place[m->spec.unknowns++] = e;
done:
    return st;
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
    TRY(list_places(w, m));
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
    TRY(mem_alloc(w->ctx, flat, sizeof *m->v, &m->v));
    TRY(mem_alloc(w->ctx, flat, sizeof *m->q, &m->q));
    TRY(mem_alloc(w->ctx, (size_t)t->spec.space->total + 1, sizeof *m->mixed, &m->mixed));
    if (implicit_sums(w)) TRY(mem_alloc(w->ctx, flat, sizeof *m->sum, &m->sum));
    if (!t->slot[SLOT_U])
        TRY(trainer_vector(t, flat, &t->slot[SLOT_U])); /* an oracle's are there */
    if (!t->slot[SLOT_HU])
        TRY(backend_alloc(t->on, w->ctx, flat, m->sum ? sizeof *m->sum : t->size,
                          &t->slot[SLOT_HU]));
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
    mem_free(w->ctx, m->statistic);
    mem_free(w->ctx, m->v);
    mem_free(w->ctx, m->q);
    mem_free(w->ctx, m->mixed);
    mem_free(w->ctx, m->sum);
    mem_free(w->ctx, m);
}

size_t implicit_bytes(const walker *w)
{
    const implicit *m = w->solve;

    if (!m) return 0;
    return solve_bytes(&m->spec) +
           sizeof(double) * (4 * (size_t)m->spec.n + (size_t)w->t->spec.space->total);
}

bool implicit_sums(const walker *w)
{
    return w->t->on->mixed;
}

/* On a device the products of all batches since then are added up there, in double. */
static drmad_status begin_products(walker *w)
{
    const trainer *t = w->t;
    const size_t bytes = (size_t)t->spec.params->total * sizeof(double);

    if (!w->solve->sum) return DRMAD_OK;
    return t->on->copy(t->on, w->ctx, COPY_WITHIN, t->slot[SLOT_HU], NULL, bytes);
}

static drmad_status fetch_products(walker *w, void **out)
{
    trainer *t = w->t;
    double *sum = w->solve->sum;
    const size_t bytes = (size_t)t->spec.params->total * sizeof *sum;

    *out = sum;
    if (!sum) return trainer_fetch(t, t->slot[SLOT_HU], out);
    return t->on->copy(t->on, w->ctx, COPY_DOWN, sum, t->slot[SLOT_HU], bytes);
}

static double product_at(const walker *w, const void *products, int64_t i)
{
    return w->solve->sum ? ((const double *)products)[i] : trainer_get(w->t, products, i);
}

/* x into a flat vector of the trainer's. */
static drmad_status put_vector(trainer *t, void *flat, const double *x)
{
    drmad_status st = DRMAD_OK;
    void *to;

    TRY(trainer_stage(t, flat, &to));
    for (int64_t i = 0; i < t->spec.params->total; i++) trainer_put(t, to, i, x[i]);
    TRY(trainer_send(t, flat));
done:
    return st;
}

/* Both products of one batch, along the u and r~ that are in place; to be waited for. */
static drmad_status send_batch(walker *w, int64_t step)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    TRY(base_stopped(w->ctx));
    TRY(trainer_prepare(t, step));
    t->slot[SLOT_W] = t->state[t->now][0];
    t->slot[SLOT_WCOT] = w->cot[0];
    if (t->spec.oracle)
        TRY(trainer_ask_product(t, step, t->slot[SLOT_W], t->slot[SLOT_U], PRODUCT_ALONE, NULL));
    TRY(job_run_later(w->back, t->slot));
done:
    return st;
}

static drmad_status run_batch(walker *w, int64_t step)
{
    const drmad_status st = send_batch(w, step);

    return st == DRMAD_OK ? job_wait(w->back, 0) : st;
}

/* The cotangents of the batch just run, into m->mixed. */
static drmad_status collect(walker *w, int64_t step)
{
    trainer *t = w->t;
    const space *s = t->spec.space;
    implicit *m = w->solve;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < s->n_uses; i++) {
        hyper_at at = trainer_at(t, &t->use[i], step);
        if (!w->has_cot[i]) continue;
        if (trainer_sums(t, i)) {
            TRY(trainer_take_sum(t, i));
            at.type = F64;
        }
        space_scatter(s, t->use[i].use, &at, t->use[i].host[USE_COT], m->mixed);
    }
done:
    return st;
}

static drmad_status clear_mixed(walker *w)
{
    const space *s = w->t->spec.space;
    drmad_status st = DRMAD_OK;

    memset(w->solve->mixed, 0, (size_t)s->total * sizeof(double));
    for (int32_t i = 0; i < s->n_uses; i++) TRY(trainer_clear_sum(w->t, i));
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

    TRY(put_vector(t, t->slot[SLOT_U], x));
    memset(y, 0, (size_t)m->spec.n * sizeof *y);
    TRY(begin_products(w));
    for (int64_t k = 0; k < m->batches; k++) {
        TRY(m->sum ? send_batch(w, k) : run_batch(w, k));
        if (m->sum && k + 1 < m->batches) continue;
        TRY(job_wait(w->back, 0));
        TRY(fetch_products(w, &hx));
        for (int64_t i = 0; i < m->spec.unknowns; i++)
            y[m->place[i]] += product_at(w, hx, m->place[i]) / (double)m->batches;
    }
done:
    return st;
}

/* The way of F through the running statistics, into m->v and dvalues; gives the batches it took. */
static drmad_status through_statistics(walker *w, double *dvalues, int64_t *runs)
{
    trainer *t = w->t;
    implicit *m = w->solve;
    double *r = m->q, start = 0, left = HUGE_VAL; /* q: scratch until it is solved for */
    drmad_status st = DRMAD_OK;
    void *got;

    memset(r, 0, (size_t)m->spec.n * sizeof *r);
    TRY(put_vector(t, t->slot[SLOT_U], r));
    TRY(clear_mixed(w));
    for (int64_t i = 0; i < m->statistics; i++) {
        r[m->statistic[i]] = m->v[m->statistic[i]];
        m->v[m->statistic[i]] = 0;
        start = fmax(start, fabs(r[m->statistic[i]]));
    }
    for (int64_t k = 0; left > forgotten * start; k++, ++*runs) {
        TRY(put_vector(t, w->cot[0], r));
        const int64_t batch = m->batches - 1 - k % m->batches;
        TRY(begin_products(w));
        TRY(run_batch(w, batch));
        TRY(collect(w, batch));
        TRY(fetch_products(w, &got));
        for (int64_t i = 0; i < m->spec.unknowns; i++)
            m->v[m->place[i]] += product_at(w, got, m->place[i]);
        left = 0;
        for (int64_t i = 0; i < m->statistics; i++) {
            r[m->statistic[i]] = product_at(w, got, m->statistic[i]);
            left = fmax(left, fabs(r[m->statistic[i]]));
        }
    }
    for (int64_t i = 0; i < t->spec.space->total; i++) dvalues[i] += m->mixed[i];
    TRY(trainer_clear(t, w->cot[0]));
done:
    return st;
}

/* dvalues -= (dG/dh)' q. */
static drmad_status add_mixed(walker *w, double *dvalues)
{
    implicit *m = w->solve;
    drmad_status st = DRMAD_OK;

    TRY(clear_mixed(w));
    TRY(put_vector(w->t, w->t->slot[SLOT_U], m->q));
    for (int64_t k = 0; k < m->batches; k++) {
        TRY(run_batch(w, k));
        TRY(collect(w, k));
    }
    for (int64_t i = 0; i < w->t->spec.space->total; i++)
        dvalues[i] -= m->mixed[i] / (double)m->batches;
done:
    return st;
}

drmad_status walker_implicit(walker *w, const double *values, uint64_t seed, walk_report *r,
                             double *dvalues)
{
    implicit *m = w->solve;
    drmad_status st = DRMAD_OK;
    solve_report solved = {.residual = NAN};

    r->growth = 1;
    trainer_restart(w->t, values, seed);
    memcpy(m->v, w->dw, (size_t)m->spec.n * sizeof *m->v);
    TRY(trainer_clear(w->t, w->cot[0]));
    if (m->statistics > 0) TRY(through_statistics(w, dvalues, &r->products));
    st = solve_run(m->solver, m->v, m->q, &solved);
    r->steps = solved.products;
    r->residual = solved.residual;
    r->negative = solved.negative;
    r->products += (solved.products + 1) * m->batches; /* the mixed one too */
    if (st != DRMAD_OK) goto done;
    TRY(add_mixed(w, dvalues));
done:
    return st;
}
