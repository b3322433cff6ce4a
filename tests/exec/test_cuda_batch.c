/* Runs that are put by and go off together: whatever comes between them, all is as if each had been
 * waited for, to the bit; and a driver whose calls fail. */
#include "counting_driver.h"
#include "cuda_step.h"

/* ---- a life of a device ---- */

enum {
    W = STEP_IN * STEP_OUT,
    ROOM = 48, /* of a vector: whole groups of the grid */
    VECTORS = 5,
    STORY = 70, /* things that happen */
    WIDE_ROWS = 4000
};

typedef struct life {
    drmad_ctx *ctx;
    step s;
    program *other; /* the same step */
    void *v[VECTORS];
    double far[W]; /* of the host: moves from there, or to it */
    double loss[STORY], saw[STORY][W];
    int at, ran[STORY], runs; /* ran: when, of s.p */
    double *wide;             /* a table whose rows travel ahead; NULL: a small one */
    uint64_t random;
} life;

static int below(life *l, int n)
{
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((l->random >> 33) % (uint64_t)n);
}

static drmad_status open_life(life *l, const gpu_driver *d, bool waits)
{
    double start[ROOM];
    drmad_status st = DRMAD_OK;

    if (l->wide) TRY(step_open_table(l->ctx, d, WIDE_ROWS, l->wide, &l->s));
    else TRY(step_open(l->ctx, d, &l->s));
    const backend *on = l->s.on;
    if (waits) l->s.on->wait = NULL; /* no run is put by */
    TRY(program_new(l->ctx, l->s.q, on, &l->other));
    for (int k = 0; k < VECTORS; k++) {
        for (int i = 0; i < ROOM; i++) start[i] = sin(i + 7 * k) / 4;
        TRY(backend_alloc(on, l->ctx, sizeof start, 1, &l->v[k]));
        TRY(on->copy(on, l->ctx, COPY_UP, l->v[k], start, sizeof start));
    }
    for (int i = 0; i < W; i++) l->far[i] = cos(i) / 4;
done:
    return st;
}

static void close_life(life *l)
{
    seen.fail_at = -1;
    program_free(l->other);
    for (int k = 0; k < VECTORS && l->s.on; k++) l->s.on->free(l->s.on, l->ctx, l->v[k]);
    step_close(l->ctx, &l->s);
}

static drmad_status run_step(life *l, program *p, const void *from, void *to, bool later)
{
    step *s = &l->s;

    s->lr = 0.01 * below(l, 9), s->index[3] = below(l, STEP_ROWS);
    double *row = &s->table[STEP_IN * s->index[3]];
    const double was = *row;
    *row = 0.1 * below(l, 9);
    program_set_leaf(p, 0, from);
    program_set_leaf(p, 1, &s->lr);
    program_set_leaf(p, 2, s->table);
    program_set_leaf(p, 3, s->index);
    program_set_output(p, 0, to);
    program_set_output(p, 1, &l->loss[l->at]);
    if (p == s->p && l->runs < STORY) l->ran[l->runs++] = l->at;
    const drmad_status st = later ? program_run_later(p) : program_run(p);
    s->lr = 1e9, s->index[3] = 0, *row = was; /* copied by now */
    return st;
}

static drmad_status run_pass(life *l, const void *w, void *hat)
{
    const backend *on = l->s.on;
    const pass_span span = {0, 32, 0.01};
    const pass_spec p = {
        .kind = PASS_CROSS, .type = F64, .from = w, .hat = hat, .spans = 1, .total = 32};
    const pass_numbers n = {.span = &span};
    void *pass = NULL;
    drmad_status st = DRMAD_OK;

    TRY(on->pass_new(on, l->ctx, &p, &pass));
    TRY(on->pass_run(pass, &n));
done:
    on->pass_free(pass);
    return st;
}

/* Memory that comes and goes, looked at or not. */
static drmad_status use_memory(life *l, const void *from, bool looks)
{
    const backend *on = l->s.on;
    void *a = NULL;
    drmad_status st = DRMAD_OK;

    TRY(backend_alloc(on, l->ctx, ROOM, sizeof(double), &a));
    TRY(on->copy(on, l->ctx, COPY_WITHIN, a, from, W * sizeof(double)));
    if (looks) TRY(on->copy(on, l->ctx, COPY_DOWN, l->saw[l->at], a, W * sizeof(double)));
done:
    on->free(on, l->ctx, a);
    return st;
}

/* Its losses are there, but for the last `leave`. */
static drmad_status wait_for_some(life *l, int32_t leave)
{
    const drmad_status st = program_wait(l->s.p, leave);

    for (int i = 0; i < l->runs - leave && st == DRMAD_OK; i++) CHECK(!isnan(l->loss[l->ran[i]]));
    return st;
}

/* Something that may come between two runs; most of it often does not. */
static drmad_status disturb(life *l, int what)
{
    const backend *on = l->s.on;
    const size_t bytes = W * sizeof(double);
    const int a = below(l, VECTORS), b = (a + 1 + below(l, VECTORS - 1)) % VECTORS;

    switch (what) {
    case 0: return run_step(l, l->other, l->v[a], l->v[b], true);
    case 1: return run_step(l, l->other, l->v[a], l->v[a], false);
    case 2: return on->copy(on, l->ctx, COPY_WITHIN, l->v[a], NULL, bytes / 3);
    case 3: return on->copy(on, l->ctx, COPY_DOWN, l->saw[l->at], l->v[a], bytes);
    case 4: return on->copy(on, l->ctx, COPY_UP, l->v[a], l->far, bytes);
    case 5: return run_pass(l, l->v[a], l->v[b]);
    case 6: return wait_for_some(l, 0);
    case 7: return use_memory(l, l->v[a], true);
    case 8: return use_memory(l, l->v[a], false);
    default: return DRMAD_OK;
    }
}

/* The next thing: mostly runs of one program, copies of its state between them, as in training. */
static drmad_status go_on(life *l, int moves)
{
    const backend *on = l->s.on;
    const int a = below(l, VECTORS), b = (a + 1 + below(l, VECTORS - 1)) % VECTORS;
    const int what = below(l, 24), way = below(l, moves);

    if (what < 5) return on->copy(on, l->ctx, COPY_WITHIN, l->v[a], l->v[b], W * sizeof(double));
    if (what == 5) return disturb(l, below(l, 40));
    if (what == 6) return wait_for_some(l, below(l, 30));
    if (way == 1) return run_step(l, l->s.p, l->v[a], l->v[b], true);
    if (way == 2) return run_step(l, l->s.p, l->v[a], l->v[a], true);
    if (way == 3) return run_step(l, l->s.p, below(l, 2) ? l->v[a] : l->far, l->s.w, true);
    return run_step(l, l->s.p, l->v[0], l->v[0], true);
}

/* moves: 1: the program's memory stays; 3: leaf and output move on the device; 4: the host's too.
 * Only to s.w, which no leaf is, may an output come late. */
static drmad_status live(life *l, const gpu_driver *d, bool waits, int moves)
{
    drmad_status st = DRMAD_OK;

    TRY(open_life(l, d, waits));
    for (l->at = 0; l->at < STORY; l->at++) TRY(go_on(l, moves));
    TRY(program_wait(l->s.p, 0));
    TRY(program_wait(l->other, 0));
    for (int k = 0; k < VECTORS; k++)
        TRY(l->s.on->copy(l->s.on, l->ctx, COPY_DOWN, l->saw[k], l->v[k], W * sizeof(double)));
done:
    return st;
}

static life *new_life(uint64_t seed, bool wide)
{
    life *l = calloc(1, sizeof *l);

    l->ctx = test_ctx();
    l->random = seed;
    if (wide) l->wide = calloc(WIDE_ROWS * STEP_IN, sizeof *l->wide);
    for (int i = 0; i < STORY; i++) l->loss[i] = NAN;
    return l;
}

static void end_life(life *l)
{
    free(l->wide);
    free(l);
}

/* The same story with runs that are waited for and without. */
static void compare(const gpu_driver *d, int i, bool wide, int runs[2])
{
    life *both[2];

    for (int waits = 0; waits < 2; waits++) {
        life *l = both[waits] = new_life((uint64_t)i, wide);
        seen.runs = 0;
        CHECK_OK(l->ctx, live(l, d, waits, i % 3 ? i % 3 + 2 : 1));
        runs[waits] += seen.runs;
        close_life(l);
    }
    const bool same = memcmp(both[0]->loss, both[1]->loss, sizeof both[0]->loss) == 0 &&
                      memcmp(both[0]->saw, both[1]->saw, sizeof both[0]->saw) == 0 &&
                      memcmp(both[0]->s.w, both[1]->s.w, sizeof both[0]->s.w) == 0;
    if (!same) test_fail(__FILE__, __LINE__, "seed %d: other numbers", i);
    for (int waits = 0; waits < 2; waits++) end_life(both[waits]);
}

TEST(nobody_can_tell_that_runs_were_put_by)
{
    const gpu_driver d = counting_driver();
    int runs[2] = {0};

    for (int i = 0; i < test_count(test_sanitized() ? 9 : 90, 3000); i++)
        compare(&d, i, false, runs);
    CHECK(4 * runs[0] < 3 * runs[1]);
    CHECK_INT(seen.live, 0);
}

TEST(nobody_can_tell_that_blocks_travelled_ahead)
{
    const gpu_driver d = counting_driver();
    int runs[2] = {0};

    const int stories = test_count(test_sanitized() ? 6 : 30, 1000);
    for (int i = 0; i < stories; i++) compare(&d, i, true, runs);
    CHECK(seen.ahead > 2 * stories);
    CHECK_INT(seen.live, 0);
}

/* Once, or from then on, as on a GPU that is lost. */
TEST(a_driver_that_fails_is_told_and_nothing_is_left)
{
    const int stride = test_count(test_sanitized() ? 29 : 5, 1);
    int failed = 0;

    for (int k = 0; k < 6; k++)
        for (int at = k; at < 1000; at += stride) {
            const gpu_driver d = counting_driver();
            life *l = new_life((uint64_t)(17 + k), k > 3);
            seen.fail_at = at, seen.for_good = k % 2;
            const drmad_status st = live(l, &d, false, 1 + k % 4);
            const bool over = seen.calls <= at;
            if (!over) CHECK(st == DRMAD_E_IO && strcmp(drmad_errmsg(l->ctx), "made to fail") == 0);
            else CHECK_OK(l->ctx, st);
            close_life(l);
            CHECK_INT(seen.live, 0);
            end_life(l);
            failed += !over;
            if (over) break;
        }
    CHECK(failed > 20);
}

/* What gives no status sends too: the error is told by the next that can. */
TEST(an_error_of_what_cannot_tell_is_told_by_the_next)
{
    const gpu_driver d = counting_driver();
    life *l = new_life(1, false);
    drmad_ctx *ctx = l->ctx;

    CHECK_OK(ctx, open_life(l, &d, false));
    for (int who = 0; who < 3; who++) {
        seen.fail_at = -1;
        CHECK_OK(ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
        seen.fail_at = seen.calls;
        if (who == 0) l->s.on->free(l->s.on, ctx, l->v[4]), l->v[4] = NULL;
        if (who == 1) program_free(l->other), l->other = NULL;
        if (who == 2) CHECK_OK(ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
        CHECK_FAILS(ctx, program_wait(l->s.p, 0), DRMAD_E_IO, "made to fail");
        CHECK_OK(ctx, program_wait(l->s.p, 0));
    }
    CHECK_OK(ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
    CHECK_OK(ctx, program_wait(l->s.p, 0));
    close_life(l);
    end_life(l);
}

/* ---- figures ---- */

typedef struct figures {
    int runs, copies;
} figures;

/* 32 runs once all is recorded, with `copies` of the state before each. */
static figures count_runs(life *l, int n, int copies)
{
    const backend *on = l->s.on;

    for (int turn = 0; turn < 3; turn++) {
        seen.runs = seen.copies = 0;
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < copies; k++)
                CHECK_OK(l->ctx, on->copy(on, l->ctx, COPY_WITHIN, l->v[1 + k], l->v[0],
                                          W * sizeof(double)));
            CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
        }
        CHECK_OK(l->ctx, program_wait(l->s.p, 0));
    }
    return (figures){seen.runs, seen.copies};
}

TEST(eight_runs_are_one_launch)
{
    const gpu_driver d = counting_driver();
    life *l = new_life(1, false);

    CHECK_OK(l->ctx, open_life(l, &d, false));
    CHECK_INT(count_runs(l, 32, 0).runs, 4);
    CHECK_INT(count_runs(l, 40, 0).runs, 5);
    CHECK_INT(count_runs(l, 7, 0).runs, 3);
    CHECK_INT(count_runs(l, 13, 0).runs, 3);
    const figures f = count_runs(l, 32, 2);
    CHECK_INT(f.runs, 4);
    CHECK_INT(f.copies, 0);
    CHECK(program_bytes(l->s.p) < l->s.q->counts.arena + 65536);
    close_life(l);
    end_life(l);
}

static void *no_memory(void *user, void *ptr, size_t size)
{
    (void)user, (void)ptr, (void)size;
    return NULL;
}

/* Once all is recorded. */
TEST(runs_are_put_by_without_memory)
{
    const gpu_driver d = counting_driver();
    life *l = new_life(1, false);

    CHECK_OK(l->ctx, open_life(l, &d, false));
    count_runs(l, 45, 2);
    drmad_alloc_fn *const usual = l->ctx->alloc;
    l->ctx->alloc = no_memory;
    count_runs(l, 45, 2);
    l->ctx->alloc = usual;
    close_life(l);
    end_life(l);
}

/* What is not small goes off at once. */
TEST(runs_with_large_blocks_go_alone)
{
    enum { MANY = 10000, RUNS = 20 };
    const gpu_driver d = counting_driver();
    drmad_ctx *ctx = test_ctx();
    static double x[MANY], y[RUNS];
    plan_output out[1];
    backend *on = NULL;
    graph *g = NULL;
    plan *q = NULL;
    program *p = NULL;

    CHECK_OK(ctx, cuda_backend_new(ctx, &d, 0, &on));
    CHECK_OK(ctx, graph_new(ctx, &g));
    node leaf = graph_add_leaf(g, "x", F64, SHAPE(MANY));
    out[0] = (plan_output){g_dot(g, leaf, leaf), -1};
    CHECK_OK(ctx, plan_new(ctx, g, out, 1, on->target, &q));
    CHECK_OK(ctx, program_new(ctx, q, on, &p));
    program_set_leaf(p, 0, x);
    for (int i = 0; i < RUNS; i++) {
        x[5] = i;
        program_set_output(p, 0, &y[i]);
        CHECK_OK(ctx, program_run_later(p));
        CHECK_INT(seen.runs, i + 1);
    }
    CHECK_OK(ctx, program_wait(p, 0));
    for (int i = 0; i < RUNS; i++) CHECK_NEAR(y[i], i * i, 0);
    program_free(p);
    plan_free(q);
    graph_free(g);
    cuda_backend_free(on);
}

/* The ring goes round: batches end with it, and there are no more programs with each turn. */
TEST(the_oldest_runs_alone_are_waited_for)
{
    enum { TURNS = 40, EACH = 16, LEFT = 16 };
    const gpu_driver d = counting_driver();
    life *l = new_life(1, false);
    int programs[2] = {0};

    CHECK_OK(l->ctx, open_life(l, &d, false));
    for (int turn = 0; turn < TURNS; turn++) {
        for (l->at = turn % 2 * EACH; l->at < (turn % 2 + 1) * EACH; l->at++) {
            CHECK(turn < 3 || !isnan(l->loss[l->at]));
            l->loss[l->at] = NAN;
            CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
        }
        CHECK_OK(l->ctx, program_wait(l->s.p, LEFT));
        CHECK_INT(seen.reached, turn);
        for (int i = 0; i < EACH && turn > 0; i++)
            CHECK(!isnan(l->loss[(1 - turn % 2) * EACH + i]) &&
                  isnan(l->loss[turn % 2 * EACH + i]));
        if (turn < 2) programs[turn] = seen.live;
        if (turn > 3) CHECK_INT(seen.live, programs[1]);
    }
    CHECK_INT(seen.runs, TURNS * EACH / 8);
    CHECK_OK(l->ctx, program_wait(l->s.p, 0));
    close_life(l);
    end_life(l);
}

/* Where there is no room for three blocks, as before. */
TEST(blocks_travel_ahead_where_there_is_room)
{
    const size_t block = WIDE_ROWS * STEP_IN * sizeof(double);
    const gpu_driver d = counting_driver();
    double last[2];

    for (int few = 0; few < 2; few++) {
        life *l = new_life(1, true);
        CHECK_OK(l->ctx, open_life(l, &d, false));
        cuda_backend_share(l->s.on, cuda_backend_used(l->s.on) + (few ? 2 : 4) * block, 1);
        seen.ahead = seen.runs = 0;
        for (l->at = 0; l->at < 9; l->at++)
            CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
        CHECK_INT(seen.runs, 9);
        CHECK_OK(l->ctx, program_wait(l->s.p, 0));
        CHECK_INT(seen.ahead, few ? 0 : 3);
        for (int i = 0; i < 3 && !few; i++) CHECK(seen.block[i] != seen.block[(i + 1) % 3]);
        CHECK(program_bytes(l->s.p) / block == (few ? 1 : 3));
        last[few] = l->loss[8];
        close_life(l);
        end_life(l);
    }
    CHECK(last[0] == last[1]);
}

/* ---- an index outside its table ---- */

enum { RUNS = 19 }; /* two batches and a rest */

/* From the same state, with an index that is bad in run `bad` and another three runs later. */
static drmad_status run_badly(life *l, int bad)
{
    int32_t *index = l->s.index;
    drmad_status st = DRMAD_OK;

    l->random = 5;
    TRY(l->s.on->copy(l->s.on, l->ctx, COPY_UP, l->v[0], l->far, sizeof l->far));
    for (l->at = 0; l->at < RUNS; l->at++) {
        index[0] = l->at == bad ? STEP_ROWS + bad : 0;
        index[1] = l->at == bad + 3 ? -1 : 3;
        TRY(run_step(l, l->s.p, l->v[0], l->v[0], true));
    }
done:
    return st == DRMAD_OK ? program_wait(l->s.p, 0) : st;
}

/* As many as `left` are left at each look; none is once it is told. */
TEST(a_bad_index_is_told_once_whatever_is_left_under_way)
{
    const gpu_driver d = counting_driver();
    char want[64];

    for (int left = 1; left < RUNS; left++)
        for (int bad = 0; bad < RUNS; bad += 3) {
            life *l = new_life(1, false);
            drmad_status st = DRMAD_OK;
            CHECK_OK(l->ctx, open_life(l, &d, false));
            for (l->at = 0; l->at < 2 * RUNS && st == DRMAD_OK; l->at++) {
                l->s.index[0] = l->at == bad ? STEP_ROWS + bad : 0;
                l->s.index[1] = l->at == bad + 1 ? -1 : 3;
                CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
                st = program_wait(l->s.p, left);
            }
            snprintf(want, sizeof want, "index %d of a table of 20 rows", STEP_ROWS + bad);
            CHECK_INT(st, DRMAD_E_DATA);
            CHECK_STR(drmad_errmsg(l->ctx), want);
            for (int i = 0; i < l->at; i++) CHECK(!isnan(l->loss[i]));
            CHECK_OK(l->ctx, program_wait(l->s.p, 0));
            l->s.index[0] = l->s.index[1] = 0;
            CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[0], l->v[0], true));
            CHECK_OK(l->ctx, program_wait(l->s.p, 0)); /* the flags are clear */
            close_life(l);
            end_life(l);
        }
}

TEST(a_bad_index_in_any_run_of_a_batch_is_told)
{
    const gpu_driver d = counting_driver();
    life *l = new_life(1, false);
    double good[RUNS];
    char want[64];

    CHECK_OK(l->ctx, open_life(l, &d, false));
    CHECK_OK(l->ctx, run_badly(l, RUNS));
    memcpy(good, l->loss, sizeof good);
    for (int bad = 0; bad < RUNS; bad++) {
        snprintf(want, sizeof want, "index %d of a table of 20 rows", STEP_ROWS + bad);
        CHECK_FAILS(l->ctx, run_badly(l, bad), DRMAD_E_DATA, want);
        CHECK(memcmp(good, l->loss, (size_t)bad * sizeof *good) == 0);
        CHECK_OK(l->ctx, run_badly(l, RUNS)); /* it is forgotten */
        CHECK(memcmp(good, l->loss, sizeof good) == 0);
    }
    CHECK(good[2] != good[3]);
    close_life(l);
    end_life(l);
}

/* A host that waits for what a pass has found leaves the device work meanwhile. */
TEST(what_is_put_by_goes_off_before_a_pass_is_waited_for)
{
    life *l = calloc(1, sizeof *l);
    const gpu_driver d = counting_driver();
    const pass_span span = {0, 32, 0.01};
    const pass_numbers n = {.span = &span};
    void *pass, *list;

    l->ctx = test_ctx();
    CHECK_OK(l->ctx, open_life(l, &d, false));
    const backend *on = l->s.on;
    const pass_spec p = {
        .kind = PASS_CROSS, .type = F64, .from = l->v[0], .hat = l->v[1], .spans = 1, .total = 32};
    CHECK_OK(l->ctx, on->pass_new(on, l->ctx, &p, &pass));
    CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[2], l->v[2], true));
    CHECK_OK(l->ctx, on->pass_run(pass, &n));
    CHECK_OK(l->ctx, run_step(l, l->s.p, l->v[2], l->v[2], true));
    const int64_t before = seen.runs;
    CHECK_OK(l->ctx, on->pass_block(pass, &list));
    CHECK_INT(seen.runs - before, 1);
    on->pass_free(pass);
    close_life(l);
    free(l);
}
