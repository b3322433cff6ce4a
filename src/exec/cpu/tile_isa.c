/* Kernels over blocks of rows, in both types. Row sums run in four lanes, in double. */
#include "exec/cpu/simd.h"
#include "exec/cpu/tile_kernels.h"
#include <stddef.h>

#define real float
#define NAME(fn) fn##_f32
#include "exec/cpu/tile_typed.h"
#undef real
#undef NAME

#define real double
#define NAME(fn) fn##_f64
#include "exec/cpu/tile_typed.h"
