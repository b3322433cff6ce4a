/* Hands out the block kernels of one instruction set (tile_isa.c). */
#include "exec/cpu/tile_kernels.h"

const tile_fns *tile_get(cpu_isa isa, dtype t)
{
    static const tile_fns *const f32[ISA_COUNT] = {&tile_f32_portable, &tile_f32_avx2,
                                                   &tile_f32_avx512};
    static const tile_fns *const f64[ISA_COUNT] = {&tile_f64_portable, &tile_f64_avx2,
                                                   &tile_f64_avx512};

    return t == F32 ? f32[isa] : t == F64 ? f64[isa] : NULL;
}
