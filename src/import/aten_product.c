/* Products of matrices and convolutions. */
#include "import/aten.h"

/* Two real operands of rank `rank`, from number `first` on. */
static bool two(lowering *l, int first, int32_t rank)
{
    for (int i = first; i < first + 2; i++)
        if (!has_operand(l, i) || operand_of(l, i)->s.rank != rank ||
            operand_of(l, i)->type == NUMBER_WHOLE) {
            aten_refuse(l, "operand %d: expected real numbers of rank %d", i, (int)rank);
            return false;
        }
    return true;
}

static node multiplied(lowering *l, int first)
{
    return g_matmul(l->g, plain(l, operand_of(l, first)), plain(l, operand_of(l, first + 1)), false,
                    false);
}

value aten_mm(lowering *l)
{
    if (!two(l, 0, 2)) return no_value();
    const shape s = SHAPE(operand_of(l, 0)->s.dim[0], operand_of(l, 1)->s.dim[1]);
    return value_of(multiplied(l, 0), s, NUMBER_REAL);
}

/* Where all matrices of b are one and the same, a's rows are those of one product. */
static node batched(lowering *l, int first)
{
    graph *g = l->g;
    const value *a = operand_of(l, first), *b = operand_of(l, first + 1);

    if (a->n == NODE_NONE || b->n == NODE_NONE) return NODE_NONE;
    if (a->s.dim[0] == 1 || graph_shape(g, b->n)->dim[b->at[0]] != 1) return multiplied(l, first);
    value one = *b;
    one.s.dim[0] = 1;
    node x = g_reshape(g, plain(l, a), SHAPE(a->s.dim[0] * a->s.dim[1], a->s.dim[2]));
    one = view_as(l, &one, SHAPE(b->s.dim[1], b->s.dim[2]));
    node y = g_matmul(g, x, plain(l, &one), false, false);
    return g_reshape(g, y, SHAPE(a->s.dim[0], a->s.dim[1], b->s.dim[2]));
}

value aten_bmm(lowering *l)
{
    if (!two(l, 0, 3)) return no_value();
    const shape *a = &operand_of(l, 0)->s, *b = &operand_of(l, 1)->s;
    if (a->dim[0] != b->dim[0]) return aten_refuse(l, "as many matrices of each are needed");
    return value_of(batched(l, 0), SHAPE(a->dim[0], a->dim[1], b->dim[2]), NUMBER_REAL);
}

/* beta c + alpha a b, of matrices or of as many of each */
value aten_addmm(lowering *l)
{
    const int32_t rank = l->at->size.of_one.rank;
    const double alpha = attr_number(l, "alpha", 1), beta = attr_number(l, "beta", 1);
    value out;
    node x, y;

    if (!has_operand(l, 0) || (rank != 2 && rank != 3) || !two(l, 1, rank)) {
        return aten_refuse(l, "needs a bias and two matrices, or as many of each");
    }
    node p = rank == 2 ? multiplied(l, 1) : batched(l, 1);
    if (p == NODE_NONE) return no_value();
    const value ab = value_of(g_scale(l->g, p, alpha), *graph_shape(l->g, p), NUMBER_REAL);
    if (!together(l, &ab, operand_of(l, 0), &x, &y, &out)) return out;
    out.n = g_add(l->g, x, g_scale(l->g, y, beta));
    return out;
}

/* ---- convolution ---- */

/* Two numbers of at most a million; one stands for both. */
static void pair(lowering *l, const char *key, int32_t fallback, int32_t axes, int32_t *out)
{
    enum { MOST = 1 << 20 };
    int64_t x[2] = {fallback, fallback};
    const int32_t n = attr_ints(l, key, x, axes);

    if (n == 1) x[1] = x[0];
    for (int i = 0; i < 2; i++) {
        if (x[i] < 0 || x[i] > MOST) aten_refuse(l, "%s is %lld", key, (long long)x[i]);
        out[i] = x[i] < 0 || x[i] > MOST ? 1 : (int32_t)x[i];
    }
}

/* Of one dimension as of two, the first of length 1. */
static window window_of(lowering *l, int32_t axes)
{
    window v = {.groups = 1};

    pair(l, "stride", 1, axes, v.stride);
    pair(l, "padding", 0, axes, v.pad);
    pair(l, "dilation", 1, axes, v.dilation);
    if (axes == 1) v.stride[0] = v.dilation[0] = 1, v.pad[0] = 0;
    const int64_t groups = attr_int(l, "groups", 1);
    v.groups = groups >= 1 && groups <= INT32_MAX ? (int32_t)groups : 0;
    return v;
}

static node biased(lowering *l, node y)
{
    if (!has_operand(l, 2)) return y;
    return g_add(l->g, y, nn_along_last(l->g, plain(l, operand_of(l, 2)), y));
}

static node with_height(graph *g, node x, int at)
{
    if (x == NODE_NONE) return x;
    const shape s = *graph_shape(g, x);

    if (at == 1) return g_reshape(g, x, SHAPE(s.dim[0], 1, s.dim[1], s.dim[2]));
    return g_reshape(g, x, SHAPE(s.dim[0], s.dim[1], 1, s.dim[2]));
}

/* A transposed convolution is what a convolution of its result's images gives back to them, so that
 * the stated size decides what the strides leave open (output_padding). */
static node convolved(lowering *l, node x, node w, int32_t axes)
{
    const shape out = stated(l);
    window v = window_of(l, axes);

    if (!attr_flag(l, "transposed", false)) return g_conv(l->g, x, w, v);
    for (int i = 0; i < 2; i++) {
        const int32_t d = out.rank - 2 + i;
        v.size[i] = d < 2 ? 1 : out.dim[d];
    }
    return g_conv_dx(l->g, x, w, v);
}

value aten_convolution(lowering *l)
{
    graph *g = l->g;

    if (!has_operand(l, 0) || !has_operand(l, 1) || l->at->n_in > 3)
        return aten_refuse(l, "needs images, a weight and a bias or None");
    const value *x = operand_of(l, 0), *w = operand_of(l, 1);
    const int32_t axes = x->s.rank - 2;
    if ((axes != 1 && axes != 2) || w->s.rank != x->s.rank || x->type == NUMBER_WHOLE ||
        l->at->size.of_one.rank != x->s.rank)
        return aten_refuse(l, "needs images [n, c, h, w] or lines [n, c, w], and a weight");
    node in = channels_last(l, x), weight = plain(l, w);
    if (axes == 1) in = with_height(g, in, 1), weight = with_height(g, weight, 2);
    node y = biased(l, convolved(l, in, weight, axes));
    if (y == NODE_NONE) return no_value();
    const shape s = *graph_shape(g, y);
    if (axes == 1) y = g_reshape(g, y, SHAPE(s.dim[0], s.dim[2], s.dim[3]));
    return from_channels_last(l, y);
}
