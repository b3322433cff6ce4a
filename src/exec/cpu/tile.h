/* Kernels over a small block of rows that lie one after another: what a group needs beside ew.h.
 * One table an instruction set and type, from one source (tile_isa.c). */
#ifndef TILE_H
#define TILE_H
#include "exec/cpu/ew.h"

typedef struct tile_fns {
    void (*spread_cols)(int64_t rows, int64_t cols, void *y, const void *a); /* y[r][c] = a[c] */
    void (*spread_rows)(int64_t rows, int64_t cols, void *y, const void *a); /* y[r][c] = a[r] */
    void (*onehot)(int64_t rows, int64_t cols, void *y, const int32_t *index, int64_t first_col);
    void (*add_rows)(int64_t rows, int64_t cols, void *y,
                     const void *a); /* y[c] += sum_r a[r][c] */
    void (*row_sums)(int64_t rows, int64_t cols, double *y,
                     const void *a); /* y[r] += sum_c a[r][c] */
    void (*row_maxs)(int64_t rows, int64_t cols, void *y, const void *a); /* NaN if any is */
    void (*minus_rows)(int64_t rows, int64_t cols, void *y, const void *a,
                       const void *b); /* a[r][c] - b[r] */
} tile_fns;

const tile_fns *tile_get(cpu_isa isa, dtype t); /* F32, F64 */
#endif
