/* The one-step estimator: during the run, after each step,
 *
 *   w~ = dF/dw at w_{t+1}, on `rows` examples of the objective chosen for the step;  b~ = 0
 *   h~ += J_t' w~          one reverse step, whose w~ and b~ for the step before are thrown away
 *
 * so nothing of the run is kept. An oracle's F is taken on the first `rows` examples each time.
 * Source, and what differs: walk.h. Checked: tests/hyper/test_estimators.c. */
#include "hyper/walker.h"

typedef struct one_step {
    walker *w;
    const double *values;
    const examples *objective;
    double *ignored, *sum; /* [space->total] */
} one_step;

/* The step's examples: one of the windows of `rows` that cover the objective's list in order, the
 * last one shifted to fit. No list of its own, so that a feed knows it again. */
static examples window_of(const one_step *o, int64_t step)
{
    const trainer *t = o->w->t;
    const int64_t rows = o->w->spec.estimator.rows;
    examples few = *o->objective;

    if (rows >= few.count) return few;
    const rng_key key = {t->seed, (uint32_t)step, rng_site("one-step")};
    int64_t first = rows * (int64_t)rng_below(key, 0, (uint64_t)((few.count + rows - 1) / rows));
    if (first + rows > few.count) first = few.count - rows;
    few.count = rows;
    if (!t->spec.oracle) few.list += first, few.labels += first;
    return few;
}

static drmad_status look(const one_step *o, int64_t step)
{
    const examples few = window_of(o, step);
    eval_result f;

    return trainer_eval(o->w->t, &few, o->values, &f, o->w->dw, o->ignored);
}

static drmad_status follow(void *user, int64_t step, void *const from[], void *const to[])
{
    one_step *o = user;
    traj_view v = {.exact = true};
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < o->w->t->vectors; k++) v.now[k] = from[k], v.next[k] = to[k];

    TRY(look(o, step));
    TRY(walker_start_adjoint(o->w));
    TRY(trainer_prepare(o->w->t, step));
    TRY(walker_reverse_step(o->w, step, &v, o->sum));
done:
    return st;
}

drmad_status walker_one_step(walker *w, const double *values, uint64_t seed,
                             const examples *objective, walk_report *r, double *sum)
{
    const size_t total = (size_t)w->t->spec.space->total + 1;
    one_step o = {.w = w, .values = values, .objective = objective, .sum = sum};
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(w->ctx, total, sizeof *o.ignored, &o.ignored));
    for (int32_t i = 0; i < w->t->spec.space->n_uses; i++) {
        w->inverted[i] = -1;
        TRY(trainer_clear_sum(w->t, i));
    }
    trainer_follow(w->t, follow, &o);
    TRY(trainer_run(w->t, values, seed, NULL, &r->run));
    r->steps = r->run.steps;
    r->growth = 1;
done:
    trainer_follow(w->t, NULL, NULL);
    mem_free(w->ctx, o.ignored);
    return st;
}
