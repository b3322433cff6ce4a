/* The grid's passes on a device: the log and the states of host memory, to the bit. */
#include "gpu_driver.h"
#include "train/traj_fixture.h"

enum { STEPS = 40 };

typedef struct pair {
    fixture f;
    trajectory *here, *there;
    backend *on;
    void *state[TRAJ_VECTORS]; /* the device's */
    size_t bytes;
} pair;

/* What travels, counted at the driver. */
static struct {
    const gpu_driver *real;
    int64_t up, down, waits;
} road;

static drmad_status count_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                               size_t bytes)
{
    if (way == COPY_UP) road.up += (int64_t)bytes;
    if (way == COPY_DOWN) road.down += (int64_t)bytes;
    road.waits += way != COPY_WITHIN;
    return road.real->copy(g, ctx, way, to, from, bytes);
}

static drmad_status count_put(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    road.up += (int64_t)bytes;
    return road.real->put(g, ctx, to, from, bytes);
}

static drmad_status count_get(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    road.down += (int64_t)bytes;
    return road.real->get(g, ctx, to, from, bytes);
}

static drmad_status count_got(gpu *g, drmad_ctx *ctx)
{
    road.waits++;
    return road.real->got(g, ctx);
}

static void open_pair(pair *p, dtype d, int32_t vectors)
{
    static gpu_driver counting;

    road.real = gpu_test_driver();
    counting = *road.real;
    counting.copy = count_copy, counting.put = count_put;
    counting.get = count_get, counting.got = count_got;
    fixture_make_wide(&p->f, d, STEPS, vectors, 300);
    p->f.spec.kind = TRAJ_GRID;
    p->bytes = (size_t)p->f.params->total * dtype_size(d);
    CHECK_OK(p->f.ctx, cuda_backend_new(p->f.ctx, &counting, 0, &p->on));
    for (int32_t k = 0; k < vectors; k++)
        CHECK_OK(p->f.ctx, p->on->alloc(p->on, p->f.ctx, p->bytes, &p->state[k]));
}

static void close_pair(pair *p)
{
    traj_free(p->here);
    traj_free(p->there);
    for (int32_t k = 0; k < p->f.spec.vectors; k++) p->on->free(p->on, p->f.ctx, p->state[k]);
    cuda_backend_free(p->on);
    fixture_free(&p->f);
}

/* Both trajectories of the fixture's states so far. */
static void make_pair(pair *p)
{
    traj_spec s = p->f.spec;

    CHECK_OK(p->f.ctx, traj_new(p->f.ctx, &s, &p->here));
    s.on = p->on;
    CHECK_OK(p->f.ctx, traj_new(p->f.ctx, &s, &p->there));
}

static drmad_status record_there(pair *p, int64_t t)
{
    const backend *on = p->on;

    fixture_at(&p->f, t);
    for (int32_t k = 0; k < p->f.spec.vectors; k++)
        CHECK_OK(p->f.ctx, on->copy(on, p->f.ctx, COPY_UP, p->state[k], p->f.state[k], p->bytes));
    return traj_record(p->there, t, p->state, t < STEPS ? p->f.masks : NULL);
}

static void check_vector(pair *p, const void *there, const void *here, int64_t t)
{
    void *copy = malloc(p->bytes);

    CHECK_OK(p->f.ctx, p->on->copy(p->on, p->f.ctx, COPY_DOWN, copy, there, p->bytes));
    if (memcmp(copy, here, p->bytes) != 0)
        test_fail(__FILE__, __LINE__, "another state %lld", (long long)t);
    free(copy);
}

static void check_walk(pair *p)
{
    traj_view here, there;

    fixture_forward(&p->f, p->here);
    CHECK_OK(p->f.ctx, traj_begin(p->there));
    for (int64_t t = 0; t <= STEPS; t++) CHECK_OK(p->f.ctx, record_there(p, t));
    CHECK_INT(traj_stats_of(p->there).events, traj_stats_of(p->here).events);
    CHECK_INT((int64_t)traj_stats_of(p->there).bytes_logged,
              (int64_t)traj_stats_of(p->here).bytes_logged);
    CHECK(traj_stats_of(p->here).events > 1000);
    for (int64_t t = STEPS - 1; t >= 0; t--) {
        CHECK_OK(p->f.ctx, traj_load(p->here, t, &here));
        CHECK_OK(p->f.ctx, traj_load(p->there, t, &there));
        check_vector(p, there.now[0], here.now[0], t);
        check_vector(p, there.next[0], here.next[0], t + 1);
        if (here.low) check_vector(p, there.low, here.low, t);
        CHECK(!here.masks || memcmp(here.masks, there.masks, sizeof p->f.masks) == 0);
    }
}

/* Among them jumps that a byte does not tell, and more than the log tells one by one; and a layer
 * that starts at zero, whose tau doubles as it grows. */
static void jump(pair *p)
{
    static const double by[] = {0, 0.02, -0.03, 0.05, -0.2, 9, 300, 0, -0.015};

    for (int64_t t = 0; t <= STEPS; t++) {
        const param *late = &p->f.params->at[2], *last = &p->f.params->at[3];
        void *w = fixture_vector(&p->f, t, 0);
        for (int64_t i = late->offset; i < last->offset + last->count; i++)
            fixture_write(&p->f, w, i, fixture_value(&p->f, t, i) * (double)t / STEPS);
        for (int64_t i = 0; i < 40 && t > 0; i++)
            fixture_write(&p->f, w, 7 * i,
                          fixture_value(&p->f, t, 7 * i) + by[(t * (i + 3)) % (int64_t)COUNT(by)]);
    }
}

TEST(crossings_on_a_device_are_those_in_host_memory)
{
    for (int d = 0; d < 2; d++)
        for (int masks = 0; masks < 2; masks++) {
            pair p = {.here = NULL};
            open_pair(&p, d ? F64 : F32, 1);
            if (masks) p.f.spec.mask_bytes = sizeof p.f.masks;
            jump(&p);
            make_pair(&p);
            check_walk(&p);
            check_walk(&p); /* nothing of the first is left */
            close_pair(&p);
        }
}

/* tau by the first step, beside averaged squares. */
TEST(crossings_on_a_device_follow_the_steps)
{
    pair p = {.here = NULL};

    open_pair(&p, F32, 2);
    p.f.spec.squares = 1, p.f.spec.memory_of_squares = 0.99, p.f.spec.first_step = 2;
    for (int64_t t = 0; t <= STEPS; t++)
        for (int64_t i = 0; i < p.f.params->total; i++) {
            void *v = fixture_vector(&p.f, t, 1);
            fixture_write(&p.f, v, i, fabs(fixture_read(&p.f, v, i)));
        }
    make_pair(&p);
    check_walk(&p);
    close_pair(&p);
}

/* Weights that grow under norms, so that their cells do. */
TEST(crossings_on_a_device_follow_weights_that_grow)
{
    for (int d = 0; d < 2; d++) {
        pair p = {.here = NULL};
        open_pair(&p, d ? F64 : F32, 1);
        p.f.params->at[1].role = PARAM_NORM;
        for (int64_t t = 0; t <= STEPS; t++)
            for (int64_t i = 0; i < p.f.params->total; i++) {
                void *w = fixture_vector(&p.f, t, 0);
                fixture_write(&p.f, w, i, fixture_value(&p.f, t, i) * (1 + (double)t / 7));
            }
        make_pair(&p);
        check_walk(&p);
        close_pair(&p);
    }
}

/* In each step one weight of a hundred moves by some cells, from all that lie in the vector. */
static void move_one_of_a_hundred(pair *p)
{
    const param_table *q = p->f.params;

    for (int64_t t = 1; t <= STEPS; t++) {
        void *w = fixture_vector(&p->f, t, 0);
        memcpy(w, fixture_vector(&p->f, t - 1, 0), p->bytes);
        for (int32_t k = 0; k < q->n; k++)
            for (int64_t i = q->at[k].offset; i < q->at[k].offset + q->at[k].count; i++)
                if ((i + t) % 100 == 0)
                    fixture_write(&p->f, w, i, fixture_read(&p->f, w, i) + 0.02);
    }
}

/* Of a list: those that are likely come at once. */
static int64_t likely(const pair *p, int64_t before)
{
    const int64_t n = before + before / 4 + 256;

    return n < p->f.params->total ? n : p->f.params->total;
}

/* 8 bytes for each weight that crosses and 8 for their number, down or up, beside the numbers of
 * the pass: docs/CUDA.md. A record is coded when the next one comes: none waits for its own. */
TEST(crossings_on_a_device_travel_as_a_list)
{
    int64_t crossed[STEPS + 1] = {0}, weights = 0;
    pair p = {.here = NULL};
    traj_view v;

    open_pair(&p, F32, 1);
    const int64_t numbers = 16 + 24 * (int64_t)p.f.params->n;
    move_one_of_a_hundred(&p);
    make_pair(&p);
    for (int32_t k = 0; k < p.f.params->n; k++) weights += p.f.params->at[k].count;
    for (int64_t t = 0; t <= STEPS; t++) {
        const int64_t before = traj_stats_of(p.there).events;
        CHECK_OK(p.f.ctx, record_there(&p, t));
        const int64_t sent = (int64_t)p.bytes;
        if (t > 0) crossed[t - 1] = traj_stats_of(p.there).events - before;
        if (t > 2 && t < STEPS) {
            CHECK(llabs(100 * crossed[t - 1] - weights) < 500);
            CHECK_INT(road.down, 8 + 8 * likely(&p, crossed[t - 1]));
            CHECK_INT(road.up, sent + numbers);
            CHECK_INT(road.waits, 2); /* for the state that the test sends, and the last list */
        }
        road.up = road.down = road.waits = 0;
    }
    for (int64_t t = STEPS - 1; t >= 1; t--) {
        road.up = road.down = road.waits = 0;
        CHECK_OK(p.f.ctx, traj_load(p.there, t, &v));
        CHECK_INT(road.down, 0);
        CHECK_INT(road.waits, 0);
        CHECK(llabs(100 * (road.up - numbers - 8) / 8 - weights) < 500);
    }
    close_pair(&p);
}

/* Averaged squares too. */
TEST(squares_on_a_device_travel_as_a_list)
{
    pair p = {.here = NULL};
    traj_view v;

    open_pair(&p, F32, 2);
    p.f.spec.squares = 1, p.f.spec.memory_of_squares = 0.99, p.f.spec.first_step = 2;
    move_one_of_a_hundred(&p);
    for (int64_t t = 0; t <= STEPS; t++) /* they only fade */
        for (int64_t i = 0; i < p.f.params->total; i++)
            fixture_write(&p.f, fixture_vector(&p.f, t, 1), i, t == 0 ? 0 : pow(0.99, (double)t));
    make_pair(&p);
    for (int64_t t = 0; t <= STEPS; t++) {
        CHECK_OK(p.f.ctx, record_there(&p, t));
        if (t > 3 && t < STEPS) CHECK(road.down < (int64_t)p.bytes / 4);
        road.down = 0;
    }
    for (int64_t t = STEPS - 1; t > 1; t--) {
        road.up = 0;
        CHECK_OK(p.f.ctx, traj_load(p.there, t, &v));
        CHECK(v.low && road.up < (int64_t)p.bytes / 4);
    }
    close_pair(&p);
}

static drmad_status whole_walk(drmad_ctx *ctx, void *arg)
{
    pair *p = arg;
    traj_spec s = p->f.spec;
    drmad_status st = DRMAD_OK;
    trajectory *tr = NULL;
    void *state[1] = {NULL};
    backend *on = NULL;
    traj_view v;

    TRY(cuda_backend_new(ctx, &gpu_host_driver, 0, &on));
    s.on = on, s.steps = 3;
    TRY(traj_new(ctx, &s, &tr));
    TRY(on->alloc(on, ctx, p->bytes, &state[0]));
    for (int64_t t = 0; t <= 3; t++) {
        TRY(on->copy(on, ctx, COPY_UP, state[0], fixture_vector(&p->f, t, 0), p->bytes));
        TRY(traj_record(tr, t, state, NULL));
    }
    for (int64_t t = 2; t >= 0; t--) TRY(traj_load(tr, t, &v));
done:
    traj_free(tr);
    if (on) on->free(on, ctx, state[0]);
    cuda_backend_free(on);
    return st;
}

TEST(crossings_on_a_device_run_out_of_memory_cleanly)
{
    pair p = {.here = NULL};

    open_pair(&p, F32, 1);
    jump(&p);
    test_oom(whole_walk, &p);
    close_pair(&p);
}

TEST(crossings_on_a_device_name_a_weight_that_is_lost)
{
    const double lost[] = {NAN, HUGE_VAL, 1e9};

    for (size_t k = 0; k < COUNT(lost); k++) {
        char said[300];
        pair p = {.here = NULL};
        open_pair(&p, F32, 1);
        fixture_write(&p.f, fixture_vector(&p.f, 3, 0), 777, lost[k]);
        make_pair(&p);
        for (int64_t t = 0; t <= 3; t++) {
            fixture_at(&p.f, t);
            CHECK_INT(traj_record(p.here, t, p.f.state, NULL), t < 3 ? 0 : DRMAD_E_DIVERGED);
        }
        snprintf(said, sizeof said, "%s", drmad_errmsg(p.f.ctx));
        for (int64_t t = 0; t <= 4; t++) /* found with the next record */
            CHECK_INT(record_there(&p, t), t < 4 ? 0 : DRMAD_E_DIVERGED);
        CHECK_STR(drmad_errmsg(p.f.ctx), said);
        CHECK(strstr(said, "layers.0.weight[777] after 3 steps"));
        close_pair(&p);
    }
}

/* On a device `auto` goes by the room that there is, whatever the host's limit. */
TEST(auto_keeps_states_where_a_device_has_room)
{
    static const traj_kind want[] = {TRAJ_FULL, TRAJ_REPLAY, TRAJ_GRID};
    pair p = {.here = NULL};
    trajectory *tr;

    open_pair(&p, F32, 2);
    traj_spec s = p.f.spec;
    s.on = p.on, s.kind = TRAJ_FULL;
    const size_t full = traj_estimate(&s);
    s.kind = TRAJ_REPLAY;
    const size_t replay = traj_estimate(&s), room[] = {full, full - 1, replay - 1};
    const size_t memory[] = {1 << 20, 1 << 20, 1 << 12}; /* the last holds no state beside it */
    CHECK(replay < full);
    s.kind = TRAJ_AUTO;
    for (int i = 0; i < 3; i++) {
        s.room = room[i], s.memory = memory[i];
        CHECK_INT(traj_limit(&s), room[i]);
        CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &s, &tr));
        CHECK_INT(traj_kind_of(tr), want[i]);
        traj_free(tr);
        s.on = NULL; /* in host memory there is no other limit than that */
        CHECK_INT(traj_limit(&s), memory[i]);
        s.on = p.on;
    }
    s.room = 0, s.memory = full - 1;
    CHECK_OK(p.f.ctx, traj_new(p.f.ctx, &s, &tr));
    CHECK_INT(traj_kind_of(tr), TRAJ_REPLAY);
    traj_free(tr);
    close_pair(&p);
}
