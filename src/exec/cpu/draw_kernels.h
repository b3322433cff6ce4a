/* Random numbers of many elements (draw_isa.c), one function an instruction set. */
#ifndef DRAW_KERNELS_H
#define DRAW_KERNELS_H
#include "base/rng.h"
#include "exec/cpu/ew_isa.h"

/* y[i] = rng_uniform_f32(k, first + i) */
typedef void draw_uniform_fn(rng_key k, uint64_t first, int64_t n, float *y);
draw_uniform_fn draw_uniform_portable, draw_uniform_avx2, draw_uniform_avx512;
#endif
