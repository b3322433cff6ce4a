/* What the calls on a study do and leave behind, flow by flow. */
#include "desk.h"

static drmad_status call_why(drmad_study *s)
{
    return drmad_study_why(s);
}
static drmad_status call_check(drmad_study *s)
{
    return drmad_study_check(s);
}
static drmad_status call_explain(drmad_study *s)
{
    return drmad_study_explain(s);
}
static drmad_status call_dry_run(drmad_study *s)
{
    return drmad_study_dry_run(s);
}

TEST(tune_leaves_its_files_and_finds_something_better)
{
    static const char *const files[] = {"result.json", "log.jsonl", "study.yaml",
                                        "weights.safetensors", "hyperparameters.safetensors"};
    desk d;
    size_t size;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.steps=6"));
    for (size_t i = 0; i < COUNT(files); i++) CHECK(desk_has(&d, "r", files[i]));
    CHECK(!desk_has(&d, "r", "checkpoint.safetensors"));
    char *text = desk_read(&d, "r", "result.json", &size);
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_equal(j, d.result)); /* the file says what the caller is told */
    CHECK_INT(json_array_size(json_object_get(j, "path")), 6);
    CHECK(desk_number(&d, "best_objective") <
          json_number_value(json_object_get(desk_step(&d, 0), "objective")));
    CHECK(json_is_object(json_object_get(j, "versions")));
    CHECK_INT(json_array_size(json_object_get(json_object_get(j, "tuned"), "runs")), 2);
    json_decref(j);
    free(text);
    st_file *f = desk_tensors(&d, "r", "hyperparameters.safetensors");
    CHECK(f && f->n == 2 && safetensors_find(f, "l2/layers.0.weight"));
    mem_free(d.ctx, f);
    desk_close(&d);
}

/* The resolved study reads back and gives the same run. */
TEST(the_resolved_study_repeats_the_run)
{
    desk d;
    drmad_study *s = NULL;
    char path[400], out[400];

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_tune, "outer.lr=0.2"));
    snprintf(path, sizeof path, "%s/a/study.yaml", d.folder);
    snprintf(out, sizeof out, "output.dir=%s/b", d.folder);
    const char *const settings[] = {out};
    CHECK_OK(d.ctx, drmad_study_load(d.ctx, path, settings, 1, &s));
    CHECK_OK(d.ctx, drmad_study_tune(s, 0));
    drmad_study_free(s);
    desk_same(&d, "a", "b");
    desk_close(&d);
}

TEST(every_trajectory_kind_tunes)
{
    static const struct {
        const char *kind, *more, *named;
    } kinds[] = {
        {"trajectory.kind=full", "seed=3", "full"},
        {"trajectory.kind=auto", "trajectory.memory=1GiB", "full"},
        {"trajectory.kind=auto", "trajectory.memory=1MiB", "grid"},
        {"trajectory.kind=replay", "trajectory.memory=1MiB", "replay"},
        {"trajectory.kind=grid", "trajectory.quality=low", "grid"},
        {"trajectory.kind=grid", "trajectory.quality=normal", "grid"},
        {"trajectory.kind=grid", "trajectory.quality=high", "grid"},
        {"trajectory.kind=grid", "trajectory.stride=fast", "grid"},
        {"trajectory.kind=grid", "model.activation=relu", "grid"},
        {"trajectory.kind=line", "trajectory.coverage=full", "line"},
        {"trajectory.kind=line", "trajectory.coverage=tenth", "line"},
    };
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, kinds[i].kind, kinds[i].more,
                                 "train.steps=100", "retrain.seeds=1", "outer.max_growth=1e300"));
        CHECK_STR(desk_word(&d, "trajectory"), kinds[i].named);
        CHECK(isfinite(desk_number(&d, "best_objective")));
    }
    desk_close(&d);
}

/* full and replay hand out the same states, so the same hyperparameters follow, bit for bit. */
TEST(replay_tunes_as_full_does)
{
    desk d;
    size_t na, nb;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_tune, "trajectory.kind=full", "train.steps=100"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_tune, "trajectory.kind=replay", "trajectory.memory=1MiB",
                             "train.steps=100"));
    char *a = desk_read(&d, "a", "hyperparameters.safetensors", &na);
    char *b = desk_read(&d, "b", "hyperparameters.safetensors", &nb);
    CHECK(a && b && na == nb && memcmp(a, b, na) == 0);
    free(a);
    free(b);
    desk_close(&d);
}

TEST(fresh_seeds_and_splits_change_the_runs_and_nothing_else)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.lr=0"));
    const double same = json_number_value(json_object_get(desk_step(&d, 1), "objective"));
    CHECK_NEAR(json_number_value(json_object_get(desk_step(&d, 0), "objective")), same, 0);
    static const char *const fresh[] = {"outer.fresh_seed=true", "outer.fresh_split=true"};
    for (size_t i = 0; i < COUNT(fresh); i++) {
        CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, fresh[i], "outer.lr=0"));
        const double first = json_number_value(json_object_get(desk_step(&d, 0), "objective"));
        const double next = json_number_value(json_object_get(desk_step(&d, 1), "objective"));
        CHECK(isfinite(first) && isfinite(next) && first != next);
    }
    desk_close(&d);
}

/* The log of the tuned learning rate over its start, after so many steps of SGD. */
static double moved(desk *d, const char *steps, const char *momentum)
{
    CHECK_OK(d->ctx,
             DESK_RUN(d, "r", desk_tune, steps, momentum, "outer.fresh_split=true",
                      "outer.optimizer=sgd", "outer.lr=1e-3", "hyper=[{kind: lr, start: 0.1}]"));
    st_file *f = desk_tensors(d, "r", "hyperparameters.safetensors");
    const double x = f && f->n == 1 ? log(((const double *)f->at[0].data)[0] / 0.1) : NAN;
    mem_free(d->ctx, f);
    return x;
}

/* Without momentum two moves are g1 + g2, with 0.5 they are g1 + (0.5 g1 + g2), unless the average
 * is lost with the old split. 1e-3: the moves are so short that g2 is the same in both. */
TEST(fresh_splits_keep_the_averages_of_the_outer_optimiser)
{
    desk d;

    desk_open(&d);
    const double first = moved(&d, "outer.steps=1", "outer.momentum=0");
    const double plain = moved(&d, "outer.steps=2", "outer.momentum=0");
    const double heavy = moved(&d, "outer.steps=2", "outer.momentum=0.5");
    CHECK(first != 0 && plain != first);
    CHECK_NEAR(heavy - plain, 0.5 * first, 1e-3 * fabs(first));
    desk_close(&d);
}

TEST(ties_are_loosened_one_after_the_other)
{
    static const char ties[] = "hyper=[{kind: l2, per: unit-in, start: 1e-3, ties: [{per: global, "
                               "until: 2}, {per: layer, until: 4}]}]";
    static const struct {
        const char *steps, *tensor;
        int64_t elements, tensors;
    } stages[] = {{"outer.steps=2", "l2", 1, 1},
                  {"outer.steps=4", "l2/layers.0.weight", 1, 2},
                  {"outer.steps=5", "l2/layers.0.weight", 784, 2}};
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(stages); i++) {
        CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, ties, stages[i].steps));
        st_file *f = desk_tensors(&d, "r", "hyperparameters.safetensors");
        const st_tensor *t = f ? safetensors_find(f, stages[i].tensor) : NULL;
        CHECK(f && f->n == stages[i].tensors);
        CHECK(t && shape_count(&t->shape) == stages[i].elements);
        if (t && i == 2) { /* once loose, they part */
            const double *x = t->data;
            int apart = 0;
            for (int64_t e = 1; e < 784; e++) apart += x[e] != x[0];
            CHECK(apart > 100);
        }
        mem_free(d.ctx, f);
    }
    desk_close(&d);
}

TEST(patience_counts_meta_steps_without_a_better_objective)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.lr=0", "outer.patience=3", "outer.steps=20",
                             "outer.tolerance=0.01"));
    CHECK_STR(desk_word(&d, "stopped_because"), "patience is out");
    CHECK_INT(desk_number(&d, "meta_steps"), 4); /* the first is better than nothing */
    CHECK_STR(word_in(desk_step(&d, 3), "verdict"), "stopped");
    desk_close(&d);
}

TEST(budgets_stop_the_tuning_and_leave_a_result)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "budget.runs=10", "outer.steps=50",
                             "outer.audit_every=never"));
    CHECK_STR(desk_word(&d, "stopped_because"), "budget.runs is spent");
    const double spent = desk_number(&d, "spent_runs");
    CHECK(spent > 5 && spent <= 10);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "budget.minutes=1e-9", "outer.steps=50"));
    CHECK_STR(desk_word(&d, "stopped_because"), "budget.minutes are over");
    CHECK_INT(desk_number(&d, "meta_steps"), 0);
    CHECK(isfinite(desk_number(&d, "best_objective")));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.steps=0"));
    CHECK(desk_has(&d, "r", "hyperparameters.safetensors"));
    desk_close(&d);
}

TEST(baselines_and_retraining_are_reported_and_charged)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "baselines.random=4", "retrain.seeds=3",
                             "hyper=[{kind: l2, per: unit-in}, {kind: lr, low: 1e-3, high: 1}]"));
    CHECK_INT(desk_number(&d, "random_search_runs"), 4);
    CHECK_INT(desk_number(&d, "retrain_runs"), 6);
    static const char *const parts[] = {"tuned", "start", "random_search"};
    for (size_t i = 0; i < COUNT(parts); i++) {
        const json_t *p = json_object_get(d.result, parts[i]);
        const json_t *mean = json_object_get(p, "mean");
        CHECK_INT(json_array_size(json_object_get(p, "runs")), 3);
        CHECK(json_is_true(json_object_get(mean, "finite")));
        CHECK(json_is_number(json_object_get(mean, "test_error")));
        CHECK(strstr(d.text, parts[i]));
    }
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "retrain.seeds=0"));
    CHECK(!json_object_get(d.result, "tuned"));
    CHECK(desk_has(&d, "r", "weights.safetensors"));
    desk_close(&d);
}

/* Half of 100 labels are wrong; weights that know nothing score 0.5. The bar is low: 20 steps. */
TEST(cleaning_reports_how_well_wrong_labels_are_found)
{
    static const char hyper[] =
        "hyper=[{kind: example_weight, per: example, transform: logit, low: 0, high: 2, start: 1}]";
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, hyper, "data.train=100", "data.valid=100",
                             "data.label_noise=0.5", "train.steps=20", "outer.lr=1",
                             "outer.steps=8", "model.layers=[auto, auto]"));
    const json_t *found = json_object_get(d.result, "cleaning");
    CHECK(json_number_value(json_object_get(found, "auc_by_weight")) > 0.6);
    CHECK(json_number_value(json_object_get(found, "auc_by_clean_loss")) > 0.6);
    /* too few clean examples for one batch, and none wrong at all: no reason to fail */
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, hyper, "data.valid=4", "data.label_noise=0.5",
                             "outer.steps=1"));
    CHECK(
        json_is_null(json_object_get(json_object_get(d.result, "cleaning"), "auc_by_clean_loss")));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, hyper, "data.label_noise=0.001", "outer.steps=1"));
    CHECK(!json_object_get(d.result, "cleaning"));
    desk_close(&d);
}

/* The weights kept are those of the first retrained run. */
TEST(weights_kept_are_those_of_the_run_reported_first)
{
    desk d;
    size_t na, nb;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_tune, "retrain.seeds=1"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_tune, "retrain.seeds=3"));
    char *a = desk_read(&d, "a", "weights.safetensors", &na);
    char *b = desk_read(&d, "b", "weights.safetensors", &nb);
    CHECK(a && b && na == nb && memcmp(a, b, na) == 0);
    free(a);
    free(b);
    desk_close(&d);
}

/* In double on an exact path the audit is the sensitivity itself; 1e-8: rounding. */
TEST(why_ranks_knobs_and_audits_the_first)
{
    desk d;
    double last = HUGE_VAL;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", call_why, "dtype=f64", "trajectory.kind=full",
                             "hyper=[{kind: l2, per: layer}, {kind: lr, per: layer, phases: 2}]"));
    const json_t *list = json_object_get(d.result, "sensitivities");
    CHECK_INT(json_array_size(list), 6);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *k = json_array_get(list, i);
        const double gain = json_number_value(json_object_get(k, "gain_10_percent"));
        const double slope = json_number_value(json_object_get(k, "dF_dlog"));
        const json_t *audit = json_object_get(k, "audit_dF_dlog");
        CHECK(gain <= last && gain > 0);
        CHECK(json_is_number(audit) == (i < 3));
        if (i < 3) CHECK_NEAR(json_number_value(audit), slope, 1e-8 * fabs(slope));
        last = gain;
    }
    CHECK(desk_has(&d, "r", "why.json") && desk_has(&d, "r", "hypergradients.safetensors"));
    CHECK(desk_has(&d, "r", "result.json")); /* the tuned result is still there */
    desk_close(&d);
}

TEST(training_does_not_take_the_place_of_a_tuned_result)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "t", desk_train, NULL));
    CHECK(desk_has(&d, "t", "weights.safetensors") && desk_has(&d, "t", "log.jsonl"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "t", desk_train, NULL)); /* its own it may replace */
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    CHECK_INT(DESK_RUN(&d, "r", desk_train, NULL), DRMAD_E_OUTPUT);
    CHECK(strstr(d.message, "name another folder"));
    desk_close(&d);
}

TEST(check_proves_the_study_and_writes_nothing)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "c", call_check,
                             "hyper=[{kind: l2, per: unit-in}, {kind: lr, per: layer, phases: 3}, "
                             "{kind: momentum}, {kind: init_scale, per: layer}]"));
    CHECK_INT(desk_number(&d, "slices"), 7);
    CHECK_INT(desk_number(&d, "wrong"), 0);
    CHECK(desk_number(&d, "worst_relative_error") < 1e-8);
    CHECK(!desk_has(&d, "c", ""));
    desk_close(&d);
}

TEST(explain_prints_both_plans)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "e", call_explain, NULL));
    CHECK(strstr(d.text, "== training step ==") && strstr(d.text, "== reverse step =="));
    CHECK(strstr(d.text, "matmul") && strstr(d.text, "bytes"));
    CHECK(!desk_has(&d, "e", ""));
    desk_close(&d);
}

/* What it promises is what tuning then charges: the estimate is made of the same plans. */
TEST(a_dry_run_trains_nothing_and_says_what_tuning_will_charge)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "x", call_dry_run, "retrain.seeds=2"));
    CHECK(!desk_has(&d, "x", ""));
    const double said = desk_number(&d, "runs");
    CHECK(desk_number(&d, "peak_bytes") > 0 && desk_number(&d, "hours") >= 0);
    CHECK_OK(d.ctx, DESK_RUN(&d, "x", desk_tune, "retrain.seeds=2"));
    const double done = desk_number(&d, "spent_runs") + desk_number(&d, "retrain_runs");
    CHECK_NEAR(said, done, 0.05 * done); /* an audit's evaluations are left out of the estimate */
    desk_close(&d);
}

TEST(two_at_once_never_share_a_folder)
{
    desk d;
    drmad_study *s = NULL;
    char path[400], out[400];

    desk_open(&d);
    snprintf(path, sizeof path, "%s/study.yaml", d.folder);
    snprintf(out, sizeof out, "output.dir=%s/r", d.folder);
    const char *const settings[] = {out};
    CHECK_OK(d.ctx, drmad_study_load(d.ctx, path, settings, 1, &s));
    CHECK_OK(d.ctx, drmad_study_tune(s, 0)); /* its folder is held until the study is freed */
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, NULL), DRMAD_E_AGAIN);
    CHECK(strstr(d.message, "another drmad"));
    drmad_study_free(s);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, NULL));
    desk_close(&d);
}

TEST(a_study_can_be_used_for_one_call_after_the_other)
{
    desk d;
    drmad_study *s = NULL;
    char path[400], out[400];

    desk_open(&d);
    snprintf(path, sizeof path, "%s/study.yaml", d.folder);
    snprintf(out, sizeof out, "output.dir=%s/r", d.folder);
    const char *const settings[] = {out};
    CHECK_OK(d.ctx, drmad_study_load(d.ctx, path, settings, 1, &s));
    CHECK_STR(drmad_study_result_json(s), "");
    CHECK_OK(d.ctx, drmad_study_why(s));
    CHECK_OK(d.ctx, drmad_study_dry_run(s));
    CHECK(!strstr(drmad_study_result_text(s), "audited")); /* only of the last call */
    CHECK_OK(d.ctx, drmad_study_tune(s, 0));
    CHECK_OK(d.ctx, drmad_study_check(s));
    drmad_study_free(s);
    drmad_study_free(NULL);
    desk_close(&d);
}

/* ---- refusals ---- */

TEST(what_makes_no_sense_is_refused_by_name)
{
    static const struct {
        const char *a, *b, *says;
    } bad[] = {
        {"hyper=[{kind: l2, start: 0}]", "seed=1", "hyper.0"},
        {"hyper=[{kind: l2, low: 0}]", "seed=1", "hyper.0"},
        {"hyper=[{kind: momentum, per: layer, phases: every-step}]", "trajectory.kind=grid",
         "momentum at every step needs the momentum buffer"},
        {"hyper=[{kind: momentum, phases: every-step}]", "trajectory.kind=line", "use phases"},
        {"hyper=[{kind: momentum}]", "trajectory.stride=fast", "trajectory.stride"},
        {"hyper=[{kind: init_scale, phases: 3}]", "seed=1", "no phases"},
        {"hyper=[{kind: input_scale, per: layer}]", "seed=1", "no value per layer"},
        {"hyper=[{kind: l2}, {kind: l2, per: layer}]", "seed=1", "l2"},
        {"hyper=[{kind: lr, match: \"nothing.*\"}]", "seed=1", "nothing.*"},
        {"hyper=[]", "seed=1", "nothing to tune"},
        {"train.batch=61", "seed=1", "train.batch"},
        {"model.layers=[784, 4, 9]", "seed=1", "9 outputs for 10 classes"},
        {"model.layers=[783, 4, 10]", "seed=1", "783 inputs"},
        {"hyper=[{kind: example_weight, per: example}]", "outer.fresh_split=true",
         "outer.fresh_split"},
        {"trajectory.memory=1KiB", "trajectory.kind=replay", "memory"},
        {"data.valid=0", "seed=1", "data.valid"},
    };
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(bad); i++) {
        const drmad_status st = DESK_RUN(&d, "r", desk_tune, bad[i].a, bad[i].b);
        if (drmad_status_exit(st) != 2 || !strstr(d.message, bad[i].says))
            test_fail(__FILE__, __LINE__, "%s %s: status %d, \"%s\", expected \"%s\"", bad[i].a,
                      bad[i].b, (int)st, d.message, bad[i].says);
        CHECK(!desk_has(&d, "r", "result.json") && !desk_has(&d, "r", "study.yaml"));
    }
    desk_close(&d);
}

/* A test set that is split off the same rows would be trained on by a fresh split. */
TEST(fresh_splits_never_reach_the_test_set)
{
    static const unsigned char head[] = {0, 0, 8, 2, 0, 0, 0, 60, 0, 0, 0, 4};
    static const unsigned char label_head[] = {0, 0, 8, 1, 0, 0, 0, 60};
    unsigned char rows[sizeof head + 240], labels[sizeof label_head + 60];
    char images[400], names[400];
    desk d;

    desk_open(&d);
    memcpy(rows, head, sizeof head);
    memcpy(labels, label_head, sizeof label_head);
    for (size_t i = 0; i < 240; i++) rows[sizeof head + i] = (unsigned char)(i * 37);
    for (size_t i = 0; i < 60; i++) labels[sizeof label_head + i] = (unsigned char)(i % 3);
    desk_write(&d, ".", "rows", (const char *)rows, sizeof rows);
    desk_write(&d, ".", "labels", (const char *)labels, sizeof labels);
    snprintf(images, sizeof images,
             "data={kind: idx, images: %s/rows, labels: %s/labels, train: "
             "30, valid: 20, test: 10}",
             d.folder, d.folder);
    snprintf(names, sizeof names,
             "data={kind: idx, images: %s/rows, labels: %s/labels, train: "
             "30, valid: 20, test: 0}",
             d.folder, d.folder);
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, images, "outer.fresh_split=true"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "would train on test examples"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, names, "outer.fresh_split=true"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, images));
    desk_close(&d);
}
