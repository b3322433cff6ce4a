/* Fresh stores for tests, one a backend. SQLite and journal are files of the scratch folder;
 * PostgreSQL is one server a test binary, started at first use as an unprivileged user and stopped
 * when the binary ends, however it ends. */
#ifndef BACKENDS_H
#define BACKENDS_H
#include "store/store.h"
#include "test.h"
#include <libpq-fe.h>

typedef enum backend { BACKEND_SQLITE, BACKEND_POSTGRES, BACKEND_JOURNAL } backend;

enum { BACKEND_URL_SIZE = 1024 };
/* The URL of a store that does not exist yet: a new file, a new empty database. Once a test: both
 * use its scratch folder. */
void backend_url(backend b, char url[BACKEND_URL_SIZE]);
const char *backend_scratch(void); /* the folder of the last backend_url */
/* Opens it, made if need be, with its spool in the scratch folder. */
drmad_status backend_open(drmad_ctx *ctx, const char *url, double patience_s, double lease_s,
                          store **out);

/* Looks at, or meddles with, a database from outside: runs statements; gives the first column of
 * the first row, "" for none. The test fails when that fails. Not for journals. */
void backend_sql(const char *url, const char *sql);
void backend_ask(const char *url, const char *sql, char *out, size_t size);

/* ---- the server ---- */
const char *server_folder(void);              /* of the binary's server, started if need be */
void server_stop(bool at_once);               /* to be started again by server_start */
void server_start(void);                      /* at the same address */
const char *server_password(void);            /* to see that no message holds it */
PGconn *server_connect(const char *database); /* NULL: drmad. The test fails when it cannot */
void server_run(PGconn *c, const char *sql);  /* the test fails when the statement does */
int server_port(void);

/* A test body that runs once a backend: TEST_BACKENDS(name) { ... b ... } makes the tests
 * name_sqlite, name_postgres and name_journal; TEST_DATABASES leaves the journal out. */
#define TEST_BACKENDS(name)                                                                        \
    TEST_DATABASES(name);                                                                          \
    TEST(name##_journal)                                                                           \
    {                                                                                              \
        name##_on(BACKEND_JOURNAL);                                                                \
    }                                                                                              \
    static void name##_on(backend b)
#define TEST_DATABASES(name)                                                                       \
    static void name##_on(backend b);                                                              \
    TEST(name##_sqlite)                                                                            \
    {                                                                                              \
        name##_on(BACKEND_SQLITE);                                                                 \
    }                                                                                              \
    TEST(name##_postgres)                                                                          \
    {                                                                                              \
        name##_on(BACKEND_POSTGRES);                                                               \
    }                                                                                              \
    static void name##_on(backend b)
#endif
