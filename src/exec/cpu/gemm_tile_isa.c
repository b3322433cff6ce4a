/* The micro-kernels of the F32 product: a tile of C stays in registers while p runs along k.
 * Written once; one function
 * for each tile size, so that the compiler can keep every sum in a register. */
#if defined(ISA_IS_avx2) && !defined(__clang__)
#pragma GCC optimize(                                                                              \
    "ira-algorithm=priority") /* gcc 12's other way spills two sums of sixteen registers' worth */
#endif
#include "exec/cpu/gemm_f32.h"

#if defined(ISA_IS_avx512)
enum { ROWS_MAX = TILE_ROWS_1, DEEP = 1 };
#else
enum {
    ROWS_MAX = TILE_ROWS_1,
    DEEP = 4
}; /* steps of p a turn: counting would cost a sixth of the issue slots */
#endif

/* The last vectors of a tile that ends inside them. */
UNCHECKED static void put_tails(float *c, int64_t c_step, int rows, int tail, const float *last)
{
    for (int i = 0; i < rows; i++) vf_store_n(c + i * c_step, vf_load(last + i * VL), tail);
}

UNCHECKED INLINE void finish(const gemm_tile *t, float *c, int rows, int vecs,
                             vf sum[ROWS_MAX][VECS_MAX])
{
    float last[ROWS_MAX * VL];
    bool part = t->tail < VL;
    float *ends = part ? last : c + (vecs - 1) * VL;
    const int64_t step = part ? VL : t->c_step;

    if (t->acc) {
        UNROLL for (int i = 0; i < rows; i++)
        {
            const float *at = c + i * t->c_step;
            UNROLL for (int v = 0; v < vecs - 1; v++) sum[i][v] += vf_load(at + v * VL);
            at += (vecs - 1) * VL;
            sum[i][vecs - 1] += part ? vf_load_n(at, t->tail) : vf_load(at);
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int v = 0; v < vecs - 1; v++) vf_store(c + i * t->c_step + v * VL, sum[i][v]);
        vf_store(ends + i * step, sum[i][vecs - 1]);
    }
    if (part) put_tails(c + (vecs - 1) * VL, t->c_step, rows, t->tail, last);
}

/* One p: sum += a(:, p) b(p, :), with b(p, :) at b and a(i, p) at a[i * apart]. */
UNCHECKED INLINE void step(const float *a, int64_t apart, const float *b, int rows, int vecs,
                           vf sum[ROWS_MAX][VECS_MAX])
{
    vf row[VECS_MAX];

    UNROLL for (int v = 0; v < vecs; v++) row[v] = vf_pin(vf_load(b + v * VL));
    UNROLL for (int i = 0; i < rows; i++)
    {
        vf x = vf_set(a[i * apart]);
        if (vecs == 1) sum[i][0] = vf_fma_splat_here(a + i * apart, row[0], sum[i][0]);
        else UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = vf_fma_here(x, row[v], sum[i][v]);
    }
}

UNCHECKED INLINE void tiles(const gemm_tile *t, int rows, int vecs, bool by_col, bool packed)
{
    const float *a_tile = t->a;
    float *c = t->c;
    const int64_t k = t->k, apart = by_col ? 1 : t->a_step;
    const int64_t a_step = by_col ? t->a_step : 1, b_step = packed ? vecs * VL : t->b_step;

    for (int n = 0; n < t->tiles; n++, c += rows * t->c_step) {
        vf sum[ROWS_MAX][VECS_MAX];

        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] =
            vf_pin(vf_zero());
        AS_IT_IS for (int64_t s = 0; s < t->pieces; s++)
        {
            const float *a = a_tile + t->piece[s].a, *b = t->b + t->piece[s].b;
            int64_t p = 0;
            AS_IT_IS for (; p + DEEP <= k; p += DEEP)
                UNROLL for (int q = 0; q < DEEP; q++, a += a_step, b += b_step)
                    step(a, apart, b, rows, vecs, sum);
            AS_IT_IS for (; p < k; p++, a += a_step, b += b_step)
                step(a, apart, b, rows, vecs, sum);
        }
        finish(t, c, rows, vecs, sum);
        a_tile += t->a_tile;
    }
}

#define UP_TO_4(X, v) X(1, v) X(2, v) X(3, v) X(4, v)
#define UP_TO_6(X, v) UP_TO_4(X, v) X(5, v) X(6, v)
#define UP_TO_9(X, v) UP_TO_6(X, v) X(7, v) X(8, v) X(9, v)
#define UP_TO_14(X, v) UP_TO_9(X, v) X(10, v) X(11, v) X(12, v) X(13, v) X(14, v)
#if defined(ISA_IS_avx512)
#define EACH_TILE(X) UP_TO_14(X, 1) UP_TO_14(X, 2) UP_TO_9(X, 3)
#else
#define EACH_TILE(X) UP_TO_6(X, 1) UP_TO_6(X, 2) UP_TO_4(X, 3)
#endif

typedef void tile_fn(const gemm_tile *t);

#define DEFINE(r, v)                                                                               \
    UNCHECKED static void rows_loose_##r##x##v(const gemm_tile *t)                                 \
    {                                                                                              \
        tiles(t, r, v, false, false);                                                              \
    }                                                                                              \
    UNCHECKED static void rows_packed_##r##x##v(const gemm_tile *t)                                \
    {                                                                                              \
        tiles(t, r, v, false, true);                                                               \
    }                                                                                              \
    UNCHECKED static void cols_loose_##r##x##v(const gemm_tile *t)                                 \
    {                                                                                              \
        tiles(t, r, v, true, false);                                                               \
    }                                                                                              \
    UNCHECKED static void cols_packed_##r##x##v(const gemm_tile *t)                                \
    {                                                                                              \
        tiles(t, r, v, true, true);                                                                \
    }
EACH_TILE(DEFINE)

void gemm_tile_run(const gemm_tile *t, int rows, int vecs)
{
#define ENTRY(r, v)                                                                                \
    [v - 1][r - 1] = {{rows_loose_##r##x##v, rows_packed_##r##x##v},                               \
                      {cols_loose_##r##x##v, cols_packed_##r##x##v}},
    static tile_fn *const table[VECS_MAX][ROWS_MAX][2][2] = {EACH_TILE(ENTRY)};

    table[vecs - 1][rows - 1][t->by_col][t->b_step == vecs * VL](t);
}
