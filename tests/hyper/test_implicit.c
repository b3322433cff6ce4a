/* Implicit hypergradients against the exact ones of runs that have converged. */
#include "estimates.h"

/* Softmax regression with decay on all of it, on the whole training set in each step: strongly
 * convex, and trained until nothing moves. */
static void open_convex_as(toy *t, const estimator_spec *e, hyper_per per)
{
    walk_spec walk = {.estimator = *e, .stride = 1};
    hyper_decl decl[TOY_DECLS_MAX];

    t->layers = 1;
    t->sizes[1] = TOY_CLASSES;
    t->spec.order = BATCH_SEQUENTIAL;
    const int32_t n = declare_seen(t, per, 1, true, decl);
    for (int32_t i = 0; i < n; i++)
        if (decl[i].kind == HYPER_L2) decl[i].match = "*", decl[i].start = 0.1;
    CHECK_OK(t->ctx, toy_open(t, decl, n, &walk));
}

static void open_convex(toy *t, const estimator_spec *e, hyper_per per)
{
    toy_init(t, test_ctx());
    t->spec.batch = 20;
    t->spec.steps = t->spec.rate.steps = 1000;
    open_convex_as(t, e, per);
}

static void check_convex(const estimator_spec *e, hyper_per per, double share)
{
    walk_report r, exact;
    toy a, b;

    open_convex(&a, &(estimator_spec){0}, per);
    open_convex(&b, e, per);
    CHECK_OK(a.ctx, walker_gradient(a.w, a.values, SEED, &a.valid, &exact, a.grad));
    CHECK_OK(b.ctx, walker_gradient(b.w, b.values, SEED, &b.valid, &r, b.grad));
    CHECK(r.trajectory == TRAJ_NONE);
    CHECK(isnan(exact.residual) && r.residual >= 0);
    close_to(&a, b.grad, a.grad, share, solver_name(e->solver));
    toy_close(&a);
    toy_close(&b);
}

TEST(implicit_of_a_converged_run_is_the_exact_hypergradient)
{
    const estimator_spec cg = {.kind = ESTIMATOR_IMPLICIT, .terms = 60, .tolerance = 1e-12};

    check_convex(&cg, PER_GLOBAL, 1e-6);
    check_convex(&cg, PER_TENSOR, 1e-6);
    check_convex(&cg, PER_UNIT_IN, 1e-6);
    check_convex(&cg, PER_WEIGHT, 1e-6);
}

/* |got - exact| / |exact| over all values. */
static double error_of(const estimator_spec *e, const toy *exact, double *residual)
{
    double off = 0, norm = 0;
    walk_report r;
    toy t;

    open_convex(&t, e, PER_TENSOR);
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, SEED, &t.valid, &r, t.grad));
    for (int64_t i = 0; i < t.s->total; i++) {
        off += (t.grad[i] - exact->grad[i]) * (t.grad[i] - exact->grad[i]);
        norm += exact->grad[i] * exact->grad[i];
    }
    *residual = r.residual;
    toy_close(&t);
    return sqrt(off / norm);
}

TEST(implicit_neumann_converges_with_its_terms)
{
    const int64_t terms[] = {3, 20, 100, 500};
    double before = HUGE_VAL, residual;
    walk_report r;
    toy exact;

    open_convex(&exact, &(estimator_spec){0}, PER_TENSOR);
    CHECK_OK(exact.ctx, walker_gradient(exact.w, exact.values, SEED, &exact.valid, &r, exact.grad));
    for (size_t k = 0; k < COUNT(terms); k++) {
        const estimator_spec e = {
            .kind = ESTIMATOR_IMPLICIT, .solver = SOLVER_NEUMANN, .terms = terms[k], .scale = 0.3};
        const double now = error_of(&e, &exact, &residual);
        CHECK(now < before / 2);
        before = now;
    }
    CHECK(before < 1e-6 && residual < 1e-6);
    toy_close(&exact);
}

/* Of full rank it solves the damped system, as CG does; the damping's own error is of its order. */
TEST(implicit_nystrom_of_full_rank_is_cg)
{
    const int64_t rank[] = {3, 12, 21};
    double before = HUGE_VAL, residual, damped;
    walk_report r;
    toy exact;

    open_convex(&exact, &(estimator_spec){0}, PER_TENSOR);
    CHECK_OK(exact.ctx, walker_gradient(exact.w, exact.values, SEED, &exact.valid, &r, exact.grad));
    for (size_t k = 0; k < COUNT(rank); k++) {
        const estimator_spec e = {.kind = ESTIMATOR_IMPLICIT,
                                  .solver = SOLVER_NYSTROM,
                                  .terms = rank[k],
                                  .damping = 0.02};
        const double now = error_of(&e, &exact, &residual);
        CHECK(now < before / 2);
        before = now;
    }
    CHECK(residual < 1e-12);
    const estimator_spec cg = {
        .kind = ESTIMATOR_IMPLICIT, .terms = 60, .damping = 0.02, .tolerance = 1e-12};
    damped = error_of(&cg, &exact, &residual);
    CHECK(damped > 1e-6);
    CHECK_NEAR(before, damped, 1e-9 * damped);
    toy_close(&exact);
}

/* The estimate at the start weights, which a rate of 0 leaves where they are. */
static void at_the_start(toy *t, int64_t batch, int64_t batches, walk_report *r)
{
    const estimator_spec e = {
        .kind = ESTIMATOR_IMPLICIT, .terms = 60, .tolerance = 1e-14, .batches = batches};

    toy_init(t, test_ctx());
    t->spec.batch = batch;
    t->spec.rate.rate = 0;
    open_convex_as(t, &e, PER_WEIGHT);
    CHECK_OK(t->ctx, walker_gradient(t->w, t->values, SEED, &t->valid, r, t->grad));
}

/* H over the minibatches of an epoch is H of the training set; that of one batch is another. */
TEST(implicit_over_an_epoch_is_that_of_all_examples)
{
    double off = 0, norm = 0;
    toy all, epoch, one;
    walk_report r;

    at_the_start(&all, 20, 0, &r);
    CHECK_INT(r.products, r.steps + 1);
    at_the_start(&epoch, 5, 0, &r);
    CHECK_INT(r.products, 4 * (r.steps + 1));
    close_to(&all, epoch.grad, all.grad, 1e-10, "an epoch"); /* condition of H, about 100 */
    at_the_start(&one, 5, 1, &r);
    CHECK_INT(r.products, r.steps + 1);
    for (int64_t i = 0; i < all.s->total; i++) {
        off += (one.grad[i] - all.grad[i]) * (one.grad[i] - all.grad[i]);
        norm += all.grad[i] * all.grad[i];
    }
    CHECK(off > 0.01 * norm);
    toy_close(&all);
    toy_close(&epoch);
    toy_close(&one);
}

/* L = w^2/2 + l2 w^2/2 is least at 0; there d2L/dl2 dw = 0. With a start that stays (rate 0 would
 * do) the formula is (dG/dl2) q = w (w - 2)/(1 + l2), by hand. */
TEST(implicit_of_a_single_weight_by_hand)
{
    const walk_spec walk =
        estimate_by(&(estimator_spec){.kind = ESTIMATOR_IMPLICIT, .terms = 3, .damping = 0.75});
    walk_report r;
    double got[2];

    one_weight_gradient(&walk, 2, false, got, &r);
    CHECK_NEAR(got[0], -(9.0 / 16) * (9.0 / 16 - 2) / (1 + 0.25 + 0.75), 1e-15);
    CHECK_NEAR(r.residual, 0, 1e-15);
    CHECK_INT(r.steps, 2);
}

/* Linear, batch norm, tanh, linear; on the whole training set until nothing moves. F reads the
 * running statistics. The first weight's scale, which batch norm takes out again, is penalised by
 * nobody. */
static void open_normed(toy *t, const estimator_spec *e)
{
    static const nn_layer layer[] = {{.kind = NN_LINEAR, .out = 4, .name = "in", .no_bias = true},
                                     {.kind = NN_BATCH_NORM, .name = "norm"},
                                     {.kind = NN_TANH, .name = "tanh"},
                                     {.kind = NN_LINEAR, .out = TOY_CLASSES, .name = "out"}};
    const walk_spec walk = {.estimator = *e, .stride = 1};
    const hyper_decl decl[] = {{.kind = HYPER_L2,
                                .per = PER_TENSOR,
                                .phases = 1,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-4,
                                .high = 10,
                                .start = 0.05,
                                .match = "norm.*,out.*"},
                               {.kind = HYPER_EXAMPLE_WEIGHT,
                                .per = PER_EXAMPLE,
                                .phases = 1,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-4,
                                .high = 10,
                                .start = 1},
                               {.kind = HYPER_INPUT_SCALE,
                                .per = PER_UNIT_IN,
                                .phases = 1,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-4,
                                .high = 10,
                                .start = 1}};

    toy_init(t, test_ctx());
    t->spec.batch = 20;
    t->spec.steps = t->spec.rate.steps = 6000;
    t->spec.order = BATCH_SEQUENTIAL;
    CHECK_OK(t->ctx, nn_new(t->ctx, SHAPE(TOY_WIDTH), &t->net));
    for (size_t i = 0; i < COUNT(layer); i++) CHECK_OK(t->ctx, nn_add(t->net, &layer[i]));
    t->net->draws = t->draws;
    CHECK_OK(t->ctx, toy_open(t, decl, COUNT(decl), &walk));
}

TEST(implicit_goes_through_running_statistics)
{
    const estimator_spec cg = {.kind = ESTIMATOR_IMPLICIT, .terms = 200, .tolerance = 1e-11};
    double largest = 0;
    walk_report r, exact;
    toy a, b;

    open_normed(&a, &(estimator_spec){0});
    open_normed(&b, &cg);
    CHECK_OK(a.ctx, walker_gradient(a.w, a.values, SEED, &a.valid, &exact, a.grad));
    CHECK_OK(b.ctx, walker_gradient(b.w, b.values, SEED, &b.valid, &r, b.grad));
    CHECK(r.products > r.steps + 100); /* r~ loses a tenth with each batch */
    for (int64_t i = 0; i < a.s->total; i++) largest = fmax(largest, fabs(a.grad[i]));
    for (int64_t i = 0; i < a.s->total; i++) {
        CHECK_NEAR(b.grad[i], a.grad[i], 1e-6 * largest);
        /* the net makes up for its inputs' scales: both ways of them, through L and r, cancel */
        if (space_slice_of(a.s, i)->kind == HYPER_INPUT_SCALE)
            CHECK_NEAR(b.grad[i], 0, 1e-6 * largest);
    }
    toy_close(&a);
    toy_close(&b);
}
