/* drmad why: one run, one walk back, a ranked table. */
#include "study/study_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 20, AUDITED = 3 };

/* One knob: all values of one slice in one phase, moved together. */
typedef struct knob {
    int32_t slice;
    int64_t phase;
    double per_log; /* dF/d log h */
    double gain;    /* predicted for 10 % in the better direction */
    double exact;   /* per_log by forward mode, NaN where not audited */
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
    char phase[40] = "all", audit[32] = "";
    drmad_status st = DRMAD_OK;

    if (c->phases > 1) snprintf(phase, sizeof phase, "%lld", (long long)q->phase);
    if (isfinite(q->exact)) snprintf(audit, sizeof audit, " %+13.3e", q->exact);
    json_t *j = json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:o,s:o,s:o}", "slice", c->name, "kind", kind, "per", per, "phase",
        (json_int_t)q->phase, "values", (json_int_t)c->elements, "dF_dlog", study_real(q->per_log),
        "gain_10_percent", study_real(q->gain), "audit_dF_dlog", study_real(q->exact));
    json_t *list = json_object_get(s->result, "sensitivities");
    if (!j || json_array_append_new(list, j) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the table"));
    if (json_array_size(list) > SHOWN) return DRMAD_OK;
    TRY(study_say(s, "%-30s %8s %8lld %+12.3e %10.2e%s", c->name, phase, (long long)c->elements,
                  q->per_log, q->gain, audit));
done:
    return st;
}

static drmad_status show_all(drmad_study *s, const walk_report *r, const knob *k, int64_t n)
{
    drmad_status st = DRMAD_OK;
    char way[128], health[96] = "";

    TRY(study_put(s, "objective", study_real(r->value.loss)));
    TRY(study_put(s, "growth", study_real(r->growth)));
    TRY(study_put(s, "trajectory", json_string(traj_kind_name(r->trajectory))));
    TRY(study_put(s, "estimator", json_string(estimator_name(s->s->walk.estimator.kind))));
    TRY(study_put(s, "sensitivities", json_array()));
    if (isfinite(r->residual)) {
        TRY(study_put(s, "residual", json_real(r->residual)));
        snprintf(health, sizeof health, "; residual %.2g after %lld products", r->residual,
                 (long long)r->steps);
    } else if (r->trajectory != TRAJ_NONE) {
        snprintf(health, sizeof health, "; |dF/dw| grew %.3g-fold on the way back", r->growth);
    }
    TRY(study_say(s, "objective  %.5g%s; %s", r->value.loss, health,
                  setup_way(s->s, way, sizeof way)));
    TRY(study_say(s, "\n%-30s %8s %8s %12s %10s %13s", "knob", "phase", "values", "dF/dlog h",
                  "for 10 %", "audited"));
    for (int64_t i = 0; i < n; i++) TRY(show(s, &k[i]));
    if (n > SHOWN) TRY(study_say(s, "... and %lld more in why.json", (long long)(n - SHOWN)));
done:
    return st;
}

/* The hypergradient at the start values; *n knobs, ranked, the first few audited. */
static drmad_status rank(drmad_study *s, double *values, double *grad, walk_report *r, knob *k,
                         int64_t *n)
{
    const space *h = s->s->space;
    const uint64_t seed = setup_seed(s->s, "run", 0);
    drmad_status st = DRMAD_OK;

    space_start(h, grad);
    space_values(h, grad, values);
    TRY(walker_gradient(s->s->walker, values, seed, &s->s->objective, r, grad));
    TRY(study_event(
        s, "walked back", 1, 1 + AUDITED,
        json_pack("{s:s,s:o}", "event", "gradient", "objective", study_real(r->value.loss))));
    TRY(study_save_values(s, "hypergradients.safetensors", grad));
    *n = knobs_of(h, values, grad, k);
    for (int64_t i = 0; i < *n && i < AUDITED; i++) {
        TRY(audit(s, &k[i], values, seed));
        TRY(study_event(s, "audit", (double)i + 2, 1 + AUDITED,
                        json_pack("{s:s,s:o}", "event", "audit", "slope", study_real(k[i].exact))));
    }
done:
    return st;
}

drmad_status drmad_study_why(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL, *grad = NULL;
    knob *k = NULL;
    walk_report r;
    int64_t n = 0;

    TRY(config_need_hyper(s->cfg));
    TRY(study_begin(s, "why", true, true));
    const space *h = s->s->space;
    for (int32_t i = 0; i < h->n_slices; i++) n += h->slices[i].phases;
    TRY(mem_alloc(s->ctx, (size_t)h->total + 1, sizeof *values, &values));
    TRY(mem_alloc(s->ctx, (size_t)h->total + 1, sizeof *grad, &grad));
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *k, &k));
    TRY(rank(s, values, grad, &r, k, &n));
    TRY(show_all(s, &r, k, n));
    TRY(study_keep(s, 0, values));
    TRY(study_finish(s, "why.json"));
done:
    mem_free(s->ctx, values);
    mem_free(s->ctx, grad);
    mem_free(s->ctx, k);
    return study_end(s, st);
}
