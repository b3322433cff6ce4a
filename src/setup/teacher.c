/* Teachers. The net of another study is a set-up of its own, of which only the net, its weights and
 * the scaling of its inputs are made, over the data of the study that learns from it. */
#include "setup/teacher.h"
#include "data/npz.h"
#include "setup/setup_parts.h"
#include "setup/start.h"
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct teacher {
    drmad_ctx *ctx;
    config *cfg; /* of the net; NULL with a file of outputs */
    setup *of;   /* likewise */
    int64_t rows, outputs;
    dtype type;   /* spec.dtype */
    void *logits; /* [rows, outputs]; NULL: not yet */
    bool asked;
};

/* ---- a file of outputs ---- */

static drmad_status read_array(setup *s, const char *path, array *out)
{
    static const char *const name[] = {"logits"};
    const size_t n = strlen(path);
    const size_t cap = (size_t)s->train_data->n * (size_t)nn_output(s->net)->dim[0] * 16 + 65536;

    if (n > 4 && strcmp(path + n - 4, ".npz") == 0)
        return npz_read(s->ctx, path, cap, name, 1, out);
    return array_read(s->ctx, path, out);
}

static drmad_status check_array(const setup *s, const char *path, const array *a)
{
    const shape want = SHAPE(s->train_data->n, nn_output(s->net)->dim[0]);
    char have[96], need[96];

    if (shape_same(&a->shape, &want) && (a->dtype == F32 || a->dtype == F64)) return DRMAD_OK;
    return FAIL(s->ctx, DRMAD_E_DATA,
                "%s: %s%s, expected f32 or f64 %s: a row for each of %s, a number for each output "
                "of the net",
                path, dtype_name(a->dtype), shape_print(&a->shape, have, sizeof have),
                shape_print(&want, need, sizeof need), s->train_data->name);
}

static drmad_status read_logits(setup *s, teacher *t)
{
    const char *path = s->cfg->set.distill.logits;
    drmad_status st = DRMAD_OK;
    array a = {0};

    TRY(read_array(s, path, &a));
    TRY(check_array(s, path, &a));
    TRY(mem_alloc(t->ctx, (size_t)(t->rows * t->outputs), dtype_size(t->type), &t->logits));
    for (int64_t i = 0; i < t->rows * t->outputs; i++) {
        const double x = dtype_get(a.dtype, a.data, i);

        if (!isfinite(x))
            TRY(FAIL(t->ctx, DRMAD_E_DATA, "%s: row %lld is not finite", path,
                     (long long)(i / t->outputs)));
        dtype_put(t->type, t->logits, i, x);
    }
    t->asked = true;
done:
    array_free(s->ctx, &a);
    return st;
}

/* ---- a net ---- */

/* distill.weights; else what lies beside the study file, as in a run folder; else what it names. */
static drmad_status find_weights(const setup *s, const config *of, char *path, size_t size)
{
    const config_distill *d = &s->cfg->set.distill;
    const char *slash = strrchr(d->study, '/');
    const int length = slash ? (int)(slash + 1 - d->study) : 0;

    snprintf(path, size, "%s", d->weights);
    if (d->weights[0]) return DRMAD_OK;
    snprintf(path, size, "%.*sweights.safetensors", length, d->study);
    if (access(path, R_OK) == 0) return DRMAD_OK;
    snprintf(path, size, "%s", of->set.model.weights);
    if (path[0]) return DRMAD_OK;
    return config_refuse(s->cfg, "distill.weights",
                         "the teacher has no weights: %s has no model.weights, and there is no "
                         "weights.safetensors beside it",
                         d->study);
}

static drmad_status check_outputs(const setup *s, const setup *of)
{
    char have[96], want[96];

    if (shape_same(nn_output(of->net), nn_output(s->net))) return DRMAD_OK;
    return config_refuse(s->cfg, "distill.study", "the teacher gives %s, the net %s",
                         shape_print(nn_output(of->net), have, sizeof have),
                         shape_print(nn_output(s->net), want, sizeof want));
}

static drmad_status read_net(setup *s, teacher *t)
{
    drmad_status st = DRMAD_OK;
    char path[4096];
    setup *of;

    TRY(config_load(t->ctx, s->cfg->set.distill.study, NULL, 0, &t->cfg));
    TRY(mem_alloc(t->ctx, 1, sizeof *t->of, &t->of));
    of = t->of;
    of->ctx = t->ctx, of->cfg = t->cfg, of->lent = true;
    of->train_data = s->train_data;
    TRY(setup_channels(of));
    TRY(params_new(t->ctx, &of->params));
    if (of->cfg->set.model.import[0])
        TRY(config_refuse(s->cfg, "distill.study",
                          "%s imports its model; its outputs can be a "
                          "file for distill.logits",
                          s->cfg->set.distill.study));
    TRY(setup_net(of));
    TRY(nn_params(of->net, of->params));
    TRY(check_outputs(s, of));
    TRY(find_weights(s, t->cfg, path, sizeof path));
    TRY(start_read_weights(of, path));
done:
    return st;
}

/* A trainer that does not train. */
static train_spec asking(const teacher *t, const setup *s, const space *none)
{
    const setup *of = t->of;
    train_spec spec = {.dtype = s->spec.dtype,
                       .model = nn_module(of->net),
                       .params = of->params,
                       .rate = {.steps = 1},
                       .init_scale = 1,
                       .steps = 1,
                       .batch = s->spec.batch,
                       .train = s->spec.train,
                       .space = none,
                       .start = of->start,
                       .on = s->spec.on};

    spec.train.scale = t->cfg->set.data.scale;
    spec.train.channels = of->channels;
    memcpy(spec.train.mean, of->mean, sizeof of->mean);
    memcpy(spec.train.deviation, of->deviation, sizeof of->deviation);
    return spec;
}

static drmad_status compute(teacher *t, const setup *s)
{
    const space_facts facts = {.steps = 1, .examples = s->spec.train.count};
    drmad_status st = DRMAD_OK;
    space *none = NULL;
    trainer *asked = NULL;

    TRY(space_new(t->ctx, t->of->params, &facts, NULL, 0, &none));
    const train_spec spec = asking(t, s, none);
    TRY(trainer_new(t->ctx, &spec, &asked));
    TRY(trainer_outputs(asked, &spec.train, t->logits));
done:
    trainer_free(asked);
    space_free(none);
    return st;
}

/* ---- both ---- */

drmad_status teacher_new(setup *s, teacher **out)
{
    const config_distill *d = &s->cfg->set.distill;
    drmad_status st = DRMAD_OK;
    teacher *t = NULL;

    *out = NULL;
    if (!d->study[0] && !d->logits[0]) return DRMAD_OK;
    if (!s->net)
        return config_refuse(s->cfg, d->study[0] ? "distill.study" : "distill.logits",
                             "a model from a folder has its loss inside; export it with the "
                             "teacher's term in that loss, or take a net of drmad's own");
    if (nn_output(s->net)->rank != 1)
        return config_refuse(s->cfg, d->study[0] ? "distill.study" : "distill.logits",
                             "the net reads token ids; only nets that give one "
                             "number a class learn from a teacher");
    TRY(mem_alloc(s->ctx, 1, sizeof *t, &t));
    t->ctx = s->ctx;
    t->rows = s->train_data->n;
    t->outputs = nn_output(s->net)->dim[0];
    t->type = s->spec.dtype;
    TRY(d->logits[0] ? read_logits(s, t) : read_net(s, t));
    *out = t, t = NULL;
done:
    teacher_free(t);
    return st;
}

void teacher_free(teacher *t)
{
    if (!t) return;
    setup_free(t->of);
    config_free(t->cfg);
    mem_free(t->ctx, t->logits);
    mem_free(t->ctx, t);
}

/* `check` trains in double whatever the study says. */
static drmad_status retype(teacher *t, dtype type)
{
    drmad_status st = DRMAD_OK;
    void *fresh = NULL;

    if (t->type == type) return DRMAD_OK;
    if (t->logits) {
        TRY(mem_alloc(t->ctx, (size_t)(t->rows * t->outputs), dtype_size(type), &fresh));
        for (int64_t i = 0; i < t->rows * t->outputs; i++)
            dtype_put(type, fresh, i, dtype_get(t->type, t->logits, i));
        mem_free(t->ctx, t->logits);
        t->logits = fresh;
    }
    t->type = type;
done:
    return st;
}

/* The outputs that the lender's teacher gave for the same examples. */
static bool copy_lent(teacher *t, const setup *s)
{
    const setup *l = s->lender;
    const teacher *of = l && s->lent ? l->teacher : NULL;
    const examples *a = &s->spec.train, *b = l ? &l->spec.train : NULL;

    if (!of || !of->asked || !of->of || of->type != t->type || of->outputs != t->outputs ||
        s->spec.batch != l->spec.batch || a->count != b->count)
        return false;
    if (strcmp(s->cfg->set.distill.study, l->cfg->set.distill.study) != 0 ||
        strcmp(s->cfg->set.distill.weights, l->cfg->set.distill.weights) != 0 ||
        memcmp(a->list, b->list, (size_t)a->count * sizeof *a->list) != 0)
        return false;
    memcpy(t->logits, of->logits, teacher_bytes(t));
    return true;
}

drmad_status teacher_ask(teacher *t, setup *s)
{
    drmad_status st = DRMAD_OK;

    TRY(retype(t, s->spec.dtype));
    if (!t->logits)
        TRY(mem_alloc(t->ctx, (size_t)(t->rows * t->outputs), dtype_size(t->type), &t->logits));
    if (!t->asked && !copy_lent(t, s)) TRY(compute(t, s));
    t->asked = true;
    s->spec.teacher = t->logits;
done:
    return st;
}

void teacher_forget(teacher *t)
{
    if (t && t->of) t->asked = false;
}

size_t teacher_bytes(const teacher *t)
{
    return t ? (size_t)(t->rows * t->outputs) * dtype_size(t->type) : 0;
}
