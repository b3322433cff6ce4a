/* A module: all that training needs of a model, whatever it is made of: a list of layers (nn.h), or
 * a graph that came from PyTorch (import/import.h). It builds the loss of a batch as a graph and
 * says what the batch must look like. A value; what it points to is borrowed. */
#ifndef MODULE_H
#define MODULE_H
#include "nn/nn.h"

typedef struct module module;

/* An input besides the first one: rows of `shape`. */
typedef struct module_input {
    const char *name;
    shape shape;
    dtype type;
    bool labels; /* tokens: what follows each of them; a data set's rows hold it too */
} module_input;

/* A tensor that nothing changes, `offset` bytes into module.constant_data. */
typedef struct module_constant {
    const char *name;
    shape shape;
    dtype type;
    size_t offset;
} module_constant;

/* A batch as nodes; what a module does not read may be NODE_NONE. */
typedef struct module_batch {
    node x;                /* [B, input...] */
    node labels;           /* i32 [B]; of tokens [B, T]; or targets [B, K] */
    const node *more;      /* [module.n_more], [B, shape...] */
    const node *constant;  /* [module.n_constants] */
    nn_loss loss;          /* unless module.judges */
    const nn_doubt *doubt; /* likewise; or NULL */
} module_batch;

typedef struct module_result {
    node rows;    /* [B, 1], whose mean is the batch's loss */
    node correct; /* [B, 1], evaluation only: 1 where right; NODE_NONE: not known */
    node z;       /* [B, classes], what the net gives; NODE_NONE: not known */
} module_result;

struct module {
    const void *self; /* NULL: no module */
    module_result (*build)(graph *g, const module *m, const node *w, const module_batch *b,
                           const nn_pass *pass);
    void (*draw)(const module *m, const param_table *p, uint64_t seed, double *w);
    int64_t (*mask_size)(const module *m, int32_t mask); /* elements of a row */
    const nn_spec *layers;                               /* NULL: no list of layers */
    shape input;                                         /* one row of x; images [h, w, c] */
    int64_t classes;                                     /* outputs; 0: not known */
    int64_t macs;                                        /* of a row's forward pass */
    int64_t batch;                                       /* the only size of a batch; 0: any */
    int32_t masks, n_more, n_constants;
    const module_input *more;
    const module_constant *constant;
    const void *constant_data;
    bool tokens;               /* x is whole numbers */
    bool dense, kinked, drops; /* as nn_dense, nn_kinked, nn_draws_masks */
    bool judges;               /* the loss is the module's own: no smoothing, no targets */
    bool whole;                /* its loss is no mean over rows: `rows` are all the batch's loss */
};

size_t module_row_bytes(const module_input *m);
/* Borrows the net. */
module nn_module(const nn_spec *s);
#endif
