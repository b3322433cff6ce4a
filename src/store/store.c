/* The calls of store.h over any kind of store: arguments are checked, attempts repeated, results
 * kept until they are stored. */
#include "store/store_inside.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <stdio.h>

static const double PATIENCE_S = 60, LEASE_S = 60; /* where the options say nothing */
static const double WAIT_FIRST_S = 0.005, WAIT_MOST_S = 2, WAIT_STOPPED_S = 5;

/* ---- randomness: keys, tokens, jitter ---- */

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
 * from 128 bits of the system's. */
uint64_t store_random(store *s)
{
    uint64_t z = s->random[0] + ++s->drawn * 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) ^ s->random[1];
}

int64_t store_token(store *s)
{
    return (int64_t)(store_random(s) >> 1) | 1;
}

void store_request(store *s, char key[STORE_REQUEST_SIZE])
{
    const uint64_t a = store_random(s), b = store_random(s);

    snprintf(key, STORE_REQUEST_SIZE, "%016llx%016llx", (unsigned long long)a,
             (unsigned long long)b);
}

/* ---- patience ---- */

patience patience_start(store *s)
{
    s->attempt = 0;
    return (patience){.s = s, .end = base_now() + s->patience_s, .wait = WAIT_FIRST_S};
}

bool patience_again(patience *p, drmad_status st)
{
    store *s = p->s;

    if (st != DRMAD_E_AGAIN) return false;
    double left = p->end - base_now();
    if (atomic_load(&s->ctx->stop) && left > WAIT_STOPPED_S) left = WAIT_STOPPED_S;
    if (left <= 0) return false;
    const double share = (double)(store_random(s) >> 11) * 0x1p-53;
    double wait = p->wait * (0.5 + share);
    if (wait > left) wait = left;
    if (p->wait < WAIT_MOST_S) p->wait *= 2;
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)wait, .tv_nsec = (long)(1e9 * (wait - floor(wait)))},
        NULL);
    if (p->attempt == 3)
        base_log(s->ctx, LOG_WARN, "%s; trying again for %.0f s", drmad_errmsg(s->ctx), left);
    s->attempt = ++p->attempt;
    return true;
}

/* Makes attempts until one is final. */
#define PATIENTLY(s, call)                                                                         \
    do {                                                                                           \
        patience p_ = patience_start(s);                                                           \
        do st = (call);                                                                            \
        while (patience_again(&p_, st));                                                           \
    } while (0)

static drmad_status check_writable(store *s)
{
    if (!s->read_only) return DRMAD_OK;
    return FAIL(s->ctx, DRMAD_E_USAGE, "%s: opened for reading only", s->url);
}

/* ---- opening ---- */

static drmad_status new_store(drmad_ctx *ctx, const char *url, const store_options *o, store **out)
{
    store place = {.ctx = ctx}, *s = NULL;
    drmad_status st = DRMAD_OK;

    TRY(store_set_place(&place, url));
    TRY(mem_alloc(ctx, 1, place.ops->size, &s));
    *s = place;
    place.url = place.place = NULL;
    s->create = o->create, s->read_only = o->read_only;
    s->patience_s = o->patience_s > 0 ? o->patience_s : PATIENCE_S;
    s->lease_s = o->lease_s > 0 ? o->lease_s : LEASE_S;
    TRY(store_set_names(s, o));
    if (getrandom(s->random, sizeof s->random, 0) != (ssize_t)sizeof s->random)
        st = FAIL(ctx, DRMAD_E_IO, "no random numbers: %s", strerror(errno));
done:
    mem_free(ctx, place.url);
    mem_free(ctx, place.place);
    *out = s;
    return st;
}

static void free_store(store *s)
{
    drmad_ctx *ctx = s->ctx;

    mem_free(ctx, s->url);
    if (s->place) explicit_bzero(s->place, strlen(s->place)); /* may hold a password */
    mem_free(ctx, s->place);
    mem_free(ctx, s->spool);
    mem_free(ctx, s->worker);
    mem_free(ctx, s->version);
    mem_free(ctx, s);
}

static drmad_status try_open(store *s)
{
    const drmad_status st = s->ops->open(s);

    if (st != DRMAD_OK) s->ops->close(s);
    return st;
}

drmad_status store_open(drmad_ctx *ctx, const char *url, const store_options *o, store **out)
{
    store *s = NULL;
    drmad_status st = DRMAD_OK;

    *out = NULL;
    TRY(new_store(ctx, url, o, &s));
    PATIENTLY(s, try_open(s));
    if (st == DRMAD_OK) *out = s, s = NULL;
done:
    if (s) free_store(s);
    return st;
}

void store_close(store *s)
{
    if (!s) return;
    s->ops->close(s);
    free_store(s);
}

const char *store_url(const store *s)
{
    return s->url;
}

drmad_ctx *store_ctx(const store *s)
{
    return s->ctx;
}

/* ---- callbacks: what they return is final, E_AGAIN too ---- */

typedef struct caller {
    store_study_fn *study;
    store_trial_fn *trial;
    store_artefact_fn *artefact;
    void *user;
    drmad_status st;
    int64_t calls;
} caller;

static drmad_status call_study(void *user, const store_study *study)
{
    caller *c = user;

    c->calls++;
    c->st = c->study(c->user, study);
    return c->st == DRMAD_OK ? DRMAD_OK : DRMAD_E_INTERNAL;
}

static drmad_status call_trial(void *user, const store_trial *t)
{
    caller *c = user;

    c->st = c->trial(c->user, t);
    return c->st == DRMAD_OK ? DRMAD_OK : DRMAD_E_INTERNAL;
}

static drmad_status call_artefact(void *user, const char *name, int64_t size, const char *sha256)
{
    caller *c = user;

    c->st = c->artefact(c->user, name, size, sha256);
    return c->st == DRMAD_OK ? DRMAD_OK : DRMAD_E_INTERNAL;
}

static drmad_status final(const caller *c, drmad_status st)
{
    return c->st != DRMAD_OK ? c->st : st;
}

/* ---- studies ---- */

drmad_status store_study_create(store *s, const char *name, const study_direction *d, int32_t n,
                                int64_t *study, bool *made)
{
    drmad_status st = DRMAD_OK;

    *study = 0, *made = false;
    TRY(check_writable(s));
    TRY(store_check_name(s, "study name", name));
    if (n < 1) return FAIL(s->ctx, DRMAD_E_USAGE, "study \"%s\": no direction", name);
    for (int32_t i = 0; i < n; i++)
        if (d[i] != DIRECTION_MINIMIZE && d[i] != DIRECTION_MAXIMIZE)
            return FAIL(s->ctx, DRMAD_E_USAGE,
                        "study \"%s\": direction %d is neither minimize nor maximize", name,
                        (int)i);
    PATIENTLY(s, s->ops->study_create(s, name, d, n, study, made));
done:
    return st;
}

drmad_status store_study_find(store *s, const char *name, int64_t *study)
{
    drmad_status st = DRMAD_OK;

    *study = 0;
    TRY(store_check_name(s, "study name", name));
    PATIENTLY(s, s->ops->study_find(s, name, study));
done:
    return st;
}

drmad_status store_study_each(store *s, const char *name, store_study_fn *fn, void *user)
{
    caller c = {.study = fn, .user = user};
    drmad_status st = DRMAD_OK;

    if (name) TRY(store_check_name(s, "study name", name));
    PATIENTLY(s, s->ops->study_each(s, name, call_study, &c));
    if (st == DRMAD_OK && name && c.calls == 0)
        st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: no study \"%.128s\"", s->url, name);
done:
    return final(&c, st);
}

drmad_status store_study_set_attr(store *s, int64_t study, const store_attr *a)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    TRY(store_check_attrs(s, a, 1));
    PATIENTLY(s, s->ops->study_set_attr(s, study, a));
done:
    return st;
}

drmad_status store_study_delete(store *s, int64_t study)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    PATIENTLY(s, s->ops->study_delete(s, study));
done:
    return st;
}

/* ---- trials: making and taking ---- */

drmad_status store_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                             int64_t *id, int64_t *number)
{
    char key[STORE_REQUEST_SIZE];
    drmad_status st = DRMAD_OK;

    *id = *number = -1;
    TRY(check_writable(s));
    if (t->state == TRIAL_RUNNING)
        return FAIL(s->ctx, DRMAD_E_USAGE, "a trial that is added cannot be RUNNING");
    TRY(store_check_trial(s, t));
    store_request(s, key);
    PATIENTLY(s, s->ops->trial_add(s, study, t, request ? request : key, id, number));
done:
    return st;
}

drmad_status store_trial_claim(store *s, int64_t study, const char *request, store_lease *lease)
{
    char key[STORE_REQUEST_SIZE];
    drmad_status st = DRMAD_OK;

    *lease = (store_lease){.study = study, .trial = -1, .number = -1};
    TRY(check_writable(s));
    store_request(s, key);
    PATIENTLY(s, s->ops->trial_claim(s, study, request ? request : key, lease));
done:
    return st;
}

drmad_status store_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                               store_lease *lease)
{
    char key[STORE_REQUEST_SIZE];
    drmad_status st = DRMAD_OK;

    *lease = (store_lease){.study = study, .trial = -1, .number = -1};
    TRY(check_writable(s));
    store_request(s, key);
    PATIENTLY(s, s->ops->trial_begin(s, study, limit, request ? request : key, lease));
done:
    return st;
}

drmad_status store_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired)
{
    drmad_status st = DRMAD_OK;

    *expired = 0;
    TRY(check_writable(s));
    PATIENTLY(s, s->ops->trial_expire(s, study, retries, expired));
done:
    return st;
}

/* ---- trials: writing under a lease ---- */

drmad_status store_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                                const store_attr *note)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    TRY(store_check_params(s, p, n));
    if (note) TRY(store_check_attrs(s, note, 1));
    PATIENTLY(s, s->ops->trial_params(s, l, p, n, note));
done:
    return st;
}

drmad_status store_trial_reports(store *s, const store_lease *l, const store_report *r, int32_t n)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    PATIENTLY(s, s->ops->trial_reports(s, l, r, n));
done:
    return st;
}

drmad_status store_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    TRY(store_check_attrs(s, a, n));
    PATIENTLY(s, s->ops->trial_attrs(s, l, a, n));
done:
    return st;
}

drmad_status store_beat(store *s, const store_lease *l, int32_t n, bool *held)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < n; i++) held[i] = false;
    TRY(check_writable(s));
    if (n > 0) PATIENTLY(s, s->ops->beat(s, l, n, held));
done:
    return st;
}

drmad_status store_trial_tell(store *s, const store_lease *l, const store_trial *end)
{
    store_trial e = *end;
    char *kept = NULL;
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    if (e.state == TRIAL_RUNNING || e.state == TRIAL_WAITING)
        return FAIL(s->ctx, DRMAD_E_USAGE, "trial %lld: told %s, expected COMPLETE, PRUNED or FAIL",
                    (long long)l->number, trial_state_word(e.state));
    for (int32_t i = 0; i < e.n_values && e.state == TRIAL_COMPLETE; i++)
        if (isnan(e.values[i])) e.state = TRIAL_FAIL;
    if (e.state != TRIAL_COMPLETE) e.n_values = 0;
    TRY(store_check_trial(s, &e));

    patience p = patience_start(s);
    do {
        st = s->ops->trial_tell(s, l, &e);
        if (st == DRMAD_E_AGAIN && !kept) {
            char why[sizeof s->errmsg];
            memcpy(why, drmad_errmsg(s->ctx), sizeof why);
            if (spool_keep(s, l, &e, &kept) != DRMAD_OK)
                base_log(s->ctx, LOG_ERROR, "trial %lld: its result is kept in memory only: %s",
                         (long long)l->number, drmad_errmsg(s->ctx));
            FAIL(s->ctx, st, "%s", why);
        }
    } while (patience_again(&p, st));
    if (st == DRMAD_E_AGAIN && kept)
        FAIL(s->ctx, st,
             "%s; the result of trial %lld lies in %s and is stored as soon as a "
             "worker reaches the store",
             drmad_errmsg(s->ctx), (long long)l->number, kept);
    else spool_drop(s, kept), kept = NULL;
done:
    mem_free(s->ctx, kept);
    return st;
}

drmad_status store_trial_release(store *s, const store_lease *l)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    PATIENTLY(s, s->ops->trial_release(s, l));
done:
    return st;
}

drmad_status store_flush(store *s, int32_t *stored)
{
    *stored = 0;
    drmad_status st = check_writable(s);
    return st == DRMAD_OK ? spool_flush(s, stored) : st;
}

/* ---- reading ---- */

drmad_status store_trial_each(store *s, int64_t study, int64_t after, unsigned states,
                              store_trial_fn *fn, void *user)
{
    caller c = {.trial = fn, .user = user};
    drmad_status st;

    PATIENTLY(s, s->ops->trial_each(s, study, &after, states, call_trial, &c));
    return final(&c, st);
}

drmad_status store_trial_read(store *s, int64_t study, int64_t trial, store_trial_fn *fn,
                              void *user)
{
    caller c = {.trial = fn, .user = user};
    drmad_status st;

    PATIENTLY(s, s->ops->trial_read(s, study, trial, call_trial, &c));
    return final(&c, st);
}

drmad_status store_trial_best(store *s, int64_t study, int64_t *trial)
{
    drmad_status st;

    *trial = -1;
    PATIENTLY(s, s->ops->trial_best(s, study, trial));
    return st;
}

drmad_status store_now(store *s, char now[STORE_TIME_SIZE])
{
    drmad_status st;

    now[0] = '\0';
    PATIENTLY(s, s->ops->now(s, now));
    return st;
}

/* ---- artefacts ---- */

drmad_status store_artefact_put(store *s, const store_lease *l, const char *name, const void *data,
                                size_t size)
{
    drmad_status st = DRMAD_OK;

    TRY(check_writable(s));
    TRY(store_check_name(s, "artefact name", name));
    PATIENTLY(s, s->ops->artefact_put(s, l, name, data, size));
done:
    return st;
}

drmad_status store_artefact_get(store *s, int64_t trial, const char *name, void **data,
                                size_t *size)
{
    drmad_status st = DRMAD_OK;

    *data = NULL, *size = 0;
    TRY(store_check_name(s, "artefact name", name));
    PATIENTLY(s, s->ops->artefact_get(s, trial, name, data, size));
done:
    return st;
}

drmad_status store_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user)
{
    caller c = {.artefact = fn, .user = user};
    drmad_status st;

    PATIENTLY(s, s->ops->artefact_each(s, trial, call_artefact, &c));
    return final(&c, st);
}

/* ---- health ---- */

static void ignore(void *user, int level, const char *text)
{
    (void)user, (void)level, (void)text;
}

drmad_status store_check(drmad_ctx *ctx, const char *url, store_finding_fn *fn, void *user)
{
    const store_options o = {.read_only = true, .patience_s = 10};
    store *s = NULL;
    drmad_status st = DRMAD_OK;

    TRY(new_store(ctx, url, &o, &s));
    PATIENTLY(s, s->ops->check(s, fn ? fn : ignore, user));
    s->ops->close(s);
done:
    if (s) free_store(s);
    return st;
}

drmad_status store_upgrade(drmad_ctx *ctx, const char *url)
{
    const store_options o = {.patience_s = PATIENCE_S};
    store *s = NULL;
    drmad_status st = DRMAD_OK;

    TRY(new_store(ctx, url, &o, &s));
    PATIENTLY(s, s->ops->upgrade(s));
    s->ops->close(s);
done:
    if (s) free_store(s);
    return st;
}

/* ---- words ---- */

static const char *const words[TRIAL_STATE_COUNT] = {"RUNNING", "COMPLETE", "PRUNED", "FAIL",
                                                     "WAITING"};

const char *trial_state_word(trial_state s)
{
    return words[s];
}

bool trial_state_of(const char *word, trial_state *out)
{
    for (int i = 0; i < TRIAL_STATE_COUNT; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (trial_state)i;
            return true;
        }
    return false;
}
