/* A plan: which nodes of a graph run, grouped into which steps, in which order, and where each
 * result lies. Made once; a backend (exec/) turns it into a program that runs thousands of times.
 *
 *   trace     live nodes; views and broadcasts become ways of reading (plan_access), not work
 *   attach    outputs get their nodes; who must read a leaf before it is overwritten
 *   group     elementwise nodes, reductions and the products they hang on join into steps
 *   recompute large values that are cheap are computed by each reader and not kept
 *   schedule  steps in an order that keeps few results alive
 *   place     results share one arena: best fit, in place where an operand dies
 *
 * Ownership: plan_new gives, plan_free takes; the graph is borrowed and must outlive the plan.
 * The structures are open for backends to read and for nobody to write. */
#ifndef PLAN_H
#define PLAN_H
#include "ops/ops.h"

typedef struct plan_output {
    node y;
    int32_t alias; /* a leaf's number: the output may be bound to that leaf's memory; -1 = none */
} plan_output;

/* What a plan must know of the device it is for. */
typedef struct plan_target {
    const char *name;
    size_t align;      /* of every offset in the arena */
    bool fuse;         /* false: each node is a step of its own; for tests */
    size_t tile_bytes; /* a product is cut into tiles of this size when elementwise work follows */
    int64_t tile_macs; /* and of this much work, so that threads can share it */
    size_t recompute_bytes; /* smaller values are kept rather than computed again; 0: all are */
    bool (*supports)(int32_t op, dtype t);
} plan_target;

/* How element i of a step's iteration space is read. */
typedef enum access_mode {
    AT_CONST,  /* value */
    AT_ONE,    /* src[0] */
    AT_SAME,   /* src[i] */
    AT_COL,    /* src[i % cols] */
    AT_ROW,    /* src[i / cols] */
    AT_GATHER, /* src[index[i / cols] * cols + i % cols] */
    AT_ONEHOT  /* index[i / cols] == i % cols ? 1 : 0 */
} access_mode;

typedef struct plan_access {
    access_mode mode;
    dtype type;                   /* of src in memory: converted when the step's differs */
    node src, index;              /* never views; NODE_NONE where unused */
    int64_t offset, index_offset; /* first element read */
    int64_t cols;
    int64_t rows; /* AT_GATHER: rows of the table */
    double value;
} plan_access;

typedef enum plan_class {
    PN_DEAD, /* not needed, or read through an access */
    PN_LEAF,
    PN_POINT,  /* elementwise: one instruction, or a copy of in[0] */
    PN_SUM,    /* ends a group: sums in[0] to one element, a row or a column */
    PN_MATMUL, /* a product that tiles of rows may be computed of: matmul, conv, conv_dx */
    PN_PLAIN   /* a step of its own */
} plan_class;

typedef enum place_kind {
    PLACE_NONE,
    PLACE_LEAF,
    PLACE_OUTPUT,
    PLACE_ARENA,
    PLACE_TILE
} place_kind;

typedef struct place {
    place_kind kind;
    int32_t number; /* of the leaf or output; of the tile buffer */
    size_t offset;  /* in the arena, bytes */
} place;

typedef struct plan_node {
    plan_class cls;
    int32_t op; /* -1: a copy that the plan added */
    node of;    /* the graph's node that it computes; another's where it computes it again */
    dtype type; /* of the result in memory */
    int32_t n_in;
    plan_access in[OPERANDS_MAX];
    int64_t count;   /* of the iteration space; PN_SUM: of what is summed */
    int64_t cols;    /* of the iteration space where an access or a sum needs it; 0 = any */
    access_mode sum; /* PN_SUM: AT_ONE, AT_COL or AT_ROW, of the result */
    int64_t line;    /* PN_MATMUL: rows that are computed together: a matrix of a batch, an image's
                      * row of pixels; 0 = any */
    node into;       /* PN_MATMUL: whose memory it adds into; itself when nobody else's */
    bool summed;     /* PN_POINT: an addition of products that they do themselves */
    bool kept;       /* has memory; else a register of its step */
    int32_t step;
    int32_t last; /* the last step that reads it */
    int64_t size; /* elements of the result */
    size_t bytes;
    place at;
} plan_node;

/* A group (any of PN_POINT, PN_SUM, PN_MATMUL over one iteration space) or one PN_PLAIN. */
typedef struct plan_step {
    int32_t first, n; /* in plan->order, operands before users */
    int32_t matmuls, points, sums;
    dtype type;
    int64_t count, cols;
    int64_t line;                 /* tile_rows is a multiple of it */
    int64_t tile_rows, tile_cols; /* of a product; the whole when it is not cut; 0 without */
    int32_t tiles;                /* tile buffers (PLACE_TILE) */
    int64_t macs;                 /* multiply-adds of its products and convolutions */
} plan_step;

typedef struct plan_counts {
    int32_t nodes, steps, groups, matmuls, plains; /* groups: steps with elementwise work or sums */
    int64_t macs;                                  /* of products and convolutions */
    int64_t points;                                /* elementwise operations times elements */
    size_t arena;
} plan_counts;

typedef struct plan {
    drmad_ctx *ctx;
    const graph *g;
    plan_target target;
    plan_output *out;
    int32_t outs;
    plan_node *node; /* by graph node, then the copies that the plan added */
    int32_t nodes;
    node *order;
    plan_step *step;
    int32_t steps;
    plan_counts counts;
} plan;

/* Gives *out: the plan that computes outputs y[0..n). Fails with DRMAD_E_MODEL when the graph
 * has an error or the target lacks an operation. Copies `target`. */
drmad_status plan_new(drmad_ctx *ctx, const graph *g, const plan_output *y, int n,
                      const plan_target *target, plan **out);
void plan_free(plan *p); /* NULL is fine */

/* The type in which a node is computed: what is kept in BF16 was F32 until it was written. */
static inline dtype plan_type(const plan_node *v)
{
    return v->type == BF16 ? F32 : v->type;
}

/* reads[k] = whether the plan reads leaf number k. */
void plan_reads(const plan *p, bool *reads);

/* Is this read at the reader's own element, from memory of its own type? */
bool plan_same(const plan_node *reader, const plan_access *a);

/* One line a step, and the totals; calls `line` for each. */
void plan_explain(const plan *p, void (*line)(void *user, const char *text), void *user);
#endif
