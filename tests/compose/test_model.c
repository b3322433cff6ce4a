/* Studies over a model that the caller computes: here L = 1/B sum_i |w - x_i|^2 / 2, F the same on
 * other rows, so that all of it is known. */
#include "base/rng.h"
#include "drmad/device.h"
#include "test.h"

enum { SIZE = 3, TRAIN = 20, VALID = 10, TEST_ROWS = 10, BATCH = 5 };

typedef struct cloud {
    double x[TRAIN + VALID + TEST_ROWS][SIZE];
    drmad_study *inner; /* called from inside where not NULL */
    drmad_status inner_st;
    int fail;
} cloud;

static int start(void *user, uint64_t seed, void *w)
{
    (void)user;
    for (int k = 0; k < SIZE; k++)
        ((double *)w)[k] = rng_normal((rng_key){seed, 0, 4}, (uint64_t)k);
    return DRMAD_OK;
}

static int row_of(uint64_t seed, int64_t step, int i)
{
    return (int)(rng_below((rng_key){seed, (uint32_t)step, 2}, (uint64_t)i, TRAIN));
}

static int gradient(void *user, uint64_t seed, int64_t step, const void *at, const void *weights,
                    void *out, double *loss)
{
    cloud *c = user;
    const double *w = at, *v = weights;
    double *g = out;

    if (c->fail) return c->fail;
    if (c->inner) c->inner_st = drmad_study_why(c->inner);
    *loss = 0;
    for (int k = 0; k < SIZE; k++) g[k] = 0;
    for (int i = 0; i < BATCH; i++)
        for (int k = 0; k < SIZE; k++) {
            const double d = w[k] - c->x[row_of(seed, step, i)][k];
            *loss += d * d / 2 / BATCH;
            g[k] += (v ? v[i] : 1) * d / BATCH;
        }
    return DRMAD_OK;
}

static int product(void *user, uint64_t seed, int64_t step, const void *at, const void *along,
                   const void *weights, int way, void *g, void *out, void *rows)
{
    const cloud *c = user;
    const double *w = at, *u = along, *v = weights;
    double *hu = out, *dots = rows, loss;

    (void)way;
    for (int k = 0; k < SIZE; k++) hu[k] = 0;
    for (int i = 0; i < BATCH; i++) {
        if (dots) dots[i] = 0;
        for (int k = 0; k < SIZE; k++) {
            hu[k] += (v ? v[i] : 1) * u[k] / BATCH;
            if (dots) dots[i] += (w[k] - c->x[row_of(seed, step, i)][k]) * u[k] / BATCH;
        }
    }
    return g ? gradient(user, seed, step, at, weights, g, &loss) : DRMAD_OK;
}

static int evaluate(void *user, int part, int64_t examples, const void *at, const void *along,
                    void *out, double *loss, double *error, double *slope)
{
    static const int first[] = {0, TRAIN, TRAIN + VALID};
    const cloud *c = user;
    const double *w = at, *u = along;
    double *dw = out;

    *loss = 0, *error = 0.25;
    if (slope) *slope = 0;
    for (int k = 0; dw && k < SIZE; k++) dw[k] = 0;
    for (int i = first[part]; i < first[part] + examples; i++)
        for (int k = 0; k < SIZE; k++) {
            const double d = (w[k] - c->x[i][k]) / (double)examples;
            *loss += d * (w[k] - c->x[i][k]) / 2;
            if (dw) dw[k] += d;
            if (slope) *slope += d * u[k];
        }
    return DRMAD_OK;
}

static int batch(void *user, uint64_t seed, int64_t step, int32_t *rows)
{
    (void)user;
    for (int i = 0; i < BATCH; i++) rows[i] = row_of(seed, step, i);
    return DRMAD_OK;
}

static drmad_model *make(drmad_ctx *ctx, cloud *c, bool batches)
{
    static const int64_t dims[] = {1, SIZE};
    drmad_model *m;

    memset(c, 0, sizeof *c);
    for (int i = 0; i < TRAIN + VALID + TEST_ROWS; i++)
        for (int k = 0; k < SIZE; k++)
            c->x[i][k] = k + rng_normal((rng_key){5, 0, 5}, (uint64_t)(i * SIZE + k));
    CHECK_OK(ctx, drmad_model_new(ctx, "Cloud", 1, &m));
    CHECK_OK(ctx, drmad_model_add(m, "cloud.weight", dims, 2, "weight", 0));
    CHECK_OK(ctx, drmad_model_set_data(m, "rows", TRAIN, VALID, TEST_ROWS, BATCH));
    CHECK_OK(ctx, drmad_model_set_functions(m, start, gradient, product, evaluate,
                                            batches ? batch : NULL, c));
    return m;
}

/* A study into the test's own folder, with more overrides behind the usual ones. */
static drmad_status open_study(drmad_model *m, const char *folder, const char *const *more, int n,
                               drmad_study **out)
{
    const char *all[24] = {
        "dtype=f64",     "train.steps=40", "optimizer.lr=0.02", "optimizer.momentum=0.5",
        "outer.steps=6", "threads=1",      "retrain.seeds=3"};
    char dir[512];
    int count = 7;

    snprintf(dir, sizeof dir, "output.dir=%s/%s", test_scratch(), folder);
    all[count++] = dir;
    for (int i = 0; i < n; i++) all[count++] = more[i];
    return drmad_model_study(m, all, count, out);
}

static const char *const knobs[] = {
    "hyper=[{kind: lr, per: tensor, phases: 2}, {kind: l2, per: weight, start: 1e-3}, "
    "{kind: example_weight, per: example, low: 0, high: 4}]",
    "outer.lr=0.2"};

TEST(model_study_tunes_and_gives_values)
{
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, true);
    drmad_study *s;
    double lr[2][SIZE], mu[SIZE];
    int tuned;

    CHECK_OK(ctx, open_study(m, "run", knobs, 2, &s));
    CHECK_OK(ctx, drmad_study_tune(s, 0));
    const char *json = drmad_study_result_json(s);
    CHECK(strstr(json, "\"status\":\"done\"") && strstr(json, "\"data\":\"rows\""));
    for (int k = 0; k < 2; k++)
        CHECK_OK(ctx, drmad_study_value(s, "lr", 0, 39 * k, lr[k], SIZE, &tuned));
    CHECK_INT(tuned, 1);
    CHECK(lr[0][0] > 0.02 && lr[0][0] == lr[0][2]); /* 40 steps of .02 do not get there */
    CHECK(lr[0][0] != lr[1][0]);
    CHECK_OK(ctx, drmad_study_value(s, "momentum", 0, 0, mu, SIZE, &tuned));
    CHECK_INT(tuned, 0);
    CHECK_NEAR(mu[1], 0.5, 0);
    CHECK_FAILS(ctx, drmad_study_value(s, "lr", 0, 40, mu, SIZE, &tuned), DRMAD_E_USAGE,
                "step 40 of 40");
    CHECK_FAILS(ctx, drmad_study_value(s, "lr", 0, 0, mu, 2, &tuned), DRMAD_E_USAGE, "room for 2");
    CHECK_FAILS(ctx, drmad_study_value(s, "lrr", 0, 0, mu, 2, &tuned), DRMAD_E_USAGE, "lrr");
    CHECK_OK(ctx, drmad_study_tune(s, 1)); /* the result that is there */
    CHECK_OK(ctx, drmad_study_value(s, "lr", 0, 0, mu, SIZE, &tuned));
    CHECK_NEAR(mu[0], lr[0][0], 0);
    drmad_study_free(s);
    drmad_model_free(m);
}

TEST(model_study_follows_a_schedule)
{
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, false);
    drmad_study *s;
    double factor[40], lr[SIZE];
    int tuned;
    char dir[512];
    const char *const more[] = {"hyper=[{kind: lr, multiplier: true, start: 2}]", dir};

    snprintf(dir, sizeof dir, "output.dir=%s/own", test_scratch()); /* another one each call */
    for (int t = 0; t < 40; t++) factor[t] = 1 - t / 80.0;
    CHECK_OK(ctx, drmad_model_set_schedule(m, factor, 40));
    CHECK_OK(ctx, open_study(m, "run", more, 2, &s));
    CHECK_OK(ctx, drmad_study_why(s));
    CHECK_OK(ctx, drmad_study_value(s, "lr", 0, 20, lr, SIZE, &tuned));
    CHECK_NEAR(lr[0], 2 * 0.02 * 0.75, 1e-15);
    CHECK_OK(ctx, drmad_study_tune(s, 0));
    drmad_study_free(s);
    factor[7] = 0.5;
    CHECK_OK(ctx, drmad_model_set_schedule(m, factor, 40));
    CHECK_OK(ctx, open_study(m, "run", more, 2, &s));
    CHECK_FAILS(ctx, drmad_study_tune(s, 1), DRMAD_E_CONFIG, "of another study");
    drmad_study_free(s);
    drmad_model_free(m);
}

TEST(model_study_checks_itself_and_its_cost)
{
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, true);
    drmad_study *s;

    CHECK_OK(ctx, open_study(m, "run", knobs, 2, &s));
    CHECK_OK(ctx, drmad_study_check(s));
    CHECK(strstr(drmad_study_result_json(s), "\"wrong\":0"));
    CHECK_OK(ctx, drmad_study_dry_run(s));
    CHECK_OK(ctx, drmad_study_explain(s));
    CHECK_OK(ctx, drmad_study_train(s, 0));
    drmad_study_free(s);
    drmad_model_free(m);
}

TEST(model_study_refuses_by_name)
{
    static const struct {
        const char *setting, *says;
    } wrong[] = {
        {"data.train=500", "data.train: the caller's model brings its own"},
        {"model.layers=[2, 3]", "model.layers: the caller's model"},
        {"train.batch=7", "train.batch: the caller's model"},
        {"dtype=f32", "the model's vectors are f64"},
        {"hyper=[{kind: label_smoothing}]", "label_smoothing is inside the loss"},
        {"hyper=[{kind: example_weight, per: example}]", "does not say which examples"},
    };
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, false);
    drmad_study *s;
    const int64_t dims[] = {2, 2};

    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_FAILS(ctx, open_study(m, "run", &wrong[i].setting, 1, &s), DRMAD_E_CONFIG,
                    wrong[i].says);
    CHECK_FAILS(ctx, drmad_model_add(m, "x", dims, 2, "wait", 0), DRMAD_E_MODEL, "role \"wait\"");
    CHECK_FAILS(ctx, drmad_model_add(m, "x", dims, 9, "bias", 0), DRMAD_E_MODEL, "rank 9");
    CHECK_FAILS(ctx, drmad_model_add(m, "cloud.weight", dims, 2, "bias", 0), DRMAD_E_MODEL,
                "a second tensor");
    CHECK_FAILS(ctx, drmad_model_set_data(m, "rows", 4, 1, 0, 5), DRMAD_E_DATA, "batches of 5");
    drmad_model_free(m);
}

TEST(model_study_leaves_activations_to_the_model)
{
    static const char *const more[] = {"dtype=f32", "train.activations=bf16"};
    const int64_t dims[] = {1, SIZE};
    drmad_ctx *ctx = test_ctx();
    drmad_model *m = NULL;
    drmad_study *s;

    CHECK_OK(ctx, drmad_model_new(ctx, "Single", 0, &m));
    CHECK_OK(ctx, drmad_model_add(m, "w", dims, 2, "weight", 0));
    CHECK_OK(ctx, drmad_model_set_data(m, "rows", TRAIN, VALID, TEST_ROWS, BATCH));
    CHECK_OK(ctx, drmad_model_set_functions(m, start, gradient, product, evaluate, NULL, NULL));
    CHECK_FAILS(ctx, open_study(m, "run", more, 2, &s), DRMAD_E_CONFIG,
                "train.activations: those of Single are its own");
    drmad_model_free(m);
}

static int no_memory(void *user, size_t bytes, void **out)
{
    (void)user, (void)bytes, (void)out;
    return DRMAD_E_NOMEM;
}

static void forget(void *user, void *memory)
{
    (void)user, (void)memory;
}

static int no_copy(void *user, void *to, const void *from, size_t bytes, int way)
{
    (void)user, (void)to, (void)from, (void)bytes, (void)way;
    return DRMAD_E_INTERNAL;
}

TEST(model_study_refuses_half_a_device)
{
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, false);
    drmad_study *s;

    CHECK_FAILS(ctx, drmad_model_set_memory(m, no_memory, forget, NULL, NULL), DRMAD_E_USAGE,
                "a device's memory needs all functions");
    CHECK_FAILS(ctx, drmad_model_set_programs(m, NULL, NULL, NULL, NULL), DRMAD_E_USAGE,
                "a device's programs need all functions");
    CHECK_OK(ctx, drmad_model_set_memory(m, no_memory, forget, no_copy, NULL));
    CHECK_FAILS(ctx, open_study(m, "run", NULL, 0, &s), DRMAD_E_USAGE,
                "a device needs memory and programs");
    drmad_model_free(m);
}

TEST(model_study_ends_with_the_callers_status)
{
    drmad_ctx *ctx = test_ctx();
    cloud c;
    drmad_model *m = make(ctx, &c, true);
    drmad_study *s;

    CHECK_OK(ctx, open_study(m, "run", knobs, 2, &s));
    c.fail = DRMAD_E_MODEL;
    CHECK_FAILS(ctx, drmad_study_tune(s, 0), DRMAD_E_MODEL, "the caller's function");
    c.fail = 0;
    c.inner = s;
    CHECK_OK(ctx, drmad_study_train(s, 0));
    CHECK_INT(c.inner_st, DRMAD_E_USAGE);
    drmad_study_free(s);
    drmad_model_free(m);
}
