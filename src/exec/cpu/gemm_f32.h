/* What the parts of the F32 product share inside one instruction set: gemm_f32_isa.c (blocks and
 * packing),
 * gemm_tile_isa.c (outer products), gemm_dot_isa.c (dot products along k). */
#ifndef GEMM_F32_H
#define GEMM_F32_H
#include "exec/cpu/gemm_isa.h"
#include "exec/cpu/simd.h"

/* Rows of the largest tile of 1, 2 and 3 vectors: the sums, the vectors of B and one element of A
 * fill the registers.
 * Panels are TILE_VECS wide where they can be. With 16 registers 4 x 3 takes the fewest
 * instructions for a multiply-add
 * (19 for 12; 6 x 2 takes 20), which decides where two threads share a core. */
#if defined(ISA_IS_avx512)
enum {
    TILE_ROWS_1 = 14,
    TILE_ROWS_2 = 14,
    TILE_ROWS_3 = 9,
    TILE_VECS = 2,
    TILE_ROWS = TILE_ROWS_2
};
#else
enum { TILE_ROWS_1 = 6, TILE_ROWS_2 = 6, TILE_ROWS_3 = 4, TILE_VECS = 3, TILE_ROWS = TILE_ROWS_3 };
#endif
enum { VECS_MAX = 3, PANEL_WIDE = VECS_MAX * VL };

/* `tiles` tiles below each other, each C (rows x vecs * VL, of which the last vector has `tail`
 * live columns) [+]= A B.
 * a(i, p) = a[i * a_step + p], or a[p * a_step + i] with by_col, the next tile's a_tile further on;
 * b(p, j) = b[p * b_step + j], anything beyond the live columns. The sum runs over `pieces` such
 * products, k long each, piece s with a + piece[s].a and b + piece[s].b. */
typedef struct gemm_piece {
    int64_t a, b;
} gemm_piece;

typedef struct gemm_tile {
    const float *a, *b;
    float *c;
    const gemm_piece *piece;
    int64_t pieces, k, a_step, a_tile, b_step, c_step;
    int tiles, tail;
    bool by_col, acc;
} gemm_tile;

/* Micro-kernels are compiled as they are: instrumented, their arrays of sums leave the registers
 * and compiling takes
 * minutes. What they read and write is checked by guard pages (tests/exec/test_gemm.c). */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined", "thread")))

#define gemm_tile_run GEMM_ISA(gemm_tile_run)
#define gemm_dot GEMM_ISA(gemm_dot)
void gemm_tile_run(const gemm_tile *t, int rows, int vecs);
/* C = A B^T, not transposed A. */
void gemm_dot(const gemm_shape *s, const float *a, const float *b, float *c);

/* `count` cut into the fewest runs of at most `most`, as equal as can be: first `large` runs of
 * small + 1. */
typedef struct even_cut {
    int64_t runs, small, large;
} even_cut;

static inline even_cut cut_evenly(int64_t count, int64_t most)
{
    int64_t runs = (count + most - 1) / most;

    return (even_cut){.runs = runs, .small = count / runs, .large = count % runs};
}

/* The length of the run that starts at `from`. */
static inline int64_t run_at(even_cut c, int64_t from)
{
    return from < c.large * (c.small + 1) ? c.small + 1 : c.small;
}
#endif
