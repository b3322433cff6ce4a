/* Elementwise kernels in float (first version: libm, scalar). */
#include "exec/cpu/ew_isa.h"
#include <math.h>

/* Rounded once where the processor can; the portable build rounds twice. */
#if defined(__FMA__) || defined(__FP_FAST_FMAF)
#define FUSED(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define FUSED(a, b, c) ((a) * (b) + (c))
#endif

/* 1 / (1 + e^-x), without overflow on the way. */
static float sigmoid(float x)
{
    float t = expf(-fabsf(x));

    return (x < 0 ? t : 1) / (1 + t);
}

static float softplus(float x)
{
    if (x != x) return x;
    return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
}

static float sign(float x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x; /* 0, -0 and NaN stay */
}

#define A a[i]
#define B b[i]
#define C c[i]
#define KERNEL(name, expr)                                                                         \
    static void f32_##name(int64_t n, void *y_, const void *a_, const void *b_, const void *c_,    \
                           double s_)                                                              \
    {                                                                                              \
        float *y = y_;                                                                            \
        const float *a = a_, *b = b_, *c = c_;                                                    \
        const float s = (float)s_; (void)a, (void)b, (void)c, (void)s;                                                        \
        for (int64_t i = 0; i < n; i++) y[i] = (expr);                                             \
    }
/* With one operand's first element everywhere, read before the result can overwrite it. */
#define KERNEL_FIRST(name, operand, expr)                                                          \
    static void f32_##name(int64_t n, void *y_, const void *a_, const void *b_, const void *c_,    \
                           double s_)                                                              \
    {                                                                                              \
        float *y = y_;                                                                            \
        const float *a = a_, *b = b_, *c = c_;                                                    \
        const float s = (float)s_; (void)a, (void)b, (void)c, (void)s;                                                        \
        if (n <= 0) return;                                                                        \
        const float first = operand[0];                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = (expr);                                             \
    }

KERNEL(COPY, A)
KERNEL_FIRST(SPLAT, a, first)
KERNEL(FILL, s)
KERNEL(ADD, A + B)
KERNEL(SUB, A - B)
KERNEL(MUL, A * B)
KERNEL(SCALE, A * s)
KERNEL(FMA, FUSED(A, B, C))
KERNEL(FNMA, FUSED(-A, B, C))
KERNEL(AXPY, FUSED(A, s, B))
KERNEL_FIRST(SMUL, b, A * first)
KERNEL_FIRST(SFMA, b, FUSED(A, first, C))
KERNEL_FIRST(SFNMA, b, FUSED(-A, first, C))
KERNEL_FIRST(SADD, b, A + first)
KERNEL(EXP, expf(A))
KERNEL(LOG, logf(A))
KERNEL(SQRT, sqrtf(A))
KERNEL(RECIP, 1 / A)
KERNEL(TANH, tanhf(A))
KERNEL(SIGMOID, sigmoid(A))
KERNEL(SOFTPLUS, softplus(A))
KERNEL(ERF, erff(A))
KERNEL(DTANH, C * FUSED(-A, A, 1.0f))
KERNEL(STEP, A > 0 ? 1 : 0)
KERNEL(SIGN, sign(A))

ew_fn *const EW_ISA(ew_f32)[EW_COUNT] = {
#define X(name) [EW_##name] = f32_##name,
    EW_OPS(X)
#undef X
};

enum { LANES = 8 };

static float combine(const float *lane)
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static double f32_sum(int64_t n, const void *a_)
{
    const float *a = a_;
    float lane[LANES] = {0};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += a[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += a[i];
    return (double)combine(lane);
}

static double f32_dot(int64_t n, const void *a_, const void *b_)
{
    const float *a = a_, *b = b_;
    float lane[LANES] = {0};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = FUSED(a[i + j], b[i + j], lane[j]);
    for (int j = 0; i < n; i++, j++) lane[j] = FUSED(a[i], b[i], lane[j]);
    return (double)combine(lane);
}

static double f32_max(int64_t n, const void *a_)
{
    const float *a = a_;
    float m = -INFINITY;

    for (int64_t i = 0; i < n; i++) m = a[i] > m || a[i] != a[i] ? a[i] : m; /* NaN > m is false */
    return (double)m;
}

const ew_reduce EW_ISA(ew_reduce_f32) = {f32_sum, f32_dot, f32_max};
