/* The graph: a growing list of nodes, each an operation on earlier nodes. Building computes
 * nothing.
 *
 * A node is an index; operands always have smaller indices, so the list is in topological order.
 * Equal nodes are made once (hash-consing), so a derivative that meets an expression again shares
 * it. The operations stand in ops/ops.def; this room knows them only through op_def.
 *
 * Errors stick: a builder that cannot make its node records the first error in the graph and
 * returns NODE_NONE, and every builder given NODE_NONE returns NODE_NONE. Check graph_status()
 * once, at the end. Ownership: graph_new gives, graph_free takes; names are copied. One thread at
 * a time. */
#ifndef GRAPH_H
#define GRAPH_H
#include "tensor/tensor.h"
#include "tensor/window.h"

typedef int32_t node;
enum { NODE_NONE = -1, OPERANDS_MAX = 3 };

/* What an operation needs besides its operands. Unused members are zero: equal records are one
 * node. */
typedef struct op_attr {
    double f;      /* scale: the factor; fill: the value */
    int64_t n;     /* slice, pad: first index along `axis`; scatter_add: rows; leaf: its number;
                    * uniform, normal: their site (rng_site) */
    int32_t axis;  /* slice, pad, iota */
    uint32_t axes; /* sum: bit i set = dimension i is summed, and stays with length 1 */
    int32_t perm[RANK_MAX]; /* permute: dimension i of the result is the operand's perm[i] */
    int32_t ta, tb;         /* matmul: 1 = that operand is used transposed */
    window window;          /* convolution and pooling */
} op_attr;

typedef struct node_rec {
    int32_t op; /* an op_id, ops/op.h */
    int32_t dtype;
    node in[OPERANDS_MAX]; /* NODE_NONE beyond the arity */
    shape shape;
    op_attr attr;
} node_rec;

typedef struct graph graph;

drmad_status graph_new(drmad_ctx *ctx, graph **out);
void graph_free(graph *g);
drmad_status graph_status(const graph *g); /* the first error; its text is the context's */
drmad_ctx *graph_ctx(const graph *g);

/* Adds `rec`, or finds its equal. Leaves are never merged. For ops/ and ad/; everybody else calls
 * the g_ builders. */
node graph_add(graph *g, const node_rec *rec);
/* The equal of `rec`, NODE_NONE where there is none. */
node graph_find(const graph *g, const node_rec *rec);
/* Records the error; it sticks. Gives NODE_NONE. */
node graph_fail(graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failure met by someone who builds, whose text is the context's: `st` sticks. */
node graph_stop(graph *g, drmad_status st);

/* Of NODE_NONE: a scalar leaf that is nowhere, so that builders may ask before they pass it on. */
int32_t graph_size(const graph *g);
const node_rec *graph_rec(const graph *g, node n); /* valid until the next graph_add */
const shape *graph_shape(const graph *g, node n);
dtype graph_dtype(const graph *g, node n);

/* Leaves: what is bound to memory when a plan runs. Numbered in order of creation; `name` is for
 * messages. */
int32_t graph_leaves(const graph *g);
node graph_leaf(const graph *g, int32_t number);
const char *graph_leaf_name(const graph *g, int32_t number);
node graph_add_leaf(graph *g, const char *name, dtype t, shape s);
#endif
