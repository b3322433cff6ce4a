/* --dry-run: what tuning would cost, from the plans and a few timed steps. */
#include "compose/rally.h"
#include "compose/stages.h"
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>

#define ENOUGH_S 2.0

/* Seconds of one training step, from a few of them on scratch states: of large nets one must do. */
static drmad_status time_step(drmad_study *s, double *seconds)
{
    trainer *t = s->s->trainer;
    const int64_t steps = s->s->spec.steps < 50 ? s->s->spec.steps : 50;
    drmad_status st = DRMAD_OK;
    double *raw = NULL, *values = NULL, start = 0;

    TRY(mem_alloc(s->ctx, (size_t)s->s->space->total + 1, sizeof *raw, &raw));
    TRY(mem_alloc(s->ctx, (size_t)s->s->space->total + 1, sizeof *values, &values));
    space_start(s->s->space, raw);
    space_values(s->s->space, raw, values);
    trainer_restart(t, values, 0);
    TRY(trainer_prepare(t, 0));
    TRY(trainer_start_state(t, t->state[0]));
    const double began = base_now();
    int64_t timed = 0;
    for (int64_t k = 0; k < steps && (timed == 0 || base_now() - began < ENOUGH_S); k++) {
        if (k <= steps / 5 && base_now() - began < ENOUGH_S / 5) {
            start = base_now(); /* the first ones warm the caches */
            timed = 0;
        }
        TRY(trainer_step_at(t, k, t->state[0], t->spec.masks ? t->state[1] : t->state[0]));
        timed++;
    }
    *seconds = (base_now() - start) / (double)timed;
done:
    mem_free(s->ctx, raw);
    mem_free(s->ctx, values);
    return st;
}

/* In training runs. */
typedef struct bill {
    double tuning, audits, last, retrain, random, sum;
} bill;

static bill bill_of(const drmad_study *s, const setup_cost *cost)
{
    const config_study *c = &s->cfg->set;
    const double seeds = (double)c->retrain.seeds, steps = (double)c->outer.steps;
    bill b = {.tuning = cost->meta * steps, .last = cost->look, .retrain = fmax(1, 2 * seeds)};

    if (c->budget.runs > 0) b.tuning = fmin(b.tuning, c->budget.runs);
    if (c->outer.audit_every > 0)
        b.audits = ceil(steps / (double)c->outer.audit_every) * cost->audit;
    if (c->baselines.random > 0) b.random = (double)c->baselines.random + seeds;
    b.sum = b.tuning + b.audits + b.last + b.retrain + b.random;
    return b;
}

static const char *duration(double s, char *buf, size_t size)
{
    if (s < 120) snprintf(buf, size, "%.3g s", s);
    else if (s < 7200) snprintf(buf, size, "%.3g minutes", s / 60);
    else snprintf(buf, size, "%.3g hours", s / 3600);
    return buf;
}

static drmad_status say_cost(drmad_study *s, const setup_cost *cost, const bill *b, double step)
{
    const double seconds = b->sum * step * (double)s->cfg->set.train.steps;
    const char *kind = traj_kind_name(walker_kind(s->s->walker));
    drmad_status st = DRMAD_OK;
    char time[32], way[128];

    TRY(study_put(s, "runs", json_real(b->sum)));
    TRY(study_put(s, "runs_per_meta_step", json_real(cost->meta)));
    TRY(study_put(s, "hours", json_real(seconds / 3600)));
    TRY(study_put(s, "step_seconds", json_real(step)));
    TRY(study_put(s, "peak_bytes", json_integer((json_int_t)cost->bytes)));
    TRY(study_put(s, "trajectory", json_string(kind)));
    TRY(study_say(s,
                  "work       %.1f training runs: tuning %.1f (%.2f a meta-step), audits %.1f, "
                  "last move %.1f, retraining %.0f, random search %.0f",
                  b->sum, b->tuning, cost->meta, b->audits, b->last, b->retrain, b->random));
    TRY(study_say(s, "time       about %s at %.3g ms a step (measured, %d threads)",
                  duration(seconds, time, sizeof time), 1e3 * step, drmad_ctx_threads(s->ctx)));
    TRY(study_say(s, "memory     %.1f MiB at the peak; %s", (double)cost->bytes / 1048576,
                  setup_way(s->s, way, sizeof way)));
    if (cost->gpu == 0) goto done;
    TRY(study_put(s, "gpu_bytes", json_integer((json_int_t)cost->gpu)));
    TRY(study_say(s, "GPU        about %.1f MiB of its memory", (double)cost->gpu / 1048576));
done:
    return st;
}

/* Cost and time of tuning the study as it stands. */
static drmad_status dry_run(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    double step, speed;

    TRY(config_need_hyper(s->cfg));
    TRY(study_begin(s, "dry run", true, false));
    const setup_cost cost = setup_cost_of(s->s);
    const bill b = bill_of(s, &cost);
    TRY(time_step(s, &step));
    if (s->cfg->set.stages.n > 0) TRY(stage_say_split(s));
    TRY(say_cost(s, &cost, &b, step)); /* with stages: of one refinement */
    TRY(study_put_speed(s, &speed));
done:
    return st;
}

/* ---- of a rally ---- */

typedef struct total {
    double hours, bytes;
    json_t *legs;
} total;

static double of(const drmad_study *s, const char *key)
{
    return json_number_value(json_object_get(s->result, key));
}

/* A leg as its tuning would be, and with it the legs of the chains that are trained at the end. */
static drmad_status dry_leg(drmad_study *s, int32_t k, total *sum)
{
    const double chains = fmax(1, 2 * (double)s->cfg->set.retrain.seeds);
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    char time[32];

    TRY(leg_study(s, k, "rally", NULL, &sub));
    TRY(dry_run(sub));
    const double steps = (double)sub->s->spec.steps, runs = of(sub, "runs") + chains;
    const double hours = runs * of(sub, "step_seconds") * steps / 3600;
    sum->hours += hours;
    sum->bytes = fmax(sum->bytes, of(sub, "peak_bytes"));
    TRY(study_say(s, "%5d %9lld %8.0f %8lld %9lld %7.1f %10s %9.1f %10s", (int)k + 1,
                  (long long)sub->s->spec.train.count, steps, (long long)sub->cfg->set.outer.steps,
                  (long long)sub->s->params->weights, runs,
                  duration(3600 * hours, time, sizeof time), of(sub, "peak_bytes") / 1048576,
                  traj_kind_name(walker_kind(sub->s->walker))));
    json_t *leg = json_pack("{s:i,s:I,s:f,s:f,s:f,s:I,s:O}", "stage", (int)k + 1, "examples",
                            (json_int_t)sub->s->spec.train.count, "steps", steps, "runs", runs,
                            "hours", hours, "parameters", (json_int_t)sub->s->params->weights,
                            "peak_bytes", json_object_get(sub->result, "peak_bytes"));
    if (!leg || json_array_append_new(sum->legs, leg) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the plan"));
done:
    drmad_study_free(sub);
    return st;
}

static drmad_status dry_rally(drmad_study *s)
{
    total sum = {.legs = json_array()};
    drmad_status st = DRMAD_OK;
    char time[32];

    TRY(study_begin(s, "dry run", false, false));
    TRY(study_say(s, "\n%5s %9s %8s %8s %9s %7s %10s %9s %10s", "stage", "examples", "steps",
                  "meta", "weights", "runs", "time", "MiB", "trajectory"));
    for (int32_t k = 0; k < s->cfg->set.rally.n; k++) TRY(dry_leg(s, k, &sum));
    TRY(study_put(s, "rally", json_incref(sum.legs)));
    TRY(study_put(s, "hours", json_real(sum.hours)));
    TRY(study_put(s, "peak_bytes", json_real(sum.bytes)));
    TRY(study_say(s, "\ntime       about %s (steps measured, %d threads)",
                  duration(3600 * sum.hours, time, sizeof time), drmad_ctx_threads(s->ctx)));
done:
    json_decref(sum.legs);
    return st;
}

drmad_status drmad_study_dry_run(drmad_study *s)
{
    drmad_status st = s->cfg->set.rally.n > 0 ? dry_rally(s) : dry_run(s);
    double speed;

    if (st == DRMAD_OK) st = study_put_speed(s, &speed);
    if (st == DRMAD_OK) st = study_finish(s, NULL);
    return study_end(s, st);
}
