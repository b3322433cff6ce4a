/* The minimiser over NLopt's LD_LBFGS (L. Luksan's PLIS, which keeps the bounds by an active set).
 * It ends in its last point, which need not be its best: that one is kept here. */
#include "linalg/linalg_inside.h"
#include <math.h>
#include <string.h>

typedef struct search_run {
    const linalg_task *task;
    double *best, value;
} search_run;

static double evaluate(unsigned n, const double *x, double *gradient, void *user)
{
    search_run *r = user;
    const double value = r->task->fn(r->task->user, (int32_t)n, x, gradient);

    if (!isfinite(value)) {
        memset(gradient, 0, n * sizeof *gradient);
        return INFINITY;
    }
    if (value < r->value) {
        r->value = value;
        memcpy(r->best, x, n * sizeof *x);
    }
    return value;
}

static double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* NLopt's own memory is malloc's. */
static bool set_up(const nlopt *f, nlopt_problem *p, const linalg_task *t, search_run *r)
{
    return p && f->nlopt_set_min_objective(p, evaluate, r) > 0 &&
           (!t->lower || f->nlopt_set_lower_bounds(p, t->lower) > 0) &&
           (!t->upper || f->nlopt_set_upper_bounds(p, t->upper) > 0) &&
           f->nlopt_set_maxeval(p, t->evaluations) > 0 &&
           f->nlopt_set_ftol_rel(p, t->tolerance) > 0;
}

drmad_status linalg_minimise(const linalg *l, const linalg_task *t, double *x, double *value)
{
    const nlopt *f = &l->nlopt;
    search_run r = {.task = t, .value = INFINITY};
    nlopt_problem *p = NULL;
    double last;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < t->n; i++)
        x[i] = within(x[i], t->lower ? t->lower[i] : -INFINITY, t->upper ? t->upper[i] : INFINITY);
    TRY(mem_alloc(l->ctx, (size_t)t->n, sizeof *r.best, &r.best));
    memcpy(r.best, x, (size_t)t->n * sizeof *x);
    p = f->nlopt_create(f->nlopt_algorithm_from_string("LD_LBFGS"), (unsigned)t->n);
    if (!set_up(f, p, t, &r)) TRY(FAIL(l->ctx, DRMAD_E_NOMEM, "NLopt: out of memory"));
    f->nlopt_optimize(p, x, &last); /* however it ends, the best point is what counts */
    memcpy(x, r.best, (size_t)t->n * sizeof *x);
    *value = r.value;
done:
    f->nlopt_destroy(p);
    mem_free(l->ctx, r.best);
    return st;
}
