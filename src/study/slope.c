/* Training runs as drmad_study_train makes them, each walked back once.
 *
 * Each parameter becomes a hyperparameter with one value, whose entry of the hypergradient is the
 * derivative. The rate is declared as the factor m = 1 of whatever schedule there is, which serves
 * any schedule:  lr_t = m lr s_t,  so  dF/dlr = (dF/dm) / lr.
 *
 * Checked: tests/worker/test_slope.c, against differences of whole trials. */
#include "study/slope.h"
#include "study/runs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a hyper declaration must say to be what the key is. */
typedef struct slope_key {
    const char *name, *kind, *more;
} slope_key;

static const slope_key keys[] = {
    {"optimizer.lr", "lr", "multiplier: true"},
    {"optimizer.momentum", "momentum", "match: \"*\""},
    {"optimizer.weight_decay", "weight_decay", "match: \"*\""},
    {"train.l2", "l2", "match: \"\""},
    {"train.l1", "l1", "match: \"\""},
};

static double value_of(const config *c, size_t key)
{
    const double values[] = {c->set.optimizer.lr, c->set.optimizer.momentum,
                             c->set.optimizer.weight_decay, c->set.train.l2, c->set.train.l1};

    return values[key];
}

static bool is_named(const char *const *names, int32_t n, const char *name)
{
    for (int32_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Bounds and scale are no matter: nothing moves. */
static void put_key(text_out *t, const slope_key *k, double x)
{
    const double start = strcmp(k->kind, "lr") == 0 ? 1 : x;
    const double high = strcmp(k->kind, "momentum") == 0 ? (1 + x) / 2 : 2 * start;

    text_say(t, "%s{kind: %s, %s, transform: identity, start: %.17g, low: %.17g, high: %.17g}",
             t->used > 1 ? ", " : "", k->kind, k->more, start, start / 2, high);
}

drmad_status slope_declare(config *c, const char *const *names, int32_t n, bool *found)
{
    text_out t = {.ctx = c->ctx};
    drmad_status st = DRMAD_OK;

    *found = false;
    c->set.estimator.kind = CFG_ESTIMATOR_UNROLLED; /* a slope is the objective's own */
    if (c->set.hyper.n > 0) return st;
    text_put(&t, "[");
    for (size_t i = 0; i < COUNT(keys); i++) {
        const double x = value_of(c, i);

        if (!is_named(names, n, keys[i].name) || !(x > 0)) continue; /* 0 is not on any scale */
        put_key(&t, &keys[i], x);
        *found = true;
    }
    text_put(&t, "]");
    TRY(t.st);
    if (*found) TRY(config_set(c, "hyper", t.text));
done:
    text_free(&t);
    return st;
}

/* {"optimizer.lr": -0.31, ...} into the result. */
static drmad_status put_gradient(drmad_study *s, const double *grad)
{
    const space *h = s->s->space;
    json_t *gradient = json_object();

    for (int32_t i = 0; i < h->n_slices; i++) {
        const hyper_slice *c = &h->slices[i];
        const char *kind = hyper_kind_of(c->kind)->word;

        for (size_t k = 0; k < COUNT(keys); k++) {
            const double by = strcmp(kind, "lr") == 0 ? value_of(s->cfg, k) : 1;

            if (strcmp(keys[k].kind, kind) != 0 || !isfinite(grad[c->offset] / by)) continue;
            json_object_set_new(gradient, keys[k].name, json_real(grad[c->offset] / by));
        }
    }
    return study_put(s, "gradient", gradient);
}

static drmad_status walk_back(drmad_study *s, const double *values, uint64_t seed, double *grad,
                              outcome *o)
{
    setup *u = s->s;
    drmad_status st = DRMAD_OK;
    walk_report r;

    *o = (outcome){.test = {NAN, NAN}, .diverged_at = -1};
    TRY(walker_gradient(u->walker, values, seed, &u->objective, &r, grad));
    o->valid = r.value;
    o->train_loss = r.run.mean_loss;
    o->finite = true;
    if (u->test.count > 0) TRY(trainer_eval(u->trainer, &u->test, values, &o->test, NULL, NULL));
done:
    return st;
}

/* The mean over the runs. */
static drmad_status walk_all(drmad_study *s, const double *values, double *grad, double *mean,
                             study_runs *runs)
{
    const int64_t n = study_runs_wanted(s), total = s->s->space->total;
    drmad_status st = DRMAD_OK;
    outcome o;

    for (int64_t i = 0; i < n; i++) {
        TRY(walk_back(s, values, study_runs_seed(s, i), grad, &o));
        TRY(study_runs_add(s, runs, &o));
        for (int64_t k = 0; k < total; k++) mean[k] += grad[k] / (double)n;
    }
done:
    return st;
}

drmad_status slope_train(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL, *grad = NULL, *mean = NULL;
    study_runs runs = {0};

    TRY(study_begin(s, "train", true, true));
    TRY(study_files(s));
    const size_t total = (size_t)s->s->space->total + 1;
    TRY(mem_alloc(s->ctx, total, sizeof *values, &values));
    TRY(mem_alloc(s->ctx, total, sizeof *grad, &grad));
    TRY(mem_alloc(s->ctx, total, sizeof *mean, &mean));
    space_start(s->s->space, grad);
    space_values(s->s->space, grad, values);
    const setup_cost cost = setup_cost_of(s->s);
    TRY(walk_all(s, values, grad, mean, &runs));
    TRY(study_runs_report(s, &runs, cost.meta * cost.run * (double)runs.sum.runs));
    TRY(put_gradient(s, mean));
    TRY(study_finish(s, "result.json"));
done:
    mem_free(s->ctx, values);
    mem_free(s->ctx, grad);
    mem_free(s->ctx, mean);
    study_runs_free(&runs);
    st = study_end(s, st);
    return st == DRMAD_E_DIVERGED ? drmad_study_train(s, 0) : st;
}
