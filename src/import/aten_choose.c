/* Comparisons, choices by them, and what is chosen by whole numbers. Truth values are 0 and 1. */
#include "import/aten.h"
#include <math.h>

static node negated(graph *g, node x)
{
    return g_sub(g, g_fill_like(g, x, 1), x);
}

/* ---- comparisons ---- */

typedef enum comparison { EQ, NE, LT, LE, GT, GE } comparison;

static value compare(lowering *l, comparison how)
{
    graph *g = l->g;
    value out, a;
    node x, y, is;

    if (!has_operand(l, 0)) return aten_refuse(l, "operand 0 is None");
    if (has_operand(l, 1)) {
        if (!together(l, operand_of(l, 0), operand_of(l, 1), &x, &y, &out)) return out;
    } else {
        a = as_real(l, operand_of(l, 0));
        x = a.n, y = g_fill_like(g, x, attr_number(l, "other", NAN));
        out = with_node(&a, x);
        if (!attr_given(l, "other"))
            return aten_refuse(l, "needs two operands, or one and a number under `other`");
    }
    if (how == LT || how == GE) is = g_step(g, g_sub(g, y, x));
    else if (how == GT || how == LE) is = g_step(g, g_sub(g, x, y));
    else is = g_step(g, g_abs(g, g_sub(g, x, y)));
    out.n = how == EQ || how == LE || how == GE ? negated(g, is) : is;
    out.type = NUMBER_BOOL;
    return out;
}

#define COMPARE(name, how)                                                                         \
    value aten_##name(lowering *l)                                                                 \
    {                                                                                              \
        return compare(l, how);                                                                    \
    }

COMPARE(eq, EQ)
COMPARE(ne, NE)
COMPARE(lt, LT)
COMPARE(le, LE)
COMPARE(gt, GT)
COMPARE(ge, GE)

/* ---- logic ---- */

/* 1 where not 0. */
static value truth(lowering *l, const value *v)
{
    value out = as_real(l, v);

    if (v->type != NUMBER_BOOL) out.n = g_step(l->g, g_abs(l->g, out.n));
    out.type = NUMBER_BOOL;
    return out;
}

value aten_logical_not(lowering *l)
{
    if (!has_operand(l, 0)) return aten_refuse(l, "operand 0 is None");
    value out = truth(l, operand_of(l, 0));

    out.n = negated(l->g, out.n);
    return out;
}

static value both(lowering *l, bool turned)
{
    graph *g = l->g;
    value out;
    node x, y;

    if (!has_operand(l, 0) || !has_operand(l, 1)) return aten_refuse(l, "needs two operands");
    const value a = truth(l, operand_of(l, 0)), b = truth(l, operand_of(l, 1));
    if (!together(l, &a, &b, &x, &y, &out)) return out;
    out.n = turned ? negated(g, g_mul(g, negated(g, x), negated(g, y))) : g_mul(g, x, y);
    out.type = NUMBER_BOOL;
    return out;
}

value aten_logical_and(lowering *l)
{
    return both(l, false);
}

value aten_logical_or(lowering *l)
{
    return both(l, true);
}

/* c a + (1 - c) b: what is not chosen must be finite, and infinities among constants are made so
 * (aten_attr.c, constants.c). */
value aten_where(lowering *l)
{
    graph *g = l->g;
    value chosen, other, out;
    node c, a, b, d;

    if (!has_operand(l, 0) || !has_operand(l, 1) || !has_operand(l, 2))
        return aten_refuse(l, "needs three operands");
    const value is = truth(l, operand_of(l, 0));
    value isnt = is;
    isnt.n = negated(g, is.n);
    if (!together(l, &is, operand_of(l, 1), &c, &a, &chosen)) return chosen;
    chosen.n = g_mul(g, c, a);
    if (!together(l, &isnt, operand_of(l, 2), &d, &b, &other)) return other;
    other.n = g_mul(g, d, b);
    if (!together(l, &chosen, &other, &a, &b, &out)) return out;
    out.n = g_add(g, a, b);
    if (l->at->type == NUMBER_WHOLE) out.n = g_cast(g, out.n, I32);
    out.type = l->at->type;
    return out;
}

/* ---- by whole numbers ---- */

static bool wants_whole(lowering *l, int i)
{
    if (has_operand(l, i) && operand_of(l, i)->type == NUMBER_WHOLE) return true;
    aten_refuse(l, "operand %d is no list of whole numbers", i);
    return false;
}

/* The rows of x [..., k] that [..., 1] of indices names, along the last dimension. */
value aten_gather(lowering *l)
{
    graph *g = l->g;

    if (!has_operand(l, 0) || !wants_whole(l, 1)) return no_value();
    const value *x = operand_of(l, 0), *at = operand_of(l, 1);
    const int32_t rank = x->s.rank, dim = attr_dim(l, "dim", rank);
    if (rank < 1 || dim != rank - 1 || at->s.rank != rank || at->s.dim[rank - 1] != 1)
        return aten_refuse(l, "only one element along the last dimension can be gathered");
    const int64_t k = x->s.dim[rank - 1], n = shape_count(&at->s);
    const value real = as_real(l, x);
    node rows = g_reshape(g, plain(l, &real), SHAPE(n, k));
    node hot = g_onehot(g, g_reshape(g, plain(l, at), SHAPE(n)), k, real_type(l));
    return value_of(g_reshape(g, g_sum(g, g_mul(g, rows, hot), 1u << 1), at->s), at->s,
                    NUMBER_REAL);
}

value aten_embedding(lowering *l)
{
    graph *g = l->g;

    if (!has_operand(l, 0) || !wants_whole(l, 1)) return no_value();
    const value *w = operand_of(l, 0), *at = operand_of(l, 1);
    if (w->s.rank != 2 || at->s.rank >= RANK_MAX)
        return aten_refuse(l, "needs a table of rank 2 and indices");
    shape s = at->s;
    s.dim[s.rank++] = w->s.dim[1];
    node rows = g_gather(g, plain(l, w), g_reshape(g, plain(l, at), SHAPE(shape_count(&at->s))));
    return value_of(g_reshape(g, rows, s), s, NUMBER_REAL);
}

/* Of log-probabilities [n, k]. From a log-softmax the form that never meets log 0: logsumexp(z)
 * less the label's z. Gives [n, 1]; *weight: what the classes weigh, likewise, or NODE_NONE. */
node aten_nll_rows(lowering *l, node *weight)
{
    graph *g = l->g;
    const value *p = operand_of(l, 0), *labels = operand_of(l, 1);
    const bool fused = p->logits != NODE_NONE;
    value z = *p;

    *weight = NODE_NONE;

    if (fused) z.n = p->logits;
    node x = plain(l, &z);
    node hot = g_onehot(g, plain(l, labels), p->s.dim[1], real_type(l));
    node hit = g_sum(g, g_mul(g, hot, x), 1u << 1);
    node rows = fused ? g_sub(g, g_logsumexp(g, x), hit) : g_neg(g, hit);
    if (!has_operand(l, 2)) return rows;
    node by_class = nn_along_last(g, plain(l, operand_of(l, 2)), hot);
    *weight = g_sum(g, g_mul(g, hot, by_class), 1u << 1);
    return g_mul(g, rows, *weight);
}

static bool weighs_classes(lowering *l, int64_t classes)
{
    if (!has_operand(l, 2)) return true;
    const value *w = operand_of(l, 2);
    return w->type == NUMBER_REAL && w->s.rank == 1 && w->s.dim[0] == classes;
}

value aten_nll_loss(lowering *l)
{
    enum { NONE, MEAN };
    graph *g = l->g;
    const int64_t how = attr_int(l, "reduction", MEAN);

    if (!has_operand(l, 0) || !wants_whole(l, 1)) return no_value();
    const value *p = operand_of(l, 0), *labels = operand_of(l, 1);
    if (p->s.rank != 2 || labels->s.rank != 1 || p->s.dim[0] != labels->s.dim[0])
        return aten_refuse(l, "needs log-probabilities [n, k] and labels [n]");
    if (!weighs_classes(l, p->s.dim[1]))
        return aten_refuse(l, "operand 2: expected a weight for each of %lld classes",
                           (long long)p->s.dim[1]);
    node weight, rows = aten_nll_rows(l, &weight);
    if (how == NONE) return value_of(g_reshape(g, rows, labels->s), labels->s, NUMBER_REAL);
    node all = g_reshape(g, g_sum_all(g, rows), (shape){.rank = 0});
    if (how == MEAN && weight != NODE_NONE)
        all = g_mul(g, all, g_recip(g, g_reshape(g, g_sum_all(g, weight), (shape){.rank = 0})));
    else if (how == MEAN) all = g_scale(g, all, 1 / (double)labels->s.dim[0]);
    return value_of(all, (shape){.rank = 0}, NUMBER_REAL);
}
