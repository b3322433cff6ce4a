/* A model from PyTorch: the folder that `python -m drmad.export` writes (docs/GRAPH.md), checked,
 * and as a module that training takes for its own.
 * Ownership: open and lend give, close takes. A module borrows the model. */
#ifndef IMPORT_H
#define IMPORT_H
#include "data/safetensors.h"
#include "import/graph_file.h"
#include "nn/module.h"

/* What an input of the file is here: `at` numbers parameters and buffers in the table, further
 * inputs in module.more, constants in module.constant. */
typedef enum import_as {
    AS_X,
    AS_LABELS,
    AS_MORE,
    AS_TENSOR,
    AS_CONSTANT,
    AS_FILL, /* a constant whose elements are all alike */
} import_as;

typedef struct import_slot {
    import_as as;
    int32_t at;
    double fill;
} import_slot;

typedef struct imported {
    drmad_ctx *ctx;
    char *folder;
    graph_file *f;
    param_table *params;
    double *start;     /* flat */
    import_slot *slot; /* by input */
    int32_t x, labels; /* inputs; labels -1: none */
    module_input *more;
    module_constant *constant;
    char *constants; /* their memory */
    module module;
    bool redraws; /* each seed starts from the folder's weights in an order of its own */
    bool lent;    /* all but the two records is another's */
} imported;

/* Gives *out. DRMAD_E_MODEL, DRMAD_E_DATA or DRMAD_E_IO name file, node and remedy. */
drmad_status import_open(drmad_ctx *ctx, const char *folder, imported **out);
void import_close(imported *m); /* NULL is fine */
/* Gives *out: the same model for another context, of another thread if need be; `of` outlives it
 * and is only read. */
drmad_status import_lend(drmad_ctx *ctx, const imported *of, imported **out);
/* The same of what was read; takes `f`. `folder` is for messages. */
drmad_status import_make(drmad_ctx *ctx, const char *folder, graph_file *f, const st_file *w,
                         imported **out);

/* How far the folder's parity values are from ours, relative; see docs/GRAPH.md. */
typedef struct import_parity {
    double loss, gradient, product, next, evaluate, tolerance; /* next: running statistics */
} import_parity;
/* DRMAD_E_MODEL where they are too far, naming the first node that differs. */
drmad_status import_check(const imported *m, import_parity *out);

/* Rows of an input as PyTorch has them, in `from_type`, to where they lie here: images channels
 * last. */
void import_copy_rows(const graph_file *f, int32_t input, int64_t rows, dtype from_type,
                      const void *from, dtype type, void *to);

/* ---- inside ---- */

/* imported_rows.c: row losses [B, 1] of the loss of `part`, whose nodes are lowered; *whole: it is
 * no mean over rows. */
struct lowering;
node import_rows(struct lowering *l, bool *whole);
/* imported_build.c: the result, and whether rows are all the batch's loss. `values`: NULL, or takes
 * what each node of the part gives (its elements in some order), [nodes]. */
module_result import_build(graph *g, const imported *m, const node *w, const module_batch *b,
                           const nn_pass *pass, bool *whole, node *values);
/* Leaves for a build, in the order of the file's inputs; import_leaves_free after a failure too. */
typedef struct import_nodes {
    node *w, *more, *constant;
    module_batch batch;
} import_nodes;
drmad_status import_leaves(graph *g, const imported *m, int64_t batch, import_nodes *n);
void import_leaves_free(const imported *m, import_nodes *n);
/* The shape of input i as it lies in memory, for `batch` rows; 0: of one row. */
shape import_lies(const graph_file *f, int32_t input, int64_t batch);
#endif
