/* Study files that are right: what they set, how they print, what follows from what. */
#include "base/file.h"
#include "base/rng.h"
#include "config/config_inside.h"
#include "test.h"
#include <locale.h>

static config *read_text(drmad_ctx *ctx, const char *text)
{
    config *c = NULL;

    CHECK_OK(ctx, config_new(ctx, &c));
    CHECK_OK(ctx, config_read(c, "study.yaml", text, strlen(text)));
    return c;
}

static void check_get(config *c, const char *name, const char *want)
{
    char *got = NULL;

    CHECK_OK(c->ctx, config_get(c, name, &got));
    if (got) CHECK_STR(got, want);
    mem_free(c->ctx, got);
}

static const char example[] = "# a study\n"
                              "name: mnist-l2\n"
                              "seed: 7\n"
                              "model: {layers: [784, 50, auto], activation: relu}\n"
                              "train:\n"
                              "    steps: 1e3\n"
                              "    l2: 0.001\n"
                              "optimizer:\n"
                              "    lr: .05\n"
                              "hyper:\n"
                              "- {kind: l2, per: unit-in}\n"
                              "- kind: lr\n"
                              "  per: weight\n"
                              "  match: \"layers.*.weight\"\n"
                              "  phases: every-step\n"
                              "  high: .inf\n"
                              "  ties:\n"
                              "    - {per: global, until: 5}\n"
                              "    - {per: layer, until: 10}\n"
                              "trajectory: {memory: 1.5GiB, kind: 'grid'}\n"
                              "outer: {patience: 4}\n";

TEST(a_study_sets_what_it_names_and_leaves_the_rest)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, example);
    const config_study *s = &c->set;

    CHECK_STR(s->name, "mnist-l2");
    CHECK_INT(s->seed, 7);
    CHECK_INT(s->model.layers.n, 3);
    CHECK_INT(s->model.layers.at[1], 50);
    CHECK_INT(s->model.layers.at[2], 0);
    CHECK_INT(s->model.activation, CFG_ACT_RELU);
    CHECK_INT(s->train.steps, 1000);
    CHECK_NEAR(s->optimizer.lr, 0.05, 0);
    CHECK_INT(s->hyper.n, 2);
    CHECK_INT(s->hyper.at[0].per, PER_UNIT_IN);
    CHECK_INT(s->hyper.at[1].kind, HYPER_LR);
    CHECK_INT(s->hyper.at[1].phases, 0);
    CHECK(isinf(s->hyper.at[1].high));
    CHECK_INT(s->hyper.at[1].ties.n, 2);
    CHECK_INT(s->hyper.at[1].ties.at[1].per, PER_LAYER);
    CHECK_INT(s->hyper.at[1].ties.at[1].until, 10);
    CHECK_STR(s->hyper.at[1].match, "layers.*.weight");
    CHECK_INT(s->trajectory.memory, 3LL << 29);
    CHECK_INT(s->trajectory.kind, CFG_TRAJ_GRID);
    CHECK_INT(s->outer.patience, 4);
    CHECK_INT(s->outer.steps, 20); /* not named */
    CHECK_INT(s->train.batch, 50);
    CHECK(s->outer.trust);
    config_free(c);
}

TEST(what_is_left_open_follows_from_the_rest)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, example);
    const config_study *s = &c->set;

    CHECK(isnan(s->hyper.at[0].start));
    CHECK_OK(ctx, config_set(c, "hyper.1.multiplier", "false"));
    CHECK_OK(ctx, config_finish(c));
    CHECK_INT(s->data.split_seed, 7);
    CHECK_STR(s->output.dir, "runs/mnist-l2");
    CHECK_NEAR(s->hyper.at[0].start, 0.001, 0); /* train.l2 */
    CHECK_NEAR(s->hyper.at[0].low, 1e-10, 0);
    CHECK_INT(s->hyper.at[0].transform, TRANSFORM_LOG);
    CHECK_NEAR(s->hyper.at[1].start, 0.05, 0); /* optimizer.lr */
    config_free(c);

    c = read_text(ctx, "optimizer: {momentum: 0.8}\n"
                       "outer: {fresh_split: true}\n"
                       "hyper: [{kind: lr, multiplier: true}, {kind: momentum}, {kind: l1},\n"
                       "        {kind: l2, transform: identity}]\n");
    CHECK_OK(ctx, config_finish(c));
    s = &c->set;
    CHECK_NEAR(s->hyper.at[0].start, 1, 0);
    CHECK_NEAR(s->hyper.at[0].high, 1000, 0);
    CHECK_NEAR(s->hyper.at[1].start, 0.8, 0);
    CHECK_INT(s->hyper.at[1].transform, TRANSFORM_LOGIT);
    CHECK_NEAR(s->hyper.at[2].start, 1e-5, 0); /* train.l1 is 0: the kind's own */
    CHECK_NEAR(s->hyper.at[3].low, 0, 0);      /* no logarithm, no need to stay above 0 */
    CHECK(!s->outer.trust);
    config_free(c);
}

TEST(overrides_set_keys_entries_lists_and_whole_sections)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, example);
    const config_study *s = &c->set;

    CHECK_OK(ctx, config_set(c, "outer.lr", "0.02"));
    CHECK_OK(ctx, config_set(c, "hyper.1.start", "1e-3"));
    CHECK_OK(ctx, config_set(c, "hyper.1.ties.0.until", "6"));
    CHECK_OK(ctx, config_set(c, "model.layers", "[784, 20, 10]"));
    CHECK_OK(ctx, config_set(c, "train", "{batch: 20, order: sequential}"));
    CHECK_OK(ctx, config_set(c, "hyper.0", "{phases: 3}"));
    CHECK_OK(ctx, config_set(c, "data.dir", "")); /* no value is the empty text */
    CHECK_NEAR(s->outer.lr, 0.02, 0);
    CHECK_NEAR(s->hyper.at[1].start, 1e-3, 0);
    CHECK_INT(s->hyper.at[1].ties.at[0].until, 6);
    CHECK_INT(s->model.layers.at[1], 20);
    CHECK_INT(s->train.batch, 20);
    CHECK_INT(s->train.steps, 1000); /* a section is merged */
    CHECK_INT(s->hyper.at[0].phases, 3);
    CHECK_INT(s->hyper.at[0].per, PER_UNIT_IN);
    CHECK_OK(ctx, config_set(c, "hyper", "[{kind: momentum}]")); /* a list is replaced */
    CHECK_INT(s->hyper.n, 1);
    CHECK_INT(s->hyper.at[0].per, PER_GLOBAL);
    CHECK_STR(s->hyper.at[0].match, "");
    CHECK_OK(ctx, config_set(c, "hyper", "[]"));
    CHECK_FAILS(ctx, config_need_hyper(c), DRMAD_E_CONFIG, "override: hyper: nothing to tune");
    config_free(c);
}

static const char search_example[] =
    "store: sqlite:runs.db\n"
    "version: v1.2\n"
    "parameters:\n"
    "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
    "  - name: depth\n"
    "    type: int\n"
    "    low: 1\n"
    "    high: 8\n"
    "    step: 2\n"
    "  - {name: act, choices: [relu, null, ~, true, \"true\", 3, '3', 0.5, -1e-3, "
    "\"a\\\"b\\\\\"],\n"
    "     weights: [1, 2.5, 0, 1, 1, 1, 1, 1, 1, 1], when: depth > 1 and lr < 0.1, ordered: true}\n"
    "  - {name: x, low: 0, high: 1, prior: log-normal, mean: -3, sd: 2, fixed: 0.5}\n"
    "search: {sampler: random, direction: maximize, trials: none,\n"
    "         constraints: [lr * depth <= 2, 'act != \"relu\"'],\n"
    "         enqueue: [lr=0.1 depth=2, '{\"lr\": 0.01}']}\n"
    "objective: {cmd: \"python train.py {lr}\", pass: stdin, metric: loss, timeout: 30,\n"
    "            memory: 1GiB, retries: 2}\n"
    "worker: {jobs: 3, lease: 2.5, patience: 0, memory: auto}\n";

TEST(a_search_sets_parameters_rules_and_points)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, search_example);
    const config_study *s = &c->set;
    const config_parameter *p = s->parameters.at;
    static const char *const choices[] = {"\"relu\"", "null",  "null", "true",  "\"true\"",
                                          "3",        "\"3\"", "0.5",  "-1e-3", "\"a\\\"b\\\\\""};

    CHECK_OK(ctx, config_finish(c));
    CHECK_STR(s->store, "sqlite:runs.db");
    CHECK_STR(s->version, "v1.2");
    CHECK_INT(s->parameters.n, 4);
    CHECK_STR(p[0].name, "lr");
    CHECK_INT(p[0].type, CFG_PARAMETER_FLOAT);
    CHECK_NEAR(p[0].low, 1e-5, 0);
    CHECK(p[0].log && p[0].step == 0);
    CHECK_INT(p[1].type, CFG_PARAMETER_INT);
    CHECK_NEAR(p[1].step, 2, 0);
    CHECK_INT(p[2].type, CFG_PARAMETER_CATEGORICAL);
    CHECK_INT(p[2].choices.n, COUNT(choices));
    for (int32_t i = 0; i < p[2].choices.n; i++) CHECK_STR(p[2].choices.at[i], choices[i]);
    CHECK_INT(p[2].weights.n, 10);
    CHECK_NEAR(p[2].weights.at[1], 2.5, 0);
    CHECK(p[2].ordered && isnan(p[2].low));
    CHECK_STR(p[2].when, "depth > 1 and lr < 0.1");
    CHECK_INT(p[3].prior, CFG_PRIOR_LOG_NORMAL);
    CHECK_STR(p[3].fixed, "0.5");
    CHECK_INT(s->search.sampler, CFG_SAMPLER_RANDOM);
    CHECK_INT(s->search.direction, CFG_DIRECTION_MAXIMIZE);
    CHECK_INT(s->search.trials, 0);
    CHECK_INT(s->search.constraints.n, 2);
    CHECK_STR(s->search.constraints.at[1], "act != \"relu\"");
    CHECK_STR(s->search.enqueue.at[0], "lr=0.1 depth=2");
    CHECK_STR(s->search.enqueue.at[1], "{\"lr\": 0.01}");
    CHECK_STR(s->objective.cmd, "python train.py {lr}");
    CHECK_INT(s->objective.memory, 1 << 30);
    CHECK_INT(s->worker.jobs, 3);
    CHECK_INT(s->worker.memory, 0);
    config_free(c);
}

TEST(lists_of_values_are_replaced_and_print_as_they_are_read)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, search_example);

    CHECK_OK(ctx, config_set(c, "search.constraints", "[a < 1]"));
    CHECK_INT(c->set.search.constraints.n, 1);
    CHECK_OK(ctx, config_set(c, "search.enqueue", "[]"));
    CHECK_INT(c->set.search.enqueue.n, 0);
    CHECK_OK(ctx, config_set(c, "parameters.2.choices", "[7, \"7\", tanh]"));
    CHECK_OK(ctx, config_set(c, "parameters.2.weights", "[0.25, 1e-9, 3]"));
    check_get(c, "search.constraints", "[\"a < 1\"]");
    check_get(c, "parameters.2.choices", "[7, \"7\", \"tanh\"]");
    check_get(c, "parameters.2.weights", "[0.25, 1e-09, 3]");
    check_get(c, "objective.memory", "1GiB");
    CHECK_OK(ctx, config_set(c, "objective.memory", "none"));
    check_get(c, "objective.memory", "none");
    CHECK_OK(ctx, config_set(c, "parameters", "[{name: y, low: 0, high: 1}]"));
    CHECK_INT(c->set.parameters.n, 1);
    CHECK_INT(c->set.parameters.at[0].choices.n, 0);
    config_free(c);
}

TEST(a_window_is_one_number_or_height_and_width)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, "model: {net: [{kind: conv, out: 2, kernel: [3, 5], stride: 2}]}");
    const config_layer *l = &c->set.model.net.at[0];

    CHECK(l->kernel.n == 2 && l->kernel.at[0] == 3 && l->kernel.at[1] == 5);
    CHECK(l->stride.n == 1 && l->stride.at[0] == 2);
    CHECK(l->padding.n == 1 && l->padding.at[0] == 0 && l->dilation.at[0] == 1);
    check_get(c, "model.net.0.kernel", "[3, 5]");
    check_get(c, "model.net.0.stride", "2");
    CHECK_OK(ctx, config_set(c, "model.net.0.kernel", "4"));
    CHECK_OK(ctx, config_set(c, "model.net.0.stride", "[1, auto]"));
    check_get(c, "model.net.0.kernel", "4");
    check_get(c, "model.net.0.stride", "[1, auto]");
    CHECK_FAILS(ctx, config_set(c, "model.net.0.kernel", "[3, 5, 7]"), DRMAD_E_CONFIG,
                "has more than 2 entries");
    CHECK_FAILS(ctx, config_set(c, "model.net.0.kernel", "[]"), DRMAD_E_CONFIG, "an empty list");
    CHECK_FAILS(ctx, config_set(c, "model.net.0.kernel", "wide"), DRMAD_E_CONFIG,
                "or [height, width] or none");
    CHECK_FAILS(ctx, config_set(c, "model.net.0.kernel", "{a: 1}"), DRMAD_E_CONFIG,
                "is a mapping; it takes a whole number");
    config_free(c);
}

TEST(messages_say_where_a_key_was_set)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, example);
    char where[64];

    config_where(c, "hyper.1.phases", where, sizeof where);
    CHECK_STR(where, "study.yaml:15:11");
    config_where(c, "hyper.1.low", where, sizeof where); /* not set: its entry */
    CHECK_STR(where, "study.yaml:12:3");
    config_where(c, "outer.steps", where, sizeof where);
    CHECK_STR(where, "study.yaml:21:8");
    config_where(c, "budget.runs", where, sizeof where);
    CHECK_STR(where, "default");
    CHECK_OK(ctx, config_set(c, "hyper.1.phases", "2"));
    config_where(c, "hyper.1.phases", where, sizeof where);
    CHECK_STR(where, "override");
    CHECK_FAILS(ctx, config_refuse(c, "train.l2", "is %d", 3), DRMAD_E_CONFIG,
                "study.yaml:7:9: train.l2: is 3");
    config_free(c);
}

/* The text printed, read and printed again. */
static void check_round_trip(drmad_ctx *ctx, config *c)
{
    char *first = NULL, *second = NULL;
    config *d = NULL;

    CHECK_OK(ctx, config_print(c, &first));
    CHECK_OK(ctx, config_new(ctx, &d));
    CHECK_OK(ctx, config_read(d, "printed", first, strlen(first)));
    CHECK_OK(ctx, config_print(d, &second));
    CHECK_STR(second, first);
    mem_free(ctx, first);
    mem_free(ctx, second);
    config_free(d);
}

TEST(a_printed_study_reads_back_to_itself)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, example);

    check_round_trip(ctx, c); /* `auto`s still open */
    CHECK_OK(ctx, config_set(c, "data.dir", "\"a \\\"b\\\\ \\u00e9: #x\""));
    CHECK_STR(c->set.data.dir, "a \"b\\ \xc3\xa9: #x");
    CHECK_OK(ctx, config_set(c, "hyper.0.match", "null"));   /* means empty */
    CHECK_OK(ctx, config_set(c, "data.images", "\"null\"")); /* a file of that name */
    CHECK_OK(ctx, config_set(c, "trajectory.memory", "1234567"));
    CHECK_OK(ctx, config_set(c, "threads", "3"));
    check_round_trip(ctx, c);
    check_get(c, "data.images", "null");
    CHECK_OK(ctx, config_set(c, "data.images", ""));
    CHECK_OK(ctx, config_finish(c));
    check_round_trip(ctx, c);
    check_get(c, "model.layers", "[784, 50, auto]");
    check_get(c, "hyper.1.phases", "every-step");
    check_get(c, "hyper.1.smooth", "200"); /* a fifth of the steps */
    check_get(c, "hyper.0.smooth", "0");
    check_get(c, "hyper.1.high", ".inf");
    check_get(c, "trajectory.memory", "1234567");
    check_get(c, "outer.patience", "4");
    check_get(c, "budget.runs", "none");
    check_get(c, "outer.trust", "true");
    CHECK_FAILS(ctx, config_get(c, "outer", &(char *){NULL}), DRMAD_E_CONFIG, "keys of its own");
    config_free(c);

    c = read_text(ctx, search_example);
    check_round_trip(ctx, c);
    CHECK_OK(ctx, config_finish(c));
    check_round_trip(ctx, c);
    config_free(c);
}

/* On a GPU it is the GPU's memory that says how much may be kept. */
TEST(the_limit_of_what_is_kept_is_open_on_a_gpu_alone)
{
    static const char *const device[] = {"cpu", "cuda"}, *const kept[] = {"2GiB", "auto"};
    drmad_ctx *ctx = test_ctx();

    for (int i = 0; i < 2; i++) {
        config *c = read_text(ctx, example);

        CHECK_OK(ctx, config_set(c, "trajectory.memory", "auto"));
        CHECK_OK(ctx, config_set(c, "device", device[i]));
        CHECK_OK(ctx, config_finish(c));
        check_get(c, "trajectory.memory", kept[i]);
        config_free(c);
    }
}

/* Every key of a record can be set to what it prints. */
static void check_settable(config *c, const record *r, const char *prefix)
{
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];
        char path[64], quoted[300], *value = NULL;

        snprintf(path, sizeof path, "%s%s", prefix, k->name);
        if (k->type == TYPE_RECORD) {
            strcat(path, ".");
            check_settable(c, k->of, path);
        } else if (k->type == TYPE_LIST) {
            strcat(path, ".0.");
            check_settable(c, k->of, path);
        } else {
            CHECK_OK(c->ctx, config_get(c, path, &value));
            snprintf(quoted, sizeof quoted, k->type == TYPE_TEXT ? "\"%s\"" : "%s", value);
            CHECK_OK(c->ctx, config_set(c, path, quoted));
            mem_free(c->ctx, value);
        }
    }
}

TEST(every_key_of_the_table_is_set_by_name)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, "hyper: [{kind: lr, per: layer, ties: [{per: global, until: 3}]}]\n"
                               "parameters: [{name: a, low: 0, high: 1, choices: [a, 2]}]\n"
                               "stages: [search]\n"
                               "model: {net: [{kind: linear, from: [input], mean: [0], "
                               "std: [1]}], auxiliary: [a]}\n"
                               "rally: [{steps: 3}]");
    char *before = NULL, *after = NULL;

    CHECK_OK(ctx, config_print(c, &before));
    check_settable(c, config_root(), "");
    CHECK_OK(ctx, config_print(c, &after));
    CHECK_STR(after, before);
    mem_free(ctx, before), mem_free(ctx, after);
    config_free(c);
}

TEST(numbers_survive_printing_bit_for_bit)
{
    drmad_ctx *ctx = test_ctx();
    config *c = read_text(ctx, "hyper: [{kind: input_scale}]");
    rng_key k = {11, 0, 0};

    for (uint64_t i = 0; i < 2000; i++) {
        double x = (rng_uniform(k, 2 * i) - 0.5) * pow(10, 600 * rng_uniform(k, 2 * i + 1) - 300);
        char text[64];

        real_print(x, text, sizeof text);
        CHECK_OK(ctx, config_set(c, "hyper.0.low", text));
        CHECK(c->set.hyper.at[0].low == x);
    }
    config_free(c);
}

TEST(a_locale_with_decimal_commas_changes_nothing)
{
    drmad_ctx *ctx = test_ctx();
    char text[32];

    CHECK(test_comma_locale());
    snprintf(text, sizeof text, "%.1f", 0.5);
    CHECK_STR(text, "0,5"); /* the locale is what it should be */
    config *c = read_text(ctx, example);

    CHECK_NEAR(c->set.optimizer.lr, 0.05, 0);
    CHECK_INT(c->set.trajectory.memory, 3LL << 29);
    check_get(c, "optimizer.lr", "0.05");
    CHECK_FAILS(ctx, config_set(c, "outer.lr", "0,5"), DRMAD_E_CONFIG, "not a number");
    CHECK_OK(ctx, config_finish(c));
    check_round_trip(ctx, c);
    config_free(c);
    setlocale(LC_NUMERIC, "C");
}

/* DRMAD_WRITE=1 writes the page anew. */
TEST(the_reference_of_all_keys_is_up_to_date)
{
    drmad_ctx *ctx = test_ctx();
    const char *path = "docs/STUDY.md", *write = getenv("DRMAD_WRITE");
    char *want = NULL, *have = NULL;
    size_t size;

    CHECK_OK(ctx, config_document(ctx, &want));
    if (write && write[0] == '1') CHECK_OK(ctx, file_write_atomic(ctx, path, want, strlen(want)));
    CHECK_OK(ctx, file_read_all(ctx, path, 1 << 20, &have, &size));
    if (have && strcmp(have, want) != 0)
        test_fail(__FILE__, __LINE__, "%s is old; run DRMAD_WRITE=1 test_config reference", path);
    mem_free(ctx, want);
    mem_free(ctx, have);
}

TEST(hidden_and_depth_say_the_layers_between)
{
    static const struct {
        const char *model, *layers;
    } rows[] = {{"model: {layers: [auto, 7, 8, auto], hidden: 5}", "0 5 5 0"},
                {"model: {layers: [auto, 7, 8, auto], depth: 3}", "0 7 7 7 0"},
                {"model: {layers: [4, auto], hidden: 5, depth: 1}", "4 5 0"},
                {"model: {layers: [4, 7, auto], depth: 0}", "4 0"},
                {"model: {layers: [4, 7, 8, auto]}", "4 7 8 0"}};
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(rows); i++) {
        config *c = read_text(ctx, rows[i].model);
        char have[64] = "";
        size_t n = 0;

        CHECK_OK(ctx, config_finish(c));
        for (int32_t k = 0; k < c->set.model.layers.n; k++)
            n += (size_t)snprintf(have + n, sizeof have - n, "%s%lld", k ? " " : "",
                                  (long long)c->set.model.layers.at[k]);
        CHECK_STR(have, rows[i].layers);
        config_free(c);
    }
}

static drmad_status torture(drmad_ctx *ctx, void *arg)
{
    static const char *const overrides[] = {"outer.lr=0.1",
                                            "hyper.0.match=\"*.bias\"",
                                            "model.layers=[4, 3]",
                                            "hyper.1={per: layer}",
                                            "parameters=[{name: a, choices: [x, 1], weights: [1]}]",
                                            "search.enqueue=[a=x, a=1]"};
    drmad_status st = DRMAD_OK;
    config *c = NULL;
    char *text = NULL, *page = NULL;

    TRY(config_load(ctx, arg, overrides, COUNT(overrides), &c));
    TRY(config_print(c, &text));
    TRY(config_document(ctx, &page));
done:
    mem_free(ctx, text);
    mem_free(ctx, page);
    config_free(c);
    return st;
}

TEST(running_out_of_memory_leaves_nothing_behind)
{
    char path[300];

    snprintf(path, sizeof path, "%s/study.yaml", test_scratch());
    CHECK_OK(test_ctx(), file_write_atomic(test_ctx(), path, example, strlen(example)));
    test_oom(torture, path);
}

TEST(a_device_says_which_gpu)
{
    static const struct {
        const char *word;
        int gpu;
    } devices[] = {
        {"device=cpu", -1}, {"device=cuda", 0}, {"device=cuda:0", 0}, {"device=cuda:12", 12}};
    static const char *const wrong[] = {"device=cud",       "device=cuda:", "device=cuda:-1",
                                        "device=cuda:1000", "device=cuda1", "device=''"};
    drmad_ctx *ctx = test_ctx();
    config *c = NULL;

    for (size_t i = 0; i < COUNT(devices); i++) {
        CHECK_OK(ctx, config_load(ctx, NULL, &devices[i].word, 1, &c));
        CHECK_INT(config_gpu(c), devices[i].gpu);
        config_free(c);
    }
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_FAILS(ctx, config_load(ctx, NULL, &wrong[i], 1, &c), DRMAD_E_CONFIG, "device");
}
