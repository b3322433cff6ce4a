/* Presets on devices whose memory C cannot touch: the CPU's weights and hypergradients. */
#include "gpu_driver.h"
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
    e->net->draws.kind = INIT_PYTORCH;
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

/* Fails unless all n numbers are equal to within `tolerance` of the largest. */
static void check_near(const net_case *c, const char *what, const double *got, const double *want,
                       int64_t n, double tolerance)
{
    double largest = 0, worst = 0;

    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= worst)) worst = fabs(got[i] - want[i]);
    if (!(worst <= tolerance * largest) || !(largest > 0))
        test_fail(__FILE__, __LINE__, "%s: %s: %g off, the largest is %g", c->name, what, worst,
                  largest);
}

static double *weights_of(scene *e)
{
    double *out = calloc((size_t)e->params->total, sizeof *out);
    const void *w;

    CHECK_OK(e->ctx, trainer_read_weights(e->t, &w));
    for (int64_t i = 0; i < e->params->total; i++) out[i] = dtype_get(e->spec.dtype, w, i);
    return out;
}

/* Another run has the same bits. */
static void check_again(const net_case *c, scene *e)
{
    const size_t bytes = (size_t)e->s->total * sizeof *e->grad;
    double *first = malloc(bytes);
    walk_report r;

    memcpy(first, e->grad, bytes);
    CHECK_OK(e->ctx, walker_gradient(e->w, e->values, 9, &e->valid, &r, e->grad));
    if (memcmp(first, e->grad, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s: other bits in the second run", c->name);
    free(first);
}

/* The trained weights and the hypergradient, on the backend and on the CPU. */
static void compare(const net_case *c, dtype type, const backend *on, double tolerance)
{
    const backend *where[] = {NULL, on};
    double *w[2] = {NULL, NULL};
    walk_report r[2];
    scene e[2];

    if (type == F64 && test_sanitized()) return; /* the code is F32's */
    memset(e, 0, sizeof e);
    for (int k = 0; k < 2; k++) {
        const drmad_status st = open_scene(&e[k], c, type, where[k]);
        CHECK_OK(test_ctx(), st);
        if (st != DRMAD_OK) goto done;
        CHECK_OK(e[k].ctx, walker_gradient(e[k].w, e[k].values, 9, &e[k].valid, &r[k], e[k].grad));
        w[k] = weights_of(&e[k]);
    }
    check_again(c, &e[1]);
    check_near(c, "weights", w[1], w[0], e[0].params->total, tolerance);
    check_near(c, "hypergradient", e[1].grad, e[0].grad, e[0].s->total, tolerance);
    check_near(c, "F", &r[1].value.loss, &r[0].value.loss, 1, tolerance);
    CHECK(r[1].value.error == r[0].value.error);
done:
    for (int k = 0; k < 2; k++) {
        free(w[k]);
        close_scene(&e[k]);
    }
}

/* To the bit; but in F64 a product may add itself to the sum of an evaluation's gradients. */
static void check_net(const net_case *c, dtype type)
{
    mixed_device *d = malloc(sizeof *d);

    mixed_open(d);
    compare(c, type, &d->on, type == F64 ? 1e-15 : 0);
    mixed_close(d);
    free(d);
}

enum { NETS = 4 };

static void list_nets(int64_t steps, net_case out[NETS])
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
    const net_case cases[] = {
        {"lenet5",
         {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = NET_CLASSES, .dropout = 0.3},
         replay,
         steps},
        {"resnet8",
         {.kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = NET_CLASSES, .width = 4},
         replay,
         steps},
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
         steps},
        {"gpt-nano",
         {.kind = NN_GPT_NANO,
          .input = SHAPE(8),
          .classes = NET_CLASSES,
          .width = 16,
          .heads = 2,
          .depth = 2,
          .dropout = 0.2},
         full,
         steps},
    };

    memcpy(out, cases, sizeof cases);
}

TEST(mixed_nets_are_as_on_the_cpu)
{
    net_case nets[NETS];

    list_nets(test_count(6, 100), nets);
    for (int i = 0; i < NETS; i++) {
        check_net(&nets[i], F32);
        check_net(&nets[i], F64);
    }
}

/* The CUDA backend on the driver that runs its kernels' bodies on the host. */
TEST(cuda_nets_are_as_on_the_cpu)
{
    net_case nets[NETS];
    backend *on;

    list_nets(test_count(3, 100), nets);
    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), gpu_test_driver(), 0, &on));
    for (int i = 0; i < NETS; i++) {
        compare(&nets[i], F64, on, 1e-10);
        compare(&nets[i], F32, on, 1e-4);
    }
    cuda_backend_free(on);
}
