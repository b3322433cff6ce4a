/* What is common to all kernels of a convolution: its geometry, its cuts, and who computes it. */
#include "exec/cpu/conv_geometry.h"
#include "exec/cpu/conv_kernels.h"

/* The function of that name for the type and instruction set of `c`. */
#define PICK(name, c)                                                                              \
    ((c)->type == F64         ? name##_f64                                                         \
     : (c)->isa == ISA_AVX512 ? name##_avx512                                                      \
     : (c)->isa == ISA_AVX2   ? name##_avx2                                                        \
                              : name##_portable)

/* ---- geometry ---- */

int64_t conv_taps(const conv *c, int axis, int64_t phase, int64_t *k, int64_t *at)
{
    const int64_t taps = c->v.kernel[axis], d = c->v.dilation[axis], p = c->v.pad[axis];
    int64_t count = 0;

    for (int64_t i = 0; i < taps; i++) {
        const int64_t tap = c->op == CONV_DX ? taps - 1 - i : i;
        const int64_t from = phase + p - tap * d;
        if (c->op != CONV_DX) {
            at[count] = tap * d - p;
        } else {
            if (from % c->v.stride[axis] != 0) continue;
            at[count] = from / c->v.stride[axis];
        }
        k[count++] = tap;
    }
    return count;
}

/* The first and last tap of a phase, without a list; false when it has none. */
static bool reach(const conv *c, int axis, int64_t phase, int64_t out[2])
{
    const int64_t taps = c->v.kernel[axis], d = c->v.dilation[axis], p = c->v.pad[axis];
    const int64_t s = c->v.stride[axis];
    bool any = false;

    if (c->op != CONV_DX) {
        out[0] = -p, out[1] = (taps - 1) * d - p;
        return true;
    }
    for (int64_t k = 0; k < taps; k++) {
        if ((phase + p - k * d) % s != 0) continue;
        out[0] = (phase + p - k * d) / s;
        if (!any) out[1] = out[0];
        any = true;
    }
    return any;
}

conv_axis conv_axis_of(const conv *c, int axis)
{
    const bool back = c->op == CONV_DX;
    const int64_t in = c->v.size[axis], out = window_out(&c->v, axis);
    conv_axis x = {.outs = back ? in : out,
                   .ins = back ? out : in,
                   .phases = back ? c->v.stride[axis] : 1,
                   .step = back ? 1 : c->v.stride[axis]};
    int64_t first = INT64_MAX, last = INT64_MIN, at[2] = {0};

    for (int64_t q = 0; q < x.phases && q < x.outs; q++) {
        if (!reach(c, axis, q, at)) continue;
        const int64_t end = at[1] + (conv_phase_outs(&x, q) - 1) * x.step + 1;
        if (at[0] < first) first = at[0];
        if (at[1] > last) last = at[1];
        if (end > x.high || x.span == 0) x.high = end;
        x.span = last - first + 1;
    }
    x.low = x.span ? first : 0;
    return x;
}

/* ---- cuts ---- */

enum { TILE_MACS = 4 << 20, SHARES_MAX = 16, SUMS_MAX = 1 << 20, SLICE = 64 };

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Whole images, or else a part of one. */
static int64_t fair_lines(const conv *c, int64_t line_macs, int64_t image)
{
    int64_t lines = TILE_MACS / (line_macs + 1) + 1;

    if (lines >= image) lines = lines / image * image;
    else lines = up(image, up(image, lines));
    return at_most(lines, c->lines > 0 ? c->lines : 1);
}

static void cut_dw(conv *c, int64_t line_macs, int64_t image)
{
    const int64_t elements = conv_area(c) * c->ci * (c->co / c->v.groups);
    const int64_t wish = 1 + at_most(c->lines * line_macs / TILE_MACS, SHARES_MAX - 1);
    const int64_t shares = at_most(at_most(wish, 1 + SUMS_MAX / (elements + 1)), c->n);
    int64_t each = up(c->n, shares > 0 ? shares : 1);

    c->tile_lines = each * image > 0 ? each * image : 1;
    c->shares = each > 0 ? up(c->n, each) : 1;
    if (c->shares < 1) c->shares = 1;
    const int64_t group = c->co / c->v.groups,
                  slices = at_most(up(wish, c->shares), up(group, SLICE));
    c->wide = up(up(group, slices), SLICE) * SLICE;
    c->tiles = c->shares * up(group, c->wide);
}

void conv_prepare(conv *c)
{
    const conv_axis y = conv_axis_of(c, 0), x = conv_axis_of(c, 1);
    const int64_t macs = x.outs * conv_area(c) * conv_from_group(c) * conv_to(c);

    c->lines = c->n * y.outs;
    if (c->op == CONV_DW) {
        cut_dw(c, macs, y.outs);
    } else {
        c->tile_lines = fair_lines(c, macs / (y.phases * x.phases), y.outs > 0 ? y.outs : 1);
        c->tiles = up(c->lines, c->tile_lines);
    }
    PICK(conv_sizes, c)(c);
}

/* ---- who computes ---- */

void conv_pack(const conv *c, const void *w, void *packed, void *work)
{
    PICK(conv_pack, c)(c, w, packed, work);
}

void conv_run(const conv *c, const conv_memory *m, int64_t from, int64_t to, void *work)
{
    PICK(conv_run, c)(c, m, from, to, work);
}

void conv_dw_tile(const conv *c, const conv_memory *m, int64_t tile, void *work)
{
    PICK(conv_dw_tile, c)(c, m, tile, work);
}

void conv_put(const conv *c, const void *sums, void *dw, int64_t from, int64_t to)
{
    PICK(conv_put, c)(c, sums, dw, from, to);
}
