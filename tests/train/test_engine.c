/* Whole models through the engine: gradient, exact Hessian-vector and mixed products of a
 * perceptron, planned, fused and run, against the naive evaluator on the same graph. */
#include "ad/ad.h"
#include "base/rng.h"
#include "eval.h"
#include "exec/backend.h"
#include "nn/nn.h"
#include "test.h"

enum { LAYERS = 3, TENSORS = 2 * LAYERS, LEAVES = 32, OUTS = 2 * TENSORS + 3, ROWS = 40 };

typedef struct engine {
    drmad_ctx *ctx;
    graph *g;
    dtype type;
    void *data[LEAVES];
    node w[TENSORS], u[TENSORS], out[OUTS];
    int outs;
} engine;

static node leaf(engine *e, dtype t, shape s, double size)
{
    const int32_t number = graph_leaves(e->g);
    const rng_key key = {9, 0, (uint32_t)number};
    void *data = malloc((size_t)shape_count(&s) * sizeof(double));

    for (int64_t i = 0; i < shape_count(&s); i++) {
        const double x = size * (2 * rng_uniform(key, (uint64_t)i) - 1);
        if (t == F32) ((float *)data)[i] = (float)x;
        if (t == F64) ((double *)data)[i] = x;
        if (t == I32) ((int32_t *)data)[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)size);
        if (t == U8) ((uint8_t *)data)[i] = (uint8_t)rng_below(key, (uint64_t)i, 256);
    }
    e->data[number] = data;
    return graph_add_leaf(e->g, "leaf", t, s);
}

/* Loss with L2 per input unit, its gradient, and the JVP of the gradient along u. */
static void build(engine *e, const nn_spec *s, const int64_t *sizes, int64_t batch)
{
    graph *g = e->g;
    node l2[LAYERS], grad[TENSORS + LAYERS], x[TENSORS + LAYERS];

    for (int i = 0; i < TENSORS; i++) {
        const int64_t in = sizes[i / 2], out = sizes[i / 2 + 1];
        const shape dims = i % 2 ? SHAPE(out) : SHAPE(out, in);
        e->w[i] = leaf(e, e->type, dims, 0.5);
        e->u[i] = leaf(e, e->type, dims, 1);
    }
    node table = leaf(e, U8, SHAPE(ROWS, sizes[0]), 0), index = leaf(e, I32, SHAPE(batch), ROWS);
    node labels = leaf(e, I32, SHAPE(batch), (double)sizes[LAYERS]);
    node in = g_scale(g, g_cast(g, g_gather(g, table, index), e->type), 1.0 / 255);
    const nn_pass pass = nn_evaluation();
    node z = nn_forward(g, s, e->w, in, &pass);
    node loss = g_sum_all(g, nn_row_loss(g, LOSS_CROSS_ENTROPY, z, labels, NULL));
    loss = g_scale(g, loss, 1.0 / (double)batch);
    for (int l = 0; l < LAYERS; l++) {
        l2[l] = leaf(e, e->type, SHAPE(1, sizes[l]), 0.1);
        loss = g_add(g, loss, nn_l2(g, e->w[2 * l], l2[l]));
    }
    node one = g_ones_like(g, loss);
    for (int i = 0; i < TENSORS; i++) x[i] = e->w[i];
    for (int l = 0; l < LAYERS; l++) x[TENSORS + l] = l2[l];
    CHECK_OK(e->ctx, ad_vjp(g, 1, &loss, &one, TENSORS + LAYERS, x, grad));
    CHECK_OK(e->ctx, ad_jvp(g, TENSORS, e->w, e->u, TENSORS + LAYERS, grad, e->out));
    e->outs = TENSORS + LAYERS;
    for (int i = 0; i < TENSORS && e->outs < OUTS; i++) e->out[e->outs++] = grad[i];
}

static bool run(engine *e, int threads, const plan_target *target, char *const *y)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;
    program *prog = NULL;
    plan_output out[OUTS];

    for (int i = 0; i < e->outs; i++) out[i] = (plan_output){e->out[i], -1};
    TRY(drmad_ctx_set_threads(e->ctx, threads));
    TRY(plan_new(e->ctx, e->g, out, e->outs, target, &p));
    TRY(program_new(e->ctx, p, &backend_cpu, &prog));
    for (int32_t i = 0; i < graph_leaves(e->g); i++) program_set_leaf(prog, i, e->data[i]);
    for (int i = 0; i < e->outs; i++) program_set_output(prog, i, y[i]);
    TRY(program_run(prog));
done:
    if (st != DRMAD_OK) test_fail(__FILE__, __LINE__, "%s", drmad_errmsg(e->ctx));
    program_free(prog);
    plan_free(p);
    return st == DRMAD_OK;
}

/* The largest difference over the largest value of output i. */
static double distance(const engine *e, int i, const char *y, const double *want)
{
    double apart = 0, most = 1e-300;

    for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
        const double got = e->type == F32 ? (double)((const float *)(const void *)y)[k]
                                          : ((const double *)(const void *)y)[k];
        apart = fmax(apart, fabs(got - want[k]));
        most = fmax(most, fabs(want[k]));
    }
    return apart / most;
}

static void check(engine *e, double tol)
{
    const plan_target usual = *backend_cpu.target;
    plan_target small = usual, unfused = usual;
    double *want[OUTS];
    char *y[4][OUTS];

    small.tile_bytes = 2048, small.tile_macs = 2000;
    unfused.fuse = false;
    for (int i = 0; i < e->outs; i++) {
        const size_t count = (size_t)shape_count(graph_shape(e->g, e->out[i]));
        want[i] = calloc(count, sizeof(double));
        for (int k = 0; k < 4; k++) y[k][i] = calloc(count, sizeof(double));
    }
    eval(e->g, (const void *const *)e->data, e->outs, e->out, want);
    if (run(e, 1, &usual, y[0]) && run(e, 1, &unfused, y[1]) && run(e, 1, &small, y[2]) &&
        run(e, 5, &small, y[3]))
        for (int i = 0; i < e->outs; i++) {
            const size_t bytes =
                (size_t)shape_count(graph_shape(e->g, e->out[i])) * dtype_size(e->type);
            for (int k = 0; k < 3; k++) CHECK_NEAR(distance(e, i, y[k][i], want[i]), 0, tol);
            CHECK(memcmp(y[2][i], y[3][i], bytes) == 0);
        }
    for (int i = 0; i < e->outs; i++) {
        free(want[i]);
        for (int k = 0; k < 4; k++) free(y[k][i]);
    }
}

static void model(dtype t, nn_kind a, int64_t batch, double tol)
{
    engine e = {.ctx = test_ctx(), .type = t};
    const int64_t sizes[] = {37, 20, 12, 10};
    nn_spec *s = NULL;

    CHECK_OK(e.ctx, nn_mlp(e.ctx, sizes, LAYERS, a, &s));
    CHECK_OK(e.ctx, graph_new(e.ctx, &e.g));
    build(&e, s, sizes, batch);
    CHECK_OK(e.ctx, graph_status(e.g));
    check(&e, tol);
    for (int i = 0; i < LEAVES; i++) free(e.data[i]);
    graph_free(e.g);
    nn_free(s);
}

/* Some dozen operations deep with sums of up to 40 terms: some hundred roundings of 1e-16. */
TEST(second_order_products_in_double)
{
    model(F64, NN_TANH, 11, 1e-13);
    model(F64, NN_RELU, 11, 1e-13);
    model(F64, NN_GELU, 11, 1e-13);
    model(F64, NN_SIGMOID, 1, 1e-13);
    model(F64, NN_SOFTPLUS, 26, 1e-13);
}

/* The same count of roundings of 6e-8. ReLU is left out: where a sum is near zero, a rounding
 * decides on which side it falls. */
TEST(second_order_products_in_single)
{
    model(F32, NN_TANH, 11, 2e-5);
    model(F32, NN_SIGMOID, 26, 2e-5);
}
