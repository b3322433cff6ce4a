/* The parameter table: what every tensor of a model is called, its shape, and where it lies in the
 * one flat buffer
 * that updates, norms and the trajectory encoder run over. Filled by nn/, read by everybody below.
 * */
#ifndef PARAMS_H
#define PARAMS_H
#include "config/hyper.h"
#include "tensor/tensor.h"

typedef enum param_role {
    PARAM_WEIGHT,
    PARAM_BIAS,
    PARAM_NORM,
    PARAM_STAT /* running statistics: no optimiser and no hyperparameter moves them */
} param_role;

typedef struct param {
    char *name;  /* full name in PyTorch's manner: "layers.0.weight" */
    shape shape; /* weight: [out, in]; bias: [out] */
    param_role role;
    int32_t layer;  /* 0, 1, ...: tensors of one layer share it */
    int64_t offset; /* first element in the flat buffer; a multiple of 16 */
    int64_t count;
} param;

/* A layer that has a hyperparameter of its own without being about its tensors. */
typedef struct param_site {
    char *name;      /* the layer's */
    hyper_kind kind; /* dropout: its rate; auxiliary: the weight of its loss */
} param_site;

typedef struct param_table {
    drmad_ctx *ctx;
    int32_t n, layers, sites;
    param *at;
    param_site *site;
    int64_t
        total; /* elements of the flat buffer, the gaps between tensors (always zero) included */
    int64_t weights; /* elements without the gaps and the running statistics */
} param_table;

drmad_status params_new(drmad_ctx *ctx, param_table **out);
void params_free(param_table *p); /* NULL is fine */
drmad_status params_add(param_table *p, const char *name, shape s, param_role role, int32_t layer);
drmad_status params_add_site(param_table *p, const char *name, hyper_kind kind);
#endif
