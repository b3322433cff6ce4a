/* Results that could not be stored: what the spool keeps is the whole result, private, for this
 * store alone; what is there by accident or malice is left alone. And where it lies. */
#include "backends.h"
#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;

typedef struct scene {
    drmad_ctx *ctx;
    store *s;
    sqlite3 *other; /* holds the file */
    int64_t study;
    store_lease lease;
    char url[BACKEND_URL_SIZE], spool[300];
} scene;

static void lock(scene *c)
{
    CHECK_INT(sqlite3_exec(c->other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

static void unlock(scene *c)
{
    CHECK_INT(sqlite3_exec(c->other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
}

static scene scene_open(void)
{
    scene c = {.ctx = test_ctx()};
    char key[STORE_REQUEST_SIZE];
    bool made;

    backend_url(BACKEND_SQLITE, c.url);
    snprintf(c.spool, sizeof c.spool, "%s/spool", backend_scratch());
    CHECK_OK(c.ctx, backend_open(c.ctx, c.url, 0.3, 60, &c.s));
    if (!c.s) abort();
    CHECK_OK(c.ctx, store_study_create(c.s, "study", &down, 1, &c.study, &made));
    store_request(c.s, key);
    CHECK_OK(c.ctx, store_trial_begin(c.s, c.study, -1, key, &c.lease));
    CHECK_INT(sqlite3_open(c.url + strlen("sqlite:"), &c.other), SQLITE_OK);
    return c;
}

static void scene_close(scene *c)
{
    sqlite3_close(c->other);
    store_close(c->s);
}

/* Files of the spool; the last one's path. */
static int spooled(const scene *c, char path[600])
{
    int n = 0;
    DIR *d = opendir(c->spool);

    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, 600, "%s/%s", c->spool, e->d_name);
        n++;
    }
    if (d) closedir(d);
    return n;
}

static drmad_status check_whole(void *user, const store_trial *t)
{
    (void)user;
    CHECK_INT(t->state, TRIAL_COMPLETE);
    CHECK(t->n_values == 1 && t->values[0] == -(double)INFINITY);
    CHECK_INT(t->n_reports, 3);
    CHECK(t->reports[0].value == 0.1 && isnan(t->reports[1].value));
    CHECK(t->reports[2].step == 9 && t->reports[2].value == (double)INFINITY);
    CHECK_INT(t->n_attrs, 2);
    CHECK_STR(t->attrs[0].key, "a \"quoted\" \xF0\x9F\x94\xA5");
    CHECK_STR(t->attrs[0].json, "{\"x\": [1, \"\\u0000\\n\"]}");
    CHECK(t->attrs[1].system);
    return DRMAD_OK;
}

TEST(spool_keeps_the_whole_result)
{
    scene c = scene_open();
    const double low = -(double)INFINITY;
    const store_report r[] = {{1, 0.1}, {2, (double)NAN}, {9, (double)INFINITY}};
    const store_attr a[] = {
        {"a \"quoted\" \xF0\x9F\x94\xA5", "{\"x\": [1, \"\\u0000\\n\"]}", false},
        {"s", "null", true}};
    const store_trial end = {.state = TRIAL_COMPLETE,
                             .n_values = 1,
                             .values = &low,
                             .n_reports = 3,
                             .reports = r,
                             .n_attrs = 2,
                             .attrs = a};
    char path[600];
    struct stat info;
    int32_t stored = -1;

    CHECK_OK(c.ctx, store_flush(c.s, &stored)); /* nothing was ever kept */
    CHECK_INT(stored, 0);
    lock(&c);
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &c.lease, &end), DRMAD_E_AGAIN, c.spool);
    CHECK_INT(spooled(&c, path), 1);
    CHECK(lstat(path, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0777) == 0600);
    CHECK_FAILS(c.ctx, store_flush(c.s, &stored), DRMAD_E_AGAIN, "locked");
    CHECK_INT(spooled(&c, path), 1);
    unlock(&c);
    CHECK_OK(c.ctx, store_flush(c.s, &stored));
    CHECK_INT(stored, 1);
    CHECK_INT(spooled(&c, path), 0);
    CHECK_OK(c.ctx, store_trial_read(c.s, c.study, c.lease.trial, check_whole, NULL));
    scene_close(&c);
}

/* The trial was failed meanwhile: the late result is dropped, with a line in the log. */
TEST(spool_drops_what_comes_too_late)
{
    scene c = scene_open();
    const double value = 1;
    const store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
    char path[600];
    int32_t stored = -1;

    lock(&c);
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &c.lease, &end), DRMAD_E_AGAIN, "");
    unlock(&c);
    backend_sql(c.url, "UPDATE trials SET state = 'FAIL'");
    CHECK_OK(c.ctx, store_flush(c.s, &stored));
    CHECK_INT(stored, 0);
    CHECK_INT(spooled(&c, path), 0);
    scene_close(&c);
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    CHECK(f && fputs(text, f) >= 0);
    if (f) fclose(f);
    CHECK_INT(chmod(path, mode), 0);
}

/* Half a file, another store's, one that others can write, a link: none is told, none removed. */
TEST(spool_leaves_strange_files_alone)
{
    scene c = scene_open();
    const double value = 1;
    const store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
    char path[600], more[1300], id[64];
    int32_t stored = -1;

    lock(&c);
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &c.lease, &end), DRMAD_E_AGAIN, "");
    unlock(&c);
    CHECK_INT(spooled(&c, path), 1);
    backend_ask(c.url, "SELECT store FROM drmad_schema", id, sizeof id);
    CHECK(strstr(path, id) != NULL);
    CHECK_INT(chmod(path, 0622), 0);
    snprintf(more, sizeof more, "%s/%s-1-1.json", c.spool, id);
    write_text(more, "{\"url\": \"sqlite:x\", \"study\": 1, \"tri", 0600);
    snprintf(more, sizeof more, "%s/%s-1-2.json", c.spool, id);
    CHECK_INT(symlink(path, more), 0);
    snprintf(more, sizeof more, "%s/0123456789abcdef-1-2.json", c.spool);
    write_text(more, "{}", 0600);
    CHECK_OK(c.ctx, store_flush(c.s, &stored));
    CHECK_INT(stored, 0);
    CHECK_INT(spooled(&c, more), 4);
    CHECK_INT(chmod(path, 0600), 0);
    CHECK_OK(c.ctx, store_flush(c.s, &stored));
    CHECK_INT(stored, 1);
    scene_close(&c);
}

/* Without a folder named: the user's state, as XDG has it. */
TEST(spool_lies_with_the_users_state)
{
    scene c = scene_open();
    const store_options o = {.patience_s = 0.2};
    const store_trial end = {.state = TRIAL_FAIL};
    char state[300], want[400];
    store *s = NULL;

    snprintf(state, sizeof state, "%s/state", backend_scratch());
    snprintf(want, sizeof want, "%s/drmad/spool", state);
    setenv("XDG_STATE_HOME", state, 1);
    CHECK_OK(c.ctx, store_open(c.ctx, c.url, &o, &s));
    unsetenv("XDG_STATE_HOME");
    lock(&c);
    CHECK_FAILS(c.ctx, store_trial_tell(s, &c.lease, &end), DRMAD_E_AGAIN, want);
    unlock(&c);
    store_close(s);
    scene_close(&c);
}

/* A spool that cannot be written does not hide why the store could not be. */
TEST(spool_that_cannot_be_made_says_so_in_the_log)
{
    scene c = scene_open();
    const store_trial end = {.state = TRIAL_FAIL};

    write_text(c.spool, "a file where the folder should be", 0600);
    lock(&c);
    CHECK_FAILS(c.ctx, store_trial_tell(c.s, &c.lease, &end), DRMAD_E_AGAIN, "locked");
    unlock(&c);
    scene_close(&c);
}
