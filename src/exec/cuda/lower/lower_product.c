/* Products and convolutions to calls; tile_choice.c says which tile, and into how many shares k is
 * cut. */
#include "exec/cuda/kernel/body_window.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "exec/cuda/lower/lower_inside.h"

enum {
    FEW = 4,          /* channels of a group */
    FEW_PIXELS = 1024 /* of a share */
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

enum {
    TILES =
        1 << TILE_MIDDLE | 1 << TILE_SMALL | 1 << TILE_LARGE | 1 << TILE_NARROW | 1 << TILE_TALL,
    TILES_DW = 1 << TILE_MIDDLE | 1 << TILE_SMALL | 1 << TILE_LARGE | 1 << TILE_WIDE
};

/* k in one share. */
static int64_t whole(const gpu_product *p)
{
    return at_least(up(p->k, 16) * 16, 16);
}

/* A tile counts in 32 bits. */
static drmad_status check_size(gpu_lower *l, const gpu_product *p)
{
    enum { MOST = INT32_MAX - 256 };

    if (p->m <= MOST && p->n <= MOST && p->k <= MOST) return DRMAD_OK;
    return FAIL(l->ctx, DRMAD_E_MODEL,
                "cuda: a product of %lld rows and %lld columns, %lld terms each: expected less "
                "than 2^31 of each; take a smaller batch",
                (long long)p->m, (long long)p->n, (long long)p->k);
}

/* Within an image, and within a weight, too. */
static drmad_status check_image(gpu_lower *l, const window_args *v)
{
    enum { MOST = INT32_MAX };
    const int64_t image = v->h * v->w * v->c, result = v->oh * v->ow * v->o;

    if (image <= MOST && result <= MOST && v->o * v->kh * v->kw <= MOST) return DRMAD_OK;
    return FAIL(l->ctx, DRMAD_E_MODEL,
                "cuda: a convolution of an image of %lld numbers to one of %lld: expected less "
                "than 2^31; take smaller images",
                (long long)image, (long long)result);
}

/* ---- matmul ---- */

/* Adds the shares in `from`, each as the whole, to a result of r * p * q elements. */
static drmad_status add_shares(gpu_lower *l, dtype t, fold_args *x)
{
    x->share_step = x->r * x->p * x->q;
    return gpu_emit(l, GPU_fold, t, x, sizeof *x);
}

/* Where the shares of `count` elements lie, and who adds them up into *y. */
static fold_args shares_of(gpu_lower *l, dtype t, void **y, int64_t count, int64_t shares)
{
    fold_args sum = {.to = *y, .r = 1, .p = count, .q = 1, .shares = shares};

    sum.from = *y = gpu_scratch(l, (size_t)(shares * count) * dtype_size(t));
    return sum;
}

static drmad_status lower_matmul(gpu_lower *l, const plan_node *v, const node_rec *r, bool first)
{
    static const gpu_kernel kernel[GPU_TILES] = {[TILE_MIDDLE] = GPU_matmul,
                                                 [TILE_SMALL] = GPU_matmul_small,
                                                 [TILE_LARGE] = GPU_matmul_large,
                                                 [TILE_NARROW] = GPU_matmul_narrow,
                                                 [TILE_TALL] = GPU_matmul_tall};
    const shape *a = graph_shape(l->plan->g, r->in[0]), *b = graph_shape(l->plan->g, r->in[1]);
    const int32_t last = r->shape.rank - 1;
    const gpu_product p = {.batch = last > 1 ? r->shape.dim[0] : 1,
                           .m = r->shape.dim[last - 1],
                           .n = r->shape.dim[last],
                           .k = a->dim[r->attr.ta ? last - 1 : last]};
    const gpu_choice t = gpu_choose(&p, v->type, TILES);
    const int64_t count = p.batch * p.m * p.n;
    matmul_args x = {.a = gpu_operand(l, &v->in[0]), .b = gpu_operand(l, &v->in[1])};
    drmad_status st = DRMAD_OK;
    fold_args sum = {.shares = 0};
    bool taken;

    TRY(check_size(l, &p));
    x.c = gpu_result(l, v->into);
    x.m = p.m, x.n = p.n, x.k = p.k, x.batch = p.batch;
    x.lda = a->dim[last], x.ldb = b->dim[last], x.ldc = p.n;
    x.a_step = p.m * p.k, x.b_step = p.k * p.n, x.c_step = p.m * p.n;
    x.ta = r->attr.ta, x.tb = r->attr.tb;
    x.share_step = count, x.k_each = whole(&p);
    x.accumulate = !first;
    TRY(gpu_library_takes(l, GPU_matmul, v->type, &x, &taken));
    if (taken) {
        gpu_emit_library(l, GPU_matmul, v->type, &x);
        return DRMAD_OK;
    }
    x.k_each = t.run;
    if (t.run < p.k) {
        sum = shares_of(l, v->type, &x.c, count, up(p.k, t.run));
        sum.accumulate = !first, x.accumulate = false;
    }
    TRY(gpu_emit(l, kernel[t.tile], v->type, &x, sizeof x));
    if (sum.shares > 0) TRY(add_shares(l, v->type, &sum));
done:
    return st;
}

/* ---- convolutions ---- */

window_args gpu_window_of(const graph *g, const node_rec *r)
{
    const bool back = r->op == OP_conv_dx || r->op == OP_spread || r->op == OP_put;
    const window *w = &r->attr.window;
    const shape *image = back ? &r->shape : graph_shape(g, r->in[0]);
    window_args v = {.n = image->dim[0], .h = w->size[0], .w = w->size[1], .c = image->dim[3]};

    v.oh = window_out(w, 0), v.ow = window_out(w, 1);
    v.o = r->op == OP_conv      ? r->shape.dim[3]
          : r->op == OP_conv_dx ? graph_shape(g, r->in[0])->dim[3]
          : r->op == OP_conv_dw ? r->shape.dim[0]
                                : v.c;
    v.kh = w->kernel[0], v.kw = w->kernel[1];
    v.stride_h = w->stride[0], v.stride_w = w->stride[1];
    v.pad_h = w->pad[0], v.pad_w = w->pad[1];
    v.dilation_h = w->dilation[0], v.dilation_w = w->dilation[1];
    v.groups = w->groups;
    return v;
}

/* The weight as the kernels want it, channels fastest; *out: where it is. */
static drmad_status turn_weight(gpu_lower *l, dtype t, const window_args *v, const void *w,
                                const void **out)
{
    const int64_t taps = v->kh * v->kw, deep = v->c / v->groups, count = v->o * taps * deep;
    move_args x = {.a = w, .rank = 3, .count = count, .size = (int32_t)dtype_size(t)};
    const int64_t dim[] = {v->o, taps, deep}, from[] = {taps * deep, 1, taps};

    *out = w;
    if (taps == 1 || deep == 1) return DRMAD_OK;
    for (int32_t k = 0; k < x.rank; k++) x.dim[k] = x.limit[k] = dim[k], x.from[k] = from[k];
    *out = x.y = gpu_scratch(l, (size_t)count * dtype_size(t));
    return gpu_emit(l, GPU_move, t, &x, sizeof x);
}

/* The weight as conv_dx by tiles wants it: what a phase multiplies with is a matrix. */
static drmad_status phase_weights(gpu_lower *l, dtype t, conv_args *x, const void *w)
{
    const window_args *v = &x->v;
    const size_t size = dtype_size(t);
    const int64_t taps = v->kh * v->kw, phases = v->stride_h * v->stride_w;
    const int64_t slot = v->groups * x->k * x->deep;
    drmad_status st = DRMAD_OK;

    x->b = w;
    if (phases == 1 && taps == 1) return DRMAD_OK;
    char *to = gpu_scratch(l, (size_t)(phases * slot) * size);
    x->b = to;
    for (int32_t i = 0; i < phases; i++) {
        const conv_phase y = conv_phase_of(i / v->stride_w, (int32_t)v->h, v->kh, v->stride_h,
                                           v->dilation_h, v->pad_h);
        const conv_phase z = conv_phase_of(i % v->stride_w, (int32_t)v->w, v->kw, v->stride_w,
                                           v->dilation_w, v->pad_w);
        const int64_t dim[] = {v->groups, y.taps, z.taps, x->out, x->deep};
        const int64_t from[] = {x->out * x->deep * taps, y.step * v->kw, z.step, x->deep * taps,
                                taps};
        move_args m = {.rank = 5, .size = (int32_t)size, .count = 1};
        for (int32_t k = 0; k < m.rank; k++) {
            m.dim[k] = m.limit[k] = dim[k], m.from[k] = from[k];
            m.count *= dim[k];
        }
        m.a = (const char *)w + (size_t)(y.first * v->kw + z.first) * size;
        m.y = to + (size_t)(i * slot) * size;
        if (m.count > 0) TRY(gpu_emit(l, GPU_move, t, &m, sizeof m));
    }
done:
    return st;
}

/* Several groups of so few channels that tiles would be empty? */
static bool is_few(const window_args *w)
{
    return w->groups > 1 && w->c / w->groups <= FEW && w->o / w->groups <= FEW;
}

/* Taps of conv_dx along an axis, in the phase that has most. */
static int64_t most_taps(int64_t size, int32_t kernel, int32_t stride, int32_t dilation,
                         int32_t pad)
{
    int64_t most = 0;

    for (int32_t i = 0; i < stride; i++) {
        const conv_phase p = conv_phase_of(i, (int32_t)size, kernel, stride, dilation, pad);
        most = at_least(most, p.taps);
    }
    return most;
}

static gpu_product conv_product(const window_args *w, bool back)
{
    gpu_product p = {.batch = w->groups, .m = w->n * w->oh * w->ow, .n = w->o / w->groups};

    p.k = w->kh * w->kw * (w->c / w->groups);
    if (!back) return p;
    p.batch *= w->stride_h * w->stride_w;
    p.m = conv_phase_rows(w), p.n = w->c / w->groups;
    p.k = most_taps(w->h, w->kh, w->stride_h, w->dilation_h, w->pad_h) *
          most_taps(w->w, w->kw, w->stride_w, w->dilation_w, w->pad_w) * (w->o / w->groups);
    return p;
}

static drmad_status lower_conv(gpu_lower *l, const plan_node *v, const node_rec *r, bool first)
{
    static const gpu_kernel kernel[2][GPU_TILES] = {{[TILE_MIDDLE] = GPU_conv,
                                                     [TILE_SMALL] = GPU_conv_small,
                                                     [TILE_LARGE] = GPU_conv_large,
                                                     [TILE_NARROW] = GPU_conv_narrow,
                                                     [TILE_TALL] = GPU_conv_tall},
                                                    {[TILE_MIDDLE] = GPU_conv_dx,
                                                     [TILE_SMALL] = GPU_conv_dx_small,
                                                     [TILE_LARGE] = GPU_conv_dx_large,
                                                     [TILE_NARROW] = GPU_conv_dx_narrow,
                                                     [TILE_TALL] = GPU_conv_dx_tall}};
    const bool back = r->op == OP_conv_dx;
    const window_args w = gpu_window_of(l->plan->g, r);
    const gpu_product p = conv_product(&w, back);
    const gpu_choice t = gpu_choose(&p, v->type, TILES);
    conv_args x = {.a = gpu_operand(l, &v->in[0]), .y = gpu_result(l, v->into), .v = w};
    drmad_status st = DRMAD_OK;
    const gpu_kernel plain = back ? GPU_conv_dx_few : GPU_conv; /* of weights that are turned */
    fold_args sum = {.shares = 0};
    bool taken = false;

    x.deep = (int32_t)(w.c / w.groups), x.out = (int32_t)(w.o / w.groups);
    x.k = p.k, x.k_each = whole(&p);
    TRY(check_size(l, &p));
    TRY(check_image(l, &w));
    x.accumulate = !first;
    if (!is_few(&w)) TRY(gpu_library_takes(l, plain, v->type, &x, &taken));
    if (back && !is_few(&w) && !taken)
        TRY(phase_weights(l, v->type, &x, gpu_operand(l, &v->in[1])));
    else TRY(turn_weight(l, v->type, &w, gpu_operand(l, &v->in[1]), &x.b));
    if (taken) {
        gpu_emit_library(l, plain, v->type, &x);
        return DRMAD_OK;
    }
    x.k_each = t.run;
    if (!is_few(&w) && t.run < p.k) {
        x.share_step = v->count;
        sum = shares_of(l, v->type, &x.y, v->count, up(p.k, t.run));
        sum.accumulate = !first, x.accumulate = false;
    }
    const gpu_kernel k = !is_few(&w) ? kernel[back][t.tile] : back ? GPU_conv_dx_few : GPU_conv_few;
    TRY(gpu_emit(l, k, v->type, &x, sizeof x));
    if (sum.shares > 0) TRY(add_shares(l, v->type, &sum));
done:
    return st;
}

static drmad_status emit_dw(gpu_lower *l, gpu_kernel k, dtype t, const conv_args *x, bool taken)
{
    if (!taken) return gpu_emit(l, k, t, x, sizeof *x);
    gpu_emit_library(l, GPU_conv_dw, t, x);
    return DRMAD_OK;
}

drmad_status gpu_lower_conv_dw(gpu_lower *l, node n)
{
    static const gpu_kernel kernel[GPU_TILES] = {[TILE_MIDDLE] = GPU_conv_dw,
                                                 [TILE_SMALL] = GPU_conv_dw_small,
                                                 [TILE_LARGE] = GPU_conv_dw_large,
                                                 [TILE_WIDE] = GPU_conv_dw_wide};
    const plan_node *v = &l->plan->node[n];
    const window_args w = gpu_window_of(l->plan->g, graph_rec(l->plan->g, v->of));
    const int64_t taps = w.kh * w.kw, deep = w.c / w.groups, count = w.o * taps * deep;
    const gpu_product p = {
        .batch = w.groups, .m = w.o / w.groups, .n = taps * deep, .k = w.n * w.oh * w.ow};
    const gpu_choice t = gpu_choose(&p, v->type, TILES_DW);
    const gpu_kernel k = is_few(&w) ? GPU_conv_dw_few : kernel[t.tile];
    conv_args x = {.a = gpu_operand(l, &v->in[0]), .b = gpu_operand(l, &v->in[1]), .v = w};
    drmad_status st = DRMAD_OK;
    bool taken = false;

    x.deep = (int32_t)deep, x.out = (int32_t)(w.o / w.groups);
    TRY(check_size(l, &p));
    TRY(check_image(l, &w));
    if (!is_few(&w)) TRY(gpu_library_takes(l, GPU_conv_dw, v->type, &x, &taken));
    x.k = p.k, x.k_each = taken ? whole(&p) : is_few(&w) ? FEW_PIXELS : t.run;
    x.share_step = count;
    x.y = gpu_result(l, n);
    if (p.k <= x.k_each && (taps == 1 || deep == 1)) return emit_dw(l, k, v->type, &x, taken);
    fold_args sum = {.to = x.y, .r = w.o, .p = taps, .q = deep};
    sum.shares = at_least(up(p.k, x.k_each), 1);
    sum.from = x.y = gpu_scratch(l, (size_t)(sum.shares * count) * dtype_size(v->type));
    TRY(emit_dw(l, k, v->type, &x, taken));
    TRY(add_shares(l, v->type, &sum));
done:
    return st;
}

/* ---- */

drmad_status gpu_lower_product(gpu_lower *l, node n, bool first)
{
    const plan_node *v = &l->plan->node[n];
    const node_rec *r = graph_rec(l->plan->g, v->of);

    return r->op == OP_matmul ? lower_matmul(l, v, r, first) : lower_conv(l, v, r, first);
}
