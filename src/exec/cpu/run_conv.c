/* Convolutions as sums of products, one for each tap of the window and row of the result: the
 * pixels of a row that a tap sees lie at equal distances, so they are the rows of a matrix as they
 * are. The weight is turned once into [group][tap][c][o]. Tiles are images, or taps where the
 * weight's derivative is wanted; a tile's sums run in a fixed order. */
#include "exec/cpu/run_plain.h"
#include <string.h>

static void multiply(const plain *x, const gemm_shape *s, const char *a, const char *b, char *c)
{
    const cpu_isa isa = x->code->isa;
    cpu_lane *lane = cpu_take_lane(x->code);

    if (x->v->type == F32)
        gemm_f32(isa, s, (const float *)(const void *)a, (const float *)(const void *)b,
                 (float *)(void *)c, lane->work);
    else
        gemm_f64(isa, s, (const double *)(const void *)a, (const double *)(const void *)b,
                 (double *)(void *)c, lane->work);
    cpu_give_lane(lane);
}

static size_t work_of(cpu_isa isa, dtype t, gemm_shape s)
{
    return t == F32 ? gemm_f32_work(isa, &s) : gemm_f64_work(isa, &s);
}

/* ---- convolution ---- */

typedef struct geometry {
    window v;
    int64_t images, h, w, c, o; /* h, w: of the result; c, o: channels of a group */
    int64_t taps;
} geometry;

static geometry geometry_of(const plan *p, const node_rec *r)
{
    const shape *a = graph_shape(p->g, r->in[0]), *b = graph_shape(p->g, r->in[1]);
    const shape *image = r->op == OP_conv_dx ? &r->shape : a;
    const shape *result = r->op == OP_conv ? &r->shape : r->op == OP_conv_dx ? a : b;
    geometry k = {.v = r->attr.window};

    k.images = image->dim[0];
    k.h = result->dim[1], k.w = result->dim[2];
    k.c = image->dim[3] / k.v.groups, k.o = result->dim[3] / k.v.groups;
    k.taps = (int64_t)k.v.kernel[0] * k.v.kernel[1];
    return k;
}

/* Of a product: m pixels of a row, or the taps' [c, o]. */
static gemm_shape shape_of(const geometry *k, int32_t op, int64_t m)
{
    const int64_t pixel = k->c * k->v.groups, step = pixel * k->v.stride[1];
    const int64_t result = k->o * k->v.groups;

    if (op == OP_conv)
        return (gemm_shape){
            .m = m, .n = k->o, .k = k->c, .lda = step, .ldb = k->o, .ldc = result, .acc = true};
    if (op == OP_conv_dx)
        return (gemm_shape){.m = m,
                            .n = k->c,
                            .k = k->o,
                            .lda = result,
                            .ldb = k->o,
                            .ldc = step,
                            .tb = true,
                            .acc = true};
    return (gemm_shape){.m = k->c,
                        .n = k->o,
                        .k = m,
                        .lda = step,
                        .ldb = result,
                        .ldc = k->o,
                        .ta = true,
                        .acc = true};
}

/* Pixels [first, end) of the result's row whose tap i lies inside, along axis 1. */
static void columns_of(const geometry *k, int64_t i, int64_t *first, int64_t *end)
{
    const window *v = &k->v;
    const int64_t s = v->stride[1], at = i * v->dilation[1] - v->pad[1]; /* of pixel 0 */
    const int64_t room = v->size[1] - at;

    *first = at < 0 ? (-at + s - 1) / s : 0;
    *end = room <= 0 ? 0 : (room + s - 1) / s;
    if (*end > k->w) *end = k->w;
}

/* Adds what row y of an image's result and tap (i, j) of a group have to do with each other. */
static void add_row(const plain *x, const geometry *k, int64_t image, int64_t y, int64_t at)
{
    const int64_t group = at / k->taps, i = at % k->taps / k->v.kernel[1];
    const int64_t j = at % k->v.kernel[1];
    const int64_t row = y * k->v.stride[0] - k->v.pad[0] + i * k->v.dilation[0];
    char *weight = x->code->scratch + (size_t)(at * k->c * k->o) * x->size;
    int64_t first, end;

    columns_of(k, j, &first, &end);
    if (row < 0 || row >= k->v.size[0] || first >= end) return;
    const int64_t column = first * k->v.stride[1] - k->v.pad[1] + j * k->v.dilation[1];
    const int64_t pixel = (image * k->v.size[0] + row) * k->v.size[1] + column;
    const size_t under = (size_t)((pixel * k->v.groups + group) * k->c) * x->size;
    const int64_t over = ((image * k->h + y) * k->w + first) * k->v.groups + group;
    const size_t above = (size_t)(over * k->o) * x->size;
    const gemm_shape s = shape_of(k, x->r->op, end - first);
    if (x->r->op == OP_conv) multiply(x, &s, x->in[0] + under, weight, x->out + above);
    if (x->r->op == OP_conv_dx) multiply(x, &s, x->in[0] + above, weight, x->out + under);
    if (x->r->op == OP_conv_dw) multiply(x, &s, x->in[0] + under, x->in[1] + above, weight);
}

static void image_tile(void *arg, int64_t image)
{
    const plain *x = arg;
    const geometry k = geometry_of(x->p, x->r);
    const size_t bytes = x->v->bytes / (size_t)k.images;

    memset(x->out + (size_t)image * bytes, 0, bytes);
    for (int64_t y = 0; y < k.h; y++)
        for (int64_t at = 0; at < k.taps * k.v.groups; at++) add_row(x, &k, image, y, at);
}

static void tap_tile(void *arg, int64_t at)
{
    const plain *x = arg;
    const geometry k = geometry_of(x->p, x->r);
    const size_t bytes = (size_t)(k.c * k.o) * x->size;

    memset(x->code->scratch + (size_t)at * bytes, 0, bytes);
    for (int64_t image = 0; image < k.images; image++)
        for (int64_t y = 0; y < k.h; y++) add_row(x, &k, image, y, at);
}

/* Between [group][o][c][tap], as the graph has it, and [group][tap][c][o]. */
static void turn(const plain *x, const geometry *k, char *plainly, char *turned, bool back)
{
    for (int64_t e = 0; e < k->v.groups * k->o * k->c * k->taps; e++) {
        const int64_t tap = e % k->taps, c = e / k->taps % k->c, o = e / k->taps / k->c % k->o;
        const int64_t group = e / (k->taps * k->c * k->o);
        char *at = turned + (size_t)(((group * k->taps + tap) * k->c + c) * k->o + o) * x->size;
        char *from = plainly + (size_t)e * x->size;
        memcpy(back ? from : at, back ? at : from, x->size);
    }
}

void plain_conv(plain *x)
{
    const geometry k = geometry_of(x->p, x->r);
    const int64_t macs = k.images * k.h * k.w * k.taps * k.c * k.o * k.v.groups;

    if (x->r->op == OP_conv_dw) {
        plain_tiles(x, k.taps * k.v.groups, macs, tap_tile);
        turn(x, &k, x->out, x->code->scratch, true);
        return;
    }
    turn(x, &k, (char *)(uintptr_t)x->in[1], x->code->scratch, false);
    plain_tiles(x, k.images, macs, image_tile);
}

size_t plain_conv_scratch(const plan *p, const node_rec *r)
{
    const geometry k = geometry_of(p, r);

    return (size_t)(k.v.groups * k.taps * k.c * k.o) * dtype_size((dtype)r->dtype);
}

/* ---- products with a batch ---- */

static gemm_shape matrices_of(const plan *p, const node_rec *r)
{
    const shape *a = graph_shape(p->g, r->in[0]), *b = graph_shape(p->g, r->in[1]);

    return (gemm_shape){.m = r->shape.dim[1],
                        .n = r->shape.dim[2],
                        .k = a->dim[r->attr.ta ? 1 : 2],
                        .lda = a->dim[2],
                        .ldb = b->dim[2],
                        .ldc = r->shape.dim[2],
                        .ta = r->attr.ta,
                        .tb = r->attr.tb};
}

static void batch_tile(void *arg, int64_t i)
{
    const plain *x = arg;
    const gemm_shape s = matrices_of(x->p, x->r);
    const size_t a = (size_t)(s.m * s.k), b = (size_t)(s.k * s.n), c = (size_t)(s.m * s.n);
    const size_t at = (size_t)i * x->size;

    multiply(x, &s, x->in[0] + at * a, x->in[1] + at * b, x->out + at * c);
}

void plain_batched(plain *x)
{
    const gemm_shape s = matrices_of(x->p, x->r);

    plain_tiles(x, x->r->shape.dim[0], x->v->count * s.k, batch_tile);
}

size_t plain_product_work(cpu_isa isa, const plan *p, node n)
{
    const node_rec *r = graph_rec(p->g, n);
    const dtype t = (dtype)r->dtype;

    if (r->op == OP_matmul) return work_of(isa, t, matrices_of(p, r));
    const geometry k = geometry_of(p, r);
    size_t bytes = 0;
    for (int64_t m = 1; m <= k.w; m++) {
        const size_t w = work_of(isa, t, shape_of(&k, r->op, m));
        bytes = w > bytes ? w : bytes;
    }
    return bytes;
}
