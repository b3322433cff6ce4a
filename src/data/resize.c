/* Weights, then rows, then columns. A row is made of whole rows of the source, so that its loop
 * runs over neighbours in memory; columns follow on the rows that are left. */
#include "data/resize.h"
#include "data/resize_loops.h"
#include <math.h>
#include <string.h>

enum { PIXEL = 3, ONE = 1 << RESIZE_BITS };

struct resize {
    drmad_ctx *ctx;
    const resize_loops *loops;
    resize_tap *tap[2]; /* rows, columns */
    int16_t *weight[2];
    double *exact; /* of one output pixel */
    size_t tap_room, weight_room[2], exact_room;
    uint8_t *row; /* between the passes */
    size_t row_room;
};

static const resize_loops *loops_best(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return &resize_loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &resize_loops_avx2;
#endif
    return &resize_loops_portable;
}

drmad_status resize_new(drmad_ctx *ctx, resize **out)
{
    const drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st != DRMAD_OK) return st;
    (*out)->ctx = ctx;
    (*out)->loops = loops_best();
    return DRMAD_OK;
}

void resize_free(resize *r)
{
    if (!r) return;
    for (int i = 0; i < 2; i++) {
        mem_free(r->ctx, r->tap[i]);
        mem_free(r->ctx, r->weight[i]);
    }
    mem_free(r->ctx, r->exact);
    mem_free(r->ctx, r->row);
    mem_free(r->ctx, r);
}

/* Room for `n` elements; what was there is forgotten. */
static drmad_status grow(resize *r, void *ptr_ptr, size_t *room, size_t n, size_t size)
{
    void **p = ptr_ptr;

    if (n <= *room) return DRMAD_OK;
    mem_free(r->ctx, *p);
    *p = NULL, *room = 0;
    const drmad_status st = mem_alloc(r->ctx, n, size, p);
    if (st == DRMAD_OK) *room = n;
    return st;
}

/* The weights of one output pixel as integers that sum to ONE: what rounding leaves goes to the
 * largest. */
static void round_weights(const double *exact, int32_t n, double sum, int16_t *out)
{
    int32_t left = ONE, largest = 0;

    for (int32_t k = 0; k < n; k++) {
        out[k] = (int16_t)lrint(exact[k] / sum * ONE);
        left -= out[k];
        if (exact[k] > exact[largest]) largest = k;
    }
    out[largest] = (int16_t)(out[largest] + left);
}

/* Taps of `side` output pixels over the window [from, from + length) of an axis, counted from the
 * window's first whole pixel. */
static drmad_status plan(resize *r, int axis, double from, double length, int32_t side)
{
    const double step = length / side, reach = step > 1 ? step : 1, base = floor(from);
    const int32_t all = (int32_t)(ceil(from + length) - base);
    const size_t most = (size_t)(2 * reach) + 3;
    drmad_status st;

    TRY(grow(r, &r->weight[axis], &r->weight_room[axis], most * (size_t)side, sizeof(int16_t)));
    TRY(grow(r, &r->exact, &r->exact_room, most, sizeof(double)));
    for (int32_t i = 0; i < side; i++) {
        const double at = from - base + (i + .5) * step;
        const int32_t low = (int32_t)fmax(0, floor(at - reach + .5));
        const int32_t high = (int32_t)fmin(all, floor(at + reach + .5));
        resize_tap *t = &r->tap[axis][i];
        double sum = 0;

        *t = (resize_tap){low, high - low, i * (int32_t)most};
        for (int32_t k = 0; k < t->count; k++) {
            r->exact[k] = fmax(0, 1 - fabs(low + k + .5 - at) / reach);
            sum += r->exact[k];
        }
        round_weights(r->exact, t->count, sum, r->weight[axis] + t->weight);
    }
done:
    return st;
}

static drmad_status plan_both(resize *r, const resize_from *f, int32_t side)
{
    drmad_status st = DRMAD_OK;
    size_t room = r->tap_room;

    TRY(grow(r, &r->tap[0], &room, (size_t)side, sizeof **r->tap));
    TRY(grow(r, &r->tap[1], &r->tap_room, (size_t)side, sizeof **r->tap));
    TRY(plan(r, 0, f->y, f->h, side));
    TRY(plan(r, 1, f->x, f->w, side));
done:
    return st;
}

static void mirror_taps(resize_tap *t, int32_t n)
{
    for (int32_t i = 0; i < n / 2; i++) {
        const resize_tap other = t[i];
        t[i] = t[n - 1 - i], t[n - 1 - i] = other;
    }
}

drmad_status resize_run(resize *r, const resize_from *f, int32_t side, bool mirror, uint8_t *out)
{
    const int32_t left = (int32_t)floor(f->x), right = (int32_t)ceil(f->x + f->w);
    const int32_t n = (right - left) * PIXEL;
    const uint8_t *from = f->at + (size_t)floor(f->y) * f->stride + (size_t)left * PIXEL;
    drmad_status st;

    TRY(plan_both(r, f, side));
    TRY(grow(r, &r->row, &r->row_room, (size_t)n + 2 * RESIZE_BLOCK, 1));
    if (mirror) mirror_taps(r->tap[1], side);
    for (int32_t y = 0; y < side; y++, out += (size_t)side * PIXEL) {
        const resize_tap *t = &r->tap[0][y];

        r->loops->rows(from + (size_t)t->first * f->stride, f->stride, r->weight[0] + t->weight,
                       t->count, n, r->row);
        r->loops->columns(r->row, r->tap[1], r->weight[1], side, out);
    }
done:
    return st;
}
