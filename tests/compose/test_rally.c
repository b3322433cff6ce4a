/* A rally: each stage goes on from what the one before left; what it costs; and that one that was
 * cut anywhere ends with the same bits. */
#include "desk.h"

static const char *const usual[] = {
    "hyper=[{kind: l2, per: unit-in, start: 1e-3}, {kind: lr, per: layer, phases: 2}]",
    "rally=[{examples: 0.5, steps: 8}, {examples: 40, steps: 10, meta_steps: 2}, {steps: 12}]",
    "outer.steps=3",
    "outer.audit_every=2",
    "threads=1",
    NULL,
};

static drmad_status rally_run(desk *d, const char *out, desk_call *call, const char *const *more)
{
    return desk_run_after(d, out, call, usual, more);
}
#define RALLY_RUN(d, out, call, ...)                                                               \
    rally_run((d), (out), (call), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static const json_t *leg(const desk *d, size_t i)
{
    return json_array_get(json_object_get(d->result, "rally"), i);
}

TEST(rally_stages_go_on_from_the_one_before)
{
    static const double examples[] = {30, 40, 60}, steps[] = {8, 10, 12}, meta[] = {3, 2, 3};
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, RALLY_RUN(&d, "r", desk_tune, "retrain.seeds=1"));
    CHECK_INT(json_array_size(json_object_get(d.result, "rally")), 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_NEAR(number_in(leg(&d, i), "examples"), examples[i], 0);
        CHECK_NEAR(number_in(leg(&d, i), "steps"), steps[i], 0);
        CHECK_NEAR(number_in(leg(&d, i), "meta_steps"), meta[i], 0);
        CHECK(number_in(leg(&d, i), "objective") <=
              number_in(leg(&d, i), "start")); /* outer.trust */
        const json_t *audits = json_object_get(leg(&d, i), "audits");
        CHECK(json_array_size(audits) > 0); /* full is exact: f32 rounding is left */
        CHECK_NEAR(json_number_value(json_array_get(audits, 0)), 1, 1e-3);
        CHECK(number_in(leg(&d, i), "largest_growth") > 0);
    }
    desk_same_file(&d, "r", "rally/1/state.safetensors", "r", "rally/2/start.safetensors");
    desk_same_file(&d, "r", "rally/2/tuned.safetensors", "r", "rally/3/start-values.safetensors");
    desk_same_file(&d, "r", "rally/2/tuned.safetensors", "r",
                   "rally/2/hyperparameters.safetensors");
    /* the first chain is the rally itself, and its end the result */
    for (int k = 1; k <= 3; k++) {
        char a[60], b[60];

        snprintf(a, sizeof a, "rally/%d/state.safetensors", k);
        snprintf(b, sizeof b, "retrain/tuned/%d/state.safetensors", k);
        desk_same_file(&d, "r", a, "r", b);
    }
    desk_same_file(&d, "r", "rally/3/weights.safetensors", "r", "weights.safetensors");
    CHECK(strstr(d.text, "stage  examples"));
    desk_close(&d);
}

/* Weights, buffers and the count of steps carried over: 20 steps of one run are 12 and 8 of two, to
 * the bit. The whole set is each batch, so that no order matters. */
TEST(a_training_in_two_parts_is_the_whole)
{
    static const char rms[] = "optimizer={kind: rmsprop, momentum: 0.5, centered: true}";
    static const char *const buffers[] = {"optimizer.dampening=0.2",  "optimizer.nesterov=true",
                                          "optimizer.form=maclaurin", "optimizer.kind=adamw",
                                          "optimizer.kind=nadam",     rms};
    char weights[400], state[400];
    desk d;

    desk_open(&d);
    snprintf(weights, sizeof weights, "model.weights=%s/a/state.safetensors", d.folder);
    snprintf(state, sizeof state, "optimizer.state=%s/a/state.safetensors", d.folder);
    for (size_t i = 0; i < COUNT(buffers); i++) {
        CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_train, "train.batch=60", "train.steps=20",
                                 "train.order=sequential", "output.state=true", buffers[i]));
        CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_train, "train.batch=60", "train.steps=12",
                                 "train.order=sequential", "output.state=true", buffers[i]));
        CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_train, "train.batch=60", "train.steps=8",
                                 "train.order=sequential", "output.state=true", buffers[i], weights,
                                 state));
        desk_same_file(&d, "whole", "state.safetensors", "b", "state.safetensors");
        CHECK_OK(d.ctx,
                 DESK_RUN(&d, "c", desk_train, "train.batch=60", "train.steps=8",
                          "train.order=sequential", "output.state=true", buffers[i], weights));
        size_t n, m;
        char *x = desk_read(&d, "b", "weights.safetensors", &n);
        char *y = desk_read(&d, "c", "weights.safetensors", &m);
        CHECK(n == m && memcmp(x, y, n) != 0); /* without its momentum it is another run */
        free(x);
        free(y);
    }
    desk_close(&d);
}

/* Subsets are nested, and validation and test sets stay what they are. */
TEST(a_subset_is_the_first_of_the_training_set)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "a", desk_train, "train.examples=0.5", "train.steps=1",
                             "train.batch=30", "optimizer.lr=0"));
    const double valid = number_in(json_object_get(d.result, "run"), "objective_loss");
    const double half = number_in(json_object_get(d.result, "run"), "train_loss");
    CHECK_OK(d.ctx, DESK_RUN(&d, "b", desk_train, "train.examples=30", "train.steps=1",
                             "train.batch=30", "optimizer.lr=0", "train.order=sequential"));
    CHECK_NEAR(number_in(json_object_get(d.result, "run"), "train_loss"), half, 1e-6);
    CHECK_NEAR(number_in(json_object_get(d.result, "run"), "objective_loss"), valid, 0);
    CHECK_OK(d.ctx, DESK_RUN(&d, "c", desk_train, "train.steps=1", "train.batch=30",
                             "optimizer.lr=0", "train.order=sequential"));
    CHECK_NEAR(number_in(json_object_get(d.result, "run"), "train_loss"), half, 1e-6);
    CHECK_NEAR(number_in(json_object_get(d.result, "run"), "objective_loss"), valid, 0);
    CHECK_INT(DESK_RUN(&d, "d", desk_train, "train.examples=61"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "train.examples: 61, but data.train is 60"));
    CHECK_INT(DESK_RUN(&d, "d", desk_train, "train.examples=0.05"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "train.batch: 5 of 3 training examples"));
    desk_close(&d);
}

/* Every declaration's values are inherited; of examples those that both stages have. Initial scales
 * act once; ties that ended stay ended. */
TEST(rally_hyperparameters_are_inherited)
{
    desk d;

    desk_open(&d);
    CHECK_OK(
        d.ctx,
        RALLY_RUN(&d, "r", desk_tune, "retrain.seeds=0",
                  "hyper=[{kind: init_scale, per: layer}, {kind: example_weight, per: example, "
                  "start: 0.75}, {kind: l2, per: unit-in, ties: [{per: global, until: 1}, "
                  "{per: layer, until: 40}]}]"));
    st_file *one = desk_tensors(&d, "r", "rally/1/tuned.safetensors");
    st_file *two = desk_tensors(&d, "r", "rally/2/start-values.safetensors");
    const st_tensor *a = safetensors_find(one, "example_weight");
    const st_tensor *b = safetensors_find(two, "example_weight");
    CHECK(a && b && a->shape.dim[1] == 30 && b->shape.dim[1] == 40);
    CHECK(memcmp(a->data, b->data, 30 * sizeof(double)) == 0);
    CHECK_NEAR(((const double *)b->data)[39], 0.75, 0);
    CHECK(((const double *)a->data)[0] != 0.75);
    CHECK(safetensors_find(one, "init_scale/layers.0") != NULL);
    CHECK(safetensors_find(two, "init_scale/layers.0") == NULL);
    /* the first stage ended tied per layer: its inputs have one value, later ones each their own */
    const st_tensor *l2 = safetensors_find(two, "l2/layers.1.weight");
    CHECK(l2 && l2->shape.dim[1] == 4);
    for (int i = 1; l2 && i < 4; i++)
        CHECK_NEAR(((const double *)l2->data)[i], ((const double *)l2->data)[0], 0);
    st_file *end = desk_tensors(&d, "r", "rally/2/tuned.safetensors");
    l2 = safetensors_find(end, "l2/layers.1.weight");
    CHECK(l2 && ((const double *)l2->data)[1] != ((const double *)l2->data)[0]);
    mem_free(d.ctx, one);
    mem_free(d.ctx, two);
    mem_free(d.ctx, end);
    desk_close(&d);
}

/* ---- nets that grow ---- */

static const char *const growing[] = {
    "model={layers: [auto, 4, 3, auto], activation: relu}",
    "rally=[{examples: 0.5, steps: 8}, {steps: 10, noise: 0, "
    "grow: [wider layers.0=7, deeper layers.1, wider layers.1_2=5]}, {grow: [wider layers.0=9]}]",
    "optimizer={kind: adamw, lr: 0.01}",
    NULL,
};

/* With no step of any length the next stage's first objective is the last one's end. */
TEST(a_grown_net_computes_what_the_old_one_did)
{
    char weights[400], state[400];
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, rally_run(&d, "r", desk_tune, growing));
    const json_t *end = json_object_get(leg(&d, 0), "end");
    const double loss = number_in(end, "objective_loss"), test = number_in(end, "test_loss");
    CHECK_NEAR(number_in(leg(&d, 0), "parameters"), 784 * 4 + 4 + 15 + 40, 0);
    CHECK_NEAR(number_in(leg(&d, 1), "parameters"), 784 * 7 + 7 + 24 + 20 + 60, 0);
    snprintf(weights, sizeof weights, "model.weights=%s/r/rally/2/start.safetensors", d.folder);
    snprintf(state, sizeof state, "optimizer.state=%s/r/rally/2/start.safetensors", d.folder);
    CHECK_OK(d.ctx, DESK_RUN(&d, "s", desk_train, growing[0], weights, state,
                             "optimizer={kind: adamw, lr: 0}", "train.steps=1",
                             "model.grow=[wider layers.0=7, deeper layers.1, wider "
                             "layers.1_2=5]"));
    const json_t *run = json_object_get(d.result, "run");
    CHECK_NEAR(number_in(run, "objective_loss"), loss, 1e-5);
    CHECK_NEAR(number_in(run, "test_loss"), test, 1e-5);
    desk_close(&d);
}

static const double *values_of(const st_file *f, const char *name, int64_t phases, int64_t n)
{
    const st_tensor *t = safetensors_find(f, name);

    if (!t || t->shape.dim[0] != phases || t->shape.dim[1] != n) {
        test_fail(__FILE__, __LINE__, "no [%d,%d] of %s", (int)phases, (int)n, name);
        return NULL;
    }
    return t->data;
}

/* Whether x is one of the n. */
static bool among(double x, const double *of, int n)
{
    for (int i = 0; i < n; i++)
        if (of[i] == x) return true;
    return false;
}

TEST(a_new_unit_inherits_its_parents_values_and_a_new_layer_those_before_it)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, rally_run(&d, "r", desk_tune, growing));
    st_file *one = desk_tensors(&d, "r", "rally/1/tuned.safetensors");
    st_file *two = desk_tensors(&d, "r", "rally/2/start-values.safetensors");
    const double *old = values_of(one, "l2/layers.1.weight", 1, 4);
    const double *now = values_of(two, "l2/layers.1.weight", 1, 7);
    CHECK(old[0] != old[1]);
    for (int i = 0; old && now && i < 7; i++) {
        if (i < 4) CHECK_NEAR(now[i], old[i], 0);
        else CHECK(among(now[i], old, 4));
    }
    /* the new layer has 3 inputs, the one before it 7 by then: their geometric mean */
    double logs = 0;
    for (int i = 0; now && i < 7; i++) logs += log(now[i]) / 7;
    now = values_of(two, "l2/layers.1_2.weight", 1, 3);
    for (int i = 0; now && i < 3; i++) CHECK_NEAR(now[i], exp(logs), 1e-15);
    old = values_of(one, "lr/layers.1", 2, 1);
    now = values_of(two, "lr/layers.1_2", 2, 1);
    for (int i = 0; old && now && i < 2; i++) CHECK_NEAR(now[i], old[i], 0);
    mem_free(d.ctx, one);
    mem_free(d.ctx, two);
    desk_close(&d);
}

/* A run is all stages trained once: here 30 steps. */
TEST(rally_charges_what_was_done)
{
    desk d;
    double sum = 0;

    desk_open(&d);
    CHECK_OK(d.ctx, RALLY_RUN(&d, "r", desk_tune, "outer.audit_every=never"));
    for (size_t i = 0; i < 3; i++) {
        const double share = number_in(leg(&d, i), "steps") / 30;
        const double meta = number_in(leg(&d, i), "meta_steps");

        CHECK(number_in(leg(&d, i), "runs") > share * (2.5 * meta + 2)); /* last look, kept run */
        CHECK(number_in(leg(&d, i), "runs") < share * (6 * meta + 4));
        sum += number_in(leg(&d, i), "runs");
    }
    /* two chains a seed, each a run and looks at F after its stages */
    const double chains = number_in(json_object_get(d.result, "spent"), "runs") - sum;
    CHECK(chains > 4 && chains < 4 * 2);
    desk_close(&d);
}

TEST(rally_keeps_to_its_shares_of_the_budget)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx,
             RALLY_RUN(&d, "r", desk_tune, "outer.steps=1000", "budget.runs=40", "outer.lr=0.01",
                       "retrain.seeds=0", "rally=[{steps: 10, share: 0.5}, {steps: 10}]"));
    const double first = number_in(leg(&d, 0), "runs"), second = number_in(leg(&d, 1), "runs");
    CHECK(first <= 20 + 2 && first > 16); /* the last look and the kept run may go over */
    CHECK(first + second <= 40 + 3 && first + second > 34);
    CHECK(strstr(json_string_value(json_object_get(leg(&d, 0), "stopped_because")), "budget.runs"));
    desk_close(&d);
}

TEST(rally_refuses_what_it_cannot_do)
{
    static const struct {
        const char *setting, *message;
    } bad[] = {
        {"stages=[refine]", "stages: a search is a study of its own"},
        {"hyper=[]", "rally: needs something in hyper"},
        {"hyper=[{kind: init_scale}]", "hyper: has nothing that a later stage"},
        {"outer.fresh_split=true", "outer.fresh_split: the weights that a rally carries"},
        {"rally=[{examples: 0}]", "rally.0.examples: is 0"},
        {"rally=[{examples: 61}]", "rally.0.examples: is above data.train"},
        {"rally=[{examples: 20}, {examples: 10}]", "rally.1.examples: is below"},
        {"rally=[{grow: [deeper layers.0]}]", "rally.0.grow: the first stage has nothing"},
        {"rally=[{}, {grow: [wider 4]}]", "\"wider 4\": expected \"wider LAYER=OUTPUTS\""},
        {"rally=[{}, {grow: [wider layers.1=20]}]", "layer layers.1 (linear): its outputs are"},
        {"rally=[{}, {grow: [deeper layers.0]}]", "layer layers.0 (linear): has no ReLU"},
        {"rally=[{share: 0.7}, {share: 0.7}]", "rally.1.share: all shares together"},
        {"rally=[{steps: 3}, {steps: 1}]", "phases, but train.steps is 1"},
    };
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_INT(RALLY_RUN(&d, "r", desk_tune, bad[i].setting), DRMAD_E_CONFIG);
        if (!strstr(d.message, bad[i].message))
            test_fail(__FILE__, __LINE__, "%s: \"%s\"", bad[i].setting, d.message);
    }
    desk_close(&d);
}

/* ---- cut and going on ---- */

static void same_rally(const desk *d)
{
    static const char *const names[] = {
        "rally/1/state.safetensors", "rally/2/hyperparameters.safetensors",
        "rally/3/state.safetensors", "retrain/start/3/weights.safetensors"};

    desk_same_result(d, "whole", "cut");
    for (size_t i = 0; i < COUNT(names); i++) desk_same_file(d, "whole", names[i], "cut", names[i]);
}

TEST(f21_a_rally_goes_on_where_it_was_cut)
{
    desk_cut(rally_run, same_rally, NULL, test_count(5, 1));
}

TEST(f21_a_rally_with_a_budget_and_fresh_seeds_goes_on)
{
    static const char *const more[] = {"budget.runs=30", "outer.fresh_seed=true",
                                       "trajectory.kind=grid", NULL};

    desk_cut(rally_run, same_rally, more, test_count(5, 1));
}

TEST(f21_a_rally_with_a_net_that_grows_goes_on)
{
    desk_cut(rally_run, same_rally, growing, test_count(5, 1));
}

TEST(f21_a_rally_that_is_done_is_told_again)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, RALLY_RUN(&d, "r", desk_tune, NULL));
    CHECK_OK(d.ctx, RALLY_RUN(&d, "r", desk_resume, NULL));
    CHECK_INT(d.events, 0);
    CHECK(strstr(d.text, "stage  examples"));
    CHECK_INT(RALLY_RUN(&d, "r", desk_resume, "outer.lr=0.9"), DRMAD_E_CONFIG);
    CHECK(strstr(d.message, "rally.json: of another study, other data"));
    CHECK_OK(d.ctx, RALLY_RUN(&d, "r", desk_tune, "outer.lr=0.9"));
    desk_close(&d);
}
