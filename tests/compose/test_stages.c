/* A pipeline: search, refinement, retraining; what each stage leaves and costs, and that one that
 * was cut anywhere ends with the same bits. Kills without warning: tests/cli/stages. */
#include "desk.h"
#include <unistd.h>

static const char *const usual[] = {
    "model.init=kaiming",
    "parameters=[{name: train.l2, low: 1e-4, high: 1e-1, log: true}, "
    "{name: optimizer.lr, low: 0.01, high: 0.5, log: true}, "
    "{name: model.hidden, type: int, low: 3, high: 6}]",
    "hyper=[{kind: l2, per: unit-in}, {kind: lr, per: layer}]",
    "search.trials=4",
    "outer.steps=3",
    "stages=[search, {run: refine, top: 2, loosen: 1}, {run: retrain, seeds: 2}]",
    "search.sampler=sobol",
    "worker.jobs=1",
    "threads=1",
    NULL,
};

/* A store of its own for each run, under a name that results may hold. */
static drmad_status pipe_run(desk *d, const char *out, desk_call *call, const char *const *more)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    const char *list[DESK_SETTINGS];
    char store[400], path[420];
    int n = 0;

    snprintf(store, sizeof store, "store=sqlite:%s/s.db", d->folder);
    for (size_t i = 0; call != desk_resume && i < COUNT(ends); i++) {
        snprintf(path, sizeof path, "%s%s", store + strlen("store=sqlite:"), ends[i]);
        unlink(path);
    }
    list[n++] = store;
    for (int i = 0; more && more[i] && n < DESK_SETTINGS - 1; i++) list[n++] = more[i];
    list[n] = NULL;
    return desk_run_after(d, out, call, usual, list);
}
#define PIPE_RUN(d, out, call, ...)                                                                \
    pipe_run((d), (out), (call), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static const json_t *stage(const desk *d, size_t i)
{
    return json_array_get(json_object_get(d->result, "stages"), i);
}

TEST(stages_each_go_on_from_what_the_one_before_found)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, NULL));
    const json_t *top = json_object_get(stage(&d, 0), "top");
    const json_t *starts = json_object_get(stage(&d, 1), "starts");
    const json_t *candidates = json_object_get(stage(&d, 2), "candidates");

    CHECK_INT(json_array_size(json_object_get(d.result, "stages")), 3);
    CHECK_INT(json_array_size(top), 2);
    CHECK(number_in(json_array_get(top, 0), "value") <= number_in(json_array_get(top, 1), "value"));
    CHECK_INT(json_array_size(starts), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *s = json_array_get(starts, i), *t = json_array_get(top, i);

        CHECK_NEAR(number_in(s, "trial"), number_in(t, "trial"), 0);
        /* the tied start is the trial itself: same values, same seed, same bits */
        CHECK_NEAR(number_in(s, "start"), number_in(t, "value"), 0);
        CHECK_NEAR(number_in(s, "searched"), number_in(t, "value"), 0);
        CHECK(number_in(s, "objective") <= number_in(s, "start")); /* under outer.trust */
        CHECK_NEAR(number_in(s, "meta_steps"), 3, 0);
    }
    CHECK_INT(json_array_size(candidates), 3); /* both refined, and the best trial as it is */
    CHECK_STR(word_in(json_array_get(candidates, 2), "folder")[0] ? "named" : "", "named");
    desk_close(&d);
}

/* The winner has the best mean objective; its interval is the one of its own runs. */
TEST(stages_pick_the_winner_on_validation_data)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "train.steps=60",
                             "stages=[search, {run: refine, top: 2}, {run: retrain, seeds: 3}]"));
    const json_t *winner = json_object_get(d.result, "winner"), *c;
    const json_t *all = json_object_get(stage(&d, 2), "candidates");
    double least = HUGE_VAL, mean = 0, square = 0;
    const char *name = "";
    size_t i;

    json_array_foreach((json_t *)all, i, c)
    {
        const double x = number_in(json_object_get(c, "mean"), "objective_loss");

        if (x < least) least = x, name = word_in(c, "name");
    }
    CHECK_STR(word_in(winner, "name"), name);
    json_array_foreach((json_t *)all, i, c)
    {
        if (strcmp(word_in(c, "name"), name) != 0) continue;
        for (size_t k = 0; k < 3; k++) {
            const double x = number_in(json_array_get(json_object_get(c, "runs"), k), "test_error");

            mean += x / 3, square += x * x;
        }
    }
    winner = json_object_get(winner, "mean");
    CHECK_NEAR(number_in(winner, "test_error"), mean, 1e-12);
    /* 4.303: Student's t of two degrees of freedom */
    const double half = 4.303 * sqrt((square - 3 * mean * mean) / 2 / 3);
    CHECK(half > 1e-3);
    CHECK_NEAR(number_in(winner, "test_error_half_width"), half, 1e-9);
    CHECK(strstr(d.text, "the winner"));
    desk_close(&d);
}

static double tuned_runs(const desk *d, const json_t *start)
{
    char path[100];
    size_t size;

    snprintf(path, sizeof path, "p/%s", word_in(start, "folder"));
    char *text = desk_read(d, path, "result.json", &size);
    json_t *j = json_loads(text ? text : "", 0, NULL);
    const double runs = number_in(j, "spent_runs");

    json_decref(j);
    free(text);
    return runs;
}

static const char one_rate[] = "parameters=[{name: optimizer.lr, low: 0.01, high: 0.5, log: true}]";

/* With one model for all, a trial and a retraining are the same work: a run and the look at its
 * objective. */
TEST(stages_charge_what_was_done)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, one_rate, "outer.audit_every=2"));
    const json_t *starts = json_object_get(stage(&d, 1), "starts");
    const double trial = number_in(stage(&d, 0), "runs") / 4;
    double refined = 0;

    CHECK(trial > 1 && trial < 1.5);
    CHECK_NEAR(number_in(stage(&d, 2), "runs") / 6, trial, 1e-9);
    for (size_t i = 0; i < 2; i++) refined += 1 + tuned_runs(&d, json_array_get(starts, i));
    CHECK_NEAR(number_in(stage(&d, 1), "runs"), refined, 1e-9);
    CHECK(refined > 2 * 3 * 2.5); /* three meta-steps each: at least a run and a walk back */
    const json_t *spent = json_object_get(d.result, "spent");
    CHECK_NEAR(number_in(spent, "runs"), 10 * trial + refined, 1e-9);
    CHECK(number_in(spent, "seconds") > 0);
    CHECK(number_in(spent, "seconds") <= desk_number(&d, "seconds") + 0.01);
    desk_close(&d);
}

TEST(stages_charge_all_training_runs_of_a_trial)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, one_rate, "objective.seeds=3"));
    const double three = number_in(stage(&d, 0), "runs");

    CHECK_OK(d.ctx, PIPE_RUN(&d, "q", desk_tune, one_rate));
    CHECK_NEAR(number_in(stage(&d, 0), "runs"), three / 3, 1e-9);
    /* one start, four trials, three runs and the looks at them: a budget in runs ends sooner */
    CHECK_OK(d.ctx, PIPE_RUN(&d, "r", desk_tune, one_rate, "objective.seeds=3", "budget.runs=14",
                             "stages=[{run: search, share: 0.5}, {run: retrain, share: 0.5}]"));
    CHECK_INT(
        json_integer_value(json_object_get(json_object_get(stage(&d, 0), "trials"), "COMPLETE")),
        2);
    desk_close(&d);
}

/* A model of other size costs what it costs. */
TEST(stages_charge_larger_models_more)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "parameters=[{name: model.hidden, choices: [40]}]",
                             "hyper=[l2]", "search.trials=1",
                             "stages=[search, {run: retrain, seeds: 1}]"));
    const double runs = number_in(stage(&d, 0), "runs"); /* 40 hidden units for 4 */
    CHECK(runs > 10 && runs < 15);
    CHECK_NEAR(number_in(stage(&d, 1), "runs"), runs, 1e-9);
    desk_close(&d);
}

TEST(stages_keep_to_their_shares_of_the_budget)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "search.trials=none", "outer.steps=1000",
                             "budget.runs=60", "outer.lr=0.01",
                             "stages=[{run: search, share: 0.5}, {run: refine, top: 2, share: "
                             "0.4}, {run: retrain, seeds: 1}]"));
    const double search = number_in(stage(&d, 0), "runs"), refine = number_in(stage(&d, 1), "runs");

    CHECK(search <= 30 + 1 && search > 27); /* a larger model than the study's may go over */
    CHECK(search + refine <= 54 + 4 && search + refine > 44); /* by a meta-step, by a last look */
    CHECK(strstr(d.text, "budget     60 runs"));
    desk_close(&d);
}

TEST(stages_stop_after_their_seconds)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "search.trials=none", "outer.steps=100000",
                             "budget.minutes=0.01", "outer.lr=0.001", "train.steps=40",
                             "stages=[search, {run: refine, top: 1}, {run: retrain, seeds: 1}]"));
    CHECK(number_in(stage(&d, 0), "seconds") >= 0.3); /* five tenths of .6 s, and begun is ended */
    CHECK(number_in(json_array_get(json_object_get(stage(&d, 1), "starts"), 0), "meta_steps") > 0);
    CHECK(strstr(
        word_in(json_array_get(json_object_get(stage(&d, 1), "starts"), 0), "stopped_because"),
        "minutes"));
    desk_close(&d);
}

/* ---- intermediate values and pruning ---- */

TEST(a_training_that_reports_is_the_same_training)
{
    desk d;
    size_t n, m;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_train, NULL));
    const double macs = number_in(json_object_get(d.result, "run"), "macs");
    const double loss = number_in(json_object_get(d.result, "run"), "objective_loss");
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_train, "objective.report_every=3"));
    CHECK_INT(d.events, 3); /* after 3 and 6 of 8 steps, and the end */
    CHECK_NEAR(number_in(json_object_get(d.result, "run"), "objective_loss"), loss, 0);
    CHECK(number_in(json_object_get(d.result, "run"), "macs") > macs); /* two looks more */
    char *x = desk_read(&d, "a", "weights.safetensors", &n);
    char *y = desk_read(&d, "b", "weights.safetensors", &m);
    CHECK(x && y && n == m && memcmp(x, y, n) == 0);
    free(x);
    free(y);
    desk_close(&d);
}

/* What a search sets and what hypergradients start from are one thing. */
TEST(a_scale_of_the_study_is_that_of_a_declaration)
{
    desk d;
    size_t n, m;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_train, "model.init_scale=0.5", "hyper=[l2]"));
    const double half = number_in(json_object_get(d.result, "run"), "objective_loss");
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_train, "model.init_scale=0.5",
                             "hyper=[l2, {kind: init_scale, per: layer}]"));
    char *x = desk_read(&d, "a", "weights.safetensors", &n);
    char *y = desk_read(&d, "b", "weights.safetensors", &m);
    CHECK(x && y && n == m && memcmp(x, y, n) == 0);
    CHECK_OK(d.ctx, DESK_RUN(&d, "c", desk_train, "hyper=[l2]"));
    CHECK(number_in(json_object_get(d.result, "run"), "objective_loss") != half);
    free(x);
    free(y);
    desk_close(&d);
}

/* A training waits for the verdict on what it reported: so which trials are pruned, and when, does
 * not depend on the machine's speed. */
TEST(stages_prune_the_same_trials_in_every_run)
{
    static const char *const more[] = {
        "search.trials=14", "search.pruner={kind: median, startup: 3}",
        "stages=[search, {run: retrain, seeds: 1, top: 1}]", "train.steps=18", NULL};
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, pipe_run(&d, "whole", desk_tune, more));
    const double pruned = number_in(json_object_get(stage(&d, 0), "trials"), "PRUNED");
    const double runs = number_in(stage(&d, 0), "runs");
    CHECK(pruned >= 2 && pruned < 14);
    CHECK_OK(d.ctx, pipe_run(&d, "cut", desk_tune, more));
    desk_same_result(&d, "whole", "cut");
    CHECK_OK(d.ctx, PIPE_RUN(&d, "none", desk_tune, "search.trials=14", more[2], more[3],
                             "search.sampler=sobol", "objective.report_every=2"));
    CHECK(runs < number_in(stage(&d, 0), "runs"));
    desk_close(&d);
}

TEST(stages_without_a_search_start_from_the_study_itself)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "parameters=[]", "stages=[refine, retrain]",
                             "retrain.seeds=2"));
    const json_t *all = json_object_get(stage(&d, 1), "candidates");

    CHECK_STR(word_in(json_array_get(json_object_get(stage(&d, 0), "starts"), 0), "folder"),
              "refine/start");
    CHECK_INT(json_array_size(all), 2);
    CHECK_STR(word_in(json_array_get(all, 1), "name"), "start");
    desk_close(&d);
}

TEST(stages_are_held_against_the_same_budget)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "p", desk_tune, "compare=[search, random, refine]",
                             "budget.runs=30", "search.trials=none", "outer.steps=100",
                             "stages=[{run: search, share: 0.5}, {run: refine, top: 1, share: "
                             "0.4}, {run: retrain, seeds: 2, share: 0.1}]"));
    const json_t *all = json_object_get(d.result, "compared");
    static const char *const names[] = {"search", "random", "refine"};

    CHECK_INT(json_array_size(all), 3);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i);
        const double first = number_in(json_array_get(json_object_get(c, "stages"), 0), "runs");

        CHECK_STR(word_in(c, "name"), names[i]);
        CHECK(first > 20 && first <= 27 + 4); /* nine tenths of 30 */
        CHECK(isfinite(
            number_in(json_object_get(json_object_get(c, "winner"), "mean"), "test_error")));
    }
    CHECK(strstr(d.text, "the same budget for"));
    desk_close(&d);
}

TEST(stages_refuse_a_model_of_the_callers)
{
    desk d;

    desk_open(&d);
    CHECK_INT(PIPE_RUN(&d, "p", desk_tune, "stages=[refine, refine]"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "override: stages.1.run: the order is"));
    desk_close(&d);
}

/* ---- cut and going on ---- */

static void same_file(const desk *d, const char *folder, const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    desk_same_file(d, "whole", path, "cut", path);
}

static void same_pipeline(const desk *d)
{
    const json_t *all = json_object_get(stage(d, 2), "candidates"), *c;
    size_t i;

    desk_same_result(d, "whole", "cut");
    json_array_foreach((json_t *)all, i, c)
    {
        same_file(d, word_in(c, "folder"), "weights.safetensors");
        if (json_is_true(json_object_get(c, "refined")))
            same_file(d, word_in(c, "folder"), "hyperparameters.safetensors");
    }
}

TEST(f21_a_pipeline_goes_on_where_it_was_cut)
{
    desk_cut(pipe_run, same_pipeline, NULL, test_count(4, 1));
}

TEST(f21_a_pipeline_with_a_budget_and_a_comparison_goes_on)
{
    static const char *const more[] = {"budget.runs=40",   "search.trials=none",
                                       "outer.steps=2",    "outer.fresh_seed=true",
                                       "compare=[random]", NULL};

    desk_cut(pipe_run, same_pipeline, more, test_count(4, 1));
}

TEST(f21_a_pipeline_that_is_done_is_told_again)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, PIPE_RUN(&d, "whole", desk_tune, NULL));
    CHECK_OK(d.ctx, PIPE_RUN(&d, "whole", desk_resume, NULL));
    CHECK_INT(d.events, 0);
    CHECK(strstr(d.text, "the winner"));
    CHECK_INT(PIPE_RUN(&d, "whole", desk_resume, "outer.lr=0.9"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "search.json: of another study, other data"));
    CHECK_OK(d.ctx, PIPE_RUN(&d, "whole", desk_tune, "outer.lr=0.9"));
    desk_close(&d);
}
