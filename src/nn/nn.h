/* Layers, losses and regularisers as graph builders, and initial weights. A multi-layer perceptron
 * for now: linear layers in PyTorch's layout (weight [out, in], bias [out]) with one activation
 * between them. */
#ifndef NN_H
#define NN_H
#include "base/rng.h"
#include "ops/ops.h"
#include "space/params.h"

typedef enum nn_activation {
    ACT_TANH,
    ACT_RELU,
    ACT_SIGMOID,
    ACT_SOFTPLUS,
    ACT_GELU,
    ACT_COUNT
} nn_activation;
typedef enum nn_loss { LOSS_CROSS_ENTROPY, LOSS_SQUARED, LOSS_LOGISTIC } nn_loss;
typedef enum nn_init {
    INIT_NORMAL,  /* standard deviation nn_spec.init_std */
    INIT_XAVIER,  /* normal, sqrt(2 / (in + out)): Glorot and Bengio, AISTATS 2010 */
    INIT_KAIMING, /* normal, sqrt(2 / in): He et al., ICCV 2015 */
    INIT_PYTORCH  /* uniform within +-1/sqrt(in), torch.nn.Linear's */
} nn_init;
typedef enum nn_bias_init { BIAS_ZERO, BIAS_LIKE_WEIGHT } nn_bias_init;

enum { NN_LAYERS_MAX = 64 };

typedef struct nn_spec {
    int32_t layers; /* linear layers; sizes[0] inputs, sizes[layers] outputs */
    int64_t sizes[NN_LAYERS_MAX + 1];
    nn_activation activation;
    nn_init init;
    nn_bias_init bias_init;
    double init_std;
} nn_spec;

drmad_status nn_params(drmad_ctx *ctx, const nn_spec *s,
                       param_table *p); /* adds the model's tensors */
bool nn_kinked(const nn_spec *s);       /* the activation has kinks: relu */

/* x [B, in] -> outputs [B, out]. w: the model's tensors in table order. kinks, where not NULL,
 * takes the step() node of each hidden layer (layers - 1 of them) for a kinked activation,
 * NODE_NONE otherwise. */
node nn_forward(graph *g, const nn_spec *s, const node *w, node x, node *kinks);

/* The loss of each row, [B, 1]. labels: i32 [B]. smoothing: one element, NODE_NONE = 0
 * (cross-entropy only):
 *   cross_entropy  logsumexp(z) - sum_k q_k z_k,  q = (1 - e) onehot + e / K
 *                  (torch.nn.CrossEntropyLoss)
 *   squared        1/2 |z - onehot|^2
 *   logistic       sum_k softplus(z_k) - onehot_k z_k
 *                  (torch.nn.BCEWithLogitsLoss, summed over outputs) */
node nn_row_loss(graph *g, nn_loss loss, node z, node labels, node smoothing);

/* 1 where the largest output is the label's, [B, 1]. */
node nn_row_correct(graph *g, node z, node labels);

/* lambda/2 |w|^2 and lambda |w|_1, summed to [1,1]; lambda has w's rank, each dimension 1 or
 * full. */
node nn_l2(graph *g, node w, node lambda);
node nn_l1(graph *g, node w, node lambda);

/* Standard draws for every tensor into the flat buffer w (double), scaled as the spec says; gaps
 * stay 0. A pure function of (seed, tensor name). */
void nn_draw(const nn_spec *s, const param_table *p, uint64_t seed, double *w);
#endif
