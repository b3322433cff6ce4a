/* drmad explain: print the plans: nodes, groups, memory, FLOPs. */
#include "cli.h"
#include "drmad/study.h"

static const opt explain_opts[] = {
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    (void)a;
    return drmad_study_explain(study);
}

static int explain_run(const args *a)
{
    return run_study(a, call);
}

const command cmd_explain = {
    "explain",
    "STUDY [KEY=VALUE]...",
    1,
    WORDS_MAX,
    "print the plans: nodes, groups, memory, FLOPs",
    NULL,
    explain_opts,
    explain_run,
};
