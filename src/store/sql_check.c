/* What is wrong with a store, read-only: file, tables, revision, rows. A finding says where it is
 * and what to do. */
#include "space/search.h"
#include "store/sql_store.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_EACH = 20, CHECK_S = 3600 }; /* findings of one kind; seconds a query may take */

typedef struct check {
    sql_store *q;
    store_finding_fn *fn;
    void *user;
    int damaged, seen; /* findings of damage; rows of the query under way */
    const char *what;  /* of that query */
    int level;
} check;

static void finding(check *c, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void finding(check *c, int level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (level == LOG_ERROR) c->damaged++;
    c->fn(c->user, level, text);
}

/* ---- the file and its tables ---- */

static drmad_status see_integrity(void *user, const db_row *r)
{
    check *c = user;
    const char *text = db_text(r, 0);

    if (text && strcmp(text, "ok") != 0)
        finding(
            c, LOG_ERROR,
            "%s: the file is damaged: %s. Copy what can be read: sqlite3 FILE .recover | sqlite3 "
            "NEW, or restore a backup",
            c->q->base.url, text);
    return DRMAD_OK;
}

/* Columns are compared with those that our own steps make, in memory. */
typedef struct columns {
    drmad_ctx *ctx;
    char *text; /* "\ntable.column\n..." */
    size_t used, size;
} columns;

static drmad_status see_column(void *user, const db_row *r)
{
    columns *x = user;
    char line[256];
    const int n = snprintf(line, sizeof line, "\n%s.%s\n", db_text(r, 0), db_text(r, 1));
    drmad_status st = DRMAD_OK;

    if (n < 0 || n >= (int)sizeof line) return DRMAD_OK; /* a table of somebody else */
    if (x->used + (size_t)n + 1 > x->size) {
        TRY(mem_resize(x->ctx, &x->text, x->size, 2 * x->size + 4096, 1));
        x->size = 2 * x->size + 4096;
    }
    memcpy(x->text + x->used, line, (size_t)n + 1);
    x->used += (size_t)n;
done:
    return st;
}

static drmad_status read_columns(db *d, columns *x)
{
    db_batch *b = db_start(d);

    db_add(b, Q_COLUMNS, "");
    db_each(b, see_column, x);
    return db_run(b, 0);
}

static drmad_status expected_columns(drmad_ctx *ctx, columns *x)
{
    db memory = {.ctx = ctx, .driver = &db_sqlite, .wait_s = 1};
    const db_options o = {.place = ":memory:", .label = "memory", .create = true};
    drmad_status st = DRMAD_OK;

    TRY(db_connect(&memory, &o));
    for (const schema_step *step = schema_steps; step->driver; step++)
        if (strcmp(step->driver, "sqlite") == 0) TRY(db_script(&memory, step->sql));
    TRY(read_columns(&memory, x));
done:
    db_close(&memory);
    return st;
}

/* Goes through "\ntable.column\n" and names what `have` lacks. */
static void compare_columns(check *c, const schema_state *now, const columns *want,
                            const columns *have)
{
    char line[256];

    for (const char *at = want->text; at && *at;) {
        const size_t n = strcspn(at + 1, "\n");
        snprintf(line, sizeof line, "\n%.*s\n", (int)n, at + 1);
        at += n + 2;
        const bool ours = strncmp(line + 1, "drmad_", 6) == 0;
        if ((ours && now->own == 0) || (have->text && strstr(have->text, line))) continue;
        line[n + 1] = '\0';
        finding(c, LOG_ERROR, "%s: no column %s. Restore a backup, or start anew", c->q->base.url,
                line + 1);
    }
}

static drmad_status check_tables(check *c, schema_state *now)
{
    store *s = &c->q->base;
    columns want = {.ctx = s->ctx}, have = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(schema_read(&c->q->d, now));
    s->attempt = 99; /* what is half made now is damage */
    if (schema_judge(s, now) != DRMAD_OK) finding(c, LOG_ERROR, "%s", drmad_errmsg(s->ctx));
    else if (now->own == 0)
        finding(c, LOG_INFO, "%s: Optuna's tables alone; drmad adds its own when it first writes",
                s->url);
    if (now->optuna > 0) {
        TRY(expected_columns(s->ctx, &want));
        TRY(read_columns(&c->q->d, &have));
        compare_columns(c, now, &want, &have);
    }
done:
    mem_free(s->ctx, want.text);
    mem_free(s->ctx, have.text);
    return st;
}

/* ---- rows ---- */

static bool shown(check *c)
{
    return ++c->seen <= SHOWN_EACH;
}

static drmad_status see_orphans(void *user, const db_row *r)
{
    check *c = user;

    if (db_int(r, 1) > 0)
        finding(c, LOG_WARN,
                "%s: %lld rows of %s belong to nothing any more; they do no harm: DELETE FROM %s "
                "clears them by hand",
                c->q->base.url, (long long)db_int(r, 1), db_text(r, 0), db_text(r, 0));
    return DRMAD_OK;
}

static drmad_status see_trial(void *user, const db_row *r)
{
    check *c = user;
    const char *study = db_text(r, 0);

    if (shown(c))
        finding(c, c->level, "study \"%.128s\", trial %lld: %s", study ? study : "(none)",
                (long long)db_int(r, 1), c->what);
    return DRMAD_OK;
}

static drmad_status see_numbers(void *user, const db_row *r)
{
    check *c = user;

    if (shown(c))
        finding(c, LOG_WARN,
                "study \"%.128s\": %lld trials have %lld numbers up to %lld, expected 0 to %lld: "
                "trials were deleted or made without a lock. Readers go by id, so it is safe to go "
                "on",
                db_text(r, 0), (long long)db_int(r, 1), (long long)db_int(r, 2),
                (long long)db_int(r, 3), (long long)db_int(r, 1) - 1);
    return DRMAD_OK;
}

static drmad_status see_running(void *user, const db_row *r)
{
    check *c = user;
    const char *study = db_text(r, 0), *worker = db_text(r, 2);
    const long long number = (long long)db_int(r, 1);
    const bool lease = db_int(r, 4) != 0;
    const double left = db_real(r, 3);

    if (lease && left < 0 && shown(c))
        finding(c, LOG_WARN,
                "study \"%.128s\", trial %lld: RUNNING, but its worker %s has not renewed it: the "
                "next drmad worker of the study fails it and queues it again",
                study, number, worker ? worker : "");
    if (!lease && db_null(r, 5) && shown(c))
        finding(
            c, LOG_WARN,
            "study \"%.128s\", trial %lld: RUNNING without lease and heartbeat: if its worker is "
            "gone, fail it with optuna tell --state fail",
            study, number);
    return DRMAD_OK;
}

static drmad_status see_param(void *user, const db_row *r)
{
    check *c = user;
    search_param *p = NULL;
    const char *name = db_text(r, 2), *json = db_text(r, 3);
    drmad_ctx *ctx = c->q->base.ctx;
    drmad_status st = search_param_parse(ctx, name ? name : "", json ? json : "", &p);

    if (st == DRMAD_E_STORAGE && shown(c))
        finding(c, LOG_ERROR,
                "study \"%.128s\", trial %lld: the distribution of parameter \"%.64s\" cannot be "
                "read: %.256s. Nobody can read the study until it is mended: restore a backup",
                db_text(r, 0), (long long)db_int(r, 1), name ? name : "", json ? json : "NULL");
    search_param_free(ctx, p);
    return st == DRMAD_E_STORAGE ? DRMAD_OK : st;
}

static drmad_status run_check(check *c, db_query query, db_row_fn *fn, int level, const char *what)
{
    db_batch *b = db_start(&c->q->d);

    c->what = what, c->level = level, c->seen = 0;
    db_add(b, query, "");
    db_each(b, fn, c);
    drmad_status st = db_run(b, 0);
    if (st == DRMAD_OK && c->seen > SHOWN_EACH)
        finding(c, level, "... and %d more of that kind", c->seen - SHOWN_EACH);
    return st;
}

static drmad_status check_rows(check *c, bool own)
{
    drmad_status st = DRMAD_OK;

    TRY(run_check(c, Q_CHECK_ORPHANS, see_orphans, LOG_WARN, ""));
    if (own) TRY(run_check(c, Q_CHECK_OWN_ORPHANS, see_orphans, LOG_WARN, ""));
    TRY(run_check(c, Q_CHECK_STATES, see_trial, LOG_ERROR,
                  "its state is none that Optuna knows, so nobody can read the study: set it to "
                  "'FAIL'"));
    TRY(run_check(c, Q_CHECK_VALUES, see_trial, LOG_ERROR,
                  "a value does not go with its value_type, so Optuna cannot read the study: "
                  "(NULL, 'FINITE') must be a number or INF_POS, INF_NEG"));
    TRY(run_check(c, Q_CHECK_REPORTS, see_trial, LOG_ERROR,
                  "an intermediate value does not go with its type, so Optuna cannot read the "
                  "study: (NULL, 'FINITE') must be a number or INF_POS, INF_NEG, NAN"));
    TRY(run_check(c, Q_CHECK_INCOMPLETE, see_trial, LOG_ERROR,
                  "COMPLETE without one value for each direction: set its state to 'FAIL'"));
    TRY(run_check(c, Q_CHECK_NUMBERS, see_numbers, LOG_WARN, ""));
    if (own) TRY(run_check(c, Q_CHECK_RUNNING, see_running, LOG_WARN, ""));
    TRY(run_check(c, Q_CHECK_PARAMS, see_param, LOG_ERROR, ""));
done:
    return st;
}

static drmad_status check_all(check *c)
{
    schema_state now = {0};
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(c->q));
    TRY(db_take_time(&c->q->d, CHECK_S));
    TRY(run_check(c, Q_CHECK_FILE, see_integrity, LOG_ERROR, ""));
    TRY(check_tables(c, &now));
    if (c->damaged == 0) TRY(check_rows(c, now.own > 0));
done:
    return st;
}

drmad_status sql_check(store *s, store_finding_fn *fn, void *user)
{
    check c = {.q = (sql_store *)s, .fn = fn, .user = user};
    const drmad_status st = check_all(&c);

    if (st == DRMAD_E_AGAIN || st == DRMAD_E_NOMEM || st == DRMAD_E_USAGE) return st;
    if (st != DRMAD_OK) finding(&c, LOG_ERROR, "%s", drmad_errmsg(s->ctx));
    if (c.damaged == 0) return st;
    return FAIL(s->ctx, DRMAD_E_STORAGE, "%s: %d findings of damage", s->url, c.damaged);
}
