/* Pooling of one row of results, in both types; channels run fastest. */
#include "exec/cpu/pool_kernels.h"

enum { BLOCK = 64 }; /* channels whose largest so far stay in registers or nearby */

#define real float
#define NAME(fn) fn##_f32
#include "exec/cpu/pool_typed.h"
#undef real
#undef NAME

#define real double
#define NAME(fn) fn##_f64
#include "exec/cpu/pool_typed.h"
