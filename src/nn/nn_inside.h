/* Shared by the files of this room only: what each kind of layer is. */
#ifndef NN_INSIDE_H
#define NN_INSIDE_H
#include "nn/nn.h"

enum { NN_TENSORS_MAX = 4 };

/* A tensor of a layer: its name is the layer's, a dot and the suffix. */
typedef struct nn_tensor {
    const char *suffix; /* "weight"; empty: the layer's name is the tensor's */
    shape shape;
    param_role role;
} nn_tensor;

/* What a builder sees: the layer, its inputs and its tensors. */
typedef struct nn_build {
    graph *g;
    const nn_spec *s;
    const nn_layer *l;
    const nn_pass *pass;
    const node *w;          /* of the whole net */
    node in[NN_INPUTS_MAX]; /* [B, ...] */
} nn_build;

typedef struct nn_kind_def {
    const char *word;
    int32_t least, most; /* layers that it reads */
    /* Checks what is read, fills in the defaults of the kind and l->shape. */
    drmad_status (*infer)(const nn_spec *s, nn_layer *l);
    node (*build)(const nn_build *b);
} nn_kind_def;

const nn_kind_def *nn_kind_of(nn_kind k);
/* The tensors of a layer whose shape is known, in table order; gives their number. out: room for
 * NN_TENSORS_MAX, or NULL. */
int32_t nn_tensors(const nn_spec *s, const nn_layer *l, nn_tensor *out);

/* "layer conv1 (conv): ..." */
drmad_status nn_refuse(const nn_spec *s, const nn_layer *l, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* [B, shape...] of what the layer gives. */
shape nn_batch_shape(const nn_build *b);

node nn_build_linear(const nn_build *b);
node nn_build_conv(const nn_build *b);
node nn_build_batch_norm(const nn_build *b);
node nn_build_layer_norm(const nn_build *b);
node nn_build_group_norm(const nn_build *b);
node nn_build_activation(const nn_build *b);
node nn_build_max_pool(const nn_build *b);
node nn_build_avg_pool(const nn_build *b);
node nn_build_global_avg_pool(const nn_build *b);
node nn_build_flatten(const nn_build *b);
node nn_build_reshape(const nn_build *b); /* tokens */
node nn_build_first_token(const nn_build *b);
node nn_build_dropout(const nn_build *b);
node nn_build_embedding(const nn_build *b);
node nn_build_position(const nn_build *b);
node nn_build_class_token(const nn_build *b);
node nn_build_attention(const nn_build *b);
node nn_build_add(const nn_build *b);
node nn_build_concat(const nn_build *b);
node nn_build_normalize(const nn_build *b);
#endif
