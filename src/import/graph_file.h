/* graph.json (docs/GRAPH.md) as records: names resolved, shapes and types checked for themselves.
 * What the operations mean is left to aten.h.
 * Ownership: new gives, free takes. Names and attributes lie in the parsed JSON, which jansson
 * keeps in malloc's memory as long as the file is there. */
#ifndef GRAPH_FILE_H
#define GRAPH_FILE_H
#include "data/blob.h"
#include "space/params.h"
#include "tensor/tensor.h"
#include <jansson.h>

enum {
    GRAPH_VERSION = 1,
    GRAPH_BYTES_MAX = 16 << 20, /* JSON trees take some ten times as much */
    GRAPH_NODES_MAX = 50000,
    GRAPH_INPUTS_MAX = 20000,
    GRAPH_OPERANDS_MAX = 64,
    GRAPH_NAME_MAX = 200,
    GRAPH_ROWS_MAX = 9, /* inputs with a row an example */
    GRAPH_SIDE = 8      /* outputs that a node may have */
};

typedef enum number_type { NUMBER_REAL, NUMBER_WHOLE, NUMBER_BOOL } number_type;
typedef enum input_role {
    INPUT_BATCH,
    INPUT_LABEL,
    INPUT_PARAMETER,
    INPUT_BUFFER,
    INPUT_CONSTANT
} input_role;

/* Dimension i is dim[i], times the batch size where bit i of `batch` is set. */
typedef struct sized {
    shape of_one;
    uint32_t batch;
} sized;

typedef struct graph_input {
    const char *name, *full; /* full: parameter, buffer, constant */
    input_role role;
    param_role kind; /* parameter */
    int32_t layer;
    number_type type;
    sized size;
    bool real64; /* stated as f64 */
} graph_input;

/* Value `at`: an input, or behind those a node; -1: None. `side`: which output. */
typedef struct operand {
    int32_t at, side;
} operand;

typedef struct graph_op {
    const char *name, *op, *module;
    const operand *in;
    int32_t n_in;
    const json_t *attr; /* an object or NULL */
    number_type type;
    sized size;
    int32_t def; /* number of the operation, aten.h */
} graph_op;

typedef struct graph_next { /* of a buffer */
    int32_t input;
    operand value;
} graph_next;

typedef struct graph_part { /* training, evaluation */
    graph_op *node;
    int32_t n;
    operand *operands; /* of all nodes */
    operand loss, scores;
    graph_next *next;
    int32_t n_next;
} graph_part;

typedef struct graph_file {
    drmad_ctx *ctx;
    char *path; /* for messages */
    json_t *root;
    dtype dtype;
    int64_t batch;
    bool any;
    graph_input *input;
    int32_t n_inputs;
    graph_part train, evaluate;
} graph_file;

/* Gives *out. DRMAD_E_MODEL names the file, the node and what was expected. */
drmad_status graph_file_parse(drmad_ctx *ctx, const blob *b, graph_file **out);
drmad_status graph_file_read(drmad_ctx *ctx, const char *path, graph_file **out);
void graph_file_free(graph_file *f); /* NULL is fine */

/* The shape for batches of `batch`; a dimension that overflows is -1. */
shape sized_at(const sized *s, int64_t batch);
/* "graph.json: node n3 (convolution, in layer1.conv): ..." */
drmad_status graph_refuse(const graph_file *f, const graph_op *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#endif
