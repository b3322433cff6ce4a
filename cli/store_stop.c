/* drmad store stop: ends the server of drmad store start. */
#include "cli.h"
#include "drmad/store.h"

static const opt store_stop_opts[] = {
    TEXT(0, "folder", folder, "DIR", "where the server keeps its files"),
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

static int store_stop_run(const args *a)
{
    term t;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    return run_close(ctx, &t, drmad_store_stop_local(ctx, a->folder));
}

const command cmd_store_stop = {
    "store stop",
    NULL,
    0,
    0,
    "stop the PostgreSQL that drmad store start-local or start began",
    NULL,
    store_stop_opts,
    store_stop_run,
};
