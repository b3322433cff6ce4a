/* drmad train: train once with the study's start values, no tuning. */
#include "cli.h"
#include "drmad/study.h"

static const opt train_opts[] = {
    FLAG('r', "resume", resume, "go on from the checkpoint in the output folder"),
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    return drmad_study_train(study, a->resume);
}

static int train_run(const args *a)
{
    return run_study(a, call);
}

const command cmd_train = {
    "train",
    "STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX,
    "train once with the study's start values, no tuning",
    NULL,
    train_opts,
    train_run,
};
