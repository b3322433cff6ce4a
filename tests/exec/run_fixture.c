#include "run_fixture.h"
#include "plan/plan_check.h"

void rx_open(rx *x, dtype t, uint64_t seed)
{
    *x = (rx){.ctx = test_ctx(), .type = t, .seed = seed, .target = *backend_cpu.target};
    CHECK_OK(x->ctx, graph_new(x->ctx, &x->g));
}

void rx_close(rx *x)
{
    for (int i = 0; i < RX_LEAVES; i++) free(x->data[i]);
    graph_free(x->g);
}

double rx_draw(rx *x, double lo, double hi)
{
    return lo + (hi - lo) * rng_uniform((rng_key){x->seed, 0, 0}, x->drawn++);
}

int64_t rx_below(rx *x, int64_t n)
{
    return (int64_t)rng_below((rng_key){x->seed, 0, 1}, x->drawn++, (uint64_t)n);
}

static node add_leaf(rx *x, dtype t, shape s, void **data)
{
    const int32_t number = graph_leaves(x->g);
    const size_t count = (size_t)shape_count(&s);
    char name[16];

    if (number >= RX_LEAVES) abort();
    snprintf(name, sizeof name, "leaf%d", number);
    *data = x->data[number] = malloc((count + 1) * dtype_size(t));
    return graph_add_leaf(x->g, name, t, s);
}

node rx_leaf(rx *x, shape s)
{
    void *data;
    node n = add_leaf(x, x->type, s, &data);

    for (int64_t i = 0; i < shape_count(&s); i++) {
        const double v = rx_draw(x, -1, 1);
        if (x->type == F32) ((float *)data)[i] = (float)v;
        else ((double *)data)[i] = v;
    }
    return n;
}

node rx_index(rx *x, int64_t count, int64_t below)
{
    void *data;
    node n = add_leaf(x, I32, SHAPE(count), &data);

    for (int64_t i = 0; i < count; i++) ((int32_t *)data)[i] = (int32_t)rx_below(x, below);
    return n;
}

node rx_bytes(rx *x, shape s)
{
    void *data;
    node n = add_leaf(x, U8, s, &data);

    for (int64_t i = 0; i < shape_count(&s); i++) ((uint8_t *)data)[i] = (uint8_t)rx_below(x, 256);
    return n;
}

size_t rx_out_bytes(const rx *x, const plan_output *o)
{
    return (size_t)shape_count(graph_shape(x->g, o->y)) * dtype_size(graph_dtype(x->g, o->y));
}

bool rx_run(rx *x, int n, const plan_output *out, int threads, bool in_place, void **y)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;
    program *prog = NULL;

    for (int i = 0; i < n; i++) y[i] = malloc(rx_out_bytes(x, &out[i]) + 1);
    TRY(drmad_ctx_set_threads(x->ctx, threads));
    TRY(plan_new(x->ctx, x->g, out, n, &x->target, &p));
    check_memory(p);
    check_order(p);
    TRY(program_new(x->ctx, p, &backend_cpu, &prog));
    for (int32_t i = 0; i < graph_leaves(x->g); i++) program_set_leaf(prog, i, x->data[i]);
    for (int32_t i = 0; i < n; i++) {
        program_set_output(prog, i, y[i]);
        if (!in_place || out[i].alias < 0) continue;
        memcpy(y[i], x->data[out[i].alias], rx_out_bytes(x, &out[i]));
        program_set_leaf(prog, out[i].alias, y[i]);
    }
    TRY(program_run(prog));
done:
    if (st != DRMAD_OK) test_fail(__FILE__, __LINE__, "run: %s", drmad_errmsg(x->ctx));
    program_free(prog);
    plan_free(p);
    return st == DRMAD_OK;
}

static double number(dtype t, const void *y, int64_t i)
{
    return t == F32   ? (double)((const float *)y)[i]
           : t == F64 ? ((const double *)y)[i]
                      : ((const int32_t *)y)[i];
}

/* One failure an output is enough. */
void rx_compare(rx *x, const plan_output *o, int i, const void *y, const rx_wanted *w)
{
    const int64_t count = shape_count(graph_shape(x->g, o->y));
    const dtype t = graph_dtype(x->g, o->y);
    const double *want = w->want[i];
    double most = 0.1; /* below it, what is left where terms of up to some hundred cancel */

    for (int64_t k = 0; k < count; k++)
        if (fabs(want[k]) > most) most = fabs(want[k]);
    for (int64_t k = 0; k < count; k++) {
        const double got = number(t, y, k);
        if (fabs(got - want[k]) <= w->tol * most || (isnan(got) && isnan(want[k])) ||
            got == want[k])
            continue;
        test_fail(__FILE__, __LINE__,
                  "seed %llu %s: output %d (node %d) element %lld = %.9g, expected %.9g",
                  (unsigned long long)x->seed, w->how, i, o->y, (long long)k, got, want[k]);
        return;
    }
}

void rx_evaluate(rx *x, int n, const plan_output *out, double **want)
{
    node roots[RX_OUTS];

    for (int i = 0; i < n; i++) {
        roots[i] = out[i].y;
        want[i] = calloc((size_t)shape_count(graph_shape(x->g, out[i].y)) + 1, sizeof(double));
    }
    eval(x->g, (const void *const *)x->data, n, roots, want);
}

static void compare_all(rx *x, int n, const plan_output *out, int threads, bool in_place,
                        const rx_wanted *w, void **same)
{
    void *y[RX_OUTS] = {0};
    const bool first = !same[0];

    if (rx_run(x, n, out, threads, in_place, y))
        for (int i = 0; i < n; i++) {
            rx_compare(x, &out[i], i, y[i], w);
            if (!first && memcmp(y[i], same[i], rx_out_bytes(x, &out[i])) != 0)
                test_fail(__FILE__, __LINE__, "seed %llu %s: output %d differs in its bits",
                          (unsigned long long)x->seed, w->how, i);
        }
    for (int i = 0; i < n; i++)
        if (first) same[i] = y[i];
        else free(y[i]);
}

/* same[0] == NULL tells compare_all to keep the outputs, so a new set starts there. */
static void drop(int n, void **same)
{
    for (int i = 0; i < n; i++) {
        free(same[i]);
        same[i] = NULL;
    }
}

void rx_check(rx *x, int n, const plan_output *out, double tol)
{
    const plan_target usual = x->target;
    double *want[RX_OUTS];
    void *same[RX_OUTS] = {0};

    CHECK_OK(x->ctx, graph_status(x->g));
    if (graph_status(x->g) != DRMAD_OK) return;
    rx_evaluate(x, n, out, want);
    for (int tiles = 0; tiles < 3; tiles++) {
        static const char *const how[] = {"fused", "small tiles", "unfused"};
        const rx_wanted w = {want, tol, how[tiles]}, in = {want, tol, "in place"};
        x->target.fuse = tiles < 2;
        if (tiles == 1) x->target.tile_bytes = 512, x->target.tile_macs = 1000;
        if (tiles == 1) x->target.recompute_bytes = 1;
        compare_all(x, n, out, 1, false, &w, same);
        compare_all(x, n, out, 1, true, &in, same);
        if (tiles < 2) compare_all(x, n, out, 2, true, &w, same);
        if (tiles < 2) compare_all(x, n, out, 5, false, &w, same);
        drop(n, same);
    }
    x->target = usual;
    for (int i = 0; i < n; i++) free(want[i]);
}

void rx_check_one(rx *x, node y, double tol)
{
    rx_check(x, 1, &(plan_output){y, -1}, tol);
}
