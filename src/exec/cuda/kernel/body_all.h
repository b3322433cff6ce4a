/* All bodies. A driver includes this and goes through kernels.def: of KERNEL(name) there are
 * name_f32 and name_f64 with their states name_f32_state and name_f64_state, of KERNEL_ANY(name)
 * name_any and name_any_state; all take const name_args *. */
#ifndef BODY_ALL_H
#define BODY_ALL_H
#include "exec/cuda/kernel/body.h"
#define RNG_CORE GPU_BODY
#include "base/rng_core.h"
#include "exec/cuda/kernel/kernel_args.h"

#include "exec/cuda/kernel/body_lane.h"
#include "exec/cuda/kernel/body_move.h"
#include "exec/cuda/kernel/body_pick.h"
#include "exec/cuda/kernel/body_window.h"

#define REAL float
#define TYPED(name) name##_f32
#include "exec/cuda/kernel/body_typed.h"
#undef REAL
#undef TYPED
#define REAL double
#define TYPED(name) name##_f64
#include "exec/cuda/kernel/body_typed.h"
#undef REAL
#undef TYPED
#endif
