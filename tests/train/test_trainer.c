/* Whole training runs and evaluations against plain loops: the model, its gradient by hand, every
 * penalty and weight, PyTorch's update, step by step. Nothing here is shared with the engine but
 * the draws of weights and batches. */
#include "train/train.h"
#include "test.h"

enum {
    IN = 3,
    HID = 4,
    OUT = 3,
    N = 12,
    B = 4,
    T = 9,
    PHASES = 3,
    SEED = 42,
    W1 = 0,
    B1 = W1 + HID * IN,
    W2 = B1 + HID,
    B2 = W2 + OUT * HID,
    SIZE = B2 + OUT,
    EVAL_ROWS = 600 /* more than one chunk, and a rest */
};
static const int first[] = {W1, B1, W2, B2, SIZE};

/* What one step of the plain loop needs, by element of w. */
typedef struct knobs {
    double lr[SIZE], mu[SIZE], wd[SIZE], l2[SIZE], l1[SIZE];
    double smoothing, scale[IN], example[N], class[OUT];
} knobs;

typedef struct run {
    train_spec spec;
    nn_spec *net;
    param_table *params;
    space *s;
    trainer *t;
    double *values;
    double rows[N * IN], eval_scale[IN];
    int32_t labels[N], list[EVAL_ROWS], eval_labels[EVAL_ROWS];
    double w[SIZE], b[SIZE]; /* the plain loop's */
} run;

/* ---- the plain loop ---- */

/* Loss of one row and its derivative by the outputs z. */
static double row_loss(nn_loss loss, const double *z, int label, double e, double *dz)
{
    double sum = 0, total = 0;

    for (int k = 0; k < OUT; k++) sum += exp(z[k]);
    for (int k = 0; k < OUT; k++) {
        const double y = k == label, q = (1 - e) * y + e / OUT, s = 1 / (1 + exp(-z[k]));
        if (loss == LOSS_SQUARED) {
            dz[k] = z[k] - y;
            total += dz[k] * dz[k] / 2;
        } else if (loss == LOSS_LOGISTIC) {
            dz[k] = s - y;
            total -= y * log(s) + (1 - y) * log(1 - s);
        } else {
            dz[k] = exp(z[k]) / sum - q;
            total -= q * log(exp(z[k]) / sum);
        }
    }
    return total;
}

/* One row forwards, and its share of the gradient added to g unless NULL. */
static double row(const run *r, const double *w, const double *x, int label, double e, double share,
                  double *g)
{
    double h[HID], z[OUT], dz[OUT];

    for (int i = 0; i < HID; i++) {
        double a = w[B1 + i];
        for (int j = 0; j < IN; j++) a += w[W1 + i * IN + j] * x[j];
        h[i] = tanh(a);
    }
    for (int k = 0; k < OUT; k++) {
        z[k] = w[B2 + k];
        for (int i = 0; i < HID; i++) z[k] += w[W2 + k * HID + i] * h[i];
    }
    const double loss = row_loss(r->spec.loss, z, label, e, dz);
    for (int i = 0; g && i < HID; i++) {
        double dh = 0;
        for (int k = 0; k < OUT; k++) {
            dh += dz[k] * w[W2 + k * HID + i];
            g[W2 + k * HID + i] += share * dz[k] * h[i];
        }
        dh *= 1 - h[i] * h[i];
        for (int j = 0; j < IN; j++) g[W1 + i * IN + j] += share * dh * x[j];
        g[B1 + i] += share * dh;
    }
    for (int k = 0; g && k < OUT; k++) g[B2 + k] += share * dz[k];
    return loss;
}

/* The data loss of the batch of step t, and the whole gradient. */
static double gradient(const run *r, const knobs *k, int64_t t, double *g)
{
    int32_t batch[B];
    double loss = 0;

    batch_indices(r->spec.order, SEED, t, B, N, batch);
    for (int e = 0; e < SIZE; e++)
        g[e] = k->l2[e] * r->w[e] + k->l1[e] * (r->w[e] > 0 ? 1 : r->w[e] < 0 ? -1 : 0);
    for (int i = 0; i < B; i++) {
        const int at = batch[i];
        double x[IN];
        for (int j = 0; j < IN; j++)
            x[j] = r->rows[at * IN + j] * r->spec.train.scale * k->scale[j];
        const double share = k->example[at] * k->class[r->labels[at]] / B;
        loss += row(r, r->w, x, r->labels[at], k->smoothing, share, g) / B;
    }
    return loss;
}

static void update(run *r, const knobs *k, int64_t t, const double *g)
{
    const optim_spec *o = &r->spec.optim;

    for (int e = 0; e < SIZE; e++) {
        double p = g[e], s;
        if (o->form == FORM_MACLAURIN) {
            r->b[e] = k->mu[e] * r->b[e] - (1 - k->mu[e]) * (p + k->wd[e] * r->w[e]);
            r->w[e] += k->lr[e] * r->b[e];
            continue;
        }
        if (o->decoupled) r->w[e] *= 1 - k->lr[e] * k->wd[e];
        else p += k->wd[e] * r->w[e];
        s = p;
        if (o->buffer) {
            r->b[e] = t == 0 ? p : k->mu[e] * r->b[e] + (1 - o->dampening) * p;
            s = o->nesterov ? p + k->mu[e] * r->b[e] : r->b[e];
        }
        r->w[e] -= k->lr[e] * s;
    }
}

/* ---- hyperparameters: what the space holds, spread over the elements of w ---- */

/* Element i of the use of `kind` for `tensor` at step t; `otherwise` when nothing is declared. */
static double value(const run *r, hyper_kind kind, int tensor, int64_t t, int64_t i,
                    double otherwise)
{
    const hyper_use *u = space_find(r->s, kind, tensor);

    if (!u) return otherwise;
    const hyper_slice *sl = &r->s->slices[u->slice];
    const double base = sl->multiplier ? schedule_at(&r->spec.rate, t) : 1;
    const int64_t phase = sl->phases == 1 ? 0 : t / (T / PHASES);
    return base * r->values[sl->offset + phase * sl->elements + (sl->elements > 1 ? i : 0)];
}

/* The input that element e of tensor p belongs to; a bias has one. */
static int input_of(int p, int e)
{
    return (e - first[p]) % (p == 0 ? IN : p == 2 ? HID : 1);
}

static void knobs_at(const run *r, int64_t t, knobs *k)
{
    const train_spec *s = &r->spec;

    for (int p = 0; p < 4; p++)
        for (int e = first[p]; e < first[p + 1]; e++) {
            const int64_t in = input_of(p, e);
            const bool weight = p % 2 == 0;
            k->lr[e] = value(r, HYPER_LR, p, t, in, schedule_at(&s->rate, t));
            k->mu[e] = value(r, HYPER_MOMENTUM, p, t, in, s->momentum);
            k->wd[e] = value(r, HYPER_WEIGHT_DECAY, p, t, in, s->weight_decay);
            k->l2[e] = value(r, HYPER_L2, p, t, in, weight ? s->l2 : 0);
            k->l1[e] = value(r, HYPER_L1, p, t, in, weight ? s->l1 : 0);
        }
    k->smoothing = value(r, HYPER_LABEL_SMOOTHING, -1, t, 0, s->label_smoothing);
    for (int j = 0; j < IN; j++) k->scale[j] = value(r, HYPER_INPUT_SCALE, -1, t, j, 1);
    for (int i = 0; i < N; i++) k->example[i] = value(r, HYPER_EXAMPLE_WEIGHT, -1, t, i, 1);
    for (int c = 0; c < OUT; c++) k->class[c] = value(r, HYPER_LOSS_WEIGHT, -1, t, c, 1);
}

/* ---- one case ---- */

typedef struct trial {
    const char *name;
    optim_spec optim;
    nn_loss loss;
    schedule_kind schedule;
    int64_t warmup;
    bool tuned; /* every hyperparameter from the space; else constants from the spec */
} trial;

static const trial trials[] = {
    {"plain", {.buffer = false}, LOSS_CROSS_ENTROPY, SCHEDULE_CONSTANT, 0, false},
    {"plain", {.buffer = false}, LOSS_CROSS_ENTROPY, SCHEDULE_LINEAR, 0, true},
    {"momentum", {.buffer = true}, LOSS_SQUARED, SCHEDULE_CONSTANT, 3, false},
    {"momentum", {.buffer = true}, LOSS_CROSS_ENTROPY, SCHEDULE_STEP, 0, true},
    {"dampening", {.buffer = true, .dampening = 0.4}, LOSS_LOGISTIC, SCHEDULE_COSINE, 2, false},
    {"dampening", {.buffer = true, .dampening = 0.4}, LOSS_CROSS_ENTROPY, SCHEDULE_COSINE, 2, true},
    {"nesterov", {.buffer = true, .nesterov = true}, LOSS_CROSS_ENTROPY, SCHEDULE_LINEAR, 0, true},
    {"decoupled", {.buffer = true, .decoupled = true}, LOSS_CROSS_ENTROPY, SCHEDULE_STEP, 0, false},
    {"decoupled",
     {.buffer = true, .decoupled = true},
     LOSS_CROSS_ENTROPY,
     SCHEDULE_LINEAR,
     0,
     true},
    {"maclaurin",
     {.form = FORM_MACLAURIN, .buffer = true},
     LOSS_CROSS_ENTROPY,
     SCHEDULE_CONSTANT,
     0,
     true},
};

#define DECL(k, p, n, h, s)                                                                        \
    {                                                                                              \
        .kind = HYPER_##k, .per = PER_##p, .phases = n, .low = 1e-6, .high = h, .start = s,        \
        .multiplier = HYPER_##k == HYPER_LR                                                        \
    }
static const hyper_decl decls[] = {
    DECL(L2, UNIT_IN, 1, 10, 0.03),
    DECL(L1, LAYER, PHASES, 10, 0.02),
    DECL(WEIGHT_DECAY, UNIT_IN, 1, 10, 0.04),
    DECL(LR, TENSOR, PHASES, 10, 0.9),
    DECL(INIT_SCALE, UNIT_IN, 1, 10, 1.2),
    DECL(LABEL_SMOOTHING, GLOBAL, PHASES, 1, 0.1),
    DECL(INPUT_SCALE, UNIT_IN, 1, 10, 0.9),
    DECL(EXAMPLE_WEIGHT, EXAMPLE, 1, 10, 1),
    DECL(LOSS_WEIGHT, CLASS, 1, 10, 1),
    DECL(MOMENTUM, TENSOR, PHASES, 1, 0.6), /* last: left out without a buffer */
};

static void make_data(run *r)
{
    const rng_key key = {5, 0, 1};

    for (int i = 0; i < N * IN; i++) r->rows[i] = rng_normal(key, (uint64_t)i);
    for (int i = 0; i < N; i++) r->labels[i] = (int32_t)rng_below(key, 100 + (uint64_t)i, OUT);
    for (int i = 0; i < EVAL_ROWS; i++) {
        r->list[i] = i < N ? i : (i * 7) % N; /* training uses the first N */
        r->eval_labels[i] = i < N ? r->labels[i] : i % OUT;
    }
}

static void open_run(run *r, const trial *c)
{
    drmad_ctx *ctx = test_ctx();
    const space_facts facts = {.steps = T, .examples = N, .classes = OUT, .inputs = IN};
    const double constant = c->tuned ? 0 : 1;
    const int n = !c->tuned ? 0 : (int)COUNT(decls) - !c->optim.buffer;

    memset(r, 0, sizeof *r);
    make_data(r);
    CHECK_OK(ctx, nn_mlp(ctx, (const int64_t[]){IN, HID, OUT}, 2, NN_TANH, &r->net));
    r->net->draws = (nn_draws){.std = 0.7, .bias = BIAS_LIKE_WEIGHT};
    r->spec = (train_spec){
        .init_scale = 1,
        .dtype = F64,
        .model = nn_module(r->net),
        .loss = c->loss,
        .optim = c->optim,
        .rate = {.kind = c->schedule,
                 .rate = 0.3,
                 .final = 0.2,
                 .gamma = 0.5,
                 .every = 2,
                 .warmup = c->warmup,
                 .steps = T},
        .momentum = 0.6,
        .weight_decay = constant * 0.03,
        .l2 = constant * 0.02,
        .l1 = constant * 0.01,
        .label_smoothing = c->loss == LOSS_CROSS_ENTROPY ? constant * 0.15 : 0,
        .steps = T,
        .batch = B,
        .train = {.rows = r->rows,
                  .type = F64,
                  .n = N,
                  .width = IN,
                  .scale = 0.8,
                  .list = r->list,
                  .labels = r->labels,
                  .count = N},
    };
    CHECK_OK(ctx, params_new(ctx, &r->params));
    CHECK_OK(ctx, nn_params(r->net, r->params));
    CHECK_OK(ctx, space_new(ctx, r->params, &facts, decls, n, &r->s));
    r->spec.params = r->params;
    r->spec.space = r->s;
    CHECK_OK(ctx, mem_alloc(ctx, (size_t)r->s->total + 1, sizeof(double), &r->values));
    for (int64_t i = 0; i < r->s->total; i++)
        r->values[i] = space_slice_of(r->s, i)->start *
                       (0.7 + 0.5 * rng_uniform((rng_key){9, 0, 2}, (uint64_t)i));
    CHECK_OK(ctx, trainer_new(ctx, &r->spec, &r->t));
}

static void close_run(run *r)
{
    trainer_free(r->t);
    space_free(r->s);
    params_free(r->params);
    nn_free(r->net);
    mem_free(test_ctx(), r->values);
}

/* w_0: the drawn weights times their scales. */
static void start_plain(run *r)
{
    double *flat = calloc((size_t)r->params->total, sizeof *flat);

    nn_draw(r->net, r->params, SEED, flat);
    for (int p = 0; p < 4; p++)
        for (int e = first[p]; e < first[p + 1]; e++) {
            r->w[e] = flat[r->params->at[p].offset + e - first[p]];
            r->w[e] *= value(r, HYPER_INIT_SCALE, p, 0, input_of(p, e), 1);
        }
    memset(r->b, 0, sizeof r->b);
    free(flat);
}

static void train_plain(run *r, train_report *out)
{
    knobs k;
    double g[SIZE];

    start_plain(r);
    for (int64_t t = 0; t < T; t++) {
        knobs_at(r, t, &k);
        out->last_loss = gradient(r, &k, t, g);
        if (t == 0) out->first_loss = out->last_loss;
        update(r, &k, t, g);
    }
    memcpy(r->eval_scale, k.scale, sizeof k.scale);
}

static void check_run(const trial *c)
{
    train_report got, want;
    run r;

    open_run(&r, c);
    CHECK_OK(test_ctx(), trainer_run(r.t, r.values, SEED, NULL, &got));
    train_plain(&r, &want);
    const double *w = trainer_weights(r.t);
    for (int p = 0; p < 4; p++)
        for (int e = first[p]; e < first[p + 1]; e++) {
            const double x = w[r.params->at[p].offset + e - first[p]];
            if (!(fabs(x - r.w[e]) <= 1e-13)) /* nine steps of roundings */
                test_fail(__FILE__, __LINE__, "%s%s: %s[%d] = %.17g, expected %.17g", c->name,
                          c->tuned ? ", tuned" : "", r.params->at[p].name, e - first[p], x, r.w[e]);
        }
    CHECK_NEAR(got.first_loss, want.first_loss, 1e-13);
    CHECK_NEAR(got.last_loss, want.last_loss, 1e-13);
    CHECK_NEAR(got.mean_loss, want.last_loss, 1e-13); /* a tenth of nine steps is the last one */
    CHECK_INT(got.steps, T);
    close_run(&r);
}

TEST(training_is_the_plain_loop)
{
    for (size_t i = 0; i < COUNT(trials); i++) check_run(&trials[i]);
}

TEST(evaluation_is_the_plain_mean)
{
    double loss = 0, wrong = 0, got[EVAL_ROWS];
    train_report ignored;
    eval_result f;
    run r;

    open_run(&r, &trials[3]);
    const examples all = {.rows = r.rows,
                          .type = F64,
                          .n = N,
                          .width = IN,
                          .scale = 0.8,
                          .list = r.list,
                          .labels = r.eval_labels,
                          .count = EVAL_ROWS};
    CHECK_OK(test_ctx(), trainer_run(r.t, r.values, SEED, NULL, &ignored));
    train_plain(&r, &ignored);
    CHECK_OK(test_ctx(), trainer_eval(r.t, &all, r.values, &f, NULL, NULL));
    CHECK_OK(test_ctx(), trainer_row_losses(r.t, &all, r.values, got));
    for (int i = 0; i < EVAL_ROWS; i++) { /* no smoothing, no weights, no penalties */
        double x[IN], best = HUGE_VAL;
        int answer = -1;
        for (int j = 0; j < IN; j++) x[j] = r.rows[r.list[i] * IN + j] * 0.8 * r.eval_scale[j];
        for (int c = 0; c < OUT; c++) { /* the least loss is the largest output */
            const double l = row(&r, r.w, x, c, 0, 0, NULL);
            if (l < best) best = l, answer = c;
        }
        const double l = row(&r, r.w, x, r.eval_labels[i], 0, 0, NULL);
        CHECK_NEAR(got[i], l, 1e-13);
        loss += l / EVAL_ROWS;
        wrong += (answer != r.eval_labels[i]) / (double)EVAL_ROWS;
    }
    CHECK_NEAR(f.loss, loss, 1e-13);
    CHECK_NEAR(f.error, wrong, 1e-13);
    close_run(&r);
}

TEST(gradients_of_the_evaluation_are_the_plain_mean)
{
    double want[SIZE] = {0}, *dw = NULL, *dvalues = NULL;
    train_report ignored;
    eval_result f;
    run r;

    open_run(&r, &trials[3]);
    const examples all = {.rows = r.rows,
                          .type = F64,
                          .n = N,
                          .width = IN,
                          .scale = 0.8,
                          .list = r.list,
                          .labels = r.eval_labels,
                          .count = EVAL_ROWS};
    CHECK_OK(test_ctx(), mem_alloc(test_ctx(), (size_t)r.params->total, sizeof *dw, &dw));
    CHECK_OK(test_ctx(), mem_alloc(test_ctx(), (size_t)r.s->total, sizeof *dw, &dvalues));
    CHECK_OK(test_ctx(), trainer_run(r.t, r.values, SEED, NULL, &ignored));
    train_plain(&r, &ignored);
    CHECK_OK(test_ctx(), trainer_eval(r.t, &all, r.values, &f, dw, dvalues));
    for (int i = 0; i < EVAL_ROWS; i++) {
        double x[IN];
        for (int j = 0; j < IN; j++) x[j] = r.rows[r.list[i] * IN + j] * 0.8 * r.eval_scale[j];
        row(&r, r.w, x, r.eval_labels[i], 0, 1.0 / EVAL_ROWS, want);
    }
    for (int p = 0; p < 4; p++)
        for (int e = first[p]; e < first[p + 1]; e++)
            CHECK_NEAR(dw[r.params->at[p].offset + e - first[p]], want[e], 1e-13);
    close_run(&r);
    mem_free(test_ctx(), dw);
    mem_free(test_ctx(), dvalues);
}

TEST(a_run_that_diverges_says_where)
{
    train_report out;
    run r;

    open_run(&r, &trials[0]);
    r.rows[0] = NAN;
    CHECK_FAILS(test_ctx(), trainer_run(r.t, r.values, SEED, NULL, &out), DRMAD_E_DIVERGED,
                "training diverged");
    CHECK(out.steps < T);
    close_run(&r);
}
