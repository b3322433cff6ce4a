/* What has no operands: leaves, which the graph itself adds, and constants. */
#include "ops/rules.h"

const op_def op_leaf = {
    .name = "leaf",
    .kind = OP_LEAF,
};

static bool fill_infer(graph *g, node_rec *rec)
{
    if (dtype_real(rec->dtype)) return true;
    return op_bad(g, rec, "dtype %s, expected f32 or f64", dtype_name((dtype)rec->dtype));
}

const op_def op_fill = {
    .name = "fill",
    .kind = OP_LEAF,
    .infer = fill_infer,
};

static bool iota_infer(graph *g, node_rec *rec)
{
    if (!dtype_real(rec->dtype) && rec->dtype != I32)
        return op_bad(g, rec, "dtype %s, expected f32, f64 or i32", dtype_name((dtype)rec->dtype));
    if (rec->attr.axis >= 0 && rec->attr.axis < rec->shape.rank) return true;
    return op_bad(g, rec, "along axis %d of %d", rec->attr.axis, rec->shape.rank);
}

const op_def op_iota = {
    .name = "iota",
    .kind = OP_LEAF,
    .infer = iota_infer,
};

node g_iota(graph *g, dtype t, shape s, int32_t axis)
{
    return op_make(
        g,
        &(node_rec){
            .op = OP_iota, .dtype = (int32_t)t, .in = NO_OPERANDS, .shape = s, .attr.axis = axis});
}

node g_fill(graph *g, dtype t, shape s, double value)
{
    return op_make(
        g, &(node_rec){
               .op = OP_fill, .dtype = (int32_t)t, .in = NO_OPERANDS, .shape = s, .attr.f = value});
}

node g_fill_like(graph *g, node x, double value)
{
    if (x == NODE_NONE) return x;
    return g_fill(g, graph_dtype(g, x), *graph_shape(g, x), value);
}

node g_zeros_like(graph *g, node x)
{
    return g_fill_like(g, x, 0.0);
}

node g_ones_like(graph *g, node x)
{
    return g_fill_like(g, x, 1.0);
}
