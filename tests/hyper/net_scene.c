#include "net_scene.h"
#include "base/rng.h"

static void fill_data(scene *e)
{
    const int64_t width = shape_count(&e->net->input) + e->net->tokens;
    const rng_key key = {31, 0, 2};

    e->rows = malloc((size_t)(NET_ROWS * width));
    for (int64_t i = 0; i < NET_ROWS * width; i++)
        e->rows[i] = (unsigned char)rng_below(key, (uint64_t)i, e->net->tokens ? NET_CLASSES : 256);
    for (int i = 0; i < NET_ROWS; i++) {
        e->labels[i] = (int32_t)rng_below(key, 1u << 30 | (uint64_t)i, NET_CLASSES);
        e->list[i] = NET_ROWS - 1 - i;
    }
    e->spec.train = (examples){.rows = e->rows,
                               .type = U8,
                               .n = NET_ROWS,
                               .width = width,
                               .scale = 1.0 / 255,
                               .list = e->list,
                               .labels = e->labels,
                               .count = NET_TRAIN};
    e->valid = e->spec.train;
    e->valid.list += NET_TRAIN, e->valid.labels += NET_TRAIN;
    e->valid.count = NET_ROWS - NET_TRAIN;
}

drmad_status scene_open(scene *e, const net_case *c, dtype type, const backend *on)
{
    static const struct {
        hyper_kind kind;
        hyper_per per;
        int64_t phases;
        double start;
    } tuned[] = {{HYPER_LR, PER_TENSOR, 2, 0.05},
                 {HYPER_MOMENTUM, PER_GLOBAL, 1, 0.8},
                 {HYPER_WEIGHT_DECAY, PER_TENSOR, 1, 0.01},
                 {HYPER_INIT_SCALE, PER_GLOBAL, 1, 0.9},
                 {HYPER_LABEL_SMOOTHING, PER_GLOBAL, 1, 0.1}};
    hyper_decl decls[COUNT(tuned)];
    const space_facts facts = {
        .steps = c->steps, .examples = NET_TRAIN, .classes = NET_CLASSES, .inputs = 1};
    drmad_status st = DRMAD_OK;

    memset(e, 0, sizeof *e);
    e->ctx = test_ctx();
    for (size_t i = 0; i < COUNT(tuned); i++)
        decls[i] = (hyper_decl){.kind = tuned[i].kind,
                                .per = tuned[i].per,
                                .phases = tuned[i].phases,
                                .transform = TRANSFORM_LOGIT,
                                .high = 0.99,
                                .start = tuned[i].start};
    if (c->layers) TRY(nn_mlp(e->ctx, c->sizes, c->layers, NN_TANH, &e->net));
    else TRY(nn_from_preset(e->ctx, &c->preset, &e->net));
    fill_data(e);
    e->spec.on = on;
    e->spec.dtype = type;
    e->spec.model = nn_module(e->net);
    e->spec.optim = (optim_spec){.buffer = true};
    e->spec.rate = (schedule){.rate = 0.05, .steps = c->steps};
    e->spec.init_scale = 1, e->spec.momentum = 0.8;
    e->spec.steps = c->steps, e->spec.batch = NET_BATCH, e->spec.order = BATCH_SHUFFLE;
    TRY(params_new(e->ctx, &e->params));
    TRY(nn_params(e->net, e->params));
    TRY(space_new(e->ctx, e->params, &facts, decls, COUNT(decls), &e->s));
    e->spec.params = e->params, e->spec.space = e->s;
    TRY(trainer_new(e->ctx, &e->spec, &e->t));
    TRY(walker_new(e->ctx, e->t, &c->walk, &e->w));
    e->raw = calloc((size_t)e->s->total, sizeof(double));
    e->values = calloc((size_t)e->s->total, sizeof(double));
    e->grad = calloc((size_t)e->s->total, sizeof(double));
    space_start(e->s, e->raw);
    space_values(e->s, e->raw, e->values);
done:
    return st;
}

void scene_close(scene *e)
{
    walker_free(e->w);
    trainer_free(e->t);
    space_free(e->s);
    params_free(e->params);
    nn_free(e->net);
    free(e->rows);
    free(e->raw);
    free(e->values);
    free(e->grad);
}
