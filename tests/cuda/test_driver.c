/* cuda_driver.c over the fake runtime: what it refuses, what it records and replays, and that every
 * failing call of the runtime ends in one clear error with nothing left behind. */
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "fake_cudart.h"
#include "test.h"

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

static drmad_status try_open(drmad_ctx *ctx, int32_t device)
{
    gpu *g = NULL;
    const drmad_status st = drmad_cuda_driver()->open(ctx, device, &g);

    CHECK((st == DRMAD_OK) == (g != NULL));
    drmad_cuda_driver()->close(g);
    CHECK_INT(fake.live, 0);
    return st;
}

TEST(a_machine_that_cannot_serve_is_told_so_with_a_remedy)
{
    drmad_ctx *ctx = test_ctx();

    fake_reset(), fake.driver = 0;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_MISSING, "has no NVIDIA driver");
    fake_reset(), fake.driver = 12080;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_MISSING, "serves CUDA 12.8, libdrmad_cuda.so needs");
    fake_reset(), fake.devices = 0;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_MISSING, "no GPU is visible");
    fake_reset();
    CHECK_FAILS(ctx, try_open(ctx, 1), DRMAD_E_MISSING, "cuda:1: there is no such GPU");
    CHECK_FAILS(ctx, try_open(ctx, -1), DRMAD_E_MISSING, "there is no such GPU");
    fake.major = 7, fake.minor = 5;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_MISSING, "compute capability 7.5");
    fake_reset(), fake.fail_at = 4, fake.error = cudaErrorNoKernelImageForDevice;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_MISSING, "has code for 8.0 and newer");
    fake_reset(), fake.driver = 13020, fake.major = 12;
    CHECK_OK(ctx, try_open(ctx, 0));
}

TEST(memory_comes_zeroed_and_its_end_names_sizes)
{
    const gpu_driver *d = drmad_cuda_driver();
    drmad_ctx *ctx = test_ctx();
    char there[1000], back[1000];
    void *a = NULL, *b = NULL;
    gpu_info info;
    gpu *g = NULL;

    fake_reset(), fake.memory = 5000;
    CHECK_OK(ctx, d->open(ctx, 0, &g));
    CHECK_OK(ctx, d->info(g, &info));
    CHECK_STR(info.name, "Fake H100");
    CHECK_INT(info.driver, 13000);
    CHECK_OK(ctx, d->alloc(g, ctx, sizeof there, &a));
    CHECK_OK(ctx, d->copy(g, ctx, COPY_DOWN, back, a, sizeof back));
    for (size_t i = 0; i < sizeof back; i++) CHECK(back[i] == 0);
    memset(there, 7, sizeof there);
    CHECK_OK(ctx, d->alloc(g, ctx, sizeof there, &b));
    CHECK_OK(ctx, d->copy(g, ctx, COPY_UP, a, there, sizeof there));
    CHECK_OK(ctx, d->copy(g, ctx, COPY_WITHIN, b, a, sizeof there));
    CHECK_OK(ctx, d->copy(g, ctx, COPY_WITHIN, a, NULL, sizeof there));
    CHECK_OK(ctx, d->copy(g, ctx, COPY_DOWN, back, b, sizeof back));
    CHECK(memcmp(there, back, sizeof back) == 0);
    d->free(g, a);
    CHECK_FAILS(ctx, d->alloc(g, ctx, 4001, &a), DRMAD_E_NOMEM, "at a piece of 4001 bytes");
    CHECK(strstr(drmad_errmsg(ctx), "4000 of its 5000 bytes are free"));
    CHECK(!a);
    CHECK_OK(ctx, d->alloc(g, ctx, 4000, &a)); /* it goes on */
    CHECK_FAILS(ctx, d->alloc_host(g, ctx, 1, &b), DRMAD_E_NOMEM,
                "page-locked piece of the host of 1 bytes");
    d->close(g);
    fake_reset();
}

/* y = 0, 1, ... twice: on the device, and from memory of the host to memory of the host. */
typedef struct story {
    gpu *g;
    void *device, *up, *down;
    gpu_program *p;
    double got[12];
    bool ahead; /* what comes from the host does so */
} story;

static drmad_status tell(drmad_ctx *ctx, story *s, size_t shared)
{
    const gpu_driver *d = drmad_cuda_driver();
    drmad_status st = DRMAD_OK;
    iota_args iota = {.count = 6, .inner = 1, .dim = 6, .to = F64};
    gpu_call call[2] = {{.kernel = GPU_iota, .type = F64}, {.kernel = GPU_iota, .type = F64}};
    char *at;

    TRY(d->open(ctx, 0, &s->g));
    TRY(d->alloc(s->g, ctx, sizeof s->got, &s->device));
    TRY(d->alloc_host(s->g, ctx, sizeof s->got, &s->up));
    TRY(d->alloc_host(s->g, ctx, sizeof s->got, &s->down));
    at = s->device;
    for (int i = 0; i < 2; i++) {
        iota.y = at + (size_t)i * 3 * sizeof(double);
        memcpy(call[i].args, &iota, sizeof iota);
        gpu_geometry(&call[i]);
        call[i].shared = shared;
        call[i].wave = i;
    }
    const gpu_transfer up = {at, s->up, sizeof s->got, s->ahead};
    const gpu_transfer down = {at, s->down, sizeof s->got, false};
    TRY(d->record(s->g, ctx, call, 2, &up, &down, &s->p));
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 12; k++) ((double *)s->up)[k] = 100 * i + k;
        TRY(d->run(s->g, ctx, s->p));
        TRY(d->wait(s->g, ctx));
    }
    memcpy(s->got, s->down, sizeof s->got);
done:
    return st;
}

static void end(story *s)
{
    const gpu_driver *d = drmad_cuda_driver();

    if (!s->g) return;
    d->forget(s->g, s->p);
    d->free(s->g, s->device);
    d->free_host(s->g, s->up);
    d->free_host(s->g, s->down);
    d->close(s->g);
}

TEST(a_program_is_recorded_once_and_runs_in_order)
{
    static const double want[] = {0, 1, 2, 0, 1, 2, 3, 4, 5, 109, 110, 111};
    drmad_ctx *ctx = test_ctx();

    for (int ahead = 0; ahead < 2; ahead++) {
        story s = {.ahead = ahead};
        fake_reset();
        CHECK_OK(ctx, tell(ctx, &s, 0));
        for (int i = 0; i < 12; i++) CHECK_NEAR(s.got[i], want[i], 0);
        CHECK_INT(fake.launches, 2);
        CHECK_INT(fake.shared_asked, 0);
        end(&s);
        CHECK_INT(fake.live, 0);
    }
}

/* Two programs, whose memory comes ahead: neither's copy waits for the other's run, each for its
 * own last, and the run for the copy. */
TEST(what_travels_ahead_waits_for_its_own_program)
{
    enum { N = 6, BYTES = N * sizeof(double) };
    const gpu_driver *d = drmad_cuda_driver();
    drmad_ctx *ctx = test_ctx();
    gpu_program *p[2];
    void *device[2], *host[2];
    double got[N];
    int begun[2];
    gpu *g;

    fake_reset();
    CHECK_OK(ctx, d->open(ctx, 0, &g));
    for (int k = 0; k < 2; k++) {
        CHECK_OK(ctx, d->alloc(g, ctx, BYTES, &device[k]));
        CHECK_OK(ctx, d->alloc_host(g, ctx, BYTES, &host[k]));
        const gpu_transfer up = {device[k], host[k], BYTES, true};
        const gpu_transfer none = {0};
        CHECK_OK(ctx, d->record(g, ctx, NULL, 0, &up, &none, &p[k]));
        begun[k] = fake.begun;
    }
    for (int turn = 0; turn < 6; turn++) {
        const int k = turn % 2;
        double *from = host[k];
        for (int i = 0; i < N; i++) from[i] = 10 * turn + i;
        CHECK_OK(ctx, d->run(g, ctx, p[k]));
        CHECK_INT(fake.waited, begun[k]);
        CHECK_INT(fake.hasty, turn + 1);
        begun[k] = fake.begun;
        CHECK_OK(ctx, d->reach(g, ctx, p[k]));
        CHECK_INT(fake.reached, fake.begun);
        if (turn < 4) continue;
        CHECK_OK(ctx, d->copy(g, ctx, COPY_DOWN, got, device[k], BYTES));
        CHECK(memcmp(got, from, BYTES) == 0);
    }
    for (int k = 0; k < 2; k++) {
        d->forget(g, p[k]);
        d->free(g, device[k]);
        d->free_host(g, host[k]);
    }
    d->close(g);
    CHECK_INT(fake.live, 0);
}

/* 0, 1, ... on their way to the host while the device writes them elsewhere; then from the host. */
typedef struct journey {
    gpu *g;
    void *device, *host, *back;
    gpu_program *p;
} journey;

static drmad_status travel(drmad_ctx *ctx, journey *j)
{
    enum { N = 6, BYTES = N * sizeof(double) };
    const gpu_driver *d = drmad_cuda_driver();
    iota_args iota = {.count = N, .inner = 1, .dim = N, .to = F64};
    gpu_call call = {.kernel = GPU_iota, .type = F64};
    const gpu_transfer none = {0};
    drmad_status st = DRMAD_OK;

    TRY(d->open(ctx, 0, &j->g));
    TRY(d->alloc(j->g, ctx, BYTES, &j->device));
    TRY(d->alloc_host(j->g, ctx, BYTES, &j->host));
    TRY(d->alloc_host(j->g, ctx, BYTES, &j->back));
    iota.y = j->device;
    memcpy(call.args, &iota, sizeof iota);
    gpu_geometry(&call);
    TRY(d->record(j->g, ctx, &call, 1, &none, &none, &j->p));
    TRY(d->run(j->g, ctx, j->p));
    TRY(d->get(j->g, ctx, j->host, j->device, BYTES));
    TRY(d->got(j->g, ctx));
    for (int i = 0; i < N; i++) CHECK_NEAR(((double *)j->host)[i], i, 0);
    for (int i = 0; i < N; i++) ((double *)j->host)[i] += 0.5;
    TRY(d->put(j->g, ctx, j->device, j->host, BYTES));
    TRY(d->get(j->g, ctx, j->back, j->device, BYTES));
    CHECK(memcmp(j->back, j->host, BYTES) != 0);
    TRY(d->got(j->g, ctx));
    CHECK(memcmp(j->back, j->host, BYTES) == 0);
    TRY(d->run(j->g, ctx, j->p));
    TRY(d->reach(j->g, ctx, j->p));
    CHECK_INT(fake.reached, fake.begun);
    CHECK_INT(fake.hasty, 0);
done:
    return st;
}

static void end_journey(const journey *j)
{
    const gpu_driver *d = drmad_cuda_driver();

    if (!j->g) return;
    d->forget(j->g, j->p);
    d->free(j->g, j->device);
    d->free_host(j->g, j->host);
    d->free_host(j->g, j->back);
    d->close(j->g);
}

TEST(what_travels_beside_the_work_waits_for_its_turn)
{
    drmad_ctx *ctx = test_ctx();
    drmad_status st = DRMAD_E_IO;
    int n = 0;

    for (; st != DRMAD_OK && n < 100; n++) { /* each call fails in turn, until none is left to */
        journey j = {.g = NULL};
        fake_reset();
        fake.fail_at = n;
        st = travel(ctx, &j);
        fake.fail_at = -1;
        if (st != DRMAD_OK && j.g)
            CHECK_FAILS(ctx, drmad_cuda_driver()->got(j.g, ctx), st, "failed at");
        end_journey(&j);
        CHECK_INT(fake.live, 0);
    }
    CHECK_OK(ctx, st);
    CHECK(n > 20);
}

/* Nine counts of different lengths into one another's ends: eight and one where they may run at
 * once. */
TEST(calls_of_one_wave_are_one_launch)
{
    enum { CALLS = GPU_MANY + 1, EACH = 400 };
    const gpu_driver *d = drmad_cuda_driver();
    drmad_ctx *ctx = test_ctx();
    double got[CALLS * EACH];

    for (int waves = 0; waves < 2; waves++) {
        gpu_call call[CALLS];
        gpu_program *p = NULL;
        void *at = NULL;
        gpu *g = NULL;
        fake_reset();
        CHECK_OK(ctx, d->open(ctx, 0, &g));
        CHECK_OK(ctx, d->alloc(g, ctx, sizeof got, &at));
        for (int i = 0; i < CALLS; i++) {
            iota_args x = {.y = (double *)at + i * EACH, .inner = 1, .dim = EACH, .to = F64};
            x.count = EACH - 40 * i;
            call[i] = (gpu_call){.kernel = GPU_iota, .type = F64, .wave = waves ? i : 0};
            memcpy(call[i].args, &x, sizeof x);
            gpu_geometry(&call[i]);
        }
        CHECK_OK(ctx, d->record(g, ctx, call, CALLS, NULL, NULL, &p));
        CHECK_INT(fake.launches, waves ? CALLS : 2);
        CHECK_OK(ctx, d->run(g, ctx, p));
        CHECK_OK(ctx, d->copy(g, ctx, COPY_DOWN, got, at, sizeof got));
        for (int i = 0; i < CALLS * EACH; i++)
            CHECK(got[i] == (i % EACH < EACH - 40 * (i / EACH) ? i % EACH : 0));
        d->forget(g, p);
        d->free(g, at);
        d->close(g);
        CHECK_INT(fake.live, 0);
    }
}

/* Where it is told to. The first follows a copy; before 9.0 there is no such thing. */
TEST(a_kernel_behind_another_may_come_early)
{
    drmad_ctx *ctx = test_ctx();
    story usual = {0};

    fake_reset();
    CHECK_OK(ctx, tell(ctx, &usual, 0));
    CHECK_INT(fake.early, 0);
    end(&usual);
    setenv("DRMAD_CUDA_EARLY", "1", 1);
    for (int major = 8; major <= 9; major++) {
        story s = {0};
        fake_reset(), fake.major = major;
        CHECK_OK(ctx, tell(ctx, &s, 0));
        CHECK_INT(fake.early, major - 8);
        end(&s);
    }
    unsetenv("DRMAD_CUDA_EARLY");
}

/* The two calls in one launch where that is asked for: a wave has one block. */
TEST(a_walk_takes_the_place_of_launches)
{
    static const char *const words[] = {"grid", "cluster", "", "grid", "cluster"};
    static const double want[] = {0, 1, 2, 0, 1, 2, 3, 4, 5, 109, 110, 111};
    drmad_ctx *ctx = test_ctx();

    for (int i = 0; i < 5; i++) {
        story s = {0};
        setenv("DRMAD_CUDA_WALK", words[i], 1);
        fake_reset();
        if (i > 2) fake.each = fake.cluster = 0; /* no block finds room */
        CHECK_OK(ctx, tell(ctx, &s, 49153));
        for (int k = 0; k < 12; k++) CHECK_NEAR(s.got[k], want[k], 0);
        CHECK_INT(fake.walks, i < 2);
        CHECK_INT(fake.walkers, i < 2);
        CHECK_INT(fake.launches, i < 2 ? 0 : 2);
        end(&s);
        CHECK_INT(fake.live, 0);
    }
    unsetenv("DRMAD_CUDA_WALK");
}

/* As many blocks as find room, no more than a wave has. */
TEST(a_walk_has_as_many_blocks_as_it_can_use)
{
    static const struct {
        int each, cluster, blocks, grid, clustered;
    } row[] = {{2, 16, 3, 3, 4}, {2, 16, 60, 60, 16}, {2, 8, 60, 60, 8}, {1, 16, 200, 132, 0}};
    drmad_ctx *ctx = test_ctx();
    const gpu_driver *d = drmad_cuda_driver();

    for (int i = 0; i < 8; i++) {
        const iota_args x = {.count = 0, .inner = 1, .dim = 1, .to = F32};
        gpu_call call[2] = {{.kernel = GPU_iota, .type = F32, .threads = GPU_THREADS}};
        gpu_program *p = NULL;
        gpu *g = NULL;
        memcpy(call[0].args, &x, sizeof x);
        call[1] = call[0], call[1].wave = 1;
        call[0].blocks = 1, call[1].blocks = row[i / 2].blocks;
        setenv("DRMAD_CUDA_WALK", i % 2 ? "cluster" : "grid", 1);
        fake_reset(), fake.each = row[i / 2].each, fake.cluster = row[i / 2].cluster;
        CHECK_OK(ctx, d->open(ctx, 0, &g));
        CHECK_OK(ctx, d->record(g, ctx, call, 2, NULL, NULL, &p));
        CHECK_INT(fake.walkers, i % 2 ? row[i / 2].clustered : row[i / 2].grid);
        CHECK_OK(ctx, d->run(g, ctx, p));
        d->forget(g, p);
        d->close(g);
        CHECK_INT(fake.live, 0);
    }
    unsetenv("DRMAD_CUDA_WALK");
}

TEST(a_walk_that_cannot_be_is_refused)
{
    drmad_ctx *ctx = test_ctx();

    setenv("DRMAD_CUDA_WALK", "sideways", 1);
    fake_reset();
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_USAGE,
                "DRMAD_CUDA_WALK=sideways: expected grid or cluster");
    setenv("DRMAD_CUDA_WALK", "cluster", 1);
    fake_reset(), fake.major = 8, fake.minor = 6;
    CHECK_FAILS(ctx, try_open(ctx, 0), DRMAD_E_USAGE, "capability 8.6, clusters begin with 9.0");
    setenv("DRMAD_CUDA_WALK", "grid", 1);
    CHECK_OK(ctx, try_open(ctx, 0));
    unsetenv("DRMAD_CUDA_WALK");
}

TEST(a_block_with_much_shared_memory_asks_for_it)
{
    drmad_ctx *ctx = test_ctx();
    story s = {0};

    fake_reset();
    CHECK_OK(ctx, tell(ctx, &s, 49153));
    CHECK_INT(fake.shared_asked, 2);
    end(&s);
    CHECK_INT(fake.live, 0);
}

TEST(an_empty_kernel_is_left_out)
{
    const gpu_driver *d = drmad_cuda_driver();
    const gpu_call call = {.kernel = GPU_iota, .type = F32, .blocks = 0, .threads = 256};
    drmad_ctx *ctx = test_ctx();
    gpu_program *p = NULL;
    gpu *g = NULL;

    fake_reset();
    CHECK_OK(ctx, d->open(ctx, 0, &g));
    CHECK_OK(ctx, d->record(g, ctx, &call, 1, NULL, NULL, &p));
    CHECK_OK(ctx, d->run(g, ctx, p));
    CHECK_INT(fake.launches, 0);
    d->forget(g, p);
    d->close(g);
}

/* Each call of the runtime fails in turn, as when a GPU is lost, and again as out of memory. */
static void lose(cudaError_t error, bool ahead)
{
    drmad_ctx *ctx = test_ctx();
    int failed = 0;

    for (int n = 0; n < 100; n++) {
        story s = {.ahead = ahead};
        fake_reset();
        fake.fail_at = n, fake.error = error;
        const drmad_status st = tell(ctx, &s, 49153);
        fake.fail_at = -1;
        CHECK(!fake.capturing);
        if (st != DRMAD_OK) {
            failed++;
            CHECK(st == DRMAD_E_IO || st == DRMAD_E_MISSING || st == DRMAD_E_NOMEM);
            if (s.g && st == DRMAD_E_IO)
                CHECK_FAILS(ctx, drmad_cuda_driver()->wait(s.g, ctx), DRMAD_E_IO, "launch failure");
            if (s.g && st == DRMAD_E_NOMEM) CHECK_OK(ctx, drmad_cuda_driver()->wait(s.g, ctx));
        }
        end(&s);
        CHECK_INT(fake.live, 0);
        if (st == DRMAD_OK) break;
    }
    CHECK(failed > 20 && failed < 100);
}

TEST(a_gpu_that_is_lost_ends_all_calls_with_the_first_error)
{
    for (int ahead = 0; ahead < 2; ahead++) lose(cudaErrorLaunchFailure, ahead);
}

TEST(a_gpu_may_be_lost_at_a_walk)
{
    for (int i = 0; i < 4; i++) {
        setenv("DRMAD_CUDA_WALK", i % 2 ? "cluster" : "grid", 1);
        lose(i < 2 ? cudaErrorLaunchFailure : cudaErrorMemoryAllocation, false);
    }
    unsetenv("DRMAD_CUDA_WALK");
}

TEST(memory_that_ends_anywhere_is_told_and_nothing_is_left)
{
    for (int ahead = 0; ahead < 2; ahead++) lose(cudaErrorMemoryAllocation, ahead);
}

static drmad_status tell_and_end(drmad_ctx *ctx, void *arg)
{
    story s = {0};

    (void)arg;
    fake_reset();
    const drmad_status st = tell(ctx, &s, 0);
    end(&s);
    CHECK_INT(fake.live, 0);
    return st;
}

TEST(host_memory_that_ends_in_a_driver_call)
{
    test_oom(tell_and_end, NULL);
}

TEST(host_memory_that_ends_at_a_walk)
{
    setenv("DRMAD_CUDA_WALK", "grid", 1);
    test_oom(tell_and_end, NULL);
    unsetenv("DRMAD_CUDA_WALK");
}
