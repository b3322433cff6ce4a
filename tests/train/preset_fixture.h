/* A preset as a graph with drawn weights and data, and that graph run by a plan: for
 * test_presets.c and test_keep.c. */
#ifndef PRESET_FIXTURE_H
#define PRESET_FIXTURE_H
#include "ad/ad.h"
#include "exec/backend.h"
#include "nn/nn.h"
#include "test.h"

enum { CLASSES = 4, TENSORS_MAX = 300, LEAVES_MAX = 700 };

typedef struct scene {
    drmad_ctx *ctx;
    dtype type;
    int64_t batch;
    graph *g;
    nn_spec *s;
    param_table *p;
    void *data[LEAVES_MAX];
    node w[TENSORS_MAX], u[TENSORS_MAX], grad[TENSORS_MAX], next[TENSORS_MAX];
    node out[3 * TENSORS_MAX]; /* the loss, gradients, their products, next statistics */
    int outs;
} scene;

/* Loss, gradient and next running statistics; `train` false: of an evaluation, without them. */
scene *scene_open(const nn_preset *p, dtype type, bool train, int64_t batch);
/* And the gradient's Hessian-vector product along drawn u. */
scene *scene_open_products(const nn_preset *p, dtype type, bool train, int64_t batch);
void scene_close(scene *e);
int scene_gradients(const scene *e); /* so many of the outputs, from the second on */
/* Gradients of a training scene read activations of `least` bytes and more as BF16 keeps them. */
drmad_status scene_keep_bf16(scene *e, size_t least);
/* Memory for the outputs, in doubles' room each. */
void **scene_outputs(const scene *e);
void scene_outputs_free(const scene *e, void **y);
/* Runs the outputs into y. */
drmad_status scene_run(scene *e, const plan_target *target, void *const *y);
drmad_status scene_run_on(scene *e, const backend *on, const plan_target *target, void *const *y);
size_t scene_bytes(scene *e, const backend *on); /* what their program holds there */
#endif
