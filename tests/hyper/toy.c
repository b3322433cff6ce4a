#include "toy.h"

void toy_init(toy *t, drmad_ctx *ctx)
{
    const rng_key key = {11, 0, 5};

    memset(t, 0, sizeof *t);
    t->ctx = ctx;
    for (int i = 0; i < TOY_ROWS * TOY_WIDTH; i++) t->rows[i] = rng_normal(key, (uint64_t)i);
    for (int i = 0; i < TOY_ROWS; i++) {
        t->labels[i] = (int32_t)rng_below(key, 1000 + (uint64_t)i, TOY_CLASSES);
        t->list[i] = i;
    }
    const examples all = {t->rows, F64, TOY_ROWS, TOY_WIDTH, 0.7, t->list, t->labels, 20, 0};
    t->valid = all;
    t->valid.list += 20, t->valid.labels += 20, t->valid.count = 10;
    const int64_t sizes[] = {TOY_WIDTH, 5, 4, TOY_CLASSES};
    memcpy(t->sizes, sizes, sizeof sizes);
    t->layers = 3;
    t->activation = NN_TANH;
    t->draws = (nn_draws){.std = 0.6, .bias = BIAS_LIKE_WEIGHT};
    t->spec = (train_spec){
        .init_scale = 1,
        .dtype = F64,
        .optim = {.buffer = true},
        .rate = {.rate = 0.3, .steps = 20},
        .momentum = 0.7,
        .steps = 20,
        .batch = 7,
        .order = BATCH_SHUFFLE,
        .train = all,
    };
}

drmad_status toy_open(toy *t, const hyper_decl *decls, int32_t n, const walk_spec *walk)
{
    const space_facts facts = {.steps = t->spec.steps,
                               .examples = t->spec.train.count,
                               .classes = TOY_CLASSES,
                               .inputs = TOY_WIDTH};
    drmad_status st = DRMAD_OK;

    TRY(params_new(t->ctx, &t->params));
    if (!t->net) TRY(nn_mlp(t->ctx, t->sizes, t->layers, t->activation, &t->net));
    t->net->draws = t->draws;
    t->spec.model = t->net;
    TRY(nn_params(t->net, t->params));
    TRY(space_new(t->ctx, t->params, &facts, decls, n, &t->s));
    t->spec.params = t->params;
    t->spec.space = t->s;
    TRY(trainer_new(t->ctx, &t->spec, &t->t));
    TRY(walker_new(t->ctx, t->t, walk, &t->w));
    const size_t total = (size_t)t->s->total + 1;
    TRY(mem_alloc(t->ctx, total, sizeof(double), &t->raw));
    TRY(mem_alloc(t->ctx, total, sizeof(double), &t->values));
    TRY(mem_alloc(t->ctx, total, sizeof(double), &t->grad));
    space_start(t->s, t->raw);
    space_values(t->s, t->raw, t->values);
    for (size_t i = 0; i + 1 < total; i++) /* not all alike */
        t->values[i] *= 0.8 + 0.4 * rng_uniform((rng_key){3, 0, 9}, i);
done:
    return st;
}

void toy_close(toy *t)
{
    walker_free(t->w);
    trainer_free(t->t);
    space_free(t->s);
    params_free(t->params);
    nn_free(t->net);
    mem_free(t->ctx, t->raw);
    mem_free(t->ctx, t->values);
    mem_free(t->ctx, t->grad);
}

double toy_value(toy *t, const double *values)
{
    train_report run;
    eval_result f;

    CHECK_OK(t->ctx, trainer_run(t->t, values, 42, NULL, &run));
    CHECK_OK(t->ctx, trainer_eval(t->t, &t->valid, values, &f, NULL, NULL));
    return f.loss;
}

int32_t toy_declare(const toy *t, hyper_per per, int64_t phases, hyper_decl *out)
{
    static const struct {
        hyper_kind kind;
        double start;
        hyper_transform transform;
        bool tensors;
    } kinds[] = {
        {HYPER_L2, 0.02, TRANSFORM_LOG, true},
        {HYPER_L1, 0.01, TRANSFORM_LOG, true},
        {HYPER_WEIGHT_DECAY, 0.03, TRANSFORM_LOG, true},
        {HYPER_LR, 0.3, TRANSFORM_LOG, true},
        {HYPER_MOMENTUM, 0.7, TRANSFORM_LOGIT, true},
        {HYPER_INIT_SCALE, 1.1, TRANSFORM_LOG, true},
        {HYPER_LABEL_SMOOTHING, 0.1, TRANSFORM_LOGIT, false},
        {HYPER_INPUT_SCALE, 0.9, TRANSFORM_LOG, false},
        {HYPER_EXAMPLE_WEIGHT, 0.9, TRANSFORM_LOG, false},
        {HYPER_LOSS_WEIGHT, 1.1, TRANSFORM_LOG, false},
    };
    int32_t n = 0;

    for (size_t i = 0; i < COUNT(kinds); i++) {
        hyper_decl d = {.kind = kinds[i].kind,
                        .per = per,
                        .phases = phases,
                        .transform = kinds[i].transform,
                        .low = 1e-4,
                        .high = kinds[i].transform == TRANSFORM_LOGIT ? 0.99 : 10,
                        .start = kinds[i].start};
        if (d.kind == HYPER_MOMENTUM && !t->spec.optim.buffer) continue;
        if (d.kind == HYPER_INIT_SCALE || d.kind == HYPER_INPUT_SCALE) d.phases = 1;
        if (!kinds[i].tensors) {
            d.per = d.kind == HYPER_EXAMPLE_WEIGHT                      ? PER_EXAMPLE
                    : d.kind == HYPER_LOSS_WEIGHT                       ? PER_CLASS
                    : d.kind == HYPER_INPUT_SCALE && per == PER_UNIT_IN ? PER_UNIT_IN
                                                                        : PER_GLOBAL;
            if (phases == 0 && d.phases == 0) d.phases = 3;
        }
        out[n++] = d;
    }
    return n;
}
