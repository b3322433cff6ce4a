/* Where a window's taps look: for convolutions and pooling. */
#ifndef BODY_WINDOW_H
#define BODY_WINDOW_H
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/kernel/kernel_args.h"

enum { FEW_SIDE = 32, FEW_ROWS = GPU_THREADS / FEW_SIDE }; /* body_few.h */
enum { CONV_NOWHERE = -(1 << 30) }; /* a pixel that no tap brings into an image */

/* An element of a convolution's sum: a tap, a channel of its group; channels run fastest. */
typedef struct conv_tap {
    int32_t y, x, c;
} conv_tap;

/* Element number n. */
GPU_BODY conv_tap conv_tap_of(int32_t n, int32_t channels, int32_t kw)
{
    const int32_t deep = channels > 0 ? channels : 1, wide = kw > 0 ? kw : 1;
    const conv_tap p = {n / deep / wide, n / deep % wide, n % deep};

    return p;
}

/* The element `by` further on. */
GPU_BODY void conv_next_tap(conv_tap *p, conv_tap by, int32_t channels, int32_t kw)
{
    p->c += by.c, p->x += by.x, p->y += by.y;
    if (p->c >= channels) p->c -= channels, p->x++;
    if (p->x >= kw) p->x -= kw, p->y++;
}

/* The next tap. */
GPU_BODY void conv_next(conv_tap *p, int32_t kw)
{
    if (++p->x < kw) return;
    p->x = 0;
    p->y++;
}

/* Along one axis, the image's pixels with (pixel + pad) % stride = phase: pixel + j * stride,
 * j < pixels. They all are under the same taps, first + j * step, j < taps, of result pixels that
 * follow each other backwards, `back` apart. */
typedef struct conv_phase {
    int32_t pixel, pixels, first, step, taps, back;
} conv_phase;

GPU_BODY conv_phase conv_phase_of(int32_t phase, int32_t size, int32_t kernel, int32_t stride,
                                  int32_t dilation, int32_t pad)
{
    int32_t common = stride, other = dilation; /* their greatest common divisor */
    conv_phase p = {0, 0, 0, 0, 0, 0};

    while (other > 0) {
        const int32_t left = common % other;
        common = other, other = left;
    }
    p.pixel = ((phase - pad) % stride + stride) % stride;
    if (p.pixel < size) p.pixels = (size - p.pixel + stride - 1) / stride;
    p.step = stride / common, p.back = dilation / common;
    while (p.first < p.step && p.first * dilation % stride != phase) p.first++;
    if (p.first < p.step && p.first < kernel) p.taps = (kernel - p.first + p.step - 1) / p.step;
    return p;
}

/* Pixels of all images in one phase of both axes, at most. */
GPU_BODY int64_t conv_phase_rows(const window_args *v)
{
    return v->n * ((v->h + v->stride_h - 1) / v->stride_h) *
           ((v->w + v->stride_w - 1) / v->stride_w);
}

/* From a window's corner (y, x) to the pixel under a tap; false: there is none. */
GPU_BODY bool conv_at(const window_args *v, const conv_tap *p, int32_t *y, int32_t *x)
{
    *y += p->y * v->dilation_h, *x += p->x * v->dilation_w;
    return p->y < v->kh && *y >= 0 && *y < v->h && *x >= 0 && *x < v->w;
}

/* From an image's pixel, its padding added, to the pixel of the result whose tap looks at it. */
GPU_BODY bool conv_at_back(const window_args *v, const conv_tap *p, int32_t *y, int32_t *x)
{
    const int32_t at_y = *y - p->y * v->dilation_h, at_x = *x - p->x * v->dilation_w;

    *y = at_y / v->stride_h, *x = at_x / v->stride_w;
    return p->y < v->kh && at_y >= 0 && at_x >= 0 && *y * v->stride_h == at_y && *y < v->oh &&
           *x * v->stride_w == at_x && *x < v->ow;
}

/* Where element i of images [n, h, w, c] lies. */
typedef struct pool_place {
    int64_t n, c;
    int32_t y, x;
} pool_place;

GPU_BODY pool_place pool_place_of(int64_t i, int64_t h, int64_t w, int64_t c)
{
    pool_place p;
    int64_t y, x;

    p.n = divide(divide(divide(i, c, &p.c), w, &x), h, &y);
    p.y = (int32_t)y, p.x = (int32_t)x;
    return p;
}
#endif
