/* What must be computed, and how each node reads its operands. Nodes that only say where a value
 * is (reshape, broadcast, row gather, one-hot, casts, constants) are folded into the reader's
 * access; they become work of their own only where a product or another plain step wants them in
 * memory. */
#include "plan/plan_inside.h"

/* Runs of dimensions in memory order: does the result's index move with the operand's? */
typedef struct split {
    access_mode mode; /* AT_CONST: no simple pattern */
    int64_t cols;
} split;

/* `whole` has the dimensions, bit i of `gone` says that dimension i is the one repeated or
 * summed. */
static split split_axes(const shape *whole, uint32_t gone)
{
    int64_t gone_count = 1, kept_count = 1;
    int32_t changes = 0, first = -1, last = -1;

    for (int32_t i = 0; i < whole->rank; i++) {
        if (whole->dim[i] == 1) continue;
        const int32_t is_gone = (int32_t)(gone >> i & 1);
        if (is_gone) gone_count *= whole->dim[i];
        else kept_count *= whole->dim[i];
        changes += last >= 0 && is_gone != last;
        if (first < 0) first = is_gone;
        last = is_gone;
    }
    if (kept_count == 1) return (split){AT_ONE, 0};
    if (changes > 1) return (split){AT_CONST, 0};
    if (changes == 0) return (split){AT_SAME, 0};
    return first ? (split){AT_COL, kept_count} : (split){AT_ROW, gone_count};
}

static split split_bcast(const shape *from, const shape *to)
{
    uint32_t gone = 0;

    for (int32_t i = 0; i < to->rank; i++)
        if (from->dim[i] != to->dim[i]) gone |= 1u << i;
    return split_axes(to, gone);
}

/* A slice that is one run of memory; *offset is where it starts. */
static bool slice_is_run(const graph *g, const node_rec *r, int64_t *offset)
{
    const shape *whole = graph_shape(g, r->in[0]);
    int64_t inner = 1;

    for (int32_t i = 0; i < r->attr.axis; i++)
        if (whole->dim[i] != 1) return false;
    for (int32_t i = r->attr.axis + 1; i < whole->rank; i++) inner *= whole->dim[i];
    *offset = r->attr.n * inner;
    return true;
}

/* A permutation that moves only dimensions of length 1. */
static bool permute_is_view(const node_rec *r)
{
    int32_t last = -1;

    for (int32_t i = 0; i < r->shape.rank; i++) {
        if (r->shape.dim[i] == 1) continue;
        if (r->attr.perm[i] < last) return false;
        last = r->attr.perm[i];
    }
    return true;
}

static bool is_view(const graph *g, const node_rec *r, int64_t *offset)
{
    *offset = 0;
    if (r->op == OP_reshape) return true;
    if (r->op == OP_slice) return slice_is_run(g, r, offset);
    return r->op == OP_permute && permute_is_view(r);
}

plan_ref plan_resolve(const graph *g, node n)
{
    plan_ref ref = {n, 0};
    int64_t offset;

    while (is_view(g, graph_rec(g, ref.base), &offset)) {
        ref.base = graph_rec(g, ref.base)->in[0];
        ref.offset += offset;
    }
    return ref;
}

static bool is_real(dtype t)
{
    return t == F32 || t == F64;
}

static int64_t row_length(const shape *s)
{
    int64_t n = 1;

    for (int32_t i = 1; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* One step of the walk below: follows r when it can; false when r must be in memory. `own` is the
 * reader's type: one conversion a read. */
static bool follow(const graph *g, const node_rec *r, dtype own, plan_access *a)
{
    const bool plain = a->mode == AT_SAME && a->offset == 0;
    split s;

    switch (r->op) {
    case OP_fill: a->mode = AT_CONST, a->value = r->attr.f, a->src = NODE_NONE; return false;
    case OP_cast:
        if (a->type != own || !is_real(own)) return false;
        a->type = graph_dtype(g, r->in[0]);
        break;
    case OP_bcast:
        if (!plain && !(a->mode == AT_ONE && a->offset == 0)) return false;
        s = split_bcast(graph_shape(g, r->in[0]), &r->shape);
        if (s.mode == AT_CONST) return false;
        if (plain) a->mode = s.mode, a->cols = s.cols;
        break;
    default: return false;
    }
    a->src = r->in[0];
    return true;
}

/* How to read node n, element by element. Views may lie on the way. */
static plan_access read_node(const graph *g, node n)
{
    plan_access a = {.mode = AT_SAME, .type = graph_dtype(g, n), .src = n, .index = NODE_NONE};
    const node_rec *r;
    plan_ref ref, index;

    do {
        ref = plan_resolve(g, a.src);
        a.src = ref.base;
        a.offset += ref.offset;
        r = graph_rec(g, a.src);
    } while (follow(g, r, graph_dtype(g, n), &a));
    const bool plain = a.mode == AT_SAME && a.offset == 0;
    if (r->op == OP_onehot && plain && a.type == (dtype)r->dtype) {
        index = plan_resolve(g, r->in[0]);
        a.mode = AT_ONEHOT, a.cols = r->shape.dim[1], a.src = NODE_NONE;
        a.index = index.base, a.index_offset = index.offset;
    }
    if (r->op == OP_gather && plain) {
        ref = plan_resolve(g, r->in[0]), index = plan_resolve(g, r->in[1]);
        a.mode = AT_GATHER, a.cols = row_length(&r->shape),
        a.rows = graph_shape(g, r->in[0])->dim[0];
        a.src = ref.base, a.offset = ref.offset;
        a.index = index.base, a.index_offset = index.offset;
    }
    return a;
}

static bool needs_cols(access_mode m)
{
    return m == AT_COL || m == AT_ROW || m == AT_GATHER || m == AT_ONEHOT;
}

/* One iteration space: the accesses of a node must agree on the columns. */
static bool take_cols(plan_node *v, int64_t cols)
{
    if (v->cols && v->cols != cols) return false;
    v->cols = cols;
    return true;
}

/* Operand k of `v` is node n; when its pattern does not fit the others, n itself must be in
 * memory. */
static void read_operand(const graph *g, plan_node *v, int k, node n)
{
    v->in[k] = read_node(g, n);
    if (!needs_cols(v->in[k].mode) || take_cols(v, v->in[k].cols)) return;
    plan_ref ref = plan_resolve(g, n);
    v->in[k] = (plan_access){.mode = AT_SAME,
                             .type = graph_dtype(g, n),
                             .src = ref.base,
                             .offset = ref.offset,
                             .index = NODE_NONE};
}

/* Operands as they lie in memory. */
static void read_plain(const graph *g, plan_node *v, const node_rec *r)
{
    for (int k = 0; k < v->n_in; k++) {
        plan_ref ref = plan_resolve(g, r->in[k]);
        v->in[k] = (plan_access){.mode = AT_SAME,
                                 .type = graph_dtype(g, r->in[k]),
                                 .src = ref.base,
                                 .offset = ref.offset,
                                 .index = NODE_NONE};
    }
}

/* A node that only says where its value is, wanted in memory: a copy through its own access. */
static bool trace_copy(const graph *g, plan_node *v, node n)
{
    const plan_access a = read_node(g, n);

    if (!is_real(v->type) || a.src == n) return false;
    v->cls = PN_POINT;
    v->n_in = 1;
    v->in[0] = a;
    v->cols = needs_cols(a.mode) ? a.cols : 0;
    return true;
}

static bool trace_sum(const graph *g, plan_node *v, const node_rec *r)
{
    const shape *whole = graph_shape(g, r->in[0]);
    const split s = split_axes(whole, r->attr.axes);

    if (s.mode == AT_CONST || s.mode == AT_SAME) return false;
    v->cls = PN_SUM;
    v->sum = s.mode;
    v->count = shape_count(whole);
    if (s.mode != AT_ONE) v->cols = s.cols;
    read_operand(g, v, 0, r->in[0]);
    return true;
}

static void trace_node(const graph *g, plan_node *v, node n)
{
    const node_rec *r = graph_rec(g, n);
    const op_def *def = op_get(r->op);

    v->count = v->size = shape_count(&r->shape);
    v->n_in = def->arity;
    if (r->op == OP_leaf) {
        v->cls = PN_LEAF;
    } else if (r->op == OP_matmul || r->op == OP_conv || r->op == OP_conv_dx) {
        v->cls = PN_MATMUL;
        v->into = n;
        v->cols = r->shape.dim[r->shape.rank - 1];
        v->line = r->shape.rank > 2 ? r->shape.dim[r->shape.rank - 2] : 0;
        read_plain(g, v, r);
    } else if (r->op == OP_sum && trace_sum(g, v, r)) {
        return;
    } else if (def->flags & OP_ELEMENTWISE && r->op != OP_cast && is_real((dtype)r->dtype)) {
        v->cls = PN_POINT;
        for (int k = 0; k < def->arity; k++) read_operand(g, v, k, r->in[k]);
    } else if (r->op == OP_cast && r->dtype == BF16) { /* written on the way: no read of its own */
        v->cls = PN_POINT;
        read_operand(g, v, 0, r->in[0]);
    } else if (!trace_copy(g, v, n)) {
        v->cls = PN_PLAIN;
        v->n_in = def->arity;
        read_plain(g, v, r);
    }
}

static void need(plan *p, node n)
{
    if (n != NODE_NONE && p->node[n].cls == PN_DEAD) p->node[n].cls = PN_PLAIN;
}

static drmad_status check_supported(const plan *p, const plan_node *v, node n)
{
    char text[128];
    const dtype t =
        op_get(v->op)->arity > 0 ? graph_dtype(p->g, graph_rec(p->g, n)->in[0]) : v->type;

    if (p->target.supports(v->op, t) && p->target.supports(v->op, v->type)) return DRMAD_OK;
    return FAIL(p->ctx, DRMAD_E_MODEL, "plan: node %%%d, %s of %s %s: not available on %s", n,
                op_get(v->op)->name, dtype_name(t),
                shape_print(graph_shape(p->g, n), text, sizeof text), p->target.name);
}

drmad_status plan_trace(plan *p)
{
    const graph *g = p->g;
    const node size = graph_size(g);
    drmad_status st = DRMAD_OK;

    for (node n = 0; n < size; n++)
        p->node[n] = (plan_node){
            .op = graph_rec(g, n)->op, .of = n, .type = graph_dtype(g, n), .into = n, .last = -1};
    for (int32_t i = 0; i < p->outs; i++) need(p, plan_resolve(g, p->out[i].y).base);
    for (node n = size - 1; n >= 0; n--) { /* operands have smaller indices */
        plan_node *v = &p->node[n];
        if (v->cls == PN_DEAD) continue;
        trace_node(g, v, n);
        if ((st = check_supported(p, v, n)) != DRMAD_OK) return st;
        if (!shape_bytes(graph_shape(g, n), v->type, &v->bytes))
            return FAIL(p->ctx, DRMAD_E_MODEL, "plan: node %%%d, %s: its size overflows", n,
                        op_get(v->op)->name);
        for (int k = 0; k < v->n_in && v->cls != PN_LEAF; k++) {
            need(p, v->in[k].src);
            need(p, v->in[k].index);
        }
    }
    return DRMAD_OK;
}
