/* drmad report: a study, or the folder of a run, as one page. */
#include "cli.h"
#include "drmad/store.h"
#include "drmad/study.h"
#include <string.h>
#include <unistd.h>

static const opt report_opts[] = {
    SETTING('o', "out", "file", "FILE", "the page; of a study standard output without it"),
    SETTING(0, "tensorboard", "tensorboard", "DIR", "event files for TensorBoard too"),
    OPT_STORE,
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    return drmad_store_report(s, study, (const char *const *)a->settings, a->setting_count);
}

static int report_run_folder(const args *a)
{
    term t;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    const char *const *settings = (const char *const *)a->settings;
    return run_close(ctx, &t, drmad_run_report(ctx, a->words[0], settings, a->setting_count));
}

/* A folder with a result, or a result that Python's result.to_json wrote. */
static bool is_run(const args *a)
{
    return !a->store && !strchr(a->words[0], '#') && access(a->words[0], F_OK) == 0;
}

static int report_run(const args *a)
{
    return is_run(a) ? report_run_folder(a) : run_store(a, "report", STORE_READ, true, call);
}

const command cmd_report = {
    "report",
    "[URL#]NAME|RUN-FOLDER",
    1,
    1,
    "a study or a run as one page: plots, tables, how to do it again",
    "The page is one HTML file that loads nothing. RUN-FOLDER is what tune, train or why left, or\n"
    "a file that Python's result.to_json wrote.",
    report_opts,
    report_run,
};
