/* What an operation is: its name, its shape rule and its one derivative rule. VJP and JVP both
 * follow from the rule and the kind; nobody writes both (ad/).
 *
 *   kind       rule                 JVP (t: tangents)              VJP (c: cotangent)
 *   LEAF       -                    given                          given
 *   DIAG       partial(y) = dy/dx   partial * t                    partial * c
 *   REDUCE     partial(y) = p       sum(p * t) over the last axis  p * bcast(c)
 *   LINEAR     transpose(y, i, c)   op(t)                          transpose_i(c)
 *   BILINEAR   transpose(y, i, c)   op(t0, x1) + op(x0, t1)        transpose_i(c), with the other
 *                                                              operand
 *   NONDIFF    -                    0                              0
 *
 * A rule builds nodes from the op set and touches no numbers, so every derivative can be derived
 * again. */
#ifndef OP_H
#define OP_H
#include "base/text.h"
#include "graph/graph.h"

typedef enum op_kind { OP_LEAF, OP_DIAG, OP_REDUCE, OP_LINEAR, OP_BILINEAR, OP_NONDIFF } op_kind;

enum {
    OP_ELEMENTWISE = 1, /* result element i needs operand elements i only: may join a fused group */
};

typedef struct op_def {
    const char *name;
    int arity;
    op_kind kind;
    unsigned flags;
    /* Checks operands and attributes in `rec`, fills rec->shape and rec->dtype (some ops take them
     * as given: fill, bcast, reshape, slice, pad, cast, onehot); false after graph_fail. */
    bool (*infer)(graph *g, node_rec *rec);
    /* Optional, after infer: an older or simpler node that equals `rec`, or NODE_NONE. May rewrite
     * `rec` itself. */
    node (*fold)(graph *g, node_rec *rec);
    /* DIAG, REDUCE */
    node (*partial)(graph *g, node y);
    /* LINEAR, BILINEAR: the cotangent of operand i */
    node (*transpose)(graph *g, node y, int i, node c);
} op_def;

typedef enum op_id {
#define OP(name) OP_##name,
#include "ops/ops.def"
#undef OP
    OP_COUNT
} op_id;

const op_def *op_get(int32_t op);
bool op_carries(const graph *g, node n); /* may n have a derivative: is it f32 or f64? */

/* The node of `rec` (operands, attributes, and the shape and dtype where they are given): checked,
 * folded, added. All builders end here, and so does `rec` again with other operands: how a JVP
 * re-applies a linear op. */
node op_make(graph *g, const node_rec *rec);
node op_apply(graph *g, const node_rec *rec, const node in[OPERANDS_MAX]);

/* Puts a line into `t` for each node that the `n` nodes need, operands before users, as
 * drmad/device.h says: "7 matmul f32 50,784 1,3 ta". */
drmad_status graph_print(const graph *g, const node *nodes, int n, text_out *t);
#endif
