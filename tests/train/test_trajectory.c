/* The contract of trajectories, kind by kind. The states come from a toy training run: a noisy
 * walk drawn from the counter-based generator, so that any step can be run again. */
#include "train/traj_fixture.h"
#include <fcntl.h>
#include <unistd.h>

/* Runs forwards and back, and compares every state with the walk made again from the start. */
static void check_exact(fixture *f, trajectory *tr)
{
    traj_view v;

    fixture_forward(f, tr);
    for (int64_t t = f->spec.steps - 1; t >= 0; t--) {
        CHECK_OK(f->ctx, traj_load(tr, t, &v));
        CHECK(v.exact);
        CHECK(fixture_same(f, v.now[0], t, 0) && fixture_same(f, v.next[0], t + 1, 0));
        CHECK(fixture_same(f, v.now[1], t, 1) && fixture_same(f, v.next[1], t + 1, 1));
    }
}

TEST(full_gives_every_state_back)
{
    fixture f;
    trajectory *tr;

    fixture_make(&f, F32, 37, 2);
    f.spec.kind = TRAJ_FULL;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    check_exact(&f, tr);
    check_exact(&f, tr); /* and once more */
    CHECK(traj_stats_of(tr).bytes_held <= traj_estimate(&f.spec));
    CHECK(traj_stats_of(tr).bytes_held >= 38 * 2 * (size_t)f.params->total * 4);
    traj_free(tr);
    fixture_free(&f);
}

/* T prime, T a square, T = 1 and 2: segments of every awkward length. */
TEST(replay_equals_full_bit_for_bit)
{
    static const int64_t steps[] = {1, 2, 3, 16, 37, 101};

    for (size_t i = 0; i < COUNT(steps); i++) {
        fixture f;
        trajectory *tr;

        fixture_make(&f, i % 2 ? F64 : F32, steps[i], 2);
        f.spec.kind = TRAJ_REPLAY;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        check_exact(&f, tr);
        check_exact(&f, tr);
        CHECK(traj_stats_of(tr).recomputed < steps[i]);
        CHECK_INT(traj_stats_of(tr).bytes_spilled, 0);
        CHECK_INT(traj_stats_of(tr).bytes_held, traj_estimate(&f.spec));
        traj_free(tr);
        fixture_free(&f);
    }
}

/* Every limit from the least possible to "all fits": the same bits, and never more memory than
 * allowed. */
TEST(replay_spills_under_any_limit)
{
    const char *dir = test_scratch();

    for (size_t states = 2; states <= 16; states++) {
        fixture f;
        trajectory *tr;

        fixture_make(&f, F32, 50, 2);
        size_t one = 2 * (size_t)f.params->total * 4 + sizeof(void *);
        f.spec.kind = TRAJ_REPLAY;
        f.spec.memory = states * one + 1024; /* the object itself */
        f.spec.spill_dir = dir;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        check_exact(&f, tr);
        CHECK(traj_stats_of(tr).bytes_held <= f.spec.memory);
        CHECK_INT(traj_stats_of(tr).bytes_spilled > 0,
                  states < 15); /* 7 segments of 8: 8 + 7 states */
        traj_free(tr);
        fixture_free(&f);
    }
}

TEST(replay_refuses_what_cannot_fit)
{
    fixture f;
    trajectory *tr;

    fixture_make(&f, F32, 50, 2);
    f.spec.kind = TRAJ_REPLAY;
    f.spec.memory = 5 * 2 * (size_t)f.params->total * 4;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &f.spec, &tr), DRMAD_E_NOMEM, "no folder to spill to");
    CHECK(tr == NULL);
    f.spec.spill_dir = "/nonexistent/folder";
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &f.spec, &tr), DRMAD_E_IO, "/nonexistent/folder");
    CHECK(tr == NULL);
    f.spec.spill_dir = test_scratch();
    f.spec.memory = 100;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &f.spec, &tr), DRMAD_E_NOMEM, "expected 2 or more");
    f.spec.step = NULL;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &f.spec, &tr), DRMAD_E_USAGE, "needs the training step");
    fixture_free(&f);
}

/* /dev/full takes no byte: what a full disk looks like. */
TEST(spill_reports_a_full_disk)
{
    drmad_ctx *ctx = test_ctx();
    char data[64] = "x";
    spill s = {.fd = open("/dev/full", O_RDWR), .dir = "/dev/full"};

    CHECK(s.fd >= 0);
    CHECK_FAILS(ctx, spill_write(ctx, &s, data, sizeof data, 0), DRMAD_E_IO,
                "/dev/full: 64 bytes at 0 not written");
    spill_close(&s);
    CHECK_OK(ctx, spill_open(ctx, test_scratch(), &s));
    CHECK_OK(ctx, spill_write(ctx, &s, data, sizeof data, 128));
    CHECK_FAILS(ctx, spill_read(ctx, &s, data, sizeof data, 160), DRMAD_E_IO,
                "the file ends before");
    spill_close(&s);
}

static drmad_status step_fails(void *user, int64_t t, void *const from[], void *const to[])
{
    (void)from;
    (void)to;
    return FAIL(((fixture *)user)->ctx, DRMAD_E_DIVERGED, "step %lld", (long long)t);
}

TEST(replay_passes_on_the_failure_of_a_step)
{
    fixture f;
    trajectory *tr;
    traj_view v;

    fixture_make(&f, F32, 9, 2);
    f.spec.kind = TRAJ_REPLAY;
    f.spec.step = step_fails;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    fixture_forward(&f, tr);
    for (int64_t t = 8; t >= 6; t--)
        CHECK_OK(f.ctx, traj_load(tr, t, &v)); /* the last segment was kept */
    CHECK_FAILS(f.ctx, traj_load(tr, 5, &v), DRMAD_E_DIVERGED, "step 3");
    CHECK_FAILS(f.ctx, traj_load(tr, 5, &v), DRMAD_E_USAGE, "out of order");
    traj_free(tr);
    fixture_free(&f);
}

TEST(line_joins_start_and_end)
{
    for (int d = 0; d < 2; d++) {
        fixture f;
        trajectory *tr;
        traj_view v;

        fixture_make(&f, d ? F64 : F32, 10, 1);
        f.spec.kind = TRAJ_LINE;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        fixture_forward(&f, tr);
        for (int64_t t = 9; t >= 0; t--) {
            CHECK_OK(f.ctx, traj_load(tr, t, &v));
            CHECK(!v.exact && !v.now[1] && !v.next[1] && !v.masks);
            for (int64_t i = 0; i < f.params->total; i += 7) {
                double a = fixture_value(&f, 0, i), b = fixture_value(&f, 10, i);
                double tol =
                    d ? 1e-15 : 5e-7; /* rounding of three operations on values of about 1 */
                CHECK_NEAR(fixture_read(&f, v.now[0], i), a + (double)t / 10 * (b - a), tol);
                CHECK_NEAR(fixture_read(&f, v.next[0], i), a + (double)(t + 1) / 10 * (b - a), tol);
            }
            if (t == 9) CHECK(fixture_same(&f, v.next[0], 10, 0));
            if (t == 0) CHECK(fixture_same(&f, v.now[0], 0, 0));
        }
        traj_free(tr);
        fixture_free(&f);
    }
}

TEST(auto_is_full_while_it_fits)
{
    fixture f;
    trajectory *tr;

    fixture_make(&f, F32, 20, 2);
    f.spec.kind = TRAJ_AUTO;
    for (int i = 0; i < 3; i++) {
        f.spec.kind = TRAJ_FULL;
        size_t full = traj_estimate(&f.spec);
        f.spec.kind = TRAJ_AUTO;
        f.spec.memory = i == 0 ? 0 : i == 1 ? full : full - 1;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        CHECK_INT(traj_kind_of(tr), i == 2 ? TRAJ_GRID : TRAJ_FULL);
        traj_free(tr);
    }
    CHECK_STR(traj_kind_name(TRAJ_REPLAY), "replay");
    CHECK_STR(traj_kind_name(TRAJ_AUTO), "auto");
    fixture_free(&f);
}

TEST(calls_out_of_order_are_refused)
{
    static const traj_kind kind[] = {TRAJ_FULL, TRAJ_REPLAY, TRAJ_GRID, TRAJ_LINE};

    for (size_t i = 0; i < COUNT(kind); i++) {
        fixture f;
        trajectory *tr;
        traj_view v;

        fixture_make(&f, F32, 4, 2);
        f.spec.kind = kind[i];
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        CHECK_FAILS(f.ctx, traj_load(tr, 3, &v), DRMAD_E_USAGE, "expected 0 to be recorded");
        CHECK_FAILS(f.ctx, traj_record(tr, 1, f.state, NULL), DRMAD_E_USAGE, "expected 0");
        CHECK_OK(f.ctx, traj_record(tr, 0, f.state, NULL));
        CHECK_FAILS(f.ctx, traj_record(tr, 0, f.state, NULL), DRMAD_E_USAGE, "expected 1");
        CHECK_OK(f.ctx, traj_begin(tr));
        fixture_forward(&f, tr);
        CHECK_FAILS(f.ctx, traj_record(tr, 5, f.state, NULL), DRMAD_E_USAGE,
                    "expected 3 to be loaded");
        CHECK_FAILS(f.ctx, traj_load(tr, 2, &v), DRMAD_E_USAGE, "expected 3");
        CHECK_OK(f.ctx, traj_load(tr, 3, &v));
        CHECK_FAILS(f.ctx, traj_load(tr, 3, &v), DRMAD_E_USAGE, "expected 2");
        for (int64_t t = 2; t >= 0; t--) CHECK_OK(f.ctx, traj_load(tr, t, &v));
        CHECK_FAILS(f.ctx, traj_load(tr, -1, &v), DRMAD_E_USAGE, "out of order");
        traj_free(tr);
        fixture_free(&f);
    }
}

TEST(bad_settings_are_refused)
{
    fixture f;
    trajectory *tr;
    traj_spec s;

    fixture_make(&f, F32, 4, 1);
    s = f.spec;
    s.steps = 0;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &s, &tr), DRMAD_E_USAGE, "0 steps");
    s = f.spec, s.dtype = I32;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &s, &tr), DRMAD_E_USAGE, "i32");
    s = f.spec, s.vectors = 0;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &s, &tr), DRMAD_E_USAGE, "0 vectors");
    s = f.spec, s.steps = INT64_MAX / 2;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &s, &tr), DRMAD_E_USAGE, "more than can be counted");
    s = f.spec, s.params = NULL;
    CHECK_FAILS(f.ctx, traj_new(f.ctx, &s, &tr), DRMAD_E_USAGE, "no parameters");
    fixture_free(&f);
}

/* Forwards and back again under failing allocations, with the fixture made beforehand on another
 * context. */
static drmad_status whole_run(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    fixture *f = arg;
    trajectory *tr = NULL;
    traj_view v;

    TRY(traj_new(ctx, &f->spec, &tr));
    for (int64_t t = 0; t <= f->spec.steps; t++) {
        fixture_at(f, t);
        TRY(traj_record(tr, t, f->state, f->masks));
    }
    for (int64_t t = f->spec.steps - 1; t >= 0; t--) TRY(traj_load(tr, t, &v));
done:
    traj_free(tr);
    return st;
}

TEST(no_allocation_is_trusted)
{
    static const traj_kind kind[] = {TRAJ_FULL, TRAJ_REPLAY, TRAJ_GRID, TRAJ_LINE};
    const char *dir = test_scratch();

    for (size_t i = 0; i < COUNT(kind); i++) {
        fixture f;

        fixture_make(&f, F32, 12, 2);
        f.spec.kind = kind[i];
        f.spec.mask_bytes = sizeof f.masks;
        test_oom(whole_run, &f);
        f.spec.memory = 4 * 2 * (size_t)f.params->total * 4;
        f.spec.spill_dir = dir;
        test_oom(whole_run, &f);
        fixture_free(&f);
    }
}
