/* drmad store start-local: a PostgreSQL to try things out with. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>

static const opt store_start_local_opts[] = {
    OPTS_SERVER,
    OPTS_END,
};

int start_local(const args *a, const char *const *settings, int n)
{
    term t;
    char url[URL_MAX];
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    const drmad_status st = drmad_store_start_local(ctx, settings, n, url, sizeof url);
    if (st == DRMAD_OK) printf("%s\n", url);
    return run_close(ctx, &t, st);
}

static int store_start_local_run(const args *a)
{
    const int status = start_local(a, (const char *const *)a->settings, a->setting_count);

    if (status == 0 && !a->quiet)
        fprintf(stderr, "use it:  export DRMAD_STORAGE='the line above'\n"
                        "end it:  drmad store stop\n");
    return status;
}

const command cmd_store_start_local = {
    "store start-local",
    NULL,
    0,
    0,
    "start a PostgreSQL of your own on this machine",
    "Made on the first start, on loopback alone, without an administrator. Prints its URL, which\n"
    "names the file (0600) that holds the password. Started by root it runs as postgres or nobody.",
    store_start_local_opts,
    store_start_local_run,
};
