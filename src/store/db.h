/* One connection to a database that speaks SQL, SQLite or PostgreSQL.
 *
 *   db_add(b, Q_RENEW, "iid", trial, token, seconds);
 *   renewed = db_add(b, Q_PARAM, "iisds", trial, token, name, value, distribution);
 *   TRY(db_run(b, DB_WRITE));                          one transaction, one round trip
 *   if (db_rows(b, renewed) == 0) ...
 *
 * The SQL stands in queries.def, the same for both; words between @ differ (db.c). A statement is
 * prepared when a connection first runs it. What the statements of a batch do may depend on what
 * those before have done, but only by SQL: PostgreSQL gets them all at once (pipeline mode).
 *
 * Errors:  db->cls says of what kind the last one was; DB_BUSY and DB_LOST give DRMAD_E_AGAIN. The
 *          transaction is then rolled back, a lost connection closed; db_connect opens it again.
 * Threads: one connection, one thread at a time. */
#ifndef DB_H
#define DB_H
#include "base/base.h"

typedef enum db_query {
#define Q(name, sql) Q_##name,
#include "store/queries.def"
#undef Q
    Q_COUNT
} db_query;

typedef enum db_class {
    DB_OK,
    DB_BUSY,    /* locked, or a deadlock: may succeed next time */
    DB_LOST,    /* no connection, or none to be had */
    DB_UNIQUE,  /* a unique key is there already */
    DB_CORRUPT, /* the database is damaged */
    DB_DENIED,  /* it does not let us in, or not do that */
    DB_FULL,    /* disk full or failing */
    DB_MEMORY,
    DB_ERROR
} db_class;

typedef struct db db;
typedef struct db_driver db_driver;

/* A row while its callback runs. Columns count from 0; a text or blob is NULL for NULL. */
typedef struct db_row {
    db *d;
    void *result; /* the driver's own */
    int row;
} db_row;
int64_t db_int(const db_row *r, int column); /* 0 for NULL */
double db_real(const db_row *r, int column); /* NaN for NULL */
bool db_null(const db_row *r, int column);
const char *db_text(const db_row *r, int column);
const void *db_blob(const db_row *r, int column, size_t *size);

typedef drmad_status db_row_fn(void *user, const db_row *r);

typedef struct db_value {
    char type; /* as of db_add */
    int64_t i;
    double d;
    const char *s;
    size_t size;
} db_value;

typedef struct db_call {
    db_query query;
    int32_t first, n; /* its values in the batch */
    db_row_fn *fn;
    void *user;
    int64_t rows;
    bool need;
} db_call;

/* Calls to be run together; reused, its memory grows to the largest batch. */
typedef struct db_batch {
    db *d;
    db_call *calls;
    db_value *values;
    int32_t n_calls, n_values, cap_calls, cap_values;
    drmad_status st; /* the first failure of db_add */
} db_batch;

struct db {
    drmad_ctx *ctx;
    const db_driver *driver;
    const char *label; /* the store in messages */
    bool connected;
    bool in_transaction;
    db_class cls;
    char state[6];  /* SQLSTATE, "" where there is none */
    double wait_s;  /* for locks, a statement, a connection */
    void *link;     /* the driver's own */
    db_batch batch; /* for whoever runs one now */
};

typedef struct db_options {
    const char *place; /* file, or URL */
    const char *label; /* borrowed */
    bool create, read_only;
} db_options;

/* A driver; use the functions below. */
struct db_driver {
    const char *name; /* "sqlite", "postgresql": names of schema steps too */
    const char *(*word)(const char *at, size_t size); /* of a word between @; NULL: unknown */
    drmad_status (*connect)(db *d, const db_options *o);
    void (*close)(db *d);
    drmad_status (*run)(db *d, db_batch *b);
    drmad_status (*script)(db *d, const char *sql);
    bool limits_time; /* statements end by SET statement_timeout */
    int64_t (*integer)(const db_row *r, int column);
    double (*real)(const db_row *r, int column);
    bool (*null)(const db_row *r, int column);
    const char *(*text)(const db_row *r, int column);
    const void *(*blob)(const db_row *r, int column, size_t *size);
};
extern const db_driver db_sqlite, db_postgres;

/* Opens the connection unless it is open. `d` is zeroed but for ctx, driver and wait_s. */
drmad_status db_connect(db *d, const db_options *o);
void db_close(db *d); /* also of one not open; frees the batch */

/* The batch of `d`, empty. */
db_batch *db_start(db *d);
/* One letter a value: i int64_t, d double (not finite: NULL), s text or NULL, e the same for an
 * enum or a time, b const void * and size_t. Texts and blobs must live until db_run. Gives the
 * call's place in the batch. */
int32_t db_add(db_batch *b, db_query q, const char *types, ...);
/* The last call's rows go to fn. */
void db_each(db_batch *b, db_row_fn *fn, void *user);
/* Without a row of the last call the rest need not run: SQLite stops and rolls back. The rest must
 * do nothing then anyway, for PostgreSQL goes on. */
void db_need(db_batch *b);

enum {
    DB_BEGIN = 1,
    DB_COMMIT = 2,
    DB_SNAPSHOT = 4,
    DB_WRITE = DB_BEGIN | DB_COMMIT,
    DB_READ = DB_SNAPSHOT | DB_COMMIT
};
/* Runs the batch as the beginning of a transaction that writes (DB_BEGIN) or sees one moment
 * (DB_SNAPSHOT), as its end (DB_COMMIT), as both (DB_WRITE, DB_READ), or alone (0). */
drmad_status db_run(db_batch *b, int flags);
int64_t db_rows(const db_batch *b, int32_t call); /* returned or changed */
/* Ends a transaction that was begun, if it is open; never fails. */
void db_rollback(db *d);
/* From now on a statement may take that long. */
drmad_status db_take_time(db *d, double seconds);
/* Several statements, without values. */
drmad_status db_script(db *d, const char *sql);

/* For drivers. The values of a call, NULL for none. */
const db_value *db_values(const db_batch *b, const db_call *c);
/* Records the class and gives the status of it. */
drmad_status db_fail(db *d, db_class cls, const char *text);
/* The SQL of a query in the driver's words; gives *out. */
drmad_status db_sql(db *d, db_query q, char **out);
#endif
