/* Pooling of one row of results, in both types; channels run fastest. */
#include "exec/cpu/pool_kernels.h"

/* Taps along an axis, [first, end), and the pixel that the first sees. */
typedef struct taps {
    int64_t first, end, pixel;
} taps;

static inline taps taps_of(const window *v, int axis, int64_t at)
{
    const int64_t d = v->dilation[axis], from = at * v->stride[axis] - v->pad[axis];
    taps t = {.first = 0, .end = v->kernel[axis]};

    if (from < 0) t.first = (-from + d - 1) / d;
    if (from + (t.end - 1) * d >= v->size[axis])
        t.end = from < v->size[axis] ? (v->size[axis] - from + d - 1) / d : 0;
    t.pixel = from + t.first * d;
    return t;
}

#define real float
#define NAME(fn) fn##_f32
#include "exec/cpu/pool_typed.h"
#undef real
#undef NAME

#define real double
#define NAME(fn) fn##_f64
#include "exec/cpu/pool_typed.h"
