/* Elementwise kernels over a run of n contiguous elements: the instructions that a fused group is
 * made of. Operands may
 * be the same memory as the result. One table an instruction set and dtype, from one source
 * (ew_isa.c). */
#ifndef EW_H
#define EW_H
#include "exec/cpu/gemm.h"
#include "tensor/tensor.h"

/* y = f(a, b, c, s), bit by bit the same wherever an element lies in a run; operands that f does
 * not name may be NULL.
 * "Rounded once" holds where the processor has a fused multiply-add (AVX2 and AVX-512 builds,
 * AArch64); elsewhere the
 * portable build rounds twice. Functions of F32 are our own, and right for every float:
 * infinities, NaN, zeros with
 * their sign, denormal arguments and results (tests/exec/test_ew.c). Their largest errors in units
 * in the last place,
 * on any instruction set, are those below; F64 uses libm. */
#define EW_ULP_EXP 1.1
#define EW_ULP_LOG 1.0
#define EW_ULP_TANH 6.0 /* 4.7 where products are fused */
#define EW_ULP_SIGMOID 2.5
#define EW_ULP_SOFTPLUS 2.1
#define EW_ULP_ERF 1.3

#define EW_OPS(X)                                                                                  \
    X(COPY)  /* a */                                                                               \
    X(SPLAT) /* a[0] everywhere */                                                                 \
    X(FILL)  /* s */                                                                               \
    X(ADD)   /* a + b */                                                                           \
    X(SUB)   /* a - b */                                                                           \
    X(MUL)   /* a * b */                                                                           \
    X(SCALE) /* a * s */                                                                           \
    X(FMA)   /* a * b + c, rounded once */                                                         \
    X(FNMA)  /* c - a * b, rounded once */                                                         \
    X(AXPY)  /* a * s + b, rounded once */                                                         \
    X(SMUL)  /* a * b[0] */                                                                        \
    X(SFMA)  /* a * b[0] + c, rounded once */                                                      \
    X(SFNMA) /* c - a * b[0], rounded once */                                                      \
    X(SADD)  /* a + b[0] */                                                                        \
    X(EXP)                                                                                         \
    X(LOG)                                                                                         \
    X(SQRT) X(RECIP) X(TANH) X(SIGMOID) X(SOFTPLUS) X(ERF)                                         \
        X(DTANH) /* c * (1 - a*a): tanh backwards, written in its value */                         \
        X(STEP)  /* a > 0 ? 1 : 0 */                                                               \
        X(SIGN)

typedef enum ew_op {
#define X(name) EW_##name,
    EW_OPS(X)
#undef X
        EW_BF16, /* a, F32, as bf16: ew_get has it for F32 alone */
    EW_COUNT
} ew_op;

typedef void ew_fn(int64_t n, void *y, const void *a, const void *b, const void *c, double s);
ew_fn *ew_get(cpu_isa isa, dtype t, ew_op op); /* F32, F64 */
const char *ew_name(ew_op op);

/* Reductions of a run, in a fixed order: lanes by instruction set, combined pairwise. */
typedef double ew_sum_fn(int64_t n, const void *a);
typedef double ew_dot_fn(int64_t n, const void *a, const void *b);
typedef double ew_max_fn(int64_t n, const void *a); /* NaN if any is */
ew_sum_fn *ew_sum(cpu_isa isa, dtype t);
ew_dot_fn *ew_dot(cpu_isa isa, dtype t);
ew_max_fn *ew_max(cpu_isa isa, dtype t);

/* y[i] = (to) a[i]. NULL where there is no such cast. */
typedef void ew_cast_fn(int64_t n, void *y, const void *a);
ew_cast_fn *ew_cast(cpu_isa isa, dtype from, dtype to);
#endif
