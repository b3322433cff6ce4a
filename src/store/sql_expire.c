/* Trials whose worker is gone: failed once, whoever looks, and queued again as Optuna's
 * RetryFailedTrialCallback does, with `failed_trial` (the first number) and `retry_history`. */
#include "store/json_text.h"
#include "store/sql_store.h"
#include <stdio.h>
#include <string.h>

/* Optuna's default: a trial is given up after two beats that did not come. */
static const double BEATS_MISSED = 2;

typedef struct ids {
    drmad_ctx *ctx;
    int64_t *id;
    int32_t n, cap;
} ids;

static drmad_status take_id(void *user, const db_row *r)
{
    ids *x = user;

    if (x->n == x->cap) {
        const int32_t want = x->cap ? 2 * x->cap : 16;
        drmad_status st = mem_resize(x->ctx, &x->id, (size_t)x->cap, (size_t)want, sizeof *x->id);
        if (st != DRMAD_OK) return st;
        x->cap = want;
    }
    x->id[x->n++] = db_int(r, 0);
    return DRMAD_OK;
}

/* What is known of the trial that failed. */
typedef struct past {
    drmad_ctx *ctx;
    int64_t number;
    bool has_first; /* `failed_trial` is there already */
    int32_t tries;  /* this one too */
    char *history;  /* JSON, this one too */
    char first[24];
    char worker[160];
} past;

static drmad_status take_past(void *user, const db_row *r)
{
    past *p = user;
    const char *old = db_text(r, 2), *worker = db_text(r, 3);
    json_span list;
    text_out o = {.ctx = p->ctx};

    p->number = db_int(r, 0);
    p->has_first = !db_null(r, 1);
    snprintf(p->first, sizeof p->first, "%lld", (long long)p->number);
    snprintf(p->worker, sizeof p->worker, "%s", worker ? worker : "an unknown worker");
    text_put(&o, "[");
    if (old && json_whole(old, strlen(old), &list))
        for (json_walk w = json_walk_of(list); json_next(&w); p->tries++) {
            json_put_span(&o, w.value);
            text_put(&o, ", ");
        }
    json_put_int(&o, p->number);
    text_put(&o, "]");
    p->tries++;
    p->history = o.text;
    return o.st;
}

/* Fails one trial if it is over still; leaves the transaction open. */
static drmad_status fail_one(sql_store *q, int64_t study, int64_t trial, past *p, bool *failed)
{
    drmad_status st = DRMAD_OK;
    db_batch *b = db_start(&q->d);

    db_add(b, Q_STUDY_LOCK, "i", study);
    db_add(b, Q_TRIAL_LOCK, "i", trial);
    const int32_t fail =
        db_add(b, Q_EXPIRE_TRIAL, "idi", study, BEATS_MISSED * q->base.lease_s, trial);
    db_need(b);
    db_add(b, Q_EXPIRE_LEASE, "i", trial);
    db_add(b, Q_RETRY_HISTORY, "i", trial);
    db_each(b, take_past, p);
    TRY(db_run(b, DB_BEGIN));
    *failed = db_rows(b, fail) > 0;
done:
    return st;
}

static void add_retry(sql_store *q, db_batch *b, int64_t study, int64_t trial, const char *request,
                      const past *p)
{
    const sql_target to = {.request = request};
    const store_attr first = {"failed_trial", p->first, true};
    const store_attr history = {"retry_history", p->history, true};

    db_add(b, Q_TRIAL_QUEUE, "i", study);
    db_need(b);
    db_add(b, Q_LEASE_NEW, "edsss", NULL, 0.0, request, q->base.worker, NULL);
    db_add(b, Q_RETRY_PARAMS, "si", request, trial);
    db_add(b, Q_RETRY_USER, "si", request, trial);
    db_add(b, Q_RETRY_SYSTEM, "si", request, trial);
    if (!p->has_first) sql_add_attrs(b, &to, &first, 1);
    sql_add_attrs(b, &to, &history, 1);
}

static drmad_status expire_one(sql_store *q, int64_t study, int64_t trial, int32_t retries,
                               int32_t *expired)
{
    past p = {.ctx = q->base.ctx};
    char request[STORE_REQUEST_SIZE];
    bool failed = false;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    TRY(fail_one(q, study, trial, &p, &failed));
    const bool again = failed && p.tries <= retries;
    db_batch *b = db_start(&q->d);
    store_request(&q->base, request);
    if (again) add_retry(q, b, study, trial, request, &p);
    if (q->d.in_transaction) TRY(db_run(b, DB_COMMIT));
    if (failed) {
        ++*expired;
        base_log(q->base.ctx, LOG_WARN, "study \"%.128s\", trial %lld: %s stopped renewing it; %s",
                 q->study.name ? q->study.name : "", (long long)p.number, p.worker,
                 again ? "failed, queued again" : "failed");
    }
done:
    db_rollback(&q->d);
    mem_free(q->base.ctx, p.history);
    return st;
}

drmad_status sql_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired)
{
    sql_store *q = (sql_store *)s;
    ids x = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_EXPIRED, "id", study, BEATS_MISSED * s->lease_s);
    db_each(b, take_id, &x);
    TRY(db_run(b, 0));
    for (int32_t i = 0; i < x.n; i++) TRY(expire_one(q, study, x.id[i], retries, expired));
done:
    mem_free(s->ctx, x.id);
    return st;
}
