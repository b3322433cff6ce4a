/* A model that the caller computes, or one from a folder over the caller's data: what stands behind
 * drmad_model. */
#ifndef MODEL_H
#define MODEL_H
#include "config/config.h"
#include "exec/device.h"
#include "import/import.h"
#include "train/train.h"

struct drmad_model {
    drmad_ctx *ctx;
    char *name, *data_name;
    dtype dtype;
    param_table *params;
    int64_t count[3]; /* examples: training, validation, test */
    int64_t batch;
    double *factor; /* of the base rate at each step, [factors]; NULL: the study's schedule */
    int64_t factors;
    oracle oracle;
    device device; /* where the oracle's vectors live, if it has one */
    /* From a folder (drmad/graph.h); then there is no oracle. */
    imported *import;
    import_parity parity;
    char *text, *json;
    void *rows[3][GRAPH_ROWS_MAX]; /* by part and place among the inputs with rows: as they lie */
    int32_t *labels[3];            /* of each part; zeros where the model has none */
    int32_t *list;                 /* 0, 1, ...: the examples of any part */
    train_sources sources;
};

/* model_text.c: text and json of a model from a folder. */
drmad_status model_describe(drmad_model *m);

/* model_import.c: the rows of a part. */
examples model_examples(const drmad_model *m, int part);
int32_t model_classes(const drmad_model *m); /* one more than the largest label; 0: none */
drmad_status model_check_rows(const drmad_model *m);
void model_import_forget(drmad_model *m); /* its rows */
void model_import_free(drmad_model *m);

/* Refuses by name what a study asks for that only a model of drmad's own has. */
drmad_status model_check_study(const drmad_model *m, const config *cfg);
#endif
