/* Stores in SQL databases: opening, what is remembered of the study in use, and the two kinds. */
#include "store/sql_store.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SQLITE_WAIT_S = 1, SERVER_WAIT_S = 30 };

static drmad_status connect(sql_store *q)
{
    store *s = &q->base;
    const bool server = s->ops == &store_postgres;
    const double most = server ? SERVER_WAIT_S : SQLITE_WAIT_S;
    const db_options o = {
        .place = s->place, .label = s->url, .create = s->create, .read_only = s->read_only};

    q->d.ctx = s->ctx;
    q->d.driver = server ? &db_postgres : &db_sqlite;
    q->d.wait_s = s->patience_s < most ? s->patience_s : most;
    if (server && q->d.wait_s < 1) q->d.wait_s = 1;
    return db_connect(&q->d, &o);
}

static drmad_status sql_open(store *s)
{
    sql_store *q = (sql_store *)s;
    schema_state now;
    drmad_status st = DRMAD_OK;

    TRY(connect(q));
    TRY(schema_open(s, &q->d, &now));
    q->own = now.own > 0;
    snprintf(s->identity, sizeof s->identity, "%s", now.store);
done:
    return st;
}

static void sql_close(store *s)
{
    sql_store *q = (sql_store *)s;

    sql_forget(q);
    db_close(&q->d);
}

static drmad_status sql_upgrade(store *s)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = connect(q);

    return st == DRMAD_OK ? schema_upgrade(s, &q->d) : st;
}

drmad_status sql_ready(sql_store *q)
{
    return q->d.connected ? DRMAD_OK : connect(q);
}

/* ---- the study in use ---- */

void sql_forget(sql_store *q)
{
    drmad_ctx *ctx = q->base.ctx;

    mem_free(ctx, q->study.name);
    memset(&q->study, 0, sizeof q->study);
    for (int32_t i = 0; i < q->n_known; i++) {
        mem_free(ctx, q->known[i].name);
        mem_free(ctx, q->known[i].distribution);
    }
    q->n_known = q->oldest_known = 0;
}

static drmad_status take_info(void *user, const db_row *r)
{
    sql_store *q = user;

    if (!q->study.name) {
        const char *name = db_text(r, 0);
        drmad_status st = mem_strdup(q->base.ctx, name ? name : "", &q->study.name);
        if (st != DRMAD_OK) return st;
        q->study.first = sql_direction(db_text(r, 1));
    }
    if (!db_null(r, 1)) q->study.n_directions++;
    return DRMAD_OK;
}

drmad_status sql_know(sql_store *q, int64_t study)
{
    drmad_status st = DRMAD_OK;

    if (q->study.id == study && q->study.name) return DRMAD_OK;
    sql_forget(q);
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_STUDY_INFO, "i", study);
    db_each(b, take_info, q);
    TRY(db_run(b, 0));
    if (!q->study.name)
        st = FAIL(q->base.ctx, DRMAD_E_USAGE, "%s: no study %lld (deleted?)", q->base.url,
                  (long long)study);
    else q->study.id = study;
done:
    if (st != DRMAD_OK) sql_forget(q);
    return st;
}

drmad_status sql_fail(sql_store *q, drmad_status code, int64_t study, int64_t number,
                      const char *why)
{
    char name[160], trial[32] = "";

    if (q->study.id == study && q->study.name)
        snprintf(name, sizeof name, "study \"%.128s\"", q->study.name);
    else snprintf(name, sizeof name, "study %lld", (long long)study);
    if (number >= 0) snprintf(trial, sizeof trial, ", trial %lld", (long long)number);
    return FAIL(q->base.ctx, code, "%s: %s%s: %s", q->base.url, name, trial, why);
}

void sql_add_version(sql_store *q, db_batch *b)
{
    if (q->base.version && !q->study.versioned)
        db_add(b, Q_VERSION_NEW, "is", q->study.id, q->base.version);
}

/* ---- words ---- */

const char *sql_value_word(double x)
{
    if (isnan(x)) return "NAN";
    return isinf(x) ? x > 0 ? "INF_POS" : "INF_NEG" : "FINITE";
}

double sql_value_of(double x, const char *word)
{
    if (word && strcmp(word, "INF_POS") == 0) return (double)INFINITY;
    if (word && strcmp(word, "INF_NEG") == 0) return -(double)INFINITY;
    return word && strcmp(word, "FINITE") == 0 ? x : (double)NAN;
}

study_direction sql_direction(const char *word)
{
    return word && strcmp(word, "MAXIMIZE") == 0 ? DIRECTION_MAXIMIZE : DIRECTION_MINIMIZE;
}

const char *sql_direction_word(study_direction d)
{
    return d == DIRECTION_MAXIMIZE ? "MAXIMIZE" : "MINIMIZE";
}

#define SQL_OPS(name)                                                                              \
    {                                                                                              \
        .scheme = name, .size = sizeof(sql_store), .open = sql_open, .close = sql_close,           \
        .study_create = sql_study_create, .study_find = sql_study_find,                            \
        .study_each = sql_study_each, .study_set_attr = sql_study_set_attr,                        \
        .study_delete = sql_study_delete, .trial_add = sql_trial_add,                              \
        .trial_claim = sql_trial_claim, .trial_begin = sql_trial_begin,                            \
        .trial_expire = sql_trial_expire, .trial_params = sql_trial_params,                        \
        .trial_reports = sql_trial_reports, .trial_attrs = sql_trial_attrs, .beat = sql_beat,      \
        .trial_tell = sql_trial_tell, .trial_release = sql_trial_release,                          \
        .trial_each = sql_trial_each, .trial_read = sql_trial_read, .trial_best = sql_trial_best,  \
        .now = sql_now, .artefact_put = sql_artefact_put, .artefact_get = sql_artefact_get,        \
        .artefact_each = sql_artefact_each, .check = sql_check, .upgrade = sql_upgrade,            \
    }

const store_ops store_sqlite = SQL_OPS("sqlite");
const store_ops store_postgres = SQL_OPS("postgresql");
