/* Study files that are wrong or hostile: each ends at once with a message that names place, key and
 * remedy (F11, F12). */
#include "base/file.h"
#include "config/config.h"
#include "test.h"
#include <sys/resource.h>
#include <unistd.h>

#define SEARCHED "parameters: [{name: optimizer.lr, low: 0.01, high: 1}]\n"

static drmad_status load(drmad_ctx *ctx, const char *text, size_t size)
{
    drmad_status st = DRMAD_OK;
    config *c = NULL;

    TRY(config_new(ctx, &c));
    TRY(config_read(c, "s.yaml", text, size));
    TRY(config_finish(c));
done:
    config_free(c);
    return st;
}

typedef struct bad {
    const char *study, *text; /* part of the message */
} bad;

static const bad values[] = {
    /* out of range: the key, its value, its range */
    {"optimizer: {lr: -0.1}",
     "s.yaml:1:17: optimizer.lr: \"-0.1\" is out of range; it takes a number from 0 to"},
    {"train: {batch: 0}",
     "s.yaml:1:16: train.batch: \"0\" is out of range; it takes a whole number from 1 to"},
    {"train:\n  steps: 0", "s.yaml:2:10: train.steps: \"0\" is out of range"},
    {"optimizer: {momentum: 1.5}",
     "momentum: \"1.5\" is out of range; it takes a number from 0 to 1"},
    {"seed: 9007199254740993", "seed: \"9007199254740993\" is out of range"},
    {"outer: {lr: 1e999}", "outer.lr: \"1e999\" is too large"},
    {"outer: {lr: .inf}", "outer.lr: \".inf\" is out of range"},
    {"trajectory: {memory: 3}",
     "trajectory.memory: \"3\" is too small; it takes a size like 512MiB"},
    {"trajectory: {memory: 9999999TiB}", "is too large"},
    /* of the wrong type */
    {"outer: {lr: fast}", "outer.lr: \"fast\" is not a number"},
    {"outer: {lr: 0x10}", "\"0x10\" is not a number"},
    {"outer: {lr: 1e}", "\"1e\" is not a number"},
    {"outer: {lr: .}", "\".\" is not a number"},
    {"outer: {lr: .nan}", "\".nan\" is no number at all"},
    {"outer: {lr: NaN}", "\"NaN\" is no number at all"},
    {"outer: {lr: 1_000}", "\"1_000\" is not a number"},
    {"outer: {lr: '0.1'}", "\"0.1\" is text in quotes"},
    {"outer: {lr: }", "outer.lr: has no value"},
    {"outer: {lr: ~}", "outer.lr: has no value; it takes a number"},
    {"outer: {lr: [1]}", "outer.lr: is a list; it takes a number"},
    {"outer: {lr: {a: 1}}", "outer.lr: is a mapping; it takes a number"},
    {"outer: 3", "s.yaml:1:8: outer: is a single value; it takes keys of its own"},
    {"outer: ", "outer: has no value; it takes keys of its own"},
    {"outer: []", "outer: is a list"},
    {"hyper: 3", "hyper: is a single value; it takes a list"},
    {"hyper: {kind: lr}", "hyper: is a mapping; it takes a list"},
    {"hyper: [[lr]]", "hyper.0: is a list; it takes keys of its own"},
    {"hyper: [{kind: lr, ties: [layer]}]", "ties.0: is a single value; it takes keys of its own"},
    {"model: {layers: 50}", "model.layers: is a single value; it takes a list"},
    {"model: {layers: [50, 0]}", "model.layers.1: \"0\" is out of range"},
    {"model: {layers: [50, [1]]}", "model.layers.1: is a list"},
    {"seed: 1.5", "seed: \"1.5\" is not a whole number"},
    {"seed: 007", "seed: \"007\" has leading zeros"},
    {"outer: {trust: yes}", "outer.trust: \"yes\" is neither true nor false"},
    {"outer: {trust: \"true\"}", "outer.trust: \"true\" is text in quotes"},
    {"trajectory: {memory: 2GB}", "has no unit of B, KiB, MiB, GiB or TiB"},
    {"trajectory: {memory: 1.00001KiB}", "is not a whole number of bytes"},
    {"data: {kind: minst}", "(did you mean mnist?); it takes mnist, idx, npy, synthetic-digits, "
                            "cifar, folder, shards, npz or safetensors"},
    {"data: {kind: xyz}", "\"xyz\" is not a word it knows; it takes mnist"},
    {"name: \"a\\tb\"", "name: \"a?b\" has a control character"},
    {"name: \"a\\0b\"", "has a NUL in it"},
    {"parameters: [{name: a, choices: [x, True]}]",
     "s.yaml:1:37: parameters.0.choices.1: \"True\" could be text or not; write null, true"},
    {"parameters: [{name: a, choices: [.5]}]", "choices.0: \".5\" could be text or not"},
    {"parameters: [{name: a, choices: [.inf]}]", "choices.0: \".inf\" could be text or not"},
    {"parameters: [{name: a, choices: [007]}]", "choices.0: \"007\" could be text or not"},
    {"parameters: [{name: a, choices: [[1]]}]", "choices.0: is a list; it takes a single value"},
    {"parameters: [{name: a, choices: \"a\"}]",
     "it takes a list, each null, true, false, a number"},
    {"parameters: [{name: a, choices: [\"a\\0b\"]}]", "choices.0: has a NUL in it"},
    {"model: {layers: [\"5\\0b\", 3]}", "model.layers.0: has a NUL in it"},
    {"parameters: [{name: a, weights: [-1]}]", "weights.0: \"-1\" is out of range"},
    {"parameters: [{name: a, weights: [x]}]", "weights.0: \"x\" is not a number"},
    {"search: {constraints: a < 1}", "constraints: is a single value; it takes a list, each text"},
    {"search: {enqueue: [{a: 1}]}", "s.yaml:1:20: search.enqueue.0: is a mapping; it takes a"},
    {"search: {enqueue: [\"a\\tb\"]}", "search.enqueue.0: \"a?b\" has a control character"},
    {"search: {trials: 0}", "search.trials: \"0\" is out of range; it takes a whole number from 1"},
    {"worker: {lease: 0}", "worker.lease: \"0\" is out of range"},
    {"objective: {memory: 5}", "objective.memory: \"5\" is too small; it takes a size like 512MiB "
                               "or 2GiB or none"},
    /* unknown keys, with the nearest */
    {"outer: {stesp: 3}", "s.yaml:1:9: outer: no key is called \"stesp\"; did you mean steps?"},
    {"optimiser: {lr: 3}", "s.yaml:1:1: no key is called \"optimiser\"; did you mean optimizer?"},
    {"lr: 3", "no key is called \"lr\"; did you mean optimizer.lr or outer.lr"},
    {"hyper: [{kind: lr, hihg: 3}]", "hyper.0: no key is called \"hihg\"; did you mean high?"},
    {"budget: {qwertyuiop: 3}", "\"qwertyuiop\"; known here: runs, minutes"},
    {"{\"a\\0\": 3}", "no key is called \"a\""},
    {"\"\": 3", "no key is called \"\""},
    {"<<: {seed: 1}", "no key is called \"<<\""},
    {"? [seed]\n: 1", "s.yaml:1:3: a key must be a word"},
    {"hyper: [{per: layer}]", "s.yaml:1:9: hyper.0: the key kind is missing"},
    {"parameters: [{low: 1}]", "s.yaml:1:14: parameters.0: the key name is missing"},
    {"parameters: [{name: ''}]", "parameters.0.name: is empty"},
    {"objective: {run: command}", "objective.run: command needs objective.cmd"},
    {"objective: {cmd: a, seeds: 2}", "objective.seeds: is only for objective.run: train"},
    {"hyper: [l2]\nobjective: {run: tune, seeds: 2}",
     "objective.seeds: is only for objective.run: train"},
    {"objective: {run: train, cmd: a}", "objective.cmd: is only for objective.run: command"},
    {"objective: {run: tune}", "objective.run: tune needs something in hyper"},
    {"hyper: [{kind: lr, ties: [{per: global}]}]", "hyper.0.ties.0: the key until is missing"},
    /* what must agree */
    {"hyper:\n- kind: lr\n  low: 3\n  high: 2",
     "s.yaml:3:8: hyper.0.low: low 3 must lie below high 2"},
    {"hyper: [{kind: lr, low: .nan}]", "hyper.0.low: \".nan\" is no number at all"},
    {"hyper: [{kind: l2, start: 0}]", "hyper.0.start: start 0 has no logarithm"},
    {"hyper: [{kind: l2, low: 0}]", "hyper.0.low: low 0 has no logarithm"},
    {"hyper: [{kind: l2, start: 1e9}]", "hyper.0.start: start 1e+09 lies outside"},
    {"hyper: [{kind: momentum, high: 2}]",
     "hyper.0.high: bounds [0, 2]; momentum makes sense in [0, 1]"},
    {"hyper: [{kind: l2, transform: logit, high: .inf}]",
     "hyper.0.high: transform: logit needs finite"},
    {"hyper: [{kind: lr, smooth: 2}]", "s.yaml:1:28: hyper.0.smooth: phases: constant, so there"},
    {"train: {steps: 5}\nhyper: [{kind: l2, phases: 6}]",
     "s.yaml:2:28: hyper.0.phases: 6 phases, but train.steps is 5"},
    {"train: {gce_q: 0.0001}", "s.yaml:1:16: train.gce_q: 0.0001: 0 or at least 0.001"},
    {"train: {loss: squared}\nhyper: [{kind: label_flip, per: class-pair}]",
     "s.yaml:1:15: train.loss: label_flip is only for cross_entropy"},
    {"train: {loss: logistic, gce_q: 0.5}", "train.loss: gce_q is only for cross_entropy"},
    {"hyper: [{kind: gce_q, low: 0}]", "hyper.0.low: bounds [0, 1]; gce_q makes sense in [0.001"},
    {"distill: {study: a, logits: b}", "s.yaml:1:29: distill.logits: is given and distill.study"},
    {"distill: {weights: a}", "distill.weights: needs distill.study"},
    {"hyper: [{kind: distill_temperature}]",
     "s.yaml:1:16: hyper.0.kind: distill_temperature, but there is no teacher"},
    {"distill: {study: a}\ntrain: {mixup: 0.1}",
     "distill.study: the teacher has not seen examples that"},
    {"distill: {study: a}\ntrain: {loss: squared}",
     "train.loss: distill is only for cross_entropy"},
    {"distill: {temperature: 0}", "distill.temperature: \"0\" is out of range"},
    {"model: {auxiliary: [{weight: 1}]}", "model.auxiliary.0: the key after is missing"},
    {"model: {auxiliary: [{after: a, weight: 0}]}",
     "s.yaml:1:40: model.auxiliary.0.weight: is 0: nothing would train that head"},
    {"data: {train: 10}\ntrain: {batch: 11}",
     "s.yaml:2:16: train.batch: 11 examples a step, but data.train is 10"},
    {"data: {valid: 0}\nhyper: [{kind: l2}]",
     "s.yaml:1:15: data.valid: is 0, but objective.data is valid"},
    {"objective: {examples: 10001}", "objective.examples: 10001, but data.valid is 10000"},
    {"objective: {examples: 9, data: train}\ndata: {train: 8}\ntrain: {batch: 1}",
     "but data.train is 8"},
    {"data: {train: rest, valid: rest}",
     "data.train: only one of train, valid and test can be the rest"},
    {"data: {kind: synthetic-digits, valid: rest}", "s.yaml:1:39: data.valid: rest: synthetic"},
    {"data: {kind: idx, labels: a}", "data.images: must be given for data.kind idx"},
    {"data: {kind: npy, images: a}", "data.labels: must be given for data.kind npy"},
    {"data: {images: a}", "data.images: is not for data.kind mnist"},
    {"data: {kind: cifar}", "data.dir: must be given for data.kind cifar"},
    {"data: {kind: folder}", "data.dir: must be given for data.kind folder"},
    {"data: {kind: folder, dir: a, size: 8, labels: b}",
     "data.labels: is not for data.kind folder"},
    {"data: {kind: shards, size: 8}", "data.images: must be given for data.kind shards"},
    {"data: {kind: npz, images: a, labels: b}", "data.file: must be given for data.kind npz"},
    {"data: {kind: npy, images: a, labels: b, file: c}", "data.file: is not for data.kind npy"},
    {"data: {flip: true}", "s.yaml:1:14: data.flip: is not for data.kind mnist"},
    {"data: {jitter: [1, 2]}", "data.jitter: is not for data.kind mnist"},
    {"data: {kind: cifar, dir: a, jitter: [1]}", "data.jitter: 1 numbers; expected three"},
    {"data: {kind: cifar, dir: a, std: [1, 2]}", "data.std: 2 numbers"},
    {"data: {kind: cifar, dir: a, std: [0]}", "data.std"},
    {"data: {kind: cifar, dir: a, crop: random-resized, crop_area: 0}", "data.crop_area: must be"},
    {"data: {kind: idx, images: a, labels: b, test_images: c}",
     "data.test_labels: test_images and test_labels must"},
    {"data: {split: sequential}\nouter: {fresh_split: true}",
     "outer.fresh_split: needs data.split: random"},
    /* stages */
    {"stages: [serach]",
     "s.yaml:1:10: stages.0.run: \"serach\" is not a word it knows (did you mean "
     "search?)"},
    {"stages: [search]", "s.yaml:1:10: stages.0.run: search needs something in parameters"},
    {"stages: [refine]", "s.yaml:1:10: stages.0.run: refine needs something in hyper"},
    {"stages: [retrain]", "stages.0.run: retrain needs a stage before it"},
    {"hyper: [l2]\nstages: [retrain, refine]", "stages.0.run: retrain needs a stage before it"},
    {"hyper: [l2]\nstages: [refine, refine]",
     "s.yaml:2:18: stages.1.run: the order is search, refine, retrain"},
    {"hyper: [l2]\nstages: [{run: refine, seeds: 2}]",
     "s.yaml:2:31: stages.0.seeds: is only for run: retrain"},
    {"hyper: [l2]\nstages: [refine, {run: retrain, steps: 2}]",
     "stages.1.steps: is only for run: refine"},
    {"hyper: [l2]\nstages: [refine, {run: retrain, loosen: 2}]",
     "stages.1.loosen: is only for run: refine"},
    {"hyper: [l2]\nstages: [{run: refine, top: 2}]", "stages.0.top: needs a search before it"},
    {SEARCHED "stages: [{run: search, top: 2}]", "stages.0.top: is only for run: refine and run"},
    {"hyper: [l2]\nstages: [{run: refine, share: .7}, {run: retrain, share: .4}]",
     "stages.1.share: all shares together are above 1"},
    {"hyper: [l2]\nstages: [refine]\nobjective: {cmd: a}",
     "s.yaml:3:18: objective.cmd: stages are for drmad's own training"},
    {"hyper: [l2]\nstages: [refine]\nobjective: {run: tune}",
     "objective.run: with stages a trial is one training: train"},
    {"hyper: [l2]\nstages: [refine, retrain]\ncompare: [all]",
     "s.yaml:3:11: compare.0: \"all\" is none of search, random, refine"},
    {"hyper: [l2]\nstages: [refine, retrain]\ncompare: [random]",
     "compare.0: random needs something in parameters"},
    {SEARCHED "stages: [search, retrain]\ncompare: [refine]",
     "compare.0: refine needs something in hyper"},
    {SEARCHED "stages: [search, retrain]\ncompare: [random, random]",
     "compare.1: random stands here twice"},
    {"hyper: [l2]\nstages: [refine]\ncompare: [refine]",
     "compare.0: needs stages that end with retrain"},
    {SEARCHED "hyper: [{kind: lr, start: .1}]\nstages: [search, refine]",
     "s.yaml:2:27: hyper.0.start: parameters choose optimizer.lr, which is the start: leave it"},
    {SEARCHED "hyper: [{kind: lr, low: .1}]\nstages: [search, refine]",
     "parameters.0.low: 0.01 is no start for hyper.0: start 0.01 lies outside"},
    {"dtype: f64\ntrain: {activations: bf16}",
     "s.yaml:2:22: train.activations: bf16, but dtype is f64"},
    {"train: {activations: f16}", "it takes f32 or bf16"},
    {"hyper: [l2]\ntrain: {activations: bf16}\nobjective: {run: tune}",
     "s.yaml:2:22: train.activations: bf16, but hypergradients are asked for"},
    {"hyper: [l2]\ntrain: {activations: bf16}\nstages: [refine]",
     "tune with train.activations: f32"},
    {"search: {gradients: true}\ntrain: {activations: bf16}", "hypergradients are asked for"},
    {"products: tf32", "s.yaml:1:11: products: tf32 and bf16 are for device: cuda, but device is"},
    {"device: cuda\nproducts: bf16\ndtype: f64", "s.yaml:2:11: products: tf32 and bf16 round f32"},
    {"products: f16", "it takes f32, tf32 or bf16"},
    {"model: {layers: [5, 5], depth: 2}", "model.depth: needs model.hidden"},
    {"model: {redraw: true}", "model.redraw: is only for model.import"},
    {"model: {import: m, redraw: true, weights: w}", "model.redraw: model.weights says where"},
    {"model: {layers: [5]}", "model.layers: 1 sizes; at least input and output"},
    {"model: {layers: [5, auto, 3]}", "model.layers: entry 1 is auto"},
    {"train: {loss: squared, label_smoothing: 0.1}",
     "train.loss: label_smoothing is only for cross_entropy"},
    {"train: {loss: logistic}\nhyper: [{kind: label_smoothing}]", "train.loss: label_smoothing"},
    {"optimizer: {nesterov: true, momentum: 0}", "optimizer.nesterov: needs a momentum above 0"},
    {"optimizer: {nesterov: true, dampening: 0.5}", "optimizer.nesterov: needs"},
    {"optimizer: {form: maclaurin, decoupled: true}", "optimizer.form: maclaurin has no"},
    {"optimizer: {warmup: 3000}", "optimizer.warmup: 3000 steps, but train.steps is 2000"},
    {"trajectory: {kind: full, stride: fast}", "trajectory.stride: fast is only for kind: grid"},
    {"trajectory: {coverage: tenth}", "trajectory.coverage: tenth is only for kind: line"},
    {"trajectory: {spill_dir: /tmp}", "trajectory.spill_dir: is only for kind: replay"},
    {"name: ../x", "name: \"../x\" must be"},
    {"name: .x", "name: \".x\" must be"},
    {"name: ''", "name: \"\" must be"},
    /* YAML that means something else than it says, or nothing */
    {"seed: &a 1", "s.yaml:1:7: seed: anchors (&) are not allowed"},
    {"seed: *a", "s.yaml:1:7: seed: aliases (*) are not allowed"},
    {"seed: !!int 1", "s.yaml:1:7: seed: tags (!) are not allowed"},
    {"%TAG ! tag:x,2000:\n---\nseed: 1", "tags (!) are not allowed"},
    {"hyper: &x [*x]", "s.yaml:1:8: hyper: anchors (&) are not allowed"},
    {"seed: 1\nouter: {lr: 1}\nseed: 2", "s.yaml:3:1: seed: the key stands here twice"},
    {"outer:\n\tlr: 1", "s.yaml:2:1: a tab in the indentation"},
    {"seed: 1\n---\nseed: 2", "s.yaml:2:1: a second document begins"},
    {"outer: {lr: 1", "not YAML"},
    {"outer:\n  lr: 1\n steps: 3", "s.yaml:3:2: not YAML: while parsing a block mapping"},
    {"- 1", "s.yaml:1:1: is a list; a study is made of keys and values"},
    {"hello", "is a single value"},
    {"name: \xff", "s.yaml:1:7: not UTF-8 text (byte 0xff)"},
    {"name: \xc0\x80", "not UTF-8 text"},
    {"name: \xed\xa0\x80", "not UTF-8 text"},
    {"name: a\x01", "s.yaml:1:8: a control character (byte 0x01)"},
};

TEST(bad_studies_are_refused_with_place_key_and_remedy)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(values); i++) {
        const char *s = values[i].study;

        CHECK_FAILS(ctx, load(ctx, s, strlen(s)), DRMAD_E_CONFIG, values[i].text);
        CHECK(strncmp(drmad_errmsg(ctx), "s.yaml:", 7) == 0);
    }
}

static const struct {
    const char *name, *value, *text;
} settings[] = {
    {"outer.lrr", "1", "override: outer.lrr: no key is called \"lrr\"; did you mean lr?"},
    {"outer", "3", "override: outer: is a single value"},
    {"seed.x", "1", "override: seed.x: seed is a single value, it has no keys"},
    {"hyper.0.kind", "lr", "\"0\" is none of its 0 entries"},
    {"hyper.-1.kind", "lr", "\"-1\" is none of"},
    {"hyper.x", "lr", "\"x\" is none of"},
    {"", "1", "no key is called \"\""},
    {"outer.", "1", "no key is called \"\""},
    {".outer", "1", "no key is called \"\""},
    {"seed", "", "override: seed: has no value"},
    {"seed", "1\n---\n2", "a second document begins"},
    {"seed", "[1", "override: seed: "},
    {"seed", "*a", "aliases"},
    {"a.very.long.key.that.no.table.would.ever.hold.in.its.sixty.four.bytes", "1",
     "no key is called"},
};

TEST(bad_overrides_are_refused_with_key_and_remedy)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(settings); i++) {
        config *c = NULL;

        CHECK_OK(ctx, config_new(ctx, &c));
        CHECK_FAILS(ctx, config_set(c, settings[i].name, settings[i].value), DRMAD_E_CONFIG,
                    settings[i].text);
        config_free(c);
    }
}

/* `repeat` as often as makes `size` bytes, after `head`. The caller frees it. */
static char *flood(const char *head, const char *repeat, size_t size)
{
    size_t used = strlen(head), step = strlen(repeat);
    char *text = malloc(size + used + step + 1);

    if (!text) abort();
    memcpy(text, head, used + 1);
    for (; used < size; used += step) memcpy(text + used, repeat, step + 1);
    return text;
}

static const struct {
    const char *head, *repeat;
} floods[] = {
    {"", "["},
    {"hyper: ", "["},
    {"", "{a: "},
    {"hyper: [{ties: ", "["},
    {"", "- "},
    {"", "? "},
    {"hyper: [", "{kind: lr}, "},
    {"hyper:\n", "- kind: lr\n"},
    {"model: {layers: [", "1, "},
    {"name: ", "a "},
    {"name: \"", "\\n"},
    {"name: '", "a\n"},
    {"", "# comment\n"},
    {"", "seed: 1\n"},
    {"", "\n"},
    {"name: |\n", " a\n"},
    {"", "&a "},
    {"", "!a "},
    {"a: &a [x]\nb: &b [", "*a, "},
    {"", "? [a, "},
    {"", "'a': "},
};

TEST(a_file_cannot_cost_more_than_a_second_or_64_mib)
{
    drmad_ctx *ctx = test_ctx();
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < COUNT(floods); i++) {
        char *text = flood(floods[i].head, floods[i].repeat, CONFIG_BYTES_MAX - 64);
        double start = base_now();
        drmad_status st = load(ctx, text, strlen(text));

        if (base_now() - start > 1) test_fail(__FILE__, __LINE__, "flood %zu: over 1 s", i);
        CHECK(st == DRMAD_OK || st == DRMAD_E_CONFIG); /* comments and empty lines are fine */
        if (st != DRMAD_OK) CHECK(strncmp(drmad_errmsg(ctx), "s.yaml:", 7) == 0);
        free(text);
    }
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss - before.ru_maxrss < 64 * 1024); /* KiB */
}

TEST(files_that_are_no_study_are_wrong_arguments)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char path[300];
    config *c = NULL;

    snprintf(path, sizeof path, "%s/huge.yaml", dir);
    FILE *f = fopen(path, "w");

    CHECK(f && ftruncate(fileno(f), 100000000) == 0); /* 100 MB of NUL, none of them on the disk */
    if (f) fclose(f);
    CHECK_FAILS(ctx, config_load(ctx, path, NULL, 0, &c), DRMAD_E_CONFIG, "100000000 bytes");
    snprintf(path, sizeof path, "%s/none.yaml", dir);
    CHECK_FAILS(ctx, config_load(ctx, path, NULL, 0, &c), DRMAD_E_CONFIG, path);
    CHECK_FAILS(ctx, config_load(ctx, dir, NULL, 0, &c), DRMAD_E_CONFIG, dir);
    snprintf(path, sizeof path, "%s/nul.yaml", dir);
    CHECK_OK(ctx, file_write_atomic(ctx, path, "seed: 1\n\0: 2", 12));
    CHECK_FAILS(ctx, config_load(ctx, path, NULL, 0, &c), DRMAD_E_CONFIG,
                "nul.yaml:2:1: a control character (byte 0x00)");
    CHECK_OK(ctx, file_write_atomic(ctx, path, "", 0)); /* says nothing: all defaults */
    CHECK_OK(ctx, config_load(ctx, path, NULL, 0, &c));
    if (c)
        CHECK_FAILS(ctx, config_need_hyper(c), DRMAD_E_CONFIG, "default: hyper: nothing to tune");
    config_free(c);
    CHECK_FAILS(ctx, config_load(ctx, path, (const char *const[]){"abc"}, 1, &c), DRMAD_E_CONFIG,
                "\"abc\" is not of the form key=value");
    CHECK_FAILS(ctx, config_load(ctx, path, (const char *const[]){"=1"}, 1, &c), DRMAD_E_CONFIG,
                "is not of the form key=value");
    CHECK(c == NULL);
}
