/* Fresh stores for tests. The server belongs to a guardian, a child that waits for the end of this
 * process (a pipe closes) and then stops the server and removes its folder. */
#include "backends.h"
#include "store/local.h"
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    char folder[128], url[BACKEND_URL_SIZE], password[64];
    int alive; /* our end of the guardian's pipe */
    pid_t guardian, owner;
    int made; /* databases */
} server;
static char scratch_folder[256];

static void guardian_end(void)
{
    if (server.owner != getpid()) return;
    close(server.alive);
    waitpid(server.guardian, NULL, 0);
}

static void guard(int waits)
{
    char cmd[256], byte;
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);

    setsid(); /* a signal to the test's group is not for the guardian */
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    while (read(waits, &byte, 1) > 0) continue;
    if (ctx) local_stop(ctx, server.folder, true);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", server.folder);
    _exit(system(cmd) != 0);
}

static void guardian_start(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    server.owner = getpid();
    server.guardian = fork();
    if (server.guardian == 0) {
        close(ends[1]);
        guard(ends[0]);
    }
    close(ends[0]);
    server.alive = ends[1];
    atexit(guardian_end);
}

static void password_read(void)
{
    char path[160], line[128] = "";

    snprintf(path, sizeof path, "%s/pgpass", server.folder);
    FILE *f = fopen(path, "r");
    if (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        const char *colon = strrchr(line, ':');
        snprintf(server.password, sizeof server.password, "%s", colon ? colon + 1 : "");
    }
    if (f) fclose(f);
}

void server_start(void)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    char *url = NULL;
    local_options o = {.folder = server.folder, .max_connections = 200, .fragile = true};

    CHECK_OK(ctx, local_start(ctx, &o, &url));
    snprintf(server.url, sizeof server.url, "%s", url ? url : "");
    mem_free(ctx, url);
    drmad_ctx_free(ctx);
}

void server_stop(bool at_once)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);

    CHECK_OK(ctx, local_stop(ctx, server.folder, at_once));
    drmad_ctx_free(ctx);
}

const char *server_folder(void)
{
    if (!server.guardian) {
        snprintf(server.folder, sizeof server.folder, "/tmp/drmad-postgres-%ld", (long)getpid());
        guardian_start();
        server_start();
        password_read();
    }
    return server.folder;
}

const char *server_password(void)
{
    server_folder();
    return server.password;
}

int server_port(void)
{
    server_folder();
    const char *at = strstr(server.url, "@127.0.0.1:");
    return at ? atoi(at + strlen("@127.0.0.1:")) : 0;
}

/* The server's URL with another database in it. */
static void url_of(const char *database, char url[BACKEND_URL_SIZE])
{
    server_folder();
    const char *query = strchr(server.url, '?');
    snprintf(url, BACKEND_URL_SIZE, "postgresql://drmad@127.0.0.1:%d/%s%s", server_port(), database,
             query ? query : "");
}

PGconn *server_connect(const char *database)
{
    char url[BACKEND_URL_SIZE];

    url_of(database ? database : "drmad", url);
    PGconn *c = PQconnectdb(url);
    if (PQstatus(c) != CONNECTION_OK) test_fail(__FILE__, __LINE__, "%s", PQerrorMessage(c));
    return c;
}

void server_run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
}

void backend_url(backend b, char url[BACKEND_URL_SIZE])
{
    char sql[128], name[64];

    snprintf(scratch_folder, sizeof scratch_folder, "%s", test_scratch());
    if (b != BACKEND_POSTGRES) {
        snprintf(url, BACKEND_URL_SIZE,
                 b == BACKEND_SQLITE ? "sqlite:%s/runs.db" : "journal:%s/runs.log", scratch_folder);
        return;
    }
    server_folder();
    snprintf(name, sizeof name, "test_%d", ++server.made);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    PGconn *c = server_connect(NULL);
    server_run(c, sql);
    PQfinish(c);
    url_of(name, url);
}

const char *backend_scratch(void)
{
    return scratch_folder;
}

drmad_status backend_open(drmad_ctx *ctx, const char *url, double patience_s, double lease_s,
                          store **out)
{
    char spool[300];
    store_options o = {.create = true, .patience_s = patience_s, .lease_s = lease_s};

    snprintf(spool, sizeof spool, "%s/spool", scratch_folder);
    o.spool = spool;
    return store_open(ctx, url, &o, out);
}

/* ---- from outside ---- */

static void ask_file(const char *path, const char *sql, char *out, size_t size)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;

    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    if (!out) {
        CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    } else if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK) {
        const char *text =
            sqlite3_step(s) == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
        snprintf(out, size, "%s", text ? text : "");
    } else {
        test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static void ask_server(const char *url, const char *sql, char *out, size_t size)
{
    char name[64] = "";
    const char *at = strstr(url, "/test_");

    if (at) snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "?"), at + 1);
    PGconn *c = server_connect(name);
    PGresult *r = PQexec(c, sql);
    const ExecStatusType st = PQresultStatus(r);
    if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(c));
    if (out) snprintf(out, size, "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    PQfinish(c);
}

void backend_ask(const char *url, const char *sql, char *out, size_t size)
{
    if (out) out[0] = '\0';
    if (strncmp(url, "sqlite:", 7) == 0) ask_file(url + 7, sql, out, size);
    else ask_server(url, sql, out, size);
}

void backend_sql(const char *url, const char *sql)
{
    backend_ask(url, sql, NULL, 0);
}
