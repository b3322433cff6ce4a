/* The journal: what Optuna wrote is read by Optuna's rules, what we write is read back, a lease
 * ends with its running, artefacts lie beside it. */
#include "journal_desk.h"
#include <unistd.h>

#define LR                                                                                         \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 0.0, "            \
    "\"high\": 1.0, \"log\": false}}"
#define LR_LOG                                                                                     \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": "                 \
    "0.001, \"high\": 1.0, \"log\": true}}"

static const study_direction minimize[] = {DIRECTION_MINIMIZE};

/* ---- Optuna's rules ---- */

/* Lines as Optuna 4.9 and 5.0 write them; those marked "rejected" change nothing. */
static const char optuna_lines[] =
    "{\"op_code\":0,\"worker_id\":\"w-1\",\"study_name\":\"study\",\"directions\":"
    "[1]}\n"
    "{\"op_code\":0,\"worker_id\":\"w-2\",\"study_name\":\"study\",\"directions\":"
    "[2]}\n" /* rejected */
    "{\"op_code\":0,\"worker_id\":\"w-2\",\"study_name\":\"gone\",\"directions\":["
    "2]}\n"
    "{\"op_code\":4,\"worker_id\":\"w-2\",\"study_id\":1,\"datetime_start\":null,"
    "\"state\":4}\n"
    "{\"op_code\":1,\"worker_id\":\"w-2\",\"study_id\":1}\n"
    "{\"op_code\":4,\"worker_id\":\"w-2\",\"study_id\":1,\"datetime_start\":null}"
    "\n" /* rejected */
    "{\"op_code\":4,\"worker_id\":\"w-1\",\"study_id\":0,"
    "\"datetime_start\":\"2026-01-31T12:00:00.000001+00:00\"}\n"
    "{\"op_code\":5,\"worker_id\":\"w-1\",\"trial_id\":1,\"param_name\":\"x\","
    "\"param_value_internal\":0.5,\"distribution\":\"{\\\"name\\\": "
    "\\\"FloatDistribution\\\", "
    "\\\"attributes\\\": {\\\"step\\\": null, \\\"low\\\": 0.0, \\\"high\\\": "
    "1.0, \\\"log\\\": "
    "false}}\"}\n"
    "{\"op_code\":7,\"worker_id\":\"w-1\",\"trial_id\":1,\"step\":3,"
    "\"intermediate_value\":NaN}\n"
    "{\"op_code\":7,\"worker_id\":\"w-1\",\"trial_id\":1,\"step\":1,"
    "\"intermediate_value\":Infinity}\n"
    "{\"op_code\":8,\"worker_id\":\"w-1\",\"trial_id\":1,\"user_attr\":{\"k\":[1,"
    "NaN]}}\n"
    "{\"op_code\":8,\"worker_id\":\"w-1\",\"trial_id\":1,\"user_attr\":{\"k\":"
    "\"\\u00e9\"}}\n"
    "{\"op_code\":10,\"worker_id\":\"w-1\",\"trial_ids\":[0]}\n"
    "{\"op_code\":6,\"worker_id\":\"w-1\",\"trial_id\":1,\"state\":1,\"values\":[-"
    "Infinity],"
    "\"datetime_complete\":\"2026-01-31T13:00:00.000001+01:00\"}\n"
    "{\"op_code\":8,\"worker_id\":\"w-1\",\"trial_id\":1,\"user_attr\":{\"late\":"
    "1}}\n" /* rejected */
    "{\"op_code\":4,\"worker_id\":\"w-1\",\"study_id\":0,\"datetime_start\":null,"
    "\"state\":4,"
    "\"value\":null,\"values\":null,\"distributions\":{},\"params\":{},\"user_"
    "attrs\":{},"
    "\"system_attrs\":{\"fixed_params\":{\"x\":0.25}},\"intermediate_values\":{}}"
    "\n"
    "{\"op_code\":6,\"worker_id\":\"w-1\",\"trial_id\":2,\"state\":0,\"values\":"
    "null,"
    "\"datetime_start\":\"2026-01-31T12:00:00.000002+00:00\"}\n"
    "{\"op_code\":6,\"worker_id\":\"w-2\",\"trial_id\":2,\"state\":0,\"values\":"
    "null,"
    "\"datetime_start\":\"2026-01-31T12:00:09.000002+00:00\"}\n" /* rejected */
    "{\"op_code\":5,\"worker_id\":\"w-1\",\"trial_id\":2,\"param_name\":\"x\","
    "\"param_value_internal\":0.5,\"distribution\":\"{\\\"name\\\": "
    "\\\"FloatDistribution\\\", "
    "\\\"attributes\\\": {\\\"step\\\": null, \\\"low\\\": 0.1, \\\"high\\\": "
    "1.0, \\\"log\\\": "
    "true}}\"}\n" /* rejected */
    "{\"op_code\":5,\"worker_id\":\"w-1\",\"trial_id\":2,\"param_name\":\"x\","
    "\"param_value_internal\":0.25,\"distribution\":\"{\\\"name\\\": "
    "\\\"FloatDistribution\\\", "
    "\\\"attributes\\\": {\\\"step\\\": null, \\\"low\\\": -1.0, \\\"high\\\": "
    "2.0, \\\"log\\\": "
    "false}}\"}\n"
    "{\"op_code\":9,\"worker_id\":\"w-1\",\"trial_id\":77,\"system_attr\":{\"a\":"
    "1}}\n" /* rejected */
    "{\"op_code\":4,\"worker_id\":\"w-1\",\"study_id\":0,\"datetime_start\":"
    "\"2026-01-31T12:00:00+00:00\",\"state\":2,\"value\":2.5,\"values\":null,"
    "\"datetime_complete\":\"2026-01-31T12:00:01+00:00\",\"distributions\":{\"c\":"
    "\"{\\\"name\\\": "
    "\\\"CategoricalDistribution\\\", \\\"attributes\\\": {\\\"choices\\\": "
    "[null, \\\"a\\\"]}}\"},"
    "\"params\":{\"c\":1},\"user_attrs\":{\"u\":1},\"system_attrs\":{},"
    "\"intermediate_values\":{\"10\":2.5,\"9\":3.0}}\n";

static drmad_status check_times(void *user, const store_trial *t)
{
    (void)user;
    CHECK_STR(t->start, "2026-01-31 12:00:00.000001");
    CHECK_STR(t->complete, "2026-01-31 12:00:00.000001"); /* (an hour east) */
    CHECK(!t->worker && !t->version);
    return DRMAD_OK;
}

TEST(journal_is_replayed_by_optunas_rules)
{
    desk d = desk_at(test_scratch());

    desk_append(d.path, optuna_lines);
    d.s = desk_store(&d, 60, 1);
    CHECK_OK(d.ctx, store_study_find(d.s, "study", &d.study));
    desk_check(&d, "0 COMPLETE x=0.5 -> -inf @1:inf @3:nan u:k=\"\\u00e9\"\n"
                   "1 RUNNING x=0.25 s:fixed_params={\"x\":0.25}\n"
                   "2 PRUNED c=1 -> 2.5 @9:3 @10:2.5 u:u=1\n");
    CHECK_OK(d.ctx, store_trial_read(d.s, d.study, 2, check_times, NULL));
    CHECK_FAILS(d.ctx, store_study_find(d.s, "gone", &d.study), DRMAD_E_USAGE, "no study gone");
    desk_close(&d);
}

/* ---- writing ---- */

TEST(journal_keeps_what_is_written)
{
    desk d = desk_open(60);
    const store_param p[] = {{"lr", 0.5, LR}, {"x'); DROP\t\"é", 1e-5, LR}};
    const store_report r[] = {{1, INFINITY}, {2, NAN}};
    const store_attr a[] = {{"note", "{ \"a\" :\n 1 }", false}, {"sys", "null", true}};
    const double value = 0.25;
    const store_trial end = {
        .state = TRIAL_COMPLETE, .n_values = 1, .values = &value, .n_attrs = 1, .attrs = a};
    const char *want = "0 COMPLETE lr=0.5 x'); DROP\t\"é=1e-05 -> 0.25 @1:inf @2:nan s:sys=null "
                       "u:note={\"a\":1}\n";
    store_lease l;

    desk_begin(&d, &l);
    CHECK_OK(d.ctx, store_trial_params(d.s, &l, p, 2, NULL));
    CHECK_OK(d.ctx, store_trial_params(d.s, &l, p, 2, NULL));
    CHECK_OK(d.ctx, store_trial_reports(d.s, &l, r, 2));
    CHECK_OK(d.ctx, store_trial_attrs(d.s, &l, a + 1, 1));
    CHECK_OK(d.ctx, store_trial_tell(d.s, &l, &end));
    desk_check(&d, want);
    const off_t size = desk_size(d.path);
    CHECK_OK(d.ctx, store_trial_tell(d.s, &l, &end)); /* told twice is told once */
    CHECK_INT(desk_size(d.path), size);
    CHECK_FAILS(d.ctx, store_trial_reports(d.s, &l, r, 1), DRMAD_E_LEASE, "COMPLETE");
    desk_close(&d);
    d.s = desk_store(&d, 60, 1); /* read from the file alone */
    desk_check(&d, want);
    desk_close(&d);
}

TEST(journal_refuses_what_optuna_would_drop)
{
    desk d = desk_open(60);
    const store_param first = {"lr", 0.5, LR}, other = {"lr", 0.5, LR_LOG}, none = {"b", 1, "{}"};
    const store_attr broken = {"k", "{", false};
    const study_direction two[] = {DIRECTION_MINIMIZE, DIRECTION_MAXIMIZE};
    store_lease l;
    bool made;

    desk_begin(&d, &l);
    CHECK_OK(d.ctx, store_trial_params(d.s, &l, &first, 1, NULL));
    const off_t size = desk_size(d.path);
    CHECK_FAILS(d.ctx, store_trial_params(d.s, &l, &other, 1, NULL), DRMAD_E_USAGE, "parameter lr");
    CHECK_FAILS(d.ctx, store_trial_params(d.s, &l, &none, 1, NULL), DRMAD_E_USAGE, "parameter b");
    CHECK_FAILS(d.ctx, store_trial_attrs(d.s, &l, &broken, 1), DRMAD_E_USAGE, "JSON");
    CHECK_FAILS(d.ctx, store_study_create(d.s, "study", two, 2, &d.study, &made), DRMAD_E_USAGE,
                "other directions");
    CHECK_INT(desk_size(d.path), size);
    desk_close(&d);
}

TEST(journal_gives_a_request_its_first_answer)
{
    desk d = desk_open(60);
    const store_trial waiting = {.state = TRIAL_WAITING};
    store_lease a, b;
    int64_t id, again, number;

    CHECK_OK(d.ctx, store_trial_add(d.s, d.study, &waiting, "r1", &id, &number));
    CHECK_OK(d.ctx, store_trial_add(d.s, d.study, &waiting, "r1", &again, &number));
    CHECK_INT(again, id);
    CHECK_OK(d.ctx, store_trial_claim(d.s, d.study, "r2", &a));
    desk_close(&d);
    d.s = desk_store(&d, 60, 1);
    CHECK_OK(d.ctx, store_trial_claim(d.s, d.study, "r2", &b));
    CHECK(a.trial == id && b.trial == id && a.token == b.token);
    CHECK_OK(d.ctx, store_trial_claim(d.s, d.study, "r3", &b));
    CHECK_INT(b.trial, -1);
    CHECK_OK(d.ctx, store_trial_begin(d.s, d.study, 2, "r4", &a));
    CHECK_OK(d.ctx, store_trial_begin(d.s, d.study, 2, "r4", &b));
    CHECK(a.trial == b.trial && a.token == b.token && a.number == 1);
    CHECK_OK(d.ctx, store_trial_begin(d.s, d.study, 2, "r5", &b));
    CHECK_INT(b.trial, -1);
    desk_close(&d);
}

/* ---- leases ---- */

TEST(journal_fails_and_queues_a_stale_trial_once)
{
    desk d = desk_open(1.5);
    desk fast = d;
    const store_param p = {"lr", 0.5, LR};
    int32_t n;
    store_lease l, again;
    bool held;

    fast.s = desk_store(&d, 60, 1);
    desk_begin(&d, &l);
    CHECK_OK(d.ctx, store_trial_params(d.s, &l, &p, 1, NULL));
    usleep(900000);
    CHECK_OK(d.ctx, store_beat(d.s, &l, 1, &held));
    CHECK(held);
    usleep(750000);
    CHECK_OK(d.ctx, store_trial_expire(fast.s, d.study, 1, &n));
    CHECK_INT(n, 0); /* the beat held it */
    usleep(1000000);
    CHECK_OK(d.ctx, store_trial_expire(fast.s, d.study, 1, &n));
    CHECK_INT(n, 1);
    CHECK_OK(d.ctx, store_trial_expire(fast.s, d.study, 1, &n));
    CHECK_INT(n, 0);
    CHECK_FAILS(d.ctx, desk_tell(d.s, &l, 1), DRMAD_E_LEASE, "FAIL");
    CHECK_OK(d.ctx, store_beat(d.s, &l, 1, &held));
    CHECK(!held);

    CHECK_OK(d.ctx, store_trial_claim(d.s, d.study, NULL, &again));
    CHECK_INT(again.number, 1);
    usleep(1600000);
    CHECK_OK(d.ctx, store_trial_expire(fast.s, d.study, 1, &n));
    CHECK_INT(n, 1); /* the second time not queued again */
    desk_check(&d, "0 FAIL lr=0.5\n"
                   "1 FAIL lr=0.5 s:failed_trial=0 s:retry_history=[0]\n");
    store_close(fast.s);
    desk_close(&d);
}

TEST(journal_leaves_optunas_running_trials_alone)
{
    desk d = desk_at(test_scratch());
    store_lease l = {.trial = 3, .number = 1};
    int32_t n;

    desk_append(d.path, optuna_lines);
    d.s = desk_store(&d, 0.01, 1);
    CHECK_OK(d.ctx, store_study_find(d.s, "study", &d.study));
    usleep(30000);
    CHECK_OK(d.ctx, store_trial_expire(d.s, d.study, 3, &n));
    CHECK_INT(n, 0);
    l.study = d.study;
    CHECK_FAILS(d.ctx, desk_tell(d.s, &l, 1), DRMAD_E_LEASE, "another worker");
    desk_close(&d);
}

/* A lease of ours on a trial that was given back and that Optuna then took means nothing. */
TEST(journal_lease_ends_with_its_running)
{
    desk d = desk_open(0.05);
    char line[256];
    store_lease l;
    int32_t n;

    desk_begin(&d, &l);
    CHECK_OK(d.ctx, store_trial_release(d.s, &l));
    CHECK_FAILS(d.ctx, desk_tell(d.s, &l, 1), DRMAD_E_LEASE, "WAITING");
    snprintf(line, sizeof line,
             "{\"op_code\":6,\"worker_id\":\"w\",\"trial_id\":%lld,\"state\":0,\"values\":null,"
             "\"datetime_start\":\"2026-01-31T12:00:00.000000\"}\n",
             (long long)l.trial - 1);
    desk_append(d.path, line);
    usleep(100000);
    CHECK_OK(d.ctx, store_trial_expire(d.s, d.study, 0, &n));
    CHECK_INT(n, 0);
    CHECK_FAILS(d.ctx, desk_tell(d.s, &l, 1), DRMAD_E_LEASE, "another worker");
    desk_close(&d);
}

/* ---- artefacts ---- */

static drmad_status list_artefact(void *user, const char *name, int64_t size, const char *sha256)
{
    desk_list(user, "%s %lld %.8s\n", name, (long long)size, sha256);
    return DRMAD_OK;
}

TEST(journal_keeps_artefacts_beside_it)
{
    desk d = desk_open(60);
    listing all = {.used = 0};
    store_lease l;
    char path[2 * PATH_SIZE];
    size_t size;
    void *data;
    int errors = 0;

    desk_begin(&d, &l);
    CHECK_OK(d.ctx, store_artefact_put(d.s, &l, "../../etc/x", "old", 3));
    CHECK_OK(d.ctx, store_artefact_put(d.s, &l, "../../etc/x", "abc", 3));
    CHECK_OK(d.ctx, store_artefact_each(d.s, l.trial, list_artefact, &all));
    CHECK_STR(all.text, "../../etc/x 3 ba7816bf\n");
    CHECK_OK(d.ctx, store_artefact_get(d.s, l.trial, "../../etc/x", &data, &size));
    CHECK(size == 3 && memcmp(data, "abc", 3) == 0);
    mem_free(d.ctx, data);
    CHECK_FAILS(d.ctx, store_artefact_get(d.s, l.trial, "y", &data, &size), DRMAD_E_USAGE,
                "no art");

    snprintf(path, sizeof path, "%s.artefacts/%lld/%s", d.path, (long long)l.trial - 1,
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    desk_append(path, "!");
    CHECK_FAILS(d.ctx, store_artefact_get(d.s, l.trial, "../../etc/x", &data, &size),
                DRMAD_E_STORAGE, "damaged");
    CHECK_FAILS(d.ctx, store_check(d.ctx, d.url, desk_count_errors, &errors), DRMAD_E_STORAGE, "");
    CHECK_INT(errors, 1);
    CHECK_OK(d.ctx, store_study_delete(d.s, d.study));
    CHECK_INT(desk_size(path), -1);
    CHECK_FAILS(d.ctx, store_artefact_put(d.s, &l, "z", "abc", 3), DRMAD_E_LEASE, "deleted");
    desk_close(&d);
}

/* ---- memory ---- */

static drmad_status whole_story(drmad_ctx *ctx, void *arg)
{
    const desk *d = arg;
    const store_options o = {.create = true, .patience_s = 0, .lease_s = 60, .version = "v"};
    const store_param p = {"lr", 0.5, LR};
    const store_attr a = {"k", "1", false};
    const double one = 1;
    const store_trial end = {
        .state = TRIAL_COMPLETE, .n_values = 1, .values = &one, .n_attrs = 1, .attrs = &a};
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t n;
    bool made;
    drmad_status st = DRMAD_OK;

    unlink(d->path);
    TRY(store_open(ctx, d->url, &o, &s));
    TRY(store_study_create(s, "oom", minimize, 1, &study, &made));
    TRY(store_trial_begin(s, study, -1, NULL, &l));
    TRY(store_trial_params(s, &l, &p, 1, NULL));
    TRY(store_trial_expire(s, study, 1, &n));
    TRY(store_artefact_put(s, &l, "f", "abc", 3));
    TRY(store_trial_tell(s, &l, &end));
done:
    store_close(s);
    return st;
}

TEST(journal_survives_failing_allocations)
{
    desk d = desk_at(test_scratch());

    test_oom(whole_story, &d);
}
