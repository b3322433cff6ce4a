/* objective.seeds: trials of several training runs. What they are charged: test_stages.c; their
 * gradients: test_slope.c. */
#include "desk.h"
#include "drmad/trial.h"

static const char parameter[] = "parameters=[{name: optimizer.lr, low: 0.01, high: 1, log: true}]";

static const json_t *run_of(const desk *d)
{
    return json_object_get(d->result, "run");
}

static double loss(const json_t *run)
{
    const json_t *x = json_object_get(run, "objective_loss");

    return json_is_number(x) ? json_number_value(x) : NAN;
}

static const json_t *each(const desk *d, size_t i)
{
    return json_array_get(json_object_get(d->result, "runs"), i);
}

TEST(training_over_seeds_gives_the_mean)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "one", desk_train, NULL));
    const double first = loss(run_of(&d));
    CHECK(!json_object_get(d.result, "runs"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "three", desk_train, "objective.seeds=3"));
    CHECK_INT(json_array_size(json_object_get(d.result, "runs")), 3);
    const double a = loss(each(&d, 0)), b = loss(each(&d, 1)), c = loss(each(&d, 2));

    CHECK_NEAR(a, first, 0); /* the first is what one seed gives */
    CHECK(b != a && c != a && c != b);
    CHECK_NEAR(loss(run_of(&d)), (a + b + c) / 3, 0);
    desk_close(&d);
}

TEST(trials_over_seeds_are_worth_what_training_says)
{
    desk d;
    char store[400];

    desk_open(&d);
    snprintf(store, sizeof store, "store=sqlite:%s/t.db", d.folder);
    CHECK_OK(d.ctx,
             DESK_RUN(&d, "s", drmad_study_work, parameter, store, "objective.run=train",
                      "objective.seeds=3", "search.trials=1", "search.enqueue=[optimizer.lr=0.5]"));
    const json_t *best = json_object_get(d.result, "best");
    const double value = json_number_value(json_object_get(best, "value"));
    CHECK_OK(d.ctx, DESK_RUN(&d, "t", desk_train, "objective.seeds=3", "optimizer.lr=0.5"));
    CHECK_NEAR(loss(run_of(&d)), value, 0);
    desk_close(&d);
}

/* Steps go on over the runs; the mean of those that are over is an intermediate value too, and the
 * macs grow up to those of the result. */
TEST(training_over_seeds_reports_the_mean_so_far)
{
    desk d;
    size_t size, n = 0;
    double x[8], macs = 0;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "t", desk_train, "objective={seeds: 3, report_every: 4}"));
    char *log = desk_read(&d, "t", "log.jsonl", &size), *at = log;

    for (char *end; log && n < COUNT(x) && (end = strchr(at, '\n')); at = end + 1) {
        json_t *j = json_loadb(at, (size_t)(end - at), 0, NULL);
        const char *event = json_string_value(json_object_get(j, "event"));

        if (event && strcmp(event, "report") == 0) {
            x[n++] = json_number_value(json_object_get(j, "objective"));
            CHECK_INT(json_integer_value(json_object_get(j, "step")), 4 * (json_int_t)n);
            CHECK(json_number_value(json_object_get(j, "macs")) > macs);
            macs = json_number_value(json_object_get(j, "macs"));
        }
        json_decref(j);
    }
    CHECK_INT(n, 5); /* 8 steps a run; what follows the last is the value itself */
    CHECK_NEAR(x[1], loss(each(&d, 0)), 0);
    CHECK_NEAR(x[3], (loss(each(&d, 0)) + loss(each(&d, 1))) / 2, 0);
    CHECK(json_number_value(json_object_get(run_of(&d), "macs")) > macs);
    free(log);
    desk_close(&d);
}

/* One that is not finite is no mean, and the others are not made. */
TEST(training_over_seeds_ends_with_the_first_that_diverges)
{
    desk d;

    desk_open(&d);
    CHECK_INT(DESK_RUN(&d, "t", desk_train, "objective.seeds=3", "optimizer.lr=1e8"),
              DRMAD_E_DIVERGED);
    CHECK_INT(json_array_size(json_object_get(d.result, "runs")), 1);
    CHECK(isnan(loss(run_of(&d))));
    CHECK(json_integer_value(json_object_get(run_of(&d), "diverged_at")) >= 0);
    desk_close(&d);
}

TEST(trials_that_tune_have_no_seeds)
{
    desk d;
    char store[400];

    desk_open(&d);
    snprintf(store, sizeof store, "store=sqlite:%s/t.db", d.folder);
    CHECK_FAILS(d.ctx, DESK_RUN(&d, "s", drmad_study_work, parameter, store, "objective.seeds=2"),
                DRMAD_E_CONFIG, "objective.seeds: is only for objective.run: train");
    desk_close(&d);
}
