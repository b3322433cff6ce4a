/* Windows that slide over images [n, h, w, c]: convolution, whose two transposes are closed with
 * it, and pooling. What is under a window is tensor/window.h's. */
#include "ops/rules.h"

static bool window_sound(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    bool ok = v->groups >= 1 && v->unused == 0;

    for (int k = 0; k < 2; k++) {
        ok = ok && v->kernel[k] >= 1 && v->stride[k] >= 1 && v->pad[k] >= 0 && v->dilation[k] >= 1;
        ok = ok && window_out(v, k) >= 1;
    }
    if (ok) return true;
    return op_bad(g, rec,
                  "kernel %dx%d, stride %d,%d, padding %d,%d, dilation %d,%d, %d groups do not fit "
                  "%lldx%lld pixels",
                  v->kernel[0], v->kernel[1], v->stride[0], v->stride[1], v->pad[0], v->pad[1],
                  v->dilation[0], v->dilation[1], v->groups, (long long)v->size[0],
                  (long long)v->size[1]);
}

/* -- conv, conv_dx, conv_dw: one trilinear form <y, conv(x, w)>, so that each one's transpose is
 * another of the three with the same window */

static bool conv_fits(graph *g, node_rec *rec, const shape *x, const shape *w, const shape *y)
{
    const window *v = &rec->attr.window;
    bool ok = w->dim[0] == y->dim[3] && w->dim[0] % v->groups == 0 && x->dim[0] == y->dim[0] &&
              x->dim[3] == w->dim[1] * v->groups;

    for (int k = 0; k < 2; k++)
        ok = ok && x->dim[1 + k] == v->size[k] && w->dim[2 + k] == v->kernel[k] &&
             y->dim[1 + k] == window_out(v, k);
    if (ok) return infer_given(g, rec);
    return op_bad(g, rec,
                  "in %d groups: expected image [n,h,w,c], weight [o,c/groups,kh,kw], "
                  "result [n,h',w',o]",
                  v->groups);
}

static bool two_of_rank_4(graph *g, node_rec *rec)
{
    const node_rec *a = graph_rec(g, rec->in[0]), *b = graph_rec(g, rec->in[1]);

    if (!op_wants_real(g, rec, 0) || !window_sound(g, rec)) return false;
    if (a->dtype == b->dtype && a->shape.rank == 4 && b->shape.rank == 4) return true;
    return op_bad(g, rec, "expected two operands of rank 4 and one dtype");
}

static bool conv_infer(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    const shape *x = graph_shape(g, rec->in[0]), *w = graph_shape(g, rec->in[1]);

    if (!two_of_rank_4(g, rec)) return false;
    rec->shape = SHAPE(x->dim[0], window_out(v, 0), window_out(v, 1), w->dim[0]);
    return conv_fits(g, rec, x, w, &rec->shape);
}

static bool conv_dx_infer(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    const shape *y = graph_shape(g, rec->in[0]), *w = graph_shape(g, rec->in[1]);

    if (!two_of_rank_4(g, rec)) return false;
    rec->shape = SHAPE(y->dim[0], v->size[0], v->size[1], w->dim[1] * v->groups);
    return conv_fits(g, rec, &rec->shape, w, y);
}

static bool conv_dw_infer(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    const shape *x = graph_shape(g, rec->in[0]), *y = graph_shape(g, rec->in[1]);

    if (!two_of_rank_4(g, rec)) return false;
    rec->shape = SHAPE(y->dim[3], x->dim[3] / v->groups, v->kernel[0], v->kernel[1]);
    return conv_fits(g, rec, x, &rec->shape, y);
}

/* A window of one pixel: a product of matrices [pixels, channels]. */
static bool is_pointwise(const window *v)
{
    bool ok = v->groups == 1;

    for (int k = 0; k < 2; k++) ok = ok && v->kernel[k] == 1 && v->stride[k] == 1 && v->pad[k] == 0;
    return ok;
}

static node pixels(graph *g, node x)
{
    const shape s = *graph_shape(g, x);

    return g_reshape(g, x, SHAPE(s.dim[0] * s.dim[1] * s.dim[2], s.dim[3]));
}

static node channels(graph *g, node w)
{
    const shape s = *graph_shape(g, w);

    return g_reshape(g, w, SHAPE(s.dim[0], s.dim[1]));
}

static node conv_fold(graph *g, node_rec *rec)
{
    if (!is_pointwise(&rec->attr.window)) return NODE_NONE;
    node y = g_matmul(g, pixels(g, rec->in[0]), channels(g, rec->in[1]), false, true);
    return g_reshape(g, y, rec->shape);
}

static node conv_dx_fold(graph *g, node_rec *rec)
{
    if (!is_pointwise(&rec->attr.window)) return NODE_NONE;
    node x = g_matmul(g, pixels(g, rec->in[0]), channels(g, rec->in[1]), false, false);
    return g_reshape(g, x, rec->shape);
}

static node conv_dw_fold(graph *g, node_rec *rec)
{
    if (!is_pointwise(&rec->attr.window)) return NODE_NONE;
    node w = g_matmul(g, pixels(g, rec->in[1]), pixels(g, rec->in[0]), true, false);
    return g_reshape(g, w, rec->shape);
}

static node conv_transpose(graph *g, node y, int i, node c)
{
    const window v = graph_rec(g, y)->attr.window;

    return i == 0 ? g_conv_dx(g, c, op_in(g, y, 1), v) : g_conv_dw(g, op_in(g, y, 0), c, v);
}

static node conv_dx_transpose(graph *g, node x, int i, node c)
{
    const window v = graph_rec(g, x)->attr.window;

    return i == 0 ? g_conv(g, c, op_in(g, x, 1), v) : g_conv_dw(g, c, op_in(g, x, 0), v);
}

static node conv_dw_transpose(graph *g, node w, int i, node c)
{
    const window v = graph_rec(g, w)->attr.window;

    return i == 0 ? g_conv_dx(g, op_in(g, w, 1), c, v) : g_conv(g, op_in(g, w, 0), c, v);
}

#define CONV(op)                                                                                   \
    const op_def op_##op = {                                                                       \
        .name = #op,                                                                               \
        .arity = 2,                                                                                \
        .kind = OP_BILINEAR,                                                                       \
        .infer = op##_infer,                                                                       \
        .fold = op##_fold,                                                                         \
        .transpose = op##_transpose,                                                               \
    };
CONV(conv)
CONV(conv_dx)
CONV(conv_dw)

static node windowed(graph *g, int32_t op, node a, node b, window v)
{
    return op_make(g, &(node_rec){.op = op, .in = {a, b, NODE_NONE}, .attr.window = v});
}

static window over_image(const graph *g, window v, node x)
{
    const shape *s = graph_shape(g, x);

    v.size[0] = s->dim[1], v.size[1] = s->dim[2];
    return v;
}

/* A kernel that is no int32 is refused with the window: 0. */
static window with_weight(const graph *g, window v, node w)
{
    const shape *s = graph_shape(g, w);

    for (int k = 0; k < 2; k++)
        v.kernel[k] = s->dim[2 + k] <= INT32_MAX ? (int32_t)s->dim[2 + k] : 0;
    return v;
}

node g_conv(graph *g, node x, node w, window v)
{
    return windowed(g, OP_conv, x, w, over_image(g, with_weight(g, v, w), x));
}

node g_conv_dx(graph *g, node dy, node w, window v)
{
    return windowed(g, OP_conv_dx, dy, w, with_weight(g, v, w));
}

node g_conv_dw(graph *g, node x, node dy, window v)
{
    return windowed(g, OP_conv_dw, x, dy, over_image(g, v, x));
}

/* -- sumpool, spread, maxpool_arg */

static bool pool_sound(graph *g, node_rec *rec)
{
    if (!op_wants_real(g, rec, 0) || !window_sound(g, rec)) return false;
    if (graph_shape(g, rec->in[0])->rank == 4 && rec->attr.window.groups == 1) return true;
    return op_bad(g, rec, "expected images [n,h,w,c] in one group");
}

/* From the image that the window is for to what comes out. */
static bool pool_infer(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    const shape *x = graph_shape(g, rec->in[0]);

    if (!pool_sound(g, rec)) return false;
    rec->shape = SHAPE(x->dim[0], window_out(v, 0), window_out(v, 1), x->dim[3]);
    return infer_given(g, rec);
}

static bool spread_infer(graph *g, node_rec *rec)
{
    const window *v = &rec->attr.window;
    const shape *y = graph_shape(g, rec->in[0]);

    if (!pool_sound(g, rec)) return false;
    if (y->dim[1] != window_out(v, 0) || y->dim[2] != window_out(v, 1))
        return op_bad(g, rec, "expected %lldx%lld pixels", (long long)window_out(v, 0),
                      (long long)window_out(v, 1));
    rec->shape = SHAPE(y->dim[0], v->size[0], v->size[1], y->dim[3]);
    return infer_given(g, rec);
}

/* Does some place of the window see no pixel? */
static bool misses(const window *v, int axis)
{
    for (int64_t y = 0; y < window_out(v, axis); y++) {
        const int64_t from = y * v->stride[axis] - v->pad[axis];
        int32_t i = 0;
        while (i < v->kernel[axis] && from + (int64_t)i * v->dilation[axis] < 0) i++;
        if (i == v->kernel[axis] || from + (int64_t)i * v->dilation[axis] >= v->size[axis])
            return true;
    }
    return false;
}

static bool maxpool_arg_infer(graph *g, node_rec *rec)
{
    if (!pool_infer(g, rec)) return false;
    rec->dtype = I32;
    if (misses(&rec->attr.window, 0) || misses(&rec->attr.window, 1))
        return op_bad(g, rec, "padding so wide that a window sees nothing");
    if (shape_count(graph_shape(g, rec->in[0])) > INT32_MAX)
        return op_bad(g, rec, "more elements than an i32 can count");
    return true;
}

static node sumpool_transpose(graph *g, node y, int i, node c)
{
    (void)i;
    return g_spread(g, c, graph_rec(g, y)->attr.window);
}

static node spread_transpose(graph *g, node x, int i, node c)
{
    (void)i;
    return g_sumpool(g, c, graph_rec(g, x)->attr.window);
}

const op_def op_sumpool = {
    .name = "sumpool",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = pool_infer,
    .transpose = sumpool_transpose,
};

const op_def op_spread = {
    .name = "spread",
    .arity = 1,
    .kind = OP_LINEAR,
    .infer = spread_infer,
    .transpose = spread_transpose,
};

const op_def op_maxpool_arg = {
    .name = "maxpool_arg",
    .arity = 1,
    .kind = OP_NONDIFF,
    .infer = maxpool_arg_infer,
};

static node pooled(graph *g, int32_t op, node x, window v)
{
    return op_make(g, &(node_rec){.op = op, .in = {x, NODE_NONE, NODE_NONE}, .attr.window = v});
}

node g_sumpool(graph *g, node x, window v)
{
    return pooled(g, OP_sumpool, x, over_image(g, v, x));
}

node g_spread(graph *g, node y, window v)
{
    return pooled(g, OP_spread, y, v);
}

node g_maxpool_arg(graph *g, node x, window v)
{
    return pooled(g, OP_maxpool_arg, x, over_image(g, v, x));
}
