/* How a study ends: done, unstable or diverged, each with its status, and never with a number that
 * is not one. F16 to F19 of the fault matrix. */
#include "desk.h"

/* A linear model with squared loss: too high a rate makes it grow without bounds, exponentially. */
#define GROWS "model.layers=[auto, auto]", "train.loss=squared", "optimizer.momentum=0"
#define TUNES_RATE "hyper=[{kind: lr, start: 1e-3, low: 1e-6, high: 1e30}]"

static const char *verdict(const desk *d, size_t i)
{
    const char *s = json_string_value(json_object_get(desk_step(d, i), "verdict"));

    return s ? s : "";
}

static const char *why(const desk *d, size_t i)
{
    const char *s = json_string_value(json_object_get(desk_step(d, i), "why"));

    return s ? s : "";
}

/* Tuned values stand in the file as doubles behind the header: all finite. */
static void check_values_finite(const desk *d, const char *out)
{
    size_t size;
    uint64_t header;
    char *bytes = desk_read(d, out, "hyperparameters.safetensors", &size);

    CHECK(bytes && size > 8);
    if (!bytes) return;
    memcpy(&header, bytes, sizeof header);
    CHECK(size > 8 + header);
    for (size_t at = 8 + (size_t)header; at + sizeof(double) <= size; at += sizeof(double)) {
        double x;
        memcpy(&x, bytes + at, sizeof x);
        CHECK(isfinite(x));
    }
    free(bytes);
}

TEST(f16_training_that_diverges_says_where)
{
    desk d;

    desk_open(&d);
    CHECK_INT(DESK_RUN(&d, "r", desk_train, GROWS, "optimizer.lr=1e6"), DRMAD_E_DIVERGED);
    CHECK(strstr(d.message, "training diverged: loss") && strstr(d.message, "of 8"));
    CHECK_STR(desk_word(&d, "status"), "diverged");
    const json_t *run = json_object_get(d.result, "run");
    const json_int_t at = json_integer_value(json_object_get(run, "diverged_at"));
    CHECK(at > 0 && at < 8);
    CHECK(json_is_null(json_object_get(run, "objective_loss"))); /* +Inf has no word in JSON */
    CHECK(!desk_has(&d, "r", "weights.safetensors"));
    desk_close(&d);
}

/* The second meta-step tries a rate that is far too high; the rest of the run must be of use. */
TEST(f16_a_run_that_diverges_is_taken_back_and_tuning_goes_on)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, GROWS, TUNES_RATE, "outer.optimizer=sign",
                             "outer.lr=16", "outer.steps=9"));
    CHECK_STR(verdict(&d, 0), "moved");
    CHECK_STR(verdict(&d, 1), "taken back");
    CHECK_STR(why(&d, 1), "the run diverged");
    CHECK(json_is_null(json_object_get(desk_step(&d, 1), "objective")));
    CHECK(json_is_integer(json_object_get(desk_step(&d, 1), "diverged_at")));
    int moved = 0;
    for (size_t i = 2; i < 9; i++) moved += strcmp(verdict(&d, i), "moved") == 0;
    CHECK(moved > 0);
    const double first = json_number_value(json_object_get(desk_step(&d, 0), "objective"));
    CHECK(desk_number(&d, "best_objective") < first);
    CHECK_STR(desk_word(&d, "status"), "done");
    check_values_finite(&d, "r");
    desk_close(&d);
}

/* Even 1/256 of the move multiplies the rate by 2,400: all nine tries diverge. */
TEST(f17_a_move_that_fails_however_short_ends_unstable)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, GROWS, TUNES_RATE, "outer.optimizer=sign",
                             "outer.lr=2000", "outer.steps=50"));
    CHECK_STR(desk_word(&d, "status"), "unstable");
    CHECK_INT(desk_number(&d, "meta_steps"), 1 + 9); /* one good, then 8 halvings */
    CHECK_STR(verdict(&d, 8), "taken back");
    CHECK_STR(verdict(&d, 9), "unstable");
    CHECK(strstr(d.log, "1 tuning ended unstable"));
    check_values_finite(&d, "r");
    desk_close(&d);
}

/* F is about 1e30 and finite in f32, its derivative is not to be used. */
TEST(f17_a_hypergradient_above_1e12_is_not_used)
{
    desk d;

    desk_open(&d);
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, GROWS, "outer.trust=false",
                       "hyper=[{kind: lr, start: 2, low: 1e-6, high: 1e30}]"),
              DRMAD_E_DIVERGED);
    CHECK(json_is_number(json_object_get(desk_step(&d, 0), "objective")));
    CHECK_STR(verdict(&d, 0), "unstable");
    CHECK(strstr(why(&d, 0), "hypergradient") || strstr(why(&d, 0), "way back"));
    CHECK_STR(desk_word(&d, "status"), "unstable");
    CHECK(strstr(d.message, "no usable hypergradient") && strstr(d.message, "lr 2"));
    CHECK(!desk_has(&d, "r", "hyperparameters.safetensors"));
    desk_close(&d);
}

TEST(f18_when_all_diverge_the_status_is_5_and_names_what_was_tried)
{
    desk d;

    desk_open(&d);
    const drmad_status st = DESK_RUN(&d, "r", desk_tune, GROWS, TUNES_RATE, "hyper.0.start=1e6");
    CHECK_INT(drmad_status_exit(st), 5);
    CHECK(strstr(d.message, "no finite run in 1 meta-steps; tried lr 1e+06"));
    CHECK_STR(desk_word(&d, "status"), "diverged");
    CHECK(json_is_array(json_object_get(json_object_get(d.result, "tried"), "lr")));
    CHECK(desk_has(&d, "r", "result.json") && !desk_has(&d, "r", "checkpoint.safetensors"));
    /* to go on from there gives the same end */
    CHECK_INT(DESK_RUN(&d, "r", desk_resume, GROWS, TUNES_RATE, "hyper.0.start=1e6"),
              DRMAD_E_DIVERGED);
    CHECK(strstr(d.message, "no finite run"));
    desk_close(&d);
}

/* With new seeds the same place is worth another try. */
TEST(f18_fresh_seeds_are_tried_nine_times)
{
    desk d;

    desk_open(&d);
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, GROWS, TUNES_RATE, "hyper.0.start=1e6",
                       "outer.fresh_seed=true", "outer.steps=50"),
              DRMAD_E_DIVERGED);
    CHECK_INT(desk_number(&d, "meta_steps"), 9);
    desk_close(&d);
}

TEST(f18_a_random_search_of_divergence_is_said_and_nothing_more)
{
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx,
             DESK_RUN(&d, "r", desk_tune, GROWS, "baselines.random=3",
                      "hyper=[{kind: lr, start: 1e-3, low: 9e-4, high: 1e38}]", "outer.steps=1"));
    CHECK(strstr(d.text, "random search: none of 3 runs is finite"));
    CHECK_INT(desk_number(&d, "random_search_runs"), 3);
    desk_close(&d);
}

/* Any growth is beyond a limit of 1. On an exact path it is real, on a straight line it is the
 * error of the path: there the hypergradient is refused. */
TEST(f19_growth_beyond_the_limit_is_reported_and_refused_on_a_line)
{
    static const char *const kinds[] = {"trajectory.kind=full", "trajectory.kind=grid"};
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.max_growth=1", kinds[i]));
        CHECK(desk_number(&d, "largest_growth") > 1);
        CHECK(strstr(d.log, "1 meta-step 1: |dF/dw| grew"));
        CHECK(strstr(d.log, i == 0 ? "exact" : "audits"));
        CHECK_STR(verdict(&d, 1), "moved");
    }
    CHECK_INT(DESK_RUN(&d, "r", desk_tune, "outer.max_growth=1", "trajectory.kind=line"),
              DRMAD_E_DIVERGED);
    CHECK(strstr(d.log, "use grid or full"));
    CHECK(strstr(why(&d, 0), "outer.max_growth"));
    CHECK_STR(desk_word(&d, "status"), "unstable");
    /* the published method as it is: for whoever asks for it */
    CHECK_OK(d.ctx, DESK_RUN(&d, "r", desk_tune, "outer.max_growth=1e300", "trajectory.kind=line"));
    desk_close(&d);
}
