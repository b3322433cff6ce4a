/* A model that the caller computes. A study over it keeps the training loop, the trajectory, the
 * adjoint recursion, the hyperparameters and the outer optimiser; the caller is asked for start
 * weights, for the data loss with its derivatives, and for evaluations. This is how the Python
 * package tunes a torch.nn.Module.
 *
 *   L_t(w, v) = 1/B sum_i v_i l_i(w)     the loss of step t's batch of B examples;
 *                                        v = 1 but where example weights are tuned
 *
 * Vectors (w, u, gradients) are flat: drmad_model_size elements of the model's type, each tensor
 * row-major at drmad_model_offset; what lies between tensors is zero and must stay so. They belong
 * to the library and are valid during the call. They are in host memory, or where drmad/device.h
 * puts them.
 *
 * The same (seed, step) must always mean the same batch, the same augmentation and the same dropout
 * masks: the way back visits every step again. Penalties (l2, l1), weight decay, momentum and rates
 * are the library's business and must not be part of L.
 *
 * Ownership: new gives, free takes; names are copied; the study borrows the model.
 * Threads:   the functions are called on the thread that called the study, one at a time. They must
 *            not call the study again: DRMAD_E_USAGE. */
#ifndef DRMAD_MODEL_H
#define DRMAD_MODEL_H
#include "drmad/study.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drmad_model drmad_model;

/* Each gives a drmad_status; what is not DRMAD_OK ends the study's call with it. */

/* w = w_0 of the run with `seed`; forgets the state (running statistics) of the last run. */
typedef int drmad_start_fn(void *user, uint64_t seed, void *w);

/* *loss = L_t at w with v = 1; g = dL_t/dw with v = weights ([B], or NULL for 1). In a run the
 * steps come in order, so state that a step leaves behind (running statistics) moves on here: when
 * `step` follows the last one that moved it, and then only. */
typedef int drmad_gradient_fn(void *user, uint64_t seed, int64_t step, const void *w,
                              const void *weights, void *g, double *loss);

/* hu = (d2L_t/dw dw) u + what u does through the state that step t leaves behind (docs/MATH.md,
 * "State"); g = dL_t/dw unless NULL; rows[i] = <dl_i/dw, u> / B unless NULL. `way` 0: on the way
 * back, steps descending; 1: on the way forward with a tangent u of w, steps ascending; 2: the
 * product alone, of any step: no state takes part in it or moves. */
typedef int drmad_product_fn(void *user, uint64_t seed, int64_t step, const void *w, const void *u,
                             const void *weights, int way, void *g, void *hu, void *rows);

/* The mean loss (without weights and penalties) over one part of the data (0 training,
 * 1 validation, 2 test) with the weights w that the last run ended with; *error: the share of wrong
 * answers, or NAN. At most `examples` of them, the first ones; 0 = all. dw = dF/dw unless NULL;
 * *slope = dF along the tangent `u` of w, and of the state left behind, unless u is NULL. */
typedef int drmad_evaluate_fn(void *user, int part, int64_t examples, const void *w, const void *u,
                              void *dw, double *loss, double *error, double *slope);

/* The numbers of step t's training examples, [B], in [0, training examples): only called when
 * something is tuned per example. */
typedef int drmad_batch_fn(void *user, uint64_t seed, int64_t step, int32_t *examples);

/* `name` is what results call it ("MyNet"). `doubles`: 0 for float, 1 for double vectors. */
DRMAD_API drmad_status drmad_model_new(drmad_ctx *ctx, const char *name, int doubles,
                                       drmad_model **out);
DRMAD_API void drmad_model_free(drmad_model *m); /* NULL is fine */

/* The next tensor: full name ("layers.0.weight"), shape (rank 0 to 6; [out, in, ...] of a weight,
 * so that units are found), role "weight", "bias" or "norm", and the number of its layer, from 0.
 */
DRMAD_API drmad_status drmad_model_add(drmad_model *m, const char *name, const int64_t *shape,
                                       int rank, const char *role, int layer);
DRMAD_API int64_t drmad_model_size(const drmad_model *m);
DRMAD_API int64_t drmad_model_offset(const drmad_model *m, int tensor); /* in elements */

/* How many examples each part has (test 0: none) and how many belong to a batch. */
DRMAD_API drmad_status drmad_model_set_data(drmad_model *m, const char *name, int64_t train,
                                            int64_t valid, int64_t test, int64_t batch);

/* The base learning rate of step t is optimizer.lr times factors[t], `steps` of them, instead of
 * what optimizer.schedule says. Copied. */
DRMAD_API drmad_status drmad_model_set_schedule(drmad_model *m, const double *factors,
                                                int64_t steps);

/* batch and user may be NULL. */
DRMAD_API drmad_status drmad_model_set_functions(drmad_model *m, drmad_start_fn *start,
                                                 drmad_gradient_fn *gradient,
                                                 drmad_product_fn *product,
                                                 drmad_evaluate_fn *evaluate,
                                                 drmad_batch_fn *batch, void *user);

/* A study over `m` from `n` overrides alone ("key=value", as in a study file, whose `data` and
 * `model` keys are refused here). The model must be complete and outlive the study. */
DRMAD_API drmad_status drmad_model_study(drmad_model *m, const char *const *overrides, int n,
                                         drmad_study **out);

#ifdef __cplusplus
}
#endif
#endif
