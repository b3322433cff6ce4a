/* drmad tune: the main job. */
#include "cli.h"
#include "drmad/study.h"

static const opt tune_opts[] = {
    SETTING('n', "steps", "outer.steps", "N", "updates of the hyperparameters to make"),
    FLAG('r', "resume", resume, "go on from the checkpoint in the output folder"),
    SETTING(0, "jobs", "worker.jobs", "N", "trials side by side [auto: as cores allow]"),
    SETTING(0, "store", "store", "URL", "where trials are kept [sqlite:drmad.db]"),
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
    "tune hyperparameters by hypergradients, or search over whole runs",
    "Reads the study file, trains, walks back through training for the hypergradient, updates the\n"
    "hyperparameters, and so on; then retrains from scratch and reports on data that neither saw.\n"
    "A study with `parameters` is searched: trials side by side, kept in its store, where any\n"
    "number of these may work on them at once. SIGUSR1 then gives trials back and ends with 75.\n"
    "KEY=VALUE sets a key of the study, as in outer.steps=20.",
    tune_opts,
    tune_run,
};
