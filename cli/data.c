/* drmad data get: the only command that opens a network connection. */
#include "cli.h"
#include "drmad/study.h"
#include <stdlib.h>

static const opt data_opts[] = {
    FLAG('q', "quiet", quiet, "only errors on standard error"),
    OPT_HELP,
    OPTS_END,
};

/* Where studies look for data by themselves: the XDG base directory for data. */
static void default_dir(const char *name, char *out, size_t size)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (xdg && xdg[0]) snprintf(out, size, "%s/drmad/%s", xdg, name);
    else snprintf(out, size, "%s/.local/share/drmad/%s", home ? home : "", name);
}

static int data_run(const args *a)
{
    term t;
    char dir[1024];

    if (a->word_count == 2) snprintf(dir, sizeof dir, "%s", a->words[1]);
    else default_dir(a->words[0], dir, sizeof dir);

    drmad_ctx *ctx = run_open(&t, a);
    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    drmad_status st = drmad_data_get(ctx, a->words[0], dir);
    if (st == DRMAD_OK) printf("%s\n", dir);
    return run_close(ctx, &t, st);
}

const command cmd_data = {
    "data get",
    "NAME [DIR]",
    1,
    2,
    "download a data set and check its SHA-256",
    "NAME: mnist. DIR when not given: where studies look by themselves,\n"
    "$XDG_DATA_HOME/drmad/NAME or ~/.local/share/drmad/NAME.\n"
    "Files already there and right are kept.",
    data_opts,
    data_run,
};
