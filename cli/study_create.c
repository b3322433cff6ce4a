/* drmad study create: a study before its first worker. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>

static const opt study_create_opts[] = {
    TEXT('d', "direction", direction, "WORDS",
         "minimize or maximize; minimize,maximize for two objectives [minimize]"),
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    int made;
    const drmad_status st =
        drmad_store_create(s, study, a->direction ? a->direction : "minimize", &made);

    if (st != DRMAD_OK) return st;
    if (a->json) {
        printf("{\"name\": ");
        print_json_string(stdout, study);
        printf(", \"made\": %s, \"schema\": 1}\n", made ? "true" : "false");
    } else {
        print_clean(study);
        printf(": %s\n", made ? "made" : "is there already");
    }
    return DRMAD_OK;
}

static int study_create_run(const args *a)
{
    return run_store(a, "study create", STORE_MAKE, true, call);
}

const command cmd_study_create = {
    "study create",
    "[URL#]NAME",
    1,
    1,
    "make a study, and its store when there is none",
    "One that exists is left as it is; with other directions that is an error.",
    study_create_opts,
    study_create_run,
};
