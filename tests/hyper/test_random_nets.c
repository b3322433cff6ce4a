/* Hypergradients through nets with a memory of their batches (batch norm) and with random masks
 * (dropout). */
#include "toy.h"

static void use_momentum(toy *t, bool nesterov)
{
    t->spec.optim.nesterov = nesterov;
    t->spec.momentum = 0.7;
}

/* Images 2 x 3 of one channel; everything smooth, so that differences can tell. */
static nn_spec *random_net(bool group_norm)
{
    const nn_layer layers[] = {
        {.kind = NN_CONV,
         .name = "conv",
         .out = 4,
         .window = {.kernel = {2, 2}, .pad = {1, 1}},
         .no_bias = true}, /* the norm would take it out again */
        {.kind = NN_BATCH_NORM, .name = "bn"},
        {.kind = NN_SOFTPLUS, .name = "act"},
        {.kind = NN_DROPOUT, .name = "drop1", .rate = 0.3},
        {.kind = NN_CONV,
         .name = "conv2",
         .out = 4,
         .window = {.kernel = {3, 3}, .pad = {1, 1}, .groups = 2},
         .no_bias = true},
        {.kind = group_norm ? NN_GROUP_NORM : NN_BATCH_NORM, .name = "norm2", .groups = 2},
        {.kind = NN_ADD, .name = "add", .from = {2, 5}, .inputs = 2},
        {.kind = NN_AVG_POOL, .name = "pool", .window = {.kernel = {2, 2}}},
        {.kind = NN_FLATTEN, .name = "flatten"},
        {.kind = NN_DROPOUT, .name = "drop2", .rate = 0.2},
        {.kind = NN_LINEAR, .name = "fc", .out = TOY_CLASSES},
    };
    nn_spec *s = NULL;

    CHECK_OK(test_ctx(), nn_new(test_ctx(), SHAPE(2, 3, 1), &s));
    for (size_t i = 0; i < COUNT(layers); i++) CHECK_OK(test_ctx(), nn_add(s, &layers[i]));
    return s;
}

static void check_net(hyper_per per, int64_t phases, bool group_norm, bool tuned_dropout)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    use_momentum(&t, group_norm);
    t.net = random_net(group_norm);
    int32_t n = toy_declare(&t, per, phases, decls);
    if (tuned_dropout)
        decls[n++] = (hyper_decl){.kind = HYPER_DROPOUT,
                                  .phases = phases,
                                  .transform = TRANSFORM_LOGIT,
                                  .high = 0.9,
                                  .start = 0.3};
    const drmad_status st = toy_open(&t, decls, n, &walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        CHECK_NEAR(r.value.loss, toy_value(&t, t.values), 1e-14); /* two plans, one formula */
        toy_check_slices(&t, group_norm ? "group norm" : "batch norm");
    }
    toy_close(&t);
}

TEST(hypergradients_through_batch_norm_and_dropout_equal_differences)
{
    check_net(PER_GLOBAL, 3, false, false);
    check_net(PER_UNIT_IN, 1, false, true);
    check_net(PER_TENSOR, 3, true, false);
    check_net(PER_GLOBAL, 2, true, true);
}

/* Strengths of brightness, contrast, erasing, noise and mixup, all at once. */
static void check_variations(int64_t phases)
{
    const hyper_kind kinds[] = {HYPER_BRIGHTNESS, HYPER_CONTRAST, HYPER_ERASING, HYPER_NOISE,
                                HYPER_MIXUP};
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    use_momentum(&t, false);
    t.net = random_net(false);
    int32_t n = toy_declare(&t, PER_GLOBAL, phases, decls);
    for (size_t i = 0; i < COUNT(kinds); i++)
        decls[n++] = (hyper_decl){.kind = kinds[i],
                                  .phases = phases,
                                  .transform = TRANSFORM_LOGIT,
                                  .high = 0.9,
                                  .start = 0.2 + 0.1 * (double)i};
    CHECK(n <= TOY_DECLS_MAX);
    const drmad_status st = toy_open(&t, decls, n, &walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        CHECK_NEAR(r.value.loss, toy_value(&t, t.values), 1e-14);
        for (size_t i = 0; i < COUNT(kinds); i++) CHECK(space_has(t.s, kinds[i]));
        toy_check_slices(&t, "variations");
    }
    toy_close(&t);
}

TEST(hypergradients_of_strengths_of_variations_equal_differences)
{
    check_variations(1);
    check_variations(3);
}

static void gradient_of(toy *t, traj_kind kind, bool frozen)
{
    const walk_spec walk = {.trajectory = kind, .stride = 1, .memory = 1 << 16};
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;

    toy_init(t, test_ctx());
    use_momentum(t, false);
    t->net = random_net(false);
    t->spec.frozen = frozen;
    CHECK_OK(t->ctx, toy_open(t, decls, toy_declare(t, PER_UNIT_IN, 3, decls), &walk));
    CHECK_OK(t->ctx, walker_gradient(t->w, t->values, 42, &t->valid, &r, t->grad));
}

/* Statistics, masks and batches are those of the way forward, to the bit. */
TEST(a_replayed_run_repeats_its_dropout_masks_and_statistics)
{
    toy full, replay;

    gradient_of(&full, TRAJ_FULL, false);
    gradient_of(&replay, TRAJ_REPLAY, false);
    CHECK(memcmp(full.grad, replay.grad, (size_t)full.s->total * sizeof *full.grad) == 0);
    toy_close(&full);
    toy_close(&replay);
}

/* Without the way through them: another gradient, which forward mode knows too. */
TEST(frozen_statistics_are_constants_of_the_objective)
{
    toy running, frozen;
    double value, slope, *d, apart = 0, largest = 0, norm = 0;

    gradient_of(&running, TRAJ_FULL, false);
    gradient_of(&frozen, TRAJ_FULL, true);
    d = calloc((size_t)frozen.s->total, sizeof *d);
    for (int64_t i = 0; i < frozen.s->total; i++) {
        d[i] = rng_normal((rng_key){6, 1, 1}, (uint64_t)i);
        norm += fabs(d[i]);
        apart = fmax(apart, fabs(frozen.grad[i] - running.grad[i]));
        largest = fmax(largest, fabs(frozen.grad[i]));
    }
    CHECK(apart > 1e-3 * largest);
    CHECK_OK(frozen.ctx,
             walker_directional(frozen.w, frozen.values, d, 42, &frozen.valid, &value, &slope));
    for (int64_t i = 0; i < frozen.s->total; i++) slope -= frozen.grad[i] * d[i];
    CHECK_NEAR(slope, 0, 1e-9 * largest * norm);
    free(d);
    toy_close(&running);
    toy_close(&frozen);
}
