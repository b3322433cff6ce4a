/* What `drmad store check` finds: each kind of damage by itself, with the place and what to do; and
 * that looking changes nothing. */
#include "backends.h"
#include <sys/stat.h>

static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}";

typedef struct findings {
    int errors, warnings;
    char text[2048];
} findings;

static void take_finding(void *user, int level, const char *text)
{
    findings *f = user;
    const size_t used = strlen(f->text);

    f->errors += level == LOG_ERROR, f->warnings += level == LOG_WARN;
    snprintf(f->text + used, sizeof f->text - used, "%s\n", text);
}

/* Three trials: complete, running, waiting. */
static void fill(const char *url)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    store_lease l;
    int64_t study, id, number;
    bool made;
    const double value = 1;
    const store_report r = {1, 2};
    const store_param p = {"lr", 0.5, lr_dist};
    const store_trial end = {
        .state = TRIAL_COMPLETE, .n_values = 1, .values = &value, .n_reports = 1, .reports = &r};

    CHECK_OK(ctx, backend_open(ctx, url, 5, 600, &s));
    CHECK_OK(ctx, store_study_create(s, "my study", &down, 1, &study, &made));
    CHECK_OK(ctx, store_trial_begin(s, study, -1, NULL, &l));
    CHECK_OK(ctx, store_trial_params(s, &l, &p, 1, NULL));
    CHECK_OK(ctx, store_trial_tell(s, &l, &end));
    CHECK_OK(ctx, store_trial_begin(s, study, -1, NULL, &l));
    CHECK_OK(ctx,
             store_trial_add(s, study, &(store_trial){.state = TRIAL_WAITING}, NULL, &id, &number));
    store_close(s);
}

typedef struct damage {
    const char *sql, *undo, *says;
    bool error, sqlite_only;
} damage;

static const damage kinds[] = {
    {"UPDATE trial_values SET value = NULL", "UPDATE trial_values SET value = 1", "value_type",
     true, false},
    {"UPDATE trial_intermediate_values SET intermediate_value = NULL",
     "UPDATE trial_intermediate_values SET intermediate_value = 1", "intermediate value", true,
     false},
    {"UPDATE trial_values SET value_type = 'HUGE'", "UPDATE trial_values SET value_type = 'FINITE'",
     "value_type", true, true},
    {"UPDATE trials SET state = 'DONE' WHERE number = 2",
     "DROP TRIGGER drmad_trial_taken; UPDATE trials SET state = 'WAITING' WHERE number = 2",
     "state", true, true},
    {"UPDATE trial_params SET distribution_json = '{\"name\": \"X\"}'",
     "UPDATE trial_params SET distribution_json = '{\"name\": \"FloatDistribution\", "
     "\"attributes\": {\"step\": null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}'",
     "distribution", true, false},
    {"UPDATE trials SET number = 7 WHERE number = 2",
     "UPDATE trials SET number = 2 WHERE number = 7", "expected 0 to 2", false, false},
    {"UPDATE trials SET number = 1 WHERE number = 2",
     "UPDATE trials SET number = 2 WHERE trial_id = 3", "numbers", false, false},
    {"UPDATE drmad_leases SET expires = expires - 10000 WHERE trial_id = 2",
     "UPDATE drmad_leases SET expires = expires + 10000 WHERE trial_id = 2", "not renewed", false,
     false},
    {"INSERT INTO trials (number, study_id, state) VALUES (3, 1, 'RUNNING')",
     "DELETE FROM trials WHERE number = 3", "without lease", false, false},
    {"INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (77, 0, 1, "
     "'FINITE')",
     "DELETE FROM trial_values WHERE trial_id = 77", "belong to nothing", false, true},
    {"INSERT INTO trials (number, study_id, state) VALUES (3, 1, 'COMPLETE')",
     "DELETE FROM trials WHERE number = 3", "COMPLETE without", true, false},
    {"ALTER TABLE trial_params RENAME COLUMN param_value TO old_value",
     "ALTER TABLE trial_params RENAME COLUMN old_value TO param_value", "trial_params.param_value",
     true, false},
    {"DELETE FROM alembic_version", "INSERT INTO alembic_version VALUES ('v3.2.0.a')", "half made",
     true, false},
    {"ALTER TABLE drmad_leases RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO drmad_leases",
     "half made", true, false},
};

TEST_DATABASES(check_finds_each_damage)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    findings f = {0};

    backend_url(b, url);
    fill(url);
    CHECK_OK(ctx, store_check(ctx, url, take_finding, &f));
    CHECK_STR(f.text, "");
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const damage *k = &kinds[i];
        if (k->sqlite_only && b != BACKEND_SQLITE) continue;
        f = (findings){0};
        backend_sql(url, k->sql);
        const drmad_status st = store_check(ctx, url, take_finding, &f);
        if (st != (k->error ? DRMAD_E_STORAGE : DRMAD_OK) || !strstr(f.text, k->says) ||
            (k->error ? f.errors : f.warnings) < 1)
            test_fail(__FILE__, __LINE__, "%s: status %d, found: %s", k->sql, (int)st, f.text);
        backend_sql(url, k->undo);
    }
    f = (findings){0};
    CHECK_OK(ctx, store_check(ctx, url, take_finding, &f));
    CHECK_STR(f.text, "");
}

TEST(check_makes_and_changes_nothing)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    struct stat before, after;

    backend_url(BACKEND_SQLITE, url);
    const char *path = url + strlen("sqlite:");
    CHECK_FAILS(ctx, store_check(ctx, url, NULL, NULL), DRMAD_E_USAGE, "no such file");
    CHECK(stat(path, &before) != 0);
    fill(url);
    CHECK(stat(path, &before) == 0);
    CHECK_OK(ctx, store_check(ctx, url, NULL, NULL));
    CHECK(stat(path, &after) == 0 && before.st_size == after.st_size &&
          before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
          before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}
