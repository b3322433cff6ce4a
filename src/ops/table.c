/* The op table made from ops.def, the one way to make a node, and what the families share. */
#include "ops/rules.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define OP(name) extern const op_def op_##name;
#include "ops/ops.def"
#undef OP

_Static_assert(OP_leaf == 0, "graph.c takes op 0 for a leaf");

const op_def *op_get(int32_t op)
{
    static const op_def *const table[OP_COUNT] = {
#define OP(name) &op_##name,
#include "ops/ops.def"
#undef OP
    };
    assert(op >= 0 && op < OP_COUNT);
    return table[op];
}

/* A linear op of zeros, or a product with zeros, is zeros. */
static bool is_zero(const graph *g, const op_def *def, const node_rec *r)
{
    int zeros = 0, reals = 0;

    if (def->kind != OP_LINEAR && def->kind != OP_BILINEAR) return false;
    for (int i = 0; i < def->arity; i++) {
        reals += op_carries(g, r->in[i]);
        zeros += is_const(g, r->in[i], 0.0);
    }
    return def->kind == OP_LINEAR ? zeros > 0 && zeros == reals : zeros > 0;
}

/* BF16 is kept, not reckoned with: leaves hold it, cast turns it into F32 and back. */
static bool keeps_bf16(graph *g, const node_rec *r)
{
    const op_def *def = op_get(r->op);
    bool reads = false;

    for (int i = 0; i < def->arity; i++) reads |= graph_dtype(g, r->in[i]) == BF16;
    if ((!reads && r->dtype != BF16) || r->op == OP_cast) return true;
    return op_bad(g, r, "bf16 is only kept: cast it to f32 first");
}

node op_make(graph *g, const node_rec *rec)
{
    const op_def *def = op_get(rec->op);
    node_rec r = *rec;
    node n = NODE_NONE;

    for (int i = 0; i < def->arity; i++)
        if (r.in[i] == NODE_NONE) return NODE_NONE;
    if (graph_status(g) != DRMAD_OK || !keeps_bf16(g, &r) || !def->infer(g, &r)) return NODE_NONE;
    if (is_zero(g, def, &r)) return g_fill(g, (dtype)r.dtype, r.shape, 0.0);
    if (def->fold) n = def->fold(g, &r);
    return n != NODE_NONE ? n : graph_add(g, &r);
}

node op_apply(graph *g, const node_rec *rec, const node in[OPERANDS_MAX])
{
    node_rec r = *rec;

    for (int i = 0; i < op_get(r.op)->arity; i++) r.in[i] = in[i];
    return op_make(g, &r);
}

node op_in(const graph *g, node y, int i)
{
    return graph_rec(g, y)->in[i];
}

node op_unary(graph *g, int32_t op, node x)
{
    return op_make(g, &(node_rec){.op = op, .in = {x, NODE_NONE, NODE_NONE}});
}

node op_binary(graph *g, int32_t op, node a, node b)
{
    return op_make(g, &(node_rec){.op = op, .in = {a, b, NODE_NONE}});
}

bool op_bad(graph *g, const node_rec *rec, const char *fmt, ...)
{
    const op_def *def = op_get(rec->op);
    char operands[256] = "", text[512], dims[128];
    size_t used = 0;
    va_list ap;

    for (int i = 0; i < def->arity && used < sizeof operands; i++)
        used += (size_t)snprintf(operands + used, sizeof operands - used, "%s%s%s", i ? ", " : "",
                                 dtype_name(graph_dtype(g, rec->in[i])),
                                 shape_print(graph_shape(g, rec->in[i]), dims, sizeof dims));
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    graph_fail(g, "%s(%s): %s", def->name, operands, text);
    return false;
}

bool dtype_real(int32_t t)
{
    return t == F32 || t == F64;
}

bool op_carries(const graph *g, node n)
{
    return dtype_real(graph_rec(g, n)->dtype);
}

bool op_wants_real(graph *g, const node_rec *rec, int operand)
{
    if (op_carries(g, rec->in[operand])) return true;
    return op_bad(g, rec, "expected f32 or f64 for operand %d", operand);
}

bool infer_same(graph *g, node_rec *rec)
{
    const node_rec *a = graph_rec(g, rec->in[0]);

    if (!op_wants_real(g, rec, 0)) return false;
    for (int i = 1; i < op_get(rec->op)->arity; i++) {
        const node_rec *b = graph_rec(g, rec->in[i]);
        if (a->dtype != b->dtype || !shape_same(&a->shape, &b->shape))
            return op_bad(g, rec, "expected operands of one shape and dtype");
    }
    rec->shape = a->shape;
    rec->dtype = a->dtype;
    return true;
}

bool infer_given(graph *g, node_rec *rec)
{
    rec->dtype = graph_rec(g, rec->in[0])->dtype;
    return true;
}

bool is_fill(const graph *g, node n, double *value)
{
    *value = graph_rec(g, n)->attr.f;
    return graph_rec(g, n)->op == OP_fill;
}

bool is_const(const graph *g, node n, double value)
{
    double v;

    return is_fill(g, n, &v) && v == value;
}

node fold_moved_fill(graph *g, node_rec *rec)
{
    double v;

    if (!is_fill(g, rec->in[0], &v)) return NODE_NONE;
    return g_fill(g, (dtype)rec->dtype, rec->shape, v);
}
