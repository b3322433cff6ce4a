/* PostgreSQL through libpq: a batch goes out as one pipeline, so a transaction costs one round trip
 * whatever it holds. Nothing waits without an end: neither for a connection, nor for an answer, nor
 * the server for us. */
#include "base/number.h"
#include "store/db.h"
#include "store/pq.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_S = 10,
    VALUES_MAX = 8,
    OID_INT8 = 20,
    OID_FLOAT8 = 701,
    OID_TEXT = 25,
    OID_BYTEA = 17
};

typedef struct server {
    pq q;
    PGconn *conn;
    bool pipeline;
    bool prepared[Q_COUNT];
} server;

static const char *word(const char *at, size_t size)
{
    static const struct {
        const char *name, *sql;
    } words[] = {
        {"begin_write", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
        {"begin_read", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
        {"now", "(clock_timestamp() AT TIME ZONE 'UTC')"},
        {"clock_name", "'server'"},
        {"clock", "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"},
        {"beat", "CAST(clock_timestamp() AS TIMESTAMP)"}, /* in the session's zone, as Optuna's */
        {"heart_age", "CAST(extract(epoch FROM CAST(clock_timestamp() AS TIMESTAMP)"
                      " - h.heartbeat) AS DOUBLE PRECISION)"},
        {"lock", "FOR UPDATE"},
        {"skip", "FOR UPDATE OF t SKIP LOCKED"},
        {"last_trial", "(SELECT currval('trials_trial_id_seq'))"},
        {"as_value_type", "::text::trialvaluetype"},
        {"schema_lock", "SELECT CAST(pg_advisory_xact_lock(1685220708) AS TEXT)"}, /* "drmd" */
        {"integrity", "SELECT 'ok'"},
        {"tables", "SELECT CAST(c.relname AS TEXT) AS name FROM pg_class c JOIN pg_namespace n"
                   " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
                   " AND pg_table_is_visible(c.oid) AND n.nspname <> 'information_schema'"
                   " AND n.nspname NOT LIKE 'pg\\_%'"},
        {"columns", "SELECT CAST(c.relname AS TEXT) AS tbl, CAST(a.attname AS TEXT) AS col"
                    " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
                    " WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)"
                    " AND a.attnum > 0 AND NOT a.attisdropped"},
    };

    for (size_t i = 0; i < COUNT(words); i++)
        if (strlen(words[i].name) == size && strncmp(words[i].name, at, size) == 0)
            return words[i].sql;
    return NULL;
}

/* Appendix A of PostgreSQL's manual. */
static db_class class_of(const char *state)
{
    static const struct {
        const char *begin;
        db_class cls;
    } classes[] = {
        {"23505", DB_UNIQUE}, {"40001", DB_BUSY},   {"40P01", DB_BUSY},   {"55P03", DB_BUSY},
        {"57014", DB_BUSY},   {"57P", DB_LOST},     {"08", DB_LOST},      {"53300", DB_LOST},
        {"25P03", DB_LOST},   {"53100", DB_FULL},   {"58030", DB_FULL},   {"53", DB_BUSY},
        {"28", DB_DENIED},    {"3D000", DB_DENIED}, {"42501", DB_DENIED}, {"25006", DB_DENIED},
        {"XX00", DB_CORRUPT},
    };

    if (strcmp(state, "XX000") == 0) return DB_ERROR;
    for (size_t i = 0; i < COUNT(classes); i++)
        if (strncmp(state, classes[i].begin, strlen(classes[i].begin)) == 0) return classes[i].cls;
    return DB_ERROR;
}

static void disconnect(db *d)
{
    server *l = d->link;

    if (!l) return;
    if (l->conn) l->q.PQfinish(l->conn);
    mem_free(d->ctx, l);
    d->link = NULL;
}

/* ---- waiting ---- */

/* Waits for the socket; what came of it libpq finds out. False when the time is over. */
static bool wait_io(server *l, short events, double until)
{
    struct pollfd p = {.fd = l->q.PQsocket(l->conn), .events = events};

    for (;;) {
        const double left = until - base_now();
        const int n = poll(&p, 1, left > 0 ? (int)(1000 * left) + 1 : 0);
        if (n > 0 || (n < 0 && errno != EINTR)) return true;
        if (n == 0) return false;
    }
}

static drmad_status lost(db *d)
{
    server *l = d->link;
    char text[512];

    snprintf(text, sizeof text, "%s", l->q.PQerrorMessage(l->conn));
    return db_fail(d, DB_LOST, text[0] ? text : "the connection broke");
}

static drmad_status silent(db *d)
{
    char text[96];

    snprintf(text, sizeof text, "no answer for %.0f s", d->wait_s);
    return db_fail(d, DB_LOST, text);
}

static drmad_status flush(db *d, double until)
{
    server *l = d->link;
    int n;

    while ((n = l->q.PQflush(l->conn)) == 1) {
        if (!wait_io(l, POLLIN | POLLOUT, until)) return silent(d);
        if (!l->q.PQconsumeInput(l->conn)) return lost(d);
    }
    return n == 0 ? DRMAD_OK : lost(d);
}

static drmad_status next_result(db *d, double until, PGresult **out)
{
    server *l = d->link;

    *out = NULL;
    while (l->q.PQisBusy(l->conn)) {
        if (!wait_io(l, POLLIN, until)) return silent(d);
        if (!l->q.PQconsumeInput(l->conn)) return lost(d);
    }
    *out = l->q.PQgetResult(l->conn);
    return DRMAD_OK;
}

/* ---- connecting ---- */

/* A connection's failure has no field for its code: the verbose message has, behind "FATAL:". */
static drmad_status refused(db *d)
{
    server *l = d->link;
    char text[512], state[6] = "";

    const char *message = l->q.PQerrorMessage(l->conn), *fatal = strstr(message, "FATAL:");
    snprintf(text, sizeof text, "%s", fatal ? fatal : message);
    if (fatal && sscanf(fatal, "FATAL: %5[0-9A-Z]:", state) == 1) {
        memcpy(d->state, state, sizeof state);
        return db_fail(d, class_of(state), text);
    }
    if (strncmp(message, "invalid ", 8) == 0) /* what follows may be a piece of the password */
        return FAIL(
            d->ctx, DRMAD_E_USAGE,
            "%s: an option or the port in the URL cannot be used; in a password write '/' as "
            "%%2F, ':' as %%3A, '@' as %%40",
            d->label);
    const bool ours = strstr(message, "no password supplied") || strstr(message, "certificate") ||
                      strstr(message, "SSL was required") || strstr(message, "sslmode");
    return db_fail(d, ours || fatal ? DB_DENIED : DB_LOST, text);
}

static drmad_status poll_connection(db *d)
{
    server *l = d->link;
    const double until = base_now() + (d->wait_s < CONNECT_S ? d->wait_s : CONNECT_S);
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;

    while (want == PGRES_POLLING_WRITING || want == PGRES_POLLING_READING) {
        if (!wait_io(l, want == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, until)) return silent(d);
        want = l->q.PQconnectPoll(l->conn);
    }
    return want == PGRES_POLLING_OK ? DRMAD_OK : refused(d);
}

static void no_notice(void *user, const char *message)
{
    (void)user, (void)message;
}

static drmad_status start(db *d, const char *url)
{
    static const char *const keys[] = {
        "keepalives_idle", "keepalives_interval", "keepalives_count",          "tcp_user_timeout",
        "dbname",          "client_encoding",     "fallback_application_name", NULL};
    const char *const values[] = {"30", "10", "3", "30000", url, "UTF8", "drmad", NULL};
    server *l = d->link;

    l->conn = l->q.PQconnectStartParams(keys, values, 1);
    if (!l->conn) return db_fail(d, DB_MEMORY, "libpq");
    l->q.PQsetErrorVerbosity(l->conn, PQERRORS_VERBOSE);
    l->q.PQsetNoticeProcessor(l->conn, no_notice, NULL);
    if (l->q.PQstatus(l->conn) == CONNECTION_BAD) return refused(d);
    return DRMAD_OK;
}

static drmad_status script(db *d, const char *sql);

static drmad_status connect_server(db *d, const db_options *o)
{
    drmad_status st = DRMAD_OK;
    char settings[256];
    server *l = NULL;

    TRY(mem_alloc(d->ctx, 1, sizeof *l, &l));
    d->link = l;
    TRY(pq_open(d->ctx, &l->q));
    TRY(pq_check_files(d->ctx, &l->q, o->place));
    TRY(start(d, o->place));
    TRY(poll_connection(d));
    if (l->q.PQsetnonblocking(l->conn, 1) != 0) {
        st = lost(d);
        goto done;
    }
    const int ms = (int)(1000 * d->wait_s);
    snprintf(settings, sizeof settings,
             "SET statement_timeout = %d; SET lock_timeout = %d; SET datestyle = 'ISO';"
             "SET idle_in_transaction_session_timeout = 60000; SET extra_float_digits = 1;"
             "SET bytea_output = 'hex'",
             ms, ms);
    TRY(script(d, settings));
done:
    return st;
}

/* ---- running ---- */

static drmad_status failed(db *d, const PGresult *r)
{
    server *l = d->link;
    const char *state = l->q.PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = l->q.PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    char copy[512];

    snprintf(copy, sizeof copy, "%s", text ? text : l->q.PQresultErrorMessage(r));
    snprintf(d->state, sizeof d->state, "%s", state ? state : "");
    return db_fail(d, state ? class_of(state) : DB_LOST, copy);
}

static Oid type_of(char type)
{
    switch (type) {
    case 'i': return OID_INT8;
    case 'd': return OID_FLOAT8;
    case 's': return OID_TEXT;
    case 'b': return OID_BYTEA;
    default: return 0; /* the server knows from where it stands */
    }
}

static drmad_status send_prepare(db *d, const db_call *c, const db_value *v)
{
    server *l = d->link;
    char name[16], *sql = NULL;
    Oid types[VALUES_MAX];
    drmad_status st = db_sql(d, c->query, &sql);

    if (st != DRMAD_OK) return st;
    for (int32_t i = 0; i < c->n; i++) types[i] = type_of(v[i].type);
    snprintf(name, sizeof name, "d%d", (int)c->query);
    if (!l->q.PQsendPrepare(l->conn, name, sql, c->n, types)) st = lost(d);
    mem_free(d->ctx, sql);
    return st;
}

/* The bytes of a value as libpq takes them: text, but for blobs. */
static const char *printed(const db_value *v, char buf[NUMBER_SIZE], int *size, int *binary)
{
    *binary = v->type == 'b';
    *size = (int)v->size;
    if (v->type == 'd') return isfinite(v->d) ? number_print(v->d, buf) : NULL;
    if (v->type == 'b') return v->s ? v->s : "";
    if (v->type != 'i') return v->s;
    snprintf(buf, NUMBER_SIZE, "%lld", (long long)v->i);
    return buf;
}

static drmad_status send_call(db *d, const db_call *c, const db_value *v)
{
    server *l = d->link;
    char name[16], buf[VALUES_MAX][NUMBER_SIZE];
    const char *values[VALUES_MAX];
    int sizes[VALUES_MAX], binary[VALUES_MAX];

    for (int32_t i = 0; i < c->n; i++) values[i] = printed(v + i, buf[i], &sizes[i], &binary[i]);
    snprintf(name, sizeof name, "d%d", (int)c->query);
    const int binary_result = c->query == Q_ARTEFACT_GET;
    if (!l->q.PQsendQueryPrepared(l->conn, name, c->n, values, sizes, binary, binary_result))
        return lost(d);
    return DRMAD_OK;
}

/* Sends the batch; asked[q]: this pipeline prepares q. */
static drmad_status send_all(db *d, const db_batch *b, bool *asked, double until)
{
    server *l = d->link;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < b->n_calls; i++) {
        const db_call *c = &b->calls[i];
        if (!l->prepared[c->query] && !asked[c->query]) {
            TRY(send_prepare(d, c, db_values(b, c)));
            asked[c->query] = true;
        }
        TRY(send_call(d, c, db_values(b, c)));
    }
    if (!l->q.PQpipelineSync(l->conn)) {
        st = lost(d);
        goto done;
    }
    TRY(flush(d, until));
done:
    return st;
}

static drmad_status give_rows(db *d, db_call *c, PGresult *r)
{
    server *l = d->link;
    drmad_status st = DRMAD_OK;
    const int n = l->q.PQntuples(r);

    c->rows = n;
    for (int i = 0; i < n && c->fn && st == DRMAD_OK; i++) {
        const db_row row = {.d = d, .result = r, .row = i};
        st = c->fn(c->user, &row);
    }
    return st;
}

/* One result. *keep is the batch's status: after a failure the rest is only read away. */
static void take_result(db *d, db_call *c, PGresult *r, drmad_status *keep)
{
    server *l = d->link;

    switch (l->q.PQresultStatus(r)) {
    case PGRES_TUPLES_OK:
        if (*keep == DRMAD_OK) *keep = give_rows(d, c, r);
        break;
    case PGRES_COMMAND_OK:
        if (c) c->rows = strtoll(l->q.PQcmdTuples(r), NULL, 10);
        break;
    case PGRES_PIPELINE_ABORTED: break;
    default:
        if (*keep == DRMAD_OK) *keep = failed(d, r);
        break;
    }
}

/* The results of one message, up to the NULL behind them. c: NULL of a preparation. */
static bool receive(db *d, db_call *c, double until, drmad_status *keep, bool *good)
{
    PGresult *r = NULL;

    *good = false;
    for (;;) {
        drmad_status st = next_result(d, until, &r);
        if (st != DRMAD_OK) {
            *keep = st; /* silence says that all may be tried again, whatever failed before */
            return false;
        }
        if (!r) return true;
        server *l = d->link;
        const ExecStatusType type = l->q.PQresultStatus(r);
        const pq q = l->q; /* a failure may close the link */
        *good = type == PGRES_COMMAND_OK || type == PGRES_TUPLES_OK;
        take_result(d, c, r, keep);
        q.PQclear(r);
        if (!d->link) return false;
    }
}

static drmad_status receive_all(db *d, db_batch *b, bool *asked, double until)
{
    drmad_status keep = DRMAD_OK;
    PGresult *r = NULL;
    bool good;

    for (int32_t i = 0; i < b->n_calls; i++) {
        db_call *c = &b->calls[i];
        if (asked[c->query]) {
            if (!receive(d, NULL, until, &keep, &good)) return keep;
            ((server *)d->link)->prepared[c->query] |= good;
            asked[c->query] = false;
        }
        if (!receive(d, c, until, &keep, &good)) return keep;
    }
    drmad_status st = next_result(d, until, &r); /* the sync's */
    if (st != DRMAD_OK) return st;
    server *l = d->link;
    const bool synced = l->q.PQresultStatus(r) == PGRES_PIPELINE_SYNC;
    l->q.PQclear(r);
    if (!synced && keep == DRMAD_OK) keep = lost(d);
    return keep;
}

static drmad_status run(db *d, db_batch *b)
{
    server *l = d->link;
    bool asked[Q_COUNT] = {false};
    const double until = base_now() + d->wait_s + 5; /* the server's own time-out comes first */

    if (!d->connected) return db_fail(d, DB_LOST, "not connected");
    for (int32_t i = 0; i < b->n_calls; i++) b->calls[i].rows = 0;
    if (!l->pipeline && !l->q.PQenterPipelineMode(l->conn)) return lost(d);
    l->pipeline = true;
    drmad_status st = send_all(d, b, asked, until);
    if (st == DRMAD_OK) st = receive_all(d, b, asked, until);
    else if (d->link) { /* half a pipeline is out: start afresh */ disconnect(d);
        d->connected = d->in_transaction = false;
    }
    return st;
}

static drmad_status script(db *d, const char *sql)
{
    server *l = d->link;
    const double until = base_now() + d->wait_s + 5;
    drmad_status st = DRMAD_OK, keep = DRMAD_OK;
    bool good;

    if (l->pipeline && !l->q.PQexitPipelineMode(l->conn)) return lost(d);
    l->pipeline = false;
    if (!l->q.PQsendQuery(l->conn, sql)) return lost(d);
    TRY(flush(d, until));
    receive(d, NULL, until, &keep, &good);
    st = keep;
done:
    return st;
}

/* ---- rows ---- */

static int64_t integer(const db_row *r, int column)
{
    const server *l = r->d->link;

    return strtoll(l->q.PQgetvalue(r->result, r->row, column), NULL, 10);
}

static bool null(const db_row *r, int column)
{
    const server *l = r->d->link;

    return l->q.PQgetisnull(r->result, r->row, column);
}

static double real(const db_row *r, int column)
{
    const server *l = r->d->link;
    double x;

    if (null(r, column) || !number_read(l->q.PQgetvalue(r->result, r->row, column), &x))
        return (double)NAN;
    return x;
}

static const char *text(const db_row *r, int column)
{
    const server *l = r->d->link;

    return null(r, column) ? NULL : l->q.PQgetvalue(r->result, r->row, column);
}

static const void *blob(const db_row *r, int column, size_t *size)
{
    const server *l = r->d->link;

    *size = (size_t)l->q.PQgetlength(r->result, r->row, column);
    return text(r, column);
}

const db_driver db_postgres = {
    .name = "postgresql",
    .word = word,
    .connect = connect_server,
    .close = disconnect,
    .run = run,
    .script = script,
    .limits_time = true,
    .integer = integer,
    .real = real,
    .null = null,
    .text = text,
    .blob = blob,
};
