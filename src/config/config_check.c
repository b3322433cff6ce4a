/* What no single key can tell: keys that must agree, and `auto`s that follow from other keys.
 * Checks that need the data, the parameters or the machine belong to the rooms that have them. */
#include "config/config_inside.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static drmad_status check_name(const config *c)
{
    const char *name = c->set.name;
    bool good = name[0] && name[0] != '.' && strlen(name) <= 100;

    for (const char *p = name; *p; p++)
        good =
            good && (isalnum((unsigned char)*p) || strchr("._-", *p)) && (unsigned char)*p < 0x80;
    if (!good)
        return config_refuse(c, "name",
                             "\"%.40s\" must be 1 to 100 letters, digits, '.', '_' or "
                             "'-', not a '.' first: it names a folder",
                             name);
    return DRMAD_OK;
}

int32_t config_gpu(const config *c)
{
    const char *at = c->set.device;
    int32_t n = 0;

    if (strncmp(at, "cuda", 4) != 0) return -1;
    for (at += at[4] == ':' ? 5 : 4; *at; at++) n = 10 * n + *at - '0';
    return n;
}

static drmad_status check_device(const config *c)
{
    const char *device = c->set.device, *number = device + 5;
    const size_t n = strncmp(device, "cuda:", 5) == 0 ? strlen(number) : 0;

    if (strcmp(device, "cpu") == 0 || strcmp(device, "cuda") == 0) return DRMAD_OK;
    if (n >= 1 && n <= 3 && strspn(number, "0123456789") == n) return DRMAD_OK;
    return config_refuse(c, "device", "\"%.40s\": cpu, cuda, or cuda:N with the number of a GPU",
                         device);
}

static drmad_status check_products(const config *c)
{
    const config_study *s = &c->set;

    if (s->products == CFG_PRODUCTS_F32) return DRMAD_OK;
    if (config_gpu(c) < 0)
        return config_refuse(c, "products", "tf32 and bf16 are for device: cuda, but device is %s",
                             s->device);
    if (s->dtype != CFG_F32)
        return config_refuse(c, "products",
                             "tf32 and bf16 round f32, but dtype is f64, which is for proof; take "
                             "one of them");
    return DRMAD_OK;
}

static drmad_status check_counts(const config *c)
{
    const config_study *s = &c->set;
    const config_data *d = &s->data;
    bool valid = s->objective.data == CFG_OBJECTIVE_VALID;
    int64_t have = valid ? d->valid : d->train;
    int rests = (d->train < 0) + (d->valid < 0) +
                (d->test < 0 && !d->test_images[0] && !config_own_test(d->kind));

    if (rests > 1)
        return config_refuse(c, d->train < 0 ? "data.train" : "data.valid",
                             "only one of train, valid and test can be the rest");
    if (d->kind == CFG_DATA_SYNTHETIC_DIGITS && (d->train < 0 || d->valid < 0 || d->test < 0))
        return config_refuse(c,
                             d->train < 0   ? "data.train"
                             : d->valid < 0 ? "data.valid"
                                            : "data.test",
                             "rest: synthetic-digits are drawn, so there is none");
    if (d->train > 0 && s->train.batch > d->train)
        return config_refuse(c, "train.batch", "%lld examples a step, but data.train is %lld",
                             (long long)s->train.batch, (long long)d->train);
    if (valid && d->valid == 0 && s->hyper.n > 0)
        return config_refuse(c, "data.valid", "is 0, but objective.data is valid");
    if (s->train.examples <= 0)
        return config_refuse(c, "train.examples", "is 0: a share up to 1 or a count is needed");
    if (d->train > 0 && s->train.examples > (double)d->train)
        return config_refuse(c, "train.examples", "%.17g, but data.train is %lld",
                             s->train.examples, (long long)d->train);
    if (have > 0 && s->objective.examples > have)
        return config_refuse(c, "objective.examples", "%lld, but data.%s is %lld",
                             (long long)s->objective.examples, valid ? "valid" : "train",
                             (long long)have);
    if (s->outer.fresh_split && d->split != CFG_SPLIT_RANDOM)
        return config_refuse(c, "outer.fresh_split", "needs data.split: random");
    return DRMAD_OK;
}

/* Keys that contradict each other; whether the layers fit is nn/'s business. */
static drmad_status check_net(const config *c)
{
    const config_model *m = &c->set.model;

    if (m->net.n > 0 && m->preset != NN_MLP)
        return config_refuse(c, "model.preset", "is given and model.net too; one net is trained");
    if (m->hidden > 0)
        return config_refuse(c, "model.hidden", "is only for the net that model.layers describes");
    return DRMAD_OK;
}

/* An imported model is what it is. */
static drmad_status check_import(const config *c)
{
    static const char *const other[] = {
        "model.preset",          "model.net",       "model.auxiliary", "model.layers",
        "model.hidden",          "model.depth",     "model.width",     "model.heads",
        "model.patch",           "model.stem",      "model.dropout",   "model.init",
        "model.init_std",        "model.init_bias", "model.grow",      "train.loss",
        "train.label_smoothing", "train.gce_q",     "train.label_flip"};

    for (size_t i = 0; i < COUNT(other); i++) {
        const char *key = config_set_under(c, other[i]);
        if (key) return config_refuse(c, key, "model.import brings its own; leave it out");
    }
    if (c->set.model.redraw && c->set.model.weights[0])
        return config_refuse(c, "model.redraw", "model.weights says where every run starts");
    return DRMAD_OK;
}

/* `hidden` and `depth` into `layers`. */
static drmad_status resolve_layers(config *c)
{
    config_model *m = &c->set.model;
    const int32_t n = m->layers.n;

    if (m->import[0]) return check_import(c);
    if (m->redraw) return config_refuse(c, "model.redraw", "is only for model.import");
    if (m->net.n > 0 || m->preset != NN_MLP) return check_net(c);
    if (m->activation < 0) m->activation = CFG_ACT_TANH;
    if (n < 2)
        return config_refuse(c, "model.layers", "%d sizes; at least input and output are needed",
                             (int)n);
    const int64_t out = m->layers.at[n - 1], size = m->hidden > 0 ? m->hidden : m->layers.at[1];
    const int64_t depth = m->depth >= 0 ? m->depth : n - 2;

    if (depth > 0 && m->hidden == 0 && n == 2)
        return config_refuse(c, "model.depth",
                             "needs model.hidden, for model.layers has no hidden "
                             "layer to take the size of");
    for (int64_t i = 0; i < depth && (m->hidden > 0 || m->depth >= 0); i++)
        m->layers.at[i + 1] = size;
    m->layers.at[depth + 1] = out;
    m->layers.n = (int32_t)depth + 2;
    return DRMAD_OK;
}

/* What cross-entropy alone has. */
static drmad_status check_doubt(const config *c)
{
    static const hyper_kind kinds[] = {HYPER_LABEL_SMOOTHING, HYPER_GCE_Q, HYPER_LABEL_FLIP};
    const config_study *s = &c->set;
    double said;

    if (s->train.gce_q > 0 && s->train.gce_q < hyper_kind_of(HYPER_GCE_Q)->least)
        return config_refuse(c, "train.gce_q",
                             "%g: 0 or at least %g, below which nothing is left "
                             "of it in f32",
                             s->train.gce_q, hyper_kind_of(HYPER_GCE_Q)->least);
    for (size_t k = 0; k < COUNT(kinds) && s->train.loss != CFG_LOSS_CROSS_ENTROPY; k++) {
        config_said(s, kinds[k], &said);
        for (int32_t i = 0; i < s->hyper.n; i++) said += s->hyper.at[i].kind == (int)kinds[k];
        if (said != 0)
            return config_refuse(c, "train.loss", "%s is only for cross_entropy",
                                 hyper_kind_of(kinds[k])->word);
    }
    return DRMAD_OK;
}

/* The first declaration of kind k; -1: none. */
static int32_t declared(const config_study *s, hyper_kind k)
{
    for (int32_t i = 0; i < s->hyper.n; i++)
        if (s->hyper.at[i].kind == (int)k) return i;
    return -1;
}

/* Nothing of a teacher is tuned where there is none. */
static drmad_status check_untaught(const config *c)
{
    static const hyper_kind kinds[] = {HYPER_DISTILL_WEIGHT, HYPER_DISTILL_TEMPERATURE};
    char path[64];

    for (size_t k = 0; k < COUNT(kinds); k++) {
        const int32_t i = declared(&c->set, kinds[k]);

        snprintf(path, sizeof path, "hyper.%d.kind", (int)i);
        if (i >= 0)
            return config_refuse(c, path,
                                 "%s, but there is no teacher; name distill.study or "
                                 "distill.logits",
                                 hyper_kind_of(kinds[k])->word);
    }
    return DRMAD_OK;
}

static drmad_status check_distill(const config *c)
{
    const config_study *s = &c->set;
    const config_distill *d = &s->distill;
    const bool given = d->study[0] || d->logits[0];

    if (d->study[0] && d->logits[0])
        return config_refuse(c, "distill.logits", "is given and distill.study too: one teacher");
    if (d->weights[0] && !d->study[0])
        return config_refuse(c, "distill.weights", "needs distill.study, which says of what net");
    if (!given) return check_untaught(c);
    if (s->train.loss != CFG_LOSS_CROSS_ENTROPY)
        return config_refuse(c, "train.loss", "distill is only for cross_entropy");
    if (s->train.mixup > 0 || declared(s, HYPER_MIXUP) >= 0)
        return config_refuse(c, d->study[0] ? "distill.study" : "distill.logits",
                             "the teacher has not seen examples that mixup has mixed");
    return DRMAD_OK;
}

static drmad_status check_model(const config *c)
{
    const config_study *s = &c->set;
    int32_t n = s->model.layers.n;

    for (int32_t i = 1; i + 1 < n; i++)
        if (s->model.layers.at[i] == 0)
            return config_refuse(c, "model.layers",
                                 "entry %d is auto; only the first and the last "
                                 "follow from the data",
                                 (int)i);
    for (int32_t i = 0; i < s->model.auxiliary.n; i++) {
        char path[64];

        snprintf(path, sizeof path, "model.auxiliary.%d.weight", (int)i);
        if (s->model.auxiliary.at[i].weight == 0)
            return config_refuse(c, path, "is 0: nothing would train that head; leave it out");
    }
    return check_doubt(c);
}

static drmad_status check_trajectory(const config *c)
{
    const config_trajectory *t = &c->set.trajectory;
    bool may_grid = t->kind == CFG_TRAJ_GRID || t->kind == CFG_TRAJ_AUTO;

    if (t->stride == CFG_STRIDE_FAST && !may_grid)
        return config_refuse(c, "trajectory.stride", "fast is only for kind: grid");
    if (t->coverage == CFG_COVERAGE_TENTH && t->kind != CFG_TRAJ_LINE)
        return config_refuse(c, "trajectory.coverage", "tenth is only for kind: line");
    if (t->spill_dir[0] && t->kind != CFG_TRAJ_REPLAY)
        return config_refuse(c, "trajectory.spill_dir", "is only for kind: replay");
    return DRMAD_OK;
}

/* Start files leave nothing open that other keys could say. */
static drmad_status check_starts_from_files(const config *c)
{
    const config_study *s = &c->set;
    char path[64];

    if (s->optimizer.state[0] && !s->model.weights[0])
        return config_refuse(c, "optimizer.state",
                             "needs the weights it belongs to: model.weights");
    for (int32_t i = 0; i < s->hyper.n && s->outer.start[0]; i++) {
        snprintf(path, sizeof path, "hyper.%d.ties", (int)i);
        if (s->hyper.at[i].ties.n > 0)
            return config_refuse(c, path,
                                 "outer.start has a value for each element: nothing can "
                                 "be tied");
    }
    return DRMAD_OK;
}

/* Where a study says by itself that it wants hypergradients; else the command does. */
static drmad_status check_activations(const config *c)
{
    const config_study *s = &c->set;
    bool wanted = s->search.gradients || s->objective.run == CFG_RUN_TUNE;

    if (s->train.activations != CFG_ACTIVATIONS_BF16) return DRMAD_OK;
    if (s->dtype != CFG_F32)
        return config_refuse(c, "train.activations",
                             "bf16, but dtype is f64, which is for proof; take one of them");
    for (int32_t i = 0; i < s->stages.n; i++) wanted |= s->stages.at[i].run == CFG_STAGE_REFINE;
    return wanted ? config_need_f32(c) : DRMAD_OK;
}

/* What a trial runs must be there; the parameters themselves are the business of space/. */
static drmad_status check_objective(const config *c)
{
    const config_objective *o = &c->set.objective;
    const config_parameter *p = c->set.parameters.at;
    char path[64];

    if (o->run == CFG_RUN_COMMAND && !o->cmd[0])
        return config_refuse(c, "objective.run", "command needs objective.cmd");
    if (o->cmd[0] && o->run != CFG_RUN_COMMAND && o->run != CFG_RUN_AUTO)
        return config_refuse(c, "objective.cmd", "is only for objective.run: command");
    if (o->run == CFG_RUN_TUNE && c->set.hyper.n == 0)
        return config_refuse(c, "objective.run", "tune needs something in hyper");
    if (o->seeds > 1 && (o->cmd[0] || o->run == CFG_RUN_TUNE))
        return config_refuse(c, "objective.seeds", "is only for objective.run: train");
    for (int32_t i = 0; i < c->set.parameters.n; i++) {
        snprintf(path, sizeof path, "parameters.%d.name", (int)i);
        if (!p[i].name[0]) return config_refuse(c, path, "is empty");
    }
    return DRMAD_OK;
}

const char *config_said(const config_study *s, hyper_kind kind, double *value)
{
    const struct {
        hyper_kind kind;
        const char *key;
        const double *value;
    } said[] = {{HYPER_LR, "optimizer.lr", &s->optimizer.lr},
                {HYPER_MOMENTUM, "optimizer.momentum", &s->optimizer.momentum},
                {HYPER_WEIGHT_DECAY, "optimizer.weight_decay", &s->optimizer.weight_decay},
                {HYPER_BETA1, "optimizer.beta1", &s->optimizer.beta1},
                {HYPER_BETA2, "optimizer.beta2", &s->optimizer.beta2},
                {HYPER_EPS, "optimizer.eps", &s->optimizer.eps},
                {HYPER_CLIP, "optimizer.clip_at", &s->optimizer.clip_at},
                {HYPER_LR_PEAK, "optimizer.lr", &s->optimizer.lr},
                {HYPER_LR_FINAL, "optimizer.final", &s->optimizer.final},
                {HYPER_LR_GAMMA, "optimizer.gamma", &s->optimizer.gamma},
                {HYPER_L2, "train.l2", &s->train.l2},
                {HYPER_L1, "train.l1", &s->train.l1},
                {HYPER_DROPOUT, "model.dropout", &s->model.dropout},
                {HYPER_AUXILIARY, "model.auxiliary.0.weight", &s->model.auxiliary.at[0].weight},
                {HYPER_BRIGHTNESS, "train.brightness", &s->train.brightness},
                {HYPER_CONTRAST, "train.contrast", &s->train.contrast},
                {HYPER_ERASING, "train.erasing", &s->train.erasing},
                {HYPER_NOISE, "train.noise", &s->train.noise},
                {HYPER_MIXUP, "train.mixup", &s->train.mixup},
                {HYPER_REGRESS, "regress.weight", &s->regress.weight},
                {HYPER_LABEL_SMOOTHING, "train.label_smoothing", &s->train.label_smoothing},
                {HYPER_GCE_Q, "train.gce_q", &s->train.gce_q},
                {HYPER_LABEL_FLIP, "train.label_flip", &s->train.label_flip},
                {HYPER_DISTILL_WEIGHT, "distill.weight", &s->distill.weight},
                {HYPER_DISTILL_TEMPERATURE, "distill.temperature", &s->distill.temperature},
                {HYPER_INIT_SCALE, "model.init_scale", &s->model.init_scale}};

    *value = 0;
    for (size_t i = 0; i < COUNT(said); i++)
        if (said[i].kind == kind) {
            *value = *said[i].value;
            return said[i].key;
        }
    return NULL;
}

/* A multiplier without words of its own starts at 1 and may move by a thousand either way. */
#define MULTIPLIER_REACH 1e3

static void resolve_hyper(const config_study *s, config_hyper *h)
{
    hyper_kind kind = (hyper_kind)h->kind;
    double said, start = hyper_kind_of(kind)->start;
    bool factor = h->multiplier;

    config_said(s, kind, &said);

    if (h->transform < 0)
        h->transform = (int)(factor ? TRANSFORM_LOG : hyper_kind_of(kind)->transform);
    hyper_transform t = (hyper_transform)h->transform;

    if (isnan(h->low)) h->low = factor ? 1 / MULTIPLIER_REACH : hyper_low(kind, t);
    if (isnan(h->high)) h->high = factor ? MULTIPLIER_REACH : hyper_high(kind, t);
    if (isnan(h->start)) h->start = factor ? 1 : said > 0 ? said : start;
    if (isnan(h->smooth)) h->smooth = h->phases == 0 ? (double)s->train.steps / 5 : 0;
}

static drmad_status check_hyper(const config *c, int32_t i)
{
    const config_hyper *h = &c->set.hyper.at[i];
    hyper_bounds b = {(hyper_kind)h->kind, (hyper_transform)h->transform, h->low, h->high, h->start,
                      h->multiplier};
    char why[256], path[64];
    const char *bad = hyper_check_bounds(&b, why, sizeof why);

    snprintf(path, sizeof path, "hyper.%d.%s", (int)i, bad ? bad : "phases");
    if (bad) return config_refuse(c, path, "%s", why);
    if (h->phases > c->set.train.steps)
        return config_refuse(c, path, "%lld phases, but train.steps is %lld", (long long)h->phases,
                             (long long)c->set.train.steps);
    snprintf(path, sizeof path, "hyper.%d.smooth", (int)i);
    if (h->smooth > 0 && h->phases == 1)
        return config_refuse(c, path, "phases: constant, so there is one value in time and nothing "
                                      "to average; leave it out, or say phases");
    snprintf(path, sizeof path, "hyper.%d.kind", (int)i);
    if (h->kind == HYPER_REGRESS && c->set.regress.to == CFG_REGRESS_NONE)
        return config_refuse(c, path, "regress needs regress.to: activations or weights");
    return DRMAD_OK;
}

static drmad_status resolve(config *c)
{
    drmad_status st = DRMAD_OK;
    config_study *s = &c->set;
    char dir[128];

    if (s->objective.report_every == 0)
        s->objective.report_every =
            s->search.pruner.kind == CFG_PRUNER_NONE ? -1 : (s->train.steps + 8) / 9;
    if (s->data.center == 0) s->data.center = s->data.crop == CFG_CROP_RANDOM_RESIZED ? .875 : 1;
    if (s->data.split_seed < 0) s->data.split_seed = s->seed;
    if (s->data.noise_seed < 0) s->data.noise_seed = s->seed;
    if (s->trajectory.memory == 0 && config_gpu(c) < 0) s->trajectory.memory = CONFIG_KEPT;
    if (s->outer.fresh_split) s->outer.trust = false; /* F of two splits cannot be compared */
    for (int32_t i = 0; i < s->hyper.n; i++) resolve_hyper(s, &s->hyper.at[i]);
    for (int32_t i = 0; i < s->parameters.n; i++) {
        config_parameter *p = &s->parameters.at[i];

        if (p->type < 0)
            p->type = p->choices.n > 0 ? CFG_PARAMETER_CATEGORICAL : CFG_PARAMETER_FLOAT;
    }
    if (s->output.dir[0] == '\0') {
        snprintf(dir, sizeof dir, "runs/%s", s->name);
        mem_free(c->ctx, s->output.dir);
        s->output.dir = NULL;
        TRY(mem_strdup(c->ctx, dir, &s->output.dir));
    }
done:
    return st;
}

drmad_status config_finish(config *c)
{
    drmad_status st = DRMAD_OK;

    TRY(check_name(c));
    TRY(check_device(c));
    TRY(check_products(c));
    TRY(config_check_data(c));
    TRY(check_counts(c));
    TRY(resolve_layers(c));
    TRY(check_model(c));
    TRY(check_distill(c));
    TRY(config_check_optimizer(c));
    TRY(check_trajectory(c));
    TRY(check_starts_from_files(c));
    TRY(check_objective(c));
    TRY(config_check_stages(c));
    TRY(check_activations(c));
    TRY(config_check_rally(c));
    TRY(resolve(c));
    for (int32_t i = 0; i < c->set.hyper.n; i++) TRY(check_hyper(c, i));
    TRY(config_check_starts(c));
done:
    return st;
}

drmad_status config_need_hyper(const config *c)
{
    if (c->set.hyper.n > 0) return DRMAD_OK;
    return config_refuse(c, "hyper",
                         "nothing to tune; declare at least one, for example "
                         "\"hyper: [{kind: l2, per: unit-in}]\"");
}

drmad_status config_need_f32(const config *c)
{
    if (c->set.train.activations == CFG_ACTIVATIONS_F32) return DRMAD_OK;
    return config_refuse(c, "train.activations",
                         "bf16, but hypergradients are asked for: the walk back goes through every "
                         "step's second derivatives, and what 8 bits lose there it loses at each; "
                         "tune with train.activations: f32 and train the result with bf16");
}
