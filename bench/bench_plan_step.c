/* Where the time of a training step and of a reverse step goes: products, elementwise groups and
 * other steps of the plans that the trainer and the walker made, on seeded data. Processor time,
 * lower eighths. With an argument, each step is printed too. */
#include "exec/cpu/cpu.h"
#include "hyper/walker.h"
#include "lab.h"

enum { REPEATS = 201 };

/* Memory of every leaf and output; outputs lie over the leaves they may overwrite. */
typedef struct bench {
    drmad_ctx *ctx;
    const plan *p;
    cpu_code *code;
    void **leaf, **out, **fresh, *arena;
    bound_memory memory;
} bench;

static void fill(const plan *p, int32_t number, void *data)
{
    const node n = graph_leaf(p->g, number);
    const shape *s = graph_shape(p->g, n);
    const bool index = strcmp(graph_leaf_name(p->g, number), "index") == 0;
    const rng_key key = {7, 0, (uint32_t)number};

    for (int64_t i = 0; i < shape_count(s); i++) switch (graph_dtype(p->g, n)) {
        case F32: ((float *)data)[i] = (float)(0.02 * rng_uniform(key, (uint64_t)i) - 0.01); break;
        case I32:
            ((int32_t *)data)[i] = (int32_t)rng_below(key, (uint64_t)i, index ? 15000 : 10);
            break;
        default: ((uint8_t *)data)[i] = (uint8_t)rng_below(key, (uint64_t)i, 256); break;
        }
}

static drmad_status open_bench(bench *b, drmad_ctx *ctx, const plan *p)
{
    drmad_status st = DRMAD_OK;
    void *code = NULL;

    *b = (bench){.ctx = ctx, .p = p};
    TRY(mem_alloc(ctx, (size_t)graph_leaves(p->g) + 1, sizeof *b->leaf, &b->leaf));
    TRY(mem_alloc(ctx, (size_t)p->outs + 1, sizeof *b->out, &b->out));
    TRY(mem_alloc(ctx, (size_t)p->outs + 1, sizeof *b->fresh, &b->fresh));
    TRY(mem_alloc(ctx, p->counts.arena + 1, 1, &b->arena));
    for (int32_t i = 0; i < graph_leaves(p->g); i++) {
        const node n = graph_leaf(p->g, i);
        size_t bytes = 0;
        shape_bytes(graph_shape(p->g, n), graph_dtype(p->g, n), &bytes);
        TRY(mem_alloc(ctx, bytes + 1, 1, &b->leaf[i]));
        fill(p, i, b->leaf[i]);
    }
    for (int32_t i = 0; i < p->outs; i++) {
        const size_t bytes = p->node[p->out[i].y].bytes;
        TRY(mem_alloc(ctx, bytes + 1, 1, &b->fresh[i]));
        b->out[i] = p->out[i].alias >= 0 ? b->leaf[p->out[i].alias] : b->fresh[i];
        if (p->out[i].alias >= 0) memcpy(b->fresh[i], b->out[i], bytes);
    }
    b->memory = (bound_memory){(const void *const *)b->leaf, b->out, b->arena};
    TRY(backend_cpu.bind(&backend_cpu, ctx, p, &code));
    b->code = code;
    b->code->memory = &b->memory;
done:
    return st;
}

static void close_bench(bench *b)
{
    backend_cpu.release(b->code);
    for (int32_t i = 0; i < b->p->outs; i++) mem_free(b->ctx, b->fresh[i]);
    for (int32_t i = 0; i < graph_leaves(b->p->g); i++) mem_free(b->ctx, b->leaf[i]);
    mem_free(b->ctx, b->leaf);
    mem_free(b->ctx, b->out);
    mem_free(b->ctx, b->fresh);
    mem_free(b->ctx, b->arena);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double low(double *x)
{
    qsort(x, REPEATS, sizeof *x, by_size);
    return x[REPEATS / 8];
}

/* Wall clock: its reading costs less than a processor clock's, and a low quantile drops what
 * others take. */
static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Outputs lie over leaves: without this, states would decay to denormal numbers. */
static void refill(bench *b)
{
    for (int32_t i = 0; i < b->p->outs; i++)
        if (b->p->out[i].alias >= 0)
            memcpy(b->out[i], b->fresh[i], b->p->node[b->p->out[i].y].bytes);
}

/* Nanoseconds of step i, as it is and with its products alone, in the midst of the whole. */
typedef struct step_times {
    double whole[REPEATS], products[REPEATS];
} step_times;

static void run_split(bench *b, int rep, step_times *at)
{
    for (int32_t i = 0; i < b->p->steps; i++) {
        cpu_step *s = &b->code->step[i], alone = *s;
        const bool plain = s->plan->matmuls + s->plan->points + s->plan->sums == 0;
        alone.group.slots = alone.group.sums = 0;
        double start = now();
        if (plain) cpu_run_plain(b->code, s);
        else cpu_run_group(b->code, &alone);
        at[i].products[rep] = now() - start;
        start = now();
        if (plain) cpu_run_plain(b->code, s);
        else cpu_run_group(b->code, s);
        at[i].whole[rep] = now() - start;
    }
}

static void print_line(void *user, const char *text)
{
    (void)user;
    puts(text);
}

static void measure(const char *name, drmad_ctx *ctx, const plan *p, bool each)
{
    bench b;
    double total[REPEATS], gemm = 0, group = 0, plain = 0;
    step_times *at = calloc((size_t)p->steps, sizeof *at);

    if (!at || open_bench(&b, ctx, p) != DRMAD_OK) exit(1);
    if (each) plan_explain(p, print_line, NULL);
    for (int k = 0; k < REPEATS; k++) {
        refill(&b);
        const double start = cpu_seconds();
        backend_cpu.run(b.code, &b.memory);
        total[k] = 1e9 * (cpu_seconds() - start);
    }
    b.code->memory = &b.memory;
    for (int k = 0; k < REPEATS; k++) {
        refill(&b);
        run_split(&b, k, at);
    }
    for (int32_t i = 0; i < p->steps; i++) {
        const plan_step *s = &p->step[i];
        const double whole = low(at[i].whole) - 25,
                     products = s->matmuls ? low(at[i].products) - 25 : 0;
        if (s->matmuls + s->points + s->sums == 0) plain += whole;
        else gemm += products, group += whole - products;
        if (each)
            printf("step %3d: products %8.0f ns (%5.1f GFLOP/s), rest %7.0f ns, %d points\n", i,
                   products, products > 0 ? 2 * (double)s->macs / products : 0, whole - products,
                   s->points);
    }
    printf("%s: %.1f us; apart: products %.1f, groups %.1f, others %.1f us; %d steps, %.1f GFLOP/s "
           "of products\n",
           name, 1e-3 * low(total), 1e-3 * gemm, 1e-3 * group, 1e-3 * plain, p->steps,
           2 * (double)p->counts.macs / gemm);
    close_bench(&b);
    free(at);
}

int main(int argc, char **argv)
{
    lab l;
    const bool each = argc > 1;

    (void)argv;
    lab_open_net(&l, false);
    measure("training step, small", l.ctx, l.s->trainer->step->plan, each);
    measure("reverse step, small", l.ctx, l.s->walker->back->plan, each);
    lab_close(&l);
    lab_open_net(&l, true);
    measure("training step, large", l.ctx, l.s->trainer->step->plan, each);
    measure("reverse step, large", l.ctx, l.s->walker->back->plan, each);
    lab_close(&l);
    return 0;
}
