/* drmad study delete: a study with all its trials. */
#include "cli.h"
#include "drmad/store.h"
#include <stdio.h>

static const opt study_delete_opts[] = {
    FLAG('y', "yes", yes, "do it: nothing brings the trials back"),
    OPTS_STORE,
    OPTS_END,
};

static drmad_status call(drmad_store *s, const char *study, const args *a)
{
    const drmad_status st = drmad_store_delete(s, study);

    if (st != DRMAD_OK) return st;
    if (a->json) {
        printf("{\"name\": ");
        print_json_string(stdout, study);
        printf(", \"deleted\": true, \"schema\": 1}\n");
    } else {
        print_clean(study);
        printf(": deleted\n");
    }
    return DRMAD_OK;
}

static int study_delete_run(const args *a)
{
    if (!a->yes) {
        fprintf(stderr, "drmad study delete: this deletes the study with all its trials and "
                        "artefacts; say --yes\n");
        return EXIT_USAGE;
    }
    return run_store(a, "study delete", STORE_WRITE, true, call);
}

const command cmd_study_delete = {
    "study delete",    "[URL#]NAME",     1, 1, "delete a study with its trials and artefacts", NULL,
    study_delete_opts, study_delete_run,
};
