/* Pooling of one row of results (pool_isa.c): one table an instruction set and type. */
#ifndef POOL_KERNELS_H
#define POOL_KERNELS_H
#include "exec/cpu/ew_isa.h"
#include "tensor/window.h"

enum { POOL_BLOCK = 256 }; /* elements whose largest so far stay nearby */

typedef struct pool_row {
    const window *v;
    int64_t y, w, c; /* row; its pixels, channels */
    int64_t image;   /* elements before the image, for max_row's indices */
    /* Where element j of a block of `pixels` pixels beside each other begins: its own channel of
     * the first pixel under its window. 0 pixels: not in use. */
    int32_t begin[POOL_BLOCK];
    int64_t pixels;
} pool_row;

typedef struct pool_fns {
    void (*sum)(const pool_row *p, const void *image, void *row);
    void (*spread)(const pool_row *p, void *image, const void *row); /* adds to the image */
    void (*max)(const pool_row *p, const void *image, int32_t *row); /* where the largest are */
} pool_fns;

#define POOL_DECLARE(isa) extern const pool_fns pool_f32_##isa, pool_f64_##isa;
POOL_DECLARE(portable)
POOL_DECLARE(avx2)
POOL_DECLARE(avx512)
#endif
