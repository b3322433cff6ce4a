/* drmad study show: one study: trials by state, attributes, the best trial. */
#include "cli.h"
#include "drmad/store.h"

static const opt study_show_opts[] = {
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    (void)a;
    return drmad_store_show(s, study);
}

static int study_show_run(const args *a)
{
    return run_store(a, "study show", STORE_READ, true, call);
}

const command cmd_study_show = {
    "study show",
    "[URL#]NAME",
    1,
    1,
    "one study: trials by state, attributes, the best trial",
    NULL,
    study_show_opts,
    study_show_run,
};
