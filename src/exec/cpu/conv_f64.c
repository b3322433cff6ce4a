/* Convolutions in double: for proof, not for speed. The taps of a line's pixels are gathered into
 * a matrix, zeros where there is no pixel, and gemm_f64 does the rest. */
#include "exec/cpu/conv_geometry.h"
#include "exec/cpu/conv_kernels.h"
#include <string.h>

typedef struct sizes {
    conv_axis y, x;
    int64_t area, from, to, deep; /* of a group; deep: taps x from */
} sizes;

static sizes sizes_of(const conv *c)
{
    sizes z = {.y = conv_axis_of(c, 0),
               .x = conv_axis_of(c, 1),
               .area = conv_area(c),
               .from = conv_from_group(c),
               .to = conv_to_group(c)};

    z.deep = z.area * z.from;
    return z;
}

/* A line's gathered pixels by a group's weights; DW: their transpose by dy. */
static gemm_shape product(const conv *c, const sizes *z)
{
    if (c->op == CONV_DW)
        return (gemm_shape){.m = z->to,
                            .n = z->deep,
                            .k = z->x.outs,
                            .lda = conv_to(c),
                            .ldb = z->deep,
                            .ldc = z->deep,
                            .ta = true};
    return (gemm_shape){.m = z->x.outs,
                        .n = z->to,
                        .k = z->deep,
                        .lda = z->deep,
                        .ldb = z->to,
                        .ldc = conv_to(c),
                        .acc = c->acc};
}

void conv_sizes_f64(conv *c)
{
    const sizes z = sizes_of(c);
    const gemm_shape s = product(c, &z);
    const size_t weights = (size_t)(c->v.groups * z.deep * z.to) * sizeof(double);

    c->packed = c->op == CONV_DW ? 0 : weights;
    c->sums = c->op == CONV_DW ? (size_t)c->shares * weights : 0;
    c->work = (size_t)(z.x.outs * z.deep + 8) / 8 * 8 * sizeof(double) + gemm_f64_work(c->isa, &s);
}

void conv_pack_f64(const conv *c, const void *w, void *packed, void *work)
{
    const sizes z = sizes_of(c);
    const bool back = c->op == CONV_DX;
    const int64_t from_step = back ? z.to * z.area : z.area;
    const int64_t to_step = back ? z.area : z.deep;

    (void)work;
    for (int64_t n = 0; n < c->v.groups * z.deep * z.to; n++) {
        const int64_t o = n % z.to, i = n / z.to % z.from, t = n / z.to / z.from % z.area;
        const int64_t g = n / z.to / z.deep;
        ((double *)packed)[n] =
            ((const double *)w)[g * z.deep * z.to + i * from_step + o * to_step + t];
    }
}

/* The operand's pixel that result pixel `out` reads for a tap, or -1. */
static int64_t operand_at(const conv *c, int axis, int64_t out, int64_t tap)
{
    const int64_t s = c->v.stride[axis], p = c->v.pad[axis], d = c->v.dilation[axis];
    const int64_t ins = c->op == CONV_DX ? window_out(&c->v, axis) : c->v.size[axis];
    const int64_t at = c->op == CONV_DX ? out + p - tap * d : out * s + tap * d - p;

    if (c->op == CONV_DX && at % s != 0) return -1;
    const int64_t i = c->op == CONV_DX ? at / s : at;
    return i >= 0 && i < ins ? i : -1;
}

/* out[pixel][tap][channel] of group g for line `line`. */
static void gather(const conv *c, const sizes *z, const double *in, int64_t line, double *out)
{
    const int64_t ch = conv_from(c), image = line / z->y.outs * z->y.ins;

    for (int64_t n = 0; n < z->x.outs * z->area; n++, out += z->from) {
        const int64_t tap = n % z->area, cols = c->v.kernel[1];
        const int64_t r = operand_at(c, 0, line % z->y.outs, tap / cols);
        const int64_t s = operand_at(c, 1, n / z->area, tap % cols);
        if (r < 0 || s < 0) memset(out, 0, (size_t)z->from * sizeof *out);
        else memcpy(out, in + ((image + r) * z->x.ins + s) * ch, (size_t)z->from * sizeof *out);
    }
}

static void *after(void *work, const sizes *z)
{
    return (double *)work + (z->x.outs * z->deep + 8) / 8 * 8;
}

void conv_run_f64(const conv *c, const conv_memory *m, int64_t from, int64_t to, void *work)
{
    const sizes z = sizes_of(c);
    const gemm_shape s = product(c, &z);

    for (int64_t n = from; n < to; n++) {
        for (int64_t g = 0; g < c->v.groups; g++) {
            double *out = (double *)m->out + (n - from) * z.x.outs * conv_to(c) + g * z.to;
            gather(c, &z, (const double *)m->in + g * z.from, n, work);
            gemm_f64(c->isa, &s, work, (const double *)m->with + g * z.deep * z.to, out,
                     after(work, &z));
        }
    }
}

/* Sums of a share: [group][to][tap][from]. */
void conv_dw_tile_f64(const conv *c, const conv_memory *m, int64_t tile, void *work)
{
    const sizes z = sizes_of(c);
    const int64_t share = tile % c->shares, first = tile / c->shares * c->wide;
    const int64_t size = z.to * z.deep, end = (share + 1) * c->tile_lines;
    gemm_shape s = product(c, &z);

    s.m = first + c->wide < z.to ? c->wide : z.to - first;
    for (int64_t g = 0; g < c->v.groups; g++) {
        double *out = (double *)m->out + (share * c->v.groups + g) * size + first * z.deep;
        memset(out, 0, (size_t)(s.m * z.deep) * sizeof *out);
        s.acc = true;
        for (int64_t n = share * c->tile_lines; n < end && n < c->lines; n++) {
            const double *dy = (const double *)m->with + n * z.x.outs * conv_to(c);
            gather(c, &z, (const double *)m->in + g * z.from, n, work);
            gemm_f64(c->isa, &s, dy + g * z.to + first, work, out, after(work, &z));
        }
    }
}

void conv_put_f64(const conv *c, const void *sums, void *dw, int64_t first, int64_t last)
{
    const sizes z = sizes_of(c);

    for (int64_t o = first; o < last; o++) {
        for (int64_t n = 0; n < z.deep; n++) {
            const double *at = (const double *)sums + o * z.deep + n % z.area * z.from + n / z.area;
            double *to = (double *)dw + o * z.deep + n, sum = c->acc ? *to : 0;
            for (int64_t s = 0; s < c->shares; s++) sum += at[s * conv_to(c) * z.deep];
            *to = sum;
        }
    }
}
