/* The kernel `walk` without a GPU: which waves it takes, that its blocks together run each block of
 * each call once and in its wave, and that whole programs give the bits of single launches, with
 * DRMAD_CUDA_WALK as users set it. */
#include "exec/cuda/driver/gpu_walk.h"
#include "gpu_driver.h"
#include "random_graph.h"

/* ---- lists of calls that mean nothing ---- */

enum { CALLS_MAX = 60, BLOCKS_MAX = 24, ROOM = 1 << 20 };

typedef struct kind {
    gpu_kernel kernel;
    dtype type;
    size_t args;
    bool walks;
} kind;

static const kind kinds[] = {
    {GPU_group, F32, sizeof(group_args), true},
    {GPU_group, F64, sizeof(group_args), true},
    {GPU_sum, F32, sizeof(sum_args), true},
    {GPU_fold, F32, sizeof(fold_args), true},
    {GPU_move, F64, sizeof(move_args), true},
    {GPU_matmul_small, F32, sizeof(matmul_args), true},
    {GPU_conv_dw, F32, sizeof(conv_args), true},
    {GPU_cast, F32, sizeof(cast_args), true},
    {GPU_matmul, F64, sizeof(matmul_args), false},
    {GPU_matmul_large, F32, sizeof(matmul_args), false},
};

typedef struct list {
    gpu_call call[CALLS_MAX];
    const kind *of[CALLS_MAX];
    int32_t n;
    gpu_walk_limits most;
} list;

static void make_list(rx *x, list *l)
{
    l->n = (int32_t)rx_below(x, CALLS_MAX);
    l->most.blocks = 4 + (int32_t)rx_below(x, 20);
    l->most.shared = rx_below(x, 2) ? ROOM : 1500 + (size_t)rx_below(x, 6000);
    for (int32_t i = 0; i < l->n; i++) {
        gpu_call *c = &l->call[i];
        const bool odd = rx_below(x, 12) == 0;
        l->of[i] = &kinds[rx_below(x, odd ? (int64_t)COUNT(kinds) : 8)];
        *c = (gpu_call){.kernel = l->of[i]->kernel, .type = l->of[i]->type, .threads = GPU_THREADS};
        c->blocks = (int32_t)rx_below(x, BLOCKS_MAX);
        c->shared = (size_t)rx_below(x, 2) * 1024;
        c->wave = i == 0 ? 0 : c[-1].wave + (rx_below(x, 3) > 0);
        for (size_t k = 0; k < l->of[i]->args; k++) c->args[k] = (unsigned char)rx_below(x, 256);
    }
}

/* Of a wave, which begins at call i: may it be part of a walk? */
static bool walkable(const list *l, int32_t i)
{
    int32_t blocks = 0;

    for (const int32_t end = gpu_wave_end(l->call, l->n, i); i < end; i++) {
        if (l->call[i].blocks > 0 && !l->of[i]->walks) return false;
        blocks += l->call[i].blocks;
    }
    return blocks <= 4 * l->most.blocks;
}

/* A run's calls that are not empty: which, and in which of its waves. */
static int32_t expect(const list *l, const gpu_walk_run *r, int32_t *call, int32_t *wave)
{
    int32_t n = 0;

    for (int32_t i = r->call; i < r->call + r->calls; i++) {
        if (l->call[i].blocks == 0) continue;
        const bool same = n > 0 && l->call[i].wave == l->call[call[n - 1]].wave;
        wave[n] = n == 0 ? 0 : wave[n - 1] + !same;
        call[n++] = i;
    }
    return n;
}

/* Block `b` of a grid goes through a run. */
static void walk_alone(const list *l, const walk_list *text, int32_t b, int32_t blocks,
                       int8_t (*ran)[BLOCKS_MAX], const gpu_walk_run *r)
{
    int32_t call[CALLS_MAX], wave[CALLS_MAX], now = 0;
    walk_place at = {.block = b, .blocks = blocks, .next = b};
    const walk_call *c;
    gpu_thread t;

    CHECK_INT(text->calls, expect(l, r, call, wave));
    for (walk_do next; (next = walk_next(text, &at, &c, &t)) != WALK_END;) {
        now += next == WALK_WAIT;
        if (next == WALK_WAIT) continue;
        const int32_t k = (int32_t)(c - walk_calls(text)), i = call[k];
        CHECK_INT(now, wave[k]);
        CHECK_INT(t.blocks, l->call[i].blocks);
        CHECK(c->args % WALK_ALIGN == 0);
        CHECK(memcmp((const char *)text + c->args, l->call[i].args, l->of[i]->args) == 0);
        ran[i][t.block]++;
    }
    CHECK_INT(now, r->waves - 1);
}

static void check_run(const list *l, const gpu_walk *w, const gpu_walk_run *r)
{
    const walk_list *text = (const walk_list *)(const void *)(w->text + r->at);

    CHECK(r->waves >= 2 && r->widest <= 4 * l->most.blocks);
    CHECK(r->bytes + r->shared <= l->most.shared && r->at + r->bytes <= w->bytes);
    for (int32_t blocks = 1; blocks < 40; blocks += 1 + blocks / 3) {
        int8_t ran[CALLS_MAX][BLOCKS_MAX] = {0};
        for (int32_t b = 0; b < blocks; b++) walk_alone(l, text, b, blocks, ran, r);
        for (int32_t i = r->call; i < r->call + r->calls; i++)
            for (int32_t k = 0; k < BLOCKS_MAX; k++) CHECK_INT(ran[i][k], k < l->call[i].blocks);
    }
}

static bool is_empty(const list *l, int32_t i, int32_t end)
{
    while (i < end && l->call[i].blocks == 0) i++;
    return i == end;
}

/* Runs are whole waves that may walk. Where there is room, two of these that are neighbours are
 * never left out. */
static void check_cuts(const list *l, const gpu_walk *w)
{
    bool left_out = false;
    int32_t run = 0;

    for (int32_t i = 0, end; i < l->n; i = end) {
        end = gpu_wave_end(l->call, l->n, i);
        while (run < w->runs && w->run[run].call + w->run[run].calls <= i) run++;
        const bool in = run < w->runs && w->run[run].call <= i;
        if (in) CHECK(walkable(l, i) && end <= w->run[run].call + w->run[run].calls);
        if (is_empty(l, i, end)) continue;
        if (l->most.shared == ROOM) CHECK(in || !walkable(l, i) || !left_out);
        left_out = !in && walkable(l, i);
    }
}

TEST(walking_runs_each_block_once_in_its_wave)
{
    int32_t runs = 0;
    static list l;
    gpu_walk w;

    for (int seed = 0; seed < test_count(200, 5000); seed++) {
        rx x;
        rx_open(&x, F32, (uint64_t)seed);
        make_list(&x, &l);
        CHECK_OK(x.ctx, gpu_walk_find(x.ctx, l.call, l.n, &l.most, &w));
        for (int32_t i = 0; i < w.runs; i++) check_run(&l, &w, &w.run[i]);
        check_cuts(&l, &w);
        runs += w.runs;
        gpu_walk_free(x.ctx, &w);
        rx_close(&x);
    }
    CHECK(runs > 100);
}

TEST(walking_is_asked_for_by_two_words)
{
    static const gpu_walk_how want[] = {GPU_WALK_NOT, GPU_WALK_GRID, GPU_WALK_CLUSTER};
    static const char *const word[] = {"", "grid", "cluster"};
    drmad_ctx *ctx = test_ctx();
    gpu_walk_how how;
    gpu *g = NULL;

    for (int i = 0; i < 3; i++) {
        setenv("DRMAD_CUDA_WALK", word[i], 1);
        CHECK_OK(ctx, gpu_walk_asked(ctx, &how));
        CHECK(how == want[i]);
    }
    setenv("DRMAD_CUDA_WALK", "1", 1);
    CHECK_FAILS(ctx, gpu_host_driver.open(ctx, 0, &g), DRMAD_E_USAGE,
                "DRMAD_CUDA_WALK=1: expected grid or cluster");
    CHECK(!g);
    unsetenv("DRMAD_CUDA_WALK");
    CHECK_OK(ctx, gpu_walk_asked(ctx, &how));
    CHECK(how == GPU_WALK_NOT);
}

/* ---- programs ---- */

static int32_t walks_seen; /* by the driver below: what an H100 would walk */

static drmad_status count_walks(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                                const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    const gpu_walk_limits most = {132, 227 << 10};
    gpu_walk w;

    CHECK_OK(ctx, gpu_walk_find(ctx, calls, n, &most, &w));
    walks_seen += w.runs;
    gpu_walk_free(ctx, &w);
    return gpu_test_driver()->record(g, ctx, calls, n, up, down, out);
}

/* false: this GPU has no clusters. */
static bool run_program(rx *x, const char *word, const plan_output *out, int n, void **y)
{
    gpu_driver d = *gpu_test_driver();
    backend *on = NULL;
    program *p = NULL;
    plan *q = NULL;

    d.record = count_walks;
    setenv("DRMAD_CUDA_WALK", word, 1);
    const drmad_status st = cuda_backend_new(x->ctx, &d, 0, &on);
    unsetenv("DRMAD_CUDA_WALK");
    if (st == DRMAD_E_USAGE && strstr(drmad_errmsg(x->ctx), "clusters begin")) return false;
    CHECK_OK(x->ctx, st);
    CHECK_OK(x->ctx, plan_new(x->ctx, x->g, out, n, on->target, &q));
    CHECK_OK(x->ctx, program_new(x->ctx, q, on, &p));
    for (int32_t i = 0; i < graph_leaves(x->g); i++) program_set_leaf(p, i, x->data[i]);
    for (int i = 0; i < n; i++) {
        y[i] = calloc(rx_out_bytes(x, &out[i]) + 1, 1);
        program_set_output(p, i, y[i]);
    }
    for (int run = 0; run < 2; run++) CHECK_OK(x->ctx, program_run(p));
    program_free(p);
    plan_free(q);
    cuda_backend_free(on);
    return true;
}

TEST(walking_has_the_bits_of_single_launches)
{
    static const char *const word[] = {"", "grid", "cluster"};

    walks_seen = 0;
    for (int seed = 0; seed < test_count(test_sanitized() ? 10 : 60, 2000); seed++) {
        plan_output out[RX_OUTS];
        void *y[3][RX_OUTS] = {{0}};
        rx x;
        rx_open(&x, seed % 8 ? F32 : F64, (uint64_t)seed);
        x.bf16 = true;
        const int n = random_graph(&x, 20 + seed % 40, out);
        for (int i = 0; i < n; i++) out[i].alias = -1;
        for (int k = 0; k < 3; k++) {
            if (!run_program(&x, word[k], out, n, y[k])) continue;
            for (int i = 0; i < n; i++)
                if (memcmp(y[0][i], y[k][i], rx_out_bytes(&x, &out[i])) != 0)
                    test_fail(__FILE__, __LINE__, "seed %d, walk %s: output %d", seed, word[k], i);
        }
        for (int i = 0; i < 3 * RX_OUTS; i++) free(y[i / RX_OUTS][i % RX_OUTS]);
        rx_close(&x);
    }
    CHECK(walks_seen > 0);
}
