/* What a backend takes of a device's memory: all of it is counted, and a share is its end. */
#include "gpu_driver.h"
#include "ops/ops.h"

static size_t room_of(const backend *on)
{
    size_t bytes = 0;

    CHECK_OK(test_ctx(), on->room(on, &bytes));
    return bytes;
}

TEST(a_share_is_the_end_of_cuda_memory)
{
    drmad_ctx *ctx = test_ctx();
    void *a, *b;
    backend *on;

    CHECK_OK(ctx, cuda_backend_new(ctx, gpu_test_driver(), 0, &on));
    CHECK(room_of(on) > 0);
    cuda_backend_share(on, 1 << 20, 3);
    CHECK_INT(room_of(on), 1 << 20);
    CHECK_OK(ctx, on->alloc(on, ctx, 600 << 10, &a));
    CHECK_INT(cuda_backend_used(on), 600 << 10);
    CHECK_INT(room_of(on), 424 << 10);
    CHECK_FAILS(ctx, on->alloc(on, ctx, 500 << 10, &b), DRMAD_E_NOMEM,
                "512000 bytes more are wanted; 614400 of the share of 1048576 bytes of each of 3 "
                "trials side by side are in use: set worker.jobs lower");
    CHECK(b == NULL);
    CHECK_FAILS(ctx, on->alloc(on, ctx, SIZE_MAX, &b), DRMAD_E_NOMEM, "more are wanted");
    on->free(on, ctx, a);
    CHECK_INT(cuda_backend_used(on), 0);
    CHECK_OK(ctx, on->alloc(on, ctx, 1 << 20, &a));
    on->free(on, ctx, a);
    cuda_backend_share(on, 1000, 1);
    CHECK_FAILS(ctx, on->alloc(on, ctx, 1001, &a), DRMAD_E_NOMEM,
                "0 of the share of 1000 bytes of a trial are in use: take a smaller batch");
    cuda_backend_free(on);
}

/* y = tanh(x w) of x in host memory: blocks, tape and scratch are the program's own. */
static drmad_status run_program(backend *on, graph *g, const double *x, double *y)
{
    drmad_ctx *ctx = test_ctx();
    const node rows = graph_add_leaf(g, "x", F64, SHAPE(4, 4)),
               w = graph_add_leaf(g, "w", F64, SHAPE(4, 4));
    const plan_output out = {g_tanh(g, g_matmul(g, rows, w, false, false)), -1};
    drmad_status st = DRMAD_OK;
    program *p = NULL;
    plan *q = NULL;

    TRY(plan_new(ctx, g, &out, 1, on->target, &q));
    TRY(program_new(ctx, q, on, &p));
    program_set_leaf(p, 0, x);
    program_set_leaf(p, 1, x);
    program_set_output(p, 0, y);
    TRY(program_run(p));
    CHECK(cuda_backend_used(on) >= program_bytes(p) && program_bytes(p) > 0);
done:
    program_free(p);
    plan_free(q);
    return st;
}

TEST(cuda_programs_take_their_memory_from_the_share)
{
    drmad_ctx *ctx = test_ctx();
    const double x[16] = {1, 2, 3};
    bool fitted = false;
    double y[16];
    backend *on;

    for (size_t share = 64; share < 1 << 20 && !fitted; share *= 2) {
        graph *g = NULL;

        CHECK_OK(ctx, graph_new(ctx, &g));
        CHECK_OK(ctx, cuda_backend_new(ctx, gpu_test_driver(), 0, &on));
        cuda_backend_share(on, share, 2);
        const drmad_status st = run_program(on, g, x, y);
        fitted = st == DRMAD_OK;
        if (!fitted) CHECK_FAILS(ctx, st, DRMAD_E_NOMEM, "of the share of");
        if (share == 64) CHECK(!fitted);
        CHECK_INT(cuda_backend_used(on), 0); /* all of it is given back, whatever failed */
        cuda_backend_free(on);
        graph_free(g);
    }
    CHECK(fitted);
}
