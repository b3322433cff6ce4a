/* drmad tune: the main job. */
#include "cli.h"
#include "drmad/study.h"

static const opt tune_opts[] = {
    SETTING('n', "steps", "outer.steps", "N", "updates of the hyperparameters to make"),
    FLAG('r', "resume", resume, "go on from the checkpoint in the output folder"),
    FLAG(0, "dry-run", dry_run, "say what it would cost, train nothing"),
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    return a->dry_run ? drmad_study_dry_run(study) : drmad_study_tune(study, a->resume);
}

static int tune_run(const args *a)
{
    return run_study(a, call);
}

const command cmd_tune = {
    "tune",
    "STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX,
    "tune hyperparameters by hypergradients",
    "Reads the study file, trains, walks back through training for the hypergradient, updates the\n"
    "hyperparameters, and so on; then retrains from scratch and reports on data that neither saw.\n"
    "KEY=VALUE sets a key of the study, as in outer.steps=20.",
    tune_opts,
    tune_run,
};
