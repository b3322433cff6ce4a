/* Nets of drmad's own on a device whose memory C cannot touch: runs, evaluations and hypergradients
 * are the CPU's to the bit, and nothing large travels with a step. */
#include "gpu_driver.h"
#include "hyper/walker.h"
#include "mixed_device.h"
#include "toy.h"
#include "train/trainer.h"

enum { GRAD_MAX = 4096 };

typedef struct made {
    double value, slope, grad[GRAD_MAX];
    int64_t n;
    walk_report r;
    traffic seen;
} made;

typedef struct setting {
    const char *name;
    walk_spec walk;
    optim_spec optim;
    hyper_per per;
    int64_t steps;         /* 0: 20 */
    bool cuda;             /* on the CUDA backend too */
    int64_t phases, width; /* of the first hidden layer; 0: the toy's */
    void (*also)(toy *t);
} setting;

/* Those of what the setting's trajectory or estimator can see. */
static int32_t declare(const toy *t, const setting *s, hyper_decl *out)
{
    const bool path = s->walk.trajectory == TRAJ_GRID && s->optim.kind != OPTIM_SGD;
    const estimator_kind e = s->walk.estimator.kind;
    const int32_t all = toy_declare(t, s->per, s->phases, out);
    int32_t n = 0;

    for (int32_t i = 0; i < all; i++) {
        const hyper_kind k = out[i].kind;
        const bool way = k == HYPER_LR || k == HYPER_MOMENTUM || k == HYPER_CLIP;
        if (path && (k == HYPER_BETA1 || k == HYPER_BETA2)) continue;
        if (e != ESTIMATOR_UNROLLED && k == HYPER_INIT_SCALE) continue;
        if (e == ESTIMATOR_IMPLICIT && way) continue;
        out[n++] = out[i];
    }
    return n;
}

static void pull(toy *t)
{
    double *w = calloc((size_t)t->params->total, sizeof *w);

    for (int64_t i = 0; i < t->params->total; i++)
        w[i] = 0.5 * rng_normal((rng_key){12, 0, 3}, (uint64_t)i);
    CHECK_OK(t->ctx, trainer_pull(t->t, w));
    free(w);
}

/* A hypergradient twice, and a slope; `seen`: what the second one's traffic is counted in. */
static made make_on(const setting *s, const backend *on, traffic *seen)
{
    hyper_decl decls[TOY_DECLS_MAX];
    made m = {.n = 0};
    double value;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.on = on;
    if (s->width) t.sizes[1] = s->width;
    t.spec.optim = s->optim;
    t.spec.steps = t.spec.rate.steps = s->steps ? s->steps : 20;
    if (s->also) s->also(&t);
    const int32_t n = declare(&t, s, decls);
    const drmad_status st = toy_open(&t, decls, n, &s->walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        if (t.spec.regress.to != REGRESS_NONE) pull(&t);
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &m.r, t.grad));
        *seen = (traffic){0};
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &m.r, t.grad));
        m.seen = *seen;
        CHECK(t.s->total <= GRAD_MAX);
        m.n = t.s->total, m.value = m.r.value.loss;
        memcpy(m.grad, t.grad, (size_t)m.n * sizeof *m.grad);
        for (int64_t i = 0; i < m.n; i++) t.raw[i] = rng_normal((rng_key){8, 0, 0}, (uint64_t)i);
        CHECK_OK(t.ctx, walker_directional(t.w, t.values, t.raw, 42, &t.valid, &value, &m.slope));
    }
    toy_close(&t);
    return m;
}

static made make_here(const setting *s)
{
    traffic none;

    return make_on(s, NULL, &none);
}

static made make_there(const setting *s)
{
    mixed_device *d = malloc(sizeof *d);

    mixed_open(d);
    const made m = make_on(s, &d->on, &d->seen);
    CHECK(m.seen.runs > 0);
    CHECK_INT(m.seen.moved, 0);
    mixed_close(d);
    free(d);
    return m;
}

/* The CUDA backend on the driver that runs its kernels' bodies on the host. */
static made make_cuda(const setting *s)
{
    traffic none;
    backend *on;

    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), gpu_test_driver(), 0, &on));
    const made m = make_on(s, on, &none);
    cuda_backend_free(on);
    return m;
}

static bool all_near(const made *here, const made *there, double tolerance)
{
    bool near = here->n > 0 && here->n == there->n;

    for (int64_t i = 0; near && i < here->n; i++)
        near = fabs(there->grad[i] - here->grad[i]) <= tolerance * fmax(1, fabs(here->grad[i]));
    return near;
}

/* To the bit, or to `tolerance` where the device sums over the steps of each element by itself; by
 * CUDA's kernels, where all sums have another order, to the digits of a run in double. */
static void check_near(const setting *s, double tolerance)
{
    const made here = make_here(s), there = make_there(s), cuda = s->cuda ? make_cuda(s) : here;

    if (there.value != here.value || there.slope != here.slope)
        test_fail(__FILE__, __LINE__, "%s: F %.17g %.17g, slope %.17g %.17g", s->name, there.value,
                  here.value, there.slope, here.slope);
    if (!all_near(&here, &there, tolerance)) test_fail(__FILE__, __LINE__, "%s: mixed", s->name);
    if (!all_near(&here, &cuda, 1e-10)) test_fail(__FILE__, __LINE__, "%s: cuda", s->name);
    CHECK_NEAR(cuda.value, here.value, 1e-11);
    CHECK_NEAR(cuda.slope, here.slope, 1e-10 * fmax(1, fabs(here.slope)));
}

static void check_same(const setting *s)
{
    check_near(s, 0);
}

/* Of the states all, some, and those near them alone. */
TEST(mixed_every_trajectory_is_as_on_the_cpu)
{
    const struct {
        const char *name;
        walk_spec walk;
        optim_spec optim;
    } cases[] = {
        {"full", {.trajectory = TRAJ_FULL, .stride = 1}, {.buffer = true}},
        {"replay", {.trajectory = TRAJ_REPLAY, .stride = 1}, {.buffer = true}},
        {"line", {.trajectory = TRAJ_LINE, .stride = 1}, {.buffer = true}},
        {"grid", {.trajectory = TRAJ_GRID, .stride = 1}, {.buffer = true}},
        {"grid, nesterov",
         {.trajectory = TRAJ_GRID, .stride = 1},
         {.buffer = true, .nesterov = true, .decoupled = true}},
        {"grid, adam", {.trajectory = TRAJ_GRID, .stride = 1}, {.kind = OPTIM_ADAM}},
        {"full, adam", {.trajectory = TRAJ_FULL, .stride = 1}, {.kind = OPTIM_ADAM}},
        {"replay, rmsprop",
         {.trajectory = TRAJ_REPLAY, .stride = 1},
         {.kind = OPTIM_RMSPROP, .centered = true, .clip = CLIP_NORM}},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        check_same(&(setting){
            .name = cases[i].name, .walk = cases[i].walk, .optim = cases[i].optim, .phases = 3});
}

TEST(mixed_every_estimator_is_as_on_the_cpu)
{
    const estimator_spec cases[] = {{.kind = ESTIMATOR_TRUNCATED, .last = 8},
                                    {.kind = ESTIMATOR_ONE_STEP, .rows = 4},
                                    {.kind = ESTIMATOR_IMPLICIT, .terms = 20, .damping = 0.1}};

    for (size_t i = 0; i < COUNT(cases); i++)
        /* implicit: products of all batches are summed before their mean is taken */
        check_near(&(setting){.name = estimator_name(cases[i].kind),
                              .walk = {.estimator = cases[i], .stride = 1},
                              .optim = {.buffer = true},
                              .cuda = true,
                              .phases = 1},
                   cases[i].kind == ESTIMATOR_IMPLICIT ? 1e-12 : 0);
}

static void schedule_cosine(toy *t)
{
    t->spec.rate.kind = SCHEDULE_COSINE;
}

/* Rates that multiply a schedule, every granularity, rows chosen by the caller; wide enough that
 * some sums over the steps are the device's. */
TEST(mixed_every_granularity_is_as_on_the_cpu)
{
    const hyper_per per[] = {PER_GLOBAL, PER_LAYER, PER_UNIT_IN, PER_UNIT_OUT, PER_WEIGHT};
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec grid = {.trajectory = TRAJ_GRID, .stride = 1};

    for (size_t i = 0; i < COUNT(per); i++) {
        setting s = {.name = "small",
                     .walk = full,
                     .optim = {.buffer = true},
                     .per = per[i],
                     .phases = 2,
                     .also = schedule_cosine};
        check_same(&s);
        s.name = "wide", s.width = 15;
        check_near(&s, 1e-13); /* order 1, some tens of terms */
        s.name = "wide, grid", s.walk = grid, s.cuda = per[i] == PER_WEIGHT;
        check_near(&s, 1e-13);
    }
}

/* ---- all that a study may ask of a run besides ---- */

static double teacher_table[TOY_ROWS * TOY_CLASSES];

static void regress_activations(toy *t)
{
    t->spec.regress = (regress_spec){.to = REGRESS_ACTIVATIONS, .weight = 0.7, .until = 0.8};
}

static void regress_weights(toy *t)
{
    t->spec.regress = (regress_spec){.to = REGRESS_WEIGHTS, .weight = 0.7};
}

static void learn_from_teacher(toy *t)
{
    for (uint64_t i = 0; i < COUNT(teacher_table); i++)
        teacher_table[i] = rng_normal((rng_key){13, 0, 3}, i);
    t->spec.distil = true, t->spec.teacher = teacher_table;
    t->spec.distill_weight = 0.4, t->spec.distill_temperature = 2;
}

static void keep_masks(toy *t)
{
    t->activation = NN_RELU;
    t->spec.masks = true;
}

static void vary(toy *t)
{
    t->spec.brightness = 0.2, t->spec.contrast = 0.3, t->spec.noise = 0.1, t->spec.mixup = 0.4;
    t->spec.init_scale = 1.2;
}

/* A state from elsewhere, after 5 steps. */
static void go_on(toy *t)
{
    static double start[512], buffers[512];

    for (uint64_t i = 0; i < COUNT(start); i++) {
        start[i] = 0.5 * rng_normal((rng_key){14, 0, 3}, i);
        buffers[i] = 0.1 * rng_normal((rng_key){15, 0, 3}, i);
    }
    t->spec.start = start, t->spec.buffers = buffers, t->spec.done = 5;
}

TEST(mixed_what_studies_ask_is_as_on_the_cpu)
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec grid = {.trajectory = TRAJ_GRID, .stride = 1};
    const setting cases[] = {{.name = "regress, activations", .also = regress_activations},
                             {.name = "regress, weights", .also = regress_weights},
                             {.name = "teacher", .also = learn_from_teacher},
                             {.name = "masks", .also = keep_masks, .walk = grid},
                             {.name = "variations", .also = vary},
                             {.name = "another state", .also = go_on},
                             {.name = "another state, grid", .also = go_on, .walk = grid}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        setting s = cases[i];
        if (s.walk.stride == 0) s.walk = full;
        s.optim = (optim_spec){.buffer = true}, s.phases = 1, s.cuda = true;
        check_same(&s);
    }
}

/* Parameters of the base schedule, whose cotangents are read at each step. */
static void check_schedule(hyper_per per, bool refused)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    const hyper_decl decls[] = {
        {.kind = HYPER_LR_PEAK, .phases = 1, .low = 1e-3, .high = 10, .start = 0.3},
        {.kind = HYPER_LR,
         .per = per,
         .phases = 1,
         .multiplier = true,
         .low = 1e-3,
         .high = 10,
         .start = 1}};
    mixed_device d;
    double grad[2][GRAD_MAX];
    walk_report r;

    mixed_open(&d);
    for (int k = 0; k < 2; k++) {
        toy t;
        toy_init(&t, test_ctx());
        t.spec.on = k ? &d.on : NULL;
        t.sizes[1] = 15;
        t.spec.rate.kind = SCHEDULE_COSINE;
        const drmad_status st = toy_open(&t, decls, 2, &walk);
        CHECK_INT(st, k && refused ? DRMAD_E_CONFIG : DRMAD_OK);
        if (st == DRMAD_OK) {
            CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
            memcpy(grad[k], t.grad, (size_t)t.s->total * sizeof *t.grad);
            if (k) CHECK(memcmp(grad[0], grad[1], (size_t)t.s->total * sizeof *t.grad) == 0);
        } else {
            CHECK(strstr(drmad_errmsg(t.ctx), "stay on the model's device"));
        }
        toy_close(&t);
    }
    mixed_close(&d);
}

TEST(mixed_schedules_are_tuned_where_their_cotangents_travel)
{
    check_schedule(PER_TENSOR, false);
    check_schedule(PER_WEIGHT, true);
}

/* Losses of rows, and outputs of all rows, from a table of the device's and from another one. */
TEST(mixed_evaluations_are_as_on_the_cpu)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    double loss[2][2][TOY_ROWS], table[2][TOY_ROWS * TOY_CLASSES], rows[TOY_ROWS * TOY_WIDTH];
    mixed_device d;

    mixed_open(&d);
    for (int k = 0; k < 2; k++) {
        train_report run;
        hyper_decl decl[TOY_DECLS_MAX];
        toy t;
        toy_init(&t, test_ctx());
        t.spec.on = k ? &d.on : NULL;
        CHECK_OK(t.ctx, toy_open(&t, decl, toy_declare(&t, PER_GLOBAL, 1, decl), &walk));
        examples other = t.valid, all = t.spec.train;
        for (int i = 0; i < TOY_ROWS * TOY_WIDTH; i++) rows[i] = -t.rows[i];
        other.rows = rows, all.count = TOY_ROWS;
        CHECK_OK(t.ctx, trainer_run(t.t, t.values, 3, NULL, &run));
        CHECK_OK(t.ctx, trainer_row_losses(t.t, &t.valid, t.values, loss[k][0]));
        CHECK_OK(t.ctx, trainer_row_losses(t.t, &other, t.values, loss[k][1]));
        CHECK(memcmp(loss[k][0], loss[k][1], (size_t)t.valid.count * sizeof(double)) != 0);
        memset(table[k], 0, sizeof table[k]);
        CHECK_OK(t.ctx, trainer_outputs(t.t, &all, table[k]));
        for (int i = 0; k && i < 2; i++)
            CHECK(memcmp(loss[0][i], loss[1][i], (size_t)t.valid.count * sizeof(double)) == 0);
        toy_close(&t);
    }
    CHECK(memcmp(table[0], table[1], sizeof table[0]) == 0 && table[0][5] != 0);
    mixed_close(&d);
}

/* ---- what travels ---- */

static made travel(traj_kind kind, int64_t steps)
{
    return make_there(&(setting){.name = "traffic",
                                 .walk = {.trajectory = kind, .stride = 1},
                                 .optim = {.buffer = true},
                                 .steps = steps,
                                 .width = 100,
                                 .phases = 1});
}

/* Of a step forward and one back: the numbers of the batch, its labels and its weights, and each
 * small leaf of hyperparameters. Never a vector of the net (9 KB): the largest is a number for each
 * row of an evaluation's chunk. Both walks look at |w~| 25 times. */
TEST(mixed_nothing_large_travels_with_a_step)
{
    enum { STEPS = 200, BATCH = 7, USES = 6 * 5 + 4, CHUNK = 512 };
    const made a = travel(TRAJ_FULL, STEPS), b = travel(TRAJ_FULL, 2 * STEPS);
    const int64_t runs = b.seen.runs - a.seen.runs;

    CHECK_INT(runs, 2 * STEPS);
    CHECK_INT(b.seen.largest, CHUNK * 8);
    CHECK_INT(b.seen.copies, a.seen.copies);
    CHECK_INT(b.seen.copied_up, a.seen.copied_up);
    CHECK((b.seen.up - a.seen.up) / runs <= BATCH * (4 + 4 + 8) + (USES + 10) * 8);
    CHECK((b.seen.down - a.seen.down) / runs <= 8 + BATCH * 8 + USES * 8);
}

/* The device may hold up to 32 runs, and then ends eight. Half of 32 steps are waited for at a
 * time, and on the way back so is |w~|. */
TEST(mixed_the_host_runs_ahead)
{
    enum { STEPS = 200 };
    const traj_kind kinds[] = {TRAJ_FULL, TRAJ_REPLAY};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        const made a = travel(kinds[k], STEPS), b = travel(kinds[k], 2 * STEPS);
        const int64_t runs = b.seen.runs - a.seen.runs;
        CHECK(runs >= 2 * STEPS && b.seen.waits - a.seen.waits <= runs / 8 + STEPS / 16 + 2);
    }
}

/* 21 states of 2 KB; replay wants 9 of them at once. */
TEST(mixed_auto_prefers_what_does_not_travel)
{
    const struct {
        size_t memory;
        traj_kind want;
    } cases[] = {{48 << 10, TRAJ_FULL}, {28 << 10, TRAJ_REPLAY}, {12 << 10, TRAJ_GRID}};

    for (size_t k = 0; k < COUNT(cases); k++) {
        const made m = make_there(&(setting){.name = "auto",
                                             .walk = {.memory = cases[k].memory, .stride = 1},
                                             .optim = {.buffer = true},
                                             .phases = 1});
        CHECK_INT(m.r.trajectory, cases[k].want);
    }
}

TEST(mixed_rows_travel_where_there_is_no_room)
{
    const setting s = {
        .name = "no room", .walk = {.stride = 1}, .optim = {.buffer = true}, .phases = 1};
    const made here = make_here(&s), fits = make_there(&s);
    mixed_device d;

    mixed_open(&d);
    d.refused = sizeof((toy *)NULL)->rows;
    const made there = make_on(&s, &d.on, &d.seen);
    CHECK(all_near(&here, &there, 0) && here.value == there.value && here.slope == there.slope);
    CHECK_INT(there.seen.up - fits.seen.up, (40 * 7 + 512) * (TOY_WIDTH * 8 - 4));
    mixed_close(&d);
}

/* Found a few steps late, but told of the right one; and nothing of it is left. */
/* A run that diverges, by its learning rate or by a row that is not a number. */
typedef struct ending {
    char said[200];
    train_report run;
    double after; /* of a good run after it; 0: it has bad rows */
} ending;

static void diverge(const backend *on, traj_kind kind, bool row, ending *e)
{
    const walk_spec walk = {.trajectory = kind, .stride = 1};
    const hyper_decl lr = {.kind = HYPER_LR, .phases = 1, .low = 1e-3, .high = 1e9, .start = 0.3};
    toy t;

    toy_init(&t, test_ctx());
    if (row) t.rows[13 * TOY_WIDTH] = NAN;
    t.spec.on = on;
    t.activation = NN_SOFTPLUS;
    t.spec.l2 = 1; /* the weights grow a hundredfold with each step */
    t.spec.steps = t.spec.rate.steps = 100;
    CHECK_OK(t.ctx, toy_open(&t, &lr, 1, &walk));
    const double start = t.values[0];
    if (!row) t.values[0] = 100;
    CHECK_INT(trainer_run(t.t, t.values, 42, t.w->tr, &e->run), DRMAD_E_DIVERGED);
    snprintf(e->said, sizeof e->said, "%s", drmad_errmsg(t.ctx));
    t.values[0] = start;
    e->after = row ? 0 : toy_value(&t, t.values);
    toy_close(&t);
}

/* On a device losses are looked at late: also where the trajectory has found the same by then. */
TEST(mixed_divergence_is_told_of_its_step)
{
    const traj_kind kinds[] = {TRAJ_FULL, TRAJ_GRID};

    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int row = 0; row < 2; row++) {
            ending here, there;
            mixed_device d;
            mixed_open(&d);
            diverge(NULL, kinds[k], row, &here);
            diverge(&d.on, kinds[k], row, &there);
            mixed_close(&d);
            const bool lost = strncmp(here.said, "weights:", 8) == 0; /* all losses were good */
            CHECK(lost == (kinds[k] == TRAJ_GRID && !row) && here.run.steps > 1);
            CHECK_STR(there.said, here.said);
            CHECK_INT(there.run.steps, here.run.steps);
            CHECK(there.run.first_loss == here.run.first_loss && here.run.steps % LATE_STEPS != 0);
            CHECK(here.after == there.after);
        }
}

/* ---- failures ---- */

static drmad_status open_and_walk(drmad_ctx *ctx, void *arg)
{
    const walk_spec walk = {.trajectory = TRAJ_GRID, .stride = 1};
    const hyper_decl lr = {
        .kind = HYPER_LR, .per = PER_WEIGHT, .phases = 2, .low = 1e-3, .high = 9, .start = 0.3};
    drmad_status st = DRMAD_OK;
    walk_report r;
    mixed_device d;
    toy t;

    mixed_open(&d);
    toy_init(&t, ctx);
    t.spec.on = &d.on;
    t.layers = 1, t.sizes[1] = TOY_CLASSES;
    t.spec.steps = t.spec.rate.steps = 5;
    if (arg) t.spec.optim = (optim_spec){.kind = OPTIM_ADAM};
    TRY(toy_open(&t, &lr, 1, &walk));
    TRY(walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
done:
    toy_close(&t);
    mixed_close(&d);
    return st;
}

TEST(mixed_runs_out_of_memory_cleanly)
{
    int adam = 1;

    test_oom(open_and_walk, NULL);
    test_oom(open_and_walk, &adam);
}

TEST(mixed_failures_end_the_run)
{
    const walk_spec walk = {.trajectory = TRAJ_REPLAY, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    double want[GRAD_MAX];
    mixed_device d;
    walk_report r;
    toy t;

    mixed_open(&d);
    toy_init(&t, test_ctx());
    t.spec.on = &d.on;
    CHECK_OK(t.ctx, toy_open(&t, decls, toy_declare(&t, PER_WEIGHT, 2, decls), &walk));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
    memcpy(want, t.grad, (size_t)t.s->total * sizeof *want);
    for (int64_t at = 0; at < 45; at += 4) {
        d.fail_copy_at = d.calls + at;
        CHECK_FAILS(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad), DRMAD_E_NOMEM,
                    "device: a copy failed");
        d.fail_copy_at = -1; /* and nothing of it is left */
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        CHECK(memcmp(want, t.grad, (size_t)t.s->total * sizeof *want) == 0);
    }
    toy_close(&t);
    mixed_close(&d);
}
