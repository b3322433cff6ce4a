/* What it gives and costs that activations wait for the backward pass in bf16 (train.activations):
 * memory and time of a training step against f32, in turns, processor time, medians; and accuracy
 * after training.
 *
 *   bf16_arena_over_f32    memory of the step's plan, the largest of the nets
 *   bf16_step_over_f32     time of a step, the largest of the nets
 *   bf16_accuracy_points   LeNet-5 on MNIST, 780 steps of 64: test accuracy with bf16 less that
 *                          with f32, per cent, mean over seeds
 *
 *   lenet    LeNet-5 on 28x28x1, batch 64
 *   resnet   ResNet-20 with batch norm on 32x32x3, batch 64
 *   vit      4 blocks of ViT-tiny, 64 wide, on 32x32x3 in 64 patches, batch 32
 *
 * bench_bf16 steps    without the accuracy */
#include "lab.h"
#include "noise.h"

enum { REPEATS = 7, SEEDS = 3 };

typedef struct subject {
    const char *name, *model, *batch;
    int64_t size, channels, steps;
} subject;

static const subject nets[] = {
    {"lenet", "model.preset=lenet5", "train.batch=64", 28, 1, 40},
    {"resnet", "model.preset=resnet20", "train.batch=64", 32, 3, 3},
    {"vit", "model={preset: vit-tiny, depth: 4, width: 64, heads: 2, patch: 4}", "train.batch=32",
     32, 3, 4},
};

static void open_noise(lab *l, const subject *n, const char *folder, const char *kept)
{
    char dir[128], steps[64], how[64];

    snprintf(dir, sizeof dir, "data.dir=%s", folder);
    snprintf(steps, sizeof steps, "train.steps=%d", (int)n->steps);
    snprintf(how, sizeof how, "train.activations=%s", kept);
    const char *const pairs[] = {dir,
                                 steps,
                                 how,
                                 n->model,
                                 n->batch,
                                 "data.kind=npy",
                                 "data.images=x.npy",
                                 "data.labels=y.npy",
                                 "data.train=1920",
                                 "data.valid=64",
                                 "data.test=64",
                                 "optimizer.lr=0.001"};
    lab_open(l, pairs, COUNT(pairs), false);
}

static double step_seconds(lab *l)
{
    train_report r;
    const double start = cpu_seconds();

    lab_must(l, trainer_run(l->s->trainer, l->values, 1, NULL, &r));
    return (cpu_seconds() - start) / (double)r.steps;
}

static void measure(const subject *n, double *arena, double *time)
{
    double ratio[REPEATS], whole_ms[REPEATS];
    char folder[NOISE_PATH];
    lab whole, half;

    noise_new(folder, n->size, n->channels);
    open_noise(&whole, n, folder, "f32");
    open_noise(&half, n, folder, "bf16");
    step_seconds(&whole), step_seconds(&half); /* warm */
    for (int i = 0; i < REPEATS; i++) {
        whole_ms[i] = 1e3 * step_seconds(&whole);
        ratio[i] = 1e3 * step_seconds(&half) / whole_ms[i];
    }
    const size_t before = whole.s->trainer->step->plan->counts.arena;
    const size_t after = half.s->trainer->step->plan->counts.arena;
    *arena = (double)after / (double)before;
    *time = median(ratio, REPEATS);
    printf("# %s: %.1f MiB -> %.1f MiB, %.3f; a step of %.2f ms takes %.3f times that\n", n->name,
           (double)before / 1048576, (double)after / 1048576, *arena, median(whole_ms, REPEATS),
           *time);
    lab_close(&whole);
    lab_close(&half);
    noise_free(folder);
}

/* Test accuracy, per cent. */
static double accuracy(const char *kept, uint64_t seed)
{
    char how[64];
    train_report r;
    eval_result e;
    lab l;

    snprintf(how, sizeof how, "train.activations=%s", kept);
    const char *const pairs[] = {how,
                                 "model.preset=lenet5",
                                 "train.batch=64",
                                 "train.steps=780",
                                 "optimizer.lr=0.02",
                                 "optimizer.momentum=0.9",
                                 "optimizer.schedule=cosine"};
    lab_open(&l, pairs, COUNT(pairs), false);
    lab_must(&l, trainer_run(l.s->trainer, l.values, seed, NULL, &r));
    lab_must(&l, trainer_eval(l.s->trainer, &l.s->test, l.values, &e, NULL, NULL));
    lab_close(&l);
    return 100 * (1 - e.error);
}

static void measure_accuracy(void)
{
    double sum = 0, low = INFINITY, high = -INFINITY;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const double whole = accuracy("f32", seed), points = accuracy("bf16", seed) - whole;
        printf("# lenet on MNIST, seed %d: %.2f %% with f32, %+.2f with bf16\n", (int)seed, whole,
               points);
        sum += points, low = fmin(low, points), high = fmax(high, points);
    }
    printf("bf16_accuracy_points points %.3f mean of %d seeds, from %+.2f to %+.2f\n", sum / SEEDS,
           SEEDS, low, high);
}

int main(int argc, char **argv)
{
    double arena[COUNT(nets)], time[COUNT(nets)], most_arena = 0, most_time = 0;

    print_machine("bench_bf16", cpu_isa_best());
    for (size_t i = 0; i < COUNT(nets); i++) {
        measure(&nets[i], &arena[i], &time[i]);
        most_arena = fmax(most_arena, arena[i]);
        most_time = fmax(most_time, time[i]);
    }
    printf("bf16_arena_over_f32 ratio %.3f lenet %.3f, resnet %.3f, vit %.3f\n", most_arena,
           arena[0], arena[1], arena[2]);
    printf("bf16_step_over_f32 ratio %.3f lenet %.3f, resnet %.3f, vit %.3f\n", most_time, time[0],
           time[1], time[2]);
    if (argc < 2 || strcmp(argv[1], "steps") != 0) measure_accuracy();
    return 0;
}
