/* Hypergradients of one problem by every kind of trajectory: equal bits where the states are the
 * run's own, close ones on the grid; and each walk leaves nothing behind for the next. */
#include "toy.h"

/* A gradient of the toy by `walk`; change(&t) first. Gives its length; the caller frees *grad. */
typedef void change_fn(toy *t);

static int64_t gradient(change_fn *change, const walk_spec *walk, int runs, double **grad)
{
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    if (change) change(&t);
    const drmad_status st = toy_open(&t, decls, toy_declare(&t, PER_TENSOR, 3, decls), walk);
    CHECK_OK(t.ctx, st);
    const int64_t n = st == DRMAD_OK ? t.s->total : 0;
    *grad = calloc((size_t)n + 1, sizeof **grad);
    for (int i = 0; i < runs && n > 0; i++)
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
    if (n > 0) memcpy(*grad, t.grad, (size_t)n * sizeof **grad);
    toy_close(&t);
    return n;
}

static bool same_bits(change_fn *change, const walk_spec *a, int runs_a, const walk_spec *b,
                      int runs_b)
{
    double *ga, *gb;
    const int64_t n = gradient(change, a, runs_a, &ga), m = gradient(change, b, runs_b, &gb);
    const bool same = n == m && n > 0 && memcmp(ga, gb, (size_t)n * sizeof *ga) == 0;

    free(ga);
    free(gb);
    return same;
}

static const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
static const walk_spec path = {.trajectory = TRAJ_FULL, .stride = 1, .path_only = true};
static const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
static const walk_spec grid = {.trajectory = TRAJ_GRID, .quality = QUALITY_HIGH, .stride = 1};

TEST(a_second_walk_gives_the_same_bits)
{
    CHECK(same_bits(NULL, &full, 1, &full, 2));
    CHECK(same_bits(NULL, &path, 1, &path, 2));
    CHECK(same_bits(NULL, &replay, 1, &replay, 2));
    CHECK(same_bits(NULL, &grid, 1, &grid, 2));
}

static void nesterov(toy *t)
{
    t->spec.optim.nesterov = true;
    t->spec.weight_decay = 0.01;
}

TEST(replay_gives_the_bits_of_full)
{
    CHECK(same_bits(NULL, &full, 1, &replay, 1));
    CHECK(same_bits(nesterov, &full, 1, &replay, 1));
}

TEST(read_outs_know_the_rates_and_phases)
{
    CHECK(!same_bits(NULL, &full, 1, &path, 1)); /* else nothing was read out */
}

/* ---- the grid ---- */

/* Cosine of two gradients over the values of one kind, on the scale of log h. */
static double cosine(const space *s, hyper_kind kind, const double *values, const double *a,
                     const double *b)
{
    double ab = 0, aa = 0, bb = 0;

    for (int64_t i = 0; i < s->total; i++) {
        if (space_slice_of(s, i)->kind != kind) continue;
        const double x = a[i] * values[i], y = b[i] * values[i];
        ab += x * y, aa += x * x, bb += y * y;
    }
    return ab / sqrt(aa * bb);
}

/* Gives the sum of 1 - cosine over the kinds; each cosine must reach `least`. */
static double check_grid(change_fn *change, double least, const char *what)
{
    hyper_decl decls[TOY_DECLS_MAX];
    double *exact, off = 0;
    walk_report r;
    toy t;

    gradient(change, &full, 1, &exact);
    toy_init(&t, test_ctx());
    if (change) change(&t);
    CHECK_OK(t.ctx, toy_open(&t, decls, toy_declare(&t, PER_TENSOR, 3, decls), &grid));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
    for (int k = 0; k < HYPER_KIND_COUNT; k++) {
        if (!space_has(t.s, (hyper_kind)k)) continue;
        const double c = cosine(t.s, (hyper_kind)k, t.values, exact, t.grad);
        off += 1 - c;
        if (!(c >= least))
            test_fail(__FILE__, __LINE__, "%s, %s: cosine %.6f with the exact one, expected %g",
                      what, hyper_kind_of((hyper_kind)k)->word, c, least);
    }
    CHECK(r.trajectory == TRAJ_GRID);
    free(exact);
    toy_close(&t);
    return off;
}

static void relu(toy *t)
{
    t->activation = NN_RELU;
}

static void relu_with_masks(toy *t)
{
    relu(t);
    t->spec.masks = true;
}

/* Measured: .9972 and .9980 at least (l1, whose own kinks the grid moves), .999 and more else. */
TEST(the_grid_is_close)
{
    check_grid(NULL, 0.996, "tanh");
}

TEST(stored_masks_bring_relu_closer)
{
    const double with = check_grid(relu_with_masks, 0.996, "relu with masks");

    CHECK(with < check_grid(relu, 0.99, "relu without masks"));
}

/* A block's batch is that of its middle step, so the masks must be that step's too. Against strides
 * on the run's own states, which need no masks. */
TEST(strides_take_the_masks_of_their_batch)
{
    const hyper_decl l2 = {
        .kind = HYPER_L2, .per = PER_UNIT_IN, .phases = 1, .low = 1e-4, .high = 1, .start = 0.02};
    double *exact = NULL;

    for (int k = 0; k < 2; k++) {
        const walk_spec walk = {
            .trajectory = k ? TRAJ_GRID : TRAJ_FULL, .quality = QUALITY_HIGH, .stride = 4};
        walk_report r;
        toy t;

        toy_init(&t, test_ctx());
        (k ? relu_with_masks : relu)(&t);
        t.spec.rate.rate = 0.02;
        CHECK_OK(t.ctx, toy_open(&t, &l2, 1, &walk));
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        CHECK(r.steps < t.spec.steps);
        if (k) {
            const double c = cosine(t.s, HYPER_L2, t.values, exact, t.grad);
            if (!(c >= 0.999)) test_fail(__FILE__, __LINE__, "cosine %.6f", c);
        } else {
            exact = calloc((size_t)t.s->total, sizeof *exact);
            memcpy(exact, t.grad, (size_t)t.s->total * sizeof *exact);
        }
        toy_close(&t);
    }
    free(exact);
}
