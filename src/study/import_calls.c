/* Models from a folder: the calls of drmad/graph.h. */
#include "drmad/graph.h"
#include "study/model.h"
#include <string.h>

drmad_status drmad_model_import(drmad_ctx *ctx, const char *folder, drmad_model **out)
{
    *out = NULL;
    return FAIL(ctx, DRMAD_E_MODEL, "%s: cannot be read yet", folder);
}
int drmad_model_inputs(const drmad_model *m)
{
    (void)m;
    return 0;
}
const char *drmad_model_input_name(const drmad_model *m, int input)
{
    (void)m;
    (void)input;
    return 0;
}
const char *drmad_model_input_type(const drmad_model *m, int input)
{
    (void)m;
    (void)input;
    return 0;
}
int64_t drmad_model_input_width(const drmad_model *m, int input)
{
    (void)m;
    (void)input;
    return -1;
}
drmad_status drmad_model_bind(drmad_model *m, int part, const char *name, const void *rows,
                              int64_t count)
{
    (void)part;
    (void)rows;
    (void)count;
    return FAIL(m->ctx, DRMAD_E_MODEL, "%s: no input of that name", name);
}
drmad_status drmad_model_set_sources(drmad_model *m, drmad_start_fn *start, drmad_batch_fn *batch,
                                     void *user)
{
    (void)start;
    (void)batch;
    (void)user;
    return FAIL(m->ctx, DRMAD_E_MODEL, "not an imported model");
}
int drmad_model_find(const drmad_model *m, const char *tensor)
{
    for (int32_t i = 0; i < m->params->n; i++)
        if (strcmp(m->params->at[i].name, tensor) == 0) return i;
    return -1;
}
