/* Hypergradients over an oracle: a loss in closed form, l_i = log cosh(<a_i, w> - b_i), whose steps
 * also leave a running statistic r behind that F reads. Against differences and forward mode. */
#include "hyper/walk.h"
#include "test.h"

enum { ROWS = 18, TRAIN = 12, SIZE = 6, BATCH = 4, STEPS = 15 };
#define DECAY 0.8 /* of the running statistic */

typedef struct sums {
    drmad_ctx *ctx;
    double a[ROWS][SIZE], b[ROWS];
    double r, r_cot, r_tan; /* the statistic, its cotangent, its tangent */
    int64_t moved;          /* the last step that moved r */
    int32_t fail_at;        /* the gradient of that step fails; -1: none */
    int32_t where[SIZE];    /* of weight i in the flat vector */
    int64_t total;
} sums;

static void draw(sums *q, drmad_ctx *ctx)
{
    const rng_key key = {21, 0, 1};

    *q = (sums){.ctx = ctx, .fail_at = -1};
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < SIZE; k++)
            q->a[i][k] = rng_normal(key, (uint64_t)(i * SIZE + k));
        q->b[i] = rng_normal(key, (uint64_t)(1000 + i));
    }
}

static double inner(const sums *q, int row, const double *w)
{
    double s = 0;

    for (int k = 0; k < SIZE; k++) s += q->a[row][k] * w[q->where[k]];
    return s;
}

static int row_of(uint64_t seed, int64_t step, int i)
{
    return (int)((seed * 7 + (uint64_t)step * 5 + (uint64_t)i * 3) % TRAIN);
}

static int start(void *user, uint64_t seed, void *w)
{
    sums *q = user;

    q->r = 0.5, q->r_tan = q->r_cot = 0, q->moved = -1;
    for (int k = 0; k < SIZE; k++)
        ((double *)w)[q->where[k]] = 0.4 * rng_normal((rng_key){seed, 0, 3}, (uint64_t)k);
    return DRMAD_OK;
}

/* m = mean over the batch of tanh <a_i, w>; r' = DECAY r + (1 - DECAY) m. */
static double mean_of(const sums *q, uint64_t seed, int64_t step, const double *w)
{
    double m = 0;

    for (int i = 0; i < BATCH; i++) m += tanh(inner(q, row_of(seed, step, i), w)) / BATCH;
    return m;
}

static int gradient(void *user, uint64_t seed, int64_t step, const void *at, const void *weights,
                    void *out, double *loss)
{
    sums *q = user;
    const double *w = at, *v = weights;
    double *g = out;

    if (step == q->fail_at) return DRMAD_E_MODEL;
    *loss = 0;
    for (int64_t k = 0; k < q->total; k++) g[k] = 0;
    for (int i = 0; i < BATCH; i++) {
        const int row = row_of(seed, step, i);
        const double z = inner(q, row, w) - q->b[row], f = (v ? v[i] : 1) * tanh(z) / BATCH;
        *loss += log(cosh(z)) / BATCH;
        for (int k = 0; k < SIZE; k++) g[q->where[k]] += f * q->a[row][k];
    }
    if (step == q->moved + 1) q->r = DECAY * q->r + (1 - DECAY) * mean_of(q, seed, step, w);
    if (step == q->moved + 1) q->moved = step;
    return DRMAD_OK;
}

static int product(void *user, uint64_t seed, int64_t step, const void *at, const void *along,
                   const void *weights, int forward, void *g_out, void *hu_out, void *rows)
{
    sums *q = user;
    const double *w = at, *u = along, *v = weights;
    double *g = g_out, *hu = hu_out, *dots = rows, m_tan = 0;

    for (int64_t k = 0; k < q->total; k++) hu[k] = 0;
    for (int64_t k = 0; g && k < q->total; k++) g[k] = 0;
    for (int i = 0; i < BATCH; i++) {
        const int row = row_of(seed, step, i);
        const double x = inner(q, row, w), t = tanh(x - q->b[row]), du = inner(q, row, u);
        const double weight = (v ? v[i] : 1) / BATCH, slope = (1 - tanh(x) * tanh(x)) / BATCH;
        m_tan += slope * du;
        if (dots) dots[i] = t * du / BATCH;
        for (int k = 0; k < SIZE; k++) {
            if (g) g[q->where[k]] += weight * t * q->a[row][k];
            hu[q->where[k]] += weight * (1 - t * t) * du * q->a[row][k];
            if (!forward) hu[q->where[k]] += (1 - DECAY) * q->r_cot * slope * q->a[row][k];
        }
    }
    if (!forward) q->r_cot *= DECAY;
    if (forward) {
        q->r = DECAY * q->r + (1 - DECAY) * mean_of(q, seed, step, w);
        q->r_tan = DECAY * q->r_tan + (1 - DECAY) * m_tan;
        q->moved = step;
    }
    return DRMAD_OK;
}

/* F = mean log cosh over the last rows + r^2. */
static int evaluate(void *user, int part, int64_t count, const void *at, const void *along,
                    void *out, double *loss, double *error, double *slope)
{
    sums *q = user;
    const double *w = at, *u = along;
    double *dw = out;
    const int n = (int)count;

    CHECK_INT(part, 1);
    *loss = q->r * q->r;
    *error = NAN;
    if (u) *slope = 2 * q->r * q->r_tan;
    for (int64_t k = 0; dw && k < q->total; k++) dw[k] = 0;
    for (int row = TRAIN; row < TRAIN + n; row++) {
        const double z = inner(q, row, w) - q->b[row];
        *loss += log(cosh(z)) / n;
        if (u) *slope += tanh(z) * inner(q, row, u) / n;
        for (int k = 0; dw && k < SIZE; k++) dw[q->where[k]] += tanh(z) * q->a[row][k] / n;
    }
    if (dw) q->r_cot = 2 * q->r;
    return DRMAD_OK;
}

static int batch(void *user, uint64_t seed, int64_t step, int32_t *rows)
{
    (void)user;
    for (int i = 0; i < BATCH; i++) rows[i] = row_of(seed, step, i);
    return DRMAD_OK;
}

/* ---- a run over it ---- */

typedef struct bench {
    sums q;
    oracle o;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    examples valid;
    double *values, *grad, *raw;
} bench;

static const hyper_decl every_kind[] = {
    {.kind = HYPER_LR, .per = PER_TENSOR, .phases = 3, .transform = TRANSFORM_LOG, .low = 1e-4,
     .high = 10, .start = 0.2},
    {.kind = HYPER_MOMENTUM, .per = PER_LAYER, .phases = 2, .transform = TRANSFORM_LOGIT, .low = 0,
     .high = 1, .start = 0.6},
    {.kind = HYPER_WEIGHT_DECAY, .per = PER_UNIT_IN, .phases = 1, .transform = TRANSFORM_LOG,
     .low = 1e-4, .high = 10, .start = 0.03},
    {.kind = HYPER_L2, .per = PER_UNIT_OUT, .phases = 1, .transform = TRANSFORM_LOG, .low = 1e-4,
     .high = 10, .start = 0.02},
    {.kind = HYPER_L1, .per = PER_WEIGHT, .phases = 1, .transform = TRANSFORM_LOG, .low = 1e-4,
     .high = 10, .start = 0.01},
    {.kind = HYPER_INIT_SCALE, .per = PER_TENSOR, .phases = 1, .transform = TRANSFORM_LOG,
     .low = 1e-4, .high = 10, .start = 1.2},
    {.kind = HYPER_EXAMPLE_WEIGHT, .per = PER_EXAMPLE, .phases = 2, .transform = TRANSFORM_LOG,
     .low = 1e-4, .high = 10, .start = 0.9},
};

static drmad_status open_bench(bench *b, drmad_ctx *ctx, const hyper_decl *decl, int32_t n,
                               const walk_spec *walk)
{
    const space_facts facts = {.steps = STEPS, .examples = TRAIN};
    drmad_status st = DRMAD_OK;

    memset(b, 0, sizeof *b);
    draw(&b->q, ctx);
    b->o = (oracle){start, gradient, product, evaluate, batch, &b->q, false};
    TRY(params_new(ctx, &b->params));
    TRY(params_add(b->params, "a.weight", SHAPE(2, 2), PARAM_WEIGHT, 0));
    TRY(params_add(b->params, "b.bias", SHAPE(2), PARAM_BIAS, 1));
    for (int k = 0; k < 4; k++) b->q.where[k] = k;
    for (int k = 4; k < SIZE; k++) b->q.where[k] = (int32_t)b->params->at[1].offset + k - 4;
    b->q.total = b->params->total;
    TRY(space_new(ctx, b->params, &facts, decl, n, &b->s));
    b->spec = (train_spec){.dtype = F64,
                           .oracle = &b->o,
                           .params = b->params,
                           .optim = {.buffer = true},
                           .rate = {.rate = 0.2, .steps = STEPS},
                           .momentum = 0.6,
                           .steps = STEPS,
                           .batch = BATCH,
                           .train = {.count = TRAIN},
                           .space = b->s};
    b->valid = (examples){.count = ROWS - TRAIN, .part = 1};
    TRY(trainer_new(ctx, &b->spec, &b->t));
    TRY(walker_new(ctx, b->t, walk, &b->w));
    TRY(mem_alloc(ctx, (size_t)b->s->total + 1, sizeof(double), &b->raw));
    TRY(mem_alloc(ctx, (size_t)b->s->total + 1, sizeof(double), &b->values));
    TRY(mem_alloc(ctx, (size_t)b->s->total + 1, sizeof(double), &b->grad));
    space_start(b->s, b->raw);
    space_values(b->s, b->raw, b->values);
done:
    return st;
}

static void close_bench(bench *b, drmad_ctx *ctx)
{
    walker_free(b->w);
    trainer_free(b->t);
    space_free(b->s);
    params_free(b->params);
    mem_free(ctx, b->raw);
    mem_free(ctx, b->values);
    mem_free(ctx, b->grad);
}

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
    const hyper_decl lr = {.kind = HYPER_LR, .per = PER_TENSOR, .phases = 1,
                           .transform = TRANSFORM_LOG, .low = 1e-4, .high = 10, .start = 0.2};
    drmad_ctx *ctx = test_ctx();
    walk_report r;
    bench full, path;

    CHECK_OK(ctx, open_bench(&full, ctx, &lr, 1,
                             &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1}));
    CHECK_OK(ctx,
             open_bench(&path, ctx, &lr, 1,
                        &(walk_spec){.trajectory = TRAJ_FULL, .stride = 1, .path_only = true}));
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
