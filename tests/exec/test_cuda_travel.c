/* Copies that nobody waits for, on the host driver: what a caller does too early is found. */
#include "exec/cuda/cuda.h"
#include "exec/cuda/lower/gpu_lower.h"
#include "test.h"
#include <string.h>

enum { N = 8, BYTES = N * sizeof(double) };

typedef struct road {
    drmad_ctx *ctx;
    const gpu_driver *d;
    gpu *g;
    double *device, *other, *here;
    gpu_program *p, *ahead; /* device[i] = i; `here` to `other`, ahead */
} road;

static void open_road(road *r)
{
    iota_args iota = {.count = N, .inner = 1, .dim = N, .to = F64};
    gpu_call call = {.kernel = GPU_iota, .type = F64};
    const gpu_transfer none = {0};
    void *at[3];

    *r = (road){.ctx = test_ctx(), .d = &gpu_host_driver};
    CHECK_OK(r->ctx, r->d->open(r->ctx, 0, &r->g));
    for (int i = 0; i < 2; i++) CHECK_OK(r->ctx, r->d->alloc(r->g, r->ctx, BYTES, &at[i]));
    CHECK_OK(r->ctx, r->d->alloc_host(r->g, r->ctx, BYTES, &at[2]));
    r->device = at[0], r->other = at[1], r->here = at[2];
    iota.y = r->device;
    memcpy(call.args, &iota, sizeof iota);
    gpu_geometry(&call);
    CHECK_OK(r->ctx, r->d->record(r->g, r->ctx, &call, 1, &none, &none, &r->p));
    const gpu_transfer up = {r->other, r->here, BYTES, true};
    CHECK_OK(r->ctx, r->d->record(r->g, r->ctx, NULL, 0, &up, &none, &r->ahead));
}

static void close_road(road *r)
{
    r->d->forget(r->g, r->p);
    r->d->forget(r->g, r->ahead);
    r->d->free(r->g, r->device);
    r->d->free(r->g, r->other);
    r->d->free_host(r->g, r->here);
    r->d->close(r->g);
}

TEST(what_travels_down_comes_when_it_is_waited_for)
{
    double want[N];
    road r;

    open_road(&r);
    for (int i = 0; i < N; i++) want[i] = i;
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.p));
    CHECK_OK(r.ctx, r.d->get(r.g, r.ctx, r.here, r.device, BYTES));
    CHECK(memcmp(r.here, want, BYTES) != 0);
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.p)); /* the same again: nothing changes */
    CHECK_OK(r.ctx, r.d->got(r.g, r.ctx));
    CHECK(memcmp(r.here, want, BYTES) == 0);
    CHECK_OK(r.ctx, r.d->get(r.g, r.ctx, r.here, r.other, BYTES)); /* none waits for it */
    close_road(&r);
}

TEST(what_is_written_while_it_travels_is_found)
{
    road r;

    open_road(&r);
    CHECK_OK(r.ctx, r.d->get(r.g, r.ctx, r.here, r.device, BYTES));
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.p));
    CHECK_FAILS(r.ctx, r.d->got(r.g, r.ctx), DRMAD_E_INTERNAL, "travelled to the host");
    CHECK_OK(r.ctx, r.d->got(r.g, r.ctx));
    CHECK_OK(r.ctx, r.d->put(r.g, r.ctx, r.other, r.here, BYTES));
    r.here[3]++;
    CHECK_OK(r.ctx, r.d->reach(r.g, r.ctx, r.p)); /* its last run was before */
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.p));
    CHECK_FAILS(r.ctx, r.d->reach(r.g, r.ctx, r.p), DRMAD_E_INTERNAL, "from the host");
    CHECK_OK(r.ctx, r.d->put(r.g, r.ctx, r.other, r.here, BYTES));
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.p));
    CHECK_OK(r.ctx, r.d->reach(r.g, r.ctx, r.p));
    r.here[3]++; /* now it may */
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.ahead));
    CHECK_OK(r.ctx, r.d->reach(r.g, r.ctx, r.p)); /* another, before it */
    r.here[3]++;
    CHECK_FAILS(r.ctx, r.d->reach(r.g, r.ctx, r.ahead), DRMAD_E_INTERNAL, "from the host");
    CHECK_OK(r.ctx, r.d->run(r.g, r.ctx, r.ahead));
    CHECK_OK(r.ctx, r.d->reach(r.g, r.ctx, r.ahead));
    r.here[3]++;
    CHECK_OK(r.ctx, r.d->wait(r.g, r.ctx));
    close_road(&r);
}
