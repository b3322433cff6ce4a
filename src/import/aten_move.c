/* What moves elements and computes nothing, and constants. */
#include "import/aten.h"

static const value *moved(lowering *l)
{
    if (has_operand(l, 0)) return operand_of(l, 0);
    aten_refuse(l, "operand 0 is None");
    return NULL;
}

/* view, unsqueeze, squeeze, clone, ...: to the stated shape. */
value aten_view(lowering *l)
{
    const value *v = moved(l);

    return v ? view_as(l, v, stated(l)) : no_value();
}

value aten_permute(lowering *l)
{
    const value *v = moved(l);
    int64_t dims[RANK_MAX];
    uint32_t seen = 0;

    if (!v) return no_value();
    if (attr_ints(l, "dims", dims, RANK_MAX) != v->s.rank)
        return aten_refuse(l, "dims does not name each of %d dimensions", (int)v->s.rank);
    value out = *v;
    out.logits = NODE_NONE;
    for (int32_t i = 0; i < v->s.rank; i++) {
        const int64_t from = dims[i] < 0 ? dims[i] + v->s.rank : dims[i];
        if (from < 0 || from >= v->s.rank || (seen >> from & 1))
            return aten_refuse(l, "dims does not name each dimension once");
        seen |= 1u << from;
        out.s.dim[i] = v->s.dim[from], out.at[i] = v->at[from];
    }
    return out;
}

/* Only seen, until somebody needs the elements. */
value aten_expand(lowering *l)
{
    const value *v = moved(l);
    const shape to = stated(l);

    if (!v || v->n == NODE_NONE) return no_value();
    const int32_t before = to.rank - v->s.rank;
    shape same = shape_ones(to.rank);
    for (int32_t i = 0; i < to.rank; i++) {
        if (i >= before) same.dim[i] = v->s.dim[i - before];
        if (before < 0 || (same.dim[i] != 1 && same.dim[i] != to.dim[i]))
            return aten_refuse(l, "its operand does not expand so");
    }
    value out = shape_same(&same, &v->s) ? *v : view_as(l, v, same);
    out.s = to, out.logits = NODE_NONE;
    return out;
}

/* ---- parts ---- */

static value part_of(lowering *l, const value *v, int32_t dim, int64_t start, int64_t length)
{
    value out = *v;

    if (start < 0 || length < 1 || start > v->s.dim[dim] - length)
        return aten_refuse(l, "%lld elements from %lld on of %lld", (long long)length,
                           (long long)start, (long long)v->s.dim[dim]);
    out.logits = NODE_NONE;
    out.s.dim[dim] = length;
    if (v->n != NODE_NONE && graph_shape(l->g, v->n)->dim[v->at[dim]] != 1)
        out.n = g_slice(l->g, v->n, v->at[dim], start, length);
    return out;
}

value aten_slice(lowering *l)
{
    const value *v = moved(l);
    const int32_t dim = v ? attr_dim(l, "dim", v->s.rank) : -1;

    if (dim < 0) return no_value();
    const int64_t all = v->s.dim[dim], start = attr_int(l, "start", 0);
    const int64_t end = attr_int(l, "end", all);
    const int64_t from = start < 0 ? start + all : start, to = end < 0 ? end + all : end;
    if (attr_int(l, "step", 1) != 1) return aten_refuse(l, "steps other than 1 are not known");
    return part_of(l, v, dim, from, (to < all ? to : all) - from);
}

value aten_select(lowering *l)
{
    const value *v = moved(l);
    const int32_t dim = v ? attr_dim(l, "dim", v->s.rank) : -1;

    if (dim < 0) return no_value();
    const int64_t index = attr_int(l, "index", 0);
    const value one = part_of(l, v, dim, index < 0 ? index + v->s.dim[dim] : index, 1);
    shape to = {.rank = 0};
    for (int32_t i = 0; i < one.s.rank; i++)
        if (i != dim) to.dim[to.rank++] = one.s.dim[i];
    return one.n == NODE_NONE ? one : view_as(l, &one, to);
}

/* ---- joined, padded ---- */

/* Operand i laid out as the first, expanded. */
static node as_first(lowering *l, int i, int32_t dim)
{
    const value *a = operand_of(l, 0), *b = operand_of(l, i);
    shape mem = {.rank = a->s.rank};

    if (b->s.rank != a->s.rank || b->type == NUMBER_WHOLE) return NODE_NONE;
    for (int32_t k = 0; k < a->s.rank; k++) {
        if (k != dim && b->s.dim[k] != a->s.dim[k]) return NODE_NONE;
        mem.dim[a->at[k]] = b->s.dim[k];
    }
    return laid_out(l, b, a->at, mem);
}

value aten_cat(lowering *l)
{
    const value *v = moved(l);
    const int32_t dim = v ? attr_dim(l, "dim", v->s.rank) : -1;
    node part[GRAPH_OPERANDS_MAX];

    if (dim < 0) return no_value();
    value out = with_node(v, NODE_NONE);
    out.s.dim[dim] = 0;
    for (int i = 0; i < l->at->n_in; i++) {
        part[i] = has_operand(l, i) ? as_first(l, i, dim) : NODE_NONE;
        if (part[i] == NODE_NONE) return aten_refuse(l, "operand %d does not fit the first", i);
        out.s.dim[dim] += operand_of(l, i)->s.dim[dim];
    }
    out.n = nn_join(l->g, part, l->at->n_in, v->at[dim]);
    return out;
}

/* Zeros around, and `value` where they are: PyTorch's pad begins with the last dimension. */
value aten_pad(lowering *l)
{
    graph *g = l->g;
    int64_t pad[2 * RANK_MAX];
    const int32_t n = attr_ints(l, "pad", pad, 2 * RANK_MAX);
    const double fill = attr_number(l, "value", 0);
    const value *v = moved(l);

    if (!v || v->n == NODE_NONE) return no_value();
    if (n % 2 != 0 || n / 2 > v->s.rank || v->type == NUMBER_WHOLE)
        return aten_refuse(l, "pad has no two numbers a dimension");
    value out = value_of(plain(l, v), v->s, NUMBER_REAL);
    node inside = fill != 0 ? g_ones_like(g, out.n) : NODE_NONE;
    for (int32_t i = 0; i < n / 2; i++) {
        const int32_t dim = v->s.rank - 1 - i;
        const int64_t before = pad[2 * i], after = pad[2 * i + 1], most = 1 << 24;
        if (before < 0 || after < 0 || before > most || after > most)
            return aten_refuse(l, "pad of %lld and %lld", (long long)before, (long long)after);
        out.s.dim[dim] += before + after;
        out.n = g_pad(g, out.n, dim, before, out.s.dim[dim]);
        if (inside != NODE_NONE) inside = g_pad(g, inside, dim, before, out.s.dim[dim]);
    }
    if (inside != NODE_NONE)
        out.n = g_add(g, out.n, g_scale(g, g_sub(g, g_ones_like(g, inside), inside), fill));
    return out;
}

/* ---- constants, types ---- */

value aten_full(lowering *l)
{
    const shape s = stated(l);
    value v = value_of(NODE_NONE, s, l->at->type);

    if (!attr_given(l, "value")) return aten_refuse(l, "needs a value");
    v.n = g_fill(l->g, real_type(l), shape_ones(s.rank), attr_number(l, "value", 0));
    if (v.type == NUMBER_WHOLE) v.n = g_cast(l->g, v.n, I32);
    return v;
}

value aten_to_copy(lowering *l)
{
    const value *v = moved(l);
    const number_type to = l->at->type;

    if (!v) return no_value();
    if (v->type == to) return *v;
    if (to == NUMBER_REAL) return as_real(l, v);
    if (to == NUMBER_WHOLE && v->type == NUMBER_BOOL) {
        value out = *v;
        out.n = g_cast(l->g, v->n, I32), out.type = NUMBER_WHOLE;
        return out;
    }
    return aten_refuse(l, "real numbers are not made whole, nor true or false");
}
