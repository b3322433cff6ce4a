/* Models from a folder that `python -m drmad.export` wrote (docs/GRAPH.md): the graph of the loss,
 * names, shapes and roles of its tensors, and start weights. All of it runs inside the library: the
 * caller gives data, and no function is called back but where the caller wants its own start
 * weights or its own order of examples.
 *
 *   drmad_model_import(ctx, folder, &m)          checked, and compared with PyTorch's own values
 *   drmad_model_set_data(m, "mine", n, v, 0, b)  how many examples, how many a batch
 *   drmad_model_bind(m, part, "x", rows, n)      each input, for each part that has examples
 *   drmad_model_set_sources(...)                 optional
 *   drmad_model_study(m, overrides, k, &s)       as with any model (drmad/model.h)
 *
 * Ownership: import gives, drmad_model_free takes; what is bound is copied, so that it may go. */
#ifndef DRMAD_GRAPH_H
#define DRMAD_GRAPH_H
#include "drmad/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the folder, checks every node, lowers the graph and compares loss, gradient and
 * Hessian-vector product of the stored batch with the stored values. DRMAD_E_MODEL names the file,
 * the node and what to do. */
DRMAD_API drmad_status drmad_model_import(drmad_ctx *ctx, const char *folder, drmad_model **out);

/* What the folder holds and how near it is to PyTorch, for people and as one JSON object; NULL of
 * another model. They live as long as the model. */
DRMAD_API const char *drmad_model_text(const drmad_model *m);
DRMAD_API const char *drmad_model_json(const drmad_model *m);

/* Inputs with a row an example (roles batch and label), in the order of the file. Name, type
 * ("f32", "f64", "i64") and elements of one row; NULL, NULL and -1 of a number that is none. */
DRMAD_API int drmad_model_inputs(const drmad_model *m);
DRMAD_API const char *drmad_model_input_name(const drmad_model *m, int input);
DRMAD_API const char *drmad_model_input_type(const drmad_model *m, int input);
DRMAD_API int64_t drmad_model_input_width(const drmad_model *m, int input);

/* The `count` rows of input `name` in part 0 (training), 1 (validation) or 2 (test): row-major in
 * the input's type and shape as PyTorch has it (images [c, h, w]); whole numbers are int64_t. They
 * are copied into the library's own layout; a second call replaces the first. `count` must be what
 * drmad_model_set_data said. Labels below 0 are refused: PyTorch leaves some of them out of the
 * loss (ignore_index). */
DRMAD_API drmad_status drmad_model_bind(drmad_model *m, int part, const char *name,
                                        const void *rows, int64_t count);

/* start: weights of a run, in place of the folder's: w comes with the folder's, buffers (running
 * statistics) at their places among them, and may be changed. batch: the examples of each step, in
 * place of train.order; short runs of one seed ask once. Either may be NULL. */
DRMAD_API drmad_status drmad_model_set_sources(drmad_model *m, drmad_start_fn *start,
                                               drmad_batch_fn *batch, void *user);

/* The number of the tensor with this full name, buffers included: for drmad_model_offset and
 * drmad_study_value; -1: none. */
DRMAD_API int drmad_model_find(const drmad_model *m, const char *tensor);

#ifdef __cplusplus
}
#endif
#endif
