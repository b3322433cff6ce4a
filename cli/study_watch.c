/* drmad study watch: a study as it goes, on a terminal; else trials as they finish. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* Over what was drawn before; without wrapping, so that a line is one. */
static drmad_status draw(void *user, const char *json, const char *text)
{
    int *drawn = user;

    (void)json;
    if (*drawn) printf("\033[%dA\r\033[J", *drawn);
    printf("\033[?7l");
    print_clean(text);
    printf("\033[?7h");
    *drawn = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) ++*drawn;
    return fflush(stdout) == 0 ? DRMAD_OK : DRMAD_E_IO;
}

static bool is_live(const args *a)
{
    const char *kind = getenv("TERM");

    return !a->json && !a->all && isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    const double every = a->every ? strtod(a->every, NULL) : every_default_s;
    int drawn = 0;

    if (is_live(a)) return drmad_store_glance(s, study, every, draw, &drawn);
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
    "the study as it goes, or trials as they finish, until Ctrl-C",
    "On a terminal: the best so far, the history, what runs and what it reported last, drawn "
    "again\n"
    "and again. Elsewhere, and with --all, one line a trial; with --json one JSON object a line.",
    study_watch_opts,
    study_watch_run,
};
