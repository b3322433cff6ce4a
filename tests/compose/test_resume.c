/* A run that is cut and goes on gives the very bits of one that was not (P2, P3): cut at every
 * event by a request to stop, in every kind of outer loop. Kills without warning: tests/faults. */
#include "desk.h"
#include <signal.h>

enum { EVENTS_MAX = 40 };

/* Cuts the study at event k = 1, 2, ..., goes on, compares with the run that was not cut. */
static void cut_everywhere(const char *const *settings)
{
    desk d;
    int events, step = test_count(3, 1);

    desk_open(&d);
    CHECK_OK(d.ctx, desk_run(&d, "whole", desk_tune, settings));
    events = d.events;
    CHECK(events > 3 && events < EVENTS_MAX);
    for (int k = 1; k < events; k += test_sanitized() ? 3 * step : step) {
        d.at = k, d.signal = k % 2 ? SIGTERM : SIGINT;
        const drmad_status st = desk_run(&d, "cut", desk_tune, settings);
        const drmad_status want = k % 2 ? DRMAD_E_TERMINATED : DRMAD_E_INTERRUPTED;
        if (st != want || !strstr(d.message, "--resume"))
            test_fail(__FILE__, __LINE__, "cut at %d: status %d, %s", k, (int)st, d.message);
        CHECK(desk_has(&d, "cut", "checkpoint.safetensors"));
        CHECK(!desk_has(&d, "cut", "result.json"));
        d.at = 0;
        CHECK_OK(d.ctx, desk_run(&d, "cut", desk_resume, settings));
        desk_same(&d, "whole", "cut");
        CHECK(!desk_has(&d, "cut", "checkpoint.safetensors"));
    }
    desk_close(&d);
}

#define CUT(...) cut_everywhere((const char *const[]){__VA_ARGS__, NULL})

TEST(f21_a_plain_run_goes_on_where_it_was_cut)
{
    CUT("outer.optimizer=adam");
}
TEST(f21_a_run_with_momentum_goes_on)
{
    CUT("outer.optimizer=sgd", "outer.momentum=0.9");
}
TEST(f21_a_run_with_fresh_seeds_goes_on)
{
    CUT("outer.fresh_seed=true");
}
TEST(f21_a_run_with_fresh_splits_goes_on)
{
    CUT("outer.fresh_split=true");
}
TEST(f21_a_run_on_a_grid_goes_on)
{
    CUT("trajectory.kind=grid", "baselines.random=2");
}

TEST(f21_a_run_that_is_pulled_goes_on)
{
    CUT("regress.to=activations", "hyper=[{kind: regress, per: layer}]");
}
TEST(f21_an_implicit_run_goes_on)
{
    CUT("estimator.kind=implicit", "estimator.damping=1");
}

TEST(f21_a_run_that_loosens_ties_goes_on)
{
    CUT("outer.steps=6", "hyper=[{kind: l2, per: unit-in, start: 1e-3, ties: [{per: global, "
                         "until: 2}, {per: layer, until: 4}]}]");
}

/* That no move improved F is remembered while the result is still being made. */
TEST(f21_a_run_that_had_stopped_stays_stopped)
{
    CUT("outer.lr=0", "outer.patience=2", "outer.steps=9");
}

/* Twice in one run, and the second time from a checkpoint of the first. */
TEST(f21_a_run_cut_twice_goes_on)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_tune, NULL));
    d.at = 1, d.signal = SIGHUP;
    CHECK_INT(DESK_RUN(&d, "cut", desk_tune, NULL), DRMAD_E_INTERRUPTED);
    CHECK_INT(DESK_RUN(&d, "cut", desk_resume, NULL), DRMAD_E_INTERRUPTED);
    d.at = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "cut", desk_resume, NULL));
    desk_same(&d, "whole", "cut");
    desk_close(&d);
}

TEST(f21_a_checkpoint_that_is_asked_for_is_written_and_the_run_goes_on)
{
    desk d;

    desk_open(&d);
    d.at = 1, d.signal = -1;
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "output.checkpoint_minutes=1e6"));
    CHECK(!d.seen); /* none was due */
    d.signal = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "asked", desk_tune, "output.checkpoint_minutes=1e6"));
    CHECK(d.seen);
    CHECK(strstr(d.log, "2 checkpoint written after meta-step 1"));
    desk_close(&d);
}

/* ---- what may not be gone on with ---- */

static void check_same_bytes(const desk *d, const char *out, const char *name, const char *before)
{
    size_t size;
    char *now = desk_read(d, out, name, &size);

    CHECK(now && strcmp(now, before) == 0);
    free(now);
}

TEST(a_checkpoint_of_another_study_is_refused_and_left_alone)
{
    desk d;
    size_t size;

    desk_open(&d);
    d.at = 2, d.signal = SIGTERM;
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, NULL), DRMAD_E_TERMINATED);
    d.at = 0;
    char *study = desk_read(&d, "r", "study.yaml", &size);
    char *log = desk_read(&d, "r", "log.jsonl", &size);
    CHECK_INT(DESK_RUN(&d, "r", desk_resume, "outer.lr=0.1"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "of another study"));
    check_same_bytes(&d, "r", "study.yaml", study);
    check_same_bytes(&d, "r", "log.jsonl", log);
    CHECK_INT(DESK_RUN(&d, "r", desk_resume, "data.split_seed=9"), DRMAD_E_CONFIG); /* other data */
    /* threads, budget and place may differ */
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_resume, "threads=2", "budget.minutes=1000"));
    free(study);
    free(log);
    desk_close(&d);
}

TEST(a_finished_run_is_shown_again_and_only_of_the_same_study)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    const double best = desk_number(&d, "best_objective");
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_resume, NULL));
    CHECK_INT(d.events, 0);
    CHECK_NEAR(desk_number(&d, "best_objective"), best, 0);
    CHECK_INT(DESK_RUN(&d, "r", desk_resume, "outer.lr=0.1"), DRMAD_E_CONFIG);
    desk_close(&d);
}

/* A second run in the folder, cut before its first checkpoint: the first's result is not its. */
TEST(nothing_of_an_older_run_passes_for_the_new_one)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_tune, "seed=4"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    d.at = 1, d.signal = SIGTERM;
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, "seed=4"), DRMAD_E_TERMINATED);
    CHECK(!desk_has(&d, "r", "result.json") && !desk_has(&d, "r", "weights.safetensors"));
    d.at = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_resume, "seed=4"));
    desk_same(&d, "whole", "r");
    d.at = 1;
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, NULL), DRMAD_E_TERMINATED);
    d.at = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    CHECK(strstr(d.log, "held an unfinished run"));
    desk_close(&d);
}

TEST(a_damaged_checkpoint_is_refused_by_name)
{
    desk d;
    size_t size;

    desk_open(&d);
    d.at = 2, d.signal = SIGTERM;
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, NULL), DRMAD_E_TERMINATED);
    d.at = 0;
    char *bytes = desk_read(&d, "r", "checkpoint.safetensors", &size);
    for (size_t keep = 0; keep < size; keep += size / 7 + 1) {
        desk_write(&d, "r", "checkpoint.safetensors", bytes, keep);
        const drmad_status st = DESK_RUN(&d, "r", desk_resume, NULL);
        CHECK(st != DRMAD_OK && st != DRMAD_E_INTERNAL);
        CHECK(strstr(d.message, "checkpoint.safetensors"));
    }
    desk_write(&d, "r", "checkpoint.safetensors", bytes, size);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_resume, NULL));
    free(bytes);
    desk_close(&d);
}

/* F22: the machine died while a line of the log was written, or lost its end. */
TEST(f22_a_torn_last_line_of_the_log_is_dropped)
{
    desk d;
    size_t size, whole;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_tune, NULL));
    for (int k = 0; k < 3; k++) {
        d.at = 3, d.signal = SIGTERM;
        CHECK_INT(DESK_RUN(&d, "r", desk_tune, NULL), DRMAD_E_TERMINATED);
        d.at = 0;
        char *log = desk_read(&d, "r", "log.jsonl", &size);
        char *more = calloc(size + 20, 1);
        memcpy(more, log, size);
        memcpy(more + size, "{\"event\":\"met", 13);
        desk_write(&d, "r", "log.jsonl", more, k == 0 ? size + 13 : k == 1 ? size - 5 : 0);
        CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_resume, NULL));
        CHECK(k == 2 || strstr(d.log, "the last line is torn"));
        desk_same(&d, "whole", "r");
        free(log);
        free(more);
        log = desk_read(&d, "r", "log.jsonl", &whole);
        for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
            json_t *j = json_loads(line, 0, NULL);
            if (!j) test_fail(__FILE__, __LINE__, "not a whole line: %s", line);
            json_decref(j);
        }
        free(log);
    }
    desk_close(&d);
}
