/* Hyperparameters of what the training loss is made of besides the plain one: auxiliary heads,
 * losses for labels in doubt; and rates of single dropout layers. Smooth nets in F64, against
 * differences and forward mode. */
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
                        .low = kind == HYPER_GCE_Q ? 0.01 : 0,
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
