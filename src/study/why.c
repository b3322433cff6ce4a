/* drmad why: one run, one walk back, a ranked table. drmad train: one run. */
#include "study/study.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 20, AUDITED = 3 };

/* One knob: all values of one slice in one phase, moved together. */
typedef struct knob {
    int32_t slice;
    int64_t phase;
    double per_log; /* dF/d log h; dF/dh where a value is not positive */
    double gain;    /* predicted for 10 % in the better direction */
    double exact;   /* the same by forward mode, NaN where not audited */
} knob;

static int by_gain(const void *a, const void *b)
{
    const double x = ((const knob *)a)->gain, y = ((const knob *)b)->gain;

    return (x < y) - (x > y);
}

static int64_t knobs_of(const space *h, const double *values, const double *grad, knob *out)
{
    int64_t n = 0;

    for (int32_t i = 0; i < h->n_slices; i++) {
        const hyper_slice *c = &h->slices[i];
        for (int64_t k = 0; k < c->phases; k++) {
            knob *q = &out[n++];
            *q = (knob){.slice = i, .phase = k, .exact = NAN};
            for (int64_t e = 0; e < c->elements; e++) {
                const int64_t at = c->offset + k * c->elements + e;
                q->per_log += grad[at] * values[at];
            }
            q->gain = 0.1 * fabs(q->per_log);
        }
    }
    qsort(out, (size_t)n, sizeof *out, by_gain);
    return n;
}

/* dF/dlog h of one knob by forward mode. */
static drmad_status audit(drmad_study *s, knob *q, const double *values, uint64_t seed)
{
    const space *h = s->s->space;
    const hyper_slice *c = &h->slices[q->slice];
    drmad_status st = DRMAD_OK;
    double *along = NULL, f;

    TRY(mem_alloc(s->ctx, (size_t)h->total + 1, sizeof *along, &along));
    for (int64_t e = 0; e < c->elements; e++) {
        const int64_t at = c->offset + q->phase * c->elements + e;
        along[at] = values[at];
    }
    TRY(walker_directional(s->s->walker, values, along, seed, &s->s->objective, &f, &q->exact));
done:
    mem_free(s->ctx, along);
    return st;
}

static drmad_status show(drmad_study *s, const knob *q)
{
    const hyper_slice *c = &s->s->space->slices[q->slice];
    const char *per = hyper_per_word(c->per), *kind = hyper_kind_of(c->kind)->word;
    char phase[40] = "";
    drmad_status st = DRMAD_OK;

    if (c->phases > 1) snprintf(phase, sizeof phase, "phase %lld", (long long)q->phase);
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f,s:o}", "slice", c->name, "kind", kind, "per", per,
                  "phase", (json_int_t)q->phase, "values", (json_int_t)c->elements, "dF_dlog",
                  q->per_log, "gain_10_percent", q->gain, "audit_dF_dlog", study_real(q->exact));
    json_t *list = json_object_get(s->result, "sensitivities");
    if (!j || json_array_append_new(list, j) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the table"));
    if (json_array_size(list) > SHOWN) return DRMAD_OK;
    if (isfinite(q->exact))
        TRY(study_say(s, "%-36s %-10s %8lld  %+.3e  %.2e  audit %+.3e", c->name, phase,
                      (long long)c->elements, q->per_log, q->gain, q->exact));
    else
        TRY(study_say(s, "%-36s %-10s %8lld  %+.3e  %.2e", c->name, phase, (long long)c->elements,
                      q->per_log, q->gain));
done:
    return st;
}

drmad_status drmad_study_why(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL, *grad = NULL, *raw = NULL;
    knob *k = NULL;
    walk_report r;
    int64_t n = 0;

    TRY(config_need_hyper(s->cfg));
    TRY(study_begin(s, "why", true, true));
    TRY(folder_log_open(s->f, 0));
    const space *h = s->s->space;
    const size_t total = (size_t)h->total + 1;
    const uint64_t seed = setup_seed(s->s, "run", 0);
    for (int32_t i = 0; i < h->n_slices; i++) n += h->slices[i].phases;
    TRY(mem_alloc(s->ctx, total, sizeof *values, &values));
    TRY(mem_alloc(s->ctx, total, sizeof *grad, &grad));
    TRY(mem_alloc(s->ctx, total, sizeof *raw, &raw));
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *k, &k));
    space_start(h, raw);
    space_values(h, raw, values);
    TRY(walker_gradient(s->s->walker, values, seed, &s->s->objective, &r, grad));
    TRY(study_event(s, "walked back", 1, 1 + AUDITED,
                    json_pack("{s:s,s:f}", "event", "gradient", "objective", r.value.loss)));
    TRY(study_save_values(s, "hypergradients.safetensors", grad));
    n = knobs_of(h, values, grad, k);
    for (int64_t i = 0; i < n && i < AUDITED; i++) {
        TRY(audit(s, &k[i], values, seed));
        TRY(study_event(s, "audit", (double)i + 2, 1 + AUDITED,
                        json_pack("{s:s,s:f}", "event", "audit", "slope", k[i].exact)));
    }
    TRY(study_put(s, "objective", study_real(r.value.loss)));
    TRY(study_put(s, "growth", study_real(r.growth)));
    TRY(study_put(s, "trajectory", json_string(traj_kind_name(r.trajectory))));
    TRY(study_put(s, "sensitivities", json_array()));
    TRY(study_say(s, "F = %.4f; |dF/dw| grew %.3g-fold on the way back (%s trajectory)",
                  r.value.loss, r.growth, traj_kind_name(r.trajectory)));
    TRY(study_say(s, "%-36s %-10s %8s  %10s  %8s", "knob", "when", "values", "dF/dlog h",
                  "for 10 %"));
    for (int64_t i = 0; i < n; i++) TRY(show(s, &k[i]));
    TRY(study_finish(s));
done:
    mem_free(s->ctx, values);
    mem_free(s->ctx, grad);
    mem_free(s->ctx, raw);
    mem_free(s->ctx, k);
    return st;
}

drmad_status drmad_study_train(drmad_study *s, int resume)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL, *raw = NULL;
    outcome o;

    (void)resume; /* one run: it starts again */
    TRY(study_begin(s, "train", false, true));
    TRY(folder_log_open(s->f, 0));
    const size_t total = (size_t)s->s->space->total + 1;
    TRY(mem_alloc(s->ctx, total, sizeof *values, &values));
    TRY(mem_alloc(s->ctx, total, sizeof *raw, &raw));
    space_start(s->s->space, raw);
    space_values(s->s->space, raw, values);
    TRY(study_run(s, values, setup_seed(s->s, "run", 0), &o));
    if (!o.finite) TRY(DRMAD_E_DIVERGED);
    TRY(study_save_weights(s));
    TRY(study_put(s, "train_loss", study_real(o.train_loss)));
    TRY(study_put(s, "objective", study_real(o.valid.loss)));
    TRY(study_put(s, "objective_error", study_real(o.valid.error)));
    TRY(study_put(s, "test_loss", study_real(o.test.loss)));
    TRY(study_put(s, "test_error", study_real(o.test.error)));
    TRY(study_say(
        s, "training loss %.4f, objective %.4f (error %.2f %%), test %.4f (error %.2f %%)",
        o.train_loss, o.valid.loss, 100 * o.valid.error, o.test.loss, 100 * o.test.error));
    TRY(study_event(s, "trained", 1, 1,
                    json_pack("{s:s,s:f}", "event", "trained", "objective", o.valid.loss)));
    TRY(study_finish(s));
done:
    mem_free(s->ctx, values);
    mem_free(s->ctx, raw);
    return st;
}
