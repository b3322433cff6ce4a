/* Helpers of the op families; inside ops/ only. */
#ifndef RULES_H
#define RULES_H
#include "ops/ops.h"

#define NO_OPERANDS                                                                                \
    {                                                                                              \
        NODE_NONE, NODE_NONE, NODE_NONE                                                            \
    }

/* Operand i of y. */
node op_in(const graph *g, node y, int i);

/* An op of one or two operands and no attributes. */
node op_unary(graph *g, int32_t op, node x);
node op_binary(graph *g, int32_t op, node a, node b);

/* Records "matmul(f32[50,784], f32[100,50]): <what is wrong and what was expected>". Gives
 * false. */
bool op_bad(graph *g, const node_rec *rec, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool dtype_real(int32_t t); /* f32 or f64 */
bool op_wants_real(graph *g, const node_rec *rec, int operand);

/* Shape rule of elementwise ops: operands of one shape and one real dtype, which is the
 * result's. */
bool infer_same(graph *g, node_rec *rec);
/* Keeps the given shape; takes the dtype of operand 0. */
bool infer_given(graph *g, node_rec *rec);

/* Is n a fill, and of what? */
bool is_fill(const graph *g, node n, double *value);
/* Is n a fill of just this value? */
bool is_const(const graph *g, node n, double value);
/* The fold of an op that only moves elements: the same fill in the new shape and dtype. */
node fold_moved_fill(graph *g, node_rec *rec);
#endif
