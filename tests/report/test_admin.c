/* The public calls that look after a store: settings, results, watching, failing memory. */
#include "drmad/store.h"
#include "store/store.h"
#include "test.h"
#include <pthread.h>
#include <unistd.h>

static const char *const create[] = {"create=true"};

typedef struct url {
    char text[1100];
} url;

static url url_in(const char *folder)
{
    url u;

    snprintf(u.text, sizeof u.text, "sqlite:%s/admin.db", folder);
    return u;
}

static drmad_store *open_store(drmad_ctx *ctx, const char *folder)
{
    drmad_store *s = NULL;
    const url u = url_in(folder);

    CHECK_OK(ctx, drmad_store_open(ctx, u.text, create, 1, &s));
    return s;
}

/* A finished trial beside the public calls, as a worker would store it. */
static void finish_one(drmad_ctx *ctx, const char *folder, const char *name, double value)
{
    const store_trial t = {.state = TRIAL_COMPLETE,
                           .start = "2026-01-02 03:04:05.000006",
                           .complete = "2026-01-02 03:04:05.000006",
                           .n_values = 1,
                           .values = &value};
    const store_options o = {0};
    const url u = url_in(folder);
    char key[STORE_REQUEST_SIZE];
    int64_t study, id, number;
    store *s = NULL;

    CHECK_OK(ctx, store_open(ctx, u.text, &o, &s));
    CHECK_OK(ctx, store_study_find(s, name, &study));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_add(s, study, &t, key, &id, &number));
    store_close(s);
}

TEST(a_study_is_made_found_and_deleted)
{
    drmad_ctx *ctx = test_ctx();
    drmad_store *s = open_store(ctx, test_scratch());
    int made = 0;

    CHECK_OK(ctx, drmad_store_create(s, "a", "minimize,maximize", &made));
    CHECK_INT(made, 1);
    CHECK_OK(ctx, drmad_store_create(s, "a", "minimize,maximize", &made));
    CHECK_INT(made, 0);
    CHECK_FAILS(ctx, drmad_store_create(s, "a", "minimize", &made), DRMAD_E_USAGE, "\"a\"");
    CHECK_STR(drmad_store_result_json(s), "");
    CHECK_OK(ctx, drmad_store_list(s));
    CHECK(strstr(drmad_store_result_json(s), "\"name\":\"a\"") != NULL);
    CHECK(strstr(drmad_store_result_text(s), "minimize,maximize  a") != NULL);
    CHECK_OK(ctx, drmad_store_delete(s, "a"));
    CHECK_FAILS(ctx, drmad_store_delete(s, "a"), DRMAD_E_USAGE, "\"a\"");
    CHECK_FAILS(ctx, drmad_store_show(s, "a"), DRMAD_E_USAGE, "\"a\"");
    CHECK_STR(drmad_store_result_json(s), "");
    CHECK_STR(drmad_store_result_text(s), "");
    drmad_store_close(s);
}

TEST(wrong_settings_are_named)
{
    drmad_ctx *ctx = test_ctx();
    drmad_store *s = open_store(ctx, test_scratch()), *none = NULL;
    char place[64];
    int made;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"patience", "\"patience\" is no setting"},
        {"patiense=1", "\"patiense\" is no setting"},
        {"patience=soon", "patience=soon: expected a number"},
        {"create=yes", "create=yes: expected true or false"},
        {"read_only=", "read_only=: expected true or false"},
    };

    for (size_t i = 0; i < COUNT(wrong); i++) {
        CHECK_FAILS(ctx, drmad_store_open(ctx, "sqlite:x", &wrong[i].text, 1, &none), DRMAD_E_USAGE,
                    wrong[i].says);
        CHECK(none == NULL);
    }
    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    CHECK_FAILS(ctx, drmad_store_create(s, "t", "minimize,", &made), DRMAD_E_USAGE, "minimize,");
    CHECK_FAILS(ctx, drmad_store_create(s, "t", "", &made), DRMAD_E_USAGE, "expected minimize");
    CHECK_FAILS(ctx, drmad_store_trials(s, "s", (const char *[]){"after=x"}, 1), DRMAD_E_USAGE,
                "a whole number");
    CHECK_FAILS(ctx, drmad_store_trials(s, "s", (const char *[]){"states=DONE"}, 1), DRMAD_E_USAGE,
                "state DONE");
    CHECK_FAILS(ctx, drmad_store_export(s, "s", (const char *[]){"desc=1"}, 1), DRMAD_E_USAGE,
                "desc=1");
    CHECK_FAILS(ctx, drmad_store_import_hypero(s, "sqlite:x", NULL, 0), DRMAD_E_USAGE,
                "postgresql://");
    CHECK_FAILS(ctx, drmad_store_hypero_views(s, NULL, 0), DRMAD_E_USAGE, "PostgreSQL");
    CHECK_FAILS(ctx,
                drmad_store_start_local(ctx, (const char *[]){"max_connections=-1"}, 1, place,
                                        sizeof place),
                DRMAD_E_USAGE, "max_connections=-1");
    drmad_store_close(s);
}

TEST(trials_are_chosen_by_id_and_state)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    for (int i = 0; i < 3; i++) finish_one(ctx, folder, "s", i);
    CHECK_OK(ctx,
             drmad_store_trials(s, "s", (const char *[]){"after=2", "states=COMPLETE,FAIL"}, 2));
    CHECK(strstr(drmad_store_result_json(s), "\"number\":2") != NULL);
    CHECK(strstr(drmad_store_result_json(s), "\"number\":1") == NULL);
    CHECK_STR(drmad_store_result_text(s), "trial 2     COMPLETE 2.0\n");
    CHECK_OK(ctx, drmad_store_trials(s, "s", (const char *[]){"states=PRUNED"}, 1));
    CHECK_STR(drmad_store_result_text(s), "");
    drmad_store_close(s);
}

TEST(a_table_goes_to_a_file)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    char setting[1100], line[64] = "";
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    snprintf(setting, sizeof setting, "file=%s/t.csv", folder);
    CHECK_OK(ctx, drmad_store_export(s, "s", (const char *[]){setting}, 1));
    CHECK_STR(drmad_store_result_text(s), "");
    FILE *f = fopen(setting + 5, "r");
    CHECK(f && fgets(line, sizeof line, f));
    CHECK_STR(line, "number,state,version\n");
    if (f) fclose(f);
    drmad_store_close(s);
}

/* ---- watching ---- */

typedef struct seen {
    drmad_ctx *ctx; /* stopped at the `most`th trial */
    int n, most;
    char last[64];
    drmad_status give;
} seen;

static drmad_status on_trial(void *user, const char *json, const char *text)
{
    seen *w = user;

    CHECK(strstr(json, "\"state\":\"COMPLETE\"") != NULL);
    snprintf(w->last, sizeof w->last, "%s", text);
    if (++w->n == w->most) drmad_ctx_stop(w->ctx, 15);
    return w->give;
}

TEST(watching_begins_where_it_is_told)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    seen w = {.ctx = ctx, .most = 2};
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    for (int i = 0; i < 2; i++) finish_one(ctx, folder, "s", i);
    CHECK_OK(ctx, drmad_store_watch(s, "s", 1, 0.01, on_trial, &w));
    CHECK_INT(w.n, 2);
    CHECK_STR(w.last, "trial 1     COMPLETE 1.0");
    CHECK_OK(ctx, drmad_store_list(s)); /* the request to stop was heard, and is over */
    w = (seen){.ctx = ctx, .most = -1, .give = DRMAD_E_IO};
    CHECK_INT(drmad_store_watch(s, "s", 1, 0.01, on_trial, &w), DRMAD_E_IO);
    CHECK_INT(w.n, 1);
    CHECK_FAILS(ctx, drmad_store_watch(s, "t", 1, 0.01, on_trial, &w), DRMAD_E_USAGE, "\"t\"");
    drmad_store_close(s);
}

typedef struct writer {
    const char *folder;
    int n;
} writer;

static void *write_trials(void *user)
{
    const writer *w = user;
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL); /* a context is one thread's */

    for (int i = 0; i < w->n; i++) {
        usleep(20000);
        finish_one(ctx, w->folder, "s", i);
    }
    drmad_ctx_free(ctx);
    return NULL;
}

TEST(watching_gives_each_new_trial_once)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    seen w = {.ctx = ctx, .most = 10};
    writer others = {folder, 10};
    pthread_t thread;
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    CHECK_INT(pthread_create(&thread, NULL, write_trials, &others), 0);
    /* `all`, for the first may be finished before the watching begins */
    CHECK_OK(ctx, drmad_store_watch(s, "s", 1, 0.005, on_trial, &w));
    pthread_join(thread, NULL);
    CHECK_INT(w.n, 10);
    CHECK_STR(w.last, "trial 9     COMPLETE 9.0");
    drmad_store_close(s);
}

/* Begins three trials and ends them, the first one last. */
static void *run_trials(void *user)
{
    const writer *w = user;
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const store_options o = {0};
    const url u = url_in(w->folder);
    store_lease l[3];
    int64_t study;
    store *s = NULL;

    CHECK_OK(ctx, store_open(ctx, u.text, &o, &s));
    CHECK_OK(ctx, store_study_find(s, "s", &study));
    for (int i = 0; i < 3; i++) {
        char key[STORE_REQUEST_SIZE];

        store_request(s, key);
        CHECK_OK(ctx, store_trial_begin(s, study, -1, key, &l[i]));
    }
    for (int i = 2; i >= 0; i--) {
        const double value = i;
        const store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

        usleep(50000); /* the watcher looks in between */
        CHECK_OK(ctx, store_trial_tell(s, &l[i], &end));
    }
    store_close(s);
    drmad_ctx_free(ctx);
    return NULL;
}

TEST(watching_sees_trials_that_end_out_of_order)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    seen w = {.ctx = ctx, .most = 3};
    writer others = {folder, 3};
    pthread_t thread;
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    CHECK_INT(pthread_create(&thread, NULL, run_trials, &others), 0);
    CHECK_OK(ctx, drmad_store_watch(s, "s", 1, 0.005, on_trial, &w));
    pthread_join(thread, NULL);
    CHECK_INT(w.n, 3);
    CHECK_STR(w.last, "trial 0     COMPLETE 0.0");
    drmad_store_close(s);
}

/* ---- memory ---- */

static drmad_status all_calls(drmad_ctx *ctx, void *arg)
{
    const url u = url_in(arg);
    static const char *const json[] = {"format=json"};
    drmad_store *s = NULL;
    drmad_status st = drmad_store_open(ctx, u.text, NULL, 0, &s);

    if (st == DRMAD_OK) st = drmad_store_list(s);
    if (st == DRMAD_OK) st = drmad_store_show(s, "s");
    if (st == DRMAD_OK) st = drmad_store_best(s, "s");
    if (st == DRMAD_OK) st = drmad_store_trials(s, "s", NULL, 0);
    if (st == DRMAD_OK) st = drmad_store_export(s, "s", NULL, 0);
    if (st == DRMAD_OK) st = drmad_store_export(s, "s", json, 1);
    drmad_store_close(s);
    return st;
}

TEST(reports_survive_every_failed_allocation)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    drmad_store *s = open_store(ctx, folder);
    int made;

    CHECK_OK(ctx, drmad_store_create(s, "s", "minimize", &made));
    drmad_store_close(s);
    finish_one(ctx, folder, "s", 0.5);
    test_oom(all_calls, (void *)folder);
}
