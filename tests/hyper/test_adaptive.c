/* Hypergradients of whole runs in F64 under the optimisers that divide by averaged squares, under
 * clipping and by the schedule's parameters: against central differences, against forward mode, and
 * what is read from the states against what is computed. */
#include "toy.h"

typedef struct setting {
    const char *name;
    optim_spec optim;
    double weight_decay;
    schedule_kind schedule;
    int64_t warmup;
} setting;

static const setting settings[] = {
    {"rmsprop", {.kind = OPTIM_RMSPROP}, 0, SCHEDULE_CONSTANT, 0},
    {"rmsprop, momentum, eps inside",
     {.kind = OPTIM_RMSPROP, .buffer = true, .eps_inside = true},
     0.02,
     SCHEDULE_ONE_CYCLE,
     0},
    {"rmsprop, centered",
     {.kind = OPTIM_RMSPROP, .buffer = true, .centered = true},
     0.02,
     SCHEDULE_CONSTANT,
     0},
    {"adam", {.kind = OPTIM_ADAM}, 0.02, SCHEDULE_POLYNOMIAL, 0},
    {"adam, eps inside", {.kind = OPTIM_ADAM, .eps_inside = true}, 0, SCHEDULE_CONSTANT, 0},
    {"adamw", {.kind = OPTIM_ADAM, .decoupled = true}, 0.02, SCHEDULE_COSINE, 5},
    {"adamw, eps inside, clipped",
     {.kind = OPTIM_ADAM, .decoupled = true, .eps_inside = true, .clip = CLIP_NORM},
     0.02,
     SCHEDULE_CONSTANT,
     0},
    {"nadam", {.kind = OPTIM_NADAM, .momentum_decay = 0.1}, 0.02, SCHEDULE_CONSTANT, 0},
    {"nadam, decoupled",
     {.kind = OPTIM_NADAM, .momentum_decay = 0.004, .decoupled = true, .eps_inside = true},
     0.02,
     SCHEDULE_RESTARTS,
     0},
    {"sgd, norm clipped", {.buffer = true, .clip = CLIP_NORM}, 0.01, SCHEDULE_CONSTANT, 0},
    {"sgd, values clipped", {.buffer = true, .clip = CLIP_VALUE}, 0.01, SCHEDULE_CONSTANT, 0},
};

static void use_setting(toy *t, const setting *s)
{
    t->spec.optim = s->optim;
    t->spec.weight_decay = s->weight_decay;
    t->spec.rate.kind = s->schedule;
    t->spec.rate.final = 0.1;
    t->spec.rate.warmup = s->warmup;
    t->spec.rate.power = 1.5;
    t->spec.rate.rise = 0.3;
    t->spec.rate.initial = 0.2;
    t->spec.rate.every = 4;
    t->spec.rate.stretch = 2;
    if (s->optim.kind != OPTIM_SGD) t->spec.rate.rate = 0.03;
    if (s->optim.clip == CLIP_VALUE) t->spec.clip = 0.03;
}

/* Opens the setting and takes the hypergradient; false after a failure. */
static bool open_setting(toy *t, const setting *s, hyper_per per, int64_t phases,
                         const walk_spec *walk)
{
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;

    toy_init(t, test_ctx());
    use_setting(t, s);
    int32_t n = toy_declare(t, per, phases, decls);
    for (int32_t i = 0; i < n; i++)
        if (decls[i].kind == HYPER_CLIP) decls[i].start = t->spec.clip;
    drmad_status st = toy_open(t, decls, n, walk);
    if (st == DRMAD_OK) st = walker_gradient(t->w, t->values, 42, &t->valid, &r, t->grad);
    CHECK_OK(t->ctx, st);
    return st == DRMAD_OK;
}

static void check_all(const setting *s, hyper_per per, int64_t phases)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    toy t;

    if (open_setting(&t, s, per, phases, &walk)) toy_check_slices(&t, s->name);
    toy_close(&t);
}

TEST(adaptive_hypergradients_per_tensor_equal_differences)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        check_all(&settings[i], PER_TENSOR, 1);
        check_all(&settings[i], PER_TENSOR, 3);
    }
}

TEST(adaptive_hypergradients_of_other_granularities_equal_differences)
{
    for (size_t i = 0; i < COUNT(settings); i++) check_all(&settings[i], PER_GLOBAL, 1);
    check_all(&settings[2], PER_UNIT_IN, 1);
    check_all(&settings[5], PER_UNIT_OUT, 3);
    check_all(&settings[6], PER_WEIGHT, 1);
    check_all(&settings[7], PER_LAYER, 3);
    check_all(&settings[3], PER_TENSOR, 0);
}

/* Along all of one kind's values, by forward mode: exact, and 1e-9 is far above its rounding. */
static void check_forward(toy *t, const char *name)
{
    const int64_t n = t->s->total;
    double *d = calloc((size_t)n, sizeof *d), value, slope;

    for (int k = 0; k < HYPER_KIND_COUNT; k++) {
        double dot = 0, sum = 0;
        if (!space_has(t->s, (hyper_kind)k)) continue;
        for (int64_t i = 0; i < n; i++) {
            d[i] = 0;
            if (space_slice_of(t->s, i)->kind != (hyper_kind)k) continue;
            d[i] = rng_normal((rng_key){8, 0, 1}, (uint64_t)i);
            dot += d[i] * t->grad[i];
            sum += fabs(d[i] * t->grad[i]);
        }
        CHECK_OK(t->ctx, walker_directional(t->w, t->values, d, 42, &t->valid, &value, &slope));
        if (!(fabs(slope - dot) <= 1e-9 * sum) || sum == 0)
            test_fail(__FILE__, __LINE__, "%s, %s: forward %.17g, back %.17g", name,
                      hyper_kind_of((hyper_kind)k)->word, slope, dot);
    }
    free(d);
}

TEST(adaptive_forward_mode_is_the_walk_back)
{
    const walk_spec walk = {.trajectory = TRAJ_REPLAY, .stride = 1};

    for (size_t i = 0; i < COUNT(settings); i++) {
        toy t;
        if (open_setting(&t, &settings[i], PER_TENSOR, 3, &walk))
            check_forward(&t, settings[i].name);
        toy_close(&t);
    }
}

/* ---- the schedule's parameters ---- */

/* With a multiplier on some tensors, so that both ways into the parameters are there. */
static void check_schedule(schedule_kind kind, int64_t warmup, hyper_kind second,
                           const walk_spec *walk)
{
    static const double milestones[] = {5, 11};
    const hyper_decl decls[] = {
        {.kind = HYPER_LR_PEAK, .phases = 1, .low = 1e-4, .high = 10, .start = 0.05},
        {.kind = second, .phases = 1, .low = 0.01, .high = 0.9, .start = 0.3},
        {.kind = HYPER_LR,
         .per = PER_TENSOR,
         .match = "layers.1.*",
         .phases = 3,
         .low = 0.01,
         .high = 10,
         .start = 1,
         .multiplier = true},
    };
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.optim = (optim_spec){.kind = OPTIM_ADAM, .decoupled = true, .eps_inside = true};
    t.spec.weight_decay = 0.02;
    t.spec.rate = (schedule){.kind = kind,
                             .warmup = warmup,
                             .steps = 20,
                             .every = 4,
                             .stretch = 2,
                             .power = 1.5,
                             .rise = 0.3,
                             .initial = 0.2,
                             .milestone = milestones,
                             .milestones = COUNT(milestones)};
    drmad_status st = toy_open(&t, decls, COUNT(decls), walk);
    if (st == DRMAD_OK) st = walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        toy_check_slices(&t, hyper_kind_of(second)->word);
        check_forward(&t, hyper_kind_of(second)->word);
    }
    toy_close(&t);
}

TEST(adaptive_parameters_of_the_schedule_equal_differences)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};

    check_schedule(SCHEDULE_COSINE, 5, HYPER_LR_FINAL, &walk);
    check_schedule(SCHEDULE_POLYNOMIAL, 0, HYPER_LR_FINAL, &walk);
    check_schedule(SCHEDULE_ONE_CYCLE, 0, HYPER_LR_FINAL, &walk);
    check_schedule(SCHEDULE_RESTARTS, 2, HYPER_LR_FINAL, &walk);
    check_schedule(SCHEDULE_STEP, 2, HYPER_LR_GAMMA, &walk);
    check_schedule(SCHEDULE_MULTI_STEP, 0, HYPER_LR_GAMMA, &walk);
}

TEST(a_schedule_that_no_rate_follows_is_refused)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    const hyper_decl decls[] = {
        {.kind = HYPER_LR_PEAK, .phases = 1, .low = 1e-4, .high = 10, .start = 0.05},
        {.kind = HYPER_LR, .phases = 1, .low = 1e-4, .high = 10, .start = 0.05},
    };
    toy t;

    toy_init(&t, test_ctx());
    CHECK_FAILS(t.ctx, toy_open(&t, decls, COUNT(decls), &walk), DRMAD_E_CONFIG, "lr_peak");
    toy_close(&t);
}

/* ---- on a path ---- */

/* The setting without the kinds that a path cannot serve. */
static bool open_path(toy *t, const setting *s, const walk_spec *walk)
{
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    int32_t n = 0;

    toy_init(t, test_ctx());
    use_setting(t, s);
    for (int32_t i = 0, all = toy_declare(t, PER_TENSOR, 3, decls); i < all; i++) {
        const hyper_kind k = decls[i].kind;
        if (k == HYPER_BETA1 || k == HYPER_BETA2 || k == HYPER_MOMENTUM) continue;
        decls[n] = decls[i];
        if (k == HYPER_CLIP) decls[n].start = t->spec.clip;
        n++;
    }
    drmad_status st = toy_open(t, decls, n, walk);
    if (st == DRMAD_OK) st = walker_gradient(t->w, t->values, 42, &t->valid, &r, t->grad);
    CHECK_OK(t->ctx, st);
    return st == DRMAD_OK;
}

/* Cosine of one kind's entries of the exact hypergradient and of that by `walk`. */
static double cosine(const toy *a, const toy *b, hyper_kind k)
{
    double ab = 0, aa = 0, bb = 0;

    for (int64_t i = 0; i < a->s->total; i++) {
        if (space_slice_of(a->s, i)->kind != k) continue;
        ab += a->grad[i] * b->grad[i];
        aa += a->grad[i] * a->grad[i];
        bb += b->grad[i] * b->grad[i];
    }
    return ab / sqrt(aa * bb);
}

static void check_path(const setting *s, const walk_spec *walk, double least)
{
    const walk_spec exact = {.trajectory = TRAJ_FULL, .stride = 1};
    toy a, b;
    const bool open = open_path(&a, s, &exact) && open_path(&b, s, walk);

    for (int k = 0; open && k < HYPER_KIND_COUNT; k++)
        if (space_has(a.s, (hyper_kind)k) && !(cosine(&a, &b, (hyper_kind)k) >= least))
            test_fail(__FILE__, __LINE__, "%s, %s: cosine 1 - %g", s->name,
                      hyper_kind_of((hyper_kind)k)->word, 1 - cosine(&a, &b, (hyper_kind)k));
    toy_close(&a);
    toy_close(&b);
}

/* With the run's own squares the displacement says what the average gradient is, to rounding. */
TEST(adaptive_read_outs_by_displacement_are_exact)
{
    const walk_spec path = {.trajectory = TRAJ_FULL, .stride = 1, .path_only = true};

    for (size_t i = 0; i < COUNT(settings); i++)
        if (!settings[i].optim.centered) check_path(&settings[i], &path, 1 - 1e-12);
}

/* A fine grid, and squares by their cells alone. The toy has 74 weights: errors hardly average
 * out. */
TEST(adaptive_grids_are_close)
{
    const walk_spec grid = {.trajectory = TRAJ_GRID, .quality = QUALITY_HIGH, .stride = 1};

    for (size_t i = 0; i < COUNT(settings); i++)
        if (!settings[i].optim.centered) check_path(&settings[i], &grid, .9);
}

TEST(what_a_path_cannot_serve_is_refused)
{
    static const struct {
        optim_spec optim;
        walk_spec walk;
        hyper_kind tuned;
        const char *why;
    } cases[] = {
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_LINE, .stride = 1}, HYPER_LR, "line"},
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_GRID, .stride = 4}, HYPER_LR, "fast"},
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_GRID, .stride = 1}, HYPER_BETA1, "beta1"},
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_GRID, .stride = 1}, HYPER_BETA2, "beta2"},
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_FULL, .stride = 1}, HYPER_MOMENTUM, "momentum"},
        {{.kind = OPTIM_ADAM}, {.trajectory = TRAJ_FULL, .stride = 1}, HYPER_CLIP, "clip"},
        {{.kind = OPTIM_RMSPROP, .centered = true},
         {.trajectory = TRAJ_GRID, .stride = 1},
         HYPER_LR,
         "centered"},
        {{.kind = OPTIM_RMSPROP, .buffer = true},
         {.trajectory = TRAJ_GRID, .stride = 1},
         HYPER_MOMENTUM,
         "momentum"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const hyper_decl d = {.kind = cases[i].tuned,
                              .phases = 1,
                              .low = 0.01,
                              .high = 0.9,
                              .start = 0.5,
                              .transform = TRANSFORM_LOG};
        toy t;
        toy_init(&t, test_ctx());
        t.spec.optim = cases[i].optim;
        CHECK_FAILS(t.ctx, toy_open(&t, &d, 1, &cases[i].walk), DRMAD_E_CONFIG, cases[i].why);
        toy_close(&t);
    }
}
