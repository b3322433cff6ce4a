/* SQLite: WAL, writers take their turn from BEGIN IMMEDIATE on, so that no transaction of ours ever
 * fails in its middle because of others. */
#include "store/db.h"
#include "store/lite.h"
#include "store/network_fs.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct connection {
    lite q;
    sqlite3 *handle;
    sqlite3_stmt *statements[Q_COUNT];
    double locked_since;
    double wait_s;
    char boot[41];
    uint32_t noise; /* so that those who wait do not wake together */
} connection;

static const char *word(const char *at, size_t size)
{
    static const struct {
        const char *name, *sql;
    } words[] = {
        {"begin_write", "BEGIN IMMEDIATE"},
        {"begin_read", "BEGIN"},
        {"now", "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"},
        {"clock", ":clock"},
        {"clock_name", ":clock_name"},
        {"beat", "CURRENT_TIMESTAMP"},
        {"heart_age", "((julianday('now') - julianday(h.heartbeat)) * 86400.0)"},
        {"lock", ""},
        {"skip", ""},
        {"last_trial", "(SELECT MAX(m.trial_id) FROM trials m)"},
        {"as_value_type", ""},
        {"schema_lock", "SELECT 1"}, /* the transaction has it */
        {"integrity", "PRAGMA integrity_check(20)"},
        {"tables", "SELECT name FROM sqlite_master WHERE type = 'table'"},
        {"columns", "SELECT m.name AS tbl, p.name AS col FROM sqlite_master m"
                    " JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"},
    };

    for (size_t i = 0; i < COUNT(words); i++)
        if (strlen(words[i].name) == size && strncmp(words[i].name, at, size) == 0)
            return words[i].sql;
    return NULL;
}

static db_class class_of(int code)
{
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) return DB_UNIQUE;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return DB_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DB_CORRUPT;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN: return DB_DENIED;
    case SQLITE_FULL:
    case SQLITE_IOERR: return code == SQLITE_IOERR_NOMEM ? DB_MEMORY : DB_FULL;
    case SQLITE_NOMEM: return DB_MEMORY;
    default: return DB_ERROR;
    }
}

static drmad_status failed(db *d, int code)
{
    connection *l = d->link;
    const char *text = l->handle ? l->q.sqlite3_errmsg(l->handle) : l->q.sqlite3_errstr(code);

    if (l->handle) code = l->q.sqlite3_extended_errcode(l->handle);
    return db_fail(d, class_of(code), text);
}

/* Waits a little longer each time, unevenly, and gives up after wait_s: the default handler's
 * steps of up to 100 ms would leave the file idle when many processes write. */
static int wait_for_lock(void *user, int tries)
{
    connection *l = user;

    if (tries == 0) l->locked_since = base_now();
    else if (base_now() - l->locked_since > l->wait_s) return 0;
    l->noise = l->noise * 1664525u + 1013904223u;
    const double most = tries < 6 ? 0.0002 * (1 << tries) : 0.0128;
    const double s = most * (0.5 + 0.5 * (double)(l->noise >> 8) / (double)(1u << 24));
    nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * s)}, NULL);
    return 1;
}

/* A file that is ours to make is made here: nobody's link is followed to make it elsewhere. */
static drmad_status make_file(db *d, const db_options *o)
{
    struct stat info;

    if (lstat(o->place, &info) == 0) return DRMAD_OK;
    if (!o->create || o->read_only)
        return FAIL(d->ctx, DRMAD_E_USAGE, "%s: no such file", o->label);
    int fd = open(o->place, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST)
        return FAIL(d->ctx, DRMAD_E_OUTPUT, "%s: cannot make the file: %s", o->label,
                    strerror(errno));
    if (fd >= 0) close(fd);
    return DRMAD_OK;
}

static void disconnect(db *d)
{
    connection *l = d->link;

    if (!l) return;
    for (size_t i = 0; l->handle && i < COUNT(l->statements); i++)
        l->q.sqlite3_finalize(l->statements[i]);
    if (l->handle) l->q.sqlite3_close_v2(l->handle);
    mem_free(d->ctx, l);
    d->link = NULL;
}

/* The clock of leases: seconds since the machine's start, and which start that was. */
static double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void name_clock(connection *l)
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!f || fscanf(f, "%40s", l->boot) != 1) snprintf(l->boot, sizeof l->boot, "unknown");
    if (f) fclose(f);
}

static drmad_status settings(db *d, const db_options *o)
{
    connection *l = d->link;
    int rc = l->q.sqlite3_exec(l->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);

    if (rc == SQLITE_OK && !o->read_only)
        rc = l->q.sqlite3_exec(l->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    return rc == SQLITE_OK ? DRMAD_OK : failed(d, rc);
}

static drmad_status check_place(db *d, const db_options *o)
{
    const char *kind;

    if (!network_filesystem(o->place, &kind)) return DRMAD_OK;
    return FAIL(
        d->ctx, DRMAD_E_STORAGE,
        "%s lies on a network file system (%s), where SQLite's locks cannot be trusted: use "
        "journal:%s, or postgresql:// for many machines",
        o->label, kind, o->place);
}

static drmad_status connect_file(db *d, const db_options *o)
{
    const int mode = o->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    connection *l = NULL;
    drmad_status st;

    const bool memory = strcmp(o->place, ":memory:") == 0;
    if (!memory) TRY(check_place(d, o));
    if (!memory) TRY(make_file(d, o));
    TRY(mem_alloc(d->ctx, 1, sizeof *l, &l));
    d->link = l;
    TRY(lite_open(d->ctx, &l->q));
    l->wait_s = d->wait_s;
    name_clock(l);
    l->noise = (uint32_t)getpid() * 2654435761u;
    int rc = l->q.sqlite3_open_v2(
        o->place, &l->handle,
        (memory ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : mode) | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        st = failed(d, rc);
        goto done;
    }
    l->q.sqlite3_extended_result_codes(l->handle, 1);
    l->q.sqlite3_busy_handler(l->handle, wait_for_lock, l);
    TRY(settings(d, o));
done:
    return st;
}

static drmad_status prepare(db *d, db_query q, sqlite3_stmt **out)
{
    connection *l = d->link;
    char *sql = NULL;

    *out = l->statements[q];
    if (*out) return DRMAD_OK;
    drmad_status st = db_sql(d, q, &sql);
    if (st != DRMAD_OK) return st;
    int rc = l->q.sqlite3_prepare_v3(l->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                     &l->statements[q], NULL);
    mem_free(d->ctx, sql);
    *out = l->statements[q];
    return rc == SQLITE_OK ? DRMAD_OK : failed(d, rc);
}

static int bind_one(const connection *l, sqlite3_stmt *s, int at, const db_value *v)
{
    switch (v->type) {
    case 'i': return l->q.sqlite3_bind_int64(s, at, v->i);
    case 'd':
        return isfinite(v->d) ? l->q.sqlite3_bind_double(s, at, v->d)
                              : l->q.sqlite3_bind_null(s, at);
    case 'b':
        return v->size ? l->q.sqlite3_bind_blob64(s, at, v->s, v->size, SQLITE_STATIC)
                       : l->q.sqlite3_bind_zeroblob(s, at, 0);
    default: return l->q.sqlite3_bind_text(s, at, v->s, -1, SQLITE_STATIC);
    }
}

/* $n is a name to SQLite, numbered in the order of first sight. */
static int bind_all(const connection *l, sqlite3_stmt *s, const db_value *v, int32_t n)
{
    int rc = SQLITE_OK;
    char name[16];

    for (int32_t i = 0; i < n && rc == SQLITE_OK; i++) {
        snprintf(name, sizeof name, "$%d", (int)i + 1);
        const int at = l->q.sqlite3_bind_parameter_index(s, name);
        if (at > 0) rc = bind_one(l, s, at, v + i);
    }
    int at = l->q.sqlite3_bind_parameter_index(s, ":clock");
    if (at > 0 && rc == SQLITE_OK) rc = l->q.sqlite3_bind_double(s, at, clock_seconds());
    at = l->q.sqlite3_bind_parameter_index(s, ":clock_name");
    if (at > 0 && rc == SQLITE_OK) rc = l->q.sqlite3_bind_text(s, at, l->boot, -1, SQLITE_STATIC);
    return rc;
}

static drmad_status run_call(db *d, db_batch *b, db_call *c)
{
    connection *l = d->link;
    sqlite3_stmt *s = NULL;
    drmad_status st = prepare(d, c->query, &s);

    if (st != DRMAD_OK) return st;
    int rc = bind_all(l, s, db_values(b, c), c->n);
    if (rc == SQLITE_OK) rc = l->q.sqlite3_step(s);
    const bool returns = l->q.sqlite3_column_count(s) > 0;
    while (rc == SQLITE_ROW && st == DRMAD_OK) {
        const db_row row = {.d = d, .result = s};
        c->rows++;
        if (c->fn) st = c->fn(c->user, &row);
        if (st == DRMAD_OK) rc = l->q.sqlite3_step(s);
    }
    if (st == DRMAD_OK && rc != SQLITE_DONE) st = failed(d, rc);
    if (st == DRMAD_OK && !returns) c->rows = l->q.sqlite3_changes(l->handle);
    l->q.sqlite3_reset(s);
    l->q.sqlite3_clear_bindings(s);
    return st;
}

static drmad_status run(db *d, db_batch *b)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < b->n_calls; i++) b->calls[i].rows = 0;
    for (int32_t i = 0; i < b->n_calls && st == DRMAD_OK; i++) {
        st = run_call(d, b, &b->calls[i]);
        if (st == DRMAD_OK && b->calls[i].need && b->calls[i].rows == 0) {
            db_rollback(d);
            break;
        }
    }
    return st;
}

static drmad_status script(db *d, const char *sql)
{
    connection *l = d->link;
    const int rc = l->q.sqlite3_exec(l->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? DRMAD_OK : failed(d, rc);
}

static int64_t integer(const db_row *r, int column)
{
    const connection *l = r->d->link;

    return l->q.sqlite3_column_int64(r->result, column);
}

static bool null(const db_row *r, int column)
{
    const connection *l = r->d->link;

    return l->q.sqlite3_column_type(r->result, column) == SQLITE_NULL;
}

static double real(const db_row *r, int column)
{
    const connection *l = r->d->link;

    return null(r, column) ? (double)NAN : l->q.sqlite3_column_double(r->result, column);
}

static const char *text(const db_row *r, int column)
{
    const connection *l = r->d->link;

    return (const char *)l->q.sqlite3_column_text(r->result, column);
}

static const void *blob(const db_row *r, int column, size_t *size)
{
    const connection *l = r->d->link;
    const void *bytes = l->q.sqlite3_column_blob(r->result, column);

    *size = (size_t)l->q.sqlite3_column_bytes(r->result, column);
    return bytes || null(r, column) ? bytes : "";
}

const db_driver db_sqlite = {
    .name = "sqlite",
    .word = word,
    .connect = connect_file,
    .close = disconnect,
    .run = run,
    .script = script,
    .integer = integer,
    .real = real,
    .null = null,
    .text = text,
    .blob = blob,
};
