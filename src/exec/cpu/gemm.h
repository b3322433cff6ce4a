/* Dense products on one core. Row-major: element (i, j) of a matrix X with row stride ldx is
 * x[i*ldx + j].
 *
 *   C (m x n) = op(A) (m x k) op(B) (k x n)  [+ C when acc]     op = transpose when ta / tb is set
 *
 * Callers may cut m and n into tiles (threads, epilogues); a tile's bits depend on its own shape
 * only. k is never cut. */
#ifndef GEMM_H
#define GEMM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gemm_shape {
    int64_t m, n, k, lda, ldb, ldc;
    bool ta, tb, acc;
} gemm_shape;

/* Instruction sets, best last. cpu_isa_best() asks the processor; DRMAD_ISA=portable|avx2|avx512
 * (read once, by
 * exec) lowers it. */
typedef enum cpu_isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_COUNT } cpu_isa;
cpu_isa cpu_isa_best(void);
const char *cpu_isa_name(cpu_isa isa);

/* Bytes of scratch memory that gemm_f32 / gemm_f64 need for `s`; 0 is possible. 64-byte aligned at
 * the call. */
size_t gemm_f32_work(cpu_isa isa, const gemm_shape *s);
void gemm_f32(cpu_isa isa, const gemm_shape *s, const float *a, const float *b, float *c,
              void *work);
size_t gemm_f64_work(cpu_isa isa, const gemm_shape *s);
void gemm_f64(cpu_isa isa, const gemm_shape *s, const double *a, const double *b, double *c,
              void *work);
#endif
