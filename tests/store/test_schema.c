/* The tables: Optuna's are Optuna's to the letter, ours are made beside them and cleared up when
 * Optuna deletes, and what does not fit is refused with the command that mends it. */
#include "backends.h"
#include "optuna_schema.inc"
#include "store/schema.h"
#include <sqlite3.h>

static const study_direction down = DIRECTION_MINIMIZE;

static void make(const char *url)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;

    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    store_close(s);
}

/* ---- as Optuna makes them ---- */

/* "CREATE  TABLE\n x" as "CREATE TABLE x". */
static void squeeze(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        const bool space = *from == ' ' || *from == '\n';
        if (space && (to == text || to[-1] == ' ')) continue;
        *to++ = space ? ' ' : *from;
    }
    while (to > text && to[-1] == ' ') to--;
    *to = '\0';
}

static void compare_lines(const char *url, const char *sql, const char *const *want, size_t n)
{
    char one[4096], line[4096];

    for (size_t i = 0; i <= n; i++) {
        snprintf(one, sizeof one, "%s LIMIT 1 OFFSET %zu", sql, i);
        backend_ask(url, one, line, sizeof line);
        squeeze(line);
        if (strcmp(line, i < n ? want[i] : "") != 0)
            test_fail(__FILE__, __LINE__, "line %zu is \"%s\", Optuna's is \"%s\"", i, line,
                      i < n ? want[i] : "(none)");
    }
}

TEST_DATABASES(schema_is_optunas_to_the_letter)
{
    char url[BACKEND_URL_SIZE], row[64];

    backend_url(b, url);
    make(url);
    if (b == BACKEND_SQLITE) compare_lines(url, sqlite_sql, sqlite_lines, COUNT(sqlite_lines));
    else compare_lines(url, postgres_sql, postgres_lines, COUNT(postgres_lines));
    backend_ask(url, "SELECT version_num FROM alembic_version", row, sizeof row);
    CHECK_STR(row, "v3.2.0.a");
    backend_ask(url, "SELECT version_info_id || '/' || schema_version FROM version_info", row,
                sizeof row);
    CHECK_STR(row, "1/12");
}

/* ---- beside Optuna's ---- */

/* A database as Optuna leaves it. */
static void make_optunas(backend b, const char *url)
{
    const char *driver = b == BACKEND_SQLITE ? "sqlite" : "postgresql";

    for (const schema_step *x = schema_steps; x->driver; x++)
        if (x->number == 1 && strcmp(x->driver, driver) == 0) backend_sql(url, x->sql);
    backend_sql(url, "INSERT INTO studies (study_name) VALUES ('theirs');"
                     "INSERT INTO study_directions (direction, study_id, objective) VALUES "
                     "('MAXIMIZE', 1, 0);"
                     "INSERT INTO trials (number, study_id, state, datetime_start) VALUES "
                     "(0, 1, 'WAITING', NULL)");
}

static drmad_status count_trial(void *user, const store_trial *t)
{
    (void)t;
    ++*(int *)user;
    return DRMAD_OK;
}

static int64_t own_tables(backend b, const char *url)
{
    char n[16];

    backend_ask(url,
                b == BACKEND_SQLITE ? "SELECT COUNT(*) FROM sqlite_master WHERE name LIKE 'drmad%'"
                                    : "SELECT COUNT(*) FROM pg_class WHERE relname LIKE 'drmad%'",
                n, sizeof n);
    return strtoll(n, NULL, 10);
}

TEST_DATABASES(schema_is_added_beside_optunas)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    const store_options look = {.read_only = true, .patience_s = 5};
    store *s = NULL;
    store_lease l;
    int64_t study, best;
    int n = 0;
    void *data;
    size_t size;

    backend_url(b, url);
    make_optunas(b, url);
    CHECK_OK(ctx, store_open(ctx, url, &look, &s));
    CHECK_OK(ctx, store_study_find(s, "theirs", &study));
    CHECK_OK(ctx, store_trial_each(s, study, -1, STATES_ALL, count_trial, &n));
    CHECK_OK(ctx, store_trial_best(s, study, &best));
    CHECK_INT(n, 1);
    CHECK_INT(best, -1);
    CHECK_FAILS(ctx, store_artefact_get(s, 1, "net", &data, &size), DRMAD_E_USAGE, "artefact");
    CHECK_FAILS(ctx, store_trial_claim(s, study, NULL, &l), DRMAD_E_USAGE, "reading only");
    store_close(s);
    CHECK_INT(own_tables(b, url), 0);

    CHECK_OK(ctx, backend_open(ctx, url, 5, 60, &s));
    CHECK(own_tables(b, url) > 0);
    store_request(s, key);
    CHECK_OK(ctx, store_trial_claim(s, study, key, &l));
    CHECK_INT(l.number, 0);
    store_close(s);
}

TEST_DATABASES(schema_upgrade_adds_our_tables)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], version[8];

    backend_url(b, url);
    make_optunas(b, url);
    CHECK_OK(ctx, store_upgrade(ctx, url));
    backend_ask(url, "SELECT version FROM drmad_schema", version, sizeof version);
    CHECK_INT(atoi(version), SCHEMA_VERSION);
    CHECK_OK(ctx, store_upgrade(ctx, url)); /* nothing left to do */
}

/* ---- what does not fit ---- */

static drmad_status open_again(const char *url)
{
    store *s = NULL;
    drmad_status st = backend_open(test_ctx(), url, 5, 60, &s);

    store_close(s);
    return st;
}

TEST_DATABASES(schema_of_another_version_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];

    backend_url(b, url);
    make(url);
    backend_sql(url, "UPDATE drmad_schema SET version = 99");
    CHECK_FAILS(ctx, open_again(url), DRMAD_E_STORAGE, "newer");
    CHECK_FAILS(ctx, store_upgrade(ctx, url), DRMAD_E_STORAGE, "newer");
    backend_sql(url, "UPDATE drmad_schema SET version = 1");
    CHECK_FAILS(ctx, open_again(url), DRMAD_E_STORAGE, "drmad store upgrade");
    backend_sql(url, "DROP TABLE trial_heartbeats");
    CHECK_FAILS(ctx, open_again(url), DRMAD_E_STORAGE, "trial_heartbeats");
    CHECK_FAILS(ctx, store_check(ctx, url, NULL, NULL), DRMAD_E_STORAGE, "");
}

TEST_DATABASES(schema_is_made_only_where_asked)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    const store_options plain = {.patience_s = 1}, look = {.read_only = true, .patience_s = 1};
    store *s = NULL;

    backend_url(b, url);
    CHECK_FAILS(ctx, store_open(ctx, url, &plain, &s), DRMAD_E_USAGE,
                b == BACKEND_SQLITE ? "no such file" : "drmad study create");
    CHECK_FAILS(ctx, store_open(ctx, url, &look, &s), DRMAD_E_USAGE, "");
    CHECK(s == NULL);
}

/* ---- Optuna's deletes ---- */

TEST_DATABASES(schema_lets_optuna_delete)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], n[16];
    const char *tables[] = {"drmad_leases", "drmad_artefacts", "drmad_versions"};
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool made;
    char sql[128], key[STORE_REQUEST_SIZE];
    store_options o = {.create = true, .patience_s = 5, .version = "1.2"};

    backend_url(b, url);
    CHECK_OK(ctx, store_open(ctx, url, &o, &s));
    CHECK_OK(ctx, store_study_create(s, "study", &down, 1, &study, &made));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l));
    CHECK_OK(ctx, store_artefact_put(s, &l, "net", "abc", 3));
    /* in the order in which its ORM does */
    backend_sql(url, "DELETE FROM trial_heartbeats; DELETE FROM trials; DELETE FROM "
                     "study_directions; DELETE FROM studies");
    for (size_t i = 0; i < COUNT(tables); i++) {
        snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM %s", tables[i]);
        backend_ask(url, sql, n, sizeof n);
        CHECK_STR(n, "0");
    }
    CHECK_FAILS(ctx, store_trial_attrs(s, &l, &(store_attr){"k", "1", false}, 1), DRMAD_E_LEASE,
                "deleted");
    store_request(s, key);
    CHECK_FAILS(ctx, store_trial_begin(s, study, -1, key, &l), DRMAD_E_USAGE, "no study");
    CHECK_FAILS(
        ctx,
        store_trial_add(s, study, &(store_trial){.state = TRIAL_WAITING}, NULL, &study, &l.number),
        DRMAD_E_USAGE, "no study");
    store_close(s);
    CHECK_OK(ctx, store_check(ctx, url, NULL, NULL));
}

/* Optuna's claim on SQLite reads, then writes by id: taken in between, the write must fail. */
TEST(schema_keeps_optuna_from_taking_what_runs)
{
    static const char *const late[] = {"RUNNING", "COMPLETE", "FAIL"};
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE], state[16];
    store *s = NULL;
    store_lease l;
    sqlite3 *other = NULL;
    int64_t study;
    bool made;
    double value = 1;
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    backend_url(BACKEND_SQLITE, url);
    CHECK_OK(ctx, backend_open(ctx, url, 5, 60, &s));
    CHECK_OK(ctx, store_study_create(s, "study", &down, 1, &study, &made));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l));
    CHECK_INT(sqlite3_open(url + 7, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "UPDATE trials SET state = 'RUNNING'", NULL, NULL, NULL),
              SQLITE_CONSTRAINT);
    CHECK_INT(sqlite3_exec(other, "UPDATE trials SET number = 0", NULL, NULL, NULL), SQLITE_OK);
    CHECK_OK(ctx, store_trial_tell(s, &l, &end));
    for (size_t i = 0; i < COUNT(late); i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "UPDATE trials SET state = '%s'", late[i]);
        CHECK_INT(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_CONSTRAINT);
    }
    sqlite3_close(other);
    backend_ask(url, "SELECT state FROM trials", state, sizeof state);
    CHECK_STR(state, "COMPLETE");
    store_close(s);
}
