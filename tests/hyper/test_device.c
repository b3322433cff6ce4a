/* Vectors on a device that faults where the library touches it: all as in host memory, and no copy
 * between the two that is made for every step. */
#include "fake_device.h"

typedef struct got {
    double grad[64], value, slope;
    int64_t n, vectors, numbers;
    walk_report r;
} got;

/* One hypergradient and its audit, in host memory or on the device. */
static got walk_on(bool elsewhere, const bench_way *usual, const hyper_decl *decl, int32_t n,
                   const walk_spec *walk)
{
    drmad_ctx *ctx = test_ctx();
    bench_way way = *usual;
    got y = {.n = 0};
    fake_device *f = malloc(sizeof *f);
    double slope_value;
    bench b;

    fake_open(f, ctx);
    if (elsewhere) way.on = &f->d.on;
    CHECK_OK(ctx, open_bench_as(&b, ctx, decl, n, walk, &way));
    if (elsewhere) fake_wrap(f, &b);
    CHECK_OK(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &y.r, b.grad));
    CHECK_OK(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &y.r, b.grad)); /* sums begin anew */
    y.vectors = f->vectors, y.numbers = f->numbers;
    y.n = b.s->total;
    memcpy(y.grad, b.grad, (size_t)y.n * sizeof *y.grad);
    for (int64_t i = 0; i < y.n; i++) b.raw[i] = rng_normal((rng_key){8, 0, 0}, (uint64_t)i);
    CHECK_OK(ctx, walker_directional(b.w, b.values, b.raw, 3, &b.valid, &slope_value, &y.slope));
    y.value = y.r.value.loss;
    CHECK_NEAR(slope_value, y.value, 1e-13);
    close_bench(&b, ctx);
    CHECK((f->runs > 0) == elsewhere);
    fake_close(f);
    free(f);
    return y;
}

static void check_same(const bench_way *way, const hyper_decl *decl, int32_t n,
                       const walk_spec *walk)
{
    const got here = walk_on(false, way, decl, n, walk), there = walk_on(true, way, decl, n, walk);

    CHECK_INT(there.n, here.n);
    CHECK_NEAR(there.value, here.value, 1e-13); /* order 1: sums in another order */
    CHECK_NEAR(there.slope, here.slope, 1e-12);
    CHECK_NEAR(there.r.growth, here.r.growth, 1e-12);
    for (int64_t i = 0; i < here.n; i++) CHECK_NEAR(there.grad[i], here.grad[i], 1e-12);
}

static const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
static const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};

TEST(device_every_kind_is_as_on_the_host)
{
    const bench_way way = {.steps = 15, .optim = {.buffer = true}};

    check_same(&way, every_kind, EVERY_KIND, &full);
    check_same(&way, every_kind, EVERY_KIND, &replay);
}

TEST(device_every_form_of_sgd_is_as_on_the_host)
{
    const optim_spec form[] = {{.buffer = false},
                               {.buffer = true, .nesterov = true},
                               {.buffer = true, .dampening = 0.3},
                               {.buffer = true, .decoupled = true},
                               {.buffer = true, .form = FORM_MACLAURIN}};
    hyper_decl decl[EVERY_KIND];

    for (size_t k = 0; k < COUNT(form); k++) {
        const bench_way way = {.steps = 12, .optim = form[k]};
        int32_t n = 0;
        for (int32_t i = 0; i < EVERY_KIND; i++)
            if (form[k].buffer || every_kind[i].kind != HYPER_MOMENTUM) decl[n++] = every_kind[i];
        check_same(&way, decl, n, &replay);
    }
}

TEST(device_adam_is_as_on_the_host)
{
    const optim_spec form[] = {{.kind = OPTIM_ADAM, .decoupled = true},
                               {.kind = OPTIM_NADAM, .momentum_decay = 0.004},
                               {.kind = OPTIM_RMSPROP, .centered = true, .clip = CLIP_NORM}};
    hyper_decl decl[EVERY_KIND];
    int32_t n = 0;

    for (int32_t i = 0; i < EVERY_KIND; i++)
        if (every_kind[i].kind != HYPER_MOMENTUM) decl[n++] = every_kind[i];
    for (size_t k = 0; k < COUNT(form); k++) {
        const bench_way way = {.steps = 12, .optim = form[k]};
        check_same(&way, decl, n, &replay);
    }
}

TEST(device_every_granularity_is_as_on_the_host)
{
    const hyper_per per[] = {PER_GLOBAL,  PER_LAYER,    PER_TENSOR,
                             PER_UNIT_IN, PER_UNIT_OUT, PER_WEIGHT};
    const bench_way way = {.steps = 8, .optim = {.buffer = true}};
    hyper_decl decl[EVERY_KIND];

    for (size_t k = 0; k < COUNT(per); k++) {
        memcpy(decl, every_kind, sizeof decl);
        for (int32_t i = 0; i < EVERY_KIND - 1; i++) decl[i].per = per[k], decl[i].phases = 1;
        check_same(&way, decl, EVERY_KIND, &full);
    }
}

TEST(device_estimators_are_as_on_the_host)
{
    const bench_way way = {.steps = 9, .optim = {.buffer = true}};
    walk_spec walk = {.estimator = {.kind = ESTIMATOR_TRUNCATED, .last = 6}, .stride = 1};
    hyper_decl decl[EVERY_KIND];
    int32_t n = 0;

    for (int32_t i = 0; i < EVERY_KIND; i++) /* less phases: those before step 3 are not seen */
        if (every_kind[i].kind != HYPER_INIT_SCALE) decl[n] = every_kind[i], decl[n++].phases = 1;
    check_same(&way, decl, n, &walk);
    walk.estimator = (estimator_spec){.kind = ESTIMATOR_ONE_STEP, .rows = 4};
    check_same(&way, decl, n, &walk);
    for (int32_t i = 0; i < n; i++) decl[i].phases = 1 + i % 3;
    check_same(&way, decl, n, &walk);
    for (int32_t i = 0; i < n; i++) decl[i].phases = 1;
    walk.estimator = (estimator_spec){.kind = ESTIMATOR_IMPLICIT, .terms = 30, .damping = 0.1};
    check_same(&way, decl + 2, n - 2, &walk);
}

/* A multiplier's leaf holds no base rate on a device: the plans multiply. */
TEST(device_multiplier_of_a_schedule_is_as_on_the_host)
{
    const bench_way way = {.steps = 12, .optim = {.buffer = true}, .schedule = SCHEDULE_COSINE};
    hyper_decl lr = every_kind[0];

    lr.multiplier = true, lr.start = 0.8;
    check_same(&way, &lr, 1, &full);
    lr.per = PER_WEIGHT;
    check_same(&way, &lr, 1, &replay);
    lr.phases = 0; /* every step */
    lr.per = PER_GLOBAL;
    check_same(&way, &lr, 1, &full);
    lr.multiplier = false, lr.start = 0.2, lr.phases = 2;
    check_same(&way, &lr, 1, &full);
}

/* What is not tuned is a number in the program's text, all of its bits. */
TEST(device_constants_are_as_on_the_host)
{
    const bench_way way = {.steps = 15, .optim = {.buffer = true}, .l2 = 0.1};

    check_same(&way, every_kind, 2, &full);
}

TEST(device_copies_do_not_grow_with_the_steps)
{
    bench_way way = {.steps = 100, .optim = {.buffer = true}, .schedule = SCHEDULE_COSINE};
    hyper_decl decl[2] = {every_kind[0], every_kind[2]};

    decl[0].multiplier = true, decl[0].start = 0.8, decl[0].per = PER_WEIGHT;
    const got a = walk_on(true, &way, decl, 2, &replay);
    way.steps = 400;
    const got b = walk_on(true, &way, decl, 2, &replay);
    CHECK_INT(b.vectors, a.vectors);
    CHECK(b.numbers <= 2 * 53); /* |w~|: 51 at most in a walk, and its start; of two walks */
}

TEST(device_refuses_what_needs_host_memory)
{
    const struct {
        walk_spec walk;
        const char *says;
    } cases[] = {{{.trajectory = TRAJ_GRID, .stride = 1}, "grid needs vectors in host memory"},
                 {{.trajectory = TRAJ_LINE, .stride = 1}, "use replay"},
                 {{.trajectory = TRAJ_FULL, .stride = 4}, "trajectory.stride: fast"}};
    drmad_ctx *ctx = test_ctx();
    fake_device *f = malloc(sizeof *f);
    bench b;

    fake_open(f, ctx);
    const bench_way way = {&f->d.on, 9, {.buffer = true}, SCHEDULE_CONSTANT, 0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_FAILS(ctx, open_bench_as(&b, ctx, every_kind, 1, &cases[i].walk, &way),
                    DRMAD_E_CONFIG, cases[i].says);
        close_bench(&b, ctx);
    }
    fake_close(f);
    free(f);
}

/* `auto` beyond the limit is replay, and what is beyond replay's spills through the host. */
TEST(device_spills_by_replay)
{
    const bench_way way = {.steps = 40, .optim = {.buffer = true}};
    const size_t state = 2 * 32 * sizeof(double);
    const walk_spec within = {.trajectory = TRAJ_AUTO, .stride = 1, .memory = 20 * state};
    const walk_spec spill = {
        .trajectory = TRAJ_REPLAY, .stride = 1, .memory = 9 * state, .spill_dir = test_scratch()};
    const got want = walk_on(false, &way, every_kind, EVERY_KIND, &full);
    const got a = walk_on(true, &way, every_kind, EVERY_KIND, &within);
    const got b = walk_on(true, &way, every_kind, EVERY_KIND, &spill);

    CHECK_INT(a.r.trajectory, TRAJ_REPLAY);
    CHECK(b.r.kept.bytes_spilled > 0);
    for (int64_t i = 0; i < want.n; i++) CHECK_NEAR(a.grad[i], want.grad[i], 1e-12);
    for (int64_t i = 0; i < want.n; i++) CHECK_NEAR(b.grad[i], want.grad[i], 1e-12);
}

TEST(device_failures_end_the_run)
{
    drmad_ctx *ctx = test_ctx();
    fake_device *f = malloc(sizeof *f);
    walk_report r;

    const got want = walk_on(false, &(bench_way){.steps = 9, .optim = {.buffer = true}}, every_kind,
                             EVERY_KIND, &replay);

    for (int32_t at = 0; at < 60; at += 7) {
        bench b;
        fake_open(f, ctx);
        const bench_way way = {&f->d.on, 9, {.buffer = true}, SCHEDULE_CONSTANT, 0};
        CHECK_OK(ctx, open_bench_as(&b, ctx, every_kind, EVERY_KIND, &replay, &way));
        fake_wrap(f, &b);
        f->fail_copy_at = at;
        CHECK_FAILS(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad), DRMAD_E_NOMEM,
                    "device, copy: the caller's function ended with");
        f->fail_copy_at = -1; /* and nothing of it is left */
        CHECK_OK(ctx, walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad));
        for (int64_t i = 0; i < want.n; i++) CHECK_NEAR(b.grad[i], want.grad[i], 1e-12);
        close_bench(&b, ctx);
        fake_close(f);
    }
    free(f);
}

static drmad_status open_and_walk(drmad_ctx *ctx, void *arg)
{
    fake_device *f = arg;
    drmad_status st = DRMAD_OK;
    walk_report r;
    bench b;

    fake_open(f, ctx);
    const bench_way way = {&f->d.on, 9, {.buffer = true}, SCHEDULE_CONSTANT, 0};
    TRY(open_bench_as(&b, ctx, every_kind, EVERY_KIND, &replay, &way));
    fake_wrap(f, &b);
    TRY(walker_gradient(b.w, b.values, 3, &b.valid, &r, b.grad));
done:
    close_bench(&b, ctx);
    fake_close(f);
    return st;
}

TEST(device_runs_out_of_memory_cleanly)
{
    fake_device *f = malloc(sizeof *f);

    test_oom(open_and_walk, f);
    free(f);
}
