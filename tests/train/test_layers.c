/* Every kind of layer in F64, in training and in evaluation: gradient and Hessian-vector product of
 * a number made of its output against differences, on the naive evaluator; causal attention and
 * dropout beyond that. */
#include "ad/ad.h"
#include "base/rng.h"
#include "eval.h"
#include "nn/nn.h"
#include "test.h"

enum { BATCH = 3, VOCABULARY = 5, LEAVES = 12 };

typedef struct scene {
    graph *g;
    nn_spec *s;
    param_table *p;
    double *data[LEAVES], *along[LEAVES], *start[LEAVES];
    node x[LEAVES];
    int floats; /* leaves that differences move: the first ones */
    int32_t key[4], ids[64];
    const void *bound[LEAVES + 2];
} scene;

static void add_floats(scene *e, shape s, double mean, double size)
{
    const int i = e->floats++;
    const size_t n = (size_t)shape_count(&s);

    e->data[i] = calloc(n, sizeof(double));
    e->along[i] = calloc(n, sizeof(double));
    e->start[i] = calloc(n, sizeof(double));
    for (size_t k = 0; k < n; k++) {
        e->start[i][k] = mean + size * rng_normal((rng_key){3, 0, (uint32_t)i}, k);
        e->along[i][k] = rng_normal((rng_key){4, 0, (uint32_t)i}, k);
    }
    memcpy(e->data[i], e->start[i], n * sizeof(double));
    e->bound[graph_leaves(e->g)] = e->data[i];
    e->x[i] = graph_add_leaf(e->g, "x", F64, s);
}

static node add_ints(scene *e, shape s, int32_t *data)
{
    e->bound[graph_leaves(e->g)] = data;
    return graph_add_leaf(e->g, "whole numbers", I32, s);
}

/* <c, y> + <y, y>/2 with y the output of the net on leaves: weights first, then the input. */
static node number_of(scene *e, bool train)
{
    const rng_key key = {5, 0, 1};
    shape in = {.rank = e->s->input.rank + 1, .dim = {BATCH}};
    nn_pass pass = nn_evaluation();
    node x;

    pass.train = train;
    for (int32_t i = 0; i < e->p->n; i++) {
        const bool one = e->p->at[i].role == PARAM_STAT || e->p->at[i].role == PARAM_NORM;
        add_floats(e, e->p->at[i].shape, one, one ? 0.1 : 0.5);
    }
    for (int32_t i = 0; i + 1 < in.rank; i++) in.dim[i + 1] = e->s->input.dim[i];
    for (uint64_t i = 0; i < COUNT(e->ids); i++) e->ids[i] = (int32_t)rng_below(key, i, VOCABULARY);
    for (uint64_t i = 0; i < 4; i++) e->key[i] = (int32_t)rng_below(key, 99 + i, 1 << 30);
    if (e->s->tokens) x = add_ints(e, in, e->ids);
    else add_floats(e, in, 0.1, 1), x = e->x[e->floats - 1];
    if (train) pass.key = add_ints(e, SHAPE(4), e->key);
    node y = nn_forward(e->g, e->s, e->x, x, &pass);
    return g_add(e->g, g_sum_all(e->g, g_softplus(e->g, y)), g_scale(e->g, g_dot(e->g, y, y), 0.5));
}

static void move(scene *e, double h)
{
    for (int i = 0; i < e->floats; i++)
        for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->x[i])); k++)
            e->data[i][k] = e->start[i][k] + h * e->along[i][k];
}

static double value(scene *e, node y)
{
    double *v = eval_one(e->g, e->bound, y), x = *v;

    free(v);
    return x;
}

/* Fourth order, along e->along. */
static double difference(scene *e, node y)
{
    const double h = 1e-3, at[] = {-2, -1, 1, 2}, by[] = {1, -8, 8, -1};
    double sum = 0;

    for (int i = 0; i < 4; i++) {
        move(e, at[i] * h);
        sum += by[i] * value(e, y) / (12 * h);
    }
    move(e, 0);
    return sum;
}

/* sum_i <a_i, b_i> where both are there. */
static node inner(graph *g, int n, const node *a, const node *b)
{
    node sum = g_fill(g, F64, SHAPE(1), 0);

    for (int i = 0; i < n; i++)
        if (a[i] != NODE_NONE && b[i] != NODE_NONE)
            sum = g_add(g, sum, g_reshape(g, g_dot(g, a[i], b[i]), SHAPE(1)));
    return sum;
}

static void check(scene *e, const char *name, bool train)
{
    node grad[LEAVES], d[LEAVES], product[LEAVES], y = number_of(e, train);
    graph *g = e->g;

    for (int i = 0; i < e->floats; i++) {
        const shape s = *graph_shape(g, e->x[i]);
        e->bound[graph_leaves(g)] = e->along[i];
        d[i] = graph_add_leaf(g, "along", F64, s);
    }
    node one = g_ones_like(g, y);
    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &one, e->floats, e->x, grad));
    CHECK_OK(test_ctx(), ad_jvp(g, e->floats, e->x, d, e->floats, grad, product));
    const node slope = inner(g, e->floats, grad, d), bend = inner(g, e->floats, product, d);
    CHECK_OK(test_ctx(), graph_status(g));
    const double got[] = {value(e, slope), value(e, bend)};
    const double want[] = {difference(e, y), difference(e, slope)};
    for (int k = 0; k < 2; k++)
        if (!(fabs(got[k] - want[k]) <= 1e-6 * fmax(1, fabs(want[k]))))
            test_fail(__FILE__, __LINE__, "%s, %s, order %d: %.12g, difference %.12g", name,
                      train ? "training" : "evaluation", k + 1, got[k], want[k]);
}

static void check_net(const char *name, shape input, const nn_layer *layers, int n)
{
    for (int train = 0; train < 2; train++) {
        scene *e = calloc(1, sizeof *e);

        CHECK_OK(test_ctx(), graph_new(test_ctx(), &e->g));
        CHECK_OK(test_ctx(), nn_new(test_ctx(), input, &e->s));
        for (int i = 0; i < n; i++) CHECK_OK(test_ctx(), nn_add(e->s, &layers[i]));
        CHECK_OK(test_ctx(), params_new(test_ctx(), &e->p));
        CHECK_OK(test_ctx(), nn_params(e->s, e->p));
        check(e, name, train);
        for (int i = 0; i < LEAVES; i++) free(e->data[i]), free(e->along[i]), free(e->start[i]);
        params_free(e->p);
        nn_free(e->s);
        graph_free(e->g);
        free(e);
    }
}

#define NET(name, input, ...)                                                                      \
    check_net(name, input, (const nn_layer[]){__VA_ARGS__},                                        \
              (int)COUNT(((const nn_layer[]){__VA_ARGS__})))

TEST(layers_on_images_have_right_derivatives)
{
    const shape image = SHAPE(5, 4, 4);

    NET("conv", image, {.kind = NN_CONV, .out = 3, .window = {.kernel = {3, 2}, .pad = {1, 0}}});
    NET("conv, strided, dilated, in groups", SHAPE(6, 5, 4),
        {.kind = NN_CONV,
         .out = 6,
         .window = {.kernel = {3, 2}, .stride = {2, 1}, .dilation = {1, 2}, .groups = 2}});
    NET("batch norm", image, {.kind = NN_BATCH_NORM});
    NET("layer norm", image, {.kind = NN_LAYER_NORM});
    NET("group norm", image, {.kind = NN_GROUP_NORM, .groups = 2});
    NET("max pool", image,
        {.kind = NN_MAX_POOL, .window = {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}}});
    NET("avg pool", image, {.kind = NN_AVG_POOL, .window = {.kernel = {2, 2}}});
    NET("global pool", image, {.kind = NN_GLOBAL_AVG_POOL});
    NET("flatten", image, {.kind = NN_FLATTEN}, {.kind = NN_LINEAR, .out = 2});
    NET("dropout", image, {.kind = NN_DROPOUT, .rate = 0.4});
    NET("normalize", SHAPE(2, 2, 3),
        {.kind = NN_NORMALIZE, .mean = {1, 2, 3}, .deviation = {2, 3, 4}});
    NET("residual", image, {.kind = NN_CONV, .out = 4, .window = {.kernel = {1, 1}}},
        {.kind = NN_ADD, .from = {0, NN_INPUT}, .inputs = 2});
    NET("concat", image, {.kind = NN_CONV, .out = 2, .window = {.kernel = {1, 1}}},
        {.kind = NN_CONCAT, .from = {0, NN_INPUT, 0}, .inputs = 3});
}

TEST(layers_on_vectors_and_sequences_have_right_derivatives)
{
    static const nn_kind activations[] = {NN_TANH,     NN_RELU, NN_SIGMOID,
                                          NN_SOFTPLUS, NN_GELU, NN_SILU};

    for (size_t i = 0; i < COUNT(activations); i++)
        NET("activation", SHAPE(4), {.kind = NN_LINEAR, .out = 3}, {.kind = activations[i]});
    NET("batch norm of vectors", SHAPE(4), {.kind = NN_BATCH_NORM});
    NET("linear on a sequence", SHAPE(3, 4), {.kind = NN_LINEAR, .out = 2});
    NET("layer norm without bias", SHAPE(3, 4), {.kind = NN_LAYER_NORM, .no_bias = true});
    NET("position", SHAPE(3, 4), {.kind = NN_POSITION, .name = "pos_embed"});
    NET("position embedding", SHAPE(3, 4), {.kind = NN_POSITION_EMBEDDING, .name = "wpe"});
    NET("class token", SHAPE(3, 4), {.kind = NN_CLASS_TOKEN, .name = "cls_token"});
    NET("first token", SHAPE(3, 4), {.kind = NN_FIRST_TOKEN});
    NET("tokens", SHAPE(2, 3, 2), {.kind = NN_TOKENS});
    NET("attention", SHAPE(4, 12), {.kind = NN_ATTENTION, .heads = 2});
    NET("causal attention", SHAPE(4, 12), {.kind = NN_ATTENTION, .heads = 2, .causal = true});
    NET("tied embedding", SHAPE(4),
        {.kind = NN_EMBEDDING, .name = "wte", .vocabulary = VOCABULARY, .out = 3},
        {.kind = NN_LINEAR, .name = "head", .out = VOCABULARY, .no_bias = true, .tied = 1});
}

/* No position sees those behind it: its output does not change with them. */
TEST(causal_attention_looks_back_only)
{
    scene *e = calloc(1, sizeof *e);
    const nn_layer l = {.kind = NN_ATTENTION, .heads = 2, .causal = true};
    double *a, *b;

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &e->g));
    CHECK_OK(test_ctx(), nn_new(test_ctx(), SHAPE(4, 12), &e->s));
    CHECK_OK(test_ctx(), nn_add(e->s, &l));
    add_floats(e, SHAPE(1, 4, 12), 0, 1);
    const nn_pass pass = nn_evaluation();
    node y = nn_forward(e->g, e->s, NULL, e->x[0], &pass);
    a = eval_one(e->g, e->bound, y);
    for (int k = 36; k < 48; k++) e->data[0][k] += 1;
    b = eval_one(e->g, e->bound, y);
    CHECK(memcmp(a, b, 12 * sizeof *a) == 0);
    CHECK(memcmp(a + 12, b + 12, 4 * sizeof *a) != 0);
    free(a), free(b);
    free(e->data[0]), free(e->along[0]), free(e->start[0]);
    nn_free(e->s);
    graph_free(e->g);
    free(e);
}

/* A dropped element is 0 in the value and in the derivative; the mask follows seed and step. */
TEST(dropout_drops_its_share_and_scales_the_rest)
{
    enum { N = 10000 };
    scene *e = calloc(1, sizeof *e);
    const nn_layer l = {.kind = NN_DROPOUT, .name = "drop", .rate = 0.3};
    double *y[3];
    int dropped = 0, same = 0;

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &e->g));
    CHECK_OK(test_ctx(), nn_new(test_ctx(), SHAPE(N), &e->s));
    CHECK_OK(test_ctx(), nn_add(e->s, &l));
    add_floats(e, SHAPE(1, N), 1, 0);
    const nn_pass pass = {.train = true, .key = add_ints(e, SHAPE(4), e->key)};
    node out = nn_forward(e->g, e->s, NULL, e->x[0], &pass);
    for (int k = 0; k < 3; k++) {
        e->key[2] = k == 2; /* the step */
        y[k] = eval_one(e->g, e->bound, out);
    }
    for (int i = 0; i < N; i++) {
        CHECK(y[0][i] == 0 || fabs(y[0][i] - 1 / 0.7) < 1e-15);
        dropped += y[0][i] == 0;
        same += (y[0][i] == 0) == (y[2][i] == 0);
    }
    CHECK_NEAR(dropped, 0.3 * N, 4 * sqrt(0.21 * N));
    CHECK_NEAR(same, 0.58 * N, 4 * sqrt(0.25 * N)); /* .3^2 + .7^2 */
    CHECK(memcmp(y[0], y[1], N * sizeof *y[0]) == 0);
    for (int k = 0; k < 3; k++) free(y[k]);
    free(e->data[0]), free(e->along[0]), free(e->start[0]);
    nn_free(e->s);
    graph_free(e->g);
    free(e);
}
