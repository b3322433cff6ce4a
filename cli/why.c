/* drmad why: say which hyperparameters matter, from one training run. */
#include "cli.h"
#include "drmad/study.h"

static const opt why_opts[] = {
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    (void)a;
    return drmad_study_why(study);
}

static int why_run(const args *a)
{
    return run_study(a, call);
}

const command cmd_why = {
    "why",
    "STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX,
    "say which hyperparameters matter, from one training run",
    "One training run and one walk back: knobs ranked by how strongly the validation loss answers.",
    why_opts,
    why_run,
};
