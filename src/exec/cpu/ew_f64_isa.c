/* Elementwise kernels in double, with libm's functions: for proof, not for speed. */
#include "exec/cpu/ew_isa.h"
#include <math.h>

/* Rounded once where the processor can; the portable build rounds twice. */
#if defined(__FMA__) || defined(__FP_FAST_FMA)
#define FUSED(a, b, c) __builtin_fma((a), (b), (c))
#else
#define FUSED(a, b, c) ((a) * (b) + (c))
#endif

/* 1 / (1 + e^-x), without overflow on the way. */
static double sigmoid(double x)
{
    double t = exp(-fabs(x));

    return (x < 0 ? t : 1) / (1 + t);
}

static double softplus(double x)
{
    if (x != x) return x;
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x; /* 0, -0 and NaN stay */
}

#define A a[i]
#define B b[i]
#define C c[i]
#define KERNEL(name, expr)                                                                         \
    static void f64_##name(int64_t n, void *y_, const void *a_, const void *b_, const void *c_,    \
                           double s)                                                               \
    {                                                                                              \
        double *y = y_;                                                                            \
        const double *a = a_, *b = b_, *c = c_;                                                    \
        (void)a, (void)b, (void)c, (void)s;                                                        \
        for (int64_t i = 0; i < n; i++) y[i] = (expr);                                             \
    }
/* With one operand's first element everywhere, read before the result can overwrite it. */
#define KERNEL_FIRST(name, operand, expr)                                                          \
    static void f64_##name(int64_t n, void *y_, const void *a_, const void *b_, const void *c_,    \
                           double s)                                                               \
    {                                                                                              \
        double *y = y_;                                                                            \
        const double *a = a_, *b = b_, *c = c_;                                                    \
        (void)a, (void)b, (void)c, (void)s;                                                        \
        if (n <= 0) return;                                                                        \
        const double first = operand[0];                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = (expr);                                             \
    }

KERNEL(COPY, A)
KERNEL_FIRST(SPLAT, a, first)
KERNEL(FILL, s)
KERNEL(ADD, A + B)
KERNEL(SUB, A - B)
KERNEL(MUL, A *B)
KERNEL(SCALE, A *s)
KERNEL(FMA, FUSED(A, B, C))
KERNEL(FNMA, FUSED(-A, B, C))
KERNEL(AXPY, FUSED(A, s, B))
KERNEL_FIRST(SMUL, b, A *first)
KERNEL_FIRST(SFMA, b, FUSED(A, first, C))
KERNEL_FIRST(SFNMA, b, FUSED(-A, first, C))
KERNEL_FIRST(SADD, b, A + first)
KERNEL(EXP, exp(A))
KERNEL(LOG, log(A))
KERNEL(SQRT, sqrt(A))
KERNEL(RECIP, 1 / A)
KERNEL(TANH, tanh(A))
KERNEL(SIGMOID, sigmoid(A))
KERNEL(SOFTPLUS, softplus(A))
KERNEL(ERF, erf(A))
KERNEL(DTANH, C *FUSED(-A, A, 1.0))
KERNEL(STEP, A > 0 ? 1 : 0)
KERNEL(SIGN, sign(A))

ew_fn *const EW_ISA(ew_f64)[EW_COUNT] = {
#define X(name) [EW_##name] = f64_##name,
    EW_OPS(X)
#undef X
};

enum { LANES = 8 };

static double combine(const double *lane)
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static double f64_sum(int64_t n, const void *a_)
{
    const double *a = a_;
    double lane[LANES] = {0};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += a[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += a[i];
    return combine(lane);
}

static double f64_dot(int64_t n, const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;
    double lane[LANES] = {0};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = FUSED(a[i + j], b[i + j], lane[j]);
    for (int j = 0; i < n; i++, j++) lane[j] = FUSED(a[i], b[i], lane[j]);
    return combine(lane);
}

static double f64_max(int64_t n, const void *a_)
{
    const double *a = a_;
    double m = -INFINITY;

    for (int64_t i = 0; i < n; i++) m = a[i] > m || a[i] != a[i] ? a[i] : m; /* NaN > m is false */
    return m;
}

const ew_reduce EW_ISA(ew_reduce_f64) = {f64_sum, f64_dot, f64_max};
