/* drmad store upgrade: our own tables to this version. */
#include "cli.h"
#include "drmad/store.h"

static const opt store_upgrade_opts[] = {
    OPT_STORE,
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

static int store_upgrade_run(const args *a)
{
    term t;
    const char *url = a->word_count ? a->words[0] : a->store;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    return run_close(ctx, &t, drmad_store_upgrade(ctx, url));
}

const command cmd_store_upgrade = {
    "store upgrade",
    "[URL]",
    0,
    1,
    "bring drmad's tables to this version",
    "Only tables that Optuna does not know; Optuna's own: optuna storage upgrade. Make a copy "
    "first.",
    store_upgrade_opts,
    store_upgrade_run,
};
