/* The grid trajectory's passes on the host driver: the list of what has moved, and the way back. */
#include "exec/cuda/kernel/body.h"
#include "gpu_driver.h"
#include "kernel_fixture.h"

enum { CHUNK = GPU_THREADS * PASS_EACH };

/* ---- the list ---- */

/* Of a thousand cells so many are not 0; of these each fifth is far. */
static void draw_cells(kx *x, int64_t total, int per_mille, int8_t *cells)
{
    for (int64_t i = 0; i < total; i++) {
        const bool moves = kx_below(x, 1000) < per_mille, far = kx_below(x, 5) == 0;
        const int8_t n = (int8_t)(1 + kx_below(x, 127));
        cells[i] = !moves ? 0 : far ? PASS_FAR : kx_below(x, 2) ? n : (int8_t)-n;
    }
}

static void check_list(kx *x, const int8_t *cells, int64_t total, const pick_args *a)
{
    int64_t count, n = 0, wrong = 0;
    int32_t *at = malloc((size_t)total * sizeof *at);
    int8_t *by = malloc((size_t)total);

    kx_down(x, &count, a->count, sizeof count);
    kx_down(x, at, a->at, (size_t)total * sizeof *at);
    kx_down(x, by, a->by, (size_t)total);
    for (int64_t i = 0; i < total; i++) {
        if (cells[i] == 0) continue;
        wrong += at[n] != i || by[n] != cells[i];
        n++;
    }
    CHECK_INT(count, n);
    CHECK_INT(wrong, 0);
    for (; n < total; n++) wrong += at[n] != 0 || by[n] != 0; /* nothing behind it */
    CHECK_INT(wrong, 0);
    free(at);
    free(by);
}

static void check_pick(int64_t total, int per_mille)
{
    const int64_t chunks = (total + CHUNK - 1) / CHUNK;
    int8_t *cells = malloc((size_t)total);
    kx x;

    kx_open(&x, F32, (uint64_t)(total + per_mille));
    draw_cells(&x, total, per_mille, cells);
    const pick_args a = {.cells = kx_up(&x, cells, (size_t)total),
                         .before = kx_new(&x, (size_t)chunks * sizeof(int32_t)),
                         .count = kx_new(&x, sizeof(int64_t)),
                         .at = kx_new(&x, (size_t)total * sizeof(int32_t)),
                         .by = kx_new(&x, (size_t)total),
                         .chunks = chunks,
                         .total = total};
    for (int k = 0; k < 2; k++) { /* the second time over what the first has left */
        KX_CALL(&x, tally, &a);
        KX_CALL(&x, offsets, &a);
        KX_CALL(&x, pick, &a);
    }
    check_list(&x, cells, total, &a);
    kx_close(&x);
    free(cells);
}

TEST(cuda_lists_what_has_moved_in_order)
{
    static const int64_t totals[] = {16,         32,    CHUNK - 16,      CHUNK,
                                     CHUNK + 16, 50000, 300 * CHUNK + 48};
    static const int densities[] = {0, 1, 10, 500, 1000};

    for (size_t i = 0; i < COUNT(totals); i++)
        for (size_t k = 0; k < COUNT(densities); k++)
            if (totals[i] < 300 * CHUNK || densities[k] == 10) check_pick(totals[i], densities[k]);
    check_pick(test_count(600, 3000) * (int64_t)CHUNK - 16, 10); /* thousands of chunks */
}

/* ---- whole passes ---- */

enum { SPANS = 3, TOTAL = 3 * CHUNK };

/* A span, one without a grid, 16 of none, and one to the end. */
static const pass_span spans[SPANS] = {{0, 4000, 0.25}, {4000, 112, 0}, {4128, TOTAL - 4128, 0.5}};

typedef struct walk_there {
    kx x; /* its numbers; the memory is the backend's */
    backend *on;
    void *w, *hat, *span;
    pass_list list;
    double start[TOTAL], moved[TOTAL]; /* hat before, and w */
    int8_t cells[TOTAL];
} walk_there;

static void *take(walk_there *p, size_t bytes)
{
    void *out = NULL;

    CHECK_OK(p->x.ctx, p->on->alloc(p->on, p->x.ctx, bytes, &out));
    return out;
}

static void send(walk_there *p, void *to, const double *v)
{
    void *data = malloc(TOTAL * sizeof(double));

    for (int64_t i = 0; i < TOTAL; i++) dtype_put(p->x.type, data, i, v[i]);
    CHECK_OK(p->x.ctx,
             p->on->copy(p->on, p->x.ctx, COPY_UP, to, data, TOTAL * dtype_size(p->x.type)));
    free(data);
}

static double tau_of(int64_t i)
{
    for (int k = 0; k < SPANS; k++)
        if (i >= spans[k].offset && i < spans[k].offset + spans[k].count) return spans[k].tau;
    return 0;
}

/* Numbers of few bits: all sums are exact. w is a quarter of tau beside a grid point. */
static void draw_moves(walk_there *p, int per_mille)
{
    for (int64_t i = 0; i < TOTAL; i++) {
        const bool moves = kx_below(&p->x, 1000) < per_mille;
        const int64_t far = kx_below(&p->x, 9), by = kx_below(&p->x, 255) - 127;
        const int64_t cells = !moves ? 0 : far == 0 ? 128 + by * by : by;
        const double tau = tau_of(i);
        p->start[i] = (double)kx_below(&p->x, 64) / 16;
        p->moved[i] = p->start[i] + tau * (double)cells + tau / 4;
        p->cells[i] = (int8_t)(tau == 0 ? 0 : cells > 127 ? PASS_FAR : cells);
        if (moves && far == 1 && tau > 0) p->moved[i] = NAN, p->cells[i] = PASS_FAR;
        if (tau == 0) p->moved[i] += (double)cells; /* nobody looks */
    }
}

static void check_hat(walk_there *p, bool back)
{
    void *hat = malloc(TOTAL * sizeof(double));
    int64_t wrong = 0;

    CHECK_OK(p->x.ctx,
             p->on->copy(p->on, p->x.ctx, COPY_DOWN, hat, p->hat, TOTAL * dtype_size(p->x.type)));
    for (int64_t i = 0; i < TOTAL; i++) {
        const bool stays = back || p->cells[i] == PASS_FAR;
        const double want = p->start[i] + (stays ? 0 : tau_of(i) * p->cells[i]);
        wrong += dtype_get(p->x.type, hat, i) != want;
    }
    CHECK_INT(wrong, 0);
    free(hat);
}

static void check_moves(walk_there *p, void *pass, void *back, int per_mille)
{
    const backend *on = p->on;
    int32_t at[TOTAL];
    int8_t by[TOTAL];
    int64_t count, n = 0, wrong = 0;

    draw_moves(p, per_mille);
    send(p, p->hat, p->start);
    send(p, p->w, p->moved);
    CHECK_OK(p->x.ctx, on->pass_run(pass));
    CHECK_OK(p->x.ctx, on->copy(on, p->x.ctx, COPY_DOWN, &count, p->list.count, sizeof count));
    CHECK_OK(p->x.ctx, on->copy(on, p->x.ctx, COPY_DOWN, at, p->list.at, sizeof at));
    CHECK_OK(p->x.ctx, on->copy(on, p->x.ctx, COPY_DOWN, by, p->list.by, sizeof by));
    for (int32_t i = 0; i < TOTAL; i++) {
        if (p->cells[i] == 0) continue;
        wrong += at[n] != i || by[n] != p->cells[i];
        n++;
    }
    CHECK_INT(count, n);
    CHECK_INT(wrong, 0);
    check_hat(p, false);
    CHECK_OK(p->x.ctx, on->pass_run(back));
    check_hat(p, true);
}

TEST(cuda_grid_passes_there_and_back)
{
    walk_there *p = malloc(sizeof *p);

    for (int d = 0; d < 2; d++) {
        void *pass, *back;
        *p = (walk_there){.x = {.ctx = test_ctx(), .type = d ? F64 : F32, .seed = 5}};
        CHECK_OK(p->x.ctx, cuda_backend_new(p->x.ctx, gpu_test_driver(), 0, &p->on));
        p->w = take(p, sizeof p->start), p->hat = take(p, sizeof p->start);
        p->span = take(p, sizeof spans);
        p->list = (pass_list){take(p, 8), take(p, TOTAL * 4), take(p, TOTAL)};
        CHECK_OK(p->x.ctx, p->on->copy(p->on, p->x.ctx, COPY_UP, p->span, spans, sizeof spans));
        grid_pass g = {p->x.type, p->w, p->hat, p->list, p->span, SPANS, TOTAL};
        CHECK_OK(p->x.ctx, p->on->pass_new(p->on, p->x.ctx, &g, &pass));
        g.w = NULL;
        CHECK_OK(p->x.ctx, p->on->pass_new(p->on, p->x.ctx, &g, &back));
        for (int per_mille = 1000; per_mille >= 0; per_mille -= 250)
            check_moves(p, pass, back, per_mille);
        p->on->pass_free(pass);
        p->on->pass_free(back);
        g.total = (int64_t)INT32_MAX + 1;
        CHECK_INT(p->on->pass_new(p->on, p->x.ctx, &g, &pass), DRMAD_E_MODEL);
        CHECK(strstr(drmad_errmsg(p->x.ctx), "2147483648 weights: expected at most"));
        cuda_backend_free(p->on);
    }
    free(p);
}
