/* A model that the caller computes: what stands behind drmad_model. */
#ifndef MODEL_H
#define MODEL_H
#include "config/config.h"
#include "exec/device.h"
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
};

/* Refuses by name what a study asks for that only a model of drmad's own has. */
drmad_status model_check_study(const drmad_model *m, const config *cfg);
#endif
