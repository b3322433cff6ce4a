/* drmad study watch: trials as they finish. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>
#include <stdlib.h>

static const opt study_watch_opts[] = {
    FLAG('a', "all", all, "begin with the trials that are finished already"),
    TEXT(0, "every", every, "SECONDS", "how often to look [1]"),
    OPTS_STORE,
    OPTS_END,
};

static const double every_default_s = 1, every_least_s = 0.05;

static drmad_status on_trial(void *user, const char *json, const char *text)
{
    const args *a = user;

    print_clean(a->json ? json : text);
    putchar('\n');
    return fflush(stdout) == 0 ? DRMAD_OK : DRMAD_E_IO; /* flush_results says why */
}

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    const double every = a->every ? strtod(a->every, NULL) : every_default_s;

    return drmad_store_watch(s, study, a->all, every, on_trial, (void *)a);
}

static int study_watch_run(const args *a)
{
    char *end = NULL;

    if (a->every && (!(strtod(a->every, &end) >= every_least_s) || *end)) {
        fprintf(stderr, "drmad study watch: --every %s: expected seconds, %g at least\n", a->every,
                every_least_s);
        return EXIT_USAGE;
    }
    return run_store(a, "study watch", STORE_READ, true, call);
}

const command cmd_study_watch = {
    "study watch",
    "[URL#]NAME",
    1,
    1,
    "print trials as they finish, until Ctrl-C",
    "One line a trial; with --json one JSON object a line.",
    study_watch_opts,
    study_watch_run,
};
