/* Hypergradients over an oracle (sums.h) against differences and forward mode. */
#include "sums.h"

static double value_at(bench *b, drmad_ctx *ctx, int64_t i, double x)
{
    const double was = b->values[i];
    train_report run;
    eval_result f;

    b->values[i] = x;
    CHECK_OK(ctx, trainer_run(b->t, b->values, 3, NULL, &run));
    CHECK_OK(ctx, trainer_eval(b->t, &b->valid, b->values, &f, NULL, NULL));
    b->values[i] = was;
    return f.loss;
}

/* Fourth-order central difference; 1e-8 is what it is good to here. */
static void check_entry(bench *b, drmad_ctx *ctx, int64_t i)
{
    const double x = b->values[i], h = 1e-3 * x;
    const double near = (value_at(b, ctx, i, x + h) - value_at(b, ctx, i, x - h)) / (2 * h);
    const double far = (value_at(b, ctx, i, x + 2 * h) - value_at(b, ctx, i, x - 2 * h)) / (4 * h);
    char name[96];

    if (!(fabs(b->grad[i] - (4 * near - far) / 3) <= 1e-8))
        test_fail(__FILE__, __LINE__, "%s: %.12g, difference %.12g",
                  space_element_name(b->s, i, name, sizeof name), b->grad[i], (4 * near - far) / 3);
}

TEST(oracle_hypergradients_are_right)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    drmad_ctx *ctx = test_ctx();
    double value, slope, want = 0;
    walk_report r;
    bench b;

    CHECK_OK(ctx, open_bench(&b, ctx, every_kind, COUNT(every_kind), &walk));
    CHECK_OK(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad));
    for (int64_t i = 0; i < b.s->total; i++) check_entry(&b, ctx, i);
    for (int64_t i = 0; i < b.s->total; i++) {
        b.raw[i] = rng_normal((rng_key){8, 0, 0}, (uint64_t)i);
        want += b.raw[i] * b.grad[i];
    }
    CHECK_OK(ctx, walker_directional(b.w, b.values, b.raw, 3, &b.valid, &value, &slope));
    CHECK_NEAR(value, r.value.loss, 1e-14);
    CHECK_NEAR(slope, want, 1e-12); /* both exact: a few roundings of sums of order 1 */
    close_bench(&b, ctx);
}

TEST(oracle_replay_is_full_bit_for_bit)
{
    drmad_ctx *ctx = test_ctx();
    walk_report r;
    bench full, replay;

    CHECK_OK(ctx, open_bench(&full, ctx, every_kind, COUNT(every_kind),
                             &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}));
    CHECK_OK(ctx, open_bench(&replay, ctx, every_kind, COUNT(every_kind),
                             &(walk_spec){.trajectory = TRAJ_REPLAY, .stride = 1}));
    CHECK_OK(ctx, walker_gradient(full.w, full.values, 3, &full.valid, &r, full.grad));
    CHECK_OK(ctx, walker_gradient(replay.w, replay.values, 3, &replay.valid, &r, replay.grad));
    CHECK(r.trajectory == TRAJ_REPLAY);
    CHECK(memcmp(full.grad, replay.grad, (size_t)full.s->total * sizeof(double)) == 0);
    close_bench(&full, ctx);
    close_bench(&replay, ctx);
}

/* On the run's own path without b (what a grid hands out, but exact) the read-outs by displacement
 * and by transposed sum are exact too; they ask for the gradient, so that is tested as well. */
TEST(oracle_path_only_is_full)
{
    drmad_ctx *ctx = test_ctx();
    walk_report r;
    bench full, path;

    CHECK_OK(ctx, open_bench(&full, ctx, every_kind, COUNT(every_kind),
                             &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}));
    CHECK_OK(ctx,
             open_bench(&path, ctx, every_kind, COUNT(every_kind),
                        &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1, .path_only = true}));
    CHECK_OK(ctx, walker_gradient(full.w, full.values, 3, &full.valid, &r, full.grad));
    CHECK_OK(ctx, walker_gradient(path.w, path.values, 3, &path.valid, &r, path.grad));
    for (int64_t i = 0; i < full.s->total; i++) /* w - w' over lr loses digits */
        CHECK_NEAR(path.grad[i], full.grad[i], 1e-12);
    close_bench(&full, ctx);
    close_bench(&path, ctx);
}

/* Rates by the momentum's memory (docs/MATH.md) are exact too when summed over all steps. */
TEST(oracle_rates_on_a_path_are_exact)
{
    const hyper_decl lr = {.kind = HYPER_LR,
                           .per = PER_TENSOR,
                           .phases = 1,
                           .transform = TRANSFORM_LOG,
                           .low = 1e-4,
                           .high = 10,
                           .start = 0.2};
    drmad_ctx *ctx = test_ctx();
    walk_report r;
    bench full, path;

    CHECK_OK(ctx,
             open_bench(&full, ctx, &lr, 1, &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}));
    CHECK_OK(ctx,
             open_bench(&path, ctx, &lr, 1,
                        &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1, .path_only = true}));
    CHECK_OK(ctx, walker_gradient(full.w, full.values, 3, &full.valid, &r, full.grad));
    CHECK_OK(ctx, walker_gradient(path.w, path.values, 3, &path.valid, &r, path.grad));
    for (int64_t i = 0; i < full.s->total; i++) CHECK_NEAR(path.grad[i], full.grad[i], 1e-12);
    close_bench(&full, ctx);
    close_bench(&path, ctx);
}

/* Every kind but momentum and, on a path, betas; and those of Adam. */
static int32_t adam_kinds(bool betas, hyper_decl *out)
{
    static const struct {
        hyper_kind kind;
        double start, high;
    } more[] = {{HYPER_EPS, 0.05, 1},
                {HYPER_CLIP, 0.3, 10},
                {HYPER_BETA1, 0.7, 0.95},
                {HYPER_BETA2, 0.8, 0.95}};
    int32_t n = 0;

    for (int32_t i = 0; i < EVERY_KIND; i++)
        if (every_kind[i].kind != HYPER_MOMENTUM) out[n++] = every_kind[i];
    for (size_t i = 0; i < (betas ? COUNT(more) : 2); i++)
        out[n++] = (hyper_decl){.kind = more[i].kind,
                                .phases = 2,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-4,
                                .high = more[i].high,
                                .start = more[i].start};
    return n;
}

enum { ADAM_KINDS = EVERY_KIND + 4 };
static const bench_way adamw = {
    .steps = 12, .optim = {.kind = OPTIM_ADAM, .decoupled = true, .clip = CLIP_NORM}};

/* The direction needs the gradient itself here, which the oracle is asked for first. */
TEST(oracle_adam_hypergradients_are_right)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    drmad_ctx *ctx = test_ctx();
    double value, slope, want = 0;
    hyper_decl decl[ADAM_KINDS];
    walk_report r;
    bench b;

    CHECK_OK(ctx, open_bench_as(&b, ctx, decl, adam_kinds(true, decl), &walk, &adamw));
    CHECK_OK(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad));
    for (int64_t i = 0; i < b.s->total; i++) check_entry(&b, ctx, i);
    for (int64_t i = 0; i < b.s->total; i++) {
        b.raw[i] = rng_normal((rng_key){8, 0, 0}, (uint64_t)i);
        want += b.raw[i] * b.grad[i];
    }
    CHECK_OK(ctx, walker_directional(b.w, b.values, b.raw, 3, &b.valid, &value, &slope));
    CHECK_NEAR(slope, want, 1e-12);
    close_bench(&b, ctx);
}

TEST(oracle_adam_on_a_path_is_exact)
{
    drmad_ctx *ctx = test_ctx();
    hyper_decl decl[ADAM_KINDS];
    const int32_t n = adam_kinds(false, decl);
    walk_report r;
    bench full, path;

    CHECK_OK(ctx, open_bench_as(&full, ctx, decl, n,
                                &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}, &adamw));
    CHECK_OK(ctx,
             open_bench_as(&path, ctx, decl, n,
                           &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1, .path_only = true},
                           &adamw));
    CHECK_OK(ctx, walker_gradient(full.w, full.values, 3, &full.valid, &r, full.grad));
    CHECK_OK(ctx, walker_gradient(path.w, path.values, 3, &path.valid, &r, path.grad));
    for (int64_t i = 0; i < full.s->total; i++) CHECK_NEAR(path.grad[i], full.grad[i], 1e-12);
    close_bench(&full, ctx);
    close_bench(&path, ctx);
}

TEST(oracle_failures_end_the_run)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    drmad_ctx *ctx = test_ctx();
    train_report run;
    bench b;

    CHECK_OK(ctx, open_bench(&b, ctx, every_kind, 1, &walk));
    b.q.fail_at = 5;
    CHECK_FAILS(ctx, trainer_run(b.t, b.values, 3, NULL, &run), DRMAD_E_MODEL,
                "gradient: the caller's function ended with");
    CHECK_INT(run.steps, 5);
    close_bench(&b, ctx);
}

static drmad_status open_and_walk(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    walk_report r;
    bench b;

    (void)arg;
    TRY(open_bench(&b, ctx, every_kind, COUNT(every_kind),
                   &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}));
    TRY(walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad));
done:
    close_bench(&b, ctx);
    return st;
}

TEST(oracle_runs_out_of_memory_cleanly)
{
    test_oom(open_and_walk, NULL);
}
