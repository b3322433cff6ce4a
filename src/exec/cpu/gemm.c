/* Hands a product to the kernels of one instruction set (gemm_f32_isa.c, gemm_f64_isa.c). */
#include "exec/cpu/gemm_isa.h"

#define EACH_ISA(name)                                                                             \
    {                                                                                              \
        name##_portable, name##_avx2, name##_avx512                                                \
    }

size_t gemm_f32_work(cpu_isa isa, const gemm_shape *s)
{
    static size_t (*const table[ISA_COUNT])(const gemm_shape *) = EACH_ISA(gemm_f32_work);

    return table[isa](s);
}

void gemm_f32(cpu_isa isa, const gemm_shape *s, const float *a, const float *b, float *c,
              void *work)
{
    static void (*const table[ISA_COUNT])(const gemm_shape *, const float *, const float *, float *,
                                          void *) = EACH_ISA(gemm_f32);

    if (s->m > 0 && s->n > 0) table[isa](s, a, b, c, work);
}

size_t gemm_f64_work(cpu_isa isa, const gemm_shape *s)
{
    static size_t (*const table[ISA_COUNT])(const gemm_shape *) = EACH_ISA(gemm_f64_work);

    return table[isa](s);
}

void gemm_f64(cpu_isa isa, const gemm_shape *s, const double *a, const double *b, double *c,
              void *work)
{
    static void (*const table[ISA_COUNT])(const gemm_shape *, const double *, const double *,
                                          double *, void *) = EACH_ISA(gemm_f64);

    if (s->m > 0 && s->n > 0) table[isa](s, a, b, c, work);
}
