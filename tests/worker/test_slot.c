/* Commands as objectives: what they get, how they end, how they are ended. */
#include "worker/slot.h"
#include "worker/template.h"
#include "test.h"
#include <signal.h>
#include <unistd.h>

static const char *const names[] = {"lr", "optimizer.act", "odd-Name"};
static const char *const values[] = {"0.001", "a b", "$HOME; {lr}"};
static const slot_job job = {
    .number = 7,
    .study = "demo",
    .dir = "/tmp/x y",
    .threads = 2,
    .n = 3,
    .names = names,
    .values = values,
    .params = "{\"lr\": 0.001}",
};

typedef struct run {
    slot *s;
    double seconds;
    drmad_status st;
} run;

/* Polls until the end, as a worker does; `stop_s` > 0: stopped then. */
static run run_slot(const char *words, command_spec spec, slot_rules rules, double stop_s)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;
    run r = {0};
    const double start = base_now();

    CHECK_OK(ctx, template_new(ctx, words, &t));
    spec.words = t;
    if (rules.grace_s <= 0) rules.grace_s = 5;
    r.st = slot_start(ctx, &slot_command, &spec, &job, &rules, &r.s);
    while (r.st == DRMAD_OK && r.s->phase != SLOT_ENDED && base_now() - start < 60) {
        struct pollfd fds[SLOT_FDS];
        const int n = slot_fds(r.s, fds);

        if (stop_s > 0 && base_now() - start >= stop_s) slot_stop(r.s);
        poll(fds, (nfds_t)n, 5);
        CHECK_OK(ctx, slot_step(r.s));
    }
    r.seconds = base_now() - start;
    if (r.s) r.s->own = NULL;
    template_free(t);
    return r;
}

static void check_run(const char *words, trial_state state, const char *why)
{
    run r = run_slot(words, (command_spec){0}, (slot_rules){0}, 0);

    CHECK_INT(r.st, DRMAD_OK);
    CHECK_INT(r.s->verdict.state, state);
    if (why && !strstr(r.s->verdict.why, why))
        test_fail(__FILE__, __LINE__, "%s: \"%s\"", words, r.s->verdict.why);
    slot_free(r.s);
}

TEST(command_gets_parameters_as_words)
{
    run r = run_slot("sh -c 'printf \"%s|\" \"$@\" >&2; echo \"{{\\\"value\\\": $1}}\"' sh {lr} "
                     "{optimizer.act} x{odd-Name}",
                     (command_spec){0}, (slot_rules){0}, 0);

    CHECK_INT(r.s->verdict.state, TRIAL_COMPLETE);
    CHECK_NEAR(r.s->verdict.value, 0.001, 0);
    CHECK_STR(r.s->tail, "0.001|a b|x$HOME; {lr}|");
    slot_free(r.s);
}

TEST(command_gets_parameters_by_environment)
{
    setenv("DRMAD_TRIAL", "99", 1);
    setenv("DRMAD_PARAM_LR", "stale", 1);
    run r = run_slot("sh -c 'echo \"$DRMAD_PARAM_LR $DRMAD_PARAM_OPTIMIZER_ACT "
                     "$DRMAD_PARAM_ODD_NAME $DRMAD_PARAMS $DRMAD_TRIAL $DRMAD_TRIAL_NUMBER "
                     "$DRMAD_TRIAL_DIR $DRMAD_STUDY $DRMAD_THREADS\" >&2; env | grep -c "
                     "\"^DRMAD_TRIAL=\" >&2; echo 1'",
                     (command_spec){.env = true}, (slot_rules){0}, 0);

    CHECK_STR(r.s->tail, "0.001 a b $HOME; {lr} {\"lr\": 0.001} 7 7 /tmp/x y demo 2\n1\n");
    CHECK_INT(r.s->verdict.state, TRIAL_COMPLETE);
    slot_free(r.s);
    r = run_slot("sh -c 'echo \"<$DRMAD_PARAM_LR><$DRMAD_PARAMS>\" >&2; echo 1'", (command_spec){0},
                 (slot_rules){0}, 0);
    CHECK_STR(r.s->tail, "<><>\n");
    slot_free(r.s);
    unsetenv("DRMAD_TRIAL");
    unsetenv("DRMAD_PARAM_LR");
}

TEST(command_gets_parameters_on_standard_input)
{
    run r = run_slot("sh -c 'cat >&2; echo 1'", (command_spec){.in = true}, (slot_rules){0}, 0);

    CHECK_STR(r.s->tail, "{\"lr\": 0.001}\n");
    slot_free(r.s);
    r = run_slot("sh -c 'wc -c >&2; echo 1'", (command_spec){0}, (slot_rules){0}, 0);
    CHECK_STR(r.s->tail, "0\n");
    slot_free(r.s);
}

TEST(command_ends_in_all_ways)
{
    check_run("echo '{{\"value\": 1}}'", TRIAL_COMPLETE, NULL);
    check_run("sh -c 'echo 1; exit 3'", TRIAL_FAIL, "exit status 3");
    check_run("sh -c 'exit 75'", TRIAL_WAITING, "75");
    check_run("sh -c 'kill -SEGV $$'", TRIAL_FAIL, "signal 11");
    check_run("true", TRIAL_FAIL, "no line of JSON");
    check_run("sh -c 'head -c 3000000 /dev/urandom; echo; echo end'", TRIAL_FAIL, "end");
    check_run("sh -c 'head -c 3000000 /dev/zero; echo; echo 2'", TRIAL_COMPLETE, NULL);
    check_run("echo '{{\"state\": \"PRUNED\"}}'", TRIAL_PRUNED, NULL);
}

TEST(command_keeps_the_end_of_standard_error)
{
    run r = run_slot("sh -c 'yes 0123456 | head -c 100000 >&2; echo last >&2; exit 1'",
                     (command_spec){0}, (slot_rules){0}, 0);

    CHECK_INT(r.s->tail_used, SLOT_STDERR_MAX);
    CHECK_STR(r.s->tail + SLOT_STDERR_MAX - 13, "0123456\nlast\n");
    slot_free(r.s);
}

TEST(command_that_is_not_there)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;
    run r = run_slot("no-such-program-at-all x", (command_spec){0}, (slot_rules){0}, 0);

    CHECK_INT(r.st, DRMAD_E_MISSING);
    CHECK(strstr(drmad_errmsg(ctx), "no-such-program-at-all"));
    r = run_slot("/dev/null", (command_spec){0}, (slot_rules){0}, 0);
    CHECK_INT(r.st, DRMAD_E_MISSING);
    CHECK(strstr(drmad_errmsg(ctx), "Permission denied"));
    CHECK_OK(ctx, template_new(ctx, "no-such-program-at-all", &t));
    CHECK_FAILS(ctx, command_find_program(ctx, t), DRMAD_E_MISSING, "no-such-program-at-all");
    template_free(t);
    CHECK_OK(ctx, template_new(ctx, "sh", &t));
    CHECK_OK(ctx, command_find_program(ctx, t));
    template_free(t);
}

TEST(command_is_ended_at_its_timeout)
{
    run r = run_slot("sleep 30", (command_spec){0}, (slot_rules){.timeout_s = 0.3}, 0);

    CHECK_INT(r.s->verdict.state, TRIAL_FAIL);
    CHECK(strstr(r.s->verdict.why, "objective.timeout, 0.3 s"));
    CHECK(r.seconds < 3);
    slot_free(r.s);
    /* one that will not: by force, its children too, of which one holds the pipe */
    r = run_slot("sh -c 'trap \"\" TERM; sleep 30 & sleep 30'", (command_spec){0},
                 (slot_rules){.timeout_s = 0.2, .grace_s = 0.3}, 0);
    CHECK_INT(r.s->verdict.state, TRIAL_FAIL);
    CHECK(r.seconds > 0.4 && r.seconds < 3);
    slot_free(r.s);
}

TEST(command_is_given_back_when_stopped)
{
    run r = run_slot("sleep 30", (command_spec){0}, (slot_rules){.retries = 3}, 0.1);

    CHECK_INT(r.s->verdict.state, TRIAL_WAITING);
    CHECK(r.seconds < 3);
    slot_free(r.s);
    r = run_slot("sh -c 'trap \"exit 0\" TERM; echo \"{{\\\"step\\\": 1, \\\"value\\\": 2}}\"; "
                 "while :; do sleep 0.05; done'",
                 (command_spec){0}, (slot_rules){0}, 0.2);
    CHECK_INT(r.s->verdict.state, TRIAL_WAITING);
    slot_free(r.s);
    r = run_slot("sh -c 'trap \"echo {{\\\\\\\"value\\\\\\\": 2}}; exit 0\" TERM; while :; do "
                 "sleep 0.05; done'",
                 (command_spec){0}, (slot_rules){0}, 0.2);
    CHECK_INT(r.s->verdict.state, TRIAL_COMPLETE);
    slot_free(r.s);
}

TEST(command_does_not_wait_for_strays)
{
    run r = run_slot("sh -c 'setsid sleep 20 & echo 4'", (command_spec){0}, (slot_rules){0}, 0);

    CHECK_INT(r.s->verdict.state, TRIAL_COMPLETE);
    CHECK(r.seconds < 5);
    slot_free(r.s);
}

TEST(command_is_held_to_its_memory)
{
    const char words[] = "python3 -c 'x = bytearray(1 << 30); print(1)'";
    run r = run_slot(words, (command_spec){.memory = 512 << 20}, (slot_rules){0}, 0);

    CHECK_INT(r.s->verdict.state, TRIAL_FAIL);
    CHECK(strstr(r.s->verdict.why, "512 MiB of address space"));
    CHECK(strstr(r.s->tail, "MemoryError"));
    slot_free(r.s);
}

TEST(command_is_tried_again)
{
    const char *folder = test_scratch();
    char words[500];

    snprintf(words, sizeof words,
             "sh -c 'echo x >>%s/tries; [ $(wc -l <%s/tries) = 3 ] || exit 9; echo 5'", folder,
             folder);
    run r = run_slot(words, (command_spec){0}, (slot_rules){.retries = 2}, 0);
    CHECK_INT(r.s->verdict.state, TRIAL_COMPLETE);
    CHECK_INT(r.s->tries, 3);
    slot_free(r.s);
    r = run_slot(words, (command_spec){0}, (slot_rules){.retries = 1}, 0);
    CHECK_INT(r.s->verdict.state, TRIAL_FAIL);
    CHECK_INT(r.s->tries, 2);
    slot_free(r.s);
}

TEST(command_is_killed_with_its_slot)
{
    drmad_ctx *ctx = test_ctx();
    template *t = NULL;
    slot *s = NULL;
    const slot_rules rules = {.grace_s = 1};
    char words[300], path[200];

    snprintf(path, sizeof path, "%s/pid", test_scratch());
    snprintf(words, sizeof words, "sh -c 'echo $$ >%s; exec sleep 30'", path);
    CHECK_OK(ctx, template_new(ctx, words, &t));
    command_spec spec = {.words = t};
    CHECK_OK(ctx, slot_start(ctx, &slot_command, &spec, &job, &rules, &s));
    int pid = 0;
    for (int i = 0; i < 1000 && pid == 0; i++) {
        FILE *f = fopen(path, "r");

        usleep(5000);
        if (f && fscanf(f, "%d", &pid) != 1) pid = 0;
        if (f) fclose(f);
    }
    CHECK(pid > 0 && kill(pid, 0) == 0);
    slot_free(s);
    CHECK(pid > 0 && kill(pid, 0) != 0);
    template_free(t);
}
