/* Products of two operands. Each rule is again a product, with the other operand. */
#include "ops/rules.h"

/* -- mul */

static node mul_fold(graph *g, node_rec *rec)
{
    node a = rec->in[0], b = rec->in[1];
    double v;

    if (is_fill(g, a, &v)) return g_scale(g, b, v);
    if (is_fill(g, b, &v)) return g_scale(g, a, v);
    if (a > b) rec->in[0] = b, rec->in[1] = a; /* one order, so that a b and b a meet */
    return NODE_NONE;
}

static node mul_transpose(graph *g, node y, int i, node c)
{
    return g_mul(g, c, op_in(g, y, 1 - i));
}

const op_def op_mul = {
    .name = "mul",
    .arity = 2,
    .kind = OP_BILINEAR,
    .flags = OP_ELEMENTWISE,
    .infer = infer_same,
    .fold = mul_fold,
    .transpose = mul_transpose,
};

node g_mul(graph *g, node a, node b)
{
    return op_binary(g, OP_mul, a, b);
}

/* -- matmul: y = A' B', where A' is A or, with the flag ta, A transposed; B' likewise with tb. In
 * rank 3, one such product for each index of the first dimension. */

/* Dimension `i` of the matrices, 0 or 1. */
static int64_t side(const shape *s, int i)
{
    return s->dim[s->rank - 2 + i];
}

static bool matmul_infer(graph *g, node_rec *rec)
{
    const node_rec *a = graph_rec(g, rec->in[0]), *b = graph_rec(g, rec->in[1]);
    int32_t ta = rec->attr.ta, tb = rec->attr.tb;

    if (!op_wants_real(g, rec, 0)) return false;
    const bool batched = a->shape.rank == 3 && a->shape.dim[0] == b->shape.dim[0];
    if (a->dtype != b->dtype || a->shape.rank != b->shape.rank || !(batched || a->shape.rank == 2))
        return op_bad(g, rec, "expected two matrices of one dtype, or as many of each");
    if (side(&a->shape, !ta) != side(&b->shape, tb))
        return op_bad(g, rec, "%s%s: inner dimensions %lld and %lld, expected the same",
                      ta ? "A transposed" : "A as it is", tb ? ", B transposed" : ", B as it is",
                      (long long)side(&a->shape, !ta), (long long)side(&b->shape, tb));
    rec->dtype = a->dtype;
    rec->shape = a->shape;
    rec->shape.dim[rec->shape.rank - 2] = side(&a->shape, ta);
    rec->shape.dim[rec->shape.rank - 1] = side(&b->shape, !tb);
    return true;
}

/* A transposed operand costs nothing: the flag says it. */
static void fold_permute(const graph *g, node *operand, int32_t *flag)
{
    const node_rec *x = graph_rec(g, *operand);

    if (x->op != OP_permute || (x->shape.rank == 3 && x->attr.perm[0] != 0)) return;
    *operand = x->in[0];
    *flag = !*flag;
}

static node matmul_fold(graph *g, node_rec *rec)
{
    fold_permute(g, &rec->in[0], &rec->attr.ta);
    fold_permute(g, &rec->in[1], &rec->attr.tb);
    return NODE_NONE;
}

/* From dy = dA' B' + A' dB':  A'~ = c B'^T,  B'~ = A'^T c;  and where a flag is set, that
 * transposed. */
static node matmul_transpose(graph *g, node y, int i, node c)
{
    node a = op_in(g, y, 0), b = op_in(g, y, 1);
    bool ta = graph_rec(g, y)->attr.ta, tb = graph_rec(g, y)->attr.tb;

    if (i == 0) return ta ? g_matmul(g, b, c, tb, true) : g_matmul(g, c, b, false, !tb);
    return tb ? g_matmul(g, c, a, true, ta) : g_matmul(g, a, c, !ta, false);
}

const op_def op_matmul = {
    .name = "matmul",
    .arity = 2,
    .kind = OP_BILINEAR,
    .infer = matmul_infer,
    .fold = matmul_fold,
    .transpose = matmul_transpose,
};

node g_matmul(graph *g, node a, node b, bool ta, bool tb)
{
    return op_make(
        g, &(node_rec){.op = OP_matmul, .in = {a, b, NODE_NONE}, .attr = {.ta = ta, .tb = tb}});
}
