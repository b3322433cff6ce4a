/* Steps that are neither products nor elementwise: each to its kernel. */
#include "exec/cuda/lower/lower_inside.h"
#include <string.h>

/* A step on its way. */
typedef struct plain {
    gpu_lower *l;
    const graph *g;
    const node_rec *r;
    const plan_node *v;
    node n;
    const shape *from; /* of operand 0 */
    dtype type;        /* of operand 0 */
    const void *in[2];
    void *out;
} plain;

#define EMIT(x, kernel, type, args) gpu_emit((x)->l, GPU_##kernel, type, &(args), sizeof(args))

/* ---- moves ---- */

static void strides(const shape *s, int64_t out[RANK_MAX])
{
    int64_t n = 1;

    for (int32_t i = s->rank - 1; i >= 0; i--) {
        out[i] = n;
        n *= s->dim[i];
    }
}

/* Is axis k - 1 of the walk, with axis k, one long axis? */
static bool one_axis(const move_args *w, int32_t k)
{
    return w->from[k - 1] == w->from[k] * w->dim[k] && w->limit[k - 1] == w->dim[k - 1] &&
           w->limit[k] == w->dim[k];
}

static void drop_axis(move_args *w, int32_t k)
{
    for (w->rank--; k < w->rank; k++) {
        w->dim[k] = w->dim[k + 1], w->from[k] = w->from[k + 1];
        w->shift[k] = w->shift[k + 1], w->limit[k] = w->limit[k + 1];
    }
}

/* As few axes as there can be: each costs a division an element. */
static void shorten(move_args *w)
{
    for (int32_t k = w->rank - 1; k >= 0; k--)
        if (w->dim[k] == 1 && w->limit[k] == 1) drop_axis(w, k);
    for (int32_t k = w->rank - 1; k > 0; k--)
        if (one_axis(w, k)) {
            w->dim[k - 1] *= w->dim[k], w->limit[k - 1] = w->dim[k - 1];
            w->from[k - 1] = w->from[k];
            drop_axis(w, k);
        }
}

/* Worth going by squares? Only where most of them are full. */
static drmad_status emit_walk(plain *x, const move_args *w)
{
    enum { EDGE = 16 };
    const int32_t last = w->rank - 1;
    turn_args t = {
        .a = w->a, .y = w->y, .rank = w->rank, .size = w->size, .axis = -1, .count = w->count};

    for (int32_t k = 0; k < w->rank; k++) {
        t.dim[k] = w->dim[k], t.from[k] = w->from[k];
        if (w->from[k] == 1 && k < last) t.axis = k;
        if (w->limit[k] != w->dim[k]) return EMIT(x, move, F32, *w);
    }
    if (t.axis < 0 || w->from[last] == 0 || w->dim[last] < EDGE || w->dim[t.axis] < EDGE)
        return EMIT(x, move, F32, *w);
    return EMIT(x, turn, F32, t);
}

static drmad_status move(plain *x, const int64_t from[RANK_MAX], const void *a)
{
    move_args w = {.a = a,
                   .y = x->out,
                   .rank = x->r->shape.rank,
                   .size = (int32_t)dtype_size(x->v->type),
                   .count = x->v->size};

    for (int32_t k = 0; k < w.rank; k++) {
        w.dim[k] = w.limit[k] = x->r->shape.dim[k];
        w.from[k] = from[k];
    }
    if (x->r->op == OP_pad) {
        w.shift[x->r->attr.axis] = x->r->attr.n;
        w.limit[x->r->attr.axis] = x->from->dim[x->r->attr.axis];
    }
    shorten(&w);
    return emit_walk(x, &w);
}

static drmad_status lower_permute(plain *x)
{
    int64_t own[RANK_MAX], from[RANK_MAX];

    strides(x->from, own);
    for (int32_t i = 0; i < x->from->rank; i++) from[i] = own[x->r->attr.perm[i]];
    return move(x, from, x->in[0]);
}

static drmad_status lower_slice(plain *x)
{
    int64_t from[RANK_MAX];

    strides(x->from, from);
    const size_t skip = (size_t)(x->r->attr.n * from[x->r->attr.axis]) * dtype_size(x->v->type);
    return move(x, from, (const char *)x->in[0] + skip);
}

static drmad_status lower_pad(plain *x)
{
    int64_t from[RANK_MAX];

    strides(x->from, from);
    return move(x, from, x->in[0]);
}

static drmad_status lower_bcast(plain *x)
{
    int64_t from[RANK_MAX];

    strides(x->from, from);
    for (int32_t i = 0; i < x->from->rank; i++)
        if (x->from->dim[i] == 1) from[i] = 0;
    return move(x, from, x->in[0]);
}

static drmad_status lower_cast(plain *x)
{
    const cast_args a = {.a = x->in[0],
                         .y = x->out,
                         .count = x->v->size,
                         .from = (int32_t)x->type,
                         .to = (int32_t)x->v->type};

    return EMIT(x, cast, F32, a);
}

static drmad_status lower_iota(plain *x)
{
    const shape *s = &x->r->shape;
    iota_args a = {.y = x->out, .count = x->v->size, .inner = 1, .to = (int32_t)x->v->type};

    a.dim = s->dim[x->r->attr.axis];
    for (int32_t i = x->r->attr.axis + 1; i < s->rank; i++) a.inner *= s->dim[i];
    return EMIT(x, iota, F32, a);
}

/* ---- by index ---- */

static int64_t row_length(const shape *s)
{
    int64_t n = 1;

    for (int32_t i = 1; i < s->rank; i++) n *= s->dim[i];
    return n;
}

static drmad_status lower_gather(plain *x)
{
    const gather_args a = {.a = x->in[0],
                           .index = x->in[1],
                           .y = x->out,
                           .bad = x->l->bad,
                           .n = x->r->shape.dim[0],
                           .rows = x->from->dim[0],
                           .cols = row_length(x->from),
                           .size = (int32_t)dtype_size(x->v->type)};

    return EMIT(x, gather, F32, a);
}

static drmad_status lower_take(plain *x)
{
    const take_args a = {.a = x->in[0],
                         .index = x->in[1],
                         .y = x->out,
                         .bad = x->l->bad,
                         .n = x->v->size,
                         .rows = shape_count(x->from),
                         .cols = 1,
                         .size = (int32_t)dtype_size(x->v->type)};

    return EMIT(x, take, F32, a);
}

/* The kernel that leaves out rows without an index finds them cleared. */
static drmad_status scatter(plain *x, int64_t n, int64_t rows, int64_t cols)
{
    const scatter_args a = {.a = x->in[0],
                            .index = x->in[1],
                            .y = x->out,
                            .bad = x->l->bad,
                            .n = n,
                            .rows = rows,
                            .cols = cols,
                            .by_index = n < rows};
    const move_args clear = {.a = x->out,
                             .y = x->out,
                             .rank = 1,
                             .size = (int32_t)dtype_size(x->v->type),
                             .count = x->v->size,
                             .dim = {x->v->size}};
    drmad_status st = DRMAD_OK;

    if (a.by_index) TRY(EMIT(x, move, F32, clear));
    if (n == 0 && !a.by_index) return EMIT(x, move, F32, clear);
    TRY(EMIT(x, scatter, x->v->type, a));
done:
    return st;
}

static drmad_status lower_scatter(plain *x)
{
    return scatter(x, x->from->dim[0], x->r->shape.dim[0], row_length(x->from));
}

/* An index of max-pooling images of this shape points at what its windows saw: each element looks
 * at the windows over it. */
static drmad_status lower_put(plain *x)
{
    const node_rec *index = graph_rec(x->g, x->r->in[1]);

    if (index->op != OP_maxpool_arg || !shape_same(graph_shape(x->g, index->in[0]), &x->r->shape))
        return scatter(x, shape_count(x->from), x->v->size, 1);
    const put_args a = {
        .a = x->in[0], .index = x->in[1], .y = x->out, .v = gpu_window_of(x->g, index)};
    return EMIT(x, put, x->v->type, a);
}

/* ---- rows ---- */

static rows_args rows_of(const plain *x)
{
    const int64_t cols = x->from->dim[x->from->rank - 1];

    return (rows_args){.a = x->in[0], .y = x->out, .rows = x->v->size, .cols = cols};
}

static drmad_status lower_argmax(plain *x)
{
    const argmax_args a = rows_of(x);

    return EMIT(x, argmax, x->type, a);
}

static drmad_status lower_rowmax(plain *x)
{
    const rowmax_args a = rows_of(x);

    return EMIT(x, rowmax, x->type, a);
}

static drmad_status lower_logsumexp(plain *x)
{
    const logsumexp_args a = rows_of(x);

    return EMIT(x, logsumexp, x->type, a);
}

static void add_axes(const plain *x, bool summed, sum_any_args *a)
{
    int64_t from[RANK_MAX];

    strides(x->from, from);
    for (int32_t i = 0; i < x->from->rank; i++) {
        if ((x->r->attr.axes >> i & 1) != summed || x->from->dim[i] == 1) continue;
        a->dim[a->rank] = x->from->dim[i], a->step[a->rank++] = from[i];
        if (summed) a->terms *= x->from->dim[i];
    }
}

static drmad_status lower_sum(plain *x)
{
    sum_any_args a = {.a = x->in[0], .y = x->out, .count = x->v->size, .terms = 1};

    add_axes(x, false, &a);
    a.kept = a.rank;
    add_axes(x, true, &a);
    return EMIT(x, sum_any, x->v->type, a);
}

/* ---- windows and draws ---- */

static drmad_status lower_conv_dw(plain *x)
{
    return gpu_lower_conv_dw(x->l, x->n);
}

static drmad_status lower_pool(plain *x)
{
    const pool_args a = {.a = x->in[0], .y = x->out, .v = gpu_window_of(x->g, x->r)};

    if (x->r->op == OP_sumpool) return EMIT(x, sumpool, x->type, a);
    if (x->r->op == OP_spread) return EMIT(x, spread, x->type, a);
    return EMIT(x, maxpool, x->type, a);
}

static drmad_status lower_draw(plain *x)
{
    const draw_args a = {
        .key = x->in[0], .y = x->out, .count = x->v->size, .site = (uint32_t)x->r->attr.n};

    if (x->r->op == OP_uniform) return EMIT(x, uniform, x->v->type, a);
    return EMIT(x, normal, x->v->type, a);
}

/* ---- */

drmad_status gpu_lower_plain(gpu_lower *l, const plan_step *s)
{
    static drmad_status (*const lower[OP_COUNT])(plain *) = {
        [OP_permute] = lower_permute,
        [OP_slice] = lower_slice,
        [OP_pad] = lower_pad,
        [OP_bcast] = lower_bcast,
        [OP_sum] = lower_sum,
        [OP_gather] = lower_gather,
        [OP_cast] = lower_cast,
        [OP_scatter_add] = lower_scatter,
        [OP_argmax] = lower_argmax,
        [OP_rowmax] = lower_rowmax,
        [OP_logsumexp] = lower_logsumexp,
        [OP_conv_dw] = lower_conv_dw,
        [OP_sumpool] = lower_pool,
        [OP_spread] = lower_pool,
        [OP_maxpool_arg] = lower_pool,
        [OP_take] = lower_take,
        [OP_put] = lower_put,
        [OP_uniform] = lower_draw,
        [OP_normal] = lower_draw,
        [OP_iota] = lower_iota,
    };
    const plan *p = l->plan;
    const node n = p->order[s->first];
    const plan_node *v = &p->node[n];
    plain x = {.l = l, .g = p->g, .r = graph_rec(p->g, v->of), .v = v, .n = n};

    if (v->op < 0 || !lower[v->op])
        return FAIL(l->ctx, DRMAD_E_INTERNAL, "cuda: node %%%d, %s of %s: no kernel", n,
                    v->op < 0 ? "copy" : op_get(v->op)->name, dtype_name(v->type));
    x.from = graph_shape(p->g, x.r->in[0]);
    x.type = graph_dtype(p->g, x.r->in[0]);
    for (int k = 0; k < v->n_in && k < 2; k++) x.in[k] = gpu_operand(l, &v->in[k]);
    x.out = gpu_result(l, n);
    return lower[v->op](&x);
}
