/* drmad study list: the studies of a store, with their trials and best values. */
#include "cli.h"
#include "drmad/store.h"

static const opt study_list_opts[] = {
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    (void)a;
    (void)study;
    return drmad_store_list(s);
}

static int study_list_run(const args *a)
{
    return run_store(a, "study list", STORE_READ, false, call);
}

const command cmd_study_list = {
    "study list",
    NULL,
    0,
    0,
    "the studies of a store, with their trials and best values",
    NULL,
    study_list_opts,
    study_list_run,
};
