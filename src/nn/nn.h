/* Nets as a list of layers: what each one's output looks like, which tensors it has and how it is
 * built as a graph; losses, regularisers and initial weights.
 *
 * The list is in topological order: a layer reads layers before it, or the net's input. A layer is
 * one record (`kind` and the members that the kind reads; 0 stands for PyTorch's default), so that
 * another room can walk the list, copy it and change it: nn_new, then nn_add for each record.
 * Layouts: rows of images are [h, w, c], of sequences [t, c] or [t] token ids; weights are
 * PyTorch's, in layout and name (linear [out, in], conv [out, in/groups, kh, kw], norm [c]), so
 * that a state_dict fits. */
#ifndef NN_H
#define NN_H
#include "base/rng.h"
#include "config/config.h"
#include "ops/ops.h"
#include "space/params.h"
#include "tensor/window.h"

typedef cfg_layer_kind nn_kind; /* NN_LINEAR, ...: config/keys.def */

typedef enum nn_loss { LOSS_CROSS_ENTROPY, LOSS_SQUARED, LOSS_LOGISTIC } nn_loss;
typedef enum nn_init {
    INIT_NORMAL,  /* standard deviation nn_draws.std */
    INIT_XAVIER,  /* normal, sqrt(2 / (in + out)): Glorot and Bengio, AISTATS 2010 */
    INIT_KAIMING, /* normal, sqrt(2 / in): He et al., ICCV 2015 */
    INIT_PYTORCH  /* as the torch module draws: linear and conv uniform within +-1/sqrt(in),
                   * embeddings standard normal; nn_layer.std goes before it */
} nn_init;
typedef enum nn_bias_init { BIAS_ZERO, BIAS_LIKE_WEIGHT } nn_bias_init;

typedef struct nn_draws {
    nn_init kind;
    nn_bias_init bias;
    double std;
} nn_draws;

enum { NN_INPUTS_MAX = 8, NN_NAME_MAX = 96, NN_CHANNELS_MAX = 4, NN_INPUT = -1 };

typedef struct nn_layer {
    nn_kind kind;
    char name[NN_NAME_MAX];              /* the torch module's path, "layer1.0.conv1"; unique */
    int32_t from[NN_INPUTS_MAX], inputs; /* numbers of layers or NN_INPUT; none: the one before */
    int64_t out;                         /* linear, conv: outputs; embedding: width */
    window window;      /* conv, max_pool, avg_pool: all but the image's size. Stride 0: 1, of
                         * pools the kernel's size; dilation and groups 0: 1 */
    int64_t groups;     /* group_norm */
    bool no_bias;       /* linear, conv, layer_norm */
    double eps;         /* norms; 0: 1e-5 */
    double momentum;    /* batch_norm; 0: 0.1 */
    double rate;        /* dropout: share of elements that become 0 */
    int64_t vocabulary; /* embedding */
    int32_t heads;      /* attention; 0: 1 */
    bool causal;        /* attention: no position sees those behind it */
    int32_t tied;       /* linear: 1 + the number of the embedding whose weight it uses; 0: none */
    double std;         /* weights: the preset's normal draw under INIT_PYTORCH, zero bias */
    bool aside;         /* part of an auxiliary head, of which the linear layer is the last one */
    double weight;      /* that linear layer: of the loss at its output */
    double mean[NN_CHANNELS_MAX], deviation[NN_CHANNELS_MAX]; /* normalize */

    /* Filled by nn_add. */
    shape shape;            /* of one row of the output */
    int32_t first, tensors; /* numbers in the parameter table */
    int32_t mask;           /* relu on rows of one dimension: its number among those; else -1 */
    int32_t site;           /* dropout, a head's last layer: its number among those; else -1 */
} nn_layer;

typedef struct nn_spec {
    drmad_ctx *ctx;
    shape input; /* one row */
    nn_layer *at;
    int32_t n, output; /* output: the last layer that is not aside */
    int32_t tensors, masks, sites;
    bool tokens; /* the input is token ids, read by an embedding */
    bool dense;  /* linear layers and elementwise ones only */
    nn_draws draws;
} nn_spec;

/* Gives *out: a net without layers. */
drmad_status nn_new(drmad_ctx *ctx, shape input, nn_spec **out);
void nn_free(nn_spec *s); /* NULL is fine */
/* Appends a copy of the record, its defaults filled in; a name that is empty becomes its number.
 * DRMAD_E_CONFIG names the layer that does not fit what it reads. */
drmad_status nn_add(nn_spec *s, const nn_layer *l);
int32_t nn_find(const nn_spec *s,
                const char *name); /* its number, NN_INPUT for "input"; -2: none */
const shape *nn_shape(const nn_spec *s, int32_t layer); /* of one row; of NN_INPUT the input's */
const shape *nn_output(const nn_spec *s);
/* Appends a classifier of its own on layer `after`: images by global average pooling, of sequences
 * the first token or, in nets that read tokens, every position; then a linear layer `name` with as
 * many outputs as the net. Such losses beside that of the output: "deeply-supervised nets", Lee et
 * al., AISTATS 2015; auxiliary classifiers, Szegedy et al., CVPR 2015. */
drmad_status nn_add_head(nn_spec *s, const char *after, const char *name, double weight);
bool nn_is_head(const nn_layer *l); /* whether its output is a head's */

/* Linear layers sizes[0] -> ... -> sizes[layers], named layers.0, layers.1, ..., with an activation
 * between them. Gives *out. */
drmad_status nn_mlp(drmad_ctx *ctx, const int64_t *sizes, int32_t layers, nn_kind activation,
                    nn_spec **out);

/* Nets that are known by a name; 0 stands for the preset's own, NN_LINEAR too as activation. */
typedef struct nn_preset {
    cfg_preset kind;
    shape input;
    int64_t classes; /* outputs; of gpt-nano the vocabulary */
    int64_t width;   /* channels of the first stage, or of the embedding */
    int64_t depth;   /* blocks of vit-tiny and gpt-nano */
    int64_t heads, patch;
    bool small_stem; /* resnet18, 34, 50: a 3x3 convolution and no pooling, for images of 32x32 */
    double dropout;
    nn_kind activation; /* in place of ReLU; of nets without it no matter */
} nn_preset;
drmad_status nn_from_preset(drmad_ctx *ctx, const nn_preset *p, nn_spec **out);

drmad_status nn_params(const nn_spec *s, param_table *p); /* adds the net's tensors and sites */
bool nn_kinked(const nn_spec *s);                         /* some layer has kinks: relu, max_pool */
bool nn_draws_masks(const nn_spec *s);                    /* some layer is dropout */
int64_t nn_macs(const nn_spec *s); /* multiply-adds of one row's evaluation */

/* How a forward pass is to be built, and what it gives besides. */
typedef struct nn_pass {
    bool train; /* batch norm by the batch, dropout */
    node key;   /* train: i32 [4], seed and step of the random masks; NODE_NONE: no dropout */
    const node *rates; /* train: [sites], one element each: rates of dropout layers by relaxed masks
                        * that can be differentiated in them; NODE_NONE, or NULL for all:
                        * nn_layer.rate and masks of 0 and 1 */
    node *kinks;       /* [masks]: takes the step() nodes of dense ReLUs; or NULL */
    node *next;        /* [tensors]: takes the next values of running statistics, NODE_NONE for the
                  * other tensors; or NULL */
    node *outputs;     /* [layers]: takes what each layer gives; or NULL */
} nn_pass;

/* Of an evaluation. */
static inline nn_pass nn_evaluation(void)
{
    return (nn_pass){.key = NODE_NONE};
}

/* x [B, input...] -> outputs [B, ...], those of the heads in pass->outputs alone. w: the net's
 * tensors in table order. */
node nn_forward(graph *g, const nn_spec *s, const node *w, node x, const nn_pass *pass);

/* x [..., c], c at most NN_CHANNELS_MAX: (x - mean) / deviation by channel, constants [c]. */
node nn_standardise(graph *g, node x, const double *mean, const double *deviation);

/* What the layers are made of, for whoever builds nets in another way; x has its channels last. */

/* A norm: y = (x - mean)/sqrt(var + eps) * weight + bias. */
typedef struct nn_norm {
    const char *name;    /* for messages */
    node weight, bias;   /* [c], NODE_NONE: 1, 0 */
    node mean, variance; /* batch norm: running statistics [c], or NODE_NONE */
    bool by_batch;       /* batch norm: by the batch, not by them */
    double eps, momentum;
    node next_mean, next_variance; /* by_batch: takes their next values */
} nn_norm;
node nn_batch_norm(graph *g, node x, nn_norm *p);
node nn_layer_norm(graph *g, node x, const nn_norm *p);
node nn_group_norm(graph *g, node x, int64_t groups, const nn_norm *p);
/* x with elements dropped at `rate`, or at `own`, one element, unless it is NODE_NONE; x where the
 * pass drops none. `name` keeps draws apart. */
node nn_dropout(graph *g, node x, const nn_pass *pass, const char *name, double rate, node own);
/* A vector along the last dimension, repeated over the others of x. */
node nn_along_last(graph *g, node v, node x);
/* The parts one behind the other along `axis`. */
node nn_join(graph *g, const node *part, int32_t n, int32_t axis);

/* What cross-entropy may be besides, for labels that are not to be trusted; NODE_NONE: no such
 * thing. */
typedef struct nn_doubt {
    node smoothing; /* one element e: targets become (1 - e) onehot + e / K */
    node gce;   /* one element q in (0, 1]: log p becomes (p^q - 1)/q, generalised cross-entropy,
                     * Zhang and Sabuncu, NeurIPS 2018, equation 6; q to 0 is cross-entropy, 1 the
                     * mean absolute error */
    node flips; /* [1, 1], [K, 1] or [K, K]: odds o_ij of label i's having been flipped to j.
                     * The class probabilities become p T, T_ij = o_ij/(1 + sum of o_ik, k != i) and
                     * T_ii likewise with 1: forward correction, Patrini et al., CVPR 2017, section
                     * 4.2. Diagonals are not read */
} nn_doubt;

/* The loss of each row, [B, 1]. labels: i32 [B]. doubt: NULL for none, else cross-entropy only:
 *   cross_entropy  logsumexp(z) - sum_k q_k z_k, q = onehot (torch.nn.CrossEntropyLoss)
 *   squared        1/2 |z - onehot|^2
 *   logistic       sum_k softplus(z_k) - onehot_k z_k
 *                  (torch.nn.BCEWithLogitsLoss, summed over outputs)
 * In place of labels: targets q [B, K] in z's type, whose rows sum to 1.
 * Of sequences, z [B, T, K] and labels [B, T]: the mean over the positions. */
node nn_row_loss(graph *g, nn_loss loss, node z, node labels, const nn_doubt *doubt);

/* T^2 KL(softmax(theirs/T) || softmax(z/T)) of each row, [B, 1]: what a net that is trained by
 * another's outputs minimises, Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
 * Network", 2015, section 2. z, theirs: [B, K]; temperature T: one element. */
node nn_row_distillation(graph *g, node z, node theirs, node temperature);

/* 1 where the largest output is the label's, [B, 1]; of sequences the share of such positions. */
node nn_row_correct(graph *g, node z, node labels);

/* lambda/2 |w|^2 and lambda |w|_1, summed to [1,1]; lambda has w's rank, each dimension 1 or
 * full. */
node nn_l2(graph *g, node w, node lambda);
node nn_l1(graph *g, node w, node lambda);

/* Start values of every tensor into the flat buffer w (double); gaps stay 0. A pure function of
 * (seed, tensor name). */
void nn_draw(const nn_spec *s, const param_table *p, uint64_t seed, double *w);
#endif
