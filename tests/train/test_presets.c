/* Presets through the engine: loss, gradient, Hessian-vector product and next running statistics in
 * training, and gradient in evaluation, planned, fused and run, against the naive evaluator on the
 * same graph; and in F32, as they are trained, against F64. That the graph is right is the business
 * of tests/nn and tests/torch. */
#include "ad/ad.h"
#include "base/rng.h"
#include "eval.h"
#include "exec/backend.h"
#include "nn/nn.h"
#include "test.h"

enum { BATCH = 3, CLASSES = 4, TENSORS_MAX = 300, LEAVES_MAX = 700 };

typedef struct scene {
    drmad_ctx *ctx;
    dtype type;
    graph *g;
    nn_spec *s;
    param_table *p;
    void *data[LEAVES_MAX];
    node w[TENSORS_MAX], u[TENSORS_MAX], grad[TENSORS_MAX], next[TENSORS_MAX];
    node out[3 * TENSORS_MAX];
    int outs;
} scene;

static void put(dtype t, void *to, int64_t i, double x)
{
    if (t == F32) ((float *)to)[i] = (float)x;
    else ((double *)to)[i] = x;
}

static double get(dtype t, const void *from, int64_t i)
{
    return t == F32 ? (double)((const float *)from)[i] : ((const double *)from)[i];
}

/* A leaf of draws: normal around `mean`, the same in both types, or whole numbers below `below`. */
static node leaf(scene *e, dtype t, shape s, double mean, double size, int32_t below)
{
    const int32_t number = graph_leaves(e->g);
    const rng_key key = {17, 0, (uint32_t)number};
    void *data = calloc((size_t)shape_count(&s), sizeof(double));

    for (int64_t i = 0; i < shape_count(&s); i++)
        if (t == I32) ((int32_t *)data)[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)below);
        else put(t, data, i, (float)(mean + size * rng_normal(key, (uint64_t)i)));
    e->data[number] = data;
    return graph_add_leaf(e->g, "leaf", t, s);
}

static node weights(scene *e, const param *p)
{
    const shape *s = &p->shape;
    const bool about_one = p->role == PARAM_STAT || (p->role == PARAM_NORM && s->rank == 1);
    const double fan = s->rank > 1 ? (double)(p->count / s->dim[0]) : 1;

    return leaf(e, e->type, *s, about_one ? 1 : 0, about_one ? 0.1 : 1 / sqrt(fan), 0);
}

static void build(scene *e, bool train)
{
    graph *g = e->g;
    const int32_t n = e->p->n;
    shape x = {.rank = e->s->input.rank + 1, .dim = {BATCH}};
    nn_pass pass = nn_evaluation();

    pass.train = train, pass.next = e->next;
    for (int32_t i = 0; i < x.rank - 1; i++) x.dim[i + 1] = e->s->input.dim[i];
    for (int32_t i = 0; i < n; i++) e->w[i] = weights(e, &e->p->at[i]);
    for (int32_t i = 0; i < n; i++) e->u[i] = leaf(e, e->type, e->p->at[i].shape, 0, 0.1, 0);
    node in = leaf(e, e->s->tokens ? I32 : e->type, x, 0, 1, CLASSES);
    node labels =
        e->s->tokens ? leaf(e, I32, x, 0, 0, CLASSES) : leaf(e, I32, SHAPE(BATCH), 0, 0, CLASSES);
    if (train) pass.key = leaf(e, I32, SHAPE(4), 0, 0, 1 << 30);
    node z = nn_forward(g, e->s, e->w, in, &pass);
    node loss = g_sum_all(g, nn_row_loss(g, LOSS_CROSS_ENTROPY, z, labels, NULL));
    node one = g_ones_like(g, loss);
    CHECK_OK(e->ctx, ad_vjp(g, 1, &loss, &one, n, e->w, e->grad));
    e->out[e->outs++] = loss;
    for (int32_t i = 0; i < n; i++)
        if (e->grad[i] != NODE_NONE) e->out[e->outs++] = e->grad[i];
    CHECK_OK(e->ctx, ad_jvp(g, n, e->w, e->u, n, e->grad, e->grad));
    for (int32_t i = 0; i < n; i++)
        if (e->grad[i] != NODE_NONE) e->out[e->outs++] = e->grad[i];
    for (int32_t i = 0; i < n; i++)
        if (e->next[i] != NODE_NONE) e->out[e->outs++] = e->next[i];
}

static void **outputs_new(const scene *e)
{
    void **y = calloc((size_t)e->outs, sizeof *y);

    for (int i = 0; i < e->outs; i++)
        y[i] = calloc((size_t)shape_count(graph_shape(e->g, e->out[i])), sizeof(double));
    return y;
}

static void outputs_free(const scene *e, void **y)
{
    for (int i = 0; i < e->outs; i++) free(y[i]);
    free(y);
}

/* A copy, as a plan's output is written by one step only. */
static drmad_status run(scene *e, const plan_target *target, void *const *y)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;
    program *prog = NULL;
    plan_output *out = calloc((size_t)e->outs, sizeof *out);

    for (int i = 0; i < e->outs; i++) out[i] = (plan_output){e->out[i], -1};
    TRY(plan_new(e->ctx, e->g, out, e->outs, target, &p));
    TRY(program_new(e->ctx, p, &backend_cpu, &prog));
    for (int32_t i = 0; i < graph_leaves(e->g); i++) program_set_leaf(prog, i, e->data[i]);
    for (int i = 0; i < e->outs; i++) program_set_output(prog, i, y[i]);
    TRY(program_run(prog));
done:
    program_free(prog);
    plan_free(p);
    free(out);
    return st;
}

static void check(scene *e, const char *name, bool train)
{
    plan_target unfused = *backend_cpu.target;
    double **want = calloc((size_t)e->outs, sizeof *want);
    void **y = outputs_new(e);

    unfused.fuse = false;
    for (int i = 0; i < e->outs; i++) {
        const size_t n = (size_t)shape_count(graph_shape(e->g, e->out[i]));
        want[i] = calloc(n, sizeof **want);
    }
    eval(e->g, (const void *const *)e->data, e->outs, e->out, want);
    for (int fuse = 0; fuse < 2; fuse++) {
        CHECK_OK(e->ctx, run(e, fuse ? backend_cpu.target : &unfused, y));
        for (int i = 0; i < e->outs; i++) {
            double most = 1e-3, apart = 0;
            for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
                apart = fmax(apart, fabs(get(F64, y[i], k) - want[i][k]));
                most = fmax(most, fabs(want[i][k]));
            }
            if (!(apart <= 1e-9 * most)) /* thousands of roundings of 1e-16, through 100 layers */
                test_fail(__FILE__, __LINE__, "%s, %s, %s: output %d of %d is off by %g of %g",
                          name, train ? "training" : "evaluation", fuse ? "fused" : "not fused", i,
                          e->outs, apart, most);
        }
    }
    for (int i = 0; i < e->outs; i++) free(want[i]);
    free(want);
    outputs_free(e, y);
}

static scene *scene_open(const nn_preset *p, dtype type, bool train)
{
    scene *e = calloc(1, sizeof *e);

    e->ctx = test_ctx();
    e->type = type;
    CHECK_OK(e->ctx, nn_from_preset(e->ctx, p, &e->s));
    CHECK_OK(e->ctx, params_new(e->ctx, &e->p));
    CHECK_OK(e->ctx, nn_params(e->s, e->p));
    CHECK_OK(e->ctx, graph_new(e->ctx, &e->g));
    build(e, train);
    CHECK_OK(e->ctx, graph_status(e->g));
    return e;
}

static void scene_close(scene *e)
{
    for (int i = 0; i < LEAVES_MAX; i++) free(e->data[i]);
    graph_free(e->g);
    params_free(e->p);
    nn_free(e->s);
    free(e);
}

TEST(every_preset_runs_as_the_naive_evaluator_says)
{
    const shape image = SHAPE(8, 8, 3);
    const nn_preset all[] = {
        {.kind = NN_LENET5, .input = SHAPE(16, 16, 1), .width = 3, .dropout = 0.3},
        {.kind = NN_RESNET8, .input = image, .width = 2},
        {.kind = NN_RESNET20, .input = image, .width = 2},
        {.kind = NN_RESNET18, .input = image, .width = 2, .small_stem = true},
        {.kind = NN_RESNET18, .input = SHAPE(33, 33, 3), .width = 2},
        {.kind = NN_RESNET50, .input = image, .width = 1, .small_stem = true},
        {.kind = NN_WRN_16_1, .input = image, .width = 2},
        {.kind = NN_VIT_TINY, .input = image, .width = 6, .depth = 2, .patch = 4, .dropout = 0.2},
        {.kind = NN_GPT_NANO, .input = SHAPE(5), .width = 6, .depth = 2, .dropout = 0.2},
    };

    for (size_t i = 0; i < COUNT(all); i++) {
        nn_preset p = all[i];
        char name[32];
        p.classes = CLASSES;
        snprintf(name, sizeof name, "preset %d", (int)p.kind);
        for (int train = 0; train < 2; train++) {
            scene *e = scene_open(&p, F64, train);
            check(e, name, train);
            scene_close(e);
        }
    }
}

/* ---- single precision ---- */

/* |a - b|/|b| of output i, over all its elements. */
static double distance(const scene *e, int i, const void *a, const void *b)
{
    double apart = 0, size = 0;

    for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
        apart += pow(get(F32, a, k) - get(F64, b, k), 2);
        size += pow(get(F64, b, k), 2);
    }
    return size > 0 ? sqrt(apart / size) : sqrt(apart);
}

static void check_single(const char *name, const nn_preset *p)
{
    scene *single = scene_open(p, F32, true), *both = scene_open(p, F64, true);
    void **y = outputs_new(single), **want = outputs_new(both);
    double worst = 0;

    CHECK_OK(single->ctx, run(single, backend_cpu.target, y));
    CHECK_OK(both->ctx, run(both, backend_cpu.target, want));
    CHECK_INT(single->outs, both->outs);
    for (int i = 0; i < single->outs; i++) {
        const double d = distance(both, i, y[i], want[i]);
        if (!(d <= 1e-4))
            test_fail(__FILE__, __LINE__, "%s: output %d of %d is off by %g", name, i, single->outs,
                      d);
        worst = fmax(worst, d);
    }
    CHECK(worst > 1e-9); /* of F32, not of F64 */
    outputs_free(single, y);
    outputs_free(both, want);
    scene_close(single);
    scene_close(both);
}

/* At the width that is trained, so with the kernels and tiles of training. Some hundred roundings
 * of 6e-8 one after the other; a mask of ReLU that flips in between is one of thousands. */
TEST(presets_in_single_are_those_in_double)
{
    check_single("lenet5", &(nn_preset){.kind = NN_LENET5,
                                        .input = SHAPE(28, 28, 1),
                                        .classes = CLASSES,
                                        .dropout = 0.3});
    check_single("resnet8",
                 &(nn_preset){.kind = NN_RESNET8, .input = SHAPE(16, 16, 3), .classes = CLASSES});
    check_single("vit-tiny", &(nn_preset){.kind = NN_VIT_TINY,
                                          .input = SHAPE(16, 16, 3),
                                          .classes = CLASSES,
                                          .depth = 2,
                                          .patch = 4,
                                          .dropout = 0.2});
    check_single(
        "gpt-nano",
        &(nn_preset){.kind = NN_GPT_NANO, .input = SHAPE(24), .classes = CLASSES, .dropout = 0.2});
}
