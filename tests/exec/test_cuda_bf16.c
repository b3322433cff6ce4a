/* BF16 on the CUDA backend: the rounding of tensor/tensor.h to the bit, and groups that write such
 * values and read them. */
#include "gpu_driver.h"
#include "run_fixture.h"
#include <string.h>

static backend *open_backend(rx *x)
{
    backend *on = NULL;

    CHECK_OK(x->ctx, cuda_backend_new(x->ctx, gpu_test_driver(), 0, &on));
    return on;
}

static drmad_status run(rx *x, const backend *on, int n, const plan_output *out, void *const *y)
{
    drmad_status st = DRMAD_OK;
    program *prog = NULL;
    plan *p = NULL;

    TRY(plan_new(x->ctx, x->g, out, n, on->target, &p));
    TRY(program_new(x->ctx, p, on, &prog));
    for (int32_t i = 0; i < graph_leaves(x->g); i++) program_set_leaf(prog, i, x->data[i]);
    for (int i = 0; i < n; i++) program_set_output(prog, i, y[i]);
    TRY(program_run(prog));
done:
    program_free(prog);
    plan_free(p);
    return st;
}

/* Each of BF16's numbers, what lies just before and behind the border to the next, the border
 * itself; infinities, subnormal numbers and NaN, whichever, among them. */
TEST(cuda_rounds_to_bf16_as_the_cpu_does)
{
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { LOW = COUNT(low), N = 65536 * LOW };
    uint16_t *got = malloc(N * sizeof *got);
    float *back = malloc(N * sizeof *back);
    int64_t wrong = 0;
    rx x;

    rx_open(&x, F32, 1);
    const node a = rx_leaf(&x, SHAPE(N)), half = g_cast(x.g, a, BF16);
    const plan_output out[] = {{half, -1}, {g_cast(x.g, half, F32), -1}};
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t bits = i / LOW << 16 | low[i % LOW];
        memcpy((float *)x.data[0] + i, &bits, sizeof bits);
    }
    backend *on = open_backend(&x);
    CHECK_OK(x.ctx, run(&x, on, 2, out, (void *[]){got, back}));
    for (uint32_t i = 0; i < N; i++) {
        const uint16_t want = bf16_from(((const float *)x.data[0])[i]);
        const float spread = bf16_to(want);
        if (isnan(spread)) wrong += !isnan(bf16_to(got[i])) || !isnan(back[i]);
        else wrong += got[i] != want || memcmp(&back[i], &spread, sizeof spread) != 0;
    }
    CHECK_INT(wrong, 0);
    cuda_backend_free(on);
    rx_close(&x);
    free(got);
    free(back);
}

static node kept(graph *g, node x)
{
    return g_cast(g, g_cast(g, x, BF16), F32);
}

/* What rounding took of 2a, in the group that made it and behind a view, a broadcast, a sum over
 * rows and a product with one row: exact in F32, so that nothing but the rounded value gives it. */
TEST(cuda_groups_read_what_bf16_has_kept)
{
    static const int64_t sizes[][2] = {{1, 1}, {3, 17}, {50, 10}, {1, 1500}, {130, 1}, {6, 301}};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        const int64_t rows = sizes[i][0], cols = sizes[i][1];
        double *want[4];
        rx x;

        rx_open(&x, F32, i);
        graph *g = x.g;
        const node a = rx_leaf(&x, SHAPE(rows, cols)), row = rx_leaf(&x, SHAPE(1, cols));
        const node twice = g_scale(g, a, 2), lost = g_sub(g, kept(g, twice), twice);
        const node wide = g_bcast(g, kept(g, g_neg(g, row)), SHAPE(rows, cols));
        const plan_output out[] = {{lost, -1},
                                   {g_slice(g, kept(g, twice), 1, cols / 2, cols - cols / 2), -1},
                                   {g_add(g, wide, g_bcast(g, row, SHAPE(rows, cols))), -1},
                                   {g_sum(g, kept(g, twice), 1), -1}};
        void *y[4];

        for (int k = 0; k < 4; k++) y[k] = malloc(rx_out_bytes(&x, &out[k]) + 1);
        backend *on = open_backend(&x);
        rx_evaluate(&x, 4, out, want);
        CHECK_OK(x.ctx, run(&x, on, 4, out, y));
        for (int k = 0; k < 4; k++)
            rx_compare(&x, &out[k], k, y[k], &(rx_wanted){want, k == 3 ? 1e-5 : 0, "kept"});
        for (int k = 0; k < 4; k++) free(y[k]), free(want[k]);
        cuda_backend_free(on);
        rx_close(&x);
    }
}
