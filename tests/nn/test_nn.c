/* The perceptron, batch norm, losses and penalties, computed by the naive evaluator, against plain
 * loops. */
#include "nn/nn.h"
#include "eval.h"
#include "test.h"

enum { ROWS = 5, LEAVES = 16 };

typedef struct fixture {
    graph *g;
    const void *leaf[LEAVES];
} fixture;

static void open_graph(fixture *f)
{
    memset(f, 0, sizeof *f);
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &f->g));
}

static node bind(fixture *f, dtype t, shape s, const void *data)
{
    node n = graph_add_leaf(f->g, "leaf", t, s);

    f->leaf[graph_leaves(f->g) - 1] = data;
    return n;
}

static void fill(double *x, int n, double scale, uint32_t site)
{
    for (int i = 0; i < n; i++) x[i] = scale * rng_normal((rng_key){17, 0, site}, (uint64_t)i);
}

static void check_values(fixture *f, node n, const double *want, int count, const char *what)
{
    CHECK_OK(test_ctx(), graph_status(f->g));
    double *got = eval_one(f->g, f->leaf, n);

    for (int i = 0; i < count; i++) /* sums of a few terms in another order */
        if (!(fabs(got[i] - want[i]) <= 1e-13 * (1 + fabs(want[i]))))
            test_fail(__FILE__, __LINE__, "%s[%d] = %.17g, expected %.17g", what, i, got[i],
                      want[i]);
    free(got);
}

/* ---- losses ---- */

enum { CLASSES = 4 };

/* -sum_k q_k log softmax(z)_k with q = (1 - e) onehot + e/K, by the definition. */
static double cross_entropy(const double *z, int label, double e)
{
    double sum = 0, loss = 0;

    for (int k = 0; k < CLASSES; k++) sum += exp(z[k]);
    for (int k = 0; k < CLASSES; k++)
        loss -= ((k == label ? 1 - e : 0) + e / CLASSES) * log(exp(z[k]) / sum);
    return loss;
}

static double squared(const double *z, int label)
{
    double loss = 0;

    for (int k = 0; k < CLASSES; k++) loss += pow(z[k] - (k == label), 2) / 2;
    return loss;
}

/* -sum_k y log s(z) + (1 - y) log(1 - s(z)) */
static double logistic(const double *z, int label)
{
    double loss = 0;

    for (int k = 0; k < CLASSES; k++) {
        const double s = 1 / (1 + exp(-z[k]));
        loss -= k == label ? log(s) : log(1 - s);
    }
    return loss;
}

TEST(row_losses_are_their_closed_forms)
{
    static const int32_t labels[ROWS] = {3, 0, 2, 1, 0};
    double z[ROWS * CLASSES], want[4][ROWS];
    const double e = 0.2;
    fixture f;

    fill(z, ROWS * CLASSES, 2, 1);
    for (int i = 0; i < ROWS; i++) {
        want[0][i] = cross_entropy(z + i * CLASSES, labels[i], 0);
        want[1][i] = cross_entropy(z + i * CLASSES, labels[i], e);
        want[2][i] = squared(z + i * CLASSES, labels[i]);
        want[3][i] = logistic(z + i * CLASSES, labels[i]);
    }
    open_graph(&f);
    node out = bind(&f, F64, SHAPE(ROWS, CLASSES), z), y = bind(&f, I32, SHAPE(ROWS), labels);
    const nn_doubt smooth = {bind(&f, F64, SHAPE(1, 1), &e), NODE_NONE, NODE_NONE};
    check_values(&f, nn_row_loss(f.g, LOSS_CROSS_ENTROPY, out, y, NULL), want[0], ROWS,
                 "cross-entropy");
    check_values(&f, nn_row_loss(f.g, LOSS_CROSS_ENTROPY, out, y, &smooth), want[1], ROWS,
                 "smoothed");
    check_values(&f, nn_row_loss(f.g, LOSS_SQUARED, out, y, NULL), want[2], ROWS, "squared");
    check_values(&f, nn_row_loss(f.g, LOSS_LOGISTIC, out, y, NULL), want[3], ROWS, "logistic");
    CHECK(nn_row_loss(f.g, LOSS_SQUARED, NODE_NONE, y, NULL) == NODE_NONE);
    graph_free(f.g);
}

/* By the definitions: -sum_j t_j (p'_j^q - 1)/q, or the logarithm for q = 0, p' = p T. */
static double doubted(const double *z, int label, double e, double q, const double *odds)
{
    double sum = 0, loss = 0;

    for (int k = 0; k < CLASSES; k++) sum += exp(z[k]);
    for (int j = 0; j < CLASSES; j++) {
        double p = odds ? 0 : exp(z[j]) / sum;
        for (int i = 0; odds && i < CLASSES; i++) {
            double all = 1;
            for (int k = 0; k < CLASSES; k++) all += k == i ? 0 : odds[i * CLASSES + k];
            p += exp(z[i]) / sum * (i == j ? 1 : odds[i * CLASSES + j]) / all;
        }
        const double t = (j == label ? 1 - e : 0) + e / CLASSES;
        loss -= t * (q > 0 ? (pow(p, q) - 1) / q : log(p));
    }
    return loss;
}

TEST(losses_of_labels_in_doubt_are_their_closed_forms)
{
    static const int32_t labels[ROWS] = {3, 0, 2, 1, 0};
    double z[ROWS * CLASSES], odds[CLASSES * CLASSES], want[ROWS];
    const double e = 0.2, q = 0.6;

    fill(z, ROWS * CLASSES, 2, 1);
    for (int i = 0; i < CLASSES * CLASSES; i++) odds[i] = 0.05 + 0.1 * i;
    for (int k = 1; k < 8; k++) { /* each alone and all together */
        fixture f;

        for (int i = 0; i < ROWS; i++)
            want[i] = doubted(z + i * CLASSES, labels[i], k & 1 ? e : 0, k & 2 ? q : 0,
                              k & 4 ? odds : NULL);
        open_graph(&f);
        node out = bind(&f, F64, SHAPE(ROWS, CLASSES), z), y = bind(&f, I32, SHAPE(ROWS), labels);
        const nn_doubt doubt = {k & 1 ? bind(&f, F64, SHAPE(1, 1), &e) : NODE_NONE,
                                k & 2 ? bind(&f, F64, SHAPE(1, 1), &q) : NODE_NONE,
                                k & 4 ? bind(&f, F64, SHAPE(CLASSES, CLASSES), odds) : NODE_NONE};
        check_values(&f, nn_row_loss(f.g, LOSS_CROSS_ENTROPY, out, y, &doubt), want, ROWS, "doubt");
        graph_free(f.g);
    }
}

/* q to 0 is cross-entropy, q = 1 the mean absolute error over 2; odds that are all alike move each
 * class's mass evenly. */
TEST(losses_of_labels_in_doubt_have_their_limits)
{
    static const int32_t labels[1] = {1};
    double z[CLASSES], p[CLASSES], sum = 0, even = 0.1;

    fill(z, CLASSES, 2, 1);
    for (int k = 0; k < CLASSES; k++) sum += exp(z[k]);
    for (int k = 0; k < CLASSES; k++) p[k] = exp(z[k]) / sum;
    CHECK_NEAR(doubted(z, 1, 0, 1e-7, NULL), -log(p[1]), 1e-6);
    CHECK_NEAR(doubted(z, 1, 0, 1, NULL), 1 - p[1], 1e-15);
    const double stays = 1 / (1 + (CLASSES - 1) * even),
                 want = -log(p[1] * stays + (1 - p[1]) * even * stays);
    fixture f;
    open_graph(&f);
    node out = bind(&f, F64, SHAPE(1, CLASSES), z), y = bind(&f, I32, SHAPE(1), labels);
    const nn_doubt doubt = {NODE_NONE, NODE_NONE, bind(&f, F64, SHAPE(1, 1), &even)};
    check_values(&f, nn_row_loss(f.g, LOSS_CROSS_ENTROPY, out, y, &doubt), &want, 1, "even odds");
    graph_free(f.g);
}

/* T^2 sum_k p_k ln(p_k/q_k), p and q the soft-max of theirs/T and z/T. */
TEST(distillation_is_its_closed_form)
{
    const double heat = 2.5;
    double z[ROWS * CLASSES], theirs[ROWS * CLASSES], want[ROWS];
    fixture f;

    fill(z, ROWS * CLASSES, 2, 1);
    fill(theirs, ROWS * CLASSES, 2, 2);
    for (int k = 0; k < CLASSES; k++) theirs[k] = z[k] + 3; /* the same distribution */
    for (int i = 0; i < ROWS; i++) {
        double p = 0, q = 0;

        for (int k = 0; k < CLASSES; k++) p += exp(theirs[i * CLASSES + k] / heat);
        for (int k = 0; k < CLASSES; k++) q += exp(z[i * CLASSES + k] / heat);
        want[i] = 0;
        for (int k = 0; k < CLASSES; k++) {
            const double a = exp(theirs[i * CLASSES + k] / heat) / p;
            want[i] += heat * heat * a * log(a / (exp(z[i * CLASSES + k] / heat) / q));
        }
    }
    CHECK_NEAR(want[0], 0, 1e-13);
    open_graph(&f);
    node out = bind(&f, F64, SHAPE(ROWS, CLASSES), z);
    node of = bind(&f, F64, SHAPE(ROWS, CLASSES), theirs), t = bind(&f, F64, SHAPE(1, 1), &heat);
    check_values(&f, nn_row_distillation(f.g, out, of, t), want, ROWS, "distillation");
    graph_free(f.g);
}

TEST(losses_of_huge_outputs_are_finite)
{
    static const double z[2 * CLASSES] = {1e4, -1e4, 0, 3, -1e4, 1e4, 0, 3};
    static const int32_t labels[2] = {1, 1};
    static const double want[2] = {2e4, 0},
                        logit[2] = {2e4 + 0.6931471805599453 + 3.0485873515737421,
                                    0.6931471805599453 + 3.0485873515737421};
    fixture f;

    open_graph(&f);
    node out = bind(&f, F64, SHAPE(2, CLASSES), z), y = bind(&f, I32, SHAPE(2), labels);
    check_values(&f, nn_row_loss(f.g, LOSS_CROSS_ENTROPY, out, y, NULL), want, 2, "cross-entropy");
    check_values(&f, nn_row_loss(f.g, LOSS_LOGISTIC, out, y, NULL), logit, 2, "logistic");
    graph_free(f.g);
}

TEST(right_answers_are_counted_and_ties_go_to_the_first)
{
    static const double z[4 * 3] = {1, 2, 3, 3, 2, 1, 2, 2, 1, 2, 2, 1};
    static const int32_t labels[4] = {2, 1, 0, 1};
    static const double want[4] = {1, 0, 1, 0};
    fixture f;

    open_graph(&f);
    node out = bind(&f, F64, SHAPE(4, 3), z), y = bind(&f, I32, SHAPE(4), labels);
    check_values(&f, nn_row_correct(f.g, out, y), want, 4, "correct");
    CHECK(nn_row_correct(f.g, NODE_NONE, y) == NODE_NONE);
    graph_free(f.g);
}

/* ---- penalties ---- */

enum { OUT = 3, IN = 4 };

TEST(penalties_are_their_sums_in_every_use_shape)
{
    static const int64_t use[][2] = {{1, 1}, {1, IN}, {OUT, 1}, {OUT, IN}};
    double w[OUT * IN], lambda[OUT * IN];

    fill(w, OUT * IN, 1, 2);
    fill(lambda, OUT * IN, 0.1, 3);
    for (size_t k = 0; k < COUNT(use); k++) {
        double l2 = 0, l1 = 0;
        fixture f;

        for (int i = 0; i < OUT; i++)
            for (int j = 0; j < IN; j++) {
                const double h =
                    lambda[(use[k][0] > 1 ? i : 0) * use[k][1] + (use[k][1] > 1 ? j : 0)];
                l2 += h / 2 * w[i * IN + j] * w[i * IN + j];
                l1 += h * fabs(w[i * IN + j]);
            }
        open_graph(&f);
        node x = bind(&f, F64, SHAPE(OUT, IN), w);
        node h = bind(&f, F64, SHAPE(use[k][0], use[k][1]), lambda);
        check_values(&f, nn_l2(f.g, x, h), &l2, 1, "l2");
        check_values(&f, nn_l1(f.g, x, h), &l1, 1, "l1");
        CHECK(shape_same(graph_shape(f.g, nn_l2(f.g, x, h)), &SHAPE(1, 1)));
        graph_free(f.g);
    }
}

/* ---- the perceptron ---- */

static double activation(int a, double z)
{
    switch (a) {
    case NN_RELU: return z > 0 ? z : 0;
    case NN_SIGMOID: return 1 / (1 + exp(-z));
    case NN_SOFTPLUS: return log(1 + exp(z));
    case NN_GELU: return z * erfc(-z / sqrt(2)) / 2;
    case NN_SILU: return z / (1 + exp(-z));
    case NN_TANH: return tanh(z);
    default: return z;
    }
}

/* One layer by plain loops: y = x w' + b, through the activation `a`; NN_LINEAR: none. */
static void layer(const double *x, const double *w, const double *b, int in, int out, int a,
                  double *y, double *kink)
{
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < out; o++) {
            double z = b[o];
            for (int i = 0; i < in; i++) z += w[o * in + i] * x[r * in + i];
            if (kink) kink[r * out + o] = z > 0;
            y[r * out + o] = activation(a, z);
        }
}

TEST(forward_is_the_plain_loops_for_every_activation)
{
    enum { D0 = 3, D1 = 6, D2 = 5, D3 = 2 };
    static const int size[] = {D0, D1, D2, D3};
    static const int64_t sizes[] = {D0, D1, D2, D3};
    double w[6][D1 * D2], x[ROWS * D0], h1[ROWS * D1], h2[ROWS * D2], y[ROWS * D3];
    double kink[2][ROWS * D1];

    fill(x, ROWS * D0, 1, 4);
    for (int a = NN_TANH; a <= NN_SILU; a++) {
        const bool kinked = a == NN_RELU;
        node leaf[6], kinks[2] = {NODE_NONE, NODE_NONE};
        nn_pass pass = nn_evaluation();
        const nn_pass plain = pass;
        nn_spec *spec = NULL;
        fixture f;

        pass.kinks = kinks;
        open_graph(&f);
        for (int l = 0; l < 3; l++) {
            fill(w[2 * l], size[l] * size[l + 1], 0.7, 10 + (uint32_t)l);
            fill(w[2 * l + 1], size[l + 1], 0.3, 20 + (uint32_t)l);
            leaf[2 * l] = bind(&f, F64, SHAPE(size[l + 1], size[l]), w[2 * l]);
            leaf[2 * l + 1] = bind(&f, F64, SHAPE(size[l + 1]), w[2 * l + 1]);
        }
        layer(x, w[0], w[1], D0, D1, a, h1, kink[0]);
        layer(h1, w[2], w[3], D1, D2, a, h2, kink[1]);
        layer(h2, w[4], w[5], D2, D3, NN_LINEAR, y, NULL);
        node in = bind(&f, F64, SHAPE(ROWS, D0), x);
        CHECK_OK(test_ctx(), nn_mlp(test_ctx(), sizes, 3, (nn_kind)a, &spec));
        node z = nn_forward(f.g, spec, leaf, in, &pass);
        check_values(&f, z, y, ROWS * D3, "forward");
        CHECK_INT(nn_kinked(spec), kinked);
        CHECK_INT(spec->masks, kinked ? 2 : 0);
        for (int l = 0; l < 2; l++) {
            CHECK_INT(kinks[l] != NODE_NONE, kinked);
            if (kinked) check_values(&f, kinks[l], kink[l], ROWS * size[l + 1], "kinks");
        }
        CHECK(nn_forward(f.g, spec, leaf, in, &plain) == z);
        graph_free(f.g);
        nn_free(spec);
    }
}

TEST(a_model_without_hidden_layers_has_no_kinks)
{
    nn_spec *spec = NULL;

    CHECK_OK(test_ctx(), nn_mlp(test_ctx(), (const int64_t[]){3, 2}, 1, NN_RELU, &spec));
    CHECK(!nn_kinked(spec));
    nn_free(spec);
}

TEST(parameters_have_pytorchs_names_and_shapes)
{
    drmad_ctx *ctx = test_ctx();
    nn_spec *spec = NULL;
    param_table *p = NULL;

    CHECK_OK(ctx, nn_mlp(ctx, (const int64_t[]){5, 3, 2}, 2, NN_TANH, &spec));
    CHECK_OK(ctx, params_new(ctx, &p));
    CHECK_OK(ctx, nn_params(spec, p));
    CHECK_INT(p->n, 4);
    CHECK_INT(p->layers, 2);
    CHECK_INT(p->weights, 5 * 3 + 3 + 3 * 2 + 2);
    CHECK_STR(p->at[0].name, "layers.0.weight");
    CHECK_STR(p->at[3].name, "layers.1.bias");
    CHECK(shape_same(&p->at[2].shape, &SHAPE(2, 3)));
    CHECK(shape_same(&p->at[3].shape, &SHAPE(2)));
    CHECK(p->at[0].role == PARAM_WEIGHT && p->at[1].role == PARAM_BIAS);
    CHECK_INT(p->at[2].layer, 1);
    params_free(p);
    nn_free(spec);
}

/* ---- batch norm ---- */

enum { CHANNELS = 3, PIXELS = 4, VALUES = 2 * PIXELS };

/* torch.nn.BatchNorm2d at its defaults, of one channel; w: weight, bias, mean, variance. */
static void batch_norm(bool train, const double *x, int c, double *const w[4], double *y,
                       double next[2][CHANNELS])
{
    double mean = w[2][c], variance = w[3][c];

    if (train) {
        mean = variance = 0;
        for (int i = 0; i < VALUES; i++) mean += x[i * CHANNELS + c] / VALUES;
        for (int i = 0; i < VALUES; i++) variance += pow(x[i * CHANNELS + c] - mean, 2) / VALUES;
        next[0][c] = 0.9 * w[2][c] + 0.1 * mean;
        next[1][c] = 0.9 * w[3][c] + 0.1 * variance * VALUES / (VALUES - 1);
    }
    for (int i = c; i < VALUES * CHANNELS; i += CHANNELS)
        y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * w[0][c] + w[1][c];
}

TEST(batch_norm_is_the_plain_loops)
{
    double x[VALUES * CHANNELS], y[VALUES * CHANNELS], tensor[4][CHANNELS], next[2][CHANNELS];
    double *const w[4] = {tensor[0], tensor[1], tensor[2], tensor[3]};
    const nn_layer layer = {.kind = NN_BATCH_NORM, .name = "bn"};

    fill(x, VALUES * CHANNELS, 2, 31);
    for (int k = 0; k < 4; k++) fill(tensor[k], CHANNELS, 0.5, 32 + (uint32_t)k);
    for (int c = 0; c < CHANNELS; c++) tensor[3][c] = fabs(tensor[3][c]) + 0.5;
    for (int train = 0; train < 2; train++) {
        node leaf[4], later[4];
        nn_pass pass = nn_evaluation();
        nn_spec *spec = NULL;
        fixture f;

        pass.train = train, pass.next = later;
        open_graph(&f);
        for (int k = 0; k < 4; k++) leaf[k] = bind(&f, F64, SHAPE(CHANNELS), tensor[k]);
        node in = bind(&f, F64, SHAPE(2, 2, PIXELS / 2, CHANNELS), x);
        CHECK_OK(test_ctx(), nn_new(test_ctx(), SHAPE(2, PIXELS / 2, CHANNELS), &spec));
        CHECK_OK(test_ctx(), nn_add(spec, &layer));
        node z = nn_forward(f.g, spec, leaf, in, &pass);
        for (int c = 0; c < CHANNELS; c++) batch_norm(train, x, c, w, y, next);
        check_values(&f, z, y, VALUES * CHANNELS, train ? "training" : "evaluation");
        CHECK(later[0] == NODE_NONE && later[1] == NODE_NONE);
        for (int k = 0; k < 2; k++) {
            CHECK_INT(later[2 + k] != NODE_NONE, train);
            if (train) check_values(&f, later[2 + k], next[k], CHANNELS, "next statistics");
        }
        graph_free(f.g);
        nn_free(spec);
    }
}
