/* drmad version: the build and the machine. */
#include "cli.h"
#include "drmad/info.h"

static const opt version_opts[] = {OPT_JSON, OPT_HELP, OPTS_END};

static drmad_status print_info(drmad_ctx *ctx, bool json)
{
    char value[512];
    bool more = true;

    if (json) printf("{\"schema\": 1");
    for (int i = 0; more; i++) {
        more = drmad_info_key(i) != NULL;
        const char *key = more ? drmad_info_key(i) : "cuda";
        drmad_status st = drmad_info(ctx, key, value, sizeof value);

        if (st != DRMAD_OK) return st;
        if (json) {
            printf(", \"%s\": ", key);
            print_json_string(stdout, value);
        } else {
            printf("%-9s %s\n", i == 0 ? "drmad" : key, value);
        }
    }
    if (json) printf("}\n");
    return DRMAD_OK;
}

static int version_run(const args *a)
{
    term t;
    drmad_ctx *ctx = run_open(&t, a);

    if (!ctx) return drmad_status_exit(DRMAD_E_NOMEM);
    drmad_status st = drmad_ctx_set_threads(ctx, 0);
    if (st == DRMAD_OK) st = print_info(ctx, a->json);
    return run_close(ctx, &t, st);
}

const command cmd_version = {
    "version", NULL, 0, 0, "print version, build and machine", NULL, version_opts, version_run,
};
