/* What must not matter: a failing allocation leaves nothing (F26); the same bits with 1, 2 and 5
 * threads (F43) and under a locale with decimal commas (F44). */
#include "desk.h"
#include <locale.h>

typedef drmad_status torture_body(drmad_ctx *ctx, const char *path, const char *out);

static drmad_status tuned(drmad_ctx *ctx, const char *path, const char *const *settings, int n)
{
    drmad_study *s = NULL;
    drmad_status st = drmad_study_load(ctx, path, settings, n, &s);

    if (st == DRMAD_OK) st = drmad_study_tune(s, 0);
    drmad_study_free(s);
    return st;
}

static drmad_status pipeline(drmad_ctx *ctx, const char *path, const char *out)
{
    const char *const settings[] = {out, "threads=1", "outer.steps=1",
                                    "stages=[{run: refine, loosen: 1}, {run: retrain, seeds: 1}]",
                                    "hyper=[{kind: l2, per: unit-in}]"};

    return tuned(ctx, path, settings, (int)COUNT(settings));
}

static drmad_status rally(drmad_ctx *ctx, const char *path, const char *out)
{
    const char *const settings[] = {out,
                                    "threads=1",
                                    "outer.steps=1",
                                    "retrain.seeds=0",
                                    "model={layers: [auto, 4, 3, auto], activation: relu}",
                                    "rally=[{examples: 0.5}, {grow: [wider layers.0=5, deeper "
                                    "layers.1]}]",
                                    "hyper=[{kind: l2, per: unit-in}]"};

    return tuned(ctx, path, settings, (int)COUNT(settings));
}

static drmad_status body(drmad_ctx *ctx, const char *path, const char *out)
{
    const char *const settings[] = {out,
                                    "threads=1",
                                    "outer.steps=2",
                                    "retrain.seeds=1",
                                    "baselines.random=1",
                                    "hyper=[{kind: l2, per: unit-in, ties: [{per: global, until: "
                                    "1}]}, {kind: lr, low: 0.01, high: 1}]"};
    drmad_study *s = NULL;
    drmad_status st = drmad_study_load(ctx, path, settings, (int)COUNT(settings), &s);

    if (st == DRMAD_OK) st = drmad_study_why(s);
    if (st == DRMAD_OK) st = drmad_study_tune(s, 0);
    drmad_study_free(s);
    return st;
}

/* Every `stride`-th allocation fails; each needs a run of its own. */
static void fail_allocations(torture_body *run, long stride)
{
    char path[300], out[400];
    torture t;
    desk d;

    desk_open(&d);
    snprintf(path, sizeof path, "%s/study.yaml", d.folder);
    snprintf(out, sizeof out, "output.dir=%s/r", d.folder);
    for (long n = 1;; n += stride) {
        t = (torture){.countdown = n};
        drmad_ctx *ctx = drmad_ctx_new(torture_alloc, &t);
        const drmad_status st = run(ctx, path, out);
        const bool failed = t.countdown < 0;
        if (st != (failed ? DRMAD_E_NOMEM : DRMAD_OK))
            test_fail(__FILE__, __LINE__, "allocation %ld: status %d: %s", n, (int)st,
                      drmad_errmsg(ctx));
        drmad_ctx_free(ctx);
        if (t.live != 0) test_fail(__FILE__, __LINE__, "allocation %ld left %ld", n, t.live);
        if (!failed) break;
    }
    CHECK(desk_has(&d, "r", "result.json"));
    desk_close(&d);
}

/* Reduced: every 37th allocation. A run of two meta-steps makes some thousands of them. */
TEST(f26_a_study_survives_every_failing_allocation)
{
    fail_allocations(body, test_count(37, 1));
}

TEST(f26_a_pipeline_survives_every_failing_allocation)
{
    fail_allocations(pipeline, test_count(61, 1));
}

TEST(f26_a_rally_survives_every_failing_allocation)
{
    fail_allocations(rally, test_count(97, 1));
}

TEST(f43_bits_do_not_depend_on_the_thread_count)
{
    static const char *const kinds[] = {"trajectory.kind=full", "trajectory.kind=grid"};
    desk d;

    desk_open(&d);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        /* large enough that the pool takes part: 64 rows of 784 by 256 is 13 million products */
        const char *const more[][5] = {
            {kinds[i], "threads=1"}, {kinds[i], "threads=2"}, {kinds[i], "threads=5"}};
        static const char *const out[] = {"one", "two", "five"};
        for (size_t k = 0; k < 3; k++)
            CHECK_OK(d.ctx, DESK_RUN(&d, out[k], desk_tune, more[k][0], more[k][1],
                                     "model.layers=[auto, 256, auto]", "train.batch=64",
                                     "data.train=128", "train.steps=5", "outer.steps=2",
                                     "hyper=[{kind: l2, per: unit-in}, {kind: lr, per: layer}]"));
        desk_same(&d, "one", "two");
        desk_same(&d, "one", "five");
    }
    desk_close(&d);
}

/* A program around us may have set one. Cut under the one, gone on under the other. */
TEST(f44_a_locale_with_decimal_commas_changes_no_file)
{
    char text[16];
    desk d;

    desk_open(&d);
    CHECK_OK(d.ctx, DESK_RUN(&d, "whole", desk_tune, NULL));
    CHECK(test_comma_locale());
    snprintf(text, sizeof text, "%.1f", 0.5);
    CHECK_STR(text, "0,5");
    CHECK_OK(d.ctx, DESK_RUN(&d, "under", desk_tune, NULL));
    desk_same(&d, "whole", "under");
    CHECK_OK(d.ctx, DESK_RUN(&d, "rally", desk_tune, "rally=[{examples: 0.5}]"));
    d.at = 2, d.signal = 15;
    CHECK_INT(DESK_RUN(&d, "cut", desk_tune, NULL), DRMAD_E_TERMINATED);
    setlocale(LC_NUMERIC, "C");
    d.at = 0;
    CHECK_OK(d.ctx, DESK_RUN(&d, "cut", desk_resume, NULL));
    desk_same(&d, "whole", "cut");
    unsetenv("LOCPATH");
    desk_close(&d);
}
