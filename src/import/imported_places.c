/* Where the examples of a batch run in each value, so that a loss can be told apart by them.
 *
 * The examples of a value with a place (d, q) run along dimension d, q elements of that dimension
 * being slower than they: q is 1 but where a view has merged others into it ([t, n, c] seen as
 * [t n, c] has (0, t)). Each of its parts is of one example alone, as far as operations say; batch
 * norm by the batch mixes them, here as in nets of layers. No place: it has nothing to do with the
 * examples, or they are lost. */
#include "import/imported_places.h"
#include <string.h>

static const place nowhere = {-1, 1};

static bool is(const graph_op *n, const char *op)
{
    return strcmp(n->op, op) == 0;
}

static bool is_any(const graph_op *n, const char *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is(n, ops[i])) return true;
    return false;
}

static const shape *shape_of(const places *p, int i)
{
    return &p->l->v[p->l->at->in[i].at].s;
}

/* Of operand i: nowhere where it has none. */
static place operand_place(const places *p, int i)
{
    const int32_t at = i < p->l->at->n_in ? p->l->at->in[i].at : -1;

    return at < 0 || !p->by_rows[at] ? nowhere : p->at[at];
}

static bool by_rows(const places *p, int i)
{
    const int32_t at = i < p->l->at->n_in ? p->l->at->in[i].at : -1;

    return at >= 0 && p->by_rows[at];
}

/* The attribute `dim` of operand 0 as a set. */
static uint32_t dims_of(const places *p)
{
    return attr_dims(p->l, shape_of(p, 0)->rank);
}

/* ---- by kind of operation ---- */

static place viewed(const places *p)
{
    const place from = operand_place(p, 0);
    const sized *to = &p->l->at->size;
    int64_t slower = from.slower, before = 1;
    int32_t d = 0;

    if (from.dim < 0 || to->batch == 0) return nowhere;
    for (int32_t i = 0; i < from.dim; i++) slower *= shape_of(p, 0)->dim[i];
    while (!(to->batch >> d & 1)) before *= to->of_one.dim[d++];
    if (slower % before != 0 || to->of_one.dim[d] % (slower / before) != 0) return nowhere;
    return (place){d, slower / before};
}

static place permuted(const places *p)
{
    const place from = operand_place(p, 0);
    const int32_t rank = shape_of(p, 0)->rank;
    int64_t dims[RANK_MAX];
    const int32_t n = attr_ints(p->l, "dims", dims, RANK_MAX);

    for (int32_t i = 0; from.dim >= 0 && i < n; i++)
        if ((dims[i] < 0 ? dims[i] + rank : dims[i]) == from.dim) return (place){i, from.slower};
    return nowhere;
}

/* Rows of the product's first matrix, the second being the same for all. */
static place of_product(const places *p, int first)
{
    const place a = operand_place(p, first);

    return by_rows(p, first + 1) || a.dim != 0 ? nowhere : a;
}

static place of_products(const places *p, int first)
{
    const place a = operand_place(p, first), b = operand_place(p, first + 1);

    if (by_rows(p, first) && by_rows(p, first + 1))
        return a.dim == 0 && b.dim == 0 && a.slower == b.slower ? a : nowhere;
    if (by_rows(p, first)) return a.dim < 2 ? a : nowhere;
    return b.dim == 0 || b.dim == 2 ? b : nowhere;
}

/* Over dimensions that go, or stay with length 1. */
static place reduced(const places *p)
{
    place at = operand_place(p, 0);
    const uint32_t over = dims_of(p);

    if (at.dim < 0 || (over >> at.dim & 1)) return nowhere;
    if (!attr_flag(p->l, "keepdim", false))
        at.dim -= __builtin_popcount(over & ((1u << at.dim) - 1));
    return at;
}

/* Along a dimension that is not the examples'. */
static place beside(const places *p)
{
    place at = operand_place(p, 0);
    const int32_t dim = attr_dim(p->l, "dim", shape_of(p, 0)->rank);

    if (at.dim < 0 || at.dim == dim) return nowhere;
    at.dim -= is(p->l->at, "select") && dim < at.dim;
    return at;
}

/* All that depend on the examples have them at one place of the result; `beside_dim`: along another
 * dimension than `dim`. */
static place together_at(const places *p)
{
    const int32_t rank = p->l->at->size.of_one.rank;
    place out = nowhere;

    for (int32_t i = 0; i < p->l->at->n_in; i++) {
        place at = operand_place(p, i);
        if (!by_rows(p, i)) continue;
        if (at.dim < 0) return nowhere;
        at.dim += rank - shape_of(p, i)->rank;
        if (out.dim >= 0 && (at.dim != out.dim || at.slower != out.slower)) return nowhere;
        out = at;
    }
    return out;
}

static place joined(const places *p)
{
    const place at = together_at(p);
    const int32_t dim = attr_dim(p->l, "dim", p->l->at->size.of_one.rank);

    return at.dim == dim ? nowhere : at;
}

/* The last dimensions are worked on, `n` of them. */
static place before_last(const places *p, int32_t n)
{
    const place at = operand_place(p, 0);

    return at.dim < shape_of(p, 0)->rank - n ? at : nowhere;
}

static place place_of(const places *p)
{
    static const char *const views[] = {"view",    "_unsafe_view", "unsqueeze",
                                        "squeeze", "clone",        "alias"};
    static const char *const sums[] = {"sum", "mean", "var", "logsumexp", "amax"};
    static const char *const parts[] = {"slice", "select", "_softmax", "_log_softmax"};
    static const char *const pixels[] = {"convolution",       "max_pool2d_with_indices",
                                         "avg_pool2d",        "_adaptive_avg_pool2d",
                                         "native_batch_norm", "native_group_norm"};
    const graph_op *n = p->l->at;
    int64_t ignored[2 * RANK_MAX];

    if (is_any(n, views, COUNT(views))) return viewed(p);
    if (is_any(n, sums, COUNT(sums))) return reduced(p);
    if (is_any(n, parts, COUNT(parts))) return beside(p);
    if (is_any(n, pixels, COUNT(pixels)))
        return by_rows(p, 1) || operand_place(p, 0).dim != 0 ? nowhere : operand_place(p, 0);
    if (is(n, "permute")) return permuted(p);
    if (is(n, "mm") || is(n, "addmm")) return of_product(p, is(n, "addmm"));
    if (is(n, "bmm") || is(n, "baddbmm")) return of_products(p, is(n, "baddbmm"));
    if (is(n, "cat") || is(n, "gather")) return joined(p);
    if (is(n, "embedding")) return by_rows(p, 0) ? nowhere : operand_place(p, 1);
    if (is(n, "native_layer_norm"))
        return before_last(p, attr_ints(p->l, "normalized_shape", ignored, RANK_MAX));
    if (is(n, "constant_pad_nd"))
        return before_last(p, attr_ints(p->l, "pad", ignored, 2 * RANK_MAX) / 2);
    return together_at(p); /* elementwise, expand, and what gives a number a row */
}

void places_find(places *p)
{
    lowering *l = p->l;
    const graph_file *f = l->f;

    for (int32_t i = 0; i < f->n_inputs; i++) {
        const input_role role = f->input[i].role;
        p->by_rows[i] = f->any && (role == INPUT_BATCH || role == INPUT_LABEL);
        p->at[i] = (place){p->by_rows[i] ? 0 : -1, 1};
    }
    for (int32_t i = 0; i < l->part->n; i++) {
        const int32_t at = f->n_inputs + i;
        l->at = &l->part->node[i];
        p->at[at] = nowhere;
        p->by_rows[at] = false;
        for (int32_t k = 0; k < l->at->n_in; k++) p->by_rows[at] |= by_rows(p, k);
        if (!p->by_rows[at]) continue;
        const place found = place_of(p);
        if (found.dim >= 0 && l->at->size.batch == 1u << found.dim) p->at[at] = found;
    }
}
