#include "counting_driver.h"
#include "test.h"

counted seen;

static drmad_status may_fail(drmad_ctx *ctx)
{
    const int n = seen.calls++;
    const bool fails = seen.fail_at >= 0 && (seen.for_good ? n >= seen.fail_at : n == seen.fail_at);

    return fails ? FAIL(ctx, DRMAD_E_IO, "made to fail") : DRMAD_OK;
}

static drmad_status count_alloc(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = may_fail(ctx);

    *out = NULL;
    if (st == DRMAD_OK) st = seen.real->alloc(g, ctx, bytes, out);
    seen.live += *out != NULL;
    return st;
}

static drmad_status count_alloc_host(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = may_fail(ctx);

    *out = NULL;
    if (st == DRMAD_OK) st = seen.real->alloc_host(g, ctx, bytes, out);
    seen.live += *out != NULL;
    return st;
}

static void count_free(gpu *g, void *ptr)
{
    seen.live -= ptr != NULL;
    seen.real->free(g, ptr);
}

static void count_free_host(gpu *g, void *ptr)
{
    seen.live -= ptr != NULL;
    seen.real->free_host(g, ptr);
}

static drmad_status count_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                              size_t bytes)
{
    const drmad_status st = may_fail(ctx);

    seen.copies++;
    return st == DRMAD_OK ? seen.real->copy(g, ctx, way, to, from, bytes) : st;
}

static drmad_status count_record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                                const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    drmad_status st = may_fail(ctx);

    *out = NULL;
    if (st == DRMAD_OK) st = seen.real->record(g, ctx, calls, n, up, down, out);
    seen.live += *out != NULL;
    if (up->ahead) seen.block[seen.ahead++ % 3] = up->device;
    return st;
}

static void count_forget(gpu *g, gpu_program *p)
{
    seen.live -= p != NULL;
    seen.real->forget(g, p);
}

static drmad_status count_run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    const drmad_status st = may_fail(ctx);

    seen.runs++;
    return st == DRMAD_OK ? seen.real->run(g, ctx, p) : st;
}

static drmad_status count_wait(gpu *g, drmad_ctx *ctx)
{
    const drmad_status st = seen.for_good ? may_fail(ctx) : DRMAD_OK;

    return st == DRMAD_OK ? seen.real->wait(g, ctx) : st;
}

static drmad_status count_reach(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    const drmad_status st = seen.for_good ? may_fail(ctx) : DRMAD_OK;

    seen.reached++;
    return st == DRMAD_OK ? seen.real->reach(g, ctx, p) : st;
}

gpu_driver counting_driver(void)
{
    gpu_driver d = *gpu_test_driver();

    d.alloc = count_alloc, d.free = count_free;
    d.alloc_host = count_alloc_host, d.free_host = count_free_host;
    d.copy = count_copy, d.wait = count_wait, d.reach = count_reach;
    d.record = count_record, d.forget = count_forget, d.run = count_run;
    seen.real = gpu_test_driver();
    seen.ahead = seen.runs = seen.copies = seen.reached = seen.live = seen.calls = 0;
    seen.fail_at = -1, seen.for_good = false;
    return d;
}
