/* Programs: what they refuse, what they may overwrite, and that running takes no memory. */
#include "exec/cpu/gemm.h"
#include "run_fixture.h"

enum { BATCH = 6, IN = 9, OUT = 5 };

/* w' = w - lr (x' (tanh(x w) - y)), and the loss. */
static int small_step(graph *g, plan_output out[2])
{
    node w = graph_add_leaf(g, "w", F32, SHAPE(IN, OUT)),
         lr = graph_add_leaf(g, "lr", F32, SHAPE(1, 1));
    node rows = graph_add_leaf(g, "rows", U8, SHAPE(20, IN));
    node index = graph_add_leaf(g, "index", I32, SHAPE(BATCH));
    node x = g_scale(g, g_cast(g, g_gather(g, rows, index), F32), 1.0 / 255);
    node d = g_sub(g, g_tanh(g, g_matmul(g, x, w, false, false)),
                   g_fill(g, F32, SHAPE(BATCH, OUT), 0.5));
    node grad = g_matmul(g, x, d, true, false);

    out[0] = (plan_output){g_sub(g, w, g_mul(g, g_bcast(g, lr, SHAPE(IN, OUT)), grad)), 0};
    out[1] = (plan_output){g_dot(g, d, d), -1};
    return 2;
}

typedef struct memory {
    float w[IN * OUT], lr, loss;
    uint8_t rows[20 * IN];
    int32_t index[BATCH];
} memory;

static void fill_memory(memory *m)
{
    *m = (memory){.lr = 0.1f};
    for (int i = 0; i < IN * OUT; i++)
        m->w[i] = (float)rng_uniform((rng_key){1, 0, 0}, (uint64_t)i);
    for (int i = 0; i < 20 * IN; i++) m->rows[i] = (uint8_t)(7 * i);
    for (int i = 0; i < BATCH; i++) m->index[i] = 3 * i;
}

static void bind_all(program *p, memory *m)
{
    program_set_leaf(p, 0, m->w);
    program_set_leaf(p, 1, &m->lr);
    program_set_leaf(p, 2, m->rows);
    program_set_leaf(p, 3, m->index);
    program_set_output(p, 0, m->w);
    program_set_output(p, 1, &m->loss);
}

TEST(what_is_not_bound_is_refused_by_name)
{
    drmad_ctx *ctx = test_ctx();
    graph *g;
    plan *q;
    program *p;
    plan_output out[2];
    memory m;

    fill_memory(&m);
    CHECK_OK(ctx, graph_new(ctx, &g));
    CHECK_OK(ctx, plan_new(ctx, g, out, small_step(g, out), backend_cpu.target, &q));
    CHECK_OK(ctx, program_new(ctx, q, &backend_cpu, &p));
    CHECK_FAILS(ctx, program_run(p), DRMAD_E_USAGE, "leaf w has no memory");
    bind_all(p, &m);
    program_set_leaf(p, 2, NULL);
    CHECK_FAILS(ctx, program_run(p), DRMAD_E_USAGE, "leaf rows has no memory");
    bind_all(p, &m);
    program_set_output(p, 1, NULL);
    CHECK_FAILS(ctx, program_run(p), DRMAD_E_USAGE, "output 1 has no memory");
    bind_all(p, &m);
    CHECK_OK(ctx, program_run(p));
    m.index[2] = 20;
    CHECK_FAILS(ctx, program_run(p), DRMAD_E_DATA, "index 20 of a table of 20 rows");
    m.index[2] = -1;
    CHECK_FAILS(ctx, program_run(p), DRMAD_E_DATA, "index -1 of a table of 20 rows");
    m.index[2] = 0;
    CHECK_OK(ctx, program_run(p));
    CHECK(program_bytes(p) > q->counts.arena);
    program_free(p);
    plan_free(q);
    graph_free(g);
}

TEST(gather_and_scatter_check_their_index)
{
    for (int scatter = 0; scatter < 2; scatter++) {
        rx x;
        void *y[1] = {0};
        plan *q;
        program *p;
        int32_t index[] = {0, 7, 1};
        int32_t table[] = {4, 5, 6};
        rx_open(&x, F32, 3);
        node i = rx_index(&x, 3, 3);
        node t = scatter ? rx_leaf(&x, SHAPE(3, 2)) : graph_add_leaf(x.g, "table", I32, SHAPE(3));
        const plan_output out = {scatter ? g_scatter_add(x.g, t, i, 7) : g_gather(x.g, t, i), -1};
        y[0] = malloc(1000);
        CHECK_OK(x.ctx, plan_new(x.ctx, x.g, &out, 1, &x.target, &q));
        CHECK_OK(x.ctx, program_new(x.ctx, q, &backend_cpu, &p));
        program_set_leaf(p, 0, index);
        program_set_leaf(p, 1, scatter ? x.data[1] : table);
        program_set_output(p, 0, y[0]);
        CHECK_FAILS(x.ctx, program_run(p), DRMAD_E_DATA, "index 7 of a table of");
        free(y[0]);
        program_free(p);
        plan_free(q);
        rx_close(&x);
    }
}

typedef struct counter {
    long calls;
} counter;

static void *counting_alloc(void *user, void *ptr, size_t size)
{
    ((counter *)user)->calls++;
    if (size) return malloc(size);
    free(ptr);
    return NULL;
}

TEST(running_allocates_nothing)
{
    for (int threads = 1; threads <= 2; threads++) {
        counter n = {0};
        drmad_ctx *ctx = drmad_ctx_new(counting_alloc, &n);
        graph *g;
        plan *q;
        program *p;
        plan_output out[2];
        memory m;
        plan_target target = *backend_cpu.target;

        target.tile_bytes = 64, target.tile_macs = 10; /* many tiles */
        fill_memory(&m);
        CHECK_OK(ctx, drmad_ctx_set_threads(ctx, threads));
        CHECK_OK(ctx, graph_new(ctx, &g));
        CHECK_OK(ctx, plan_new(ctx, g, out, small_step(g, out), &target, &q));
        CHECK_OK(ctx, program_new(ctx, q, &backend_cpu, &p));
        bind_all(p, &m);
        const long before = n.calls;
        for (int i = 0; i < 5; i++) CHECK_OK(ctx, program_run(p));
        CHECK_INT(n.calls, before);
        program_free(p);
        plan_free(q);
        graph_free(g);
        drmad_ctx_free(ctx);
    }
}

static drmad_status whole_life(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    graph *g = NULL;
    plan *q = NULL;
    program *p = NULL;
    plan_output out[2];
    memory m;

    (void)arg;
    fill_memory(&m);
    TRY(drmad_ctx_set_threads(ctx, 1));
    TRY(graph_new(ctx, &g));
    const int n = small_step(g, out);
    TRY(graph_status(g) == DRMAD_OK ? DRMAD_OK : DRMAD_E_NOMEM);
    TRY(plan_new(ctx, g, out, n, backend_cpu.target, &q));
    TRY(program_new(ctx, q, &backend_cpu, &p));
    bind_all(p, &m);
    TRY(program_run(p));
done:
    program_free(p);
    plan_free(q);
    graph_free(g);
    return st;
}

TEST(every_allocation_may_fail)
{
    test_oom(whole_life, NULL);
}

/* Two steps in place equal two steps from one array into another. */
TEST(state_may_be_overwritten)
{
    rx x;

    rx_open(&x, F32, 5);
    node w = rx_leaf(&x, SHAPE(8, 8)), b = rx_leaf(&x, SHAPE(8, 8));
    node z = g_tanh(x.g, g_matmul(x.g, w, b, false, true));
    node b1 = g_add(x.g, g_scale(x.g, b, 0.9), g_matmul(x.g, z, w, true, false));
    node w1 = g_sub(x.g, w, g_scale(x.g, b1, 0.1));
    node late = g_matmul(x.g, w1, w, false, false); /* needs w and w' */
    const plan_output swap[] = {{w, 1}, {b, 0}},
                      keep[] = {{w, 0}, {g_reshape(x.g, w, SHAPE(4, 16)), -1}};
    const plan_output step[] = {{w1, 0}, {b1, 1}}, both[] = {{w1, 0}, {late, 1}, {w1, -1}, {w, -1}};
    const plan_output product[] = {{g_matmul(x.g, w, b, false, false), 0}};
    rx_check(&x, 2, step, 1e-5); /* eight terms, two products deep */
    rx_check(&x, 4, both, 1e-5);
    rx_check(&x, 2, swap, 0);
    rx_check(&x, 2, keep, 0);
    rx_check(&x, 1, product, 1e-6);
    rx_close(&x);
}

/* Results must be on the memory side before a later instruction of the same group reads the
 * leaf. */
TEST(an_overwritten_leaf_is_read_first)
{
    rx x;

    rx_open(&x, F64, 6);
    node w = rx_leaf(&x, SHAPE(30, 100)), b = rx_leaf(&x, SHAPE(30, 100));
    node w1 = g_add(x.g, g_exp(x.g, w), b);
    node y = g_mul(x.g, g_sub(x.g, b, w), g_tanh(x.g, w1));
    const plan_output out[] = {{w1, 0}, {y, 1}, {g_dot(x.g, w, b), -1}, {g_sum(x.g, w, 1), -1}};
    rx_check(&x, 4, out, 1e-13); /* 3000 terms */
    rx_close(&x);
}

TEST(instruction_sets_are_chosen_by_name)
{
    rx x;
    plan *q;
    program *p = NULL;

    rx_open(&x, F32, 7);
    const plan_output out = {g_exp(x.g, rx_leaf(&x, SHAPE(100))), -1};
    CHECK_OK(x.ctx, plan_new(x.ctx, x.g, &out, 1, &x.target, &q));
    setenv("DRMAD_ISA", "sse9", 1);
    CHECK_FAILS(x.ctx, program_new(x.ctx, q, &backend_cpu, &p), DRMAD_E_USAGE, "DRMAD_ISA: sse9");
    CHECK(p == NULL);
    for (int isa = 0; isa <= (int)cpu_isa_best(); isa++) {
        setenv("DRMAD_ISA", cpu_isa_name((cpu_isa)isa), 1);
        rx_check_one(&x, out.y, 1e-6); /* exp is within 4 ulp on each */
    }
    unsetenv("DRMAD_ISA");
    plan_free(q);
    rx_close(&x);
}

/* A factor is applied where it is read, which may be after another result of the step: what that
 * one overwrites must not be the factor's operand. */
TEST(memory_is_not_taken_over_while_a_factor_reads_it)
{
    rx x;
    rx_open(&x, F32, 1);
    node a = rx_leaf(&x, SHAPE(40)), b = rx_leaf(&x, SHAPE(40)), c = rx_leaf(&x, SHAPE(40, 3));
    node dead = g_reshape(x.g, g_rowmax(x.g, c), SHAPE(40)), scaled = g_scale(x.g, dead, 0.1);
    node read = g_logsumexp(x.g, g_reshape(x.g, g_add(x.g, a, scaled), SHAPE(8, 5)));
    const plan_output out[] = {{read, -1}, {g_add(x.g, b, scaled), -1}};
    rx_check(&x, 2, out, 2e-6);
    rx_close(&x);
}
