/* What a training step, a reverse step and a meta-iteration of convolutional nets cost on one
 * core, as shares of the peak and as ratios to each other; and the memory of the plans. Processor
 * time, medians. Images are noise: time does not depend on them.
 *
 *   lenet    5x5x32, pool, 5x5x64, pool, 128, 10 on 28x28x1, batch 64
 *   resnet   ResNet-20 with batch norm on 32x32x3, batch 64
 *
 * bench_nets             with SGD and with AdamW, eps inside the root
 * bench_nets sgd|adamw   with one of them
 * bench_nets times NET   seconds of a step and a reverse step with SGD as JSON, for
 *                        bench_nets_peers.py */
#include "lab.h"
#include "noise.h"

typedef struct subject {
    const char *name, *model;
    int64_t size, channels, steps;
} subject;

static const subject nets[] = {
    {"lenet",
     "model.net=[{kind: conv, out: 32, kernel: 5}, {kind: relu}, {kind: max_pool, kernel: 2},"
     " {kind: conv, out: 64, kernel: 5}, {kind: relu}, {kind: max_pool, kernel: 2},"
     " {kind: flatten}, {kind: linear, out: 128}, {kind: relu}, {kind: linear, out: 10}]",
     28, 1, 30},
    {"resnet", "model.preset=resnet20", 32, 3, 6},
};

/* An inner optimiser: its settings, what its lines are called. */
typedef struct family {
    const char *name, *kind, *eps_inside, *line;
} family;

static const family families[] = {
    {"sgd", "optimizer.kind=sgd", "optimizer.eps_inside=false", "conv_meta_over_plain"},
    {"adamw", "optimizer.kind=adamw", "optimizer.eps_inside=true", "conv_meta_over_plain_adamw"},
};

static void open_net(lab *l, const subject *n, const family *f, char folder[NOISE_PATH])
{
    char dir[128], steps[64];

    noise_new(folder, n->size, n->channels);
    snprintf(dir, sizeof dir, "data.dir=%s", folder);
    snprintf(steps, sizeof steps, "train.steps=%d", (int)n->steps);
    const char *const pairs[] = {dir,
                                 steps,
                                 n->model,
                                 "data.kind=npy",
                                 "data.images=x.npy",
                                 "data.labels=y.npy",
                                 "data.train=1920",
                                 "data.valid=64",
                                 "data.test=64",
                                 "train.batch=64",
                                 f->kind,
                                 f->eps_inside,
                                 "optimizer.lr=0.01",
                                 "hyper=[{kind: l2, per: layer, start: 1e-4}]",
                                 "trajectory.kind=full"};
    lab_open(l, pairs, COUNT(pairs), true);
}

static void close_net(lab *l, const char folder[NOISE_PATH])
{
    lab_close(l);
    noise_free(folder);
}

/* Useful multiply-adds of a training step of one example: thrice the forward pass, but no
 * gradient to the images. */
static double step_macs(const lab *l)
{
    const nn_spec *m = l->s->spec.model.layers;
    const nn_layer *first = &m->at[0];

    for (int32_t i = 0; i < m->n && first->kind != NN_CONV; i++) first = &m->at[i];
    const double into = (double)(shape_count(&first->shape) * m->input.dim[2]) *
                        (double)(first->window.kernel[0] * first->window.kernel[1]);
    return 3 * (double)nn_macs(m) - into;
}

static void measure(const subject *n, const family *f, double *meta, bool json)
{
    lab_times t[LAB_REPEATS];
    char folder[NOISE_PATH];
    lab l;

    open_net(&l, n, f, folder);
    lab_time(&l, t);
    const double flops = 2 * step_macs(&l) * (double)l.s->spec.batch;
    const double step = LAB_MEDIAN(t, step), reverse = LAB_MEDIAN(t, reverse),
                 peak = LAB_MEDIAN(t, peak);
    *meta = LAB_MEDIAN(t, meta) / LAB_MEDIAN(t, plain);
    if (json) {
        printf("{\"step\": %.9g, \"reverse\": %.9g}\n", step, reverse);
    } else {
        printf("%s %s: step %.2f ms (%.1f GFLOP/s of %.1f), reverse %.2f ms, meta over plain "
               "%.2f\n",
               n->name, f->name, 1e3 * step, 1e-9 * flops / step, 1e-9 * peak, 1e3 * reverse,
               *meta);
        if (f == &families[0])
            printf("%s_step_peak_share ratio %.3f useful FLOP/s over the FMA peak of this core\n",
                   n->name, flops / step / peak);
    }
    close_net(&l, folder);
}

static void measure_family(const family *f)
{
    double meta[COUNT(nets)];

    for (size_t i = 0; i < COUNT(nets); i++) measure(&nets[i], f, &meta[i], false);
    printf("%s ratio %.3f the larger of lenet %.3f and resnet %.3f\n", f->line,
           fmax(meta[0], meta[1]), meta[0], meta[1]);
}

static void print_times(const char *name)
{
    double meta;

    for (size_t i = 0; i < COUNT(nets); i++)
        if (strcmp(name, nets[i].name) == 0) measure(&nets[i], &families[0], &meta, true);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "times") == 0) {
        print_times(argv[2]);
        return 0;
    }
    print_machine("bench_nets", cpu_isa_best());
    for (size_t i = 0; i < COUNT(families); i++)
        if (argc < 2 || strcmp(argv[1], families[i].name) == 0) measure_family(&families[i]);
    return 0;
}
