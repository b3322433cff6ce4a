/* The grid trajectory's passes beside naive loops: what they find, and the way back. */
#include "exec/cuda/kernel/body.h"
#include "gpu_driver.h"
#include "kernel_fixture.h"
#include <math.h>

enum { CHUNK = GPU_THREADS * PASS_EACH, SPANS = 3 };

typedef struct there {
    kx x; /* its numbers; the memory is the backend's */
    backend *on;
    int64_t total;
    pass_span span[SPANS];
    void *w, *hat, *cells;
    double *start, *moved; /* hat before, and w */
    int32_t *by;
} there;

static void *take(there *p, size_t bytes)
{
    void *out = NULL;

    CHECK_OK(p->x.ctx, p->on->alloc(p->on, p->x.ctx, bytes, &out));
    return out;
}

/* A span, one without a grid, 16 weights of none, and one to the end; of 16: one span. */
static void open_there(there *p, dtype type, int64_t total)
{
    const int64_t a = total / 5 / 16 * 16, b = a + 112;

    *p = (there){.x = {.ctx = test_ctx(), .type = type, .seed = (uint64_t)total}, .total = total};
    const pass_span few[SPANS] = {{0, total, 0.25}, {total, 0, 1}, {total, 0, 1}};
    const pass_span usual[SPANS] = {{0, a, 0.25}, {a, 112, 0}, {b + 16, total - b - 16, 0.5}};
    memcpy(p->span, total < 1000 ? few : usual, sizeof usual);
    CHECK_OK(p->x.ctx, cuda_backend_new(p->x.ctx, gpu_test_driver(), 0, &p->on));
    p->w = take(p, (size_t)total * sizeof(double));
    p->hat = take(p, (size_t)total * sizeof(double));
    p->cells = take(p, (size_t)total * sizeof(uint16_t));
    p->start = calloc((size_t)total, sizeof *p->start);
    p->moved = calloc((size_t)total, sizeof *p->moved);
    p->by = calloc((size_t)total, sizeof *p->by);
}

static void close_there(there *p)
{
    void *const all[] = {p->w, p->hat, p->cells};

    for (size_t i = 0; i < COUNT(all); i++) p->on->free(p->on, p->x.ctx, all[i]);
    cuda_backend_free(p->on);
    free(p->start);
    free(p->moved);
    free(p->by);
}

static void *new_pass(there *p, pass_kind kind)
{
    const bool squares = kind == PASS_RISE || kind == PASS_FALL;
    const pass_spec s = {.kind = kind,
                         .type = p->x.type,
                         .from = p->w,
                         .hat = kind == PASS_RISE ? NULL : p->hat,
                         .cells = squares ? p->cells : NULL,
                         .spans = squares ? 0 : SPANS,
                         .total = p->total};
    void *pass = NULL;

    CHECK_OK(p->x.ctx, p->on->pass_new(p->on, p->x.ctx, &s, &pass));
    return pass;
}

static void send(there *p, void *to, const double *v)
{
    const size_t bytes = (size_t)p->total * dtype_size(p->x.type);
    void *data = malloc(bytes);

    for (int64_t i = 0; i < p->total; i++) dtype_put(p->x.type, data, i, v[i]);
    CHECK_OK(p->x.ctx, p->on->copy(p->on, p->x.ctx, COPY_UP, to, data, bytes));
    free(data);
}

/* Elements of p->hat that are not `want`. */
static int64_t differing(there *p, const double *want)
{
    const size_t bytes = (size_t)p->total * dtype_size(p->x.type);
    void *hat = malloc(bytes);
    int64_t wrong = 0;

    CHECK_OK(p->x.ctx, p->on->copy(p->on, p->x.ctx, COPY_DOWN, hat, p->hat, bytes));
    for (int64_t i = 0; i < p->total; i++) wrong += dtype_get(p->x.type, hat, i) != want[i];
    free(hat);
    return wrong;
}

/* The list against p->by. */
static void check_list(there *p, void *pass)
{
    int64_t n = 0, wrong = 0;
    const pass_list *list;

    CHECK_OK(p->x.ctx, p->on->pass_block(pass, &list));
    for (int32_t i = 0; i < p->total; i++) {
        if (p->by[i] == 0) continue;
        wrong += n >= list->count || list->move[n].at != i || list->move[n].by != p->by[i];
        n++;
    }
    CHECK_INT(list->count, n);
    CHECK_INT(wrong, 0);
}

/* The list, less what is lost, filled in for the way back. */
static void fill_back(there *p, void *pass)
{
    pass_list *list;

    CHECK_OK(p->x.ctx, p->on->pass_block(pass, &list));
    list->count = 0;
    for (int32_t i = 0; i < p->total; i++)
        if (p->by[i] != 0 && p->by[i] != PASS_NAN && p->by[i] != PASS_FAR)
            list->move[list->count++] = (pass_move){i, p->by[i]};
}

/* ---- weights ---- */

static double tau_of(const there *p, int64_t i)
{
    for (int k = 0; k < SPANS; k++)
        if (i >= p->span[k].offset && i < p->span[k].offset + p->span[k].count)
            return p->span[k].tau;
    return 0;
}

/* Numbers of few bits: all sums are exact. w is a quarter of tau beside a grid point. */
static void draw_moves(there *p, int per_mille)
{
    for (int64_t i = 0; i < p->total; i++) {
        const bool moves = kx_below(&p->x, 1000) < per_mille;
        const int64_t far = kx_below(&p->x, 9), n = kx_below(&p->x, 255) - 127;
        const double tau = tau_of(p, i);
        int64_t cells = !moves ? 0 : far == 0 ? n * 8000 : n;
        if (moves && far == 1) cells = (n < 0 ? -1 : 1) * ((1 << 20) + 16);
        p->start[i] = (double)kx_below(&p->x, 16) / 16;
        p->moved[i] = p->start[i] + tau * (double)cells + tau / 4;
        p->by[i] = tau == 0 ? 0 : llabs(cells) > 1 << 20 ? PASS_FAR : (int32_t)cells;
        if (moves && far == 2) p->moved[i] = n < 0 ? NAN : HUGE_VAL;
        if (moves && far == 2 && tau > 0) p->by[i] = PASS_NAN;
        if (tau == 0) p->moved[i] += (double)n; /* nobody looks */
    }
}

static void check_moves(there *p, void *pass, void *back, int per_mille)
{
    const pass_numbers n = {.span = p->span};
    double *want = malloc((size_t)p->total * sizeof *want);

    draw_moves(p, per_mille);
    for (int64_t i = 0; i < p->total; i++) {
        const bool stays = p->by[i] == PASS_NAN || p->by[i] == PASS_FAR;
        want[i] = p->start[i] + (stays ? 0 : tau_of(p, i) * p->by[i]);
    }
    send(p, p->hat, p->start);
    send(p, p->w, p->moved);
    CHECK_OK(p->x.ctx, p->on->pass_run(pass, &n));
    check_list(p, pass);
    CHECK_INT(differing(p, want), 0);
    fill_back(p, back);
    CHECK_OK(p->x.ctx, p->on->pass_run(back, &n));
    CHECK_INT(differing(p, p->start), 0);
    free(want);
}

TEST(cuda_grid_passes_there_and_back)
{
    const int64_t totals[] = {16,    32,    CHUNK - 16,           CHUNK, CHUNK + 16,
                              50000, 90000, 300 * CHUNK + 48};

    for (int d = 0; d < 2; d++)
        for (size_t k = 0; k < COUNT(totals); k++) {
            there p;
            open_there(&p, d ? F64 : F32, totals[k]);
            void *pass = new_pass(&p, PASS_CROSS), *back = new_pass(&p, PASS_UNCROSS);
            for (int per_mille = 1000; per_mille >= 0; per_mille -= 250)
                if (totals[k] < 100000 || per_mille == 250) check_moves(&p, pass, back, per_mille);
            check_moves(&p, pass, back, 10);
            check_moves(&p, pass, back, 900); /* more than was likely */
            p.on->pass_free(pass);
            p.on->pass_free(back);
            close_there(&p);
        }
}

TEST(cuda_grid_passes_over_thousands_of_chunks)
{
    there p;

    open_there(&p, F32, test_count(600, 3000) * (int64_t)CHUNK - 16);
    void *pass = new_pass(&p, PASS_CROSS), *back = new_pass(&p, PASS_UNCROSS);
    check_moves(&p, pass, back, 10);
    p.on->pass_free(pass);
    p.on->pass_free(back);
    close_there(&p);
}

TEST(cuda_grid_refuses_more_weights_than_it_can_number)
{
    const pass_spec s = {.type = F32, .total = (int64_t)INT32_MAX + 1};
    void *pass;
    there p;

    open_there(&p, F32, 16);
    CHECK_INT(p.on->pass_new(p.on, p.x.ctx, &s, &pass), DRMAD_E_MODEL);
    CHECK(strstr(drmad_errmsg(p.x.ctx), "2147483648 weights: expected at most"));
    close_there(&p);
}

/* ---- averaged squares ---- */

/* m 2^e of the cell's lower bound; 0 for none. */
static double low_of(const there *p, int32_t k, const pass_numbers *n)
{
    const double low = k == INT16_MIN ? 0 : ldexp(n->m, 2 * k + (int32_t)n->e);

    if (p->x.type == F64) return low;
    return low > 0 && 2 * k + n->e < -126 ? 0 : (double)(float)low;
}

/* The largest k whose lower bound is at most v. */
static int32_t cell_of(double v, double m, int32_t e)
{
    int32_t x;

    if (v == 0) return INT16_MIN;
    frexp(v / m, &x);
    return (int32_t)floor((x - 1 - e) / 2.0);
}

/* v in [2^-20, 2^20), none in one of four. */
static void draw_squares(there *p, int64_t step)
{
    for (int64_t i = 0; i < p->total; i++) {
        const bool had = p->start[i] > 0;
        const double x = ldexp(1 + (double)kx_below(&p->x, 64) / 64, (int)kx_below(&p->x, 40) - 20);
        p->moved[i] = !had && (i + step) % 4 == 0 ? 0 : x;
    }
}

TEST(cuda_grid_squares_rise_and_fall)
{
    for (int d = 0; d < 2; d++) {
        enum { STEPS = 4 };
        there p;
        open_there(&p, d ? F64 : F32, 3 * CHUNK + 16);
        int32_t *k[STEPS + 1];
        for (int t = 0; t <= STEPS; t++) k[t] = malloc((size_t)p.total * sizeof **k);
        for (int64_t i = 0; i < p.total; i++) k[0][i] = INT16_MIN;
        void *rise = new_pass(&p, PASS_RISE), *fall = new_pass(&p, PASS_FALL);
        for (int t = 0; t < STEPS; t++) { /* cell 0 begins at 1.25 2^-3t */
            const pass_numbers n = {.m = 1 / 1.25, .e = -3 * t};
            draw_squares(&p, t);
            for (int64_t i = 0; i < p.total; i++) {
                const int32_t now = cell_of(p.moved[i], 1.25, -3 * t), was = k[t][i];
                k[t + 1][i] = now > was ? now : was;
                p.by[i] = now <= was ? 0 : was == INT16_MIN ? PASS_NEW : now - was;
                p.start[i] = p.moved[i];
            }
            send(&p, p.w, p.moved);
            CHECK_OK(p.x.ctx, p.on->pass_run(rise, &n));
            check_list(&p, rise);
        }
        for (int t = STEPS - 1; t >= 0; t--) {
            const pass_numbers n = {.m = 1.25, .e = -3 * t};
            for (int64_t i = 0; i < p.total; i++) {
                const int32_t was = k[t][i], now = k[t + 1][i];
                p.by[i] = now == was ? 0 : was == INT16_MIN ? PASS_NEW : now - was;
                p.moved[i] = low_of(&p, was, &n);
            }
            fill_back(&p, fall);
            CHECK_OK(p.x.ctx, p.on->pass_run(fall, &n));
            CHECK_INT(differing(&p, p.moved), 0);
        }
        p.on->pass_free(rise);
        p.on->pass_free(fall);
        for (int t = 0; t <= STEPS; t++) free(k[t]);
        close_there(&p);
    }
}

TEST(cuda_grid_sums_of_squares)
{
    const int64_t totals[] = {16, 48, 5000, 90000};

    for (int d = 0; d < 2; d++)
        for (size_t k = 0; k < COUNT(totals); k++) {
            const double *share;
            there p;
            open_there(&p, d ? F64 : F32, totals[k] / 16 * 16);
            const pass_numbers n = {.span = p.span};
            for (int64_t i = 0; i < p.total; i++) p.moved[i] = (double)kx_below(&p.x, 99) / 8 - 6;
            send(&p, p.w, p.moved);
            void *pass = new_pass(&p, PASS_SQUARES);
            CHECK_OK(p.x.ctx, p.on->pass_run(pass, &n));
            CHECK_OK(p.x.ctx, p.on->pass_block(pass, &share));
            for (int s = 0; s < SPANS; s++) {
                double want = 0, got = 0;
                for (int64_t i = 0; i < p.span[s].count; i++)
                    want += p.moved[p.span[s].offset + i] * p.moved[p.span[s].offset + i];
                for (int i = 0; i < PASS_SHARES; i++) got += share[s * PASS_SHARES + i];
                CHECK_NEAR(got, want, 0); /* few bits: exact in any order */
            }
            p.on->pass_free(pass);
            close_there(&p);
        }
}

/* A pass that takes a list is under way while the next one is filled in. */
TEST(cuda_grid_passes_back_take_turns)
{
    there p;

    open_there(&p, F32, 3 * CHUNK);
    const pass_numbers n = {.span = p.span};
    void *back = new_pass(&p, PASS_UNCROSS);
    pass_list *a, *b, *c;
    CHECK_OK(p.x.ctx, p.on->pass_block(back, &a));
    *a = (pass_list){.count = 0};
    CHECK_OK(p.x.ctx, p.on->pass_run(back, &n));
    CHECK_OK(p.x.ctx, p.on->pass_block(back, &b));
    CHECK(a != b);
    *b = (pass_list){.count = 0};
    CHECK_OK(p.x.ctx, p.on->pass_run(back, &n));
    CHECK_OK(p.x.ctx, p.on->pass_block(back, &c));
    CHECK(a == c);
    p.on->pass_free(back);
    close_there(&p);
}
