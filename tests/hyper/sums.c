#include "sums.h"

static void draw(sums *q, drmad_ctx *ctx)
{
    const rng_key key = {21, 0, 1};

    *q = (sums){.ctx = ctx, .fail_at = -1};
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < SIZE; k++) q->a[i][k] = rng_normal(key, (uint64_t)(i * SIZE + k));
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
                   const void *weights, int way, void *g_out, void *hu_out, void *rows)
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
            if (way == 0) hu[q->where[k]] += (1 - DECAY) * q->r_cot * slope * q->a[row][k];
        }
    }
    if (way == 0) q->r_cot *= DECAY;
    if (way == 1) {
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

const hyper_decl every_kind[EVERY_KIND] = {
    {.kind = HYPER_LR,
     .per = PER_TENSOR,
     .phases = 3,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 0.2},
    {.kind = HYPER_MOMENTUM,
     .per = PER_LAYER,
     .phases = 2,
     .transform = TRANSFORM_LOGIT,
     .low = 0,
     .high = 1,
     .start = 0.6},
    {.kind = HYPER_WEIGHT_DECAY,
     .per = PER_UNIT_IN,
     .phases = 1,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 0.03},
    {.kind = HYPER_L2,
     .per = PER_UNIT_OUT,
     .phases = 1,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 0.02},
    {.kind = HYPER_L1,
     .per = PER_WEIGHT,
     .phases = 1,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 0.01},
    {.kind = HYPER_INIT_SCALE,
     .per = PER_TENSOR,
     .phases = 1,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 1.2},
    {.kind = HYPER_EXAMPLE_WEIGHT,
     .per = PER_EXAMPLE,
     .phases = 2,
     .transform = TRANSFORM_LOG,
     .low = 1e-4,
     .high = 10,
     .start = 0.9},
};

drmad_status open_bench(bench *b, drmad_ctx *ctx, const hyper_decl *decl, int32_t n,
                        const walk_spec *walk)
{
    const bench_way usual = {.steps = STEPS, .optim = {.buffer = true}};

    return open_bench_as(b, ctx, decl, n, walk, &usual);
}

drmad_status open_bench_as(bench *b, drmad_ctx *ctx, const hyper_decl *decl, int32_t n,
                           const walk_spec *walk, const bench_way *way)
{
    const space_facts facts = {.steps = way->steps, .examples = TRAIN};
    drmad_status st = DRMAD_OK;

    memset(b, 0, sizeof *b);
    draw(&b->q, ctx);
    b->o = (oracle){start, gradient, product, evaluate, batch, &b->q, false, way->on};
    TRY(params_new(ctx, &b->params));
    TRY(params_add(b->params, "a.weight", SHAPE(2, 2), PARAM_WEIGHT, 0));
    TRY(params_add(b->params, "b.bias", SHAPE(2), PARAM_BIAS, 1));
    for (int k = 0; k < 4; k++) b->q.where[k] = k;
    for (int k = 4; k < SIZE; k++) b->q.where[k] = (int32_t)b->params->at[1].offset + k - 4;
    b->q.total = b->params->total;
    TRY(space_new(ctx, b->params, &facts, decl, n, &b->s));
    b->spec = (train_spec){.dtype = F64,
                           .init_scale = 1,
                           .oracle = &b->o,
                           .params = b->params,
                           .optim = way->optim,
                           .rate = {way->schedule, .rate = 0.2, .final = 0.1, .steps = way->steps},
                           .momentum = 0.6,
                           .beta1 = 0.7,
                           .beta2 = 0.8,
                           .eps = 0.05,
                           .clip = 0.3,
                           .l2 = way->l2,
                           .steps = way->steps,
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

void close_bench(bench *b, drmad_ctx *ctx)
{
    walker_free(b->w);
    trainer_free(b->t);
    space_free(b->s);
    params_free(b->params);
    mem_free(ctx, b->raw);
    mem_free(ctx, b->values);
    mem_free(ctx, b->grad);
}
