/* drmad check: the derivatives of the user's own study, in double, against forward mode and
 * differences. drmad explain: the plans. */
#include "study/runs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHECK_STEPS = 20, CHECK_ROWS = 256 };

typedef struct check {
    double *values, *exact, *along, *point;
    double worst; /* largest relative error against forward mode */
    int64_t failed;
} check;

static double norm_of(const double *x, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    return sqrt(s);
}

/* F at values + step * along. */
static drmad_status value_at(drmad_study *s, const check *c, double step, uint64_t seed,
                             double *out)
{
    outcome o;

    for (int64_t i = 0; i < s->s->space->total; i++)
        c->point[i] = c->values[i] + step * c->along[i];
    const drmad_status st = study_run(s, c->point, seed, &o);
    *out = o.valid.loss;
    return st;
}

/* One random direction inside one slice: reverse, forward, difference. The verdict is forward
 * mode's: differences are no judge of a net with kinks. */
static drmad_status check_slice(drmad_study *s, check *c, int32_t i, uint64_t seed)
{
    const double step = 1e-5;
    const space *h = s->s->space;
    const hyper_slice *q = &h->slices[i];
    const int64_t n = q->elements * q->phases;
    drmad_status st = DRMAD_OK;
    double f, up, down, slope, reverse = 0;

    memset(c->along, 0, (size_t)h->total * sizeof *c->along);
    for (int64_t e = q->offset; e < q->offset + n; e++) {
        c->along[e] = c->values[e] * rng_normal((rng_key){7, 0, (uint32_t)i}, (uint64_t)e);
        reverse += c->exact[e] * c->along[e];
    }
    TRY(walker_directional(s->s->walker, c->values, c->along, seed, &s->s->objective, &f, &slope));
    TRY(value_at(s, c, step, seed, &up));
    TRY(value_at(s, c, -step, seed, &down));
    const double difference = (up - down) / (2 * step), scale = norm_of(c->exact + q->offset, n);
    const double error = fabs(reverse - slope) / fmax(fabs(slope), 1e-6 * scale + 1e-300);
    const bool right = error < 1e-8;
    c->worst = fmax(c->worst, error);
    c->failed += !right;
    TRY(study_event(s, "checking", (double)i + 1, (double)h->n_slices,
                    json_pack("{s:s,s:s,s:o,s:o,s:o,s:b}", "event", "check", "slice", q->name,
                              "reverse", study_real(reverse), "forward", study_real(slope),
                              "difference", study_real(difference), "right", right)));
    TRY(study_say(s, "%-30s %18.9e %18.9e %14.5e  %s", q->name, reverse, slope, difference,
                  right ? "right" : "WRONG"));
done:
    return st;
}

/* The study as it is, but short, in double and on few rows. */
static drmad_status shorten(drmad_study *s)
{
    setup *u = s->s;

    u->spec.dtype = F64;
    if (u->spec.steps > CHECK_STEPS) {
        u->spec.steps = CHECK_STEPS;
        u->spec.rate.steps = CHECK_STEPS;
        if (u->spec.rate.warmup > CHECK_STEPS / 4) u->spec.rate.warmup = CHECK_STEPS / 4;
        for (int32_t i = 0; i < u->decls; i++)
            if (u->decl[i].phases > CHECK_STEPS) u->decl[i].phases = CHECK_STEPS;
    }
    if (u->objective.count > CHECK_ROWS) u->objective.count = CHECK_ROWS;
    u->spec.masks = false;
    u->walk = (walk_spec){.trajectory = TRAJ_FULL, .stride = 1};
    return setup_tie(u, 0, true, NULL);
}

drmad_status drmad_study_check(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    check c = {0};
    walk_report r;
    double *raw = NULL;

    TRY(config_need_hyper(s->cfg));
    if (s->model && s->model->dtype != F64)
        TRY(FAIL(s->ctx, DRMAD_E_CONFIG,
                 "%s: derivatives are proved in f64; make the model's vectors doubles",
                 s->model->name));
    TRY(study_begin(s, "check", false, false));
    TRY(shorten(s));
    const space *h = s->s->space;
    const size_t total = (size_t)h->total + 1;
    const uint64_t seed = setup_seed(s->s, "run", 0);
    TRY(mem_alloc(s->ctx, total, sizeof(double), &c.values));
    TRY(mem_alloc(s->ctx, total, sizeof(double), &c.exact));
    TRY(mem_alloc(s->ctx, total, sizeof(double), &c.along));
    TRY(mem_alloc(s->ctx, total, sizeof(double), &c.point));
    TRY(mem_alloc(s->ctx, total, sizeof(double), &raw));
    space_start(h, raw);
    space_values(h, raw, c.values);
    TRY(walker_gradient(s->s->walker, c.values, seed, &s->s->objective, &r, c.exact));
    TRY(study_say(s, "check      %lld steps in f64, along one random direction a slice",
                  (long long)s->s->spec.steps));
    TRY(study_say(s, "\n%-30s %18s %18s %14s", "slope of the objective", "hypergradient",
                  "forward mode", "difference"));
    for (int32_t i = 0; i < h->n_slices; i++) TRY(check_slice(s, &c, i, seed));
    TRY(study_put(s, "slices", json_integer(h->n_slices)));
    TRY(study_put(s, "wrong", json_integer(c.failed)));
    TRY(study_put(s, "worst_relative_error", study_real(c.worst)));
    TRY(study_say(s, "\n%d slices, %lld wrong; largest relative error against forward mode %.2g",
                  h->n_slices, (long long)c.failed, c.worst));
    TRY(study_finish(s, NULL));
    if (c.failed)
        TRY(FAIL(s->ctx, DRMAD_E_INTERNAL, "%lld of %d slices have wrong derivatives",
                 (long long)c.failed, h->n_slices));
done:
    mem_free(s->ctx, c.values);
    mem_free(s->ctx, c.exact);
    mem_free(s->ctx, c.along);
    mem_free(s->ctx, c.point);
    mem_free(s->ctx, raw);
    return study_end(s, st);
}

/* ---- explain ---- */

typedef struct listing {
    drmad_study *s;
    json_t *lines;
    drmad_status st;
} listing;

static void keep_line(void *user, const char *text)
{
    listing *l = user;

    if (l->st != DRMAD_OK) return;
    l->st = study_say(l->s, "%s", text);
    if (l->st == DRMAD_OK && json_array_append_new(l->lines, json_string(text)) != 0)
        l->st = FAIL(l->s->ctx, DRMAD_E_NOMEM, "out of memory for the plan");
}

typedef void plan_lister(void *of, void (*line)(void *, const char *), void *user);

static drmad_status explain(drmad_study *s, const char *name, plan_lister *list, void *of)
{
    listing l = {s, json_array(), DRMAD_OK};
    drmad_status st = study_say(s, "== %s ==", name);

    if (st == DRMAD_OK) list(of, keep_line, &l);
    if (st == DRMAD_OK) st = l.st;
    if (st == DRMAD_OK) return study_put(s, name, l.lines);
    json_decref(l.lines);
    return st;
}

static void training_plan(void *of, void (*line)(void *, const char *), void *user)
{
    trainer_explain(of, line, user);
}

static void reverse_plan(void *of, void (*line)(void *, const char *), void *user)
{
    walker_explain(of, line, user);
}

/* What a hypergradient costs beside the run whose it is. */
static drmad_status explain_cost(drmad_study *s)
{
    const setup_cost c = setup_cost_of(s->s);
    drmad_status st = DRMAD_OK;
    char way[128];

    TRY(study_put(s, "runs_per_meta_step", json_real(c.meta)));
    TRY(study_say(s,
                  "hypergradient: %s: %.2f training runs, of which 1 the run, %.2f F and its "
                  "gradient, %.2f the way back (%s%lld second-order products)",
                  setup_way(s->s, way, sizeof way), c.meta, c.eval / c.run, c.back / c.run,
                  s->s->walk.estimator.kind == ESTIMATOR_IMPLICIT ? "at most " : "",
                  (long long)walker_products(s->s->walker)));
done:
    return st;
}

drmad_status drmad_study_explain(drmad_study *s)
{
    const config_study *c = &s->cfg->set;
    const bool walk = c->hyper.n > 0 && c->train.activations == CFG_ACTIVATIONS_F32;
    drmad_status st = DRMAD_OK;

    TRY(study_begin(s, "explain", walk, false));
    TRY(explain(s, "training step", training_plan, s->s->trainer));
    if (s->s->walker) {
        TRY(explain(s, "reverse step", reverse_plan, s->s->walker));
        TRY(explain_cost(s));
    }
    TRY(study_finish(s, NULL));
done:
    return study_end(s, st);
}
