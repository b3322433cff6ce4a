/* Trials made and taken: looked for in memory, checked and appended under the lock. */
#include "store/journal_inside.h"
#include <stdio.h>
#include <string.h>

static void set_lease_out(store_lease *lease, const journal_trial *t, int64_t token)
{
    *lease = (store_lease){
        .study = t->study + 1, .trial = t->id + 1, .number = t->number, .token = token};
}

/* The trial that `request` made or took in an earlier attempt, with its token; NULL: none. */
static drmad_status seen(journal *j, const char *request, journal_trial **out, int64_t *token)
{
    struct journal_slot *slot;
    drmad_status st = DRMAD_OK;

    *out = NULL;
    if (!request) return st;
    st = journal_map_at(j->s.ctx, &j->state.requests, request, &slot);
    if (st != DRMAD_OK || slot->value < 0) return st;
    *out = j->state.trials + slot->value;
    *token = slot->token;
    return st;
}

/* The first trial of the study in that state from place *from on, which moves there. */
static journal_trial *first_in(journal *j, const journal_study *s, int64_t *from, trial_state want)
{
    for (; *from < s->n_trials; ++*from) {
        journal_trial *t = j->state.trials + s->trials[*from];
        if (t->state == want) return t;
    }
    return NULL;
}

drmad_status journal_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                               int64_t *id, int64_t *number)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    journal_trial *made;
    int64_t token;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    TRY(seen(j, request, &made, &token));
    if (t->state == TRIAL_COMPLETE && t->n_values != in->n_directions)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "%s: study %s: %d values for %d objectives", s->url,
                 in->name, t->n_values, in->n_directions));
    if (!made) {
        for (int32_t i = 0; i < t->n_params; i++) TRY(journal_param_fits(j, in, t->params + i));
        journal_put_trial(j, &o, study - 1, t, request, 0);
        TRY(journal_append(j, &o));
        made = j->state.trials + j->state.n_trials - 1;
    }
    *id = made->id + 1;
    *number = made->number;
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

drmad_status journal_trial_claim(store *s, int64_t study, const char *request, store_lease *lease)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    journal_trial *t;
    int64_t token = 0;
    drmad_status st = DRMAD_OK;

    lease->trial = -1;
    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    TRY(seen(j, request, &t, &token));
    if (!t) {
        t = first_in(j, in, &in->first_waiting, TRIAL_WAITING);
        if (!t) goto done;
        token = store_token(s);
        journal_put_lease(j, &o, t->id, token); /* before it runs: no trial runs without a lease */
        journal_put_version(j, &o, t);
        journal_put_state(j, &o, t->id, TRIAL_RUNNING);
        text_put(&o, ",\"values\":null");
        journal_field_int(&o, FIELD_TOKEN, token);
        if (request) journal_field_string(&o, FIELD_REQUEST, request);
        journal_line_end(&o);
        TRY(journal_append(j, &o));
    }
    set_lease_out(lease, t, token);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

drmad_status journal_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                                 store_lease *lease)
{
    const store_trial empty = {.state = TRIAL_RUNNING};
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    journal_trial *t;
    int64_t token = 0;
    drmad_status st = DRMAD_OK;

    lease->trial = -1;
    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    TRY(seen(j, request, &t, &token));
    if (!t) {
        if (limit >= 0 && in->n_trials - in->count[TRIAL_FAIL] >= limit) goto done;
        token = store_token(s);
        journal_put_trial(j, &o, study - 1, &empty, request, token);
        TRY(journal_append(j, &o));
        t = j->state.trials + j->state.n_trials - 1;
    }
    set_lease_out(lease, t, token);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

/* ---- stale ---- */

static const store_attr *system_attr(const journal_trial *t, const char *key)
{
    for (int32_t i = 0; i < t->n_attrs; i++)
        if (t->attrs[i].system && strcmp(t->attrs[i].key, key) == 0) return t->attrs + i;
    return NULL;
}

/* "[3,7]" and 12 as "[3,7,12]"; *tries: how many are in it. Gives *out. */
static drmad_status history_with(journal *j, const journal_trial *t, text_out *out, int32_t *tries)
{
    const store_attr *a = system_attr(t, "retry_history");
    json_span v = {NULL, NULL};

    *tries = 1;
    if (a) json_whole(a->json, strlen(a->json), &v);
    *out = (text_out){.ctx = j->s.ctx};
    text_put(out, "[");
    for (json_walk w = json_walk_of(v); json_next(&w); ++*tries) {
        json_put_span(out, w.value);
        text_put(out, ",");
    }
    json_put_int(out, t->number);
    text_put(out, "]");
    return out->st;
}

/* Whether a trial with that history is queued already: a writer died between two lines. */
static bool queued_again(const journal *j, const journal_trial *t, const char *history)
{
    const journal_study *s = j->state.studies + t->study;

    for (int64_t i = t->number + 1; i < s->n_trials; i++) {
        const store_attr *a = system_attr(j->state.trials + s->trials[i], "retry_history");
        if (a && strcmp(a->json, history) == 0) return true;
    }
    return false;
}

/* The trial once more, WAITING, as Optuna's RetryFailedTrialCallback makes it. */
static drmad_status put_retry(journal *j, text_out *o, const journal_trial *t, const char *history)
{
    store_trial again = journal_view(t);
    store_attr *attrs = NULL;
    char number[24];
    int32_t n = 0;
    const drmad_status st = mem_alloc(j->s.ctx, (size_t)t->n_attrs + 2, sizeof *attrs, &attrs);

    if (st != DRMAD_OK) return st;
    snprintf(number, sizeof number, "%lld", (long long)t->number);
    if (!system_attr(t, "failed_trial"))
        attrs[n++] = (store_attr){.key = "failed_trial", .json = number, .system = true};
    for (int32_t i = 0; i < t->n_attrs; i++)
        if (!t->attrs[i].system || strcmp(t->attrs[i].key, "retry_history") != 0)
            attrs[n++] = t->attrs[i];
    attrs[n++] = (store_attr){.key = "retry_history", .json = history, .system = true};
    again.state = TRIAL_WAITING;
    again.start = again.complete = NULL;
    again.n_values = again.n_reports = 0;
    again.attrs = attrs;
    again.n_attrs = n;
    journal_put_trial(j, o, t->study, &again, NULL, 0);
    mem_free(j->s.ctx, attrs);
    return o->st;
}

/* The retry is written first: a writer that dies between leaves the trial to be failed again. */
static drmad_status put_expired(journal *j, text_out *o, const journal_trial *t, int32_t retries)
{
    text_out history;
    int32_t tries;
    drmad_status st = DRMAD_OK;

    TRY(history_with(j, t, &history, &tries));
    if (tries <= retries && !queued_again(j, t, history.text))
        TRY(put_retry(j, o, t, history.text));
    journal_put_state(j, o, t->id, TRIAL_FAIL);
    text_put(o, ",\"values\":null");
    journal_line_end(o);
done:
    text_free(&history);
    return st;
}

drmad_status journal_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    int32_t n = 0;
    drmad_status st = DRMAD_OK;

    *expired = 0;
    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    first_in(j, in, &in->first_running, TRIAL_RUNNING);
    for (int64_t at = in->first_running; at < in->n_trials; at++) {
        const journal_trial *t = first_in(j, in, &at, TRIAL_RUNNING);
        if (!t) break;
        if (!journal_leased(t) || (double)(j->now - t->lease.beat) <= 1e6 * t->lease.lease_s)
            continue;
        TRY(put_expired(j, &o, t, retries));
        n++;
    }
    TRY(journal_append(j, &o));
    *expired = n;
done:
    journal_leave(j);
    text_free(&o);
    return st;
}
