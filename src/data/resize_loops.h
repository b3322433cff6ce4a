/* The inner loops of resize.c, compiled once an instruction set. Weights are of 14 bits, not
 * negative, and sum to 1 << 14. Threads: pure functions. */
#ifndef RESIZE_LOOPS_H
#define RESIZE_LOOPS_H
#include <stddef.h>
#include <stdint.h>

enum { RESIZE_BITS = 14, RESIZE_BLOCK = 64 };

/* Which pixels of the source an output pixel is made of. */
typedef struct resize_tap {
    int32_t first, count, weight; /* weight: place of its first weight */
} resize_tap;

typedef struct resize_loops {
    /* out[i] = sum_k w[k] in[k stride + i], i < n; in and out have room to the next multiple of
     * RESIZE_BLOCK. */
    void (*rows)(const uint8_t *in, size_t stride, const int16_t *w, int32_t taps, int32_t n,
                 uint8_t *out);
    /* One row: pixel i of out from pixels of in; 4 bytes of each pixel are read. */
    void (*columns)(const uint8_t *in, const resize_tap *tap, const int16_t *w, int32_t n,
                    uint8_t *out);
} resize_loops;

extern const resize_loops resize_loops_portable, resize_loops_avx2, resize_loops_avx512;
#endif
