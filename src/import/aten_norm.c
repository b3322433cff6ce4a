/* Norms, dropout and softmax: nn's own, on channels or features that lie last. */
#include "import/aten.h"
#include <stdio.h>
#include <string.h>

static nn_norm norm_of(lowering *l)
{
    return (nn_norm){.name = l->at->module,
                     .weight = has_operand(l, 1) ? plain(l, operand_of(l, 1)) : NODE_NONE,
                     .bias = has_operand(l, 2) ? plain(l, operand_of(l, 2)) : NODE_NONE,
                     .mean = has_operand(l, 3) ? plain(l, operand_of(l, 3)) : NODE_NONE,
                     .variance = has_operand(l, 4) ? plain(l, operand_of(l, 4)) : NODE_NONE,
                     .eps = attr_number(l, "eps", 1e-5),
                     .momentum = attr_number(l, "momentum", 0.1),
                     .next_mean = NODE_NONE,
                     .next_variance = NODE_NONE};
}

/* Weight, bias and statistics, where they are, have `n` elements. */
static bool vectors_fit(lowering *l, int64_t n)
{
    for (int i = 1; i < 5; i++)
        if (has_operand(l, i) && shape_count(&operand_of(l, i)->s) != n) {
            aten_refuse(l, "operand %d has %lld elements, expected %lld", i,
                        (long long)shape_count(&operand_of(l, i)->s), (long long)n);
            return false;
        }
    return true;
}

/* A real first operand of rank `least` at least. */
static bool has_input(lowering *l, int32_t least)
{
    if (has_operand(l, 0) && operand_of(l, 0)->s.rank >= least &&
        operand_of(l, 0)->type == NUMBER_REAL)
        return true;
    aten_refuse(l, "operand 0: expected real numbers of rank %d at least", (int)least);
    return false;
}

value aten_batch_norm(lowering *l)
{
    if (!has_input(l, 2) || !vectors_fit(l, operand_of(l, 0)->s.dim[1])) return no_value();
    nn_norm p = norm_of(l);
    p.by_batch = attr_flag(l, "training", false);
    if (!p.by_batch && (p.mean == NODE_NONE || p.variance == NODE_NONE))
        return aten_refuse(l, "needs running statistics in evaluation");
    node y = nn_batch_norm(l->g, channels_last(l, operand_of(l, 0)), &p);
    if (y == NODE_NONE) return no_value();
    value out = from_channels_last(l, y);
    out.side[0] = p.next_mean, out.side[1] = p.next_variance;
    return out;
}

/* A vector flat, or NODE_NONE. */
static node flat(lowering *l, node v)
{
    return v == NODE_NONE ? v : g_reshape(l->g, v, SHAPE(shape_count(graph_shape(l->g, v))));
}

value aten_layer_norm(lowering *l)
{
    int64_t over[RANK_MAX], n = 1;
    const int32_t last = attr_ints(l, "normalized_shape", over, RANK_MAX);

    if (!has_input(l, last)) return no_value();
    const shape s = operand_of(l, 0)->s;
    for (int32_t i = 0; i < last; i++) {
        if (over[i] != s.dim[s.rank - last + i])
            return aten_refuse(l, "normalized_shape is not that of the last dimensions");
        n *= over[i];
    }
    if (last < 1 || !vectors_fit(l, n)) return aten_refuse(l, "needs a normalized_shape");
    nn_norm p = norm_of(l);
    p.weight = flat(l, p.weight), p.bias = flat(l, p.bias);
    node x = plain(l, operand_of(l, 0));
    if (last > 1) x = g_reshape(l->g, x, SHAPE(shape_count(&s) / n, n));
    return value_of(g_reshape(l->g, nn_layer_norm(l->g, x, &p), s), s, NUMBER_REAL);
}

value aten_group_norm(lowering *l)
{
    const int64_t groups = attr_int(l, "group", 1);

    if (!has_input(l, 2)) return no_value();
    const shape *s = &operand_of(l, 0)->s;
    if (groups < 1 || s->dim[1] % groups != 0)
        return aten_refuse(l, "%lld groups divide %lld channels unevenly", (long long)groups,
                           (long long)s->dim[1]);
    if (!vectors_fit(l, s->dim[1])) return no_value();
    const nn_norm p = norm_of(l);
    node y = nn_group_norm(l->g, channels_last(l, operand_of(l, 0)), groups, &p);
    return y == NODE_NONE ? no_value() : from_channels_last(l, y);
}

void aten_site(const graph_part *p, int32_t i, char *buf, size_t size)
{
    const char *of = p->node[i].module;
    int32_t k = 0;

    for (const graph_op *n = p->node; n < &p->node[i]; n++)
        k += aten_drops(n->def) && strcmp(n->module, of) == 0;
    if (k > 0) snprintf(buf, size, "%s#%d", of, (int)k);
    else snprintf(buf, size, "%s", of);
}

value aten_dropout(lowering *l)
{
    const double p = attr_number(l, "p", 0.5);
    const int32_t number = l->drops++;
    char site[ATEN_SITE];

    if (!has_input(l, 0)) return no_value();
    if (!(p >= 0 && p < 1)) return aten_refuse(l, "p is %g, expected 0 up to 1", p);
    const value *v = operand_of(l, 0);
    if (l->pass->key == NODE_NONE || v->n == NODE_NONE) return *v;
    aten_site(l->part, (int32_t)(l->at - l->part->node), site, sizeof site);
    const value full = value_of(plain(l, v), v->s, NUMBER_REAL);
    const node own = l->pass->rates ? l->pass->rates[number] : NODE_NONE;
    return with_node(&full, nn_dropout(l->g, full.n, l->pass, site, p, own));
}

/* ---- softmax ---- */

/* x with the dimension last; *dim takes it, -1: none. */
static node before_softmax(lowering *l, int32_t *dim)
{
    *dim = -1;
    if (!has_input(l, 1)) return NODE_NONE;
    *dim = attr_dim(l, "dim", operand_of(l, 0)->s.rank);
    return *dim < 0 ? NODE_NONE : dimension_last(l, operand_of(l, 0), *dim);
}

value aten_softmax(lowering *l)
{
    int32_t dim;
    node x = before_softmax(l, &dim);

    if (x == NODE_NONE) return no_value();
    return from_dimension_last(l, g_softmax(l->g, x), dim);
}

value aten_log_softmax(lowering *l)
{
    graph *g = l->g;
    int32_t dim;
    node x = before_softmax(l, &dim);

    if (x == NODE_NONE) return no_value();
    value out =
        from_dimension_last(l, g_sub(g, x, g_bcast(g, g_logsumexp(g, x), *graph_shape(g, x))), dim);
    if (dim == out.s.rank - 1) out.logits = x;
    return out;
}
