/* Products and convolutions to calls: which tile, and into how many shares k is cut. Both are
 * chosen for a GPU of some hundred multiprocessors, whichever it will be, so that sums have one
 * order on all of them. */
#include "exec/cuda/kernel_args.h"
#include "exec/cuda/lower_inside.h"

enum {
    PROCESSORS = 132, /* H100's; A100 has 108 */
    ENOUGH = 96,      /* blocks that leave few of them idle */
    SHARE_MIN = 128,  /* of k: less is not worth a second pass */
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

/* ---- tiles ---- */

typedef enum tile { MIDDLE, SMALL, LARGE, NARROW } tile;

static int64_t blocks_of(const gpu_product *p, tile t)
{
    static const int64_t edge[][2] = {
        [MIDDLE] = {64, 64}, [SMALL] = {32, 32}, [LARGE] = {128, 128}, [NARROW] = {128, 32}};

    return p->batch * up(p->m, edge[t][0]) * up(p->n, edge[t][1]);
}

/* The largest tile that still gives every processor one, and is not mostly empty. */
static tile choose_tile(const gpu_product *p, dtype t)
{
    if (p->n <= 32 && blocks_of(p, NARROW) >= ENOUGH) return NARROW;
    if (t == F32 && p->m > 64 && p->n > 64 && blocks_of(p, LARGE) >= ENOUGH) return LARGE;
    if (p->m > 32 && p->n > 32 && blocks_of(p, MIDDLE) >= ENOUGH) return MIDDLE;
    return SMALL;
}

/* k in one share. */
static int64_t whole(const gpu_product *p)
{
    return at_least(up(p->k, 16) * 16, 16);
}

/* Shares that fill the processors twice, as long as each is long enough; a multiple of 16. */
static int64_t choose_run(const gpu_product *p, int64_t blocks)
{
    const int64_t room = blocks > 0 ? 2 * PROCESSORS / blocks : 1;
    const int64_t wish = at_least(up(p->k, at_least(room, 1)), SHARE_MIN);
    const int64_t run = blocks < ENOUGH && p->k >= 2 * SHARE_MIN ? wish : p->k;

    return at_least(up(run, 16) * 16, 16);
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

/* ---- matmul ---- */

/* Adds the shares in `from`, each as the whole, to a result of r * p * q elements. */
static drmad_status add_shares(gpu_lower *l, dtype t, fold_args *x)
{
    x->share_step = x->r * x->p * x->q;
    return gpu_emit(l, GPU_fold, t, x, sizeof *x);
}

static drmad_status lower_matmul(gpu_lower *l, const plan_node *v, const node_rec *r, bool first)
{
    static const gpu_kernel kernel[] = {[MIDDLE] = GPU_matmul,
                                        [SMALL] = GPU_matmul_small,
                                        [LARGE] = GPU_matmul_large,
                                        [NARROW] = GPU_matmul_narrow};
    const shape *a = graph_shape(l->plan->g, r->in[0]), *b = graph_shape(l->plan->g, r->in[1]);
    const int32_t last = r->shape.rank - 1;
    const gpu_product p = {.batch = last > 1 ? r->shape.dim[0] : 1,
                           .m = r->shape.dim[last - 1],
                           .n = r->shape.dim[last],
                           .k = a->dim[r->attr.ta ? last - 1 : last]};
    const tile t = choose_tile(&p, v->type);
    const int64_t count = p.batch * p.m * p.n, run = choose_run(&p, blocks_of(&p, t));
    void *y = gpu_result(l, v->into);
    matmul_args x = {.a = gpu_operand(l, &v->in[0]), .b = gpu_operand(l, &v->in[1]), .c = y};
    drmad_status st = DRMAD_OK;
    bool taken;

    TRY(check_size(l, &p));
    x.m = p.m, x.n = p.n, x.k = p.k, x.batch = p.batch;
    x.lda = a->dim[last], x.ldb = b->dim[last], x.ldc = p.n;
    x.a_step = p.m * p.k, x.b_step = p.k * p.n, x.c_step = p.m * p.n;
    x.ta = r->attr.ta, x.tb = r->attr.tb;
    x.share_step = count;
    x.accumulate = !first;
    x.k_each = whole(&p);
    TRY(gpu_library_takes(l, GPU_matmul, v->type, &x, &taken));
    if (taken) {
        gpu_emit_library(l, GPU_matmul, v->type, &x);
        return DRMAD_OK;
    }
    x.k_each = run;
    if (run >= p.k) return gpu_emit(l, kernel[t], v->type, &x, sizeof x);
    fold_args sum = {.to = y, .r = 1, .p = count, .q = 1, .accumulate = !first};
    sum.shares = up(p.k, run);
    sum.from = x.c = gpu_scratch(l, (size_t)(sum.shares * count) * dtype_size(v->type));
    x.accumulate = false;
    TRY(gpu_emit(l, kernel[t], v->type, &x, sizeof x));
    TRY(add_shares(l, v->type, &sum));
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

/* Several groups of so few channels that tiles would be empty? */
static bool is_few(const window_args *w)
{
    return w->groups > 1 && w->c / w->groups <= FEW && w->o / w->groups <= FEW;
}

static drmad_status lower_conv(gpu_lower *l, const plan_node *v, const node_rec *r, bool first)
{
    static const gpu_kernel kernel[2][4] = {{[MIDDLE] = GPU_conv,
                                             [SMALL] = GPU_conv_small,
                                             [LARGE] = GPU_conv_large,
                                             [NARROW] = GPU_conv_narrow},
                                            {[MIDDLE] = GPU_conv_dx,
                                             [SMALL] = GPU_conv_dx_small,
                                             [LARGE] = GPU_conv_dx_large,
                                             [NARROW] = GPU_conv_dx_narrow}};
    const bool back = r->op == OP_conv_dx;
    const window_args w = gpu_window_of(l->plan->g, r);
    const int64_t taps = w.kh * w.kw;
    const gpu_product p = {.batch = w.groups * (back ? w.stride_h * w.stride_w : 1),
                           .m = w.n *
                                (back ? up(w.h, w.stride_h) * up(w.w, w.stride_w) : w.oh * w.ow),
                           .n = (back ? w.c : w.o) / w.groups,
                           .k = taps * (back ? w.o : w.c) / w.groups};
    conv_args x = {.a = gpu_operand(l, &v->in[0]), .y = gpu_result(l, v->into), .v = w};
    drmad_status st = DRMAD_OK;
    bool taken = false;

    TRY(check_size(l, &p));
    x.k_each = whole(&p);
    x.accumulate = !first;
    TRY(turn_weight(l, v->type, &w, gpu_operand(l, &v->in[1]), &x.b));
    if (!is_few(&w)) TRY(gpu_library_takes(l, back ? GPU_conv_dx : GPU_conv, v->type, &x, &taken));
    if (taken) {
        gpu_emit_library(l, back ? GPU_conv_dx : GPU_conv, v->type, &x);
        return DRMAD_OK;
    }
    const gpu_kernel k = !is_few(&w) ? kernel[back][choose_tile(&p, v->type)]
                         : back      ? GPU_conv_dx_few
                                     : GPU_conv_few;
    TRY(gpu_emit(l, k, v->type, &x, sizeof x));
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
    const plan_node *v = &l->plan->node[n];
    const window_args w = gpu_window_of(l->plan->g, graph_rec(l->plan->g, v->of));
    const int64_t taps = w.kh * w.kw, deep = w.c / w.groups, count = w.o * taps * deep;
    const gpu_product p = {
        .batch = w.groups, .m = w.o / w.groups, .n = taps * deep, .k = w.n * w.oh * w.ow};
    const bool little = p.m <= 32 || p.n <= 32;
    const gpu_kernel k = is_few(&w) ? GPU_conv_dw_few : little ? GPU_conv_dw_small : GPU_conv_dw;
    conv_args x = {.a = gpu_operand(l, &v->in[0]), .b = gpu_operand(l, &v->in[1]), .v = w};
    drmad_status st = DRMAD_OK;
    bool taken = false;

    TRY(check_size(l, &p));
    if (!is_few(&w)) TRY(gpu_library_takes(l, GPU_conv_dw, v->type, &x, &taken));
    x.k_each = taken        ? whole(&p)
               : is_few(&w) ? FEW_PIXELS
                            : choose_run(&p, blocks_of(&p, little ? SMALL : MIDDLE));
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
