/* What each instruction set's object gives ew.c. EW_ISA(ew_f32) is ew_f32_avx2 in the AVX2 object.
 * */
#ifndef EW_ISA_H
#define EW_ISA_H
#include "exec/cpu/ew.h"

typedef struct ew_reduce {
    ew_sum_fn *sum;
    ew_dot_fn *dot;
    ew_max_fn *max;
} ew_reduce;

#define EW_DECLARE(isa)                                                                            \
    extern ew_fn *const ew_f32_##isa[EW_COUNT];                                                    \
    extern ew_fn *const ew_f64_##isa[EW_COUNT];                                                    \
    extern const ew_reduce ew_reduce_f32_##isa, ew_reduce_f64_##isa;                               \
    extern ew_cast_fn *const ew_cast_##isa[DTYPE_COUNT][DTYPE_COUNT];
EW_DECLARE(portable)
EW_DECLARE(avx2)
EW_DECLARE(avx512)

#define EW_JOIN_(name, isa) name##_##isa
#define EW_JOIN(name, isa) EW_JOIN_(name, isa)
#define EW_ISA(name) EW_JOIN(name, ISA_SUFFIX)
#endif
