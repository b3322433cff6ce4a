/* The pull towards the net of the meta-step before: its gradient by hand, its hypergradients by
 * differences, and when it is there at all. */
#include "toy.h"
#include "train/trainer.h"

enum { SEED = 42 };

static double flat_weight(int64_t i);

static void open_pulled(toy *t, regress_to to, hyper_per per, int64_t phases, bool every_kind)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decl[TOY_DECLS_MAX + 1];
    int32_t n = every_kind ? toy_declare(t, per, phases, decl) : 0;
    double *w;

    decl[n++] = (hyper_decl){.kind = HYPER_REGRESS,
                             .per = per,
                             .phases = phases,
                             .transform = TRANSFORM_LOG,
                             .low = 1e-4,
                             .high = 10,
                             .start = 0.7};
    t->spec.regress = (regress_spec){.to = to, .weight = 0.7, .until = 0.8};
    CHECK_OK(t->ctx, toy_open(t, decl, n, &walk));
    w = calloc((size_t)t->params->total, sizeof *w);
    for (int32_t i = 0; i < t->params->n; i++)
        for (int64_t e = 0; e < t->params->at[i].count; e++)
            w[t->params->at[i].offset + e] = flat_weight(t->params->at[i].offset + e);
    CHECK_OK(t->ctx, trainer_pull(t->t, w));
    free(w);
}

static double flat_weight(int64_t i)
{
    return 0.5 * rng_normal((rng_key){12, 0, 3}, (uint64_t)i);
}

static double inner(const double *a, const double *b, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* Every slice against forward mode; with `differences` every entry against fourth-order ones, to
 * 1e-6 of the slice's largest. Those are no judge among other kinds, where l1 has kinks. */
static void check_slices(toy *t, bool differences)
{
    double *x = calloc((size_t)t->s->total, sizeof *x), value, slope;
    walk_report r;

    CHECK_OK(t->ctx, walker_gradient(t->w, t->values, SEED, &t->valid, &r, t->grad));
    for (int32_t k = 0; k < t->s->n_slices; k++) {
        const hyper_slice *s = &t->s->slices[k];
        const int64_t end = s->offset + s->elements * s->phases;
        double largest = 0;
        for (int64_t i = s->offset; i < end; i++) largest = fmax(largest, fabs(t->grad[i]));
        if (!(largest > 0)) test_fail(__FILE__, __LINE__, "%s: all zero", s->name);
        memset(x, 0, (size_t)t->s->total * sizeof *x);
        for (int64_t i = s->offset; i < end; i++)
            x[i] = rng_normal((rng_key){2, 0, 1}, (uint64_t)i);
        CHECK_OK(t->ctx, walker_directional(t->w, t->values, x, SEED, &t->valid, &value, &slope));
        CHECK_NEAR(inner(t->grad, x, t->s->total), slope, 1e-9 * largest);
        for (int64_t i = s->offset; differences && i < end; i++) {
            double f[4];
            memcpy(x, t->values, (size_t)t->s->total * sizeof *x);
            for (int m = 0; m < 4; m++) {
                x[i] = t->values[i] * (1 + 1e-3 * (double[]){-2, -1, 1, 2}[m]);
                f[m] = toy_value(t, x);
            }
            CHECK_NEAR(t->grad[i], (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12e-3 * t->values[i]),
                       1e-6 * largest);
        }
    }
    free(x);
}

static void check_pull(regress_to to, hyper_per per, int64_t phases, bool every_kind)
{
    toy t;

    toy_init(&t, test_ctx());
    open_pulled(&t, to, per, phases, every_kind);
    check_slices(&t, !every_kind);
    toy_close(&t);
}

TEST(regression_hypergradients_equal_differences)
{
    const regress_to both[] = {REGRESS_ACTIVATIONS, REGRESS_WEIGHTS};

    for (size_t i = 0; i < COUNT(both); i++) {
        check_pull(both[i], PER_GLOBAL, 1, false);
        check_pull(both[i], PER_LAYER, 3, false);
        check_pull(both[i], PER_TENSOR, 2, true);
    }
}

/* The first step's change by the pull, w_1 with it less w_1 without, against the term's gradient by
 * plain loops: -lr c d/dw (1/2 mean |x (W - W')' + (b - b')|^2) of one linear layer. */
TEST(regression_on_activations_by_hand)
{
    const double lr = 0.3, c = 0.7;
    double off[7][TOY_CLASSES], w0[64], w1[2][64];
    train_report run;

    for (int k = 0; k < 2; k++) {
        toy t;
        toy_init(&t, test_ctx());
        t.layers = 1, t.sizes[1] = TOY_CLASSES;
        t.spec.optim = (optim_spec){.buffer = false};
        t.spec.momentum = 0;
        t.spec.steps = t.spec.rate.steps = 1;
        t.spec.order = BATCH_SEQUENTIAL;
        open_pulled(&t, REGRESS_ACTIVATIONS, PER_GLOBAL, 1, false);
        t.values[0] = c;
        if (k == 1) CHECK_OK(t.ctx, trainer_pull(t.t, NULL));
        CHECK_OK(t.ctx, trainer_run(t.t, t.values, SEED, NULL, &run));
        const int64_t bias = t.params->at[1].offset;
        memcpy(w1[k], trainer_weights(t.t), (size_t)t.params->total * sizeof(double));
        nn_draw(t.net, t.params, SEED, w0);
        for (int i = 0; i < 7; i++)
            for (int o = 0; o < TOY_CLASSES; o++) {
                off[i][o] = w0[bias + o] - flat_weight(bias + o);
                for (int d = 0; d < TOY_WIDTH; d++)
                    off[i][o] += 0.7 * t.rows[i * TOY_WIDTH + d] *
                                 (w0[o * TOY_WIDTH + d] - flat_weight(o * TOY_WIDTH + d));
            }
        if (k == 1)
            for (int o = 0; o < TOY_CLASSES; o++) {
                double db = 0;
                for (int i = 0; i < 7; i++) db += off[i][o] / (7 * TOY_CLASSES);
                CHECK_NEAR(w1[0][bias + o] - w1[1][bias + o], -lr * c * db, 1e-14);
                for (int d = 0; d < TOY_WIDTH; d++) {
                    double dw = 0;
                    for (int i = 0; i < 7; i++)
                        dw += off[i][o] * 0.7 * t.rows[i * TOY_WIDTH + d] / (7 * TOY_CLASSES);
                    CHECK_NEAR(w1[0][o * TOY_WIDTH + d] - w1[1][o * TOY_WIDTH + d], -lr * c * dw,
                               1e-14);
                }
            }
        toy_close(&t);
    }
}

/* The same for weights: -lr c (w - w'), biases left alone; and it fades. */
TEST(regression_on_weights_by_hand)
{
    double w1[2][256], w0[256];
    train_report run;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.optim = (optim_spec){.buffer = false};
    t.spec.momentum = 0;
    t.spec.steps = t.spec.rate.steps = 1;
    open_pulled(&t, REGRESS_WEIGHTS, PER_GLOBAL, 1, false);
    t.values[0] = 0.7;
    nn_draw(t.net, t.params, SEED, w0);
    for (int k = 0; k < 2; k++) {
        if (k == 1) CHECK_OK(t.ctx, trainer_pull(t.t, NULL));
        CHECK_OK(t.ctx, trainer_run(t.t, t.values, SEED, NULL, &run));
        memcpy(w1[k], trainer_weights(t.t), (size_t)t.params->total * sizeof(double));
    }
    for (int32_t i = 0; i < t.params->n; i++) {
        const param *p = &t.params->at[i];
        for (int64_t e = p->offset; e < p->offset + p->count; e++)
            CHECK_NEAR(w1[0][e] - w1[1][e],
                       p->role == PARAM_WEIGHT ? -0.3 * 0.7 * (w0[e] - flat_weight(e)) : 0, 1e-14);
    }
    toy_close(&t);
}

TEST(regression_fades_with_the_steps)
{
    toy t;

    toy_init(&t, test_ctx());
    open_pulled(&t, REGRESS_WEIGHTS, PER_GLOBAL, 1, false);
    CHECK_NEAR(trainer_fade(t.t, 0), 1, 0);
    CHECK_NEAR(trainer_fade(t.t, 4), 0.75, 1e-15); /* of .8 x 20 steps */
    CHECK_NEAR(trainer_fade(t.t, 16), 0, 0);
    CHECK_NEAR(trainer_fade(t.t, 19), 0, 0);
    t.t->spec.regress.until = 0; /* never */
    CHECK_NEAR(trainer_fade(t.t, 19), 1, 0);
    CHECK_OK(t.ctx, trainer_pull(t.t, NULL));
    CHECK_NEAR(trainer_fade(t.t, 0), 0, 0);
    toy_close(&t);
}

/* Without a net to be pulled to, the run is that of a study without regression. */
TEST(regression_towards_nothing_changes_nothing)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    toy a, b;

    toy_init(&a, test_ctx());
    open_pulled(&a, REGRESS_ACTIVATIONS, PER_LAYER, 1, false);
    CHECK_OK(a.ctx, trainer_pull(a.t, NULL));
    toy_init(&b, test_ctx());
    CHECK_OK(b.ctx, toy_open(&b, NULL, 0, &walk));
    CHECK_NEAR(toy_value(&a, a.values), toy_value(&b, b.values), 1e-14); /* other plans */
    toy_close(&a);
    toy_close(&b);
}

static drmad_status pull_and_walk(drmad_ctx *ctx, void *arg)
{
    const hyper_decl decl = {.kind = HYPER_REGRESS,
                             .phases = 1,
                             .transform = TRANSFORM_LOG,
                             .low = 1e-4,
                             .high = 10,
                             .start = 0.7};
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    drmad_status st = DRMAD_OK;
    double w[256] = {0};
    walk_report r;
    toy t;

    toy_init(&t, ctx);
    t.layers = 2, t.sizes[1] = 2, t.sizes[2] = TOY_CLASSES;
    t.spec.steps = t.spec.rate.steps = 2;
    t.spec.regress = (regress_spec){.to = *(regress_to *)arg, .weight = 0.1, .until = 1};
    TRY(toy_open(&t, &decl, 1, &walk));
    TRY(trainer_pull(t.t, w));
    TRY(walker_gradient(t.w, t.values, SEED, &t.valid, &r, t.grad));
done:
    toy_close(&t);
    return st;
}

TEST(regression_runs_out_of_memory_cleanly)
{
    regress_to both[] = {REGRESS_ACTIVATIONS, REGRESS_WEIGHTS};

    for (size_t i = 0; i < COUNT(both); i++) test_oom(pull_and_walk, &both[i]);
}
