/* Making and taking trials. A number is the count of the study's trials before it: whoever makes
 * one holds the study's row (SQLite: the file) until it is committed. */
#include "store/sql_store.h"
#include <string.h>

typedef struct found {
    int64_t trial, number, token;
} found;

static drmad_status take_found(void *user, const db_row *r)
{
    *(found *)user = (found){db_int(r, 0), db_int(r, 1), db_int(r, 2)};
    return DRMAD_OK;
}

/* What a request came to before, if it did: found.trial is -1 when it is new. */
static drmad_status look_up(sql_store *q, db_query by, const char *request, found *f)
{
    drmad_status st = DRMAD_OK;

    f->trial = -1;
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, by, "s", request);
    db_each(b, take_found, f);
    TRY(db_run(b, 0));
done:
    return st;
}

static void give_lease(store_lease *l, int64_t study, const found *f)
{
    if (f->trial < 0) return;
    *l = (store_lease){.study = study, .trial = f->trial, .number = f->number, .token = f->token};
}

/* A failure that may only say that the request was done before: PostgreSQL's "currval is not yet
 * defined" means that the INSERT before it made nothing. */
static bool may_be_done(const sql_store *q, drmad_status st)
{
    return st == DRMAD_E_STORAGE && (q->d.cls == DB_UNIQUE || strcmp(q->d.state, "55000") == 0);
}

/* ---- beginning ---- */

drmad_status sql_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                             store_lease *lease)
{
    sql_store *q = (sql_store *)s;
    found f = {.trial = -1};
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    const int32_t lock = db_add(b, Q_STUDY_LOCK, "i", study);
    db_need(b);
    sql_add_version(q, b);
    const int32_t insert = db_add(b, Q_TRIAL_BEGIN, "ii", study, limit);
    db_need(b);
    db_add(b, Q_LEASE_NEW, "idsss", store_token(s), s->lease_s, request, s->worker, s->version);
    db_add(b, Q_BEAT_MADE, "s", request);
    db_add(b, Q_BY_MADE, "s", request);
    db_each(b, take_found, &f);
    st = db_run(b, DB_WRITE);
    if (st == DRMAD_OK && db_rows(b, insert) > 0) q->study.versioned = true;
    const bool none = (st == DRMAD_OK || may_be_done(q, st)) && db_rows(b, lock) == 0;
    if (none || may_be_done(q, st) || (st == DRMAD_OK && db_rows(b, insert) == 0)) {
        TRY(look_up(q, Q_BY_MADE, request, &f)); /* limit reached, or done before */
        if (f.trial < 0 && none) {
            sql_forget(q);
            TRY(sql_know(q, study)); /* says that it is gone */
        }
    }
    give_lease(lease, study, &f);
done:
    return st;
}

/* ---- claiming ---- */

drmad_status sql_trial_claim(store *s, int64_t study, const char *request, store_lease *lease)
{
    sql_store *q = (sql_store *)s;
    found f = {.trial = -1};
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    sql_add_version(q, b);
    db_add(b, Q_CLAIM_LEASE, "iidsss", study, store_token(s), s->lease_s, request, s->worker,
           s->version);
    const int32_t taken = db_add(b, Q_CLAIM_TRIAL, "s", request);
    db_add(b, Q_BEAT_CLAIMED, "s", request);
    db_add(b, Q_BY_CLAIMED, "s", request);
    db_each(b, take_found, &f);
    st = db_run(b, DB_WRITE);
    if (st == DRMAD_OK && db_rows(b, taken) > 0) q->study.versioned = true;
    if (may_be_done(q, st)) st = look_up(q, Q_BY_CLAIMED, request, &f);
    give_lease(lease, study, &f);
done:
    return st;
}

/* ---- adding ---- */

static void add_trial(db_batch *b, int64_t study, const store_trial *t)
{
    const char *start = t->start ? t->start : t->complete;

    if (t->state == TRIAL_WAITING) db_add(b, Q_TRIAL_QUEUE, "i", study);
    else db_add(b, Q_TRIAL_OBSERVE, "ieee", study, trial_state_word(t->state), start, t->complete);
    db_need(b);
}

static drmad_status check_added(sql_store *q, const store_trial *t)
{
    const bool complete = t->state == TRIAL_COMPLETE;
    const int32_t want = complete ? q->study.n_directions : 0;

    if (t->n_values == want || (t->state == TRIAL_PRUNED && t->n_values == q->study.n_directions))
        return DRMAD_OK;
    return sql_fail(q, DRMAD_E_USAGE, q->study.id, -1,
                    complete ? "a COMPLETE trial has one value for each of the study's directions"
                             : "only a COMPLETE or PRUNED trial has values");
}

static drmad_status insert_trial(sql_store *q, int64_t study, const store_trial *t,
                                 const char *request, found *f)
{
    const sql_target to = {.request = request};
    const char *version = t->version ? t->version : q->base.version;
    bool begun = false;
    drmad_status st = DRMAD_OK;

    TRY(sql_check_params(q, study, t->params, t->n_params, &begun));
    db_batch *b = db_start(&q->d);
    if (!begun) {
        db_add(b, Q_STUDY_LOCK, "i", study);
        db_need(b);
    }
    if (version) db_add(b, Q_VERSION_NEW, "is", study, version);
    add_trial(b, study, t);
    db_add(b, Q_LEASE_NEW, "edsss", NULL, 0.0, request, t->worker ? t->worker : q->base.worker,
           version);
    sql_add_params(b, &to, t->params, t->n_params);
    sql_add_values(b, &to, t->values, t->n_values);
    sql_add_reports(b, &to, t->reports, t->n_reports);
    sql_add_attrs(b, &to, t->attrs, t->n_attrs);
    db_add(b, Q_BY_MADE, "s", request);
    db_each(b, take_found, f);
    TRY(db_run(b, begun ? DB_COMMIT : DB_WRITE));
    if (f->trial >= 0) TRY(sql_remember_params(q, t->params, t->n_params));
done:
    return st;
}

drmad_status sql_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                           int64_t *id, int64_t *number)
{
    sql_store *q = (sql_store *)s;
    found f = {.trial = -1};
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    TRY(check_added(q, t));
    TRY(sql_ready(q));
    st = insert_trial(q, study, t, request, &f);
    db_rollback(&q->d);
    if (may_be_done(q, st) || (st == DRMAD_OK && f.trial < 0)) {
        const drmad_status failed = st;
        char why[sizeof s->errmsg];
        memcpy(why, drmad_errmsg(s->ctx), sizeof why);
        TRY(look_up(q, Q_BY_MADE, request, &f));
        if (f.trial < 0 && failed == DRMAD_OK) {
            sql_forget(q);
            TRY(sql_know(q, study));
        }
        if (f.trial < 0) st = FAIL(s->ctx, DRMAD_E_STORAGE, "%s", why);
    }
    *id = f.trial, *number = f.number;
done:
    return st;
}
