/* Kernels over blocks of rows, in both types. Sums keep the order of the elements, in four
 * lanes. */
#include "exec/cpu/tile_kernels.h"

#define TYPED(real, name)                                                                          \
    static void name##_spread_cols(int64_t rows, int64_t cols, void *y_, const void *a_)           \
    {                                                                                              \
        real *restrict y = y_;                                                                     \
        const real *restrict a = a_;                                                               \
        for (int64_t r = 0; r < rows; r++, y += cols)                                              \
            for (int64_t c = 0; c < cols; c++) y[c] = a[c];                                        \
    }                                                                                              \
    static void name##_spread_rows(int64_t rows, int64_t cols, void *y_, const void *a_)           \
    {                                                                                              \
        real *restrict y = y_;                                                                     \
        const real *restrict a = a_;                                                               \
        for (int64_t r = 0; r < rows; r++, y += cols)                                              \
            for (int64_t c = 0; c < cols; c++) y[c] = a[r];                                        \
    }                                                                                              \
    static void name##_onehot(int64_t rows, int64_t cols, void *y_, const int32_t *index,          \
                              int64_t first)                                                       \
    {                                                                                              \
        real *restrict y = y_;                                                                     \
        for (int64_t i = 0; i < rows * cols; i++) y[i] = 0;                                        \
        for (int64_t r = 0; r < rows; r++) {                                                       \
            const int64_t c = index[r] - first;                                                    \
            if (c >= 0 && c < cols) y[r * cols + c] = 1;                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_add_rows(int64_t rows, int64_t cols, void *y_, const void *a_)              \
    {                                                                                              \
        real *restrict y = y_;                                                                     \
        const real *restrict a = a_;                                                               \
        for (int64_t r = 0; r < rows; r++, a += cols)                                              \
            for (int64_t c = 0; c < cols; c++) y[c] += a[c];                                       \
    }                                                                                              \
    static void name##_row_sums(int64_t rows, int64_t cols, double *y, const void *a_)             \
    {                                                                                              \
        const real *a = a_;                                                                        \
        for (int64_t r = 0; r < rows; r++, a += cols) {                                            \
            double s[4] = {0};                                                                     \
            int64_t c = 0;                                                                         \
            for (; c + 4 <= cols; c += 4)                                                          \
                for (int k = 0; k < 4; k++) s[k] += (double)a[c + k];                              \
            for (; c < cols; c++) s[c & 3] += (double)a[c];                                        \
            y[r] += (s[0] + s[2]) + (s[1] + s[3]);                                                 \
        }                                                                                          \
    }                                                                                              \
    static void name##_row_maxs(int64_t rows, int64_t cols, void *y_, const void *a_)              \
    {                                                                                              \
        real *y = y_;                                                                              \
        const real *a = a_;                                                                        \
        for (int64_t r = 0; r < rows; r++, a += cols) {                                            \
            real m = a[0];                                                                         \
            for (int64_t c = 1; c < cols; c++) m = a[c] > m || a[c] != a[c] ? a[c] : m;            \
            y[r] = m;                                                                              \
        }                                                                                          \
    }                                                                                              \
    static void name##_minus_rows(int64_t rows, int64_t cols, void *y_, const void *a_,            \
                                  const void *b_)                                                  \
    {                                                                                              \
        real *y = y_;                                                                              \
        const real *a = a_, *b = b_;                                                               \
        for (int64_t r = 0; r < rows; r++, a += cols, y += cols)                                   \
            for (int64_t c = 0; c < cols; c++) y[c] = a[c] - b[r];                                 \
    }                                                                                              \
    const tile_fns EW_ISA(tile_##name) = {                                                         \
        name##_spread_cols, name##_spread_rows, name##_onehot,     name##_add_rows,                \
        name##_row_sums,    name##_row_maxs,    name##_minus_rows,                                 \
    };

TYPED(float, f32)
TYPED(double, f64)
