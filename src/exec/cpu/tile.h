/* Kernels over a small block of rows that lie one after another: what a group needs beside ew.h.
 * One table an instruction set and type, from one source (tile_isa.c). */
#ifndef TILE_H
#define TILE_H
#include "exec/cpu/ew.h"

typedef struct tile_fns {
    /* y[i] = s a[i] */
    void (*scale_u8)(int64_t n, void *y, const uint8_t *a, double s);
    /* y[r][c] = a[c];  y[r][c] = a[r];  y[r][c] = index[r] == first + c */
    void (*spread_cols)(int64_t rows, int64_t cols, void *y, const void *a);
    void (*spread_rows)(int64_t rows, int64_t cols, void *y, const void *a);
    void (*onehot)(int64_t rows, int64_t cols, void *y, const int32_t *index, int64_t first);
    /* y[c] += sum_r a[r][c] b[r][c];  y[r] += sum_c a[r][c] b[r][c];  b may be NULL: ones */
    void (*add_rows)(int64_t rows, int64_t cols, void *y, const void *a, const void *b);
    void (*row_sums)(int64_t rows, int64_t cols, double *y, const void *a, const void *b);
    /* y[r] = max_c a[r][c], NaN if any is;  y[r][c] = a[r][c] - b[r] */
    void (*row_maxs)(int64_t rows, int64_t cols, void *y, const void *a);
    void (*minus_rows)(int64_t rows, int64_t cols, void *y, const void *a, const void *b);
} tile_fns;

const tile_fns *tile_get(cpu_isa isa, dtype t); /* F32, F64 */
#endif
