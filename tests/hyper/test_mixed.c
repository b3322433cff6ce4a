/* Nets of drmad's own on a device whose memory C cannot touch: runs, evaluations and hypergradients
 * are the CPU's to the bit, and nothing large travels with a step. */
#include "mixed_device.h"
#include "toy.h"

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

static made make(const setting *s, bool elsewhere)
{
    mixed_device *d = malloc(sizeof *d);
    hyper_decl decls[TOY_DECLS_MAX];
    made m = {.n = 0};
    double value;
    toy t;

    mixed_open(d);
    toy_init(&t, test_ctx());
    if (elsewhere) t.spec.on = &d->on;
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
        d->seen = (traffic){0};
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &m.r, t.grad));
        m.seen = d->seen;
        CHECK(t.s->total <= GRAD_MAX);
        m.n = t.s->total, m.value = m.r.value.loss;
        memcpy(m.grad, t.grad, (size_t)m.n * sizeof *m.grad);
        for (int64_t i = 0; i < m.n; i++) t.raw[i] = rng_normal((rng_key){8, 0, 0}, (uint64_t)i);
        CHECK_OK(t.ctx, walker_directional(t.w, t.values, t.raw, 42, &t.valid, &value, &m.slope));
    }
    toy_close(&t);
    mixed_close(d);
    free(d);
    return m;
}

/* To the bit, or to `tolerance` where the device sums over the steps of each element by itself. */
static void check_near(const setting *s, double tolerance)
{
    const made here = make(s, false), there = make(s, true);

    CHECK_INT(there.n, here.n);
    CHECK(here.n > 0 && here.seen.runs == 0 && there.seen.runs > 0);
    if (there.value != here.value || there.slope != here.slope)
        test_fail(__FILE__, __LINE__, "%s: F %.17g %.17g, slope %.17g %.17g", s->name, there.value,
                  here.value, there.slope, here.slope);
    for (int64_t i = 0; i < here.n; i++)
        if (!(fabs(there.grad[i] - here.grad[i]) <= tolerance)) {
            test_fail(__FILE__, __LINE__, "%s: [%lld] %.17g, expected %.17g", s->name, (long long)i,
                      there.grad[i], here.grad[i]);
            break;
        }
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
        check_same(&(setting){.name = estimator_name(cases[i].kind),
                              .walk = {.estimator = cases[i], .stride = 1},
                              .optim = {.buffer = true},
                              .phases = 1});
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
        s.name = "wide", s.width = 15, s.phases = 1;
        check_near(&s, 1e-13); /* order 1, some tens of terms */
        s.name = "wide, grid", s.walk = grid;
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
        s.optim = (optim_spec){.buffer = true}, s.phases = 1;
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
    return make(&(setting){.name = "traffic",
                           .walk = {.trajectory = kind, .stride = 1},
                           .optim = {.buffer = true},
                           .steps = steps,
                           .width = 100,
                           .phases = 1},
                true);
}

/* Of a step forward and one back: the numbers of the batch, its labels and its weights, and each
 * small leaf of hyperparameters. Never a vector of the net (9 KB): the largest is a number for each
 * row of an evaluation's chunk. */
TEST(mixed_nothing_large_travels_with_a_step)
{
    enum { BATCH = 7, USES = 6 * 5 + 4, CHUNK = 512 };
    const made a = travel(TRAJ_FULL, 40), b = travel(TRAJ_FULL, 80);
    const int64_t runs = b.seen.runs - a.seen.runs;

    CHECK_INT(runs, 2 * 40);
    CHECK_INT(b.seen.largest, CHUNK * 8);
    CHECK_INT(b.seen.copies, a.seen.copies);
    CHECK_INT(b.seen.copied_up, a.seen.copied_up);
    CHECK((b.seen.up - a.seen.up) / runs <= BATCH * (4 + 4 + 8) + (USES + 10) * 8);
    CHECK((b.seen.down - a.seen.down) / runs <= 8 + BATCH * 8 + USES * 8);
}

/* ---- nets ---- */

enum { NET_ROWS = 24, NET_TRAIN = 16, NET_BATCH = 4, NET_CLASSES = 4 };

typedef struct net_case {
    const char *name;
    nn_preset preset;
    walk_spec walk;
    int64_t steps;
} net_case;

typedef struct scene {
    drmad_ctx *ctx;
    nn_spec *net;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    examples valid;
    unsigned char *rows;
    int32_t labels[NET_ROWS], list[NET_ROWS];
    double *raw, *values, *grad;
} scene;

static void fill_data(scene *e)
{
    const int64_t width = shape_count(&e->net->input) + e->net->tokens;
    const rng_key key = {31, 0, 2};

    e->rows = malloc((size_t)(NET_ROWS * width));
    for (int64_t i = 0; i < NET_ROWS * width; i++)
        e->rows[i] = (unsigned char)rng_below(key, (uint64_t)i, e->net->tokens ? NET_CLASSES : 256);
    for (int i = 0; i < NET_ROWS; i++) {
        e->labels[i] = (int32_t)rng_below(key, 1u << 30 | (uint64_t)i, NET_CLASSES);
        e->list[i] = NET_ROWS - 1 - i;
    }
    e->spec.train = (examples){.rows = e->rows,
                               .type = U8,
                               .n = NET_ROWS,
                               .width = width,
                               .scale = 1.0 / 255,
                               .list = e->list,
                               .labels = e->labels,
                               .count = NET_TRAIN};
    e->valid = e->spec.train;
    e->valid.list += NET_TRAIN, e->valid.labels += NET_TRAIN;
    e->valid.count = NET_ROWS - NET_TRAIN;
}

static drmad_status open_scene(scene *e, const net_case *c, dtype type, const backend *on)
{
    static const struct {
        hyper_kind kind;
        hyper_per per;
        int64_t phases;
        double start;
    } tuned[] = {{HYPER_LR, PER_TENSOR, 2, 0.05},
                 {HYPER_MOMENTUM, PER_GLOBAL, 1, 0.8},
                 {HYPER_WEIGHT_DECAY, PER_TENSOR, 1, 0.01},
                 {HYPER_INIT_SCALE, PER_GLOBAL, 1, 0.9},
                 {HYPER_LABEL_SMOOTHING, PER_GLOBAL, 1, 0.1}};
    hyper_decl decls[COUNT(tuned)];
    const space_facts facts = {
        .steps = c->steps, .examples = NET_TRAIN, .classes = NET_CLASSES, .inputs = 1};
    drmad_status st = DRMAD_OK;

    memset(e, 0, sizeof *e);
    e->ctx = test_ctx();
    for (size_t i = 0; i < COUNT(tuned); i++)
        decls[i] = (hyper_decl){.kind = tuned[i].kind,
                                .per = tuned[i].per,
                                .phases = tuned[i].phases,
                                .transform = TRANSFORM_LOGIT,
                                .high = 0.99,
                                .start = tuned[i].start};
    TRY(nn_from_preset(e->ctx, &c->preset, &e->net));
    fill_data(e);
    e->spec.on = on;
    e->spec.dtype = type;
    e->spec.model = nn_module(e->net);
    e->spec.optim = (optim_spec){.buffer = true};
    e->spec.rate = (schedule){.rate = 0.05, .steps = c->steps};
    e->spec.init_scale = 1, e->spec.momentum = 0.8;
    e->spec.steps = c->steps, e->spec.batch = NET_BATCH, e->spec.order = BATCH_SHUFFLE;
    TRY(params_new(e->ctx, &e->params));
    TRY(nn_params(e->net, e->params));
    TRY(space_new(e->ctx, e->params, &facts, decls, COUNT(decls), &e->s));
    e->spec.params = e->params, e->spec.space = e->s;
    TRY(trainer_new(e->ctx, &e->spec, &e->t));
    TRY(walker_new(e->ctx, e->t, &c->walk, &e->w));
    e->raw = calloc((size_t)e->s->total, sizeof(double));
    e->values = calloc((size_t)e->s->total, sizeof(double));
    e->grad = calloc((size_t)e->s->total, sizeof(double));
    space_start(e->s, e->raw);
    space_values(e->s, e->raw, e->values);
done:
    return st;
}

static void close_scene(scene *e)
{
    walker_free(e->w);
    trainer_free(e->t);
    space_free(e->s);
    params_free(e->params);
    nn_free(e->net);
    free(e->rows);
    free(e->raw);
    free(e->values);
    free(e->grad);
}

/* The trained weights and the hypergradient. */
static void compare(const net_case *c, scene *here, scene *there)
{
    const char *type = dtype_name(here->spec.dtype);
    const size_t bytes = (size_t)here->params->total * dtype_size(here->spec.dtype);
    walk_report r, q;
    const void *w, *v;

    CHECK_OK(here->ctx, walker_gradient(here->w, here->values, 9, &here->valid, &r, here->grad));
    CHECK_OK(here->ctx,
             walker_gradient(there->w, there->values, 9, &there->valid, &q, there->grad));
    CHECK_OK(here->ctx, trainer_read_weights(here->t, &w));
    CHECK_OK(here->ctx, trainer_read_weights(there->t, &v));
    if (memcmp(w, v, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s, %s: other weights", c->name, type);
    for (int64_t i = 0; i < here->s->total; i++)
        if (here->grad[i] != there->grad[i]) {
            test_fail(__FILE__, __LINE__, "%s, %s: [%lld] %.17g, expected %.17g", c->name, type,
                      (long long)i, there->grad[i], here->grad[i]);
            break;
        }
    CHECK(q.value.loss == r.value.loss && q.value.error == r.value.error);
}

static void check_net(const net_case *c, dtype type)
{
    mixed_device *d = malloc(sizeof *d);
    scene here, there;

    mixed_open(d);
    const drmad_status st = open_scene(&here, c, type, NULL);
    CHECK_OK(test_ctx(), st);
    const drmad_status at = open_scene(&there, c, type, &d->on);
    CHECK_OK(test_ctx(), at);
    if (st == DRMAD_OK && at == DRMAD_OK) compare(c, &here, &there);
    close_scene(&here);
    close_scene(&there);
    mixed_close(d);
    free(d);
}

TEST(mixed_nets_are_as_on_the_cpu)
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
    const int64_t some = test_count(6, 100);
    const net_case cases[] = {
        {"lenet5",
         {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = NET_CLASSES, .dropout = 0.3},
         replay,
         some},
        {"resnet8",
         {.kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = NET_CLASSES, .width = 4},
         replay,
         some},
        {"vit-tiny",
         {.kind = NN_VIT_TINY,
          .input = SHAPE(8, 8, 3),
          .classes = NET_CLASSES,
          .width = 16,
          .heads = 2,
          .depth = 2,
          .patch = 4,
          .dropout = 0.2},
         full,
         some},
        {"gpt-nano",
         {.kind = NN_GPT_NANO,
          .input = SHAPE(8),
          .classes = NET_CLASSES,
          .width = 16,
          .heads = 2,
          .depth = 2,
          .dropout = 0.2},
         full,
         some},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        check_net(&cases[i], F32);
        if (!test_sanitized()) check_net(&cases[i], F64);
    }
}
