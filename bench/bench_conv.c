/* Convolutions of LeNet-like nets, CIFAR ResNets and ResNet-18, forward and both gradients, as
 * shares of the multiply-add peak probed in the same round; beside them oneDNN where its header
 * and library are there (nhwc images, its own layout of the weights, whose reorder is left out, as
 * is ours of nothing: packing counts), and im2col with our own products. This program alone loads
 * oneDNN, and only to compare.
 *
 *   bench_conv [portable|avx2|avx512]      pin it: taskset -c 0 bench_conv */
#include "conv_rivals.h"

enum { ROUNDS = 9, SETS = 3, OPS = 3, WAYS = 3 };
static const char *const sets[SETS] = {"lenet", "cifar", "resnet18"};

typedef struct layer {
    int set; /* and times in it */
    int times;
    int64_t n, size, ci, co;
    int32_t kernel, stride, pad;
    bool first; /* of its net: no dx */
} layer;

static const layer layers[] = {
    {0, 1, 64, 28, 1, 32, 5, 1, 0, true},    {0, 1, 64, 12, 32, 64, 5, 1, 0, false},
    {0, 1, 64, 28, 1, 6, 5, 1, 2, true},     {0, 1, 64, 14, 6, 16, 5, 1, 0, false},
    {1, 1, 64, 32, 3, 16, 3, 1, 1, true},    {1, 6, 64, 32, 16, 16, 3, 1, 1, false},
    {1, 1, 64, 32, 16, 32, 3, 2, 1, false},  {1, 1, 64, 32, 16, 32, 1, 2, 0, false},
    {1, 5, 64, 16, 32, 32, 3, 1, 1, false},  {1, 1, 64, 16, 32, 64, 3, 2, 1, false},
    {1, 1, 64, 16, 32, 64, 1, 2, 0, false},  {1, 5, 64, 8, 64, 64, 3, 1, 1, false},
    {2, 1, 4, 224, 3, 64, 7, 2, 3, true},    {2, 4, 4, 56, 64, 64, 3, 1, 1, false},
    {2, 1, 4, 56, 64, 128, 3, 2, 1, false},  {2, 1, 4, 56, 64, 128, 1, 2, 0, false},
    {2, 3, 4, 28, 128, 128, 3, 1, 1, false}, {2, 1, 4, 28, 128, 256, 3, 2, 1, false},
    {2, 3, 4, 14, 256, 256, 3, 1, 1, false}, {2, 1, 4, 14, 256, 512, 3, 2, 1, false},
    {2, 3, 4, 7, 512, 512, 3, 1, 1, false},
};
enum { LAYERS = sizeof layers / sizeof layers[0] };

static conv conv_of(const layer *l, conv_op op, cpu_isa isa)
{
    conv c = {.op = op,
              .type = F32,
              .isa = isa,
              .n = l->n,
              .ci = l->ci,
              .co = l->co,
              .v = {.size = {l->size, l->size},
                    .kernel = {l->kernel, l->kernel},
                    .stride = {l->stride, l->stride},
                    .pad = {l->pad, l->pad},
                    .dilation = {1, 1},
                    .groups = 1}};

    conv_prepare(&c);
    return c;
}

static double work_of(const conv *c)
{
    return 2.0 * (double)(c->n * window_out(&c->v, 0) * window_out(&c->v, 1) * c->co * c->ci) *
           (double)(c->v.kernel[0] * c->v.kernel[1]);
}

static void ours(const conv *c, const rivals *r)
{
    if (c->op == CONV_DW) {
        for (int64_t t = 0; t < c->tiles; t++)
            conv_dw_tile(c, &(conv_memory){r->x, r->y, r->sums}, t, r->work);
        conv_put(c, r->sums, r->w, 0, c->co);
        return;
    }
    const bool back = c->op == CONV_DX;
    const conv_memory m = {back ? r->y : r->x, r->packed, back ? r->x : r->y};
    conv_pack(c, r->w, r->packed, r->work);
    conv_run(c, &m, 0, c->lines, r->work);
}

/* Seconds of one call: the mean of about 100 MFLOP of them. */
static double seconds(const conv *c, const rivals *r, int way)
{
    const int times = 1 + (int)(1e8 / work_of(c));

    if (way == 1 && !rivals_onednn_ready(r)) return NAN;
    for (int i = -1; i < times; i++) {
        static double start;
        if (i == 0) start = cpu_seconds();
        if (way == 0) ours(c, r);
        else if (way == 1) rivals_onednn(r);
        else rivals_im2col(c, r);
        if (i == times - 1) return (cpu_seconds() - start) / times;
    }
    return NAN;
}

typedef struct figures {
    double share[WAYS], flops, micros;
} figures;

static figures measure(const layer *l, conv_op op, cpu_isa isa)
{
    double share[WAYS][ROUNDS], micros[ROUNDS];
    const conv c = conv_of(l, op, isa);
    rivals r;
    figures f = {.flops = work_of(&c)};

    rivals_open(&r, &c);
    for (int i = 0; i < ROUNDS; i++) {
        for (int way = 0; way < WAYS; way++) {
            const double peak = peak_flops(isa), t = seconds(&c, &r, way);
            share[way][i] = f.flops / t / peak;
            if (way == 0) micros[i] = 1e6 * t;
        }
    }
    for (int way = 0; way < WAYS; way++) f.share[way] = median(share[way], ROUNDS);
    f.micros = median(micros, ROUNDS);
    rivals_close(&r);
    return f;
}

int main(int argc, char **argv)
{
    double flops[SETS] = {0}, time[SETS][WAYS] = {{0}};
    cpu_isa isa = cpu_isa_best();

    setenv("OMP_NUM_THREADS", "1", 1);
    for (cpu_isa i = ISA_PORTABLE; argc > 1 && i < isa; i++)
        if (strcmp(argv[1], cpu_isa_name(i)) == 0) isa = i;
    print_machine("bench_conv", isa);
    printf("%% of the peak: ours, oneDNN %s, im2col; medians of %d\n", rivals_version(), ROUNDS);
    for (int i = 0; i < LAYERS; i++) {
        const layer *l = &layers[i];
        printf("%-8s %dx%d/%d %3d -> %3d, %3d x %3d ", sets[l->set], l->kernel, l->kernel,
               l->stride, (int)l->ci, (int)l->co, (int)l->n, (int)l->size);
        for (int op = CONV_Y; op <= CONV_DW; op++) {
            if (op == CONV_DX && l->first) {
                printf(" |                                ");
                continue;
            }
            const figures f = measure(l, (conv_op)op, isa);
            printf(" | %s %9.1f us %3.0f %3.0f %3.0f",
                   op == CONV_Y    ? "y "
                   : op == CONV_DX ? "dx"
                                   : "dw",
                   f.micros, 100 * f.share[0], 100 * f.share[1], 100 * f.share[2]);
            fflush(stdout);
            flops[l->set] += l->times * f.flops;
            for (int way = 0; way < WAYS; way++)
                time[l->set][way] += l->times * f.flops / f.share[way];
        }
        printf("\n");
    }
    for (int s = 0; s < SETS; s++)
        printf("conv_%s_peak_share ratio %.3f oneDNN %.3f, im2col %.3f\n", sets[s],
               flops[s] / time[s][0], flops[s] / time[s][1], flops[s] / time[s][2]);
    return 0;
}
