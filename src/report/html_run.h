/* The page of a run: tuned hyperparameters per layer, unit and phase, the path, the comparison,
 * from its folder (docs/RUNS.md) or from a result of the Python package.
 *
 * Ownership: a run_view is given by run_read and taken by run_free. */
#ifndef HTML_RUN_H
#define HTML_RUN_H
#include "report/buffer.h"
#include "report/svg.h"

/* The values of one kind for one tensor or layer: `phases` rows of `elements`. */
typedef struct run_slice {
    char *name, *kind;
    int64_t phases, elements;
    double *values;
} run_slice;

typedef struct run_view {
    drmad_ctx *ctx;
    json_t *result;     /* result.json or why.json */
    json_t *notes;      /* of the Python package; NULL */
    char *study, *name; /* the study as YAML, or NULL; what the run is called */
    char *folder;
    run_slice *slices;
    int32_t n, room;
} run_view;

/* DRMAD_E_DATA: no result there, or one that cannot be read. */
drmad_status run_read(drmad_ctx *ctx, const char *folder, run_view **out);
/* Tuned values alone, as hyperparameters.safetensors has them; `name` names the bytes. */
drmad_status run_of_tensors(drmad_ctx *ctx, const char *name, const void *bytes, size_t size,
                            run_view **out);
void run_free(run_view *r); /* NULL is fine */
/* Gives *out, the whole page. */
drmad_status html_run(drmad_ctx *ctx, const char *folder, char **out);
/* html_values.c: heat maps and schedules. */
drmad_status run_values(html *h, const run_view *r);
#endif
