/* Nets that grow without a change of what they compute (Chen, Goodfellow, Shlens, "Net2Net:
 * Accelerating Learning via Knowledge Transfer", ICLR 2016).
 *
 *   wider    a layer gets more outputs, each a copy of one that it has; what reads a unit with r
 *            copies divides its weights by r. Norms, activations, pools and the like go along; what
 *            an `add` joins is widened together, by the same copies
 *   deeper   behind a layer and its ReLU (with batch norm between, if it is there) the same again,
 *            as the identity; its batch norm undoes itself by running statistics, those of a
 *            rectified normal of mean `bias` and deviation `weight` of the norm before
 *
 * A morph is the new net and, for each of its tensors, where it comes from; weights, the
 * optimiser's vectors and hyperparameters follow from that. Widening the same way twice makes the
 * same net: the copies are drawn from `seed`, as evenly as can be.
 * Checked: tests/train/test_morph.c, on all presets. */
#ifndef MORPH_H
#define MORPH_H
#include "nn/nn.h"

/* Which columns (units, channels) of the old net the new one's are. */
typedef struct morph_columns {
    int32_t *from;   /* [n]: the old column of each new one */
    int32_t *copies; /* [old]: how often each is there */
    int64_t n, old;
} morph_columns;

typedef struct morph_tensor {
    int32_t from;  /* the old tensor; of a new layer that of the layer before it */
    bool identity; /* of a new layer */
    const morph_columns *map[RANK_MAX]; /* by dimension; NULL: the same */
    int32_t in, out;                    /* dimensions of the layer's inputs and outputs; -1: none */
} morph_tensor;

typedef struct morph {
    drmad_ctx *ctx;
    nn_spec *net;
    morph_tensor *at;       /* [net->tensors] */
    morph_columns *columns; /* [layers of the old net], of their outputs; n 0: the same */
    int32_t layers;
    uint64_t seed;
} morph;

/* Gives *out. DRMAD_E_CONFIG names the layer that stands against it. */
drmad_status morph_wider(const nn_spec *net, const char *layer, int64_t outputs, uint64_t seed,
                         morph **out);
drmad_status morph_deeper(const nn_spec *net, const char *layer, morph **out);
/* "wider LAYER=OUTPUTS" or "deeper LAYER", as a study says it. */
drmad_status morph_parse(const nn_spec *net, const char *text, uint64_t seed, morph **out);
void morph_free(morph *m); /* NULL is fine */

/* What a flat vector holds: weights; sums of gradients (of copies: a share of them each); of their
 * squares; of steps, which copies all take. */
typedef enum morph_what { MORPH_WEIGHTS, MORPH_GRADIENTS, MORPH_SQUARES, MORPH_STEPS } morph_what;

/* to = the new net's vector; gaps become 0. `noise`, weights only: what is added to the incoming
 * weights of copies, in root mean squares of their tensor, so that they part. */
void morph_apply(const morph *m, const param_table *old, const param_table *fresh, morph_what what,
                 double noise, const double *from, double *to);
#endif
