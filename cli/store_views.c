/* drmad store hypero-views: hypero's own SQL over our studies. */
#include "cli.h"
#include "drmad/store.h"

static const opt store_views_opts[] = {
    SETTING(0, "schema", "schema", "NAME", "the schema that gets the views [hyper]"),
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    (void)study;
    return drmad_store_hypero_views(s, (const char *const *)a->settings, a->setting_count);
}

static int store_views_run(const args *a)
{
    return run_store(a, "store hypero-views", STORE_WRITE, false, call);
}

const command cmd_store_views = {
    "store hypero-views",
    NULL,
    0,
    0,
    "read-only views in hypero's shape over a PostgreSQL store",
    "battery, version, experiment, param, meta and result, for SQL that was written for hypero.",
    store_views_opts,
    store_views_run,
};
