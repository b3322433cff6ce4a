/* What each instruction set's object gives gemm.c: GEMM_ISA(gemm_f32) is gemm_f32_avx2 in the AVX2
 * object. */
#ifndef GEMM_ISA_H
#define GEMM_ISA_H
#include "exec/cpu/gemm.h"

#define GEMM_DECLARE(isa)                                                                          \
    size_t gemm_f32_work_##isa(const gemm_shape *s);                                               \
    void gemm_f32_##isa(const gemm_shape *s, const float *a, const float *b, float *c,             \
                        void *work);                                                               \
    size_t gemm_f64_work_##isa(const gemm_shape *s);                                               \
    void gemm_f64_##isa(const gemm_shape *s, const double *a, const double *b, double *c,          \
                        void *work);
GEMM_DECLARE(portable)
GEMM_DECLARE(avx2)
GEMM_DECLARE(avx512)

#define GEMM_JOIN_(name, isa) name##_##isa
#define GEMM_JOIN(name, isa) GEMM_JOIN_(name, isa)
#define GEMM_ISA(name) GEMM_JOIN(name, ISA_SUFFIX)
#endif
