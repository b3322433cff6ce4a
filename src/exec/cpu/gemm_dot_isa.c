/* The F32 product C = A B^T as dot products: both operands run along k, so nothing is packed or
 * transposed and no lane
 * is wasted on a narrow n. A tile of ROWS x COLS sums, each a vector, is added up across its lanes
 * at the end. */
#include "exec/cpu/gemm_f32.h"

#if defined(ISA_IS_avx512)
enum { ROWS = 6, COLS = 4 };
#else
enum { ROWS = 3, COLS = 4 };
#endif

/* The sums over the lanes of four vectors, in a fixed order. */
#if defined(ISA_IS_portable)
UNCHECKED INLINE void sum_lanes(const vf x[4], float *out)
{
    for (int i = 0; i < 4; i++) out[i] = (x[i][0] + x[i][2]) + (x[i][1] + x[i][3]);
}
#else
UNCHECKED INLINE __m256 fold(vf x)
{
#if defined(ISA_IS_avx512)
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
#else
    return x;
#endif
}

UNCHECKED INLINE void sum_lanes(const vf x[4], float *out)
{
    __m256 low = _mm256_hadd_ps(fold(x[0]), fold(x[1])),
           high = _mm256_hadd_ps(fold(x[2]), fold(x[3]));
    __m256 both = _mm256_hadd_ps(low, high);

    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1)));
}
#endif

UNCHECKED INLINE void step(const gemm_shape *s, const float *a, const float *b, int rows, int cols,
                           int live, vf sum[ROWS][COLS])
{
    vf x[ROWS];

    UNROLL for (int i = 0; i < rows; i++) x[i] =
        live < VL ? vf_load_n(a + i * s->lda, live) : vf_load(a + i * s->lda);
    UNROLL for (int j = 0; j < cols; j++)
    {
        vf y = live < VL ? vf_load_n(b + j * s->ldb, live) : vf_load(b + j * s->ldb);
        UNROLL for (int i = 0; i < rows; i++) sum[i][j] = vf_fma(x[i], y, sum[i][j]);
    }
}

UNCHECKED INLINE void tile(const gemm_shape *s, const float *a, const float *b, float *c, int rows,
                           int cols)
{
    vf sum[ROWS][COLS];
    int64_t p = 0;

    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int j = 0; j < COLS; j++) sum[i][j] =
        vf_zero();
    for (; p + VL <= s->k; p += VL) step(s, a + p, b + p, rows, cols, VL, sum);
    if (p < s->k) step(s, a + p, b + p, rows, cols, (int)(s->k - p), sum);
    UNROLL for (int i = 0; i < rows; i++, c += s->ldc)
    {
        float out[4];
        sum_lanes(sum[i], out);
        UNROLL for (int j = 0; j < cols; j++) c[j] = s->acc ? c[j] + out[j] : out[j];
    }
}

typedef void tile_fn(const gemm_shape *s, const float *a, const float *b, float *c);

#define ROW_OF(X, r) X(r, 1) X(r, 2) X(r, 3) X(r, 4)
#if defined(ISA_IS_avx512)
#define EACH_TILE(X) ROW_OF(X, 1) ROW_OF(X, 2) ROW_OF(X, 3) ROW_OF(X, 4) ROW_OF(X, 5) ROW_OF(X, 6)
#else
#define EACH_TILE(X) ROW_OF(X, 1) ROW_OF(X, 2) ROW_OF(X, 3)
#endif
#define DEFINE(r, n)                                                                               \
    UNCHECKED static void dot_##r##x##n(const gemm_shape *s, const float *a, const float *b,       \
                                        float *c)                                                  \
    {                                                                                              \
        tile(s, a, b, c, r, n);                                                                    \
    }
EACH_TILE(DEFINE)

/* COLS rows of B stay in the first-level cache while A runs past them. */
void gemm_dot(const gemm_shape *s, const float *a, const float *b, float *c)
{
#define ENTRY(r, n) [r - 1][n - 1] = dot_##r##x##n,
    static tile_fn *const table[ROWS][COLS] = {EACH_TILE(ENTRY)};

    even_cut across = cut_evenly(s->n, COLS), down = cut_evenly(s->m, ROWS);

    for (int64_t j = 0, cols; j < s->n; j += cols) {
        cols = run_at(across, j);
        for (int64_t i = 0, rows; i < s->m; i += rows) {
            rows = run_at(down, i);
            table[rows - 1][cols - 1](s, a + i * s->lda, b + j * s->ldb, c + i * s->ldc + j);
        }
    }
}
