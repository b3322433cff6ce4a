/* Presets on a device whose memory C cannot touch: the CPU's weights and hypergradients, to the
 * bit. */
#include "mixed_device.h"
#include "toy.h"

enum { NET_ROWS = 24, NET_TRAIN = 16, NET_BATCH = 4, NET_CLASSES = 4 };

typedef struct net_case {
    const char *name;
    nn_preset preset;
    walk_spec walk;
    int64_t steps;
} net_case;

typedef struct scene {
    drmad_ctx *ctx;
    nn_spec *net;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    examples valid;
    unsigned char *rows;
    int32_t labels[NET_ROWS], list[NET_ROWS];
    double *raw, *values, *grad;
} scene;

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

static drmad_status open_scene(scene *e, const net_case *c, dtype type, const backend *on)
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
    TRY(nn_from_preset(e->ctx, &c->preset, &e->net));
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

static void close_scene(scene *e)
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

/* The trained weights and the hypergradient. */
static void compare(const net_case *c, scene *here, scene *there)
{
    const char *type = dtype_name(here->spec.dtype);
    const size_t bytes = (size_t)here->params->total * dtype_size(here->spec.dtype);
    walk_report r, q;
    const void *w, *v;

    CHECK_OK(here->ctx, walker_gradient(here->w, here->values, 9, &here->valid, &r, here->grad));
    CHECK_OK(here->ctx,
             walker_gradient(there->w, there->values, 9, &there->valid, &q, there->grad));
    CHECK_OK(here->ctx, trainer_read_weights(here->t, &w));
    CHECK_OK(here->ctx, trainer_read_weights(there->t, &v));
    if (memcmp(w, v, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s, %s: other weights", c->name, type);
    for (int64_t i = 0; i < here->s->total; i++)
        if (here->grad[i] != there->grad[i]) {
            test_fail(__FILE__, __LINE__, "%s, %s: [%lld] %.17g, expected %.17g", c->name, type,
                      (long long)i, there->grad[i], here->grad[i]);
            break;
        }
    CHECK(q.value.loss == r.value.loss && q.value.error == r.value.error);
}

static void check_net(const net_case *c, dtype type)
{
    mixed_device *d = malloc(sizeof *d);
    scene here, there;

    mixed_open(d);
    const drmad_status st = open_scene(&here, c, type, NULL);
    CHECK_OK(test_ctx(), st);
    const drmad_status at = open_scene(&there, c, type, &d->on);
    CHECK_OK(test_ctx(), at);
    if (st == DRMAD_OK && at == DRMAD_OK) compare(c, &here, &there);
    close_scene(&here);
    close_scene(&there);
    mixed_close(d);
    free(d);
}

TEST(mixed_nets_are_as_on_the_cpu)
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
    const int64_t some = test_count(6, 100);
    const net_case cases[] = {
        {"lenet5",
         {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = NET_CLASSES, .dropout = 0.3},
         replay,
         some},
        {"resnet8",
         {.kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = NET_CLASSES, .width = 4},
         replay,
         some},
        {"vit-tiny",
         {.kind = NN_VIT_TINY,
          .input = SHAPE(8, 8, 3),
          .classes = NET_CLASSES,
          .width = 16,
          .heads = 2,
          .depth = 2,
          .patch = 4,
          .dropout = 0.2},
         full,
         some},
        {"gpt-nano",
         {.kind = NN_GPT_NANO,
          .input = SHAPE(8),
          .classes = NET_CLASSES,
          .width = 16,
          .heads = 2,
          .depth = 2,
          .dropout = 0.2},
         full,
         some},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        check_net(&cases[i], F32);
        if (!test_sanitized()) check_net(&cases[i], F64);
    }
}
