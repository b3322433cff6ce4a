/* drmad check: prove the derivatives on your own study. */
#include "cli.h"
#include "drmad/study.h"

static const opt check_opts[] = {
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    (void)a;
    return drmad_study_check(study);
}

static int check_run(const args *a)
{
    return run_study(a, call);
}

const command cmd_check = {
    "check",
    "STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX,
    "prove the derivatives on your own study",
    "Compares the hypergradient with forward mode and finite differences on a short run.",
    check_opts,
    check_run,
};
