/* The one-step estimator: during the run, after each step,
 *
 *   w~ = dF/dw at w_{t+1}, on `rows` examples of the objective drawn for the step;  b~ = 0
 *   h~ += J_t' w~          one reverse step, whose w~ and b~ for the step before are thrown away
 *
 * so nothing of the run is kept. An oracle's F is taken on the first `rows` examples each time.
 * Source, and what differs: walk.h. Checked: tests/hyper/test_estimators.c. */
#include "hyper/walker.h"
#include <string.h>

typedef struct one_step {
    walker *w;
    const double *values;
    const examples *objective;
    int64_t rows;
    int32_t *list, *labels, *drawn; /* [rows] */
    double *ignored, *sum;          /* [space->total] */
} one_step;

static drmad_status look(one_step *o, int64_t step)
{
    trainer *t = o->w->t;
    examples few = *o->objective;
    eval_result f;

    few.count = o->rows;
    if (!t->spec.oracle && o->rows < o->objective->count) {
        const uint64_t seed = rng_u64((rng_key){t->seed, 0, rng_site("one-step")}, 0);
        batch_indices(BATCH_SHUFFLE, seed, step, (int32_t)o->rows, (int32_t)o->objective->count,
                      o->drawn);
        for (int64_t i = 0; i < o->rows; i++) {
            o->list[i] = o->objective->list[o->drawn[i]];
            o->labels[i] = o->objective->labels[o->drawn[i]];
        }
        few.list = o->list, few.labels = o->labels;
    }
    return trainer_eval(t, &few, o->values, &f, o->w->dw, o->ignored);
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
    const int64_t most = w->spec.estimator.rows;
    one_step o = {.w = w, .values = values, .objective = objective, .sum = sum};
    drmad_status st = DRMAD_OK;

    o.rows = most < objective->count ? most : objective->count;
    TRY(mem_alloc(w->ctx, (size_t)o.rows, sizeof *o.list, &o.list));
    TRY(mem_alloc(w->ctx, (size_t)o.rows, sizeof *o.labels, &o.labels));
    TRY(mem_alloc(w->ctx, (size_t)o.rows, sizeof *o.drawn, &o.drawn));
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
    mem_free(w->ctx, o.list);
    mem_free(w->ctx, o.labels);
    mem_free(w->ctx, o.drawn);
    mem_free(w->ctx, o.ignored);
    return st;
}
