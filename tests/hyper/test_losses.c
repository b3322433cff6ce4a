/* Hyperparameters of what the training loss is made of besides the plain one: auxiliary heads,
 * losses for labels in doubt, a teacher; and rates of single dropout layers. Smooth nets in F64,
 * against differences and forward mode. */
#include "toy.h"

static const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};

/* An image of 2 x 3 through a convolution and two linear layers, with a head on each of the first
 * two. */
static nn_spec *net_with_heads(drmad_ctx *ctx)
{
    const nn_layer layers[] = {
        {.kind = NN_CONV, .name = "conv", .out = 4, .window = {.kernel = {2, 2}, .pad = {1, 1}}},
        {.kind = NN_BATCH_NORM, .name = "bn"},
        {.kind = NN_SOFTPLUS, .name = "act"},
        {.kind = NN_DROPOUT, .name = "drop1", .rate = 0.3},
        {.kind = NN_FLATTEN, .name = "flatten"},
        {.kind = NN_LINEAR, .name = "fc1", .out = 5},
        {.kind = NN_TANH, .name = "bend"},
        {.kind = NN_DROPOUT, .name = "drop2", .rate = 0.2},
        {.kind = NN_LINEAR, .name = "fc2", .out = TOY_CLASSES},
    };
    nn_spec *s = NULL;

    CHECK_OK(ctx, nn_new(ctx, SHAPE(2, 3, 1), &s));
    for (size_t i = 0; i < COUNT(layers); i++) CHECK_OK(ctx, nn_add(s, &layers[i]));
    CHECK_OK(ctx, nn_add_head(s, "act", "head1", 0.4));
    CHECK_OK(ctx, nn_add_head(s, "bend", "head2", 0.6));
    return s;
}

static hyper_decl decl_of(hyper_kind kind, hyper_per per, int64_t phases, double start)
{
    return (hyper_decl){.kind = kind,
                        .per = per,
                        .phases = phases,
                        .transform = TRANSFORM_LOGIT,
                        .low = hyper_kind_of(kind)->least,
                        .high = 0.99,
                        .start = start};
}

/* Every slice of the declarations. */
static void check(toy *t, const hyper_decl *decls, int32_t n, const char *what)
{
    const drmad_status st = toy_open(t, decls, n, &full);
    walk_report r;

    CHECK_OK(t->ctx, st);
    if (st == DRMAD_OK) {
        CHECK_OK(t->ctx, walker_gradient(t->w, t->values, 42, &t->valid, &r, t->grad));
        CHECK_NEAR(r.value.loss, toy_value(t, t->values), 1e-14); /* two plans, one formula */
        toy_check_slices(t, what);
    }
    toy_close(t);
}

/* With others that act on the same losses. */
static void check_layers(hyper_per per, int64_t phases)
{
    const hyper_decl decls[] = {
        decl_of(HYPER_DROPOUT, per, phases, 0.3), decl_of(HYPER_AUXILIARY, per, phases, 0.5),
        decl_of(HYPER_LABEL_SMOOTHING, PER_GLOBAL, 1, 0.1),
        decl_of(HYPER_EXAMPLE_WEIGHT, PER_EXAMPLE, 1, 0.8), decl_of(HYPER_L2, PER_TENSOR, 1, 0.02)};
    toy t;

    toy_init(&t, test_ctx());
    t.net = net_with_heads(t.ctx);
    check(&t, decls, COUNT(decls), per == PER_LAYER ? "a layer" : "all layers");
}

TEST(hypergradients_of_dropout_rates_and_heads_equal_differences)
{
    check_layers(PER_GLOBAL, 1);
    check_layers(PER_LAYER, 2);
}

/* F of a training at the declarations' own starts; takes the net. */
static double value_with(nn_spec *net, const hyper_decl *decls, int32_t n)
{
    double f = NAN;
    toy t;

    toy_init(&t, test_ctx());
    t.net = net;
    const drmad_status st = toy_open(&t, decls, n, &full);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        space_values(t.s, t.raw, t.values);
        f = toy_value(&t, t.values);
    }
    toy_close(&t);
    return f;
}

/* One value for all layers is the same value for each; a layer that no declaration reaches keeps
 * its own rate and its masks of 0 and 1. */
TEST(each_layers_rate_is_its_own)
{
    hyper_decl d[] = {decl_of(HYPER_DROPOUT, PER_GLOBAL, 1, 0.3),
                      decl_of(HYPER_DROPOUT, PER_GLOBAL, 1, 0.3)};
    const double all = value_with(net_with_heads(test_ctx()), d, 1);

    d[0].per = PER_LAYER;
    CHECK_NEAR(value_with(net_with_heads(test_ctx()), d, 1), all, 1e-14);
    d[0].match = "drop1", d[1].match = "drop2";
    CHECK_NEAR(value_with(net_with_heads(test_ctx()), d, 2), all, 1e-14);
    CHECK(fabs(value_with(net_with_heads(test_ctx()), d, 1) - all) > 1e-6);
    d[1].start = 0.2;
    CHECK(fabs(value_with(net_with_heads(test_ctx()), d, 2) - all) > 1e-6);
}

/* At weight 0 they leave the net alone, and an evaluation has none of them. */
TEST(heads_act_through_training_alone)
{
    hyper_decl d = decl_of(HYPER_AUXILIARY, PER_GLOBAL, 1, 0);
    nn_spec *none = NULL, *with = net_with_heads(test_ctx());

    CHECK_OK(test_ctx(), nn_new(test_ctx(), with->input, &none));
    for (int32_t i = 0; i < with->n && !with->at[i].aside; i++)
        CHECK_OK(test_ctx(), nn_add(none, &with->at[i]));
    nn_free(with);
    d.transform = TRANSFORM_IDENTITY;
    const double without = value_with(net_with_heads(test_ctx()), &d, 1);
    CHECK_NEAR(without, value_with(none, NULL, 0), 1e-14);
    d.start = 0.5;
    CHECK(fabs(value_with(net_with_heads(test_ctx()), &d, 1) - without) > 1e-6);
}

static void check_doubt(hyper_per flips, int64_t phases, const char *what)
{
    const hyper_decl decls[] = {decl_of(HYPER_GCE_Q, PER_GLOBAL, phases, 0.4),
                                decl_of(HYPER_LABEL_FLIP, flips, phases, 0.2),
                                decl_of(HYPER_LABEL_SMOOTHING, PER_GLOBAL, 1, 0.1),
                                decl_of(HYPER_LOSS_WEIGHT, PER_CLASS, 1, 0.8),
                                decl_of(HYPER_MIXUP, PER_GLOBAL, 1, 0.3),
                                decl_of(HYPER_L2, PER_TENSOR, 1, 0.02)};
    toy t;

    toy_init(&t, test_ctx());
    check(&t, decls, COUNT(decls), what);
}

TEST(hypergradients_of_losses_for_labels_in_doubt_equal_differences)
{
    check_doubt(PER_GLOBAL, 2, "one flip");
    check_doubt(PER_CLASS, 1, "a flip a class");
    check_doubt(PER_CLASS_PAIR, 1, "a flip a pair");
}

static void with_teacher(toy *t, double their_outputs[TOY_ROWS * TOY_CLASSES])
{
    for (int i = 0; i < TOY_ROWS * TOY_CLASSES; i++)
        their_outputs[i] = 2 * rng_normal((rng_key){13, 0, 4}, (uint64_t)i);
    t->spec.distil = true;
    t->spec.teacher = their_outputs;
    t->spec.distill_weight = 0.4;
    t->spec.distill_temperature = 2;
}

static void check_teacher(hyper_per per, int64_t phases, const char *what)
{
    hyper_decl decls[] = {decl_of(HYPER_DISTILL_WEIGHT, per, phases, 0.4),
                          decl_of(HYPER_DISTILL_TEMPERATURE, PER_GLOBAL, phases, 2),
                          decl_of(HYPER_AUXILIARY, PER_GLOBAL, 1, 0.5),
                          decl_of(HYPER_EXAMPLE_WEIGHT, PER_EXAMPLE, 1, 0.8)};
    double theirs[TOY_ROWS * TOY_CLASSES];
    toy t;

    decls[1].transform = TRANSFORM_LOG, decls[1].low = 0.1, decls[1].high = 10;
    toy_init(&t, test_ctx());
    t.net = net_with_heads(t.ctx);
    with_teacher(&t, theirs);
    check(&t, decls, COUNT(decls), what);
}

TEST(hypergradients_of_a_distillation_equal_differences)
{
    check_teacher(PER_GLOBAL, 2, "one share");
    check_teacher(PER_CLASS, 1, "a share a class");
    check_teacher(PER_EXAMPLE, 1, "a share an example");
}

/* The weights after one step of plain SGD; share < 0: no teacher. Labels move by `shift`. */
static void one_step(double share, int shift, double *w)
{
    hyper_decl d = decl_of(HYPER_DISTILL_WEIGHT, PER_GLOBAL, 1, share);
    double theirs[TOY_ROWS * TOY_CLASSES];
    toy t;

    d.transform = TRANSFORM_IDENTITY, d.high = 1;
    toy_init(&t, test_ctx());
    t.spec.optim = (optim_spec){.buffer = false};
    t.spec.momentum = 0;
    t.spec.steps = t.spec.rate.steps = 1;
    for (int i = 0; i < TOY_ROWS; i++) t.labels[i] = (t.labels[i] + shift) % TOY_CLASSES;
    if (share >= 0) with_teacher(&t, theirs);
    const drmad_status st = toy_open(&t, &d, share >= 0, &full);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        space_values(t.s, t.raw, t.values);
        toy_value(&t, t.values);
        memcpy(w, trainer_weights(t.t), (size_t)t.params->total * sizeof *w);
    }
    toy_close(&t);
}

/* (1 - d) L + d D: at 0 there is no teacher, at 1 labels say nothing, between them one step's
 * weights lie between. */
TEST(a_teacher_has_its_share_of_the_loss)
{
    double none[256] = {0}, zero[256] = {0}, part[256] = {0}, one[256] = {0}, other[256] = {0};
    double apart = 0;

    one_step(-1, 0, none), one_step(0, 0, zero), one_step(0.25, 0, part);
    one_step(1, 0, one), one_step(1, 1, other);
    for (int i = 0; i < 256; i++) {
        CHECK_NEAR(zero[i], none[i], 1e-15);
        CHECK_NEAR(other[i], one[i], 1e-15);
        CHECK_NEAR(part[i], 0.75 * zero[i] + 0.25 * one[i], 1e-14);
        apart = fmax(apart, fabs(one[i] - zero[i]));
    }
    CHECK(apart > 1e-3);
}

/* A regression's second forward pass has the tuned rates too. */
TEST(dropout_is_tuned_beside_a_regression)
{
    const hyper_decl decls[] = {decl_of(HYPER_DROPOUT, PER_LAYER, 1, 0.3),
                                decl_of(HYPER_REGRESS, PER_GLOBAL, 1, 0.7)};
    walk_report r;
    double *w;
    toy t;

    toy_init(&t, test_ctx());
    t.net = net_with_heads(t.ctx);
    t.spec.regress = (regress_spec){.to = REGRESS_ACTIVATIONS, .weight = 0.7, .until = 0.8};
    const drmad_status st = toy_open(&t, decls, COUNT(decls), &full);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        w = calloc((size_t)t.params->total, sizeof *w);
        nn_draw(t.net, t.params, 7, w);
        CHECK_OK(t.ctx, trainer_pull(t.t, w));
        free(w);
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        toy_check_slices(&t, "with a regression");
    }
    toy_close(&t);
}

/* ---- every way of keeping the run ---- */

/* Everything of this file at once by `walk`; the caller frees what it gives. */
static double *all_of_it(const walk_spec *walk, int64_t *n)
{
    const hyper_decl decls[] = {decl_of(HYPER_DROPOUT, PER_LAYER, 1, 0.3),
                                decl_of(HYPER_AUXILIARY, PER_LAYER, 2, 0.5),
                                decl_of(HYPER_GCE_Q, PER_GLOBAL, 1, 0.4),
                                decl_of(HYPER_LABEL_FLIP, PER_CLASS_PAIR, 1, 0.2),
                                decl_of(HYPER_DISTILL_WEIGHT, PER_EXAMPLE, 1, 0.4),
                                decl_of(HYPER_DISTILL_TEMPERATURE, PER_GLOBAL, 1, 0.9)};
    double theirs[TOY_ROWS * TOY_CLASSES], *grad = NULL;
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.net = net_with_heads(t.ctx);
    with_teacher(&t, theirs);
    const drmad_status st = toy_open(&t, decls, COUNT(decls), walk);
    CHECK_OK(t.ctx, st);
    *n = st == DRMAD_OK ? t.s->total : 0;
    grad = calloc((size_t)*n + 1, sizeof *grad);
    if (*n > 0) {
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        memcpy(grad, t.grad, (size_t)*n * sizeof *grad);
    }
    toy_close(&t);
    return grad;
}

TEST(every_trajectory_knows_these_losses)
{
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1, .memory = 1 << 16};
    const walk_spec grid = {.trajectory = TRAJ_GRID, .quality = QUALITY_HIGH, .stride = 1};
    double *exact, *again, *near, ab = 0, aa = 0, bb = 0;
    int64_t n;

    exact = all_of_it(&full, &n), again = all_of_it(&replay, &n), near = all_of_it(&grid, &n);
    CHECK(n > 0 && memcmp(exact, again, (size_t)n * sizeof *exact) == 0);
    for (int64_t i = 0; i < n; i++)
        ab += exact[i] * near[i], aa += exact[i] * exact[i], bb += near[i] * near[i];
    if (!(ab >= 0.99 * sqrt(aa * bb)))
        test_fail(__FILE__, __LINE__, "cosine %.6f on the grid", ab / sqrt(aa * bb));
    free(exact), free(again), free(near);
}

static drmad_status ask_outputs(drmad_ctx *ctx, void *arg)
{
    const walk_spec none = {.trajectory = TRAJ_FULL, .stride = 1};
    double table[TOY_ROWS * TOY_CLASSES], *want = arg;
    drmad_status st = DRMAD_OK;
    toy t;

    toy_init(&t, ctx);
    t.layers = 1, t.sizes[1] = TOY_CLASSES;
    t.spec.steps = t.spec.rate.steps = 1;
    TRY(toy_open(&t, NULL, 0, &none));
    for (int i = 0; i < TOY_ROWS * TOY_CLASSES; i++) table[i] = NAN;
    TRY(trainer_outputs(t.t, &t.valid, table));
    memcpy(want, table, sizeof table);
done:
    toy_close(&t);
    return st;
}

/* Rows of the list, in the table's places, by the weights that a run starts from; others are left
 * alone. */
TEST(outputs_of_a_net_are_the_plain_product)
{
    double got[TOY_ROWS * TOY_CLASSES], w[64];
    toy t;

    CHECK_OK(test_ctx(), ask_outputs(test_ctx(), got));
    toy_init(&t, test_ctx());
    t.layers = 1, t.sizes[1] = TOY_CLASSES;
    CHECK_OK(t.ctx, toy_open(&t, NULL, 0, &full));
    nn_draw(t.net, t.params, 0, w);
    for (int i = 0; i < TOY_ROWS; i++)
        for (int o = 0; o < TOY_CLASSES; o++) {
            double y = w[t.params->at[1].offset + o];

            for (int k = 0; k < TOY_WIDTH; k++)
                y += 0.7 * t.rows[i * TOY_WIDTH + k] * w[o * TOY_WIDTH + k];
            if (i < 20) CHECK(isnan(got[i * TOY_CLASSES + o]));
            else CHECK_NEAR(got[i * TOY_CLASSES + o], y, 1e-13);
        }
    toy_close(&t);
}

TEST(outputs_of_a_net_run_out_of_memory_cleanly)
{
    double got[TOY_ROWS * TOY_CLASSES];

    test_oom(ask_outputs, got);
}
