/* Pooling, image by image, and single elements by index. */
#include "exec/cpu/pool_kernels.h"
#include "exec/cpu/run_plain.h"
#include <string.h>

/* ---- pooling ---- */

static const pool_fns *fns_of(cpu_isa isa, dtype t)
{
    static const pool_fns *const f32[ISA_COUNT] = {&pool_f32_portable, &pool_f32_avx2,
                                                   &pool_f32_avx512};
    static const pool_fns *const f64[ISA_COUNT] = {&pool_f64_portable, &pool_f64_avx2,
                                                   &pool_f64_avx512};

    return t == F32 ? f32[isa] : f64[isa];
}

/* With few channels a window's pixels are short: many windows are done together where none is
 * padded. */
static void begin_blocks(pool_row *p)
{
    enum { FEW = 16 };
    const window *v = p->v;

    if (p->c >= FEW || v->pad[1] > 0) return;
    p->pixels = POOL_BLOCK / p->c < p->w ? POOL_BLOCK / p->c : p->w;
    for (int64_t j = 0; j < p->pixels * p->c; j++)
        p->begin[j] = (int32_t)(j / p->c * v->stride[1] * p->c + j % p->c);
}

static void pool_image(void *arg, int64_t n)
{
    const plain *x = arg;
    const window *v = &x->r->attr.window;
    const pool_fns *fns = fns_of(x->code->isa, graph_dtype(x->p->g, x->r->in[0]));
    pool_row p = {.v = v, .w = window_out(v, 1), .c = x->from->dim[3]};
    const int64_t h = window_out(v, 0);
    const size_t image = (size_t)(v->size[0] * v->size[1] * p.c), row = (size_t)(p.w * p.c);
    const size_t at = (size_t)n * image * x->size, over = (size_t)(n * h) * row * x->size;

    p.image = n * (int64_t)image;
    if (x->r->op == OP_maxpool_arg) begin_blocks(&p);
    if (x->r->op == OP_spread) memset(x->out + at, 0, image * x->size);
    for (p.y = 0; p.y < h; p.y++) {
        const size_t here = over + (size_t)p.y * row * x->size;
        if (x->r->op == OP_sumpool) fns->sum(&p, x->in[0] + at, x->out + here);
        if (x->r->op == OP_spread) fns->spread(&p, x->out + at, x->in[0] + here);
        if (x->r->op == OP_maxpool_arg)
            fns->max(&p, x->in[0] + at, (int32_t *)(void *)x->out + (size_t)(n * h + p.y) * row);
    }
}

void plain_pool(plain *x)
{
    const window *v = &x->r->attr.window;
    const int64_t images = x->from->dim[0];
    const int64_t work = images * window_out(v, 0) * window_out(v, 1) * x->from->dim[3] *
                         v->kernel[0] * v->kernel[1];

    x->size = dtype_size(graph_dtype(x->p->g, x->r->in[0]));
    plain_tiles(x, images, work, pool_image);
}

/* ---- single elements ---- */

enum { TAKE = 16384 }; /* elements a tile */

/* Is the index that of max-pooling images of this shape? Then it stays in its image. */
static bool arg_of(const plain *x, const shape *images)
{
    const node_rec *index = graph_rec(x->p->g, x->r->in[1]);

    return index->op == OP_maxpool_arg && shape_same(graph_shape(x->p->g, index->in[0]), images);
}

static void take_some(void *arg, int64_t tile)
{
    const plain *x = arg;
    const int32_t *index = (const int32_t *)(const void *)x->in[1];
    const int64_t rows = shape_count(x->from), first = tile * TAKE;
    const int64_t end = first + TAKE < x->v->size ? first + TAKE : x->v->size;

    for (int64_t i = first; i < end && !arg_of(x, x->from); i++)
        if (index[i] < 0 || index[i] >= rows) {
            plain_good_index(x, index[i], rows);
            return;
        }
    if (x->size == 4)
        for (int64_t i = first; i < end; i++)
            memcpy(x->out + i * 4, x->in[0] + (int64_t)index[i] * 4, 4);
    else
        for (int64_t i = first; i < end; i++)
            memcpy(x->out + i * 8, x->in[0] + (int64_t)index[i] * 8, 8);
}

void plain_take(plain *x)
{
    plain_tiles(x, (x->v->size + TAKE - 1) / TAKE, x->v->size, take_some);
}

static void put_some(const plain *x, int64_t first, int64_t end)
{
    const int32_t *index = (const int32_t *)(const void *)x->in[1];
    const bool known = arg_of(x, &x->r->shape);

    for (int64_t i = first; i < end; i++) {
        if (!known && !plain_good_index(x, index[i], x->v->size)) return;
        if (x->size == 4)
            ((float *)(void *)x->out)[index[i]] += ((const float *)(const void *)x->in[0])[i];
        else ((double *)(void *)x->out)[index[i]] += ((const double *)(const void *)x->in[0])[i];
    }
}

static void put_image(void *arg, int64_t n)
{
    const plain *x = arg;
    const int64_t images = x->from->dim[0], some = shape_count(x->from) / images;
    const size_t bytes = x->v->bytes / (size_t)images;

    memset(x->out + (size_t)n * bytes, 0, bytes);
    put_some(x, n * some, (n + 1) * some);
}

void plain_put(plain *x)
{
    if (arg_of(x, &x->r->shape)) {
        plain_tiles(x, x->from->dim[0], x->v->size, put_image);
        return;
    }
    memset(x->out, 0, x->v->bytes);
    put_some(x, 0, shape_count(x->from));
}
