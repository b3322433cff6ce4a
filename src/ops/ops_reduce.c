/* Reductions over the last axis that are not linear. */
#include "ops/rules.h"

static bool last_axis_infer(graph *g, node_rec *rec)
{
    if (!op_wants_real(g, rec, 0)) return false;
    rec->shape = *graph_shape(g, rec->in[0]);
    if (rec->shape.rank < 1) return op_bad(g, rec, "expected rank 1 at least");
    rec->shape.dim[rec->shape.rank - 1] = 1;
    return infer_given(g, rec);
}

/* d/dx log sum exp x = exp(x - y): the soft-max, which never overflows in this form. */
static node logsumexp_partial(graph *g, node y)
{
    node x = op_in(g, y, 0);

    return g_exp(g, g_sub(g, x, g_bcast(g, y, *graph_shape(g, x))));
}

/* 1 at the first largest, 0 elsewhere. */
static node rowmax_partial(graph *g, node y)
{
    node x = op_in(g, y, 0);
    shape s = *graph_shape(g, x);
    int64_t columns = s.dim[s.rank - 1];
    node rows = g_reshape(g, x, SHAPE(shape_count(&s) / columns, columns));

    return g_reshape(g, g_onehot(g, g_argmax(g, rows), columns, graph_dtype(g, x)), s);
}

const op_def op_logsumexp = {
    .name = "logsumexp",
    .arity = 1,
    .kind = OP_REDUCE,
    .infer = last_axis_infer,
    .partial = logsumexp_partial,
};

const op_def op_rowmax = {
    .name = "rowmax",
    .arity = 1,
    .kind = OP_REDUCE,
    .infer = last_axis_infer,
    .partial = rowmax_partial,
};

node g_logsumexp(graph *g, node x)
{
    return op_unary(g, OP_logsumexp, x);
}

node g_rowmax(graph *g, node x)
{
    return op_unary(g, OP_rowmax, x);
}
