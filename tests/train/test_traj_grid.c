/* The grid: how close it stays, what it does with rare events, what it says when it must give
 * way. */
#include "exec/cpu/gemm.h"
#include "train/traj_fixture.h"
#include "train/traj_scan.h"

/* The spacing the rule gives tensor `p` at t = 0: .11 of the root mean square of its layer's
 * weights, 3/4 of that for small tensors and biases; beyond 1000 steps less, by the cube root.
 * Eight significant bits: within 2^-8. */
static double tau_of(const fixture *f, int32_t p)
{
    const param *q = &f->params->at[p], *w = &f->params->at[p - (q->role == PARAM_BIAS)];
    bool small = q->role == PARAM_BIAS || q->count < f->params->at[0].count / 8;
    double sum = 0;

    for (int64_t i = 0; i < w->count; i++) {
        double x = fixture_value(f, 0, w->offset + i);
        sum += x * x;
    }
    double times = (double)f->spec.steps / 1000;
    return .11 * (small ? .75 : 1) * sqrt(sum / (double)w->count) / cbrt(times > 1 ? times : 1);
}

/* Largest |w_t - v| / tau over all weights, by tensor `p`, or over all of them with p = -1. */
static double worst(const fixture *f, const void *v, int64_t t, int32_t tensor)
{
    double most = 0;

    for (int32_t p = 0; p < f->params->n; p++) {
        const param *q = &f->params->at[p];
        double tau = tau_of(f, p);

        for (int64_t i = q->offset; (tensor < 0 || tensor == p) && i < q->offset + q->count; i++) {
            double e = fabs(fixture_read(f, v, i) - fixture_value(f, t, i)) / tau;
            if (e > most) most = e;
        }
    }
    return most;
}

/* Runs forwards and back; gives the largest error of any weight at any time, in units of the
 * first tau. */
static double round_trip(fixture *f, trajectory *tr)
{
    double most = 0;
    traj_view v;

    fixture_forward(f, tr);
    for (int64_t t = f->spec.steps - 1; t >= 0; t--) {
        CHECK_OK(f->ctx, traj_load(tr, t, &v));
        CHECK(!v.exact && !v.now[1] && !v.next[1]);
        double e0 = worst(f, v.now[0], t, -1), e1 = worst(f, v.next[0], t + 1, -1);
        if (e0 > most) most = e0;
        if (e1 > most) most = e1;
        if (t == f->spec.steps - 1) CHECK(fixture_same(f, v.next[0], t + 1, 0)); /* w_T is exact */
        if (t == 0)
            CHECK(worst(f, v.now[0], 0, -1) < 1e-5); /* w_0 but for last bits of grown weights */
    }
    return most;
}

/* Half a tau, tau's own rounding to 8 bits, and float32 rounding of w - hat. */
static const double half = .5 * (1 + 1. / 256) + 1e-4;

TEST(grid_stays_within_half_a_cell)
{
    for (int d = 0; d < 2; d++) {
        fixture f;
        trajectory *tr;

        fixture_make(&f, d ? F64 : F32, 120, 2);
        f.spec.kind = TRAJ_GRID;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        double e = round_trip(&f, tr);
        CHECK(e <= half);
        CHECK(e > .45); /* it does round */
        CHECK(traj_stats_of(tr).events > 1000 &&
              traj_stats_of(tr).events < 120 * f.params->weights);
        CHECK_INT(traj_stats_of(tr).coarsened, 0);
        traj_free(tr);
        fixture_free(&f);
    }
}

TEST(grid_is_finer_for_long_runs)
{
    fixture f;
    trajectory *tr;

    fixture_make(&f, F32, 3000, 1);
    f.spec.kind = TRAJ_GRID;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    double e = round_trip(&f, tr);
    CHECK(e <= half && e > .45); /* worst() knows the cube root */
    traj_free(tr);
    fixture_free(&f);
}

/* 9300 weights: all move at once, then one far away from the start of the tensor, then none;
 * jumps by 2, 3, 7, 1000 and 500000 cells, there and back. */
TEST(grid_codes_bursts_silence_and_jumps)
{
    static const double jump[] = {0, 2, -3, 7, -1000, 5e5, 0};
    fixture f;
    trajectory *tr;

    fixture_make_wide(&f, F32, 40, 1, 300);
    double tau = tau_of(&f, 0);
    for (int64_t t = 1; t <= 40; t++) {
        void *w = fixture_vector(&f, t, 0);
        memcpy(w, fixture_vector(&f, 0, 0), (size_t)f.params->total * 4);
        for (int64_t i = 0; i < 9300 && t % 10 < 5; i++)
            fixture_write(&f, w, i, fixture_value(&f, 0, i) + (i % 3 ? .8 : -.8) * tau);
        if (t % 10 == 6) fixture_write(&f, w, 9299, fixture_value(&f, 0, 9299) + tau);
        if (t > 20 && t < 28)
            fixture_write(&f, w, 4711, fixture_value(&f, 0, 4711) + jump[t - 21] * tau);
    }
    f.spec.kind = TRAJ_GRID;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    fixture_forward(&f, tr);
    for (int64_t t = 39; t >= 0; t--) {
        traj_view v;
        CHECK_OK(f.ctx, traj_load(tr, t, &v));
        /* 5e5 cells take w to 2^19 tau; below that, float32 knows no less than 2^-4 tau */
        CHECK(worst(&f, v.now[0], t, -1) <= half + 1. / 16);
    }
    traj_free(tr);
    fixture_free(&f);
}

TEST(grid_names_a_weight_that_is_lost)
{
    static const struct {
        int32_t tensor;
        int64_t i, t;
        double value;
        const char *text;
    } bad[] = {
        {0, 3, 0, NAN, "layers.0.weight[3] after 0 steps: not a finite number"},
        {0, 650, 5, NAN, "layers.0.weight[650] after 5 steps: not a finite"},
        {1, 20, 9, INFINITY, "layers.0.bias[20] after 9 steps: not a finite"},
        {3, 2, 7, -INFINITY, "layers.1.bias[2] after 7 steps: not a finite"},
        {2, 64, 2, 1e9,
         "layers.1.weight[64] after 2 steps: moved by more than a million grid cells"},
    };

    for (size_t k = 0; k < COUNT(bad); k++) {
        fixture f;
        trajectory *tr;

        fixture_make(&f, k % 2 ? F64 : F32, 10, 1);
        f.spec.kind = TRAJ_GRID;
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        fixture_write(&f, fixture_vector(&f, bad[k].t, 0),
                      f.params->at[bad[k].tensor].offset + bad[k].i, bad[k].value);
        for (int64_t t = 0; t < bad[k].t; t++) {
            fixture_at(&f, t);
            CHECK_OK(f.ctx, traj_record(tr, t, f.state, NULL));
        }
        fixture_at(&f, bad[k].t);
        CHECK_FAILS(f.ctx, traj_record(tr, bad[k].t, f.state, NULL), DRMAD_E_DIVERGED, bad[k].text);
        traj_free(tr);
        fixture_free(&f);
    }
}

/* Layer 1 all zero at the start, as output layers often are: its spacing comes with its first
 * movement, and grows with the weights, or nearly every weight would cross at every step. */
TEST(grid_follows_a_layer_that_starts_at_zero)
{
    fixture f;
    trajectory *tr;
    traj_view v;
    int64_t steps = 200;

    fixture_make(&f, F32, steps, 1);
    const param *q = &f.params->at[2];
    for (int64_t t = 0; t <= steps; t++)
        for (int64_t i = 0; i < q->count; i++) /* still for 3 steps, then growing to about 1 */
            fixture_write(&f, fixture_vector(&f, t, 0), q->offset + i,
                          t < 3 ? 0 : (double)(i - 50) / 50 * (double)(t - 2) / (double)steps);
    f.spec.kind = TRAJ_GRID;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    fixture_forward(&f, tr);
    for (int64_t t = steps - 1; t >= 0; t--) {
        CHECK_OK(f.ctx, traj_load(tr, t, &v));
        double rms =
            (t < 3 ? 0 : (double)(t - 2) / (double)steps) * .6076; /* of (i - 50)/50, i < 105 */
        for (int64_t i = 0; i < q->count; i += 8)
            CHECK_NEAR(fixture_read(&f, v.now[0], q->offset + i),
                       fixture_value(&f, t, q->offset + i), half * .11 * rms);
    }
    traj_free(tr);
    fixture_free(&f);
}

TEST(grid_keeps_masks)
{
    fixture f;
    trajectory *tr;
    traj_view v;

    fixture_make(&f, F32, 30, 1);
    f.spec.kind = TRAJ_GRID;
    f.spec.mask_bytes = sizeof f.masks; /* 13: not a multiple of anything */
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    fixture_forward(&f, tr);
    for (int64_t t = 29; t >= 0; t--) {
        CHECK_OK(f.ctx, traj_load(tr, t, &v));
        fixture_at(&f, t);
        CHECK(v.masks && memcmp(v.masks, f.masks, sizeof f.masks) == 0);
        CHECK(worst(&f, v.now[0], t, -1) <= half);
    }
    CHECK_OK(f.ctx, traj_begin(tr));
    CHECK_FAILS(f.ctx, traj_record(tr, 0, f.state, NULL), DRMAD_E_USAGE, "no masks for step 0");
    traj_free(tr);
    fixture_free(&f);
}

static void count_lines(void *user, int level, const char *line)
{
    if (level == LOG_WARN && strstr(line, "twice as coarse")) ++*(int *)user;
}

/* Under a limit the spacing doubles as often as needed, the log says so each time, the limit
 * holds and the states stay within half of the spacing that was in force. */
TEST(grid_gives_way_to_the_limit)
{
    size_t without = 0;

    for (int part = 0; part < 4; part++) { /* no limit; 1/2 and 1/8 of what that took; one byte */
        fixture f;
        trajectory *tr;
        int lines = 0;

        fixture_make_wide(&f, F32, 400, 2, 200);
        size_t vectors = 2 * (size_t)f.params->total * 4;
        f.spec.kind = TRAJ_GRID;
        f.spec.memory = part == 0   ? 0
                        : part == 1 ? vectors + (without - vectors) / 2
                        : part == 2 ? vectors + (without - vectors) / 8
                                    : 1;
        drmad_ctx_set_log(f.ctx, count_lines, &lines);
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        double e = round_trip(&f, tr);
        traj_stats s = traj_stats_of(tr);
        if (part == 0) without = s.bytes_held;
        CHECK_INT(lines, s.coarsened);
        CHECK(part == 0 ? s.coarsened == 0 : s.coarsened > 0);
        CHECK(part == 3 || f.spec.memory == 0 || s.bytes_held <= f.spec.memory);
        CHECK(e <= half * pow(2, (double)s.coarsened));
        CHECK(e > .45 * (part == 0 ? 1 : 2)); /* it was needed */
        traj_free(tr);
        fixture_free(&f);
    }
}

static void *counting_alloc(void *user, void *ptr, size_t size)
{
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    ++*(int *)user;
    return malloc(size);
}

TEST(grid_allocates_nothing_once_warm)
{
    fixture f;
    trajectory *tr;
    int calls = 0;
    drmad_ctx *ctx = drmad_ctx_new(counting_alloc, &calls);

    fixture_make_wide(&f, F32, 200, 1, 200);
    f.spec.kind = TRAJ_GRID;
    CHECK_OK(ctx, traj_new(ctx, &f.spec, &tr));
    round_trip(&f, tr);
    traj_stats first = traj_stats_of(tr);
    int warm = calls;
    CHECK(first.bytes_held > 4 * 16384); /* several chunks */
    round_trip(&f, tr);
    CHECK_INT(calls, warm);
    CHECK_INT(traj_stats_of(tr).bytes_held, first.bytes_held);
    CHECK_INT(traj_stats_of(tr).events, first.events);
    traj_free(tr);
    fixture_free(&f);
    drmad_ctx_free(ctx);
}

/* Coarser settings must log fewer crossings: tau goes with quality and kinks. */
TEST(grid_spacing_follows_quality)
{
    int64_t events[3][2];

    for (int q = 0; q < 3; q++) {
        for (int kinked = 0; kinked < 2; kinked++) {
            fixture f;
            trajectory *tr;

            fixture_make(&f, F32, 60, 2);
            f.spec.kind = TRAJ_GRID;
            f.spec.quality = (traj_quality)q;
            f.spec.kinked = kinked;
            CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
            fixture_forward(&f, tr);
            events[q][kinked] = traj_stats_of(tr).events;
            traj_free(tr);
            fixture_free(&f);
        }
    }
    CHECK(events[QUALITY_LOW][0] < events[QUALITY_NORMAL][0]);
    CHECK(events[QUALITY_NORMAL][0] < events[QUALITY_NORMAL][1]);
    CHECK_INT(events[QUALITY_LOW][1], events[QUALITY_NORMAL][0]);
    CHECK(events[QUALITY_NORMAL][1] < events[QUALITY_HIGH][1]);
    CHECK_INT(events[QUALITY_HIGH][0], events[QUALITY_HIGH][1]);
}

/* Layer 1's weights beside a norm: 1.22 .11 rms (n / largest n)^.4. */
TEST(grid_is_finer_for_few_weights_beside_norms)
{
    fixture f;
    trajectory *tr;
    traj_view v;
    double most = 0;

    fixture_make_wide(&f, F32, 60, 1, 200);
    f.params->at[3].role = PARAM_NORM;
    f.spec.kind = TRAJ_GRID;
    CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
    fixture_forward(&f, tr);
    for (int64_t t = f.spec.steps - 1; t >= 0; t--) {
        CHECK_OK(f.ctx, traj_load(tr, t, &v));
        most = fmax(most, worst(&f, v.now[0], t, 2));
    }
    const double share = (double)f.params->at[2].count / (double)f.params->at[0].count;
    const double size = 1.22 * pow(share, .4) / .75; /* .75: in tau_of */
    CHECK(most <= half * size);
    CHECK(most > .45 * size);
    traj_free(tr);
    fixture_free(&f);
}

static void count_doubts(void *user, int level, const char *line)
{
    if (level == LOG_WARN && strstr(line, "trust them where audits agree")) ++*(int *)user;
}

/* Where the grid was seen to fall short, it says so. */
TEST(grid_warns_of_kinks_under_averaged_squares)
{
    static const struct {
        double first_step;
        bool kinked, norm;
        traj_quality quality;
        int lines;
    } rows[] = {{1, true, false, QUALITY_NORMAL, 1},
                {1, true, false, QUALITY_HIGH, 0},
                {1, false, false, QUALITY_NORMAL, 0},
                {1, true, true, QUALITY_NORMAL, 0},
                {0, true, false, QUALITY_NORMAL, 0}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        fixture f;
        trajectory *tr;
        int lines = 0;

        fixture_make(&f, F32, 5, 1);
        f.spec.kind = TRAJ_GRID;
        f.spec.first_step = rows[i].first_step;
        f.spec.kinked = rows[i].kinked;
        f.spec.quality = rows[i].quality;
        if (rows[i].norm) f.params->at[3].role = PARAM_NORM;
        drmad_ctx_set_log(f.ctx, count_doubts, &lines);
        CHECK_OK(f.ctx, traj_new(f.ctx, &f.spec, &tr));
        CHECK_INT(lines, rows[i].lines);
        traj_free(tr);
        fixture_free(&f);
    }
}

/* Every instruction set finds the same weights, whatever their number. */
TEST(scans_agree)
{
    static traj_scan_f32_fn *const scan[ISA_COUNT] = {traj_scan_f32_portable, traj_scan_f32_avx2,
                                                      traj_scan_f32_avx512};
    static float w[SCAN_BLOCK], hat[SCAN_BLOCK];
    uint16_t want[SCAN_BLOCK + SCAN_SLACK], got[SCAN_BLOCK + SCAN_SLACK];

    for (int n = 16; n <= SCAN_BLOCK; n += n < 256 ? 16 : 960) {
        for (int share = 1; share <= 1000; share *= 10) { /* all hits, 1/10, ... */
            int hits = 0;
            for (int i = 0; i < n; i++) {
                double u = rng_uniform((rng_key){1, (uint32_t)n, (uint32_t)share}, (uint64_t)i);
                bool hit = u * share <= 1;
                hat[i] = (float)i;
                w[i] = hat[i] + (float)(hit ? 1.5 : u) * (i % 2 ? 1 : -1);
                if (hit && i % 5 == 0) w[i] = i % 2 ? NAN : INFINITY;
                if (hit) want[hits++] = (uint16_t)i;
            }
            for (int isa = 0; isa <= (int)cpu_isa_best(); isa++) {
                CHECK_INT(scan[isa](w, hat, 1, n, got), hits);
                CHECK(memcmp(got, want, (size_t)hits * sizeof *got) == 0);
            }
        }
    }
}
