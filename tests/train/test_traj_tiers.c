/* replay on a device: checkpoints that it cannot hold lie in host memory. */
#include "gpu_driver.h"
#include "train/traj_fixture.h"
#include <string.h>

enum { STEPS = 50, VECTORS = 2 };

/* The fixture's run with its states on a device. */
typedef struct there {
    fixture f;
    backend *on;
    size_t bytes; /* of a vector */
    void *state[VECTORS];
    char *copy[2][VECTORS]; /* host: of states before and behind a step */
} there;

static size_t state_bytes(const there *p)
{
    return VECTORS * p->bytes + sizeof(void *);
}

/* The least that a limit can be for so many states: the object comes on top. */
static size_t room_for(const there *p, size_t states)
{
    return states * state_bytes(p) + 1024;
}

static drmad_status step_there(void *user, int64_t t, void *const from[], void *const to[])
{
    there *p = user;
    const backend *on = p->on;
    void *const *before = (void *const *)(void *)p->copy[0];
    void *const *behind = (void *const *)(void *)p->copy[1];
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < VECTORS; k++)
        TRY(on->copy(on, p->f.ctx, COPY_DOWN, before[k], from[k], p->bytes));
    TRY(fixture_step(&p->f, t, before, behind));
    for (int k = 0; k < VECTORS; k++)
        TRY(on->copy(on, p->f.ctx, COPY_UP, to[k], behind[k], p->bytes));
done:
    return st;
}

static void open_there(there *p)
{
    *p = (there){.on = NULL};
    fixture_make(&p->f, F32, STEPS, VECTORS);
    p->bytes = (size_t)p->f.params->total * dtype_size(F32);
    CHECK_OK(p->f.ctx, cuda_backend_new(p->f.ctx, gpu_test_driver(), 0, &p->on));
    for (int k = 0; k < VECTORS; k++) {
        CHECK_OK(p->f.ctx, p->on->alloc(p->on, p->f.ctx, p->bytes, &p->state[k]));
        for (int i = 0; i < 2; i++) p->copy[i][k] = calloc(1, p->bytes);
    }
    p->f.spec.kind = TRAJ_REPLAY;
    p->f.spec.on = p->on;
    p->f.spec.step = step_there;
    p->f.spec.user = p;
}

static void close_there(there *p)
{
    for (int k = 0; k < VECTORS; k++) {
        p->on->free(p->on, p->f.ctx, p->state[k]);
        for (int i = 0; i < 2; i++) free(p->copy[i][k]);
    }
    cuda_backend_free(p->on);
    fixture_free(&p->f);
}

static drmad_status forward(there *p, trajectory *tr)
{
    const backend *on = p->on;
    drmad_status st = DRMAD_OK;

    TRY(traj_begin(tr));
    for (int64_t t = 0; t <= STEPS; t++) {
        for (int k = 0; k < VECTORS; k++)
            TRY(on->copy(on, tr->ctx, COPY_UP, p->state[k], fixture_vector(&p->f, t, k), p->bytes));
        TRY(traj_record(tr, t, p->state, NULL));
    }
done:
    return st;
}

static void check_state(there *p, const void *const v[], int64_t t)
{
    for (int k = 0; k < VECTORS; k++) {
        CHECK_OK(p->f.ctx, p->on->copy(p->on, p->f.ctx, COPY_DOWN, p->copy[0][k], v[k], p->bytes));
        CHECK(fixture_same(&p->f, p->copy[0][k], t, k));
    }
}

static void check_exact(there *p, trajectory *tr)
{
    traj_view v;

    CHECK_OK(p->f.ctx, forward(p, tr));
    for (int64_t t = STEPS - 1; t >= 0; t--) {
        CHECK_OK(p->f.ctx, traj_load(tr, t, &v));
        CHECK(v.exact);
        check_state(p, v.now, t);
        check_state(p, v.next, t + 1);
    }
}

/* Every room from the least possible to "all fits", as for spilling; nothing goes to a file. */
TEST(replay_on_a_device_keeps_the_rest_in_host_memory)
{
    for (size_t states = 2; states <= 16; states++) {
        trajectory *tr;
        there p;

        open_there(&p);
        p.f.spec.room = room_for(&p, states);
        p.f.spec.memory = room_for(&p, STEPS + 1);
        CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr));
        CHECK(traj_estimate(&p.f.spec) <= p.f.spec.room);
        CHECK(cuda_backend_used(p.on) <= p.f.spec.room + VECTORS * p.bytes);
        check_exact(&p, tr);
        check_exact(&p, tr);
        CHECK_INT(traj_stats_of(tr).bytes_spilled > 0, states < 15);
        CHECK(traj_stats_of(tr).bytes_held <= p.f.spec.room + p.f.spec.memory);
        traj_free(tr);
        close_there(&p);
    }
}

/* 9 states there: 2 slots and a segment of 7 between; so 8 checkpoints are beyond. */
TEST(replay_on_a_device_says_when_host_memory_ends)
{
    trajectory *tr;
    there p;

    open_there(&p);
    p.f.spec.room = room_for(&p, 9);
    p.f.spec.memory = 8 * state_bytes(&p);
    CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr));
    traj_free(tr);
    p.f.spec.kind = TRAJ_AUTO;
    CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr));
    CHECK_INT(traj_kind_of(tr), TRAJ_REPLAY);
    traj_free(tr);
    p.f.spec.memory--;
    CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr));
    CHECK_INT(traj_kind_of(tr), TRAJ_GRID);
    traj_free(tr);
    p.f.spec.kind = TRAJ_REPLAY;
    CHECK_FAILS(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr), DRMAD_E_NOMEM, "trajectory.spill_dir");
    CHECK(tr == NULL);
    p.f.spec.spill_dir = test_scratch(); /* as in host memory: a file */
    CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &p.f.spec, &tr));
    check_exact(&p, tr);
    traj_free(tr);
    close_there(&p);
}

static drmad_status whole_walk(drmad_ctx *ctx, void *arg)
{
    there *p = arg;
    const there kept = *p;
    traj_spec s = p->f.spec;
    drmad_status st = DRMAD_OK;
    trajectory *tr = NULL;
    traj_view v;

    p->on = NULL;
    for (int k = 0; k < VECTORS; k++) p->state[k] = NULL;
    TRY(cuda_backend_new(ctx, &gpu_host_driver, 0, &p->on));
    for (int k = 0; k < VECTORS; k++) TRY(p->on->alloc(p->on, ctx, p->bytes, &p->state[k]));
    s.on = p->on;
    TRY(traj_new(ctx, &s, &tr));
    TRY(forward(p, tr));
    for (int64_t t = STEPS - 1; t >= 0; t--) TRY(traj_load(tr, t, &v));
done:
    traj_free(tr);
    for (int k = 0; p->on && k < VECTORS; k++) p->on->free(p->on, ctx, p->state[k]);
    cuda_backend_free(p->on);
    *p = kept;
    return st;
}

TEST(replay_on_a_device_runs_out_of_memory_cleanly)
{
    there p;

    open_there(&p);
    p.f.spec.room = room_for(&p, 6);
    p.f.spec.memory = room_for(&p, STEPS + 1);
    test_oom(whole_walk, &p);
    close_there(&p);
}
