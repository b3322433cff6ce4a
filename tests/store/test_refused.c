/* Stores that cannot be used: absent, closed to us, of another revision, locked, damaged. The
 * status says whether to try again, the message says what to do, and neither tells a secret. */
#include "backends.h"
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;

/* Opens, looks for a study, closes: the first thing that goes wrong. */
static drmad_status visit(drmad_ctx *ctx, const char *url, double patience_s)
{
    store *s = NULL;
    int64_t study;
    drmad_status st = backend_open(ctx, url, patience_s, 60, &s);

    if (st == DRMAD_OK) st = store_study_find(s, "study", &study);
    store_close(s);
    return st;
}

static void fill(const char *url, int trials)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    int64_t study, id, number;
    bool made;
    double value = 1;
    store_attr a = {"note", "\"something to fill pages with, again and again and again\"", false};
    store_trial t = {
        .state = TRIAL_COMPLETE, .n_values = 1, .values = &value, .n_attrs = 1, .attrs = &a};

    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_create(s, "study", &down, 1, &study, &made));
    for (int i = 0; i < trials; i++)
        CHECK_OK(ctx, store_trial_add(s, study, &t, NULL, &id, &number));
    store_close(s);
}

/* F28. */
TEST(refused_server_says_why_without_the_secret)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    double start = base_now();

    test_scratch();
    snprintf(url, sizeof url, "postgresql://drmad:5ecret-word@127.0.0.1:1/drmad");
    CHECK_FAILS(ctx, visit(ctx, url, 0.5), DRMAD_E_AGAIN, "127.0.0.1");
    CHECK(!strstr(drmad_errmsg(ctx), "5ecret"));
    snprintf(url, sizeof url, "postgresql://drmad@127.0.0.1:%d/drmad?password=5ecret-word",
             server_port());
    CHECK_FAILS(ctx, visit(ctx, url, 30), DRMAD_E_STORAGE, "password");
    CHECK(!strstr(drmad_errmsg(ctx), "5ecret"));
    snprintf(url, sizeof url, "postgresql://drmad:%s@127.0.0.1:%d/not_there", server_password(),
             server_port());
    CHECK_FAILS(ctx, visit(ctx, url, 30), DRMAD_E_STORAGE, "not_there");
    CHECK(!strstr(drmad_errmsg(ctx), server_password()));
    CHECK(base_now() - start < 15); /* what no time can mend is not tried again */
}

static void last_finding(void *user, int level, const char *text)
{
    if (level <= LOG_WARN) snprintf(user, 512, "%s", text);
}

/* F28: Optuna's tables are of another revision, older or newer: both are Optuna's to change. */
TEST_DATABASES(refused_other_revision)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], finding[512] = "";

    backend_url(b, url);
    fill(url, 1);
    CHECK_OK(ctx, visit(ctx, url, 1));
    CHECK_OK(ctx, store_check(ctx, url, last_finding, finding));
    CHECK_STR(finding, "");
    backend_sql(url, "UPDATE alembic_version SET version_num = 'v3.0.0.d'");
    CHECK_FAILS(ctx, visit(ctx, url, 30), DRMAD_E_STORAGE, "optuna storage upgrade");
    CHECK(strstr(drmad_errmsg(ctx), "v3.0.0.d"));
    CHECK_FAILS(ctx, store_check(ctx, url, last_finding, finding), DRMAD_E_STORAGE, "");
    CHECK(strstr(finding, "v3.0.0.d"));
    backend_sql(url, "UPDATE alembic_version SET version_num = 'v9.9.9.z'");
    CHECK_FAILS(ctx, visit(ctx, url, 30), DRMAD_E_STORAGE, "v9.9.9.z");
    CHECK_FAILS(ctx, store_upgrade(ctx, url), DRMAD_E_STORAGE, "v9.9.9.z");
    backend_sql(url, "UPDATE alembic_version SET version_num = 'v3.2.0.a'");
    CHECK_OK(ctx, visit(ctx, url, 1));
}

/* ---- SQLite: locked, damaged ---- */

/* F37: another writer holds the file for longer than we wait; when it lets go we go on. */
TEST(refused_while_sqlite_is_locked)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    sqlite3 *other = NULL;
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t stored = 0;
    double value = 1;
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    backend_url(BACKEND_SQLITE, url);
    fill(url, 1);
    CHECK_OK(ctx, backend_open(ctx, url, 0.5, 60, &s));
    CHECK_OK(ctx, store_study_find(s, "study", &study));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l));
    CHECK_INT(sqlite3_open(url + strlen("sqlite:"), &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    double start = base_now();
    CHECK_FAILS(ctx, store_trial_tell(s, &l, &end), DRMAD_E_AGAIN, "locked");
    CHECK(base_now() - start < 10);
    CHECK_OK(ctx, store_study_find(s, "study", &study)); /* reading goes on beside a writer */
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_OK(ctx, store_flush(s, &stored));
    CHECK_INT(stored, 1);
    sqlite3_close(other);
    store_close(s);
}

typedef struct damage {
    char text[512];
    int findings;
} damage;

static void note_damage(void *user, int level, const char *text)
{
    damage *d = user;

    if (level > LOG_WARN) return;
    if (d->findings++ == 0) snprintf(d->text, sizeof d->text, "%s", text);
}

static long file_size(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (long)info.st_size : 0;
}

static void copy_file(const char *from, const char *to)
{
    char cmd[2048];

    snprintf(cmd, sizeof cmd, "cp '%s' '%s'", from, to);
    CHECK_INT(system(cmd), 0);
}

static void flip(const char *path, long at, int n)
{
    unsigned char bytes[64];
    FILE *f = fopen(path, "r+b");

    CHECK(f != NULL);
    if (!f) return;
    CHECK(fseek(f, at, SEEK_SET) == 0 && fread(bytes, (size_t)n, 1, f) == 1);
    for (int i = 0; i < n; i++) bytes[i] = (unsigned char)~bytes[i];
    CHECK(fseek(f, at, SEEK_SET) == 0 && fwrite(bytes, (size_t)n, 1, f) == 1);
    fclose(f);
}

static void read_page_size(const char *path, long *page)
{
    unsigned char bytes[2] = {0};
    FILE *f = fopen(path, "rb");

    CHECK(f && fseek(f, 16, SEEK_SET) == 0 && fread(bytes, 2, 1, f) == 1);
    if (f) fclose(f);
    *page = bytes[0] * 256 + bytes[1];
    if (*page == 1) *page = 65536;
}

static void settle(const char *path) /* what lies in the log goes into the file */
{
    sqlite3 *db = NULL;

    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static drmad_status count_trial(void *user, const store_trial *t)
{
    *(int64_t *)user += t->n_values == 1;
    return DRMAD_OK;
}

/* Reads all that a worker reads: either it is all there or the damage is said. */
static bool reads_honestly(drmad_ctx *ctx, const char *url, int64_t trials)
{
    store *s = NULL;
    int64_t study, n = 0;
    drmad_status st = backend_open(ctx, url, 1, 60, &s);

    if (st == DRMAD_OK) st = store_study_find(s, "study", &study);
    if (st == DRMAD_OK) st = store_trial_each(s, study, -1, STATES_ALL, count_trial, &n);
    store_close(s);
    return st == DRMAD_E_STORAGE || (st == DRMAD_OK && n == trials);
}

/* F37: the head of every page is damaged in turn. The check says so and names the file, a worker
 * gets all or E_STORAGE, and neither repairs anything. */
TEST(refused_damaged_pages_are_found)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], hurt[512], hurt_url[BACKEND_URL_SIZE + 512];
    long page;
    int trials = 200;

    backend_url(BACKEND_SQLITE, url);
    fill(url, trials);
    const char *path = url + strlen("sqlite:");
    settle(path);
    read_page_size(path, &page);
    long pages = file_size(path) / page, step = pages > 40 ? pages / test_count(20, 200) + 1 : 1;
    CHECK(pages >= 14);
    snprintf(hurt, sizeof hurt, "%s/hurt.db", backend_scratch());
    snprintf(hurt_url, sizeof hurt_url, "sqlite:%s", hurt);
    for (long i = 0; i < pages; i += step) {
        damage d = {.findings = 0};
        copy_file(path, hurt);
        flip(hurt, i * page, i == 0 ? 40 : 12);
        long size = file_size(hurt);
        CHECK_FAILS(ctx, store_check(ctx, hurt_url, note_damage, &d), DRMAD_E_STORAGE, "hurt.db");
        if (d.findings == 0) test_fail(__FILE__, __LINE__, "page %ld: no finding", i + 1);
        CHECK_INT(file_size(hurt), size);
        if (!reads_honestly(ctx, hurt_url, trials))
            test_fail(__FILE__, __LINE__, "page %ld: status of a read: %s", i + 1,
                      drmad_errmsg(ctx));
    }
    CHECK_OK(ctx, store_check(ctx, url, note_damage, &(damage){.findings = 0}));
}

TEST(refused_file_of_another_kind)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];

    backend_url(BACKEND_SQLITE, url);
    FILE *f = fopen(url + strlen("sqlite:"), "w");
    CHECK(f != NULL);
    for (int i = 0; f && i < 1000; i++) fprintf(f, "this is a diary\n");
    if (f) fclose(f);
    CHECK_FAILS(ctx, visit(ctx, url, 1), DRMAD_E_STORAGE, "runs.db");
}

/* ---- F39: secrets that others can read ---- */

static void write_secret(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    CHECK(f && fputs(text, f) >= 0);
    if (f) fclose(f);
    CHECK_INT(chmod(path, mode), 0);
}

TEST(refused_password_file_that_others_read)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], with[BACKEND_URL_SIZE + 600], path[512], line[256];

    backend_url(BACKEND_POSTGRES, url);
    fill(url, 0);
    *strchr(url, '?') = '\0';
    snprintf(path, sizeof path, "%s/mypass", backend_scratch());
    snprintf(line, sizeof line, "*:*:*:drmad:%s\n", server_password());
    write_secret(path, line, 0644);
    snprintf(with, sizeof with, "%s?passfile=%s", url, path);
    CHECK_FAILS(ctx, visit(ctx, with, 5), DRMAD_E_UNSAFE, path);
    CHECK(strstr(drmad_errmsg(ctx), "chmod 600"));
    setenv("PGPASSFILE", path, 1);
    CHECK_FAILS(ctx, visit(ctx, url, 5), DRMAD_E_UNSAFE, path);
    CHECK_INT(chmod(path, 0640), 0);
    CHECK_FAILS(ctx, visit(ctx, url, 5), DRMAD_E_UNSAFE, path);
    CHECK_INT(chmod(path, 0400), 0);
    CHECK_OK(ctx, visit(ctx, url, 5));
    unsetenv("PGPASSFILE");
    CHECK_OK(ctx, visit(ctx, with, 5));
}

/* A mounted secret of Kubernetes is a link to a file of root's in a folder that is closed anyway:
 * a file of the user's own is what is meant. */
TEST(refused_service_file_that_others_read)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], path[512], text[512], name[64];

    backend_url(BACKEND_POSTGRES, url);
    fill(url, 0);
    const char *at = strstr(url, "/test_");
    snprintf(name, sizeof name, "%.*s", at ? (int)strcspn(at + 1, "?") : 0, at ? at + 1 : "");
    snprintf(path, sizeof path, "%s/services", backend_scratch());
    snprintf(text, sizeof text,
             "[trials]\nhost=127.0.0.1\nport=%d\nuser=drmad\npassword=%s\ndbname=%s\n",
             server_port(), server_password(), name);
    write_secret(path, text, 0644);
    setenv("PGSERVICEFILE", path, 1);
    CHECK_FAILS(ctx, visit(ctx, "postgresql://?service=trials", 5), DRMAD_E_UNSAFE, path);
    CHECK(!strstr(drmad_errmsg(ctx), server_password()));
    CHECK_INT(chmod(path, 0600), 0);
    CHECK_OK(ctx, visit(ctx, "postgresql://?service=trials", 5));
    setenv("PGSERVICE", "trials", 1);
    CHECK_OK(ctx, visit(ctx, "postgresql://", 5));
    unsetenv("PGSERVICE"), unsetenv("PGSERVICEFILE");
}

/* The whole URL, secret and all, by the environment; no message and no store_url shows it. */
TEST(refused_messages_keep_the_environments_secret)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], full[BACKEND_URL_SIZE];
    store *s = NULL;

    backend_url(BACKEND_POSTGRES, url);
    *strchr(url, '?') = '\0';
    const char *at = strchr(url, '@');
    snprintf(full, sizeof full, "postgresql://drmad:%s%s", server_password(), at ? at : "");
    setenv("DRMAD_STORAGE", full, 1);
    CHECK_OK(ctx, backend_open(ctx, "", 5, 60, &s));
    CHECK(s && !strstr(store_url(s), server_password()));
    CHECK(s && strstr(store_url(s), "127.0.0.1"));
    int64_t study;
    if (s) CHECK_FAILS(ctx, store_study_find(s, "none", &study), DRMAD_E_USAGE, "none");
    CHECK(!strstr(drmad_errmsg(ctx), server_password()));
    unsetenv("DRMAD_STORAGE");
    store_close(s);
}
