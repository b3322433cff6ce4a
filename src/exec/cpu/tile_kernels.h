/* What each instruction set's object gives tile.c. */
#ifndef TILE_KERNELS_H
#define TILE_KERNELS_H
#include "exec/cpu/ew_isa.h"
#include "exec/cpu/tile.h"

#define TILE_DECLARE(isa) extern const tile_fns tile_f32_##isa, tile_f64_##isa;
TILE_DECLARE(portable)
TILE_DECLARE(avx2)
TILE_DECLARE(avx512)
#endif
