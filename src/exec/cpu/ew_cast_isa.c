/* Casts: plain loops that the compiler vectorises. Out of range and NaN give what the instruction
 * gives, so only casts
 * that cannot leave the range are here: to F32 and F64 from everything but BF16, which only F32
 * comes from; to I32 from U8 and, saturating, from F32, F64. */
#include "exec/cpu/ew_isa.h"

#define CAST(name, from, to)                                                                       \
    static void name(int64_t n, void *y_, const void *a_)                                          \
    {                                                                                              \
        to *restrict y = y_;                                                                       \
        const from *restrict a = a_;                                                               \
        for (int64_t i = 0; i < n; i++) y[i] = (to)a[i];                                           \
    }

CAST(f32_to_f32, float, float)
CAST(f32_to_f64, float, double)
CAST(f64_to_f32, double, float)
CAST(f64_to_f64, double, double)
CAST(i32_to_f32, int32_t, float)
CAST(i32_to_f64, int32_t, double)
CAST(i32_to_i32, int32_t, int32_t)
CAST(u8_to_f32, uint8_t, float)
CAST(u8_to_f64, uint8_t, double)
CAST(u8_to_i32, uint8_t, int32_t)
CAST(u8_to_u8, uint8_t, uint8_t)

static int32_t saturate(double x)
{
    if (!(x > -2147483648.0)) return x == x ? INT32_MIN : 0; /* NaN becomes 0 */
    return x < 2147483647.0 ? (int32_t)x : INT32_MAX;
}

static void f32_to_i32(int64_t n, void *y_, const void *a_)
{
    int32_t *y = y_;
    const float *a = a_;

    for (int64_t i = 0; i < n; i++) y[i] = saturate((double)a[i]);
}

static void f64_to_i32(int64_t n, void *y_, const void *a_)
{
    int32_t *y = y_;
    const double *a = a_;

    for (int64_t i = 0; i < n; i++) y[i] = saturate(a[i]);
}

static void bf16_to_f32(int64_t n, void *y_, const void *a_)
{
    float *restrict y = y_;
    const uint16_t *restrict a = a_;

    for (int64_t i = 0; i < n; i++) y[i] = bf16_to(a[i]);
}

ew_cast_fn *const EW_ISA(ew_cast)[DTYPE_COUNT][DTYPE_COUNT] = {
    [F32] = {[F32] = f32_to_f32, [F64] = f32_to_f64, [I32] = f32_to_i32},
    [F64] = {[F32] = f64_to_f32, [F64] = f64_to_f64, [I32] = f64_to_i32},
    [I32] = {[F32] = i32_to_f32, [F64] = i32_to_f64, [I32] = i32_to_i32},
    [U8] = {[F32] = u8_to_f32, [F64] = u8_to_f64, [I32] = u8_to_i32, [U8] = u8_to_u8},
    [BF16] = {[F32] = bf16_to_f32},
};
