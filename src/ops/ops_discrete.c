/* Piecewise constant ops: derivative zero wherever there is one, so nothing passes through them. */
#include "ops/rules.h"

const op_def op_step = {
    .name = "step",
    .arity = 1,
    .kind = OP_NONDIFF,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
};

const op_def op_sign = {
    .name = "sign",
    .arity = 1,
    .kind = OP_NONDIFF,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
};

static bool onehot_infer(graph *g, node_rec *rec)
{
    const node_rec *index = graph_rec(g, rec->in[0]);

    if (index->dtype != I32 || index->shape.rank != 1)
        return op_bad(g, rec, "expected an i32 index of rank 1");
    if (!dtype_real(rec->dtype))
        return op_bad(g, rec, "to %s: expected f32 or f64", dtype_name((dtype)rec->dtype));
    rec->shape = SHAPE(index->shape.dim[0], rec->shape.dim[1]);
    return true;
}

static bool argmax_infer(graph *g, node_rec *rec)
{
    const shape *x = graph_shape(g, rec->in[0]);

    if (!op_wants_real(g, rec, 0)) return false;
    if (x->rank != 2) return op_bad(g, rec, "expected a matrix");
    rec->shape = SHAPE(x->dim[0]);
    rec->dtype = I32;
    return true;
}

const op_def op_onehot = {
    .name = "onehot",
    .arity = 1,
    .kind = OP_NONDIFF,
    .infer = onehot_infer,
};

const op_def op_argmax = {
    .name = "argmax",
    .arity = 1,
    .kind = OP_NONDIFF,
    .infer = argmax_infer,
};

node g_step(graph *g, node x)
{
    return op_unary(g, OP_step, x);
}

node g_sign(graph *g, node x)
{
    return op_unary(g, OP_sign, x);
}

node g_onehot(graph *g, node index, int64_t classes, dtype t)
{
    return op_make(g, &(node_rec){.op = OP_onehot,
                                  .dtype = (int32_t)t,
                                  .in = {index, NODE_NONE, NODE_NONE},
                                  .shape = SHAPE(1, classes)});
}

node g_argmax(graph *g, node x)
{
    return op_unary(g, OP_argmax, x);
}
