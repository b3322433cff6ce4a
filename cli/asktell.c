/* drmad trial ask, report, tell, enqueue: trials from a shell. */
#include "cli.h"
#include "drmad/trial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POINT_MAX = 65536 };

static int needs(const char *verb, const char *what)
{
    fprintf(stderr, "drmad trial %s: needs %s (see drmad trial %s --help)\n", verb, what, verb);
    return EXIT_USAGE;
}

/* ---- ask ---- */

static const opt ask_opts[] = {
    OPTS_TRIALS,
    SETTING(0, "lease", "worker.lease", "SECONDS", "how long the trial is yours unless reported"),
    OPTS_STUDY,
    OPTS_END,
};

static drmad_status ask(void *study, const args *a)
{
    drmad_trial *t;
    const drmad_status st = drmad_study_ask(study, &t);

    (void)a;
    if (st != DRMAD_OK || !t) return st;
    printf("{\"number\": %lld, \"params\": %s, ", (long long)drmad_trial_number(t),
           drmad_trial_params_json(t));
    printf("\"token\": \"%s\"}\n", drmad_trial_token(t));
    drmad_trial_free(t);
    return DRMAD_OK;
}

static int ask_run(const args *a)
{
    if (!a->study && a->word_count == 0) return needs("ask", "STUDY or --study");
    return run_trials(a, 0, ask);
}

const command cmd_trial_ask = {
    "trial ask",
    "[STUDY] [KEY=VALUE]...",
    0,
    WORDS_MAX,
    "take the next trial and print its parameters",
    "Prints {\"number\": N, \"params\": {...}, \"token\": T}, nothing when the study has its "
    "trials.\n"
    "The trial is yours for --lease seconds from here and from each report; then it counts as\n"
    "lost and tell is refused.",
    ask_opts,
    ask_run,
};

/* ---- report and tell ---- */

static const opt tell_opts[] = {
    TEXT('t', "token", token, "T", "what ask printed"),
    OPTS_TRIALS,
    SETTING(0, "lease", "worker.lease", "SECONDS", "how long the trial is yours from here"),
    OPTS_STUDY,
    OPTS_END,
};

static bool read_real(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return *text && *end == '\0';
}

static bool read_int(const char *text, long long *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return *text && *end == '\0' && errno == 0;
}

static drmad_status report(void *study, const args *a)
{
    drmad_trial *t = NULL;
    long long number = 0, step = 0;
    double value = 0;
    int prune = 0;

    read_int(own_word(a, 0), &number);
    read_int(own_word(a, 1), &step);
    read_real(own_word(a, 2), &value);
    drmad_status st = drmad_study_trial(study, a->token, number, &t);
    if (st != DRMAD_OK) return st;
    st = drmad_trial_report(t, step, value);
    if (st == DRMAD_OK) st = drmad_trial_should_prune(t, &prune);
    if (st == DRMAD_OK) st = drmad_trial_beat(t);
    if (st == DRMAD_OK && a->json)
        printf("{\"number\": %lld, \"step\": %lld, \"prune\": %s}\n", number, step,
               prune ? "true" : "false");
    else if (st == DRMAD_OK && prune) puts("prune");
    drmad_trial_free(t);
    return st;
}

static int report_run(const args *a)
{
    long long number, step;
    double value;

    if (!own_word(a, 2) || own_word(a, 3)) return needs("report", "STUDY NUMBER STEP VALUE");
    if (!a->token) return needs("report", "--token");
    if (!read_int(own_word(a, 0), &number) || !read_int(own_word(a, 1), &step) ||
        !read_real(own_word(a, 2), &value))
        return needs("report", "NUMBER and STEP as whole numbers and VALUE as a number");
    return run_trials(a, 3, report);
}

const command cmd_trial_report = {
    "trial report",
    "[STUDY] NUMBER STEP VALUE",
    3,
    4,
    "store an intermediate value of a trial that was asked for",
    "Prints \"prune\" when the study's pruner would end the trial here, else nothing: end it with\n"
    "drmad trial tell ... pruned. With --json {\"number\": N, \"step\": S, \"prune\": "
    "true|false}.\n"
    "Renews the lease too.",
    tell_opts,
    report_run,
};

static drmad_status tell(void *study, const args *a)
{
    const char *what = own_word(a, 1);
    drmad_trial *t = NULL;
    long long number = 0;
    double value;

    read_int(own_word(a, 0), &number);
    drmad_status st = drmad_study_trial(study, a->token, number, &t);
    if (st != DRMAD_OK) return st;
    if (read_real(what, &value)) st = drmad_trial_tell(t, "COMPLETE", &value, 1);
    else if (strcasecmp(what, "release") == 0) st = drmad_trial_release(t);
    else if (strcasecmp(what, "pruned") == 0) st = drmad_trial_tell(t, "PRUNED", NULL, 0);
    else st = drmad_trial_tell(t, "FAIL", NULL, 0);
    drmad_trial_free(t);
    return st;
}

static int tell_run(const args *a)
{
    const char *what = own_word(a, 1);
    long long number;
    double value;

    if (!what || own_word(a, 2)) return needs("tell", "STUDY NUMBER and a value or word");
    if (!a->token) return needs("tell", "--token");
    if (!read_int(own_word(a, 0), &number)) return needs("tell", "NUMBER as a whole number");
    if (!read_real(what, &value) && strcasecmp(what, "release") != 0 &&
        strcasecmp(what, "pruned") != 0 && strcasecmp(what, "fail") != 0)
        return needs("tell", "a number, pruned, fail or release");
    return run_trials(a, 2, tell);
}

const command cmd_trial_tell = {
    "trial tell",
    "[STUDY] NUMBER VALUE|pruned|fail|release",
    2,
    3,
    "end a trial that was asked for",
    "release gives it back to the queue. NaN fails it.",
    tell_opts,
    tell_run,
};

/* ---- enqueue ---- */

static const opt enqueue_opts[] = {
    OPTS_TRIALS,
    OPTS_STUDY,
    OPTS_END,
};

/* name=value words as one point; quotes and blanks within a value are kept. */
static bool make_point(const args *a, char *point, size_t size)
{
    const char *word;
    size_t n = 0;

    for (int i = 0; (word = own_word(a, i)); i++) {
        n += (size_t)snprintf(point + n, size - n, "%s%s", i ? " " : "", word);
        if (n >= size) return false;
    }
    return n > 0;
}

static drmad_status enqueue(void *study, const args *a)
{
    char *point = malloc(POINT_MAX);
    int64_t number;
    drmad_status st = DRMAD_E_NOMEM;

    if (point && make_point(a, point, POINT_MAX)) st = drmad_study_enqueue(study, point, &number);
    free(point);
    if (st == DRMAD_OK) printf("{\"number\": %lld}\n", (long long)number);
    return st;
}

static int enqueue_run(const args *a)
{
    size_t n = 0;
    const char *word;

    for (int i = 0; (word = own_word(a, i)); i++) n += strlen(word) + 1;
    if (n == 0 || n >= POINT_MAX) return needs("enqueue", "STUDY NAME=VALUE..., at most 64 KiB");
    return run_trials(a, WORDS_MAX, enqueue);
}

const command cmd_trial_enqueue = {
    "trial enqueue",
    "[STUDY] NAME=VALUE...",
    1,
    WORDS_MAX,
    "queue a point to be tried next",
    "Or one JSON object. Parameters that it lacks are drawn. Prints the number of the trial.",
    enqueue_opts,
    enqueue_run,
};
