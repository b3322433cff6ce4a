/* Trials of our own training that tell their gradient. */
#include "drmad/store.h"
#include "drmad/trial.h"
#include "test.h"
#include <jansson.h>

static const char *const names[] = {"optimizer.lr", "optimizer.momentum", "optimizer.weight_decay",
                                    "train.l2", "train.l1"};
enum { KEYS = COUNT(names) };
static const double point[KEYS] = {0.3, 0.6, 2e-3, 5e-3, 1e-3};

static void put_point(const double *x, char *buf, size_t size)
{
    size_t n = 0;

    for (int i = 0; i < KEYS; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s=%.17g", i ? " " : "", names[i], x[i]);
}

/* The trials of one study: the point, then a step to either side in each parameter. */
static json_t *run(const char *schedule)
{
    drmad_ctx *ctx = test_ctx();
    char url[400], store[420], out[420], text[400];
    const char *const settings[] = {
        "data={kind: synthetic-digits, train: 60, valid: 40, test: 30}",
        "model.layers=[auto, 4, auto]",
        "train={steps: 12, batch: 10}",
        "dtype=f64",
        "trajectory.kind=full",
        "seed=3",
        "parameters=[{name: optimizer.lr, low: 1e-3, high: 1, log: true}, "
        "{name: optimizer.momentum, low: 0, high: 0.99}, "
        "{name: optimizer.weight_decay, low: 0, high: 1}, "
        "{name: train.l2, low: 0, high: 1}, {name: train.l1, low: 0, high: 1}]",
        "search={trials: 11, gradients: true, sampler: sobol}",
        "worker.jobs=1",
        schedule,
        store,
        out,
    };
    drmad_study *s = NULL;
    drmad_store *open = NULL;
    int64_t number;

    snprintf(url, sizeof url, "sqlite:%s/t.db", test_scratch());
    snprintf(store, sizeof store, "store=%s", url);
    snprintf(out, sizeof out, "output.dir=%s/out", test_scratch());
    CHECK_OK(ctx, drmad_study_load(ctx, NULL, settings, COUNT(settings), &s));
    for (int i = -1; i < 2 * KEYS; i++) {
        double x[KEYS];

        memcpy(x, point, sizeof x);
        if (i >= 0) x[i / 2] *= 1 + (i % 2 ? 1e-5 : -1e-5);
        put_point(x, text, sizeof text);
        CHECK_OK(ctx, drmad_study_enqueue(s, text, &number));
    }
    CHECK_OK(ctx, drmad_study_work(s));
    drmad_study_free(s);
    CHECK_OK(ctx, drmad_store_open(ctx, url, NULL, 0, &open));
    CHECK_OK(ctx, drmad_store_trials(open, "study", NULL, 0));
    json_t *result = json_loads(drmad_store_result_json(open), 0, NULL);
    drmad_store_close(open);
    return result;
}

static const json_t *trial(const json_t *result, size_t i)
{
    return json_array_get(json_object_get(result, "trials"), i);
}

static double value(const json_t *result, size_t i)
{
    return json_number_value(json_array_get(json_object_get(trial(result, i), "values"), 0));
}

static void check_gradient(const char *schedule)
{
    json_t *result = run(schedule);
    const json_t *attrs = json_object_get(trial(result, 0), "system_attrs");
    const json_t *gradient = json_object_get(attrs, "drmad:gradient");

    for (size_t k = 0; k < KEYS; k++) {
        const double step = 2e-5 * point[k];
        const double slope = (value(result, 2 * k + 2) - value(result, 2 * k + 1)) / step;
        const double told = json_number_value(json_object_get(gradient, names[k]));

        /* central differences of steps of 1e-5: 1e-10 of the third derivative, 1e-16 / step */
        if (!(fabs(told - slope) <= 1e-5 * (fabs(slope) + 1e-3)))
            test_fail(__FILE__, __LINE__, "%s, %s: told %.9g, by differences %.9g", schedule,
                      names[k], told, slope);
        CHECK(told != 0);
    }
    json_decref(result);
}

TEST(training_tells_the_slope_of_its_objective)
{
    check_gradient("optimizer.nesterov=true");
}

TEST(training_tells_the_slope_under_a_schedule)
{
    check_gradient("optimizer={schedule: cosine, warmup: 3}");
}

/* The mean over the runs, as the value is. */
TEST(training_tells_the_slope_of_a_mean_over_seeds)
{
    check_gradient("objective.seeds=3");
}
