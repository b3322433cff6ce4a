/* Writing under a lease. Every transaction begins with the trial's row locked and the lease
 * renewed; what follows writes only while both are as they should be, so a lost lease changes
 * nothing. */
#include "store/sql_store.h"
#include <stdio.h>
#include <string.h>

/* ---- what became of a lease ---- */

typedef struct seen {
    bool there, token_is_null, has_ended;
    int64_t token, ended;
    char state[16];
} seen;

static drmad_status take_seen(void *user, const db_row *r)
{
    seen *x = user;
    const char *state = db_text(r, 2);

    x->there = true;
    x->token_is_null = db_null(r, 0), x->token = x->token_is_null ? 0 : db_int(r, 0);
    x->has_ended = !db_null(r, 1), x->ended = x->has_ended ? db_int(r, 1) : 0;
    snprintf(x->state, sizeof x->state, "%s", state ? state : "");
    return DRMAD_OK;
}

static drmad_status look(sql_store *q, const store_lease *l, seen *x)
{
    db_batch *b = db_start(&q->d);

    memset(x, 0, sizeof *x);
    db_add(b, Q_LEASE_SEEN, "i", l->trial);
    db_each(b, take_seen, x);
    return db_run(b, 0);
}

/* Why the lease does not hold; DRMAD_OK when `ended` says that an attempt before this did what was
 * asked: the token of a trial told, its negative of one given back, 0 for what does not end. */
static drmad_status lease_lost(sql_store *q, const store_lease *l, int64_t ended)
{
    seen x;
    char why[160];
    drmad_status st = DRMAD_OK;

    TRY(look(q, l, &x));
    if (ended && x.has_ended && x.ended == ended) return DRMAD_OK;
    sql_know(q, l->study); /* for its name; a study that is gone has none */
    if (!x.there) snprintf(why, sizeof why, "deleted; its result is not stored");
    else if (strcmp(x.state, "RUNNING") == 0)
        snprintf(why, sizeof why, "the lease is lost: another worker runs it");
    else
        snprintf(why, sizeof why,
                 "the lease is lost: it is %s already (a lease that is not renewed in time ends)",
                 x.state);
    st = sql_fail(q, DRMAD_E_LEASE, l->study, l->number, why);
done:
    return st;
}

void sql_add_renewal(sql_store *q, db_batch *b, const store_lease *l)
{
    db_add(b, Q_RENEW, "iid", l->trial, l->token, q->base.lease_s);

    db_need(b);
    db_add(b, Q_BEAT, "ii", l->trial, l->token);
}

static sql_target held_by(const store_lease *l)
{
    return (sql_target){.held = true, .trial = l->trial, .token = l->token};
}

drmad_status sql_run_held(sql_store *q, db_batch *b, int flags, const store_lease *l)
{
    drmad_status st = db_run(b, flags);

    if (st == DRMAD_OK && db_rows(b, 0) == 0) st = lease_lost(q, l, 0);
    return st;
}

drmad_status sql_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                              const store_attr *note)
{
    sql_store *q = (sql_store *)s;
    const sql_target to = held_by(l);
    bool begun = false;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    TRY(sql_check_params(q, l->study, p, n, &begun));
    db_batch *b = db_start(&q->d);
    sql_add_renewal(q, b, l);
    sql_add_params(b, &to, p, n);
    if (note) sql_add_attrs(b, &to, note, 1);
    TRY(sql_run_held(q, b, begun ? DB_COMMIT : DB_WRITE, l));
    TRY(sql_remember_params(q, p, n));
done:
    db_rollback(&q->d);
    return st;
}

static drmad_status write_held(store *s, const store_lease *l, const store_report *r,
                               int32_t reports, const store_attr *a, int32_t attrs)
{
    sql_store *q = (sql_store *)s;
    const sql_target to = held_by(l);
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    sql_add_renewal(q, b, l);
    sql_add_reports(b, &to, r, reports);
    sql_add_attrs(b, &to, a, attrs);
    TRY(sql_run_held(q, b, DB_WRITE, l));
done:
    return st;
}

drmad_status sql_trial_reports(store *s, const store_lease *l, const store_report *r, int32_t n)
{
    return write_held(s, l, r, n, NULL, 0);
}

drmad_status sql_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n)
{
    return write_held(s, l, NULL, 0, a, n);
}

/* One transaction for all: a lease that is lost says so and keeps no other from being renewed. */
drmad_status sql_beat(store *s, const store_lease *l, int32_t n, bool *held)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    for (int32_t i = 0; i < n; i++) {
        db_add(b, Q_RENEW, "iid", l[i].trial, l[i].token, s->lease_s);
        db_add(b, Q_BEAT, "ii", l[i].trial, l[i].token);
    }
    TRY(db_run(b, DB_WRITE));
    for (int32_t i = 0; i < n; i++) held[i] = db_rows(b, 2 * i) > 0;
done:
    return st;
}

static drmad_status check_values(sql_store *q, const store_lease *l, const store_trial *end)
{
    char why[96];
    drmad_status st = DRMAD_OK;

    if (end->state == TRIAL_FAIL) return DRMAD_OK;
    TRY(sql_know(q, l->study));
    if (end->state == TRIAL_PRUNED || end->n_values == q->study.n_directions) return DRMAD_OK;
    snprintf(why, sizeof why, "told %d values, the study has %d directions", (int)end->n_values,
             (int)q->study.n_directions);
    st = sql_fail(q, DRMAD_E_USAGE, l->study, l->number, why);
done:
    return st;
}

drmad_status sql_trial_tell(store *s, const store_lease *l, const store_trial *end)
{
    sql_store *q = (sql_store *)s;
    const sql_target to = held_by(l);
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    st = check_values(q, l, end);
    if (st == DRMAD_E_USAGE && q->study.id != l->study) st = DRMAD_OK; /* gone: said below */
    TRY(st);
    db_batch *b = db_start(&q->d);
    const int32_t guard = db_add(b, Q_TELL_LEASE, "ii", l->trial, l->token);
    db_need(b);
    sql_add_reports(b, &to, end->reports, end->n_reports);
    sql_add_attrs(b, &to, end->attrs, end->n_attrs);
    sql_add_values(b, &to, end->values, end->n_values);
    if (end->state == TRIAL_PRUNED && q->study.n_directions == 1)
        db_add(b, Q_TELL_LAST_REPORT, "ii", l->trial, l->token);
    db_add(b, Q_TELL_STATE, "iie", l->trial, l->token, trial_state_word(end->state));
    TRY(db_run(b, DB_WRITE));
    if (db_rows(b, guard) == 0) st = lease_lost(q, l, l->token);
done:
    return st;
}

drmad_status sql_trial_release(store *s, const store_lease *l)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    const int32_t guard = db_add(b, Q_RELEASE_LEASE, "ii", l->trial, l->token);
    db_need(b);
    db_add(b, Q_RELEASE_TRIAL, "ii", l->trial, l->token);
    db_add(b, Q_RELEASE_BEAT, "i", l->trial);
    TRY(db_run(b, DB_WRITE));
    if (db_rows(b, guard) == 0) st = lease_lost(q, l, -l->token);
done:
    return st;
}
