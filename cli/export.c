/* drmad export: a study as a table. */
#include "cli.h"
#include "drmad/store.h"

static const opt export_opts[] = {
    SETTING('f', "format", "format", "csv|json", "csv (RFC 4180) or json [csv]"),
    SETTING(0, "params", "params", "NAMES", "parameters to print: a,b or * [*]"),
    SETTING(0, "results", "results", "NAMES",
            "results to print: objectives, attributes result:NAME [*]"),
    SETTING(0, "meta", "meta", "NAMES", "meta-data to print: the other user attributes [*]"),
    SETTING(0, "order-by", "order_by", "NAME", "sort the rows by this column [number]"),
    SETTING(0, "desc", "desc", NULL, "largest first"),
    SETTING(0, "version", "version", "V", "only trials of this version of the code"),
    SETTING(0, "min-version", "min_version", "V", "of this version and of those that came later"),
    SETTING('o', "out", "file", "FILE", "write FILE instead of standard output"),
    OPT_STORE,
    OPT_QUIET,
    OPT_HELP,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    return drmad_store_export(s, study, (const char *const *)a->settings, a->setting_count);
}

static int export_run(const args *a)
{
    return run_store(a, "export", STORE_READ, true, call);
}

const command cmd_export = {
    "export",
    "[URL#]NAME",
    1,
    1,
    "a study as a table: CSV or JSON",
    "Columns: number, state, version, then parameters, results and meta-data. NAMES has commas\n"
    "between, or is a JSON list; \"\" for none. Rows without the column sorted by come last.",
    export_opts,
    export_run,
};
