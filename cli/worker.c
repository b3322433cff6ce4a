/* drmad worker: one of any number of processes that work on a study. */
#include "cli.h"
#include "drmad/trial.h"

static const opt worker_opts[] = {
    OPTS_TRIALS,
    OPT_TRUST,
    SETTING(0, "jobs", "worker.jobs", "N", "trials side by side [auto: as cores allow]"),
    SETTING(0, "lease", "worker.lease", "SECONDS", "a trial not renewed so long is another's"),
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status call(void *study, const args *a)
{
    (void)a;
    return drmad_study_work(study);
}

static int worker_run(const args *a)
{
    if (!a->study && a->word_count == 0) {
        fprintf(stderr, "drmad worker: needs STUDY or --study (see drmad worker --help)\n");
        return EXIT_USAGE;
    }
    return run_trials(a, 0, call);
}

const command cmd_worker = {
    "worker",
    "[STUDY] [KEY=VALUE]...",
    0,
    WORDS_MAX,
    "work on the trials of a study, beside any number of others",
    "Takes trials from the study's store until it has `search.trials`: queued ones, those whose\n"
    "worker was lost, new ones. SIGINT and SIGTERM stop what runs and give it back, at the latest\n"
    "after 30 s; SIGUSR1 too, and ends with 75: start me again. A command that only the store\n"
    "names is not run without --trust-store.",
    worker_opts,
    worker_run,
};
