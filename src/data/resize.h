/* Resampling of RGB pixels: bilinear, where it gets smaller with a triangle as wide as the
 * reduction, so that every pixel counts (what Pillow calls BILINEAR and torchvision antialias). In
 * integers: the same bits on every machine.
 *
 *   out(i) = sum_x w_i(x) in(x),  w_i(x) ~ max(0, 1 - |x + 1/2 - c_i| / s)
 *   c_i = from + (i + 1/2) length / n,  s = max(1, length / n)
 *
 * Only pixels inside the window [from, from + length) count. Weights have 14 bits and sum to 1;
 * rows first, then columns, each rounded to a byte. */
#ifndef RESIZE_H
#define RESIZE_H
#include "base/base.h"

typedef struct resize resize; /* memory, kept from call to call */
drmad_status resize_new(drmad_ctx *ctx, resize **out);
void resize_free(resize *r); /* NULL is fine */

/* Where the window lies in rows of `width` pixels, `stride` bytes apart; RESIZE_PAD bytes behind
 * the last row can be read too. */
enum { RESIZE_PAD = 64 };
typedef struct resize_from {
    const uint8_t *at;
    int32_t width, height;
    size_t stride;
    double x, y, w, h; /* the window, inside [0, width] x [0, height], not empty */
} resize_from;

/* u8 [side,side,3]; `mirror`: left and right swapped. */
drmad_status resize_run(resize *r, const resize_from *from, int32_t side, bool mirror,
                        uint8_t *out);
#endif
