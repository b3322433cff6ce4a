/* drmad study best: the best trial of a study, with its parameters. */
#include "cli.h"
#include "drmad/store.h"

static const opt study_best_opts[] = {
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    (void)a;
    return drmad_store_best(s, study);
}

static int study_best_run(const args *a)
{
    return run_store(a, "study best", STORE_READ, true, call);
}

const command cmd_study_best = {
    "study best",
    "[URL#]NAME",
    1,
    1,
    "the best trial of a study, with its parameters",
    "With several objectives: all trials that no other one beats in every objective.",
    study_best_opts,
    study_best_run,
};
