/* Writing under a lease: the lock is taken, the journal read on, the lease looked at, and only then
 * a line appended. Nobody can come between, neither of ours nor of Optuna's. */
#include "store/journal_inside.h"
#include <math.h>
#include <string.h>

static drmad_status lost(const journal *j, const store_lease *l, const journal_trial *t)
{
    const int64_t in = l->study - 1;
    const char *why = !t                          ? "it was deleted"
                      : t->state == TRIAL_RUNNING ? "another worker runs it"
                                                  : trial_state_word(t->state);

    return FAIL(
        j->s.ctx, DRMAD_E_LEASE,
        "%s: study %s: trial %lld is no longer ours (%s): what was to be written is dropped",
        j->s.url, in >= 0 && in < j->state.n_studies ? j->state.studies[in].name : "?",
        (long long)l->number, why);
}

/* The trial of the lease while its study is there, else NULL. */
static journal_trial *leased_trial(journal *j, const store_lease *l)
{
    const int64_t id = l->trial - 1;

    if (id < 0 || id >= j->state.n_trials) return NULL;
    journal_trial *t = j->state.trials + id;
    return t->study == l->study - 1 && journal_study_of(&j->state, t->study) ? t : NULL;
}

static bool holds(const journal_trial *t, const store_lease *l)
{
    return t && journal_leased(t) && t->lease.token == l->token;
}

/* The lease again from now, unless it is young: each renewal is a line in the file. */
static void renew(journal *j, text_out *o, const journal_trial *t)
{
    enum { PART = 4 };
    const double age = (double)(j->now - t->lease.beat) * 1e-6;

    if (age > j->s.lease_s / PART || age < 0) journal_put_lease(j, o, t->id, t->lease.token);
}

drmad_status journal_held(journal *j, text_out *o, const store_lease *l, journal_trial **out)
{
    journal_trial *t = leased_trial(j, l);

    *out = NULL;
    if (!holds(t, l)) return lost(j, l, t);
    renew(j, o, t);
    *out = t;
    return DRMAD_OK;
}

static bool has_param(const journal_trial *t, const store_param *p)
{
    for (int32_t i = 0; i < t->n_params; i++)
        if (strcmp(t->params[i].name, p->name) == 0)
            return t->params[i].value == p->value &&
                   strcmp(t->params[i].distribution, p->distribution) == 0;
    return false;
}

drmad_status journal_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                                  const store_attr *note)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_trial *t;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    TRY(journal_held(j, &o, l, &t));
    for (int32_t i = 0; i < n; i++) {
        if (has_param(t, p + i)) continue;
        TRY(journal_param_fits(j, j->state.studies + t->study, p + i));
        journal_line(j, &o, OP_TRIAL_PARAM);
        journal_field_int(&o, "trial_id", t->id);
        journal_field_string(&o, "param_name", p[i].name);
        text_put(&o, ",\"param_value_internal\":");
        json_put_real(&o, p[i].value);
        journal_field_string(&o, "distribution", p[i].distribution);
        journal_line_end(&o);
    }
    if (note) journal_put_attr(j, &o, t->id, note);
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

static void put_reports(const journal *j, text_out *o, int64_t trial, const store_report *r,
                        int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        journal_line(j, o, OP_TRIAL_REPORT);
        journal_field_int(o, "trial_id", trial);
        journal_field_int(o, "step", r[i].step);
        text_put(o, ",\"intermediate_value\":");
        json_put_real(o, r[i].value);
        journal_line_end(o);
    }
}

static drmad_status write_held(store *s, const store_lease *l, const store_report *r,
                               int32_t reports, const store_attr *a, int32_t attrs)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_trial *t;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    TRY(journal_held(j, &o, l, &t));
    put_reports(j, &o, t->id, r, reports);
    for (int32_t i = 0; i < attrs; i++) journal_put_attr(j, &o, t->id, a + i);
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

drmad_status journal_trial_reports(store *s, const store_lease *l, const store_report *r, int32_t n)
{
    return write_held(s, l, r, n, NULL, 0);
}

drmad_status journal_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n)
{
    return write_held(s, l, NULL, 0, a, n);
}

drmad_status journal_beat(store *s, const store_lease *l, int32_t n, bool *held)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    for (int32_t i = 0; i < n; i++) {
        const journal_trial *t = leased_trial(j, l + i);
        held[i] = holds(t, l + i);
        if (held[i]) renew(j, &o, t);
    }
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

/* As Optuna's tell: the last intermediate value stands for a pruned trial of one objective. */
static bool pruned_value(const journal_trial *t, const store_trial *end, double *out)
{
    const store_report *last = t->n_reports ? t->reports + t->n_reports - 1 : NULL;

    for (int32_t i = 0; i < end->n_reports; i++)
        if (!last || end->reports[i].step >= last->step) last = end->reports + i;
    if (!last || isnan(last->value)) return false;
    *out = last->value;
    return true;
}

static void put_end(journal *j, text_out *o, const journal_trial *t, const store_trial *end)
{
    const int32_t n_directions = j->state.studies[t->study].n_directions;
    const double *values = end->values;
    int32_t n = end->state == TRIAL_FAIL ? 0 : end->n_values;
    double last;

    if (end->state == TRIAL_PRUNED && n == 0 && n_directions == 1 && pruned_value(t, end, &last)) {
        values = &last;
        n = 1;
    }
    journal_put_state(j, o, t->id, end->state);
    text_put(o, ",\"values\":");
    for (int32_t i = 0; i < n; i++) {
        text_put(o, i ? "," : "[");
        json_put_real(o, values[i]);
    }
    text_put(o, n ? "]" : "null");
    journal_field_int(o, FIELD_TOKEN, t->lease.token);
    journal_line_end(o);
}

drmad_status journal_trial_tell(store *s, const store_lease *l, const store_trial *end)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_trial *t;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    t = leased_trial(j, l);
    if (t && journal_finished(t) && t->end_token == l->token) goto done; /* told before */
    if (!holds(t, l)) TRY(lost(j, l, t));
    const int32_t want = j->state.studies[t->study].n_directions;
    if (end->state == TRIAL_COMPLETE && end->n_values != want) {
        st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: study %s: trial %lld: %d values for %d objectives",
                  s->url, j->state.studies[t->study].name, (long long)l->number, end->n_values,
                  want);
        goto done;
    }
    put_reports(j, &o, t->id, end->reports, end->n_reports);
    for (int32_t i = 0; i < end->n_attrs; i++) journal_put_attr(j, &o, t->id, end->attrs + i);
    put_end(j, &o, t, end);
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

drmad_status journal_trial_release(store *s, const store_lease *l)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    const journal_trial *t = leased_trial(j, l);
    if (t && t->state == TRIAL_WAITING && t->lease.token == l->token) goto done; /* before */
    if (!holds(t, l)) TRY(lost(j, l, t));
    journal_put_state(j, &o, t->id, TRIAL_WAITING);
    text_put(&o, ",\"values\":null");
    journal_line_end(&o);
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}
