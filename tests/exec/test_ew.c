/* Elementwise kernels of every instruction set that this processor has: exact ones against the
 * expression, functions
 * against libm in double over a sweep of all floats. */
#include "base/rng.h"
#include "exec/cpu/ew.h"
#include "test.h"
#include <float.h>

enum { RUN = 4096 };

static double softplus_ref(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double sigmoid_ref(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double recip_ref(double x)
{
    return 1 / x;
}

typedef double ref_fn(double x);

/* The bounds that ew.h promises. */
static const struct {
    ew_op op;
    ref_fn *ref;
    double ulp;
} functions[] = {
    {EW_EXP, exp, EW_ULP_EXP},
    {EW_LOG, log, EW_ULP_LOG},
    {EW_TANH, tanh, EW_ULP_TANH},
    {EW_SIGMOID, sigmoid_ref, EW_ULP_SIGMOID},
    {EW_SOFTPLUS, softplus_ref, EW_ULP_SOFTPLUS},
    {EW_ERF, erf, EW_ULP_ERF},
    {EW_SQRT, sqrt, 0.5},
    {EW_RECIP, recip_ref, 0.5},
};

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Units in the last place of the float nearest to `want`; infinite where one is not finite and
 * they differ. */
static double ulps(float got, double want)
{
    float near = (float)want;

    if (isnan(got) || isnan(near)) return isnan(got) && isnan(near) ? 0 : INFINITY;
    if (isinf(got) || isinf(near)) return got == near ? 0 : INFINITY;
    int e = near == 0 ? -149 : ilogbf(near) - 23;
    return fabs((double)got - want) / ldexp(1, e < -149 ? -149 : e);
}

static double worst_on(cpu_isa isa, size_t f, const float *x, int64_t n, float *where)
{
    static float y[RUN];
    double worst = 0;

    ew_get(isa, F32, functions[f].op)(n, y, x, NULL, NULL, 0);
    for (int64_t i = 0; i < n; i++) {
        double e = ulps(y[i], functions[f].ref((double)x[i]));
        if (e > worst) worst = e, *where = x[i];
    }
    return worst;
}

/* Every 1009th float (17th when long, 4001st under a sanitizer), of both signs: tiny, denormal,
 * huge and NaN ones with the rest. */
static double worst_of(cpu_isa isa, size_t f, float *where)
{
    static float x[RUN];
    const uint64_t step = (uint64_t)(test_sanitized() ? 4001 : test_count(1009, 17));
    double worst = 0;
    uint64_t bits = 0;

    while (bits <= UINT32_MAX) {
        int64_t n = 0;
        float at = 0;
        for (; n < RUN && bits <= UINT32_MAX; bits += step) x[n++] = of_bits((uint32_t)bits);
        double e = worst_on(isa, f, x, n, &at);
        if (e > worst) worst = e, *where = at;
    }
    return worst;
}

TEST(functions_keep_their_promised_ulp_over_all_floats)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        for (size_t f = 0; f < COUNT(functions); f++) {
            float where = 0;
            double worst = worst_of(isa, f, &where);
            if (getenv("DRMAD_VERBOSE"))
                printf("  %s %s: %.2f ulp at %a\n", cpu_isa_name(isa), ew_name(functions[f].op),
                       worst, (double)where);
            if (!(worst <= functions[f].ulp))
                test_fail(__FILE__, __LINE__, "%s %s: %.2f ulp at %a, promised %.2f",
                          cpu_isa_name(isa), ew_name(functions[f].op), worst, (double)where,
                          functions[f].ulp);
        }
    }
}

TEST(functions_are_right_where_their_pieces_meet)
{
    static const float joints[] = {
        0,          -0.0f,     FLT_MIN,  -FLT_MIN,  0x1p-149f, INFINITY, -INFINITY,
        NAN,        9.02f,     -9.02f,   0.92f,     -0.92f,    3.93f,    0x1.6a09e6p-1f,
        88.722839f, 88.72284f, -87.336f, -103.972f, -103.98f,  FLT_MAX,  -FLT_MAX};
    static float x[RUN];

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        for (size_t j = 0; j < COUNT(joints); j++) {
            uint32_t bits;
            memcpy(&bits, &joints[j], sizeof bits);
            for (int i = 0; i < 201; i++) x[i] = of_bits(bits + (uint32_t)i - 100);
            for (size_t f = 0; f < COUNT(functions); f++) {
                float where = 0;
                double worst = worst_on(isa, f, x, 201, &where);
                if (!(worst <= functions[f].ulp))
                    test_fail(__FILE__, __LINE__, "%s %s: %.2f ulp at %a", cpu_isa_name(isa),
                              ew_name(functions[f].op), worst, (double)where);
            }
        }
    }
}

TEST(functions_of_zero_keep_its_sign)
{
    const float zeros[2] = {0.0f, -0.0f};

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        const ew_op ops[] = {EW_TANH, EW_ERF, EW_SIGN, EW_SQRT};
        for (size_t o = 0; o < COUNT(ops); o++) {
            float y[2];
            ew_get(isa, F32, ops[o])(2, y, zeros, NULL, NULL, 0);
            CHECK(y[0] == 0 && !signbit(y[0]) && y[1] == 0 && signbit(y[1]));
        }
    }
}

/* -- exact kernels: the expression in double, rounded once or (portable fused ones) twice */

typedef struct operands {
    dtype t;
    double a[40], b[40], c[40], s;
} operands;

static double expected(ew_op op, const operands *o, int i)
{
    double a = o->a[i], b = o->b[i], c = o->c[i], s = o->s;

    switch (op) {
    case EW_COPY: return a;
    case EW_SPLAT: return o->a[0];
    case EW_FILL: return s;
    case EW_ADD: return a + b;
    case EW_SUB: return a - b;
    case EW_MUL: return a * b;
    case EW_SCALE: return a * s;
    case EW_FMA: return a * b + c;
    case EW_FNMA: return c - a * b;
    case EW_AXPY: return a * s + b;
    case EW_SMUL: return a * o->b[0];
    case EW_SFMA: return a * o->b[0] + c;
    case EW_SFNMA: return c - a * o->b[0];
    case EW_SADD: return a + o->b[0];
    case EW_DTANH: return c * (1 - a * a);
    case EW_STEP: return a > 0;
    case EW_SIGN: return (a > 0) - (a < 0);
    default: return NAN;
    }
}

static void put(dtype t, void *x, int i, double v)
{
    if (t == F64) ((double *)x)[i] = v;
    else ((float *)x)[i] = (float)v;
}

static double get(dtype t, const void *x, int i)
{
    return t == F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

/* Small integers over 4: every product and sum is exact in float, so fused and unfused agree too.
 * */
static void fill(operands *o, dtype t)
{
    o->t = t, o->s = 1.75;
    for (uint64_t i = 0; i < 40; i++) {
        o->a[i] = (double)(rng_u64((rng_key){3, 1, 0}, i) % 33) / 4 - 4;
        o->b[i] = (double)(rng_u64((rng_key){3, 2, 0}, i) % 33) / 4 - 4;
        o->c[i] = (double)(rng_u64((rng_key){3, 3, 0}, i) % 33) / 4 - 4;
    }
}

/* n elements into y; `same` is the operand (0 none, 1 a, 2 c) whose memory the result takes. */
static void check_kernel(cpu_isa isa, dtype t, ew_op op, int n, int same)
{
    operands o;
    double mem[4][42] = {{0}};
    void *a = mem[0], *b = mem[1], *c = mem[2],
         *y = same == 1   ? mem[0]
              : same == 2 ? mem[2]
                          : mem[3];

    fill(&o, t);
    for (int i = 0; i < 40; i++) put(t, a, i, o.a[i]), put(t, b, i, o.b[i]), put(t, c, i, o.c[i]);
    double after = get(t, y, n);
    ew_get(isa, t, op)(n, y, a, b, c, o.s);
    for (int i = 0; i < n; i++)
        if (get(t, y, i) != expected(op, &o, i))
            test_fail(__FILE__, __LINE__, "%s %s %s, n = %d, element %d: %.9g, expected %.9g",
                      cpu_isa_name(isa), dtype_name(t), ew_name(op), n, i, get(t, y, i),
                      expected(op, &o, i));
    CHECK(get(t, y, n) == after);
}

TEST(arithmetic_is_exact_for_every_length_and_in_place)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (ew_op op = EW_COPY; op < EW_BF16; op++) {
            if (op >= EW_EXP && op <= EW_ERF) continue;
            for (int n = 0; n <= 39; n++)
                for (int same = 0; same < 3; same++) {
                    check_kernel(isa, F32, op, n, same);
                    check_kernel(isa, F64, op, n, same);
                }
        }
}

TEST(a_fused_product_is_rounded_once_where_the_processor_can)
{
    const float a = 1 + FLT_EPSILON, c = -1;
    const double exact = (double)a * (double)a - 1;

    for (cpu_isa isa = ISA_AVX2; isa <= cpu_isa_best(); isa++) {
        float y;
        ew_get(isa, F32, EW_FMA)(1, &y, &a, &a, &c, 0);
        CHECK((double)y ==
              (double)(float)exact); /* rounded twice it would lose the square of epsilon */
    }
}

TEST(an_element_does_not_depend_on_where_it_lies)
{
    static float x[100], whole[100], part[100];

    for (uint64_t i = 0; i < 100; i++) x[i] = (float)rng_normal((rng_key){5, 1, 0}, i);
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (ew_op op = EW_EXP; op <= EW_ERF; op++) {
            ew_get(isa, F32, op)(100, whole, x, NULL, NULL, 0);
            for (int at = 0; at < 100; at += 7)
                ew_get(isa, F32, op)(at + 7 < 100 ? 7 : 100 - at, part + at, x + at, NULL, NULL, 0);
            CHECK(memcmp(whole, part, sizeof whole) == 0);
        }
}

/* -- reductions */

TEST(sums_and_dots_are_as_exact_as_their_elements)
{
    static float a[5000], b[5000];
    static double a64[5000], b64[5000];
    const int lengths[] = {0, 1, 7, 10, 31, 32, 33, 511, 512, 513, 1500, 4999};

    for (uint64_t i = 0; i < 5000; i++) {
        a64[i] = (double)(a[i] = (float)rng_normal((rng_key){9, 1, 0}, i));
        b64[i] = (double)(b[i] = (float)rng_normal((rng_key){9, 2, 0}, i));
    }
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (size_t l = 0; l < COUNT(lengths); l++) {
            double sum = 0, dot = 0, size_sum = 0, size_dot = 0, most = -INFINITY;
            for (int i = 0; i < lengths[l]; i++) {
                sum += a64[i], dot += a64[i] * b64[i], most = a64[i] > most ? a64[i] : most;
                size_sum += fabs(a64[i]), size_dot += fabs(a64[i] * b64[i]);
            }
            /* float lanes add at most 16 elements: 16 roundings of a partial sum that |elements|
             * bound */
            CHECK_NEAR(ew_sum(isa, F32)(lengths[l], a), sum, 16 * FLT_EPSILON / 2 * size_sum);
            CHECK_NEAR(ew_dot(isa, F32)(lengths[l], a, b), dot, 17 * FLT_EPSILON / 2 * size_dot);
            CHECK(ew_max(isa, F32)(lengths[l], a) == most);
            CHECK_NEAR(ew_sum(isa, F64)(lengths[l], a64), sum,
                       1e-13 * size_sum); /* 5000 roundings at most */
            CHECK_NEAR(ew_dot(isa, F64)(lengths[l], a64, b64), dot, 1e-13 * size_dot);
            CHECK(ew_max(isa, F64)(lengths[l], a64) == most);
        }
}

TEST(a_sum_of_integers_takes_every_element_once)
{
    static float a[3000];
    double want = 0;

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        want = 0;
        for (int n = 0; n < 3000; n++) {
            CHECK(ew_sum(isa, F32)(n, a) == want); /* below 2^24: exact in any order */
            CHECK(ew_dot(isa, F32)(n, a, a) >= want);
            a[n] = (float)(n % 17), want += n % 17;
        }
        memset(a, 0, sizeof a);
    }
}

TEST(the_maximum_is_nan_if_any_element_is)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (int at = 0; at < 70; at++) {
            float a[70];
            double b[70];
            for (int i = 0; i < 70; i++) b[i] = (double)(a[i] = i == at ? NAN : (float)i);
            CHECK(isnan(ew_max(isa, F32)(70, a)));
            CHECK(isnan(ew_max(isa, F64)(70, b)));
            a[at] = INFINITY;
            CHECK(ew_max(isa, F32)(70, a) == INFINITY);
        }
}

TEST(casts_are_those_of_c_and_saturate)
{
    const double from[] = {0, 1, -1.75, 3e9, -3e9, NAN, 2147483647.0};
    const int32_t want[] = {0, 1, -1, INT32_MAX, INT32_MIN, 0, INT32_MAX};
    const uint8_t bytes[] = {0, 7, 255};

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        int32_t got[7];
        float f[3];
        ew_cast(isa, F64, I32)(7, got, from);
        for (int i = 0; i < 7; i++) CHECK_INT(got[i], want[i]);
        ew_cast(isa, U8, F32)(3, f, bytes);
        CHECK(f[0] == 0 && f[1] == 7 && f[2] == 255);
        CHECK(ew_cast(isa, F32, U8) == NULL);
    }
}
