/* The loop of a worker over functions, commands and our own training, on SQLite. */
#include "drmad/trial.h"
#include "test.h"
#include <jansson.h>
#include <signal.h>
#include <unistd.h>

enum { SETTINGS = 20, NUMBERS = 64 };

typedef struct bench {
    drmad_ctx *ctx;
    drmad_study *s;
    json_t *result;
    char settings[4][500];
    int calls;
    /* what the function does */
    double values[NUMBERS];
    double sleep_s;
    int stop_at, signal; /* at that call; signal 0: a checkpoint is asked for */
} bench;

static const char space[] = "parameters=[{name: x, low: -5, high: 5}]";

static void open_bench(bench *b, const char *folder, const char *const *more)
{
    const char *list[SETTINGS];
    int n = 0;

    snprintf(b->settings[0], sizeof b->settings[0], "store=sqlite:%s/w.db", folder);
    snprintf(b->settings[1], sizeof b->settings[1], "output.dir=%s/out", folder);
    list[n++] = space;
    list[n++] = b->settings[0];
    list[n++] = b->settings[1];
    list[n++] = "worker.lease=5";
    while (*more && n < SETTINGS) list[n++] = *more++;
    b->ctx = test_ctx();
    CHECK_OK(b->ctx, drmad_study_load(b->ctx, NULL, list, n, &b->s));
    if (!b->s) abort();
}
#define BENCH(b, folder, ...)                                                                      \
    open_bench((b), (folder), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static drmad_status work_once(bench *b)
{
    const drmad_status st = drmad_study_work(b->s);
    const char *json = drmad_study_result_json(b->s);

    json_decref(b->result);
    b->result = json[0] ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    return st;
}

static void close_bench(bench *b)
{
    json_decref(b->result);
    drmad_study_free(b->s);
}

static long long count_of(const bench *b, const char *state)
{
    const json_t *counts = json_object_get(b->result, "trials");

    return json_integer_value(json_object_get(counts, state));
}

static double best_of(const bench *b, const char *key)
{
    return json_number_value(json_object_get(json_object_get(b->result, "best"), key));
}

/* ---- functions ---- */

static drmad_status square(void *user, drmad_trial *t, double *values, int n)
{
    bench *b = user;
    double x = 0;

    CHECK_INT(n, 1);
    b->calls++;
    if (b->calls == b->stop_at && b->signal) drmad_ctx_stop(b->ctx, b->signal);
    if (b->calls == b->stop_at && !b->signal) drmad_ctx_checkpoint(b->ctx);
    if (b->sleep_s > 0) usleep((unsigned)(1e6 * b->sleep_s));
    CHECK_OK(b->ctx, drmad_trial_real(t, "x", &x));
    values[0] = (x - 1) * (x - 1);
    if (drmad_trial_number(t) < NUMBERS) b->values[drmad_trial_number(t)] = values[0];
    return drmad_trial_report(t, 0, x);
}

TEST(work_calls_a_function_until_the_study_is_done)
{
    bench b = {0};
    double least = HUGE_VAL;

    BENCH(&b, test_scratch(), "search.trials=20");
    drmad_study_set_objective(b.s, square, &b);
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(b.calls, 20);
    CHECK_INT(count_of(&b, "COMPLETE"), 20);
    for (int i = 0; i < 20; i++) least = fmin(least, b.values[i]);
    CHECK_NEAR(best_of(&b, "value"), least, 0);
    CHECK_NEAR(b.values[(int)best_of(&b, "number")], least, 0);
    CHECK(strstr(drmad_study_result_text(b.s), "best       trial "));
    CHECK_OK(b.ctx, work_once(&b)); /* nothing is left: the same result */
    CHECK_INT(b.calls, 20);
    CHECK_NEAR(best_of(&b, "value"), least, 0);
    close_bench(&b);
}

TEST(work_maximizes_when_asked)
{
    bench b = {0};
    double most = -HUGE_VAL;

    BENCH(&b, test_scratch(), "search.trials=8", "search.direction=maximize");
    drmad_study_set_objective(b.s, square, &b);
    CHECK_OK(b.ctx, work_once(&b));
    for (int i = 0; i < 8; i++) most = fmax(most, b.values[i]);
    CHECK_NEAR(best_of(&b, "value"), most, 0);
    close_bench(&b);
}

static drmad_status fails(void *user, drmad_trial *t, double *values, int n)
{
    bench *b = user;

    (void)t, (void)n;
    b->calls++;
    if (b->calls % 4 == 0) return drmad_trial_tell(t, "PRUNED", NULL, 0);
    values[0] = NAN;
    if (b->calls % 4 == 1) return DRMAD_E_DATA;
    if (b->calls % 4 == 3) values[0] = HUGE_VAL;
    return DRMAD_OK;
}

TEST(work_keeps_all_ends_apart)
{
    bench b = {0};

    BENCH(&b, test_scratch(), "search.trials=6");
    drmad_study_set_objective(b.s, fails, &b);
    CHECK_FAILS(b.ctx, work_once(&b), DRMAD_E_DIVERGED, "none of its");
    CHECK_INT(count_of(&b, "COMPLETE"), 3); /* infinite */
    CHECK_INT(count_of(&b, "PRUNED"), 3);
    CHECK_INT(count_of(&b, "FAIL"),
              6); /* half an error, half NaN; others were begun in their place */
    CHECK_STR(json_string_value(json_object_get(b.result, "status")), "diverged");
    close_bench(&b);
}

static drmad_status always_fails(void *user, drmad_trial *t, double *values, int n)
{
    (void)t, (void)n, (void)values;
    ((bench *)user)->calls++;
    return DRMAD_E_DATA;
}

TEST(work_gives_up_on_an_objective_that_never_works)
{
    bench b = {0};

    BENCH(&b, test_scratch(), "search.trials=1000");
    drmad_study_set_objective(b.s, always_fails, &b);
    CHECK_FAILS(b.ctx, work_once(&b), DRMAD_E_DIVERGED, "11 trials in a row failed");
    CHECK_INT(b.calls, 11);
    close_bench(&b);
}

TEST(work_stops_when_told)
{
    static const struct {
        int signal;
        drmad_status want;
    } stops[] = {{SIGINT, DRMAD_E_INTERRUPTED}, {SIGTERM, DRMAD_E_TERMINATED}, {0, DRMAD_E_AGAIN}};
    const char *folder = test_scratch();

    for (size_t i = 0; i < COUNT(stops); i++) {
        bench b = {.stop_at = 2, .signal = stops[i].signal};

        BENCH(&b, folder, "search.trials=100");
        drmad_study_set_objective(b.s, square, &b);
        CHECK_INT(work_once(&b), stops[i].want);
        CHECK_INT(b.calls, 2);
        close_bench(&b);
    }
}

TEST(work_keeps_the_lease_of_a_long_function)
{
    bench b = {.sleep_s = 2.5};

    BENCH(&b, test_scratch(), "search.trials=1", "worker.lease=1");
    drmad_study_set_objective(b.s, square, &b);
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(count_of(&b, "COMPLETE"), 1);
    CHECK_INT(count_of(&b, "FAIL"), 0);
    close_bench(&b);
}

/* ---- commands ---- */

static void write_script(const char *folder, const char *text, char *setting, size_t size)
{
    char path[300];

    snprintf(path, sizeof path, "%s/run.sh", folder);
    snprintf(setting, size, "objective.cmd=sh %s {x}", path);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) test_fail(__FILE__, __LINE__, "%s", path);
}

TEST(work_runs_commands_side_by_side)
{
    bench b = {0};
    const char *folder = test_scratch();
    const double start = base_now();
    char cmd[400];

    write_script(folder,
                 "sleep 0.3\necho \"{\\\"step\\\": 1, \\\"value\\\": $1}\"\n"
                 "echo \"{\\\"value\\\": $1, \\\"acc\\\": 0.5}\"\n",
                 cmd, sizeof cmd);
    BENCH(&b, folder, "search.trials=8", "worker.jobs=4", cmd);
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(count_of(&b, "COMPLETE"), 8);
    CHECK(base_now() - start < 8 * 0.3); /* one after the other they take as long at least */
    close_bench(&b);
}

static void check_value(void *user, const char *stage, double done, double total, const char *json)
{
    json_t *j = json_loads(json, 0, NULL);
    const json_t *x = json_object_get(json_object_get(j, "params"), "x");

    (void)stage, (void)done, (void)total;
    ((bench *)user)->calls++;
    CHECK_NEAR(json_number_value(json_object_get(j, "value")), json_number_value(x), 0);
    json_decref(j);
}

/* Trials end in another order than they began, and each has run twice: with its own values. */
TEST(work_never_mixes_trials_up)
{
    bench b = {0};
    const char *folder = test_scratch();
    char cmd[400];

    write_script(folder,
                 "cd \"$DRMAD_TRIAL_DIR\" || exit 1\n"
                 "[ -e half ] || { touch half; sleep 0.$((DRMAD_TRIAL * 7 % 4)); exit 1; }\n"
                 "rm half\necho $1\n",
                 cmd, sizeof cmd);
    BENCH(&b, folder, "search.trials=16", "worker.jobs=4", "objective.retries=1", cmd);
    drmad_study_set_events(b.s, check_value, &b);
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(b.calls, 16);
    close_bench(&b);
}

TEST(work_gives_back_what_a_command_asks_to_have_run_again)
{
    bench b = {0};
    const char *folder = test_scratch();
    char cmd[400];

    write_script(folder,
                 "cd \"$DRMAD_TRIAL_DIR\" || exit 1\n"
                 "[ -e half ] || { touch half; exit 75; }\necho 1\n",
                 cmd, sizeof cmd);
    BENCH(&b, folder, "search.trials=1", "worker.jobs=1", cmd);
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(count_of(&b, "COMPLETE"), 1);
    CHECK_INT(count_of(&b, "FAIL"), 0);
    close_bench(&b);
}

TEST(work_refuses_commands_by_key)
{
    static const struct {
        const char *setting;
        drmad_status want;
        const char *text;
    } bad[] = {
        {"objective.cmd=true {y}", DRMAD_E_CONFIG, "objective.cmd: {y} is none of the parameters"},
        {"objective.cmd=true", DRMAD_E_CONFIG, "objective.cmd: gets no parameter: write {x}"},
        {"objective.cmd=true '{x}", DRMAD_E_CONFIG, "objective.cmd: column"},
        {"objective.cmd=no-such-program {x}", DRMAD_E_MISSING, "no-such-program"},
        {"seed=1", DRMAD_E_CONFIG, "parameters.0.name"},
        {"parameters=[]", DRMAD_E_CONFIG, "nothing to search"},
    };
    const char *folder = test_scratch();

    for (size_t i = 0; i < COUNT(bad); i++) {
        bench b = {0};

        BENCH(&b, folder, bad[i].setting);
        CHECK_FAILS(b.ctx, work_once(&b), bad[i].want, bad[i].text);
        close_bench(&b);
    }
}

TEST(work_does_not_run_what_only_the_store_names)
{
    bench b = {0};
    const char *folder = test_scratch();
    drmad_study *s = NULL;
    char target[400];

    BENCH(&b, folder, "search.trials=2", "worker.jobs=1", "objective.cmd=echo {x}");
    CHECK_OK(b.ctx, work_once(&b));
    snprintf(target, sizeof target, "sqlite:%s/w.db", folder);
    const char *const more[] = {"search.trials=3"};
    CHECK_OK(b.ctx, drmad_study_open(b.ctx, target, 0, more, 1, &s));
    CHECK_FAILS(b.ctx, drmad_study_work(s), DRMAD_E_UNSAFE, "--trust-store");
    drmad_study_free(s);
    snprintf(target, sizeof target, "sqlite:%s/w.db#study", folder);
    CHECK_OK(b.ctx, drmad_study_open(b.ctx, target, 1, more, 1, &s));
    CHECK_OK(b.ctx, drmad_study_work(s));
    CHECK(strstr(drmad_study_result_json(s), "\"COMPLETE\":3"));
    drmad_study_free(s);
    CHECK_FAILS(b.ctx, drmad_study_open(b.ctx, "sqlite:/nowhere/w.db#x", 0, NULL, 0, &s),
                DRMAD_E_USAGE, "/nowhere/w.db");
    snprintf(target, sizeof target, "sqlite:%s/w.db#other", folder);
    CHECK_FAILS(b.ctx, drmad_study_open(b.ctx, target, 0, NULL, 0, &s), DRMAD_E_USAGE, "other");
    close_bench(&b);
}

/* ---- our own training ---- */

#define DIGITS                                                                                     \
    "data={kind: synthetic-digits, train: 60, valid: 40, test: 30}",                               \
        "model={layers: [auto, 4, auto]}", "train={steps: 8, batch: 5}", "retrain={seeds: 1}"

TEST(work_trains_each_trial_as_train_does)
{
    bench b = {0};
    drmad_study *s = NULL;
    const char *folder = test_scratch();
    char lr[64], out[400];

    BENCH(&b, folder, DIGITS, "search.trials=4", "worker.jobs=2",
          "parameters=[{name: optimizer.lr, low: 0.01, high: 1, log: true}]");
    CHECK_OK(b.ctx, work_once(&b));
    CHECK_INT(count_of(&b, "COMPLETE"), 4);
    const json_t *best = json_object_get(b.result, "best");
    const json_t *value = json_object_get(json_object_get(best, "params"), "optimizer.lr");
    snprintf(lr, sizeof lr, "optimizer.lr=%.17g", json_number_value(value));
    snprintf(out, sizeof out, "output.dir=%s/again", folder);
    const char *const again[] = {DIGITS, lr, out};
    CHECK_OK(b.ctx, drmad_study_load(b.ctx, NULL, again, 6, &s));
    CHECK_OK(b.ctx, drmad_study_train(s, 0));
    json_t *run = json_loads(drmad_study_result_json(s), 0, NULL);
    CHECK_NEAR(json_number_value(json_object_get(json_object_get(run, "run"), "objective_loss")),
               best_of(&b, "value"), 0);
    json_decref(run);
    drmad_study_free(s);
    close_bench(&b);
}

TEST(work_ends_when_training_cannot_be)
{
    bench b = {0};

    BENCH(&b, test_scratch(),
          "data={kind: idx, dir: /nowhere, images: i, labels: l, test_images: "
          "a, test_labels: b}",
          "worker.jobs=1", "parameters=[{name: optimizer.lr, low: 0.01, high: 1}]");
    const drmad_status st = work_once(&b);
    CHECK(st == DRMAD_E_DATA || st == DRMAD_E_IO || st == DRMAD_E_MISSING);
    CHECK(strstr(drmad_errmsg(b.ctx), "/nowhere"));
    close_bench(&b);
}

TEST(work_fails_trials_that_make_no_study_or_diverge)
{
    bench b = {0};

    BENCH(&b, test_scratch(), DIGITS, "search.trials=1", "worker.jobs=1",
          "search.enqueue=[train.batch=1000, \"optimizer.lr=1e8\", train.batch=7]",
          "parameters=[{name: train.batch, type: int, low: 5, high: 1000}, {name: optimizer.lr, "
          "low: 0.01, high: 1e8, log: true}]");
    const drmad_status st = work_once(&b);
    CHECK(st == DRMAD_OK || st == DRMAD_E_DIVERGED);
    CHECK(count_of(&b, "FAIL") >= 2);
    close_bench(&b);
}

/* ---- out of memory ---- */

static drmad_status simple(void *user, drmad_trial *t, double *values, int n)
{
    (void)user, (void)n;
    return drmad_trial_real(t, "x", values);
}

typedef struct attempt {
    char store[400], out[400];
    const char *cmd; /* NULL: a function */
    int n;
} attempt;

/* A study of its own each time: what the last one left must not be waited for. */
static drmad_status whole(drmad_ctx *ctx, void *arg)
{
    attempt *a = arg;
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;
    char name[32];

    snprintf(name, sizeof name, "name=s%d", a->n++);
    const char *const list[] = {space, a->store, a->out, name, "search.trials=1", a->cmd};
    TRY(drmad_study_load(ctx, NULL, list, a->cmd ? 6 : 5, &s));
    if (!a->cmd) drmad_study_set_objective(s, simple, NULL);
    TRY(drmad_study_work(s));
done:
    drmad_study_free(s);
    return st;
}

static void torture(const char *cmd)
{
    attempt a = {.cmd = cmd};
    const char *folder = test_scratch();

    snprintf(a.store, sizeof a.store, "store=sqlite:%s/oom.db", folder);
    snprintf(a.out, sizeof a.out, "output.dir=%s/out", folder);
    test_oom(whole, &a);
}

TEST(work_with_a_function_survives_every_failed_allocation)
{
    torture(NULL);
}

TEST(work_with_a_command_survives_every_failed_allocation)
{
    torture("objective.cmd=echo {x}");
}
