/* Hands out the elementwise kernels of one instruction set (ew_f32_isa.c, ew_f64_isa.c,
 * ew_cast_isa.c). */
#include "exec/cpu/ew_isa.h"

#define EACH_ISA(name)                                                                             \
    {                                                                                              \
        name##_portable, name##_avx2, name##_avx512                                                \
    }
#define EACH_ISA_OF(name)                                                                          \
    {                                                                                              \
        &name##_portable, &name##_avx2, &name##_avx512                                             \
    }

ew_fn *ew_get(cpu_isa isa, dtype t, ew_op op)
{
    static ew_fn *const *const f32[ISA_COUNT] = EACH_ISA(ew_f32);
    static ew_fn *const *const f64[ISA_COUNT] = EACH_ISA(ew_f64);

    return t == F32 ? f32[isa][op] : t == F64 ? f64[isa][op] : NULL;
}

const char *ew_name(ew_op op)
{
    static const char *const names[EW_COUNT] = {
#define X(name) #name,
        EW_OPS(X)
#undef X
            [EW_BF16] = "BF16",
    };

    return names[op];
}

static const ew_reduce *reduce(cpu_isa isa, dtype t)
{
    static const ew_reduce *const f32[ISA_COUNT] = EACH_ISA_OF(ew_reduce_f32);
    static const ew_reduce *const f64[ISA_COUNT] = EACH_ISA_OF(ew_reduce_f64);

    return t == F32 ? f32[isa] : t == F64 ? f64[isa] : NULL;
}

ew_sum_fn *ew_sum(cpu_isa isa, dtype t)
{
    const ew_reduce *r = reduce(isa, t);

    return r ? r->sum : NULL;
}

ew_dot_fn *ew_dot(cpu_isa isa, dtype t)
{
    const ew_reduce *r = reduce(isa, t);

    return r ? r->dot : NULL;
}

ew_max_fn *ew_max(cpu_isa isa, dtype t)
{
    const ew_reduce *r = reduce(isa, t);

    return r ? r->max : NULL;
}

ew_cast_fn *ew_cast(cpu_isa isa, dtype from, dtype to)
{
    static ew_cast_fn *const(*const table[ISA_COUNT])[DTYPE_COUNT] = EACH_ISA(ew_cast);

    return table[isa][from][to];
}
