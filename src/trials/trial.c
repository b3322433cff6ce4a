/* Asking: a queued trial or a new one, and its parameters.
 *
 * Number first, values second: a suggestion needs the number, so a new trial is begun in one
 * transaction and given all its parameters, with the note of how they came, in the next. A trial
 * that loses its worker in between has none; whoever takes it over suggests anew. */
#include "trials/suggest.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trial_name(const drmad_trial *t, char *buf, size_t size)
{
    snprintf(buf, size, "study %s, trial %lld", t->study->session->name,
             (long long)t->lease.number);
}

void drmad_trial_free(drmad_trial *t)
{
    if (!t) return;
    drmad_ctx *ctx = t->study->ctx;
    mem_free(ctx, t->x);
    search_free(t->own);
    mem_free(ctx, t->own_x);
    json_decref(t->fixed);
    mem_free(ctx, t->note);
    mem_free(ctx, t->shared_x);
    mem_free(ctx, t->steps);
    mem_free(ctx, t->reports);
    mem_free(ctx, t->params);
    mem_free(ctx, t->text);
    mem_free(ctx, t);
}

static drmad_status trial_new(drmad_study *s, const store_lease *l, drmad_trial **out)
{
    const search *declared = s->session->space;
    drmad_status st = DRMAD_OK;
    drmad_trial *t = NULL;

    *out = NULL;
    TRY(mem_alloc(s->ctx, 1, sizeof *t, &t));
    t->study = s;
    t->lease = *l;
    t->curve = (curve){.number = l->number, .state = OBSERVED_PENDING};
    t->asked_at = base_now();
    TRY(mem_alloc(s->ctx, (size_t)declared->n + 1, sizeof *t->x, &t->x));
    for (int32_t i = 0; i < declared->n; i++) t->x[i] = NAN;
    TRY(search_new(s->ctx, &t->own));
    *out = t, t = NULL;
done:
    drmad_trial_free(t);
    return st;
}

/* ---- what the store has of it ---- */

drmad_status trial_add_own(drmad_trial *t, search_param *p, double x, int32_t *index)
{
    drmad_status st = search_add(t->own, p, index);

    if (st == DRMAD_OK && *index >= t->own_room) {
        const int32_t room = 2 * *index + 8;

        st = mem_resize(t->study->ctx, &t->own_x, (size_t)t->own_room, (size_t)room,
                        sizeof *t->own_x);
        if (st == DRMAD_OK) t->own_room = room;
    }
    if (st == DRMAD_OK) t->own_x[*index] = x;
    return st;
}

static drmad_status take_param(drmad_trial *t, const store_param *p)
{
    const search *declared = t->study->session->space;
    const int32_t i = search_find(declared, p->name);
    drmad_status st = DRMAD_OK;
    search_param *own;
    int32_t index;

    if (i >= 0) {
        t->x[i] = p->value;
        return st;
    }
    TRY(search_param_parse(t->study->ctx, p->name, p->distribution, &own));
    TRY(trial_add_own(t, own, p->value, &index));
done:
    return st;
}

static drmad_status take_attr(drmad_trial *t, const store_attr *a)
{
    if (!a->system) return DRMAD_OK;
    if (strcmp(a->key, PAST_FIXED_KEY) == 0 && !t->fixed) t->fixed = json_loads(a->json, 0, NULL);
    if (strcmp(a->key, PAST_NOTE_KEY) == 0 && !t->note)
        return mem_strdup(t->study->ctx, a->json, &t->note);
    return DRMAD_OK;
}

static drmad_status take_stored(void *user, const store_trial *stored)
{
    drmad_trial *t = user;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < stored->n_params; i++) TRY(take_param(t, &stored->params[i]));
    for (int32_t i = 0; i < stored->n_attrs; i++) TRY(take_attr(t, &stored->attrs[i]));
    for (int32_t i = 0; i < stored->n_reports; i++)
        TRY(trial_keep_report(t, stored->reports[i].step, stored->reports[i].value));
done:
    return st;
}

drmad_status trial_fixed(const search *over, const json_t *fixed, double *x)
{
    drmad_status st = DRMAD_OK;
    json_t *known = json_object(), *value;
    char *text = NULL;
    const char *name;

    for (int32_t i = 0; i < over->n; i++) x[i] = NAN;
    if (!json_is_object(fixed)) goto done;
    json_object_foreach((json_t *)fixed, name, value)
    {
        if (search_find(over, name) >= 0) json_object_set(known, name, value);
    }
    if (json_object_size(known) == 0) goto done;
    text = json_dumps(known, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!text) TRY(FAIL(over->ctx, DRMAD_E_NOMEM, "out of memory for a queued point"));
    TRY(search_parse(over, text, x));
done:
    json_decref(known);
    free(text);
    return st;
}

/* The fixed values of declared parameters into x, where nothing is stored yet. */
static drmad_status take_fixed(drmad_trial *t)
{
    const search *declared = t->study->session->space;
    drmad_ctx *ctx = t->study->ctx;
    drmad_status st = DRMAD_OK;
    double *x = NULL;

    TRY(mem_alloc(ctx, (size_t)declared->n + 1, sizeof *x, &x));
    TRY(trial_fixed(declared, t->fixed, x));
    for (int32_t i = 0; i < declared->n; i++)
        if (isnan(t->x[i])) t->x[i] = x[i];
done:
    mem_free(ctx, x);
    return st;
}

static drmad_status store_params(drmad_trial *t, const char *note)
{
    const struct session *ss = t->study->session;
    const search *declared = ss->space;
    drmad_status st = DRMAD_OK;
    store_param *p = NULL;
    int32_t n = 0;

    TRY(mem_alloc(ss->ctx, (size_t)declared->n + 1, sizeof *p, &p));
    for (int32_t i = 0; i < declared->n; i++)
        if (!isnan(t->x[i]))
            p[n++] =
                (store_param){declared->params[i].name, t->x[i], declared->params[i].distribution};
    const store_attr a = {PAST_NOTE_KEY, note, .system = true};
    if (n > 0) TRY(store_trial_params(ss->store, &t->lease, p, n, note ? &a : NULL));
done:
    mem_free(ss->ctx, p);
    return st;
}

/* ---- asking ---- */

/* A trial that cannot run, as one queued with values outside the space, fails for good: left in the
 * queue it would be everybody's next. */
static drmad_status fail_queued(drmad_trial *t)
{
    drmad_ctx *ctx = t->study->ctx;
    drmad_status st = DRMAD_OK;
    char why[1024], *json = NULL;

    snprintf(why, sizeof why, "%s", drmad_errmsg(ctx));
    TRY(trial_json_text(ctx, why, strlen(why), &json));
    const store_attr a = {"fail_reason", json, .system = false};
    TRY(trial_tell(t, &(store_trial){.state = TRIAL_FAIL, .n_attrs = 1, .attrs = &a}));
    base_log(ctx, LOG_WARN, "trial %lld was queued with what cannot be: %s",
             (long long)t->lease.number, why);
done:
    mem_free(ctx, json);
    return st;
}

/* *out is NULL where the queued trial was not fit to run. */
static drmad_status prepare(drmad_study *s, const store_lease *l, bool queued, drmad_trial **out)
{
    const struct session *ss = s->session;
    drmad_status st = DRMAD_OK;
    drmad_trial *t = NULL;
    char *note = NULL;

    *out = NULL;
    TRY(trial_new(s, l, &t));
    if (queued) {
        TRY(store_trial_read(ss->store, ss->study, l->trial, take_stored, t));
        st = take_fixed(t);
    }
    if (st == DRMAD_OK) st = suggest_declared(t, &note);
    if (queued && st == DRMAD_E_CONFIG) {
        st = fail_queued(t);
        goto done;
    }
    TRY(st);
    TRY(store_params(t, note));
    *out = t, t = NULL;
done:
    mem_free(s->ctx, note);
    drmad_trial_free(t);
    return st;
}

/* A request keeps its key until it is answered: so a trial that was made or taken while the
 * connection broke is found again and not made twice. */
static drmad_status take_next(drmad_study *s)
{
    struct session *ss = s->session;
    const int64_t limit = s->cfg->set.search.trials;
    drmad_status st = DRMAD_OK;

    if (!ss->begin_key[0]) {
        if (!ss->claim_key[0]) store_request(ss->store, ss->claim_key);
        TRY(store_trial_claim(ss->store, ss->study, ss->claim_key, &ss->taken));
        ss->claim_key[0] = '\0';
        ss->queued = ss->taken.trial >= 0;
        if (ss->queued) goto done;
        store_request(ss->store, ss->begin_key);
    }
    TRY(store_trial_begin(ss->store, ss->study, limit > 0 ? limit : -1, ss->begin_key, &ss->taken));
    ss->begin_key[0] = '\0';
done:
    ss->has_taken = st == DRMAD_OK && ss->taken.trial >= 0;
    return st;
}

/* What has been taken but is not whole yet waits in the session for the next call. */
drmad_status trial_ask(drmad_study *s, drmad_trial **out)
{
    struct session *ss = s->session;
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(suggest_ready(s));
    while (st == DRMAD_OK && !*out) {
        if (!ss->has_taken) TRY(take_next(s));
        if (!ss->has_taken) break;
        st = prepare(s, &ss->taken, ss->queued, out);
        ss->has_taken = st == DRMAD_E_AGAIN;
        if (st == DRMAD_E_LEASE) st = DRMAD_OK; /* it took too long: whoever has it now goes on */
    }
done:
    return st;
}

/* As every worker does: so a trial that was asked for and never told comes back. */
static drmad_status expire_now_and_then(drmad_study *s)
{
    struct session *ss = s->session;
    const double now = base_now();
    int32_t n;

    if (now < ss->expire_at) return DRMAD_OK;
    ss->expire_at = now + s->cfg->set.worker.lease;
    return store_trial_expire(ss->store, ss->study, (int32_t)s->cfg->set.objective.retries, &n);
}

drmad_status drmad_study_ask(drmad_study *s, drmad_trial **out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(session_open(s, -1));
    TRY(expire_now_and_then(s));
    TRY(trial_ask(s, out));
done:
    return st;
}

/* ---- from one process to another ---- */

const char *drmad_trial_token(drmad_trial *t)
{
    const store_lease *l = &t->lease;

    mem_free(t->study->ctx, t->text);
    if (mem_alloc(t->study->ctx, 96, 1, &t->text) != DRMAD_OK) return "";
    snprintf(t->text, 96, "%lld.%lld.%lld.%lld", (long long)l->study, (long long)l->number,
             (long long)l->trial, (long long)l->token);
    return t->text;
}

drmad_status drmad_study_trial(drmad_study *s, const char *token, int64_t number, drmad_trial **out)
{
    drmad_status st = DRMAD_OK;
    long long study, its, trial, secret;
    drmad_trial *t = NULL;
    char rest;

    *out = NULL;
    if (sscanf(token, "%lld.%lld.%lld.%lld%c", &study, &its, &trial, &secret, &rest) != 4)
        return FAIL(s->ctx, DRMAD_E_USAGE, "token: not what ask printed");
    if (number >= 0 && its != number)
        return FAIL(s->ctx, DRMAD_E_USAGE, "trial %lld: the token is that of trial %lld",
                    (long long)number, its);
    TRY(session_open(s, -1));
    if (study != s->session->study)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "token: of another study than %s", s->session->name));
    TRY(trial_new(s, &(store_lease){study, trial, its, secret}, &t));
    TRY(store_trial_read(s->session->store, study, trial, take_stored, t));
    *out = t, t = NULL;
done:
    drmad_trial_free(t);
    return st;
}
