/* The CUDA backend on the host's driver: whole programs, wherever their memory lies, against the
 * naive evaluator. */
#include "cuda_step.h"
#include "gpu_driver.h"
#include "random_graph.h"
#include <pthread.h>

/* ---- a program and its memory ---- */

typedef enum where { HOST, DEVICE, MIXED } where;

typedef struct cx {
    rx *x;
    backend *on;
    plan *plan;
    program *p;
    const plan_output *out;
    int n;
    void *leaf[RX_LEAVES], *y[RX_OUTS]; /* bound */
    bool leaf_there[RX_LEAVES], y_there[RX_OUTS];
} cx;

static size_t leaf_bytes(const cx *c, int32_t i)
{
    const node n = graph_leaf(c->x->g, i);

    return (size_t)shape_count(graph_shape(c->x->g, n)) * dtype_size(graph_dtype(c->x->g, n));
}

static void *new_memory(cx *c, bool there, size_t bytes)
{
    void *got = NULL;

    if (!there) return calloc(bytes + 1, 1);
    CHECK_OK(c->x->ctx, backend_alloc(c->on, c->x->ctx, bytes, 1, &got));
    return got;
}

static void drop_memory(cx *c, bool there, void *memory)
{
    if (there) c->on->free(c->on, c->x->ctx, memory);
    else free(memory);
}

static void put(cx *c, bool there, void *to, const void *from, size_t bytes)
{
    if (!there) memcpy(to, from, bytes);
    else CHECK_OK(c->x->ctx, c->on->copy(c->on, c->x->ctx, COPY_UP, to, from, bytes));
}

static void get(cx *c, bool there, void *to, const void *from, size_t bytes)
{
    if (!there) memcpy(to, from, bytes);
    else CHECK_OK(c->x->ctx, c->on->copy(c->on, c->x->ctx, COPY_DOWN, to, from, bytes));
}

static bool choose(cx *c, where w)
{
    return w == DEVICE || (w == MIXED && rx_below(c->x, 2));
}

static void bind(cx *c, where w, bool in_place)
{
    for (int32_t i = 0; i < graph_leaves(c->x->g); i++) {
        c->leaf_there[i] = choose(c, w);
        c->leaf[i] = new_memory(c, c->leaf_there[i], leaf_bytes(c, i));
        put(c, c->leaf_there[i], c->leaf[i], c->x->data[i], leaf_bytes(c, i));
        program_set_leaf(c->p, i, c->leaf[i]);
    }
    for (int i = 0; i < c->n; i++) {
        const int32_t alias = in_place ? c->out[i].alias : -1;
        c->y_there[i] = alias < 0 ? choose(c, w) : c->leaf_there[alias];
        c->y[i] = alias < 0 ? new_memory(c, c->y_there[i], rx_out_bytes(c->x, &c->out[i]))
                            : c->leaf[alias];
        program_set_output(c->p, i, c->y[i]);
    }
}

static void unbind(cx *c, bool in_place)
{
    for (int i = 0; i < c->n; i++)
        if (!in_place || c->out[i].alias < 0) drop_memory(c, c->y_there[i], c->y[i]);
    for (int32_t i = 0; i < graph_leaves(c->x->g); i++)
        drop_memory(c, c->leaf_there[i], c->leaf[i]);
}

static void read_outputs(cx *c, void **got)
{
    for (int i = 0; i < c->n; i++) {
        const size_t bytes = rx_out_bytes(c->x, &c->out[i]);
        got[i] = malloc(bytes + 1);
        get(c, c->y_there[i], got[i], c->y[i], bytes);
    }
}

static void open_program(cx *c, rx *x, backend *on, int n, const plan_output *out)
{
    *c = (cx){.x = x, .on = on, .out = out, .n = n};
    CHECK_OK(x->ctx, plan_new(x->ctx, x->g, out, n, &x->target, &c->plan));
    CHECK_OK(x->ctx, program_new(x->ctx, c->plan, on, &c->p));
}

static void close_program(cx *c)
{
    program_free(c->p);
    plan_free(c->plan);
}

static backend *open_backend(rx *x)
{
    backend *on = NULL;

    CHECK_OK(x->ctx, cuda_backend_new(x->ctx, gpu_test_driver(), 0, &on));
    if (on) x->target = *on->target;
    return on;
}

/* ---- against the evaluator ---- */

static void compare(cx *c, const rx_wanted *w, void **same)
{
    void *got[RX_OUTS];

    read_outputs(c, got);
    for (int i = 0; i < c->n; i++) {
        rx_compare(c->x, &c->out[i], i, got[i], w);
        if (same[i] && memcmp(got[i], same[i], rx_out_bytes(c->x, &c->out[i])) != 0)
            test_fail(__FILE__, __LINE__, "seed %llu %s: output %d differs in its bits",
                      (unsigned long long)c->x->seed, w->how, i);
        if (same[i]) free(got[i]);
        else same[i] = got[i];
    }
}

/* One plan with its memory everywhere: the same bits. */
static void check_plan(rx *x, backend *on, int n, const plan_output *out, const rx_wanted *w)
{
    void *same[RX_OUTS] = {0};
    cx c;

    for (int variant = 0; variant < 6; variant++) {
        const bool in_place = variant % 2;
        open_program(&c, x, on, n, out);
        if (!c.p) return;
        bind(&c, (where)(variant / 2), in_place);
        for (int run = 0; run < (in_place ? 1 : 2); run++) {
            CHECK_OK(x->ctx, program_run(c.p));
            compare(&c, w, same);
        }
        unbind(&c, in_place);
        close_program(&c);
    }
    for (int i = 0; i < n; i++) free(same[i]);
}

static void check(rx *x, backend *on, int n, const plan_output *out, double tol)
{
    double *want[RX_OUTS];

    CHECK_OK(x->ctx, graph_status(x->g));
    rx_evaluate(x, n, out, want);
    for (int kind = 0; kind < 3; kind++) {
        static const char *const how[] = {"fused", "recomputed", "unfused"};
        x->target = *on->target;
        if (kind == 1) x->target.recompute_bytes = 1;
        x->target.fuse = kind < 2;
        check_plan(x, on, n, out, &(rx_wanted){want, tol, how[kind]});
    }
    for (int i = 0; i < n; i++) free(want[i]);
}

static void check_random(dtype t, uint64_t seed, int nodes, double tol)
{
    plan_output out[RX_OUTS];
    rx x;

    rx_open(&x, t, seed);
    x.bf16 = true;
    backend *on = open_backend(&x);
    const int n = random_graph(&x, nodes, out);
    check(&x, on, n, out, tol);
    cuda_backend_free(on);
    rx_close(&x);
}

/* The tolerances of test_random.c, for the same reasons. */
TEST(random_graphs_on_the_device_in_double)
{
    for (int i = 0; i < test_count(test_sanitized() ? 8 : 40, 2000); i++)
        check_random(F64, (uint64_t)i, 12 + i % 40, 1e-12);
}

TEST(random_graphs_on_the_device_in_single)
{
    for (int i = 0; i < test_count(test_sanitized() ? 8 : 40, 2000); i++)
        check_random(F32, (uint64_t)i, 12 + i % 24, 1e-4);
}

/* ---- groups ---- */

/* Rows, columns, gathered rows, single numbers, bytes; sums of each kind, alone and together. */
static int group_of(rx *x, int64_t rows, int64_t cols, plan_output out[8])
{
    graph *g = x->g;
    const shape s = SHAPE(rows, cols);
    node a = rx_leaf(x, s), b = rx_leaf(x, SHAPE(1, cols)), c = rx_leaf(x, SHAPE(rows, 1));
    node d = rx_leaf(x, SHAPE(1, 1)), table = rx_bytes(x, SHAPE(5, cols));
    node index = rx_index(x, rows, 5);
    node t = g_scale(g, g_cast(g, g_gather(g, table, index), x->type), 1.0 / 255);
    node hot = g_onehot(g, index, cols, x->type);
    node y = g_tanh(g, g_add(g, g_mul(g, a, g_bcast(g, b, s)), g_bcast(g, c, s)));
    node z = g_sub(g, g_mul(g, y, t), g_mul(g, hot, g_bcast(g, d, s)));
    int n = 0;

    out[n++] = (plan_output){z, 0};
    out[n++] = (plan_output){g_sum(g, z, 1), -1};
    out[n++] = (plan_output){g_sum(g, g_mul(g, z, a), 2), -1};
    out[n++] = (plan_output){g_sum_all(g, g_mul(g, z, z)), -1};
    out[n++] = (plan_output){g_scale(g, g_sum(g, a, 3), 0.5), -1};
    return n;
}

static void check_group(dtype t, int64_t rows, int64_t cols, unsigned which)
{
    plan_output all[8], out[8];
    int n = 0;
    rx x;

    rx_open(&x, t, (uint64_t)(rows * 1000 + cols));
    backend *on = open_backend(&x);
    const int most = group_of(&x, rows, cols, all);
    for (int i = 0; i < most; i++)
        if (which >> i & 1) out[n++] = all[i];
    double *want[RX_OUTS];
    rx_evaluate(&x, n, out, want);
    check_plan(&x, on, n, out, &(rx_wanted){want, t == F64 ? 1e-12 : 1e-5, "group"});
    for (int i = 0; i < n; i++) free(want[i]);
    cuda_backend_free(on);
    rx_close(&x);
}

/* Around what a thread and a block do at once, and where sums are spread over blocks. */
TEST(groups_of_all_shapes_with_sums)
{
    static const int64_t size[][2] = {{1, 1},    {1, 5000},  {3, 1},    {1000, 1},  {9, 10},
                                      {64, 65},  {33, 130},  {520, 8},  {2, 20000}, {700, 33},
                                      {5, 1025}, {1, 20001}, {20000, 1}};
    for (size_t i = 0; i < (test_sanitized() ? 7 : COUNT(size)); i++)
        for (unsigned which = 1; which < 32; which = which < 16 ? 2 * which : which + 15)
            check_group(which % 2 ? F64 : F32, size[i][0], size[i][1], which);
}

/* More values at once than there are registers, results among them, over leaves that are read to
 * the end; more sums than a call does. */
TEST(groups_larger_than_a_call)
{
    enum { VALUES = 30, SUMS = 12 };

    for (int seed = 0; seed < 2; seed++) {
        plan_output out[RX_OUTS];
        node y[VALUES];
        int n = 0;
        rx x;

        rx_open(&x, seed ? F64 : F32, (uint64_t)seed);
        backend *on = open_backend(&x);
        node a = rx_leaf(&x, SHAPE(30, 11)), b = rx_leaf(&x, SHAPE(30, 11));
        y[0] = g_tanh(x.g, a);
        for (int i = 1; i < VALUES; i++) y[i] = g_tanh(x.g, y[i - 1]);
        for (int i = 0; i < VALUES / 2; i++)
            out[n++] = (plan_output){g_mul(x.g, y[i], y[VALUES - 1 - i]), i == 3 ? 0 : -1};
        for (int i = 0; i < SUMS; i++)
            out[n++] = (plan_output){g_sum(x.g, g_mul(x.g, y[i], b), 1u << i % 2), -1};
        check(&x, on, n, out, seed ? 1e-12 : 1e-5);
        check(&x, on, VALUES / 2, out, seed ? 1e-12 : 1e-5);
        check(&x, on, SUMS, out + VALUES / 2, seed ? 1e-12 : 1e-5);
        cuda_backend_free(on);
        rx_close(&x);
    }
}

/* ---- addresses that move ---- */

enum { PLACES = 3 };

typedef struct moving {
    cx c;
    void *leaf[RX_LEAVES][PLACES], *y[RX_OUTS][PLACES];
} moving; /* place 0: the host's */

static void open_moving(moving *m, rx *x, backend *on, int n, const plan_output *out)
{
    open_program(&m->c, x, on, n, out);
    for (int k = 0; k < PLACES; k++) {
        for (int32_t i = 0; i < graph_leaves(x->g); i++) {
            m->leaf[i][k] = new_memory(&m->c, k > 0, leaf_bytes(&m->c, i));
            put(&m->c, k > 0, m->leaf[i][k], x->data[i], leaf_bytes(&m->c, i));
        }
        for (int i = 0; i < n; i++) m->y[i][k] = new_memory(&m->c, k > 0, rx_out_bytes(x, &out[i]));
    }
}

static void close_moving(moving *m)
{
    for (int k = 0; k < PLACES; k++) {
        for (int32_t i = 0; i < graph_leaves(m->c.x->g); i++)
            drop_memory(&m->c, k > 0, m->leaf[i][k]);
        for (int i = 0; i < m->c.n; i++) drop_memory(&m->c, k > 0, m->y[i][k]);
    }
    close_program(&m->c);
}

/* Each leaf and output somewhere; an output over its leaf now and then, which is then as before. */
static void run_somewhere(moving *m, const rx_wanted *w, void **same)
{
    cx *c = &m->c;
    rx *x = c->x;
    bool over[RX_OUTS];

    for (int32_t i = 0; i < graph_leaves(x->g); i++) {
        const int k = (int)rx_below(x, PLACES);
        c->leaf_there[i] = k > 0;
        program_set_leaf(c->p, i, c->leaf[i] = m->leaf[i][k]);
    }
    for (int i = 0; i < c->n; i++) {
        const int k = (int)rx_below(x, PLACES);
        over[i] = c->out[i].alias >= 0 && rx_below(x, 2);
        c->y_there[i] = over[i] ? c->leaf_there[c->out[i].alias] : k > 0;
        program_set_output(c->p, i, c->y[i] = over[i] ? c->leaf[c->out[i].alias] : m->y[i][k]);
    }
    CHECK_OK(x->ctx, program_run(c->p));
    compare(c, w, same);
    for (int i = 0; i < c->n; i++) {
        const int32_t k = over[i] ? c->out[i].alias : -1;
        if (k >= 0) put(c, c->leaf_there[k], c->leaf[k], x->data[k], leaf_bytes(c, k));
    }
}

TEST(memory_may_lie_elsewhere_in_each_run)
{
    for (int seed = 0; seed < test_count(test_sanitized() ? 2 : 8, 300); seed++) {
        double *want[RX_OUTS];
        void *same[RX_OUTS] = {0};
        plan_output out[RX_OUTS];
        moving m;
        rx x;

        rx_open(&x, F64, (uint64_t)seed);
        backend *on = open_backend(&x);
        const int n = random_graph(&x, 20, out);
        rx_evaluate(&x, n, out, want);
        open_moving(&m, &x, on, n, out);
        for (int run = 0; run < 20; run++)
            run_somewhere(&m, &(rx_wanted){want, 1e-12, "moving"}, same);
        close_moving(&m);
        for (int i = 0; i < n; i++) free(want[i]), free(same[i]);
        cuda_backend_free(on);
        rx_close(&x);
    }
}

/* ---- a step, and what can go wrong ---- */

TEST(an_index_outside_its_table_is_told)
{
    drmad_ctx *ctx = test_ctx();
    step s;

    CHECK_OK(ctx, step_open(ctx, &gpu_host_driver, &s));
    CHECK_OK(ctx, program_run(s.p));
    const double good = s.loss;
    for (int there = 0; there < 2; there++) {
        s.index[2] = STEP_ROWS;
        CHECK_FAILS(ctx, program_run(s.p), DRMAD_E_DATA, "index 20 of a table of 20 rows");
        s.index[2] = -1;
        CHECK_FAILS(ctx, program_run(s.p), DRMAD_E_DATA, "index -1 of a table of 20 rows");
        s.index[2] = 6;
        for (int i = 0; i < STEP_IN * STEP_OUT; i++) s.w[i] = 0.01 * i;
        CHECK_OK(ctx, s.on->copy(s.on, ctx, COPY_UP, s.there, s.w, sizeof s.w));
        CHECK_OK(ctx, program_run(s.p));
        CHECK(s.loss == good);
        program_set_leaf(s.p, 0, s.there);
        program_set_output(s.p, 0, s.there);
    }
    CHECK(program_bytes(s.p) > s.q->counts.arena + sizeof s.rows); /* staged */
    CHECK(program_bytes(s.p) < s.q->counts.arena + 16384);
    step_close(ctx, &s);
}

static const void *new_rate(drmad_ctx *ctx, step *s)
{
    CHECK_OK(ctx, backend_alloc(s->on, ctx, sizeof s->lr, 1, &s->rate));
    CHECK_OK(ctx, s->on->copy(s->on, ctx, COPY_UP, s->rate, &s->lr, sizeof s->lr));
    return s->rate;
}

/* Runs that nobody waits for: each has its own leaves, and its loss comes to where it was bound,
 * also where an address begins to move while they are under way. */
TEST(runs_may_be_waited_for_later)
{
    enum { RUNS = 20 };
    drmad_ctx *ctx = test_ctx();
    double want[RUNS], got[RUNS];
    step s;

    CHECK_OK(ctx, step_open(ctx, &gpu_host_driver, &s));
    program_set_leaf(s.p, 0, s.there);
    program_set_output(s.p, 0, s.there);
    for (int late = 0; late < 2; late++) {
        CHECK_OK(ctx, s.on->copy(s.on, ctx, COPY_UP, s.there, s.w, sizeof s.w));
        for (int i = 0; i < RUNS; i++) {
            s.lr = 0.01 * i, s.index[3] = i, got[i] = -1;
            program_set_output(s.p, 1, late ? &got[i] : &want[i]);
            if (late && i == 13) program_set_leaf(s.p, 1, new_rate(ctx, &s));
            CHECK_OK(ctx, late ? program_run_later(s.p) : program_run(s.p));
            s.index[3] = 0, s.lr = 7; /* copied by now */
            program_set_leaf(s.p, 1, &s.lr);
        }
        CHECK_OK(ctx, program_wait(s.p, 0));
    }
    for (int i = 0; i < RUNS; i++) CHECK(got[i] == want[i]);
    CHECK(want[3] != want[4]);
    s.index[3] = STEP_ROWS;
    CHECK_OK(ctx, program_run_later(s.p));
    s.index[3] = 0;
    CHECK_OK(ctx, program_run_later(s.p));
    CHECK_FAILS(ctx, program_wait(s.p, 0), DRMAD_E_DATA, "index 20 of a table of 20 rows");
    CHECK_OK(ctx, program_run_later(s.p));
    CHECK_OK(ctx, program_wait(s.p, 0));
    s.on->free(s.on, ctx, s.rate);
    step_close(ctx, &s);
}

/* Recorded, then recorded again with an address that moves. */
static drmad_status whole_life(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    step s;

    (void)arg;
    TRY(step_open(ctx, &gpu_host_driver, &s));
    TRY(program_run(s.p));
    program_set_output(s.p, 0, s.there);
    TRY(program_run(s.p));
done:
    step_close(ctx, &s);
    return st;
}

TEST(every_allocation_of_a_device_program_may_fail)
{
    test_oom(whole_life, NULL);
}

static void *no_memory(void *user, void *ptr, size_t size)
{
    (void)user, (void)ptr, (void)size;
    return NULL;
}

/* After the first runs nothing is recorded. */
TEST(device_programs_run_without_memory)
{
    drmad_ctx *ctx = test_ctx();
    step s;

    CHECK_OK(ctx, step_open(ctx, &gpu_host_driver, &s));
    for (int i = 0; i < 3; i++) CHECK_OK(ctx, program_run(s.p));
    drmad_alloc_fn *const usual = ctx->alloc;
    ctx->alloc = no_memory;
    for (int i = 0; i < 10; i++) CHECK_OK(ctx, program_run(s.p));
    ctx->alloc = usual;
    step_close(ctx, &s);
}

TEST(a_backend_needs_a_device_and_a_driver_of_its_version)
{
    drmad_ctx *ctx = test_ctx();
    gpu_driver old = gpu_host_driver;
    backend *on;

    CHECK_FAILS(ctx, cuda_backend_new(ctx, &gpu_host_driver, 7, &on), DRMAD_E_USAGE, "device 7");
    CHECK(on == NULL);
    old.version = 0;
    CHECK_FAILS(ctx, cuda_backend_new(ctx, &old, 0, &on), DRMAD_E_INTERNAL, "version 0");
    CHECK(on == NULL);
    cuda_backend_free(NULL);
}

/* Backends of several threads have nothing in common. */
static void *run_alone(void *arg)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    double *loss = arg;
    step s;

    CHECK_OK(ctx, step_open(ctx, &gpu_host_driver, &s));
    for (int i = 0; i < 50; i++) {
        CHECK_OK(ctx, program_run(s.p));
        *loss += s.loss;
    }
    step_close(ctx, &s);
    drmad_ctx_free(ctx);
    return NULL;
}

TEST(backends_of_several_threads_share_nothing)
{
    double loss[4] = {0};
    pthread_t thread[4];

    for (int i = 0; i < 4; i++) CHECK_INT(pthread_create(&thread[i], NULL, run_alone, &loss[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 4; i++) CHECK(loss[i] > 0 && loss[i] == loss[0]);
}

/* A leaf that is read behind the result stored over it, elsewhere in memory: counted as if it lay
 * there, the program was one operand short. */
TEST(programs_on_the_device_are_as_large_as_they_were_counted)
{
    check_random(F64, 639, 12 + 639 % 40, 1e-12);
    check_random(F32, 145, 12 + 145 % 24, 1e-4);
}
