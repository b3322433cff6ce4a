/* Where the time of a training step and of a reverse step goes: products, elementwise groups and
 * other steps of the plans that the trainer and the walker made, on seeded data. Processor time,
 * lower eighths. Of convolutional nets also the share of the peak and the memory of the two plans.
 * "each" as an argument: each step is printed too; "convolutions": those nets alone. */
#include "exec/cpu/cpu.h"
#include "hyper/walker.h"
#include "lab.h"

enum { REPEATS_MAX = 201, REPEATS_NET = 9 };

/* Memory of every leaf and output; outputs lie over the leaves they may overwrite. */
typedef struct bench {
    drmad_ctx *ctx;
    const plan *p;
    cpu_code *code;
    void **leaf, **out, **fresh, *arena;
    bound_memory memory;
} bench;

/* Rows of the table that "index" points into. */
static int64_t table_rows(const plan *p)
{
    for (int32_t i = 0; i < graph_leaves(p->g); i++)
        if (strcmp(graph_leaf_name(p->g, i), "rows") == 0)
            return graph_shape(p->g, graph_leaf(p->g, i))->dim[0];
    return 1;
}

static void fill(const plan *p, int32_t number, void *data)
{
    const node n = graph_leaf(p->g, number);
    const shape *s = graph_shape(p->g, n);
    const bool index = strcmp(graph_leaf_name(p->g, number), "index") == 0;
    const rng_key key = {7, 0, (uint32_t)number};
    const uint64_t below = index ? (uint64_t)table_rows(p) : 10;

    for (int64_t i = 0; i < shape_count(s); i++) switch (graph_dtype(p->g, n)) {
        case F32: ((float *)data)[i] = (float)(0.02 * rng_uniform(key, (uint64_t)i) - 0.01); break;
        case I32: ((int32_t *)data)[i] = (int32_t)rng_below(key, (uint64_t)i, below); break;
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
    b->memory =
        (bound_memory){.leaf = (const void *const *)b->leaf, .out = b->out, .arena = b->arena};
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

static double low(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 8];
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
    double whole[REPEATS_MAX], products[REPEATS_MAX];
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

/* Seconds of a run. */
static double measure(const char *name, drmad_ctx *ctx, const plan *p, int repeats, bool each)
{
    bench b;
    double total[REPEATS_MAX], gemm = 0, group = 0, plain = 0, macs = 0;
    step_times *at = calloc((size_t)p->steps, sizeof *at);

    if (!at || open_bench(&b, ctx, p) != DRMAD_OK) exit(1);
    if (each) plan_explain(p, print_line, NULL);
    for (int k = 0; k < repeats; k++) {
        refill(&b);
        const double start = cpu_seconds();
        backend_cpu.run(b.code, &b.memory);
        total[k] = 1e9 * (cpu_seconds() - start);
    }
    b.code->memory = &b.memory;
    for (int k = 0; k < repeats; k++) {
        refill(&b);
        run_split(&b, k, at);
    }
    for (int32_t i = 0; i < p->steps; i++) {
        const plan_step *s = &p->step[i];
        const double whole = low(at[i].whole, repeats) - 25,
                     products = s->matmuls ? low(at[i].products, repeats) - 25 : 0;
        if (s->matmuls > 0) macs += (double)s->macs;
        if (s->matmuls + s->points + s->sums == 0) plain += whole;
        else gemm += products, group += whole - products;
        if (each)
            printf("step %3d: products %8.0f ns (%5.1f GFLOP/s), rest %7.0f ns, %d points\n", i,
                   products, products > 0 ? 2 * (double)s->macs / products : 0, whole - products,
                   s->points);
    }
    const double run = low(total, repeats);
    printf("%s: %.1f us; apart: products %.1f, groups %.1f, others %.1f us; %d steps, %.1f GFLOP/s "
           "of products\n",
           name, 1e-3 * run, 1e-3 * gemm, 1e-3 * group, 1e-3 * plain, p->steps, 2 * macs / gemm);
    close_bench(&b);
    free(at);
    return 1e-9 * run;
}

/* ---- nets of convolutions ---- */

static double peak_now(void)
{
    double x[5];

    for (int i = 0; i < 5; i++) x[i] = peak_flops(cpu_isa_best());
    return median(x, 5);
}

static void measure_net(const char *name, const char *const *pairs, int n, bool each)
{
    lab l;
    char title[64];

    lab_open(&l, pairs, n, true);
    const program *step = l.s->trainer->step->prog, *back = l.s->walker->back->prog;
    const plan *p = l.s->trainer->step->plan;
    snprintf(title, sizeof title, "training step, %s", name);
    const double seconds = measure(title, l.ctx, p, REPEATS_NET, each);
    snprintf(title, sizeof title, "reverse step, %s", name);
    const double reverse = measure(title, l.ctx, l.s->walker->back->plan, REPEATS_NET, each);
    printf("plan_%s_step_peak_share ratio %.3f FLOP/s of products and convolutions over the FMA "
           "peak of "
           "this core\n",
           name, 2 * (double)p->counts.macs / seconds / peak_now());
    printf("plan_%s_reverse_over_step ratio %.3f reverse step over training step\n", name,
           reverse / seconds);
    printf(
        "conv_plan_memory_over_plain%s ratio %.3f %.1f MB of the reverse plan over %.1f MB of the "
        "training plan, %s\n",
        strcmp(name, "resnet") == 0 ? "" : "_lenet", /* the larger net is the goal's */
        (double)program_bytes(back) / (double)program_bytes(step),
        1e-6 * (double)program_bytes(back), 1e-6 * (double)program_bytes(step), name);
    lab_close(&l);
}

/* An npy file of bytes in the scratch folder. */
static void put_npy(const char *path, const char *dims, size_t bytes, unsigned below)
{
    FILE *f = fopen(path, "wb");
    char head[128];

    if (!f) exit(1);
    snprintf(head, sizeof head, "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }", dims);
    fprintf(f, "\x93NUMPY%c%c%c%c%-117s\n", 1, 0, 118, 0, head);
    for (size_t i = 0; i < bytes; i++) putc((int)rng_below((rng_key){3, 0, below}, i, below), f);
    fclose(f);
}

static void measure_nets(bool each)
{
    char folder[] = "/tmp/bench_plan_step_XXXXXX", dir[64], images[64], labels[64];

    if (!mkdtemp(folder)) exit(1);
    snprintf(dir, sizeof dir, "data.dir=%s", folder);
    snprintf(images, sizeof images, "%s/images.npy", folder);
    snprintf(labels, sizeof labels, "%s/labels.npy", folder);
    put_npy(images, "600, 32, 32, 3", 600 * 3072, 256);
    put_npy(labels, "600,", 600, 10);
    const char *const resnet[] = {
        "data.kind=npy",          dir,
        "data.images=images.npy", "data.labels=labels.npy",
        "data.train=400",         "data.valid=100",
        "data.test=100",          "model.preset=resnet20",
        "train.batch=64",         "train.steps=10",
        "optimizer.momentum=0.9", "hyper=[{kind: weight_decay, per: layer, start: 1e-4}]",
        "trajectory.kind=full"};
    static const char *const lenet[] = {"data.train=15000",
                                        "data.valid=5000",
                                        "model.preset=lenet5",
                                        "train.batch=64",
                                        "train.steps=100",
                                        "optimizer.momentum=0.9",
                                        "hyper=[{kind: weight_decay, per: layer, start: 1e-4}]",
                                        "trajectory.kind=full"};
    measure_net("lenet", lenet, COUNT(lenet), each);
    measure_net("resnet", resnet, COUNT(resnet), each);
    remove(images);
    remove(labels);
    remove(folder);
}

int main(int argc, char **argv)
{
    lab l;
    const bool each = argc > 1 && strcmp(argv[1], "each") == 0;

    if (argc > 1 && strcmp(argv[1], "convolutions") == 0) {
        measure_nets(argc > 2);
        return 0;
    }
    lab_open_net(&l, false);
    measure("training step, small", l.ctx, l.s->trainer->step->plan, REPEATS_MAX, each);
    measure("reverse step, small", l.ctx, l.s->walker->back->plan, REPEATS_MAX, each);
    lab_close(&l);
    lab_open_net(&l, true);
    measure("training step, large", l.ctx, l.s->trainer->step->plan, REPEATS_MAX, each);
    measure("reverse step, large", l.ctx, l.s->walker->back->plan, REPEATS_MAX, each);
    lab_close(&l);
    measure_nets(each);
    return 0;
}
