/* Elementwise kernels in float. Tails run through the same vector code as the rest, so that an
 * element's bits do not
 * depend on where it lies. Functions: ew_math.h. */
#include "exec/cpu/ew_isa.h"
#include "exec/cpu/ew_math.h"

/* Which operands a kernel reads: whole runs, or the first element everywhere. */
enum { A = 1, B = 2, C = 4, A_FIRST = 8, B_FIRST = 16 };

typedef vf body_fn(vf a, vf b, vf c, vf s);

/* Inlined into each kernel with `body` and `reads` known. */
INLINE void run(int64_t n, float *y, const float *const in[3], double s_, body_fn *body, int reads)
{
    const float *pa = in[0], *pb = in[1], *pc = in[2];
    vf s = vf_set((float)s_), a = s, b = s, c = s;
    int64_t i = 0;

    if (n <= 0) return;
    if (reads & A_FIRST) a = vf_set(pa[0]);
    if (reads & B_FIRST) b = vf_set(pb[0]);
    for (; i + VL <= n; i += VL) {
        if (reads & A) a = vf_load(pa + i);
        if (reads & B) b = vf_load(pb + i);
        if (reads & C) c = vf_load(pc + i);
        vf_store(y + i, body(a, b, c, s));
    }
    int left = (int)(n - i);
    if (left == 0) return;
    if (reads & A) a = vf_load_n(pa + i, left);
    if (reads & B) b = vf_load_n(pb + i, left);
    if (reads & C) c = vf_load_n(pc + i, left);
    vf_store_n(y + i, body(a, b, c, s), left);
}

#define KERNEL(name, reads, expr)                                                                  \
    INLINE vf body_##name(vf a, vf b, vf c, vf s)                                                  \
    {                                                                                              \
        (void)a, (void)b, (void)c, (void)s;                                                        \
        return expr;                                                                               \
    }                                                                                              \
    static void f32_##name(int64_t n, void *y, const void *a, const void *b, const void *c,        \
                           double s)                                                               \
    {                                                                                              \
        run(n, y, (const float *[]){a, b, c}, s, body_##name, reads);                              \
    }

KERNEL(COPY, A, a)
KERNEL(SPLAT, A_FIRST, a)
KERNEL(FILL, 0, s)
KERNEL(ADD, A | B, a + b)
KERNEL(SUB, A | B, a - b)
KERNEL(MUL, A | B, a *b)
KERNEL(SCALE, A, a *s)
KERNEL(FMA, A | B | C, vf_fma(a, b, c))
KERNEL(FNMA, A | B | C, vf_fnma(a, b, c))
KERNEL(AXPY, A | B, vf_fma(a, s, b))
KERNEL(SMUL, A | B_FIRST, a *b)
KERNEL(SFMA, A | B_FIRST | C, vf_fma(a, b, c))
KERNEL(SFNMA, A | B_FIRST | C, vf_fnma(a, b, c))
KERNEL(SADD, A | B_FIRST, a + b)
KERNEL(EXP, A, vf_exp(a))
KERNEL(LOG, A, vf_log(a))
KERNEL(SQRT, A, vf_sqrt(a))
KERNEL(RECIP, A, vf_set(1) / a)
KERNEL(TANH, A, vf_tanh(a))
KERNEL(SIGMOID, A, vf_sigmoid(a))
KERNEL(SOFTPLUS, A, vf_softplus(a))
KERNEL(ERF, A, vf_erf(a))
KERNEL(DTANH, A | C, c *vf_fnma(a, a, vf_set(1)))
KERNEL(STEP, A, vf_if_less(vf_zero(), a, vf_set(1), vf_zero()))
/* 0, -0 and NaN stay */
KERNEL(SIGN, A, vf_if_less(vf_zero(), a, vf_set(1), vf_if_less(a, vf_zero(), vf_set(-1), a)))

/* A plain loop, which the compiler vectorises. */
static void f32_BF16(int64_t n, void *y_, const void *a_, const void *b, const void *c, double s)
{
    uint16_t *restrict y = y_;
    const float *restrict a = a_;

    (void)b, (void)c, (void)s;
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from(a[i]);
}

ew_fn *const EW_ISA(ew_f32)[EW_COUNT] = {
#define X(name) [EW_##name] = f32_##name,
    EW_OPS(X)
#undef X
        [EW_BF16] = f32_BF16,
};

/* Sums: 4 vectors of lanes add up at most STEPS elements each in float, then go to double lanes,
 * which are combined
 * pairwise. So the error is that of a few roundings of the elements, whatever n. */
enum { LANES = 4 * VL, STEPS = 16 };

static void empty_lanes(const vf part[4], double lane[LANES])
{
    float x[LANES];

    for (int v = 0; v < 4; v++) vf_store(x + v * VL, part[v]);
    for (int i = 0; i < LANES; i++) lane[i] += (double)x[i];
}

static double combine(double lane[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* The sum of a b, or of a alone where b is NULL. Up to LANES * STEPS elements. */
INLINE void add_block(int64_t n, const float *a, const float *b, double lane[LANES])
{
    vf part[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES) UNROLL for (int v = 0; v < 4; v++)
        {
            vf x = vf_load(a + i + v * VL);
            part[v] = b ? vf_fma(x, vf_load(b + i + v * VL), part[v]) : part[v] + x;
        }
    for (int v = 0; i < n; v++, i += VL) {
        int left = n - i < VL ? (int)(n - i) : VL;
        vf x = left < VL ? vf_load_n(a + i, left) : vf_load(a + i);
        vf y = !b ? vf_set(1) : left < VL ? vf_load_n(b + i, left) : vf_load(b + i);
        part[v] = b ? vf_fma(x, y, part[v]) : part[v] + x;
    }
    empty_lanes(part, lane);
}

static double f32_sum(int64_t n, const void *a_)
{
    const float *a = a_;
    double lane[LANES] = {0};

    for (int64_t i = 0; i < n; i += LANES * STEPS)
        add_block(n - i < LANES * STEPS ? n - i : LANES * STEPS, a + i, NULL, lane);
    return combine(lane);
}

static double f32_dot(int64_t n, const void *a_, const void *b_)
{
    const float *a = a_, *b = b_;
    double lane[LANES] = {0};

    for (int64_t i = 0; i < n; i += LANES * STEPS)
        add_block(n - i < LANES * STEPS ? n - i : LANES * STEPS, a + i, b + i, lane);
    return combine(lane);
}

static double f32_max(int64_t n, const void *a_)
{
    const float *a = a_;
    vf most = vf_set(-INFINITY);
    vi nan = vi_set(0);
    float lane[VL];
    int64_t i = 0;

    for (; i + VL <= n; i += VL) {
        vf x = vf_load(a + i);
        most = vf_max(x, most); /* passes a NaN of x by */
        nan |= (vi_bits(x) & INT32_MAX) > vi_set(0x7f800000);
    }
    vf_store(lane, most);
    double m = -INFINITY;
    for (int j = 0; j < VL; j++) {
        if (nan[j]) return NAN;
        m = (double)lane[j] > m ? (double)lane[j] : m;
    }
    for (; i < n; i++) {
        if (a[i] != a[i]) return NAN;
        m = (double)a[i] > m ? (double)a[i] : m;
    }
    return m;
}

const ew_reduce EW_ISA(ew_reduce_f32) = {f32_sum, f32_dot, f32_max};
