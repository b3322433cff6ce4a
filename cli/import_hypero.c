/* drmad import hypero: batteries of a hypero database become studies. */
#include "cli.h"
#include "drmad/store.h"

static const opt import_hypero_opts[] = {
    TEXT(0, "from", from, "URL", "the PostgreSQL that holds them, postgresql://HOST/DATABASE"),
    SETTING(0, "schema", "schema", "NAME", "hypero's schema there [hyper]"),
    SETTING(0, "battery", "battery", "NAME", "only this battery"),
    SETTING(0, "objective", "objective", "NAME", "the result that is a trial's value"),
    SETTING(0, "direction", "direction", "WORD",
            "of the objective: minimize or maximize [minimize]"),
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    (void)study;
    return drmad_store_import_hypero(s, a->from, (const char *const *)a->settings,
                                     a->setting_count);
}

static int import_hypero_run(const args *a)
{
    if (!a->from) {
        fprintf(stderr, "drmad import hypero: needs --from postgresql://HOST/DATABASE\n");
        return EXIT_USAGE;
    }
    return run_store(a, "import hypero", STORE_MAKE, false, call);
}

const command cmd_import_hypero = {
    "import hypero",
    NULL,
    0,
    0,
    "batteries of a hypero database become studies",
    "Battery = study, version = version, experiment = trial: docs/STORE.md. What was imported "
    "before\n"
    "is not imported again.",
    import_hypero_opts,
    import_hypero_run,
};
