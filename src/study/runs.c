/* drmad train: one run, or one a seed and their mean (objective.seeds). */
#include "study/runs.h"
#include <math.h>
#include <stdio.h>

int64_t study_runs_wanted(const drmad_study *s)
{
    return s->cfg->set.objective.seeds;
}

/* Those of the meta-steps under outer.fresh_seed. */
uint64_t study_runs_seed(const drmad_study *s, int64_t i)
{
    return setup_seed(s->s, "run", (uint64_t)i);
}

drmad_status study_runs_add(drmad_study *s, study_runs *r, const outcome *o)
{
    drmad_status st = DRMAD_OK;

    if (r->sum.runs == 0 && o->finite) TRY(study_save_weights(s));
    if (!r->each) r->each = json_array();
    summary_add(&r->sum, o);
    r->sum.mean.diverged_at = o->diverged_at;
    if (json_array_append_new(r->each, study_outcome_json(o)) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the runs"));
done:
    return st;
}

drmad_status study_runs_report(drmad_study *s, study_runs *r, double macs)
{
    drmad_status st = DRMAD_OK;
    json_t *event = NULL;

    if (r->sum.finite < r->sum.runs) {
        const int64_t at = r->sum.mean.diverged_at;

        r->sum.mean = (outcome){{HUGE_VAL, 1}, {NAN, NAN}, HUGE_VAL, .diverged_at = at};
    } else summary_close(&r->sum);
    event = study_outcome_json(&r->sum.mean);
    if (event) json_object_set_new(event, "macs", json_real(macs));
    TRY(study_put(s, "status", json_string(r->sum.mean.finite ? "done" : "diverged")));
    TRY(study_put(s, "run", json_incref(event)));
    if (study_runs_wanted(s) > 1) TRY(study_put(s, "runs", json_incref(r->each)));
    TRY(study_say_header(s));
    TRY(study_say_runs(s, "run", &r->sum));
    st = study_event(s, "trained", 1, 1, json_pack("{s:s,s:O}", "event", "trained", "run", event));
done:
    json_decref(event);
    return st;
}

void study_runs_free(study_runs *r)
{
    json_decref(r->each);
}

/* ---- the call ---- */

typedef struct reporter {
    drmad_study *s;
    const double *values;
    const study_runs *runs;
    int64_t looks;
} reporter;

/* Multiply-adds of `steps` training steps and n looks at the objective. */
static double macs_of(const drmad_study *s, int64_t steps, int64_t n)
{
    const setup_cost c = setup_cost_of(s->s);

    return c.run * ((double)steps / (double)s->s->spec.steps + (double)n * (c.look - 1));
}

/* An intermediate value of trials of several runs: the mean of those that are over and, at `steps`
 * of it, the one under way. */
static drmad_status report_value(reporter *r, int64_t steps, double loss, int64_t runs)
{
    drmad_study *s = r->s;
    const int64_t before = r->runs->sum.finite * s->s->spec.steps;
    const int64_t all = study_runs_wanted(s) * s->s->spec.steps;
    const double mean = (r->runs->sum.mean.valid.loss + loss) / (double)runs;

    return study_event(s, "training", (double)(before + steps), (double)all,
                       json_pack("{s:s,s:I,s:o,s:f}", "event", "report", "step",
                                 (json_int_t)(before + steps), "objective", study_real(mean),
                                 "macs",
                                 macs_of(s, before + steps, r->looks + r->runs->sum.finite)));
}

static drmad_status report_step(void *user, int64_t steps)
{
    reporter *r = user;
    drmad_status st = DRMAD_OK;
    eval_result e;

    TRY(trainer_eval(r->s->s->trainer, &r->s->s->objective, r->values, &e, NULL, NULL));
    r->looks++;
    TRY(report_value(r, steps, e.loss, r->runs->sum.finite + 1));
done:
    return st;
}

static drmad_status run_all(drmad_study *s, reporter *r, study_runs *runs)
{
    const int64_t every = s->cfg->set.objective.report_every, wanted = study_runs_wanted(s);
    drmad_status st = DRMAD_OK;
    outcome o;

    if (every > 0) trainer_watch(s->s->trainer, every, report_step, r);
    for (int64_t i = 0; i < wanted && runs->sum.finite == i; i++) {
        TRY(study_run(s, r->values, study_runs_seed(s, i), &o));
        TRY(study_runs_add(s, runs, &o));
        if (every > 0 && o.finite && i + 1 < wanted) TRY(report_value(r, 0, 0, i + 1));
    }
done:
    return st;
}

drmad_status drmad_study_train(drmad_study *s, int resume)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL, *raw = NULL;
    study_runs runs = {0};
    reporter r = {.s = s, .runs = &runs};

    (void)resume; /* it starts again */
    TRY(study_begin(s, "train", false, true));
    TRY(study_files(s));
    const size_t total = (size_t)s->s->space->total + 1;
    TRY(mem_alloc(s->ctx, total, sizeof *values, &values));
    TRY(mem_alloc(s->ctx, total, sizeof *raw, &raw));
    space_start(s->s->space, raw);
    space_values(s->s->space, raw, values);
    r.values = values;
    TRY(run_all(s, &r, &runs));
    const int64_t n = runs.sum.runs;
    TRY(study_runs_report(s, &runs, macs_of(s, n * s->s->spec.steps, r.looks + n)));
    TRY(study_finish(s, "result.json"));
    if (!runs.sum.mean.finite) st = DRMAD_E_DIVERGED; /* with the message of the run */
done:
    study_runs_free(&runs);
    mem_free(s->ctx, values);
    mem_free(s->ctx, raw);
    return study_end(s, st);
}
