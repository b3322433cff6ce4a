/* BF16, the type that values are kept in: its rounding on every instruction set against all 65,536
 * of its numbers, groups that write it on the way, and what it is not for. */
#include "exec/cpu/ew.h"
#include "run_fixture.h"
#include <float.h>

static float float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint16_t rounded(cpu_isa isa, float x)
{
    uint16_t y;

    ew_get(isa, F32, EW_BF16)(1, &y, &x, NULL, NULL, 0);
    CHECK_INT(y, bf16_from(x));
    return y;
}

/* Between the neighbours h and h + 1 lie 65,535 floats: the one in the middle goes to the even one,
 * those beside it to the nearer one. From the largest number the next one is infinity. */
static void check_number(cpu_isa isa, uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    const uint16_t next = (uint16_t)(h + 1), even = h & 1 ? next : h;

    CHECK(bf16_to(h) == float_of(bits));
    CHECK_INT(rounded(isa, float_of(bits)), h);
    if ((h & 0x7fff) == 0x7f80) return; /* infinity */
    CHECK_INT(rounded(isa, float_of(bits + 1)), h);
    CHECK_INT(rounded(isa, float_of(bits + 0x7fff)), h);
    CHECK_INT(rounded(isa, float_of(bits + 0x8000)), even);
    CHECK_INT(rounded(isa, float_of(bits + 0x8001)), next);
    CHECK_INT(rounded(isa, float_of(bits + 0xffff)), next);
}

/* Zeros, denormals, the largest numbers and infinities of both signs are among them. */
TEST(bf16_is_the_nearest_and_of_two_the_even)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (uint32_t h = 0; h < 65536; h++)
            if ((h & 0x7fff) <= 0x7f80) check_number(isa, (uint16_t)h);
}

TEST(bf16_keeps_nan_and_its_sign)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (uint32_t payload = 1; payload < 1u << 23; payload = 2 * payload + 1)
            for (uint32_t sign = 0; sign < 2; sign++) {
                const uint16_t y = rounded(isa, float_of(sign << 31 | 0x7f800000 | payload));
                CHECK(isnan(bf16_to(y)));
                CHECK_INT(y >> 15, sign);
                CHECK_INT(rounded(isa, bf16_to(y)), y);
            }
}

TEST(bf16_runs_of_every_length_end_where_they_should)
{
    float x[40], back[41];
    uint16_t y[41];

    for (int i = 0; i < 40; i++) x[i] = (float)(i - 20) / 7;
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (int n = 0; n <= 40; n++) {
            y[n] = 0x1234, back[n] = 7;
            ew_get(isa, F32, EW_BF16)(n, y, x, NULL, NULL, 0);
            ew_cast(isa, BF16, F32)(n, back, y);
            for (int i = 0; i < n; i++) CHECK(back[i] == bf16_to(bf16_from(x[i])));
            CHECK(y[n] == 0x1234 && back[n] == 7);
        }
}

/* ---- plans ---- */

static node kept(graph *g, node x)
{
    return g_cast(g, g_cast(g, x, BF16), F32);
}

/* A value that is needed in F32 too, one that is not, one of a constant, one behind a view; with
 * factors, broadcasts and sums beside them. Leaves lie in [-1, 1), so that a product rounded once
 * or twice differs by 2^-24, which may become 2^-8 where BF16 rounds the other way. */
TEST(a_group_writes_bf16_on_the_way)
{
    for (int64_t rows = 1; rows <= 129; rows = 3 * rows + 1)
        for (int64_t cols = 1; cols <= 1000; cols = 7 * cols + 2) {
            rx x;
            rx_open(&x, F32, (uint64_t)(rows * cols));
            graph *g = x.g;
            node a = rx_leaf(&x, SHAPE(rows, cols)), row = rx_leaf(&x, SHAPE(1, cols));
            node col = rx_leaf(&x, SHAPE(rows, 1));
            node y = g_mul(g, a, g_bcast(g, row, SHAPE(rows, cols)));
            node both = g_add(g, y, kept(g, y));
            node alone = kept(g, g_scale(g, g_add(g, a, g_bcast(g, col, SHAPE(rows, cols))), -.3));
            node view = g_slice(g, kept(g, g_neg(g, a)), 1, cols / 2, cols - cols / 2);
            node one = kept(g, g_sum_all(g, y));
            const plan_output out[] = {{both, -1},
                                       {g_mul(g, alone, g_bcast(g, one, SHAPE(rows, cols))), -1},
                                       {g_exp(g, view), -1},
                                       {g_sum(g, alone, 1), -1},
                                       {kept(g, g_fill_like(g, a, 1.0 / 3)), -1},
                                       {g_matmul(g, alone, a, true, false), -1}};
            rx_check(&x, COUNT(out), out, 0x1p-7);
            rx_close(&x);
        }
}

TEST(bf16_may_be_an_output_twice)
{
    rx x;
    void *y[2];

    rx_open(&x, F32, 5);
    node a = rx_leaf(&x, SHAPE(5, 30)), half = g_cast(x.g, g_neg(x.g, a), BF16);
    const plan_output out[] = {{half, -1}, {half, -1}};
    if (!rx_run(&x, 2, out, 1, false, y)) return;
    for (int64_t i = 0; i < 150; i++) {
        const float want = -((const float *)x.data[0])[i];
        CHECK_INT(((uint16_t *)y[0])[i], bf16_from(want));
        CHECK_INT(((uint16_t *)y[1])[i], bf16_from(want));
    }
    free(y[0]);
    free(y[1]);
    rx_close(&x);
}

/* ---- what it is not for ---- */

static void refused(node build(graph *g, node a, node half), const char *text)
{
    rx x;

    rx_open(&x, F32, 1);
    node a = rx_leaf(&x, SHAPE(3, 4));
    CHECK_INT(build(x.g, a, g_cast(x.g, a, BF16)), NODE_NONE);
    CHECK_FAILS(x.ctx, graph_status(x.g), DRMAD_E_MODEL, text);
    rx_close(&x);
}

static node add_halves(graph *g, node a, node half)
{
    (void)a;
    return g_add(g, half, half);
}

static node transpose_half(graph *g, node a, node half)
{
    (void)a;
    return g_transpose(g, half);
}

static node fill_half(graph *g, node a, node half)
{
    (void)half;
    return g_fill(g, BF16, *graph_shape(g, a), 1);
}

static node from_double(graph *g, node a, node half)
{
    (void)half;
    return g_cast(g, g_cast(g, a, F64), BF16);
}

static node to_double(graph *g, node a, node half)
{
    (void)a;
    return g_cast(g, half, F64);
}

TEST(nobody_reckons_in_bf16)
{
    refused(add_halves, "bf16 is only kept: cast it to f32 first");
    refused(transpose_half, "bf16 is only kept");
    refused(fill_half, "bf16");
    refused(from_double, "bf16 comes from f32");
    refused(to_double, "bf16 comes from f32");
}
