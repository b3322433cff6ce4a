/* The micro-kernels of the F32 product: a tile of C stays in registers while p runs along k. Written once; one function
 * for each tile size, so that the compiler can keep every sum in a register. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("ira-algorithm=priority") /* gcc 12's other way spills two sums of sixteen registers' worth */
#endif
#include "exec/cpu/gemm_f32.h"

#if defined(ISA_IS_avx512)
enum { ROWS_MAX = TILE_ROWS_1, DEEP = 1 };
#else
enum { ROWS_MAX = TILE_ROWS_1, DEEP = 4 }; /* steps of p a turn: counting would cost a sixth of the issue slots */
#endif

/* The rest of a tile that is added to C or ends inside a vector. */
UNCHECKED static void put_slowly(const gemm_tile *t, int rows, int vecs, const float *sum)
{
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < vecs; v++, sum += VL) {
            float *at = t->c + i * t->c_step + v * VL;
            bool part = v == vecs - 1 && t->tail < VL;
            vf x = vf_load(sum);
            if (part) vf_store_n(at, t->acc ? vf_load_n(at, t->tail) + x : x, t->tail);
            else vf_store(at, t->acc ? vf_load(at) + x : x);
        }
    }
}

UNCHECKED INLINE void finish(const gemm_tile *t, int rows, int vecs, vf sum[ROWS_MAX][VECS_MAX])
{
    float all[ROWS_MAX * VECS_MAX * VL];
    bool plain = !t->acc && t->tail == VL;
    float *out = plain ? t->c : all;
    const int64_t step = plain ? t->c_step : vecs * VL;

    UNROLL for (int i = 0; i < rows; i++, out += step)
        UNROLL for (int v = 0; v < vecs; v++) vf_store(out + v * VL, sum[i][v]);
    if (!plain) put_slowly(t, rows, vecs, all);
}

/* One p: sum += a(:, p) b(p, :), with b(p, :) at b and a(i, p) at a[i * apart]. */
UNCHECKED INLINE void step(const float *a, int64_t apart, const float *b, int rows, int vecs, vf sum[ROWS_MAX][VECS_MAX])
{
    vf row[VECS_MAX];

    UNROLL for (int v = 0; v < vecs; v++) row[v] = vf_pin(vf_load(b + v * VL));
    UNROLL for (int i = 0; i < rows; i++) {
        vf x = vf_set(a[i * apart]);
        UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = vf_fma_here(x, row[v], sum[i][v]);
    }
}

UNCHECKED INLINE void tile(const gemm_tile *t, int rows, int vecs, bool by_col, bool packed)
{
    vf sum[ROWS_MAX][VECS_MAX];
    const float *a = t->a, *b = t->b;
    const int64_t k = t->k, apart = by_col ? 1 : t->a_step;
    const int64_t a_step = by_col ? rows : 1, b_step = packed ? vecs * VL : t->b_step;
    int64_t p = 0;

    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = vf_pin(vf_zero());
    for (; p + DEEP <= k; p += DEEP)
        UNROLL for (int q = 0; q < DEEP; q++, a += a_step, b += b_step) step(a, apart, b, rows, vecs, sum);
    for (; p < k; p++, a += a_step, b += b_step) step(a, apart, b, rows, vecs, sum);
    finish(t, rows, vecs, sum);
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

#define DEFINE(r, v) \
    UNCHECKED static void rows_loose_##r##x##v(const gemm_tile *t) { tile(t, r, v, false, false); } \
    UNCHECKED static void rows_packed_##r##x##v(const gemm_tile *t) { tile(t, r, v, false, true); } \
    UNCHECKED static void cols_loose_##r##x##v(const gemm_tile *t) { tile(t, r, v, true, false); } \
    UNCHECKED static void cols_packed_##r##x##v(const gemm_tile *t) { tile(t, r, v, true, true); }
EACH_TILE(DEFINE)

void gemm_tile_run(const gemm_tile *t, int rows, int vecs)
{
#define ENTRY(r, v) \
    [v - 1][r - 1] = {{rows_loose_##r##x##v, rows_packed_##r##x##v}, \
                      {cols_loose_##r##x##v, cols_packed_##r##x##v}},
    static tile_fn *const table[VECS_MAX][ROWS_MAX][2][2] = {EACH_TILE(ENTRY)};

    table[vecs - 1][rows - 1][t->by_col][t->b_step == vecs * VL](t);
}
