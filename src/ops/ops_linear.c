/* Linear arithmetic: sums, factors, and the pair sum <-> bcast. */
#include "ops/rules.h"

/* -- add, sub */

/* Is n a scale by -1? Then *x is what it negates. */
static bool is_neg(const graph *g, node n, node *x)
{
    const node_rec *r = graph_rec(g, n);

    *x = r->in[0];
    return r->op == OP_scale && r->attr.f == -1.0;
}

static node same_transpose(graph *g, node y, int i, node c)
{
    (void)g, (void)y, (void)i;
    return c;
}

static node sub_transpose(graph *g, node y, int i, node c)
{
    (void)y;
    return i == 0 ? c : g_neg(g, c);
}

static node add_fold(graph *g, node_rec *rec)
{
    node a = rec->in[0], b = rec->in[1], x;
    double va, vb;

    if (is_const(g, a, 0.0)) return b;
    if (is_const(g, b, 0.0)) return a;
    if (is_fill(g, a, &va) && is_fill(g, b, &vb))
        return g_fill(g, (dtype)rec->dtype, rec->shape, va + vb);
    if (a == b) return g_scale(g, a, 2.0);
    if (is_neg(g, b, &x)) return g_sub(g, a, x);
    if (is_neg(g, a, &x)) return g_sub(g, b, x);
    if (a > b) rec->in[0] = b, rec->in[1] = a; /* one order, so that a + b and b + a meet */
    return NODE_NONE;
}

static node sub_fold(graph *g, node_rec *rec)
{
    node a = rec->in[0], b = rec->in[1], x;
    double va, vb;

    if (is_const(g, b, 0.0)) return a;
    if (is_const(g, a, 0.0)) return g_neg(g, b);
    if (is_fill(g, a, &va) && is_fill(g, b, &vb))
        return g_fill(g, (dtype)rec->dtype, rec->shape, va - vb);
    return is_neg(g, b, &x) ? g_add(g, a, x) : NODE_NONE;
}

const op_def op_add = {
    .name = "add",
    .arity = 2,
    .kind = OP_LINEAR,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
    .fold = add_fold,
    .transpose = same_transpose,
};

const op_def op_sub = {
    .name = "sub",
    .arity = 2,
    .kind = OP_LINEAR,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
    .fold = sub_fold,
    .transpose = sub_transpose,
};

node g_add(graph *g, node a, node b)
{
    return op_binary(g, OP_add, a, b);
}

node g_sub(graph *g, node a, node b)
{
    return op_binary(g, OP_sub, a, b);
}

/* -- scale */

static node scale_transpose(graph *g, node y, int i, node c)
{
    (void)i;
    return g_scale(g, c, graph_rec(g, y)->attr.f);
}

static node scale_fold(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);

    if (rec->attr.f == 1.0) return rec->in[0];
    if (rec->attr.f == 0.0) return g_zeros_like(g, rec->in[0]);
    if (x->op == OP_scale) return g_scale(g, x->in[0], x->attr.f * rec->attr.f);
    if (x->op == OP_fill) return g_fill(g, (dtype)rec->dtype, rec->shape, x->attr.f * rec->attr.f);
    return NODE_NONE;
}

const op_def op_scale = {
    .name = "scale",
    .arity = 1,
    .kind = OP_LINEAR,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
    .fold = scale_fold,
    .transpose = scale_transpose,
};

node g_scale(graph *g, node x, double f)
{
    return op_make(g, &(node_rec){.op = OP_scale, .in = {x, NODE_NONE, NODE_NONE}, .attr.f = f});
}

node g_neg(graph *g, node x)
{
    return g_scale(g, x, -1.0);
}

/* -- sum, bcast: each other's transpose */

static bool sum_infer(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);

    if (!op_wants_real(g, rec, 0)) return false;
    if (rec->attr.axes >> x->shape.rank)
        return op_bad(g, rec, "axes 0x%x, expected axes below %d", rec->attr.axes, x->shape.rank);
    rec->dtype = x->dtype;
    rec->shape = x->shape;
    for (int32_t i = 0; i < x->shape.rank; i++) {
        if (x->shape.dim[i] == 1) rec->attr.axes &= ~(1u << i);
        if (rec->attr.axes >> i & 1) rec->shape.dim[i] = 1;
    }
    return true;
}

enum { DEPTH = 6, RANK_MIN = 3 }; /* of a sum taken apart; of images and sequences */

/* The sum of x over axes as a record, which may be in the graph. */
static node_rec sum_of(graph *g, node x, uint32_t axes)
{
    node_rec r = {.op = OP_sum, .in = {x, NODE_NONE, NODE_NONE}, .attr.axes = axes};

    sum_infer(g, &r);
    return r;
}

/* In x = a * b: the operand that does not change along the axes, 0 or 1; -1: neither. */
static int constant_factor(const graph *g, const node_rec *x, uint32_t axes)
{
    for (int k = 0; k < 2; k++) {
        const node_rec *b = graph_rec(g, x->in[k]);
        const shape *from = graph_shape(g, b->in[0]);
        bool constant = b->op == OP_bcast;
        for (int32_t i = 0; constant && i < from->rank; i++)
            constant = !(axes >> i & 1) || from->dim[i] == 1;
        if (constant) return k;
    }
    return -1;
}

/* What is to be summed anew; nothing else. */
typedef struct fresh {
    node of;
    bool many; /* more than one */
} fresh;

/* The sums over the axes that are not in the graph yet, of those that make up the sum of x when it
 * is taken apart: sum(a + b) = sum a + sum b, sum(a v) = v sum a for a v constant along them. */
static void find_fresh(graph *g, node x, uint32_t axes, int depth, fresh *f)
{
    const node_rec *r = graph_rec(g, x), s = sum_of(g, x, axes);
    const int k = r->op == OP_mul ? constant_factor(g, r, axes) : -1;

    if (f->many || graph_find(g, &s) != NODE_NONE) return;
    if (depth > 0 && (r->op == OP_add || r->op == OP_sub || r->op == OP_scale)) {
        find_fresh(g, r->in[0], axes, depth - 1, f);
        if (r->op != OP_scale) find_fresh(g, r->in[1], axes, depth - 1, f);
    } else if (depth > 0 && k >= 0) {
        find_fresh(g, r->in[1 - k], axes, depth - 1, f);
    } else {
        f->many = f->of != NODE_NONE && f->of != x;
        f->of = x;
    }
}

static node apart(graph *g, node x, uint32_t axes, int depth)
{
    const node_rec r = *graph_rec(g, x), s = sum_of(g, x, axes);
    const node found = graph_find(g, &s);

    if (found != NODE_NONE) return found;
    const int k = r.op == OP_mul ? constant_factor(g, &r, axes) : -1;
    if (depth > 0 && r.op == OP_scale)
        return g_scale(g, apart(g, r.in[0], axes, depth - 1), r.attr.f);
    if (depth > 0 && (r.op == OP_add || r.op == OP_sub)) {
        node a = apart(g, r.in[0], axes, depth - 1), b = apart(g, r.in[1], axes, depth - 1);
        return r.op == OP_add ? g_add(g, a, b) : g_sub(g, a, b);
    }
    if (depth == 0 || k < 0) return graph_add(g, &s);
    node v = graph_rec(g, r.in[k])->in[0], a = apart(g, r.in[1 - k], axes, depth - 1);
    return g_mul(g, a, g_bcast(g, v, *graph_shape(g, a)));
}

/* Where a sum is made of others that are there (at most one is new), no pass over the elements is
 * needed for it: the backward pass of a norm needs two sums of its images, not three, one of
 * which would have to wait for the others. */
static bool comes_apart(graph *g, const node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);
    fresh f = {NODE_NONE, false};
    const bool sum = x->op == OP_add || x->op == OP_sub || x->op == OP_scale || x->op == OP_mul;

    if (!sum || x->shape.rank < RANK_MIN || shape_count(&rec->shape) == 1) return false;
    find_fresh(g, rec->in[0], rec->attr.axes, DEPTH, &f);
    return !f.many;
}

static node sum_fold(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);

    if (rec->attr.axes == 0) return rec->in[0];
    if (x->op == OP_sum) return g_sum(g, x->in[0], x->attr.axes | rec->attr.axes);
    if (x->op == OP_fill) {
        int64_t terms = shape_count(&x->shape) / shape_count(&rec->shape);
        return g_fill(g, (dtype)rec->dtype, rec->shape, x->attr.f * (double)terms);
    }
    return comes_apart(g, rec) ? apart(g, rec->in[0], rec->attr.axes, DEPTH) : NODE_NONE;
}

static node sum_transpose(graph *g, node y, int i, node c)
{
    return g_bcast(g, c, *graph_shape(g, op_in(g, y, i)));
}

const op_def op_sum = {
    .name = "sum",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = sum_infer,
    .fold = sum_fold,
    .transpose = sum_transpose,
};

static bool bcast_infer(graph *g, node_rec *rec)
{
    const shape *x = graph_shape(g, rec->in[0]), *s = &rec->shape;
    bool ok = x->rank == s->rank;
    char text[128];

    for (int32_t i = 0; ok && i < s->rank; i++) ok = x->dim[i] == s->dim[i] || x->dim[i] == 1;
    if (!ok)
        return op_bad(g, rec, "to %s: expected the same rank, and each dimension equal or 1",
                      shape_print(s, text, sizeof text));
    return infer_given(g, rec);
}

static node bcast_fold(graph *g, node_rec *rec)
{
    const node_rec *x = graph_rec(g, rec->in[0]);

    if (shape_same(&x->shape, &rec->shape)) return rec->in[0];
    if (x->op == OP_bcast) return g_bcast(g, x->in[0], rec->shape);
    return fold_moved_fill(g, rec);
}

static node bcast_transpose(graph *g, node y, int i, node c)
{
    return g_sum_to(g, c, *graph_shape(g, op_in(g, y, i)));
}

const op_def op_bcast = {
    .name = "bcast",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = bcast_infer,
    .fold = bcast_fold,
    .transpose = bcast_transpose,
};

node g_sum(graph *g, node x, uint32_t axes)
{
    return op_make(g,
                   &(node_rec){.op = OP_sum, .in = {x, NODE_NONE, NODE_NONE}, .attr.axes = axes});
}

node g_sum_to(graph *g, node x, shape s)
{
    const shape *from = graph_shape(g, x);
    uint32_t axes = 0;
    char a[128], b[128];

    if (x == NODE_NONE) return x;
    for (int32_t i = 0; i < from->rank; i++)
        if (s.dim[i] != from->dim[i]) axes |= 1u << i;
    node y = g_sum(g, x, axes);
    if (y == NODE_NONE || shape_same(graph_shape(g, y), &s)) return y;
    return graph_fail(g, "sum %s to %s: expected the same rank, and each dimension equal or 1",
                      shape_print(graph_shape(g, x), a, sizeof a), shape_print(&s, b, sizeof b));
}

node g_bcast(graph *g, node x, shape s)
{
    return op_make(g, &(node_rec){.op = OP_bcast, .in = {x, NODE_NONE, NODE_NONE}, .shape = s});
}

/* -- cast */

static bool cast_infer(graph *g, node_rec *rec)
{
    int32_t from = graph_rec(g, rec->in[0])->dtype, to = rec->dtype;
    const bool half = from == BF16 || to == BF16;

    if (half && from != to && from != F32 && to != F32)
        return op_bad(g, rec, "to %s: bf16 comes from f32 and goes there", dtype_name((dtype)to));
    if (!half && !dtype_real(to) && !(from == U8 && to == I32) && from != to)
        return op_bad(g, rec, "to %s: expected f32 or f64, or i32 from u8", dtype_name((dtype)to));
    rec->shape = *graph_shape(g, rec->in[0]);
    return true;
}

static node cast_fold(graph *g, node_rec *rec)
{
    if (graph_rec(g, rec->in[0])->dtype == rec->dtype) return rec->in[0];
    if (rec->dtype == BF16) return NODE_NONE;
    return fold_moved_fill(g, rec);
}

static node cast_transpose(graph *g, node y, int i, node c)
{
    return g_cast(g, c, graph_dtype(g, op_in(g, y, i)));
}

const op_def op_cast = {
    .name = "cast",
    .arity = 1,
    .kind = OP_LINEAR,
    .flags = OP_ELEMENTWISE,
    .infer = cast_infer,
    .fold = cast_fold,
    .transpose = cast_transpose,
};

node g_cast(graph *g, node x, dtype t)
{
    return op_make(
        g, &(node_rec){.op = OP_cast, .dtype = (int32_t)t, .in = {x, NODE_NONE, NODE_NONE}});
}
