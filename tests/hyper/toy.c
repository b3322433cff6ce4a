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
    const examples all = {.rows = t->rows,
                          .type = F64,
                          .n = TOY_ROWS,
                          .width = TOY_WIDTH,
                          .scale = 0.7,
                          .list = t->list,
                          .labels = t->labels,
                          .count = 20};
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
        .beta1 = 0.7,
        .beta2 = 0.8,
        .eps = 0.02,
        .clip = 0.4,
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
    t->spec.model = nn_module(t->net);
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

/* Whether a run with this optimiser depends on such a value. */
static bool read_by(const optim_spec *o, hyper_kind k)
{
    for (int h = 0; h < OPTIM_HYPERS; h++)
        if (optim_kind_of((optim_hyper)h) == k) return optim_reads(o, (optim_hyper)h);
    return k != HYPER_CLIP || o->clip != CLIP_NONE;
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
        {HYPER_BETA1, 0.7, TRANSFORM_LOGIT, true},
        {HYPER_BETA2, 0.8, TRANSFORM_LOGIT, true},
        {HYPER_EPS, 0.02, TRANSFORM_LOG, true},
        {HYPER_CLIP, 0.4, TRANSFORM_LOG, false},
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
        if (d.kind == HYPER_BETA1 && t->spec.optim.kind == OPTIM_NADAM) d.phases = 1;
        if (d.kind == HYPER_LR && t->spec.optim.kind != OPTIM_SGD) d.start = 0.03;
        if (!read_by(&t->spec.optim, d.kind)) continue;
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

/* Fourth-order central difference along d, and how far the second-order one at twice the step is
 * off. */
static double difference(toy *t, const double *d, double h, double *doubt)
{
    const int64_t n = t->s->total;
    double f[4], *x = calloc((size_t)n, sizeof *x);
    const double at[4] = {-2 * h, -h, h, 2 * h};

    for (int k = 0; k < 4; k++) {
        for (int64_t i = 0; i < n; i++) x[i] = t->values[i] + at[k] * d[i];
        f[k] = toy_value(t, x);
    }
    free(x);
    const double near = (f[2] - f[1]) / (2 * h), far = (f[3] - f[0]) / (4 * h);
    *doubt = fabs(near - far) / 15;
    return (4 * near - far) / 3;
}

static double inner(const double *a, const double *b, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* One direction: the tolerance is 1e-6 of the slice's largest entry (times the direction's 1-norm)
 * while differences are good to that, else 1e-9 of it against forward mode. */
static void check_direction(toy *t, const double *d, double largest, const char *what)
{
    const int64_t n = t->s->total;
    double doubt, value, slope, norm = 0;
    const double got = inner(t->grad, d, n), want = difference(t, d, 1e-3, &doubt);

    for (int64_t i = 0; i < n; i++) norm += fabs(d[i]);
    if (doubt < 1e-7 * largest) {
        if (!(fabs(got - want) <= 1e-6 * largest * norm))
            test_fail(__FILE__, __LINE__, "%s: %.12g, difference %.12g", what, got, want);
        return;
    }
    CHECK_OK(t->ctx, walker_directional(t->w, t->values, d, 42, &t->valid, &value, &slope));
    if (!(fabs(got - slope) <= 1e-9 * largest * norm))
        test_fail(__FILE__, __LINE__, "%s: %.15g, forward mode %.15g (difference %.9g)", what, got,
                  slope, want);
}

static void check_slice(toy *t, const hyper_slice *s, const char *setting_name)
{
    const int coordinates = test_count(2, 20), directions = test_count(1, 3);
    const int64_t count = s->elements * s->phases;
    double *d = calloc((size_t)t->s->total, sizeof *d), largest = 0;
    char what[256];

    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(t->grad[s->offset + i]));
    snprintf(what, sizeof what, "%s: %s (%lld values)", setting_name, s->name, (long long)count);
    if (!(largest > 0)) test_fail(__FILE__, __LINE__, "%s: all zero", what);
    for (int k = 0; k < coordinates && k < count; k++) {
        const int64_t i = s->offset + (int64_t)rng_below((rng_key){5, (uint32_t)k, 1},
                                                         (uint64_t)s->offset, (uint64_t)count);
        d[i] = 1;
        check_direction(t, d, largest, what);
        d[i] = 0;
    }
    for (int k = 0; k < directions; k++) {
        for (int64_t i = 0; i < count; i++)
            d[s->offset + i] =
                rng_normal((rng_key){6, (uint32_t)k, 1}, (uint64_t)i) / sqrt((double)count);
        check_direction(t, d, largest, what);
    }
    free(d);
}

/* The initial scale of a norm's bias, which begins at 0. */
static bool scales_zeros(const toy *t, const hyper_slice *s)
{
    const bool norm = s->tensor >= 0 && t->params->at[s->tensor].role == PARAM_NORM;

    return s->kind == HYPER_INIT_SCALE && norm && strstr(s->name, "bias");
}

void toy_check_slices(toy *t, const char *setting_name)
{
    for (int32_t i = 0; i < t->s->n_slices; i += test_sanitized() ? 5 : 1)
        if (!scales_zeros(t, &t->s->slices[i])) check_slice(t, &t->s->slices[i], setting_name);
}
