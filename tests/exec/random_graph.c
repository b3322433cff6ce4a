/* Random graphs of all operations, with shared values, views, broadcasts, reductions and outputs
 * that may overwrite leaves. */
#include "random_graph.h"

enum { POOL = 96 };

typedef struct pool_of_nodes {
    int n;
    node at[POOL];
} list;

static node pick(rx *x, const list *l)
{
    return l->at[rx_below(x, l->n)];
}

/* A value of shape s made from what there is: found, spread, or summed down. */
static node shaped(rx *x, const list *l, shape s)
{
    for (int tries = 0; tries < 20; tries++) {
        node a = pick(x, l);
        const shape *t = graph_shape(x->g, a);
        if (shape_same(t, &s)) return a;
        if (t->rank != s.rank) continue;
        bool up = true, down = true;
        for (int32_t i = 0; i < s.rank; i++) {
            up &= t->dim[i] == s.dim[i] || t->dim[i] == 1;
            down &= t->dim[i] == s.dim[i] || s.dim[i] == 1;
        }
        if (up) return g_bcast(x->g, a, s);
        if (down) return g_sum_to(x->g, a, s);
    }
    return rx_leaf(x, s);
}

static node bounded(rx *x, node a)
{
    return g_tanh(x->g, a);
}

/* Smooth in all arguments, so that roundings stay small. */
static node smooth_op(rx *x, const list *l)
{
    graph *g = x->g;
    node a = pick(x, l);
    const shape s = *graph_shape(g, a);

    switch (rx_below(x, 14)) {
    case 0: return g_exp(g, bounded(x, a));
    case 1: return g_log(g, g_exp(g, bounded(x, a)));
    case 2: return g_sqrt(g, g_add(g, g_ones_like(g, a), g_sigmoid(g, a)));
    case 3: return g_recip(g, g_add(g, g_ones_like(g, a), g_softplus(g, a)));
    case 4: return g_erf(g, a);
    case 5: return bounded(x, a);
    case 6: return g_sub(g, a, shaped(x, l, s));
    case 7: return g_mul(g, bounded(x, a), bounded(x, shaped(x, l, s)));
    case 8: return g_add(g, g_mul(g, bounded(x, a), shaped(x, l, s)), shaped(x, l, s));
    case 9: return g_sub(g, shaped(x, l, s), g_scale(g, a, rx_draw(x, -1, 1)));
    case 10: { /* tanh backwards */
        node y = g_tanh(g, a), d = g_sub(g, g_ones_like(g, y), g_mul(g, y, y));
        return g_add(g, g_mul(g, shaped(x, l, s), d), g_mul(g, y, d));
    }
    case 11: return g_scale(g, a, rx_draw(x, -2, 2));
    case 12: return g_softmax(g, a);
    default: return g_logsumexp(g, a);
    }
}

/* A product of as many matrices as the first dimension says. */
static node batched_op(rx *x, node a)
{
    const shape s = *graph_shape(x->g, a);
    const bool ta = rx_below(x, 2), tb = rx_below(x, 2);
    const int64_t k = s.dim[ta ? 1 : 2], n = 1 + rx_below(x, 9);
    node b = rx_leaf(x, tb ? SHAPE(s.dim[0], n, k) : SHAPE(s.dim[0], k, n));

    return bounded(x, g_matmul(x->g, a, b, ta, tb));
}

static window any_window(rx *x, const shape *s, bool pooling)
{
    window v = {.groups = 1};

    for (int k = 0; k < 2; k++) {
        v.size[k] = s->dim[1 + k];
        v.kernel[k] = 1 + (int32_t)rx_below(x, 3);
        v.stride[k] = 1 + (int32_t)rx_below(x, 2);
        v.dilation[k] = pooling ? 1 : 1 + (int32_t)rx_below(x, 2);
        v.pad[k] = pooling ? v.kernel[k] / 2 : v.dilation[k] * (v.kernel[k] - 1);
    }
    return v;
}

/* Images [n, h, w, c]; what comes out has pixels too. */
static node image_op(rx *x, node a)
{
    graph *g = x->g;
    const shape s = *graph_shape(g, a);
    const int kind = (int)rx_below(x, 5);
    window v = any_window(x, &s, kind > 2);
    const int64_t h = window_out(&v, 0), w = window_out(&v, 1), c = s.dim[3];
    const int64_t o = 1 + rx_below(x, 4);

    if (kind == 0) {
        v.groups = c % 2 ? 1 : 2;
        return bounded(
            x, g_conv(g, a, rx_leaf(x, SHAPE(v.groups * o, c / v.groups, v.kernel[0], v.kernel[1])),
                      v));
    }
    if (kind == 1) {
        node y = rx_leaf(x, SHAPE(s.dim[0], h, w, o));
        node dw = bounded(x, g_conv_dw(g, a, y, v));
        return bounded(x, g_conv_dx(g, g_tanh(g, y), dw, v));
    }
    if (kind == 2) return bounded(x, g_sumpool(g, a, v));
    if (kind == 3) return g_spread(g, bounded(x, g_sumpool(g, a, v)), v);
    node arg = g_maxpool_arg(g, x->type == F64 ? a : rx_leaf(x, s), v), y = g_take(g, a, arg);
    return rx_below(x, 2) ? y : g_put(g, bounded(x, y), arg, s);
}

static node drawn(rx *x, shape s)
{
    graph *g = x->g;
    node key = rx_index(x, 4, 1 << 20);
    node keep = g_step(g, g_uniform(g, key, 3, x->type, s));

    if (rx_below(x, 2)) return g_mul(g, keep, g_normal(g, key, 5, x->type, s));
    return g_scale(g, g_iota(g, x->type, s, s.rank - 1), 0.1);
}

static node product_op(rx *x, const list *l)
{
    graph *g = x->g;
    node a = pick(x, l);
    const shape *s = graph_shape(g, a);

    if (s->rank == 3) return batched_op(x, a);
    if (s->rank == 4) return image_op(x, a);
    if (s->rank != 2) return bounded(x, a);
    const bool ta = rx_below(x, 2), tb = rx_below(x, 2);
    const int64_t k = s->dim[!ta], n = 1 + rx_below(x, 6) * 5;
    node b = shaped(x, l, tb ? SHAPE(n, k) : SHAPE(k, n));
    node y = g_matmul(g, a, b, ta, tb);
    if (rx_below(x, 2)) y = g_add(g, y, g_matmul(g, shaped(x, l, *s), b, ta, tb));
    return rx_below(x, 2) ? bounded(x, y) : g_scale(g, y, 0.2);
}

static node move_op(rx *x, const list *l)
{
    graph *g = x->g;
    node a = pick(x, l);
    const shape s = *graph_shape(g, a);
    const int32_t axis = (int32_t)rx_below(x, s.rank);
    const int64_t at = rx_below(x, s.dim[axis]);

    switch (rx_below(x, 10)) {
    case 0: return g_slice(g, a, axis, at, 1 + rx_below(x, s.dim[axis] - at));
    case 1: return g_pad(g, a, axis, at, s.dim[axis] + at + 1);
    case 2: return s.rank == 2 ? g_transpose(g, a) : a;
    case 3: return g_gather(g, a, rx_index(x, 1 + rx_below(x, 9), s.dim[0]));
    case 4: return g_scatter_add(g, a, rx_index(x, s.dim[0], 4), 4);
    case 5:
        return g_reshape(g, a, s.rank == 2 ? SHAPE(s.dim[1], s.dim[0]) : SHAPE(1, shape_count(&s)));
    case 6: return g_sum(g, a, 1u << axis);
    case 7: return g_add(g, a, drawn(x, s));
    case 8: return g_cast(g, g_cast(g, a, x->type == F32 ? F64 : F32), x->type);
    default:
        return g_scale(
            g,
            g_cast(g, g_gather(g, rx_bytes(x, SHAPE(7, s.dim[s.rank - 1])), rx_index(x, 5, 7)),
                   x->type),
            1.0 / 255);
    }
}

/* Jumps where a rounding decides: in double only. */
static node jump_op(rx *x, const list *l)
{
    graph *g = x->g;
    node a = pick(x, l);
    const shape *s = graph_shape(g, a);

    switch (rx_below(x, x->bf16 ? 6 : 5)) {
    case 5: return g_cast(g, g_cast(g, g_cast(g, g_cast(g, a, F32), BF16), F32), x->type);
    case 0: return g_relu(g, a);
    case 1: return g_abs(g, a);
    case 2: return s->rank == 2 ? g_onehot(g, g_argmax(g, a), s->dim[1], x->type) : a;
    case 3: return s->rank == 3 ? g_sum(g, a, 5) : g_rowmax(g, a);
    default: return g_rowmax(g, a);
    }
}

static void grow(rx *x, list *l, int n)
{
    while (l->n < n) {
        const int64_t kind = rx_below(x, x->type == F64 ? 10 : 9);
        node y = kind < 5   ? smooth_op(x, l)
                 : kind < 7 ? product_op(x, l)
                 : kind < 9 ? move_op(x, l)
                            : jump_op(x, l);
        if (graph_status(x->g) != DRMAD_OK) return;
        if (shape_count(graph_shape(x->g, y)) < 4000) l->at[l->n++] = y;
    }
}

/* Outputs: some of the last nodes; where a leaf of that size is free, over it. */
static int choose_outputs(rx *x, const list *l, plan_output *out)
{
    bool taken[RX_LEAVES] = {false};
    int n = 0;

    for (int i = l->n - 1; i >= 0 && n < 8; i -= 1 + (int)rx_below(x, 4)) {
        out[n] = (plan_output){l->at[i], -1};
        for (int32_t k = 0; k < graph_leaves(x->g) && out[n].alias < 0; k++) {
            const node leaf = graph_leaf(x->g, k);
            if (taken[k] || graph_dtype(x->g, leaf) != graph_dtype(x->g, l->at[i])) continue;
            if (shape_count(graph_shape(x->g, leaf)) != shape_count(graph_shape(x->g, l->at[i])))
                continue;
            taken[k] = true;
            out[n].alias = k;
        }
        n++;
    }
    return n;
}

int random_graph(rx *x, int nodes, plan_output *out)
{
    list l = {.n = 0};

    const int64_t rows = 1 + rx_below(x, 12), cols = 1 + rx_below(x, 40);
    l.at[l.n++] = rx_leaf(x, SHAPE(rows, cols));
    l.at[l.n++] = rx_leaf(x, SHAPE(rows, cols));
    l.at[l.n++] = rx_leaf(x, SHAPE(1, cols));
    l.at[l.n++] = rx_leaf(x, SHAPE(rows, 1));
    l.at[l.n++] = rx_leaf(x, SHAPE(1, 1));
    if (rx_below(x, 3) == 0) l.at[l.n++] = rx_leaf(x, SHAPE(3, rows, cols));
    if (rx_below(x, 3) == 0) l.at[l.n++] = rx_leaf(x, SHAPE(2, rows, 1 + cols % 7, 4));
    grow(x, &l, nodes);
    return choose_outputs(x, &l, out);
}
