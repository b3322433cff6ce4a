/* Batteries of a hypero database become studies: experiment = trial, hyper-parameters with the
 * distributions that their values show, one result the trial's value, results and meta-data the
 * attributes "result:NAME" and "meta:NAME". docs/STORE.md has it side by side. */
#ifndef IMPORT_HYPERO_H
#define IMPORT_HYPERO_H
#include "report/report.h"

typedef struct hypero_import {
    const char *from, *schema;
    const char *battery;   /* NULL: all */
    const char *objective; /* NULL: the only number among the results */
    study_direction direction;
} hypero_import;

/* {"studies": [{"name", "objective", "trials", "complete", "already"}, ...]} */
drmad_status import_hypero(store *s, const hypero_import *o, json_t **out, buffer *text);
#endif
