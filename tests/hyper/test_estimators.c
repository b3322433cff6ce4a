/* Truncated and one-step hypergradients against differences of what each one holds to, and what the
 * estimators refuse. */
#include "estimates.h"
#include "train/trainer.h"

/* Fails unless t->grad is the derivative of f, of every `few`-th entry: central differences of
 * fourth order at t->values. */
static void check_differences(toy *t, double (*f)(void *user, const double *x), void *user,
                              size_t few, const char *what)
{
    const size_t n = (size_t)t->s->total;
    double *want = calloc(n, sizeof *want), *x = calloc(n, sizeof *x);

    memcpy(x, t->values, n * sizeof *x);
    memcpy(want, t->grad, n * sizeof *x);
    for (size_t i = 0; i < n; i += few) {
        double y[4];
        for (int k = 0; k < 4; k++) {
            x[i] = t->values[i] * (1 + 1e-3 * (double[]){-2, -1, 1, 2}[k]);
            y[k] = f(user, x);
        }
        x[i] = t->values[i];
        want[i] = (8 * (y[2] - y[1]) - (y[3] - y[0])) / (12e-3 * t->values[i]);
    }
    close_to(t, t->grad, want, 1e-6, what);
    free(want), free(x);
}

/* ---- truncated ---- */

static void open_truncated(toy *t, double last, int64_t phases, traj_kind kept)
{
    walk_spec walk = estimate_by(&(estimator_spec){.kind = ESTIMATOR_TRUNCATED, .last = last});
    hyper_decl decl[TOY_DECLS_MAX];

    walk.trajectory = kept;
    toy_init(t, test_ctx());
    t->spec.optim.dampening = 0.2;
    CHECK_OK(t->ctx, toy_open(t, decl, declare_seen(t, PER_TENSOR, phases, false, decl), &walk));
}

TEST(truncated_over_the_whole_run_is_full_bit_for_bit)
{
    hyper_decl decl[TOY_DECLS_MAX];
    walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    walk_report r, full;
    toy a, b;

    for (int k = 0; k < 2; k++) {
        toy_init(&a, test_ctx());
        toy_init(&b, test_ctx());
        walk.estimator = (estimator_spec){0};
        CHECK_OK(a.ctx, toy_open(&a, decl, toy_declare(&a, PER_WEIGHT, 3, decl), &walk));
        walk.estimator = (estimator_spec){.kind = ESTIMATOR_TRUNCATED, .last = k ? 20 : 1e6};
        CHECK_OK(b.ctx, toy_open(&b, decl, toy_declare(&b, PER_WEIGHT, 3, decl), &walk));
        CHECK_OK(a.ctx, walker_gradient(a.w, a.values, SEED, &a.valid, &full, a.grad));
        CHECK_OK(b.ctx, walker_gradient(b.w, b.values, SEED, &b.valid, &r, b.grad));
        CHECK_INT(r.steps, 20);
        CHECK(memcmp(a.grad, b.grad, (size_t)a.s->total * sizeof(double)) == 0);
        CHECK(r.growth == full.growth);
        toy_close(&a);
        toy_close(&b);
    }
}

/* F after steps `from` to T with `x`, from the state that the run with t->values has there. */
typedef struct held {
    toy *t;
    int64_t from;
    double *w, *b;
} held;

static drmad_status keep_state(void *user, int64_t step, void *const from[], void *const to[])
{
    held *h = user;
    const size_t bytes = (size_t)h->t->params->total * sizeof(double);

    (void)from;
    if (step + 1 != h->from) return DRMAD_OK;
    memcpy(h->w, to[0], bytes);
    memcpy(h->b, to[1], bytes);
    return DRMAD_OK;
}

static void hold_state(held *h, toy *t, int64_t from)
{
    const size_t n = (size_t)t->params->total;
    train_report run;

    *h = (held){t, from, calloc(n, sizeof(double)), calloc(n, sizeof(double))};
    trainer_follow(t->t, keep_state, h);
    CHECK_OK(t->ctx, trainer_run(t->t, t->values, SEED, NULL, &run));
    trainer_follow(t->t, NULL, NULL);
}

static double value_from(void *user, const double *x)
{
    const held *h = user;
    trainer *t = h->t->t;
    const size_t bytes = (size_t)h->t->params->total * sizeof(double);
    eval_result f;

    trainer_restart(t, x, SEED);
    t->now = 0;
    memcpy(t->state[0][0], h->w, bytes);
    memcpy(t->state[0][1], h->b, bytes);
    for (int64_t step = h->from; step < t->spec.steps; step++)
        CHECK_OK(h->t->ctx, trainer_step_at(t, step, t->state[0], t->state[0]));
    CHECK_OK(h->t->ctx, trainer_eval(t, &h->t->valid, x, &f, NULL, NULL));
    return f.loss;
}

static void check_truncated(double last, int64_t from, int64_t phases, traj_kind kept)
{
    walk_report r;
    held h;
    toy t;

    open_truncated(&t, last, phases, kept);
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, SEED, &t.valid, &r, t.grad));
    CHECK_INT(r.steps, 20 - from);
    hold_state(&h, &t, from);
    check_differences(&t, value_from, &h, test_sanitized() ? 7 : 1, "truncated");
    free(h.w), free(h.b);
    toy_close(&t);
}

TEST(truncated_is_the_derivative_from_a_state_held_fixed)
{
    check_truncated(6, 14, 1, TRAJ_AUTO);
    check_truncated(0.35, 13, 1, TRAJ_FULL); /* a share of the steps */
    check_truncated(9, 11, 1, TRAJ_REPLAY);
    check_truncated(15, 5, 3, TRAJ_AUTO); /* phases end at 6, 13, 20 */
    check_truncated(1, 19, 1, TRAJ_AUTO);
}

TEST(truncated_keeps_the_last_states_alone)
{
    const size_t state = 2 * sizeof(double);
    toy few, all;
    walk_report a, b;

    open_truncated(&few, 5, 1, TRAJ_FULL);
    open_truncated(&all, 20, 1, TRAJ_FULL);
    CHECK_OK(few.ctx, walker_gradient(few.w, few.values, SEED, &few.valid, &a, few.grad));
    CHECK_OK(all.ctx, walker_gradient(all.w, all.values, SEED, &all.valid, &b, all.grad));
    CHECK_INT(b.kept.bytes_held - a.kept.bytes_held,
              15 * ((size_t)few.params->total * state + sizeof(char *)));
    CHECK(walker_bytes(all.w) - walker_bytes(few.w) == b.kept.bytes_held - a.kept.bytes_held);
    toy_close(&few);
    toy_close(&all);
}

/* A limit that holds a few states turns `auto` into replay, which gives the same bits. */
TEST(truncated_under_a_limit_replays)
{
    walk_spec walk = estimate_by(&(estimator_spec){.kind = ESTIMATOR_TRUNCATED, .last = 15});
    hyper_decl decl[TOY_DECLS_MAX];
    walk_report a, b;
    toy full, tight;

    open_truncated(&full, 15, 1, TRAJ_FULL);
    toy_init(&tight, test_ctx());
    tight.spec.optim.dampening = 0.2;
    walk.memory = 9 * 2 * sizeof(double) * (size_t)full.params->total;
    CHECK_OK(tight.ctx,
             toy_open(&tight, decl, declare_seen(&tight, PER_TENSOR, 1, false, decl), &walk));
    CHECK(walker_kind(tight.w) == TRAJ_REPLAY);
    CHECK_OK(full.ctx, walker_gradient(full.w, full.values, SEED, &full.valid, &a, full.grad));
    CHECK_OK(tight.ctx, walker_gradient(tight.w, tight.values, SEED, &tight.valid, &b, tight.grad));
    CHECK(b.kept.recomputed > 0 && b.kept.bytes_held < a.kept.bytes_held);
    CHECK(memcmp(full.grad, tight.grad, (size_t)full.s->total * sizeof(double)) == 0);
    toy_close(&full);
    toy_close(&tight);
}

/* ---- one-step ---- */

static void open_one_step(toy *t, int64_t rows, const hyper_decl *decl, int32_t n)
{
    const walk_spec walk = estimate_by(&(estimator_spec){.kind = ESTIMATOR_ONE_STEP, .rows = rows});

    CHECK_OK(t->ctx, toy_open(t, decl, n, &walk));
}

/* sum over t of F(one step from the run's own state t, with x), and F(w_T, x) for what enters F
 * itself. */
static double greedy_value(void *user, const double *x)
{
    toy *t = user;
    trainer *r = t->t;
    const size_t bytes = (size_t)t->params->total * sizeof(double);
    double *own[2] = {malloc(bytes), malloc(bytes)}, *next[2] = {malloc(bytes), malloc(bytes)};
    double sum = 0;
    eval_result f;

    trainer_restart(r, t->values, SEED);
    CHECK_OK(t->ctx, trainer_prepare(r, 0));
    CHECK_OK(t->ctx, trainer_start(r, own[0]));
    memset(own[1], 0, bytes);
    memset(next[0], 0, bytes), memset(next[1], 0, bytes); /* gaps */
    for (int64_t step = 0; step < r->spec.steps; step++) {
        trainer_restart(r, x, SEED);
        CHECK_OK(t->ctx, trainer_step_at(r, step, (void **)own, (void **)next));
        r->now = 0;
        memcpy(r->state[0][0], next[0], bytes);
        CHECK_OK(t->ctx, trainer_eval(r, &t->valid, t->values, &f, NULL, NULL));
        sum += f.loss;
        trainer_restart(r, t->values, SEED);
        CHECK_OK(t->ctx, trainer_step_at(r, step, (void **)own, (void **)own));
    }
    memcpy(r->state[0][0], own[0], bytes);
    CHECK_OK(t->ctx, trainer_eval(r, &t->valid, x, &f, NULL, NULL));
    for (int k = 0; k < 2; k++) free(own[k]), free(next[k]);
    return sum + f.loss;
}

static void check_one_step(int64_t phases, bool nesterov)
{
    hyper_decl decl[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.optim.nesterov = nesterov;
    open_one_step(&t, 10, decl, declare_seen(&t, PER_TENSOR, phases, false, decl));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, SEED, &t.valid, &r, t.grad));
    CHECK_INT(r.steps, 20);
    CHECK(r.trajectory == TRAJ_NONE);
    const int few = test_sanitized() ? 20 : test_count(7, 1); /* an evaluation a step */
    check_differences(&t, greedy_value, &t, (size_t)few, "one-step");
    toy_close(&t);
}

TEST(one_step_is_the_derivative_of_each_step_alone)
{
    check_one_step(1, false);
    check_one_step(3, true);
}

TEST(one_step_of_a_single_weight_by_hand)
{
    const walk_spec walk = estimate_by(&(estimator_spec){.kind = ESTIMATOR_ONE_STEP, .rows = 1});
    walk_report r;
    double got[2];

    one_weight_gradient(&walk, 2, true, got, &r);
    CHECK_NEAR(got[0], 1 + 69.0 / 64, 1e-15);
    CHECK_NEAR(got[1], 5.0 / 2 + 345.0 / 128, 1e-15);
}

/* Fewer rows than F has are drawn for each step anew: over many of them the mean is that of all.
 * The standard error of 30 runs of 20 steps is measured, not guessed. */
TEST(one_step_draws_its_rows)
{
    const hyper_decl l2 = {.kind = HYPER_L2,
                           .phases = 1,
                           .transform = TRANSFORM_LOG,
                           .low = 1e-3,
                           .high = 1,
                           .start = 0.05};
    enum { RUNS = 30 };
    double all = 0, sum = 0, square = 0;
    walk_report r;

    for (int k = 0; k < 2; k++) {
        toy t;
        toy_init(&t, test_ctx());
        open_one_step(&t, k == 0 ? 5 : 10, &l2, 1);
        for (uint64_t seed = 0; seed < RUNS; seed++) {
            double few;
            CHECK_OK(t.ctx, walker_gradient(t.w, t.values, seed, &t.valid, &r, t.grad));
            few = t.grad[0];
            CHECK_OK(t.ctx, walker_gradient(t.w, t.values, seed, &t.valid, &r, t.grad));
            CHECK(t.grad[0] == few); /* the same rows again */
            if (k == 1) all += few;
            else sum += few, square += few * few;
        }
        toy_close(&t);
    }
    const double error = sqrt((square - sum * sum / RUNS) / RUNS / (RUNS - 1));
    CHECK(error > 0);
    CHECK_NEAR(sum / RUNS, all / RUNS, 4 * error);
}

/* ---- refusals ---- */

static void check_refused(const estimator_spec *e, hyper_kind kind, int64_t phases,
                          const char *reason)
{
    const hyper_decl decl = {.kind = kind,
                             .phases = phases,
                             .transform = TRANSFORM_IDENTITY,
                             .low = 0.1,
                             .high = 0.9,
                             .start = 0.5};
    const walk_spec walk = estimate_by(e);
    toy t;

    toy_init(&t, test_ctx());
    CHECK_FAILS(t.ctx, toy_open(&t, &decl, 1, &walk), DRMAD_E_CONFIG, reason);
    CHECK(strstr(drmad_errmsg(t.ctx), hyper_kind_of(kind)->word) != NULL);
    CHECK(strstr(drmad_errmsg(t.ctx), "use unrolled") != NULL);
    toy_close(&t);
}

TEST(what_an_estimator_cannot_see_is_refused_by_name)
{
    const estimator_spec implicit = {.kind = ESTIMATOR_IMPLICIT, .terms = 3};
    const estimator_spec truncated = {.kind = ESTIMATOR_TRUNCATED, .last = 5};
    const estimator_spec one_step = {.kind = ESTIMATOR_ONE_STEP, .rows = 5};

    check_refused(&implicit, HYPER_LR, 1, "does not depend on how the optimiser got there");
    check_refused(&implicit, HYPER_MOMENTUM, 1, "does not depend on how the optimiser got there");
    check_refused(&implicit, HYPER_LR_PEAK, 1, "does not depend on how the optimiser got there");
    check_refused(&implicit, HYPER_INIT_SCALE, 1, "does not depend on where training started");
    check_refused(&implicit, HYPER_L2, 3, "has no phases");
    check_refused(&truncated, HYPER_INIT_SCALE, 1, "is held fixed, and so are the initial weights");
    check_refused(&truncated, HYPER_L2, 3, "its first phases end before the last steps");
    check_refused(&one_step, HYPER_INIT_SCALE, 1, "each step's start is held fixed");
}

TEST(settings_that_go_with_no_estimator_are_refused)
{
    const hyper_decl l2 = {.kind = HYPER_L2,
                           .phases = 1,
                           .transform = TRANSFORM_LOG,
                           .low = 1e-3,
                           .high = 1,
                           .start = 0.05};
    const struct {
        walk_spec walk;
        const char *text;
    } bad[] = {
        {{.estimator = {.kind = ESTIMATOR_TRUNCATED, .last = 5},
          .trajectory = TRAJ_GRID,
          .stride = 1},
         "use full or replay"},
        {{.estimator = {.kind = ESTIMATOR_ONE_STEP, .rows = 5},
          .trajectory = TRAJ_FULL,
          .stride = 1},
         "leave it auto"},
        {{.estimator = {.kind = ESTIMATOR_IMPLICIT, .terms = 5},
          .trajectory = TRAJ_LINE,
          .stride = 1},
         "leave it auto"},
        {{.estimator = {.kind = ESTIMATOR_TRUNCATED, .last = 5}, .stride = 4},
         "is for estimator.kind: unrolled"},
        {{.estimator = {.kind = ESTIMATOR_IMPLICIT, .solver = SOLVER_NYSTROM, .terms = 5},
          .stride = 1},
         "estimator.damping: 0"},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        toy t;
        toy_init(&t, test_ctx());
        CHECK_FAILS(t.ctx, toy_open(&t, &l2, 1, &bad[i].walk), DRMAD_E_CONFIG, bad[i].text);
        toy_close(&t);
    }
}

TEST(implicit_refuses_the_decay_of_adamw)
{
    const hyper_decl decay = {.kind = HYPER_WEIGHT_DECAY,
                              .phases = 1,
                              .transform = TRANSFORM_LOG,
                              .low = 1e-3,
                              .high = 1,
                              .start = 0.05};
    const walk_spec walk = estimate_by(&(estimator_spec){.kind = ESTIMATOR_IMPLICIT, .terms = 5});
    toy t;

    toy_init(&t, test_ctx());
    t.spec.optim = (optim_spec){.kind = OPTIM_ADAM, .decoupled = true};
    t.spec.beta1 = 0.9, t.spec.beta2 = 0.999, t.spec.eps = 1e-8;
    CHECK_FAILS(t.ctx, toy_open(&t, &decay, 1, &walk), DRMAD_E_CONFIG,
                "decoupled weight decay under an adaptive optimiser");
    toy_close(&t);
}

/* ---- memory ---- */

static drmad_status open_and_estimate(drmad_ctx *ctx, void *arg)
{
    const walk_spec walk = estimate_by(arg);
    hyper_decl decl[TOY_DECLS_MAX];
    drmad_status st = DRMAD_OK;
    walk_report r;
    toy t;

    toy_init(&t, ctx);
    t.layers = 1;
    t.sizes[1] = TOY_CLASSES;
    t.spec.steps = t.spec.rate.steps = 2;
    TRY(toy_open(&t, decl, declare_seen(&t, PER_GLOBAL, 1, true, decl), &walk));
    TRY(walker_gradient(t.w, t.values, SEED, &t.valid, &r, t.grad));
done:
    toy_close(&t);
    return st;
}

TEST(estimators_run_out_of_memory_cleanly)
{
    estimator_spec each[] = {{.kind = ESTIMATOR_TRUNCATED, .last = 2},
                             {.kind = ESTIMATOR_ONE_STEP, .rows = 5},
                             {.kind = ESTIMATOR_IMPLICIT, .terms = 2, .damping = 10}};

    for (size_t i = 0; i < COUNT(each); i++) test_oom(open_and_estimate, &each[i]);
}
