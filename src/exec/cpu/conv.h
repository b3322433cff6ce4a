/* Convolutions of images [n, h, w, channels] with weights [co, ci/groups, kh, kw] (PyTorch's order
 * in memory), geometry in tensor/window.h, and the gradients of <dy, y>:
 *
 *   CONV_Y    y [n, oh, ow, co] = conv(x, w)
 *   CONV_DX  dx [n, h, w, ci]   the gradient to x, from dy and w
 *   CONV_DW  dw [co, ...]       the gradient to w, from x and dy
 *
 * Y and DX: pack the weights once, then compute lines (a line is a row of pixels of one image; line
 * i*oh + r is row r of image i) in any ranges, on any threads. A line's bits depend on the
 * convolution only, never on the range or on n.
 * DW: each of `tiles` sums up its share of the lines and channels into its own place of `sums`;
 * then conv_put adds the shares in order. Cuts are fixed by the shape, so bits do not depend on the
 * number of threads. F32 sums in F32, in strips; F64 is for proof.
 *
 *   conv c = {.op = CONV_Y, .type = F32, .isa = isa, .n = 8, .ci = 3, .co = 16, .v = window};
 *   conv_prepare(&c);                               then get c.packed and c.work bytes
 *   conv_pack(&c, w, packed, work);
 *   conv_run(&c, &(conv_memory){x, packed, y}, 0, c.lines, work);
 */
#ifndef CONV_H
#define CONV_H
#include "exec/cpu/gemm.h"
#include "tensor/window.h"

typedef enum conv_op { CONV_Y, CONV_DX, CONV_DW } conv_op;

typedef struct conv {
    conv_op op;
    dtype type; /* F32, F64 */
    cpu_isa isa;
    int64_t n, ci, co; /* images, channels of x and of y: multiples of v.groups */
    window v;
    bool acc; /* add to what is there */
    /* Filled by conv_prepare: */
    int64_t lines;        /* of the result; DW: of dy */
    int64_t tile_lines;   /* a fair piece of work, fixed by shape */
    int64_t tiles;        /* Y, DX: lines / tile_lines, rounded up; DW: shares x slices */
    int64_t shares, wide; /* DW: cuts of the lines; output channels of a slice */
    size_t packed, sums;  /* bytes: packed weights (Y, DX); all sums (DW) */
    size_t work;          /* bytes of scratch of one thread */
} conv;

/* in: x, dy, x; with: packed weights, packed weights, dy; out: where the first line of the range
 * goes (Y, DX), the sums (DW). All 64-byte aligned are fastest; the elements' own alignment does.
 */
typedef struct conv_memory {
    const void *in, *with;
    void *out;
} conv_memory;

void conv_prepare(conv *c);
/* `work`: c->work bytes, 64-byte aligned, as are packed weights and sums. */
void conv_pack(const conv *c, const void *w, void *packed, void *work);
/* Lines from <= i < to. */
void conv_run(const conv *c, const conv_memory *m, int64_t from, int64_t to, void *work);
void conv_dw_tile(const conv *c, const conv_memory *m, int64_t tile, void *work);
/* dw for output channels from <= i < to. */
void conv_put(const conv *c, const void *sums, void *dw, int64_t from, int64_t to);
#endif
