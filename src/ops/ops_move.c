/* Linear ops that move elements: each one's transpose moves them back, and adds where two came
 * from one. */
#include "ops/rules.h"
#include <string.h>

/* -- reshape */

static bool reshape_infer(graph *g, node_rec *rec)
{
    char text[128];

    if (shape_count(graph_shape(g, rec->in[0])) != shape_count(&rec->shape))
        return op_bad(g, rec, "to %s: expected as many elements",
                      shape_print(&rec->shape, text, sizeof text));
    return infer_given(g, rec);
}

static node reshape_fold(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);

    if (shape_same(&x->shape, &rec->shape)) return rec->in[0];
    if (x->op == OP_reshape) return g_reshape(g, x->in[0], rec->shape);
    return fold_moved_fill(g, rec);
}

static node reshape_transpose(graph *g, node y, int i, node c)
{
    return g_reshape(g, c, *graph_shape(g, op_in(g, y, i)));
}

const op_def op_reshape = {
    .name = "reshape",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = reshape_infer,
    .fold = reshape_fold,
    .transpose = reshape_transpose,
};

node g_reshape(graph *g, node x, shape s)
{
    return op_make(g, &(node_rec){.op = OP_reshape, .in = {x, NODE_NONE, NODE_NONE}, .shape = s});
}

/* -- permute */

static bool permute_infer(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);
    const int32_t *perm = rec->attr.perm;
    uint32_t seen = 0;

    rec->dtype = x->dtype;
    rec->shape = x->shape;
    for (int32_t i = 0; i < x->shape.rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->shape.rank || (seen >> perm[i] & 1))
            return op_bad(g, rec, "axis %d at place %d, expected each axis once", perm[i], i);
        seen |= 1u << perm[i];
        rec->shape.dim[i] = x->shape.dim[perm[i]];
    }
    return true;
}

static node permute_fold(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);
    int32_t through[RANK_MAX], moved = 0;

    for (int32_t i = 0; i < rec->shape.rank; i++) moved += rec->attr.perm[i] != i;
    if (moved == 0) return rec->in[0];
    if (x->op != OP_permute) return fold_moved_fill(g, rec);
    for (int32_t i = 0; i < rec->shape.rank; i++) through[i] = x->attr.perm[rec->attr.perm[i]];
    return g_permute(g, x->in[0], through);
}

static node permute_transpose(graph *g, node y, int i, node c)
{
    const node_rec *r = graph_rec(g, y);
    int32_t back[RANK_MAX];

    (void)i;
    for (int32_t k = 0; k < r->shape.rank; k++) back[r->attr.perm[k]] = k;
    return g_permute(g, c, back);
}

const op_def op_permute = {
    .name = "permute",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = permute_infer,
    .fold = permute_fold,
    .transpose = permute_transpose,
};

node g_permute(graph *g, node x, const int32_t perm[])
{
    node_rec r = {.op = OP_permute, .in = {x, NODE_NONE, NODE_NONE}};

    memcpy(r.attr.perm, perm, (size_t)graph_shape(g, x)->rank * sizeof perm[0]);
    return op_make(g, &r);
}

node g_transpose(graph *g, node x)
{
    if (x == NODE_NONE) return x;
    if (graph_shape(g, x)->rank != 2)
        return graph_fail(g, "transpose: rank %d, expected 2", (int)graph_shape(g, x)->rank);
    return g_permute(g, x, (int32_t[]){1, 0});
}

/* -- slice, pad: each other's transpose */

/* Checks that `part` lies in `whole` from `rec->attr.n` on along the axis and equals it
 * elsewhere. */
static bool lies_in(graph *g, node_rec *rec, const shape *part, const shape *whole)
{
    int32_t axis = rec->attr.axis;
    char text[128];
    bool ok = axis >= 0 && axis < whole->rank && part->rank == whole->rank;

    for (int32_t i = 0; ok && i < whole->rank; i++)
        ok = i == axis ? rec->attr.n >= 0 && part->dim[i] <= whole->dim[i] - rec->attr.n
                       : part->dim[i] == whole->dim[i];
    if (ok) return infer_given(g, rec);
    return op_bad(g, rec, "to %s along axis %d from %lld: expected a part of the whole",
                  shape_print(&rec->shape, text, sizeof text), axis, (long long)rec->attr.n);
}

static bool slice_infer(graph *g, node_rec *rec)
{
    return lies_in(g, rec, &rec->shape, graph_shape(g, rec->in[0]));
}

static bool pad_infer(graph *g, node_rec *rec)
{
    return lies_in(g, rec, graph_shape(g, rec->in[0]), &rec->shape) && op_wants_real(g, rec, 0);
}

static node slice_fold(graph *g, node_rec *rec)
{
    if (shape_same(graph_shape(g, rec->in[0]), &rec->shape)) return rec->in[0];
    return fold_moved_fill(g, rec);
}

static node pad_fold(graph *g, node_rec *rec)
{
    return shape_same(graph_shape(g, rec->in[0]), &rec->shape) ? rec->in[0] : NODE_NONE;
}

static node slice_transpose(graph *g, node y, int i, node c)
{
    op_attr a = graph_rec(g, y)->attr;

    return g_pad(g, c, a.axis, a.n, graph_shape(g, op_in(g, y, i))->dim[a.axis]);
}

static node pad_transpose(graph *g, node y, int i, node c)
{
    op_attr a = graph_rec(g, y)->attr;

    return g_slice(g, c, a.axis, a.n, graph_shape(g, op_in(g, y, i))->dim[a.axis]);
}

const op_def op_slice = {
    .name = "slice",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = slice_infer,
    .fold = slice_fold,
    .transpose = slice_transpose,
};

const op_def op_pad = {
    .name = "pad",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = pad_infer,
    .fold = pad_fold,
    .transpose = pad_transpose,
};

static node resized(graph *g, int32_t op, node x, int32_t axis, int64_t at, int64_t length)
{
    node_rec r = {.op = op, .in = {x, NODE_NONE, NODE_NONE}, .shape = *graph_shape(g, x)};

    r.attr.axis = axis;
    r.attr.n = at;
    if (axis >= 0 && axis < r.shape.rank) r.shape.dim[axis] = length;
    return op_make(g, &r);
}

node g_slice(graph *g, node x, int32_t axis, int64_t start, int64_t length)
{
    return resized(g, OP_slice, x, axis, start, length);
}

node g_pad(graph *g, node x, int32_t axis, int64_t before, int64_t total)
{
    return resized(g, OP_pad, x, axis, before, total);
}

/* -- gather, scatter_add: each other's transpose. Their index carries no derivative. */

static bool wants_index(graph *g, const node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]), *index = graph_rec(g, rec->in[1]);

    if (x->shape.rank >= 1 && index->dtype == I32 && index->shape.rank == 1) return true;
    return op_bad(g, rec, "expected rows and an i32 index of rank 1");
}

static bool gather_infer(graph *g, node_rec *rec)
{
    if (!wants_index(g, rec)) return false;
    rec->shape = *graph_shape(g, rec->in[0]);
    rec->shape.dim[0] = graph_shape(g, rec->in[1])->dim[0];
    return infer_given(g, rec);
}

static bool scatter_infer(graph *g, node_rec *rec)
{
    const shape *rows = graph_shape(g, rec->in[0]), *index = graph_shape(g, rec->in[1]);

    if (!wants_index(g, rec) || !op_wants_real(g, rec, 0)) return false;
    if (rows->dim[0] != index->dim[0]) return op_bad(g, rec, "expected one index for each row");
    if (rec->attr.n < 1)
        return op_bad(g, rec, "%lld rows, expected 1 at least", (long long)rec->attr.n);
    rec->shape = *rows;
    rec->shape.dim[0] = rec->attr.n;
    return infer_given(g, rec);
}

static node gather_transpose(graph *g, node y, int i, node c)
{
    return g_scatter_add(g, c, op_in(g, y, 1), graph_shape(g, op_in(g, y, i))->dim[0]);
}

static node scatter_transpose(graph *g, node y, int i, node c)
{
    (void)i;
    return g_gather(g, c, op_in(g, y, 1));
}

const op_def op_gather = {
    .name = "gather",
    .arity = 2,
    .kind = OP_LINEAR,
    .infer = gather_infer,
    .fold = fold_moved_fill,
    .transpose = gather_transpose,
};

const op_def op_scatter_add = {
    .name = "scatter_add",
    .arity = 2,
    .kind = OP_LINEAR,
    .infer = scatter_infer,
    .transpose = scatter_transpose,
};

node g_gather(graph *g, node table, node index)
{
    return op_binary(g, OP_gather, table, index);
}

node g_scatter_add(graph *g, node rows, node index, int64_t n)
{
    return op_make(g,
                   &(node_rec){.op = OP_scatter_add, .in = {rows, index, NODE_NONE}, .attr.n = n});
}

/* -- take, put: the same of single elements, for an index of any shape */

static bool take_infer(graph *g, node_rec *rec)
{
    const node_rec *index = graph_rec(g, rec->in[1]);

    if (!op_wants_real(g, rec, 0)) return false;
    if (index->dtype != I32) return op_bad(g, rec, "expected an i32 index");
    rec->shape = index->shape;
    return infer_given(g, rec);
}

static bool put_infer(graph *g, node_rec *rec)
{
    const node_rec *index = graph_rec(g, rec->in[1]);

    if (!op_wants_real(g, rec, 0)) return false;
    if (index->dtype != I32 || !shape_same(&index->shape, graph_shape(g, rec->in[0])))
        return op_bad(g, rec, "expected one i32 index for each element");
    return infer_given(g, rec);
}

static node take_transpose(graph *g, node y, int i, node c)
{
    return g_put(g, c, op_in(g, y, 1), *graph_shape(g, op_in(g, y, i)));
}

static node put_transpose(graph *g, node y, int i, node c)
{
    (void)i;
    return g_take(g, c, op_in(g, y, 1));
}

const op_def op_take = {
    .name = "take",
    .arity = 2,
    .kind = OP_LINEAR,
    .infer = take_infer,
    .fold = fold_moved_fill,
    .transpose = take_transpose,
};

const op_def op_put = {
    .name = "put",
    .arity = 2,
    .kind = OP_LINEAR,
    .infer = put_infer,
    .transpose = put_transpose,
};

node g_take(graph *g, node x, node index)
{
    return op_binary(g, OP_take, x, index);
}

node g_put(graph *g, node values, node index, shape s)
{
    return op_make(g, &(node_rec){.op = OP_put, .in = {values, index, NODE_NONE}, .shape = s});
}
