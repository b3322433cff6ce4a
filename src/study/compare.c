/* What a result is held against: retraining from scratch over seeds, and random search, all compute
 * charged. */
#include "study/study_parts.h"
#include <math.h>
#include <stdio.h>

drmad_status study_run(drmad_study *s, const double *values, uint64_t seed, outcome *out)
{
    setup *u = s->s;
    drmad_status st = DRMAD_OK;
    train_report run;

    *out = (outcome){.valid = {HUGE_VAL, 1}, .test = {NAN, NAN}, .train_loss = HUGE_VAL};
    st = trainer_run(u->trainer, values, seed, NULL, &run);
    out->diverged_at = st == DRMAD_E_DIVERGED ? run.steps - !isfinite(run.last_loss) : -1;
    if (st == DRMAD_OK)
        st = trainer_eval(u->trainer, &u->objective, values, &out->valid, NULL, NULL);
    if (st == DRMAD_OK && u->test.count > 0)
        st = trainer_eval(u->trainer, &u->test, values, &out->test, NULL, NULL);
    if (st == DRMAD_E_DIVERGED) return DRMAD_OK; /* an outcome, not an error: `finite` says so */
    out->train_loss = run.mean_loss;
    out->finite = st == DRMAD_OK;
    return st;
}

json_t *study_outcome_json(const outcome *o)
{
    json_t *j = json_pack("{s:b,s:o,s:o,s:o,s:o,s:o}", "finite", o->finite, "train_loss",
                          study_real(o->train_loss), "objective_loss", study_real(o->valid.loss),
                          "objective_error", study_real(o->valid.error), "test_loss",
                          study_real(o->test.loss), "test_error", study_real(o->test.error));

    if (j && o->diverged_at >= 0)
        json_object_set_new(j, "diverged_at", json_integer(o->diverged_at));
    return j;
}

void summary_add(summary *m, const outcome *o)
{
    m->runs++;
    if (!o->finite) return;
    m->finite++;
    m->mean.train_loss += o->train_loss;
    m->mean.valid.loss += o->valid.loss, m->mean.valid.error += o->valid.error;
    m->mean.test.loss += o->test.loss, m->mean.test.error += o->test.error;
    m->square += o->test.error * o->test.error;
}

void summary_close(summary *m)
{
    const double n = m->finite;
    double *x[] = {&m->mean.train_loss, &m->mean.valid.loss, &m->mean.valid.error,
                   &m->mean.test.loss, &m->mean.test.error};

    for (size_t i = 0; i < COUNT(x); i++) *x[i] = n > 0 ? *x[i] / n : NAN;
    m->mean.finite = n > 0;
    const double mean = m->mean.test.error;
    m->test_error_sd = n > 1 ? sqrt(fmax(0, (m->square - n * mean * mean) / (n - 1))) : NAN;
}

drmad_status study_put_runs(drmad_study *s, const char *name, json_t *runs, const summary *m)
{
    drmad_status st = DRMAD_OK;

    TRY(study_put(s, name,
                  json_pack("{s:o,s:o,s:O}", "mean", study_outcome_json(&m->mean), "test_error_sd",
                            study_real(m->test_error_sd), "runs", runs)));
    TRY(study_say_runs(s, name, m));
done:
    return st;
}

drmad_status study_retrain(drmad_study *s, const char *name, const double *values, bool keep,
                           summary *out)
{
    const int64_t seeds = s->cfg->set.retrain.seeds;
    drmad_status st = DRMAD_OK;
    json_t *runs = json_array();
    char stage[48];
    outcome o;

    snprintf(stage, sizeof stage, "retrain %s", name);
    *out = (summary){.mean.diverged_at = -1};
    for (int64_t i = 0; i < seeds || (keep && i == 0); i++) {
        TRY(study_run(s, values, setup_seed(s->s, "retrain", (uint64_t)i), &o));
        if (keep && o.finite) TRY(study_save_weights(s));
        if (i >= seeds) TRY(study_put(s, "kept", study_outcome_json(&o)));
        if (i >= seeds) break;
        keep = keep && !o.finite;
        summary_add(out, &o);
        json_t *j = study_outcome_json(&o);
        TRY(study_event(s, stage, (double)i + 1, (double)seeds,
                        json_pack("{s:s,s:s,s:I,s:O}", "event", "retrain", "of", name, "number",
                                  (json_int_t)i, "run", j)));
        if (json_array_append_new(runs, j) != 0)
            TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the runs"));
    }
    if (seeds == 0) goto done;
    summary_close(out);
    TRY(study_put_runs(s, name, runs, out));
done:
    json_decref(runs);
    return st;
}

/* The declarations with one value each, for a fair comparison: a search without gradients cannot
 * use more. */
static void tie_all(setup *u)
{
    int32_t n = 0;

    for (int32_t i = 0; i < u->decls; i++) {
        /* A caller's model takes one weight an example; one for all of them stays 1. */
        if (u->spec.oracle && u->decl[i].kind == HYPER_EXAMPLE_WEIGHT) continue;
        u->decl[n] = u->decl[i];
        u->decl[n].per = PER_GLOBAL;
        u->decl[n].n_ties = 0;
        u->decl[n++].phases = 1;
    }
    u->decls = n;
}

static drmad_status draw(drmad_study *s, uint64_t number, double *values)
{
    const space *h = s->s->space;
    const rng_key key = {setup_seed(s->s, "random search", number), 0, 1};

    for (int64_t i = 0; i < h->total; i++) {
        const hyper_slice *c = space_slice_of(h, i);
        values[i] = space_spread(c, rng_uniform(key, (uint64_t)i));
        if (!isfinite(values[i]))
            return FAIL(s->ctx, DRMAD_E_CONFIG,
                        "baselines.random: %s needs finite bounds to draw from", c->name);
    }
    return DRMAD_OK;
}

drmad_status study_random_search(drmad_study *s, double *spent)
{
    setup *u = s->s;
    const int64_t runs = s->cfg->set.baselines.random;
    drmad_status st = DRMAD_OK;
    double *values = NULL, *best = NULL, best_loss = HUGE_VAL;
    summary sum;
    outcome o;

    *spent = 0;
    if (runs == 0) return DRMAD_OK;
    if (s->cfg->set.baselines.tied_only) tie_all(u);
    TRY(setup_tie(u, 0, false, NULL));
    const size_t n = (size_t)u->space->total + 1;
    TRY(mem_alloc(s->ctx, n, sizeof(double), &values));
    TRY(mem_alloc(s->ctx, n, sizeof(double), &best));
    for (int64_t k = 0; k < runs; k++) {
        TRY(draw(s, (uint64_t)k, values));
        TRY(study_run(s, values, setup_seed(u, "run", 0), &o));
        if (o.finite && o.valid.loss < best_loss) {
            best_loss = o.valid.loss;
            for (size_t i = 0; i + 1 < n; i++) best[i] = values[i];
        }
        *spent += 1;
        TRY(study_event(s, "random search", (double)k + 1, (double)runs,
                        json_pack("{s:s,s:I,s:o}", "event", "random", "number", (json_int_t)k,
                                  "run", study_outcome_json(&o))));
    }
    if (!isfinite(best_loss)) {
        TRY(study_say(s, "random search: none of %lld runs is finite", (long long)runs));
        goto done;
    }
    TRY(study_retrain(s, "random_search", best, false, &sum));
done:
    mem_free(s->ctx, values);
    mem_free(s->ctx, best);
    return st;
}
