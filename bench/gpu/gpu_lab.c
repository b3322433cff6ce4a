/* What a device computes and how fast, for tools/gpu-check: a training run, a hypergradient, the
 * grid's encoder, of nets that the issue of the CUDA backend names. One JSON object on stdout.
 *
 *   gpu_lab compare NET DEVICE [STEPS] [KEY=VALUE]   the device's hypergradient beside the CPU's
 *                                                    exact one, both F32, and whether a second
 *                                                    run has the same bits
 *   gpu_lab times NET DEVICE [STEPS] [KEY=VALUE]     seconds of a step, of a reverse step, and of
 *                                                    a step that a grid records
 *
 * NET: small (784-50-50-50-10, tanh, batch 50), large (784-800-800-10, ReLU, 128), lenet (64),
 * resnet20 (32x32x3, 64), resnet18 (224x224x3, 32). DEVICE as in a study; STEPS: of a run;
 * KEY=VALUE: a word for the study on the device.
 * Wall times, medians; a run ends when the device has done it. */
#include "hyper/walker.h"
#include "../lab.h"
#include "../noise.h"
#include <unistd.h>

enum { REPEATS = 5, PAIRS_MAX = 24 };

typedef struct subject {
    const char *name, *model, *batch, *hyper;
    int64_t size, channels, images; /* size 0: digits in rows */
    int compare, times;             /* steps */
} subject;

#define L2_UNITS "hyper=[{kind: l2, per: unit-in, start: 1e-3}, {kind: lr, per: layer}]"
#define L2_LAYERS "hyper=[{kind: l2, per: layer, start: 1e-4}, {kind: lr, per: layer}]"

static const subject subjects[] = {
    {"small", "model.layers=[auto, 50, 50, 50, auto]", "50", L2_UNITS, 0, 1, 6000, 100, 1000},
    {"large", "model.layers=[auto, 800, 800, auto]", "128", L2_UNITS, 0, 1, 6000, 30, 200},
    {"lenet",
     "model.net=[{kind: conv, out: 32, kernel: 5}, {kind: relu}, {kind: max_pool, kernel: 2},"
     " {kind: conv, out: 64, kernel: 5}, {kind: relu}, {kind: max_pool, kernel: 2},"
     " {kind: flatten}, {kind: linear, out: 128}, {kind: relu}, {kind: linear, out: 10}]",
     "64", L2_LAYERS, 28, 1, 2048, 20, 200},
    {"resnet20", "model.preset=resnet20", "64", L2_LAYERS, 32, 3, 2048, 4, 60},
    {"resnet18", "model.preset=resnet18", "32", L2_LAYERS, 224, 3, 160, 1, 10},
};

typedef struct options {
    const subject *net;
    const char *device, *trajectory, *word; /* word: NULL, none */
    int64_t steps;
} options;

/* ---- studies ---- */

static void open_study(lab *l, const options *o, const char *folder)
{
    char dir[160], steps[64], on_it[64], kept[64], batch[64], train[64];
    const subject *n = o->net;
    const char *pairs[PAIRS_MAX] = {dir, steps, on_it, kept, batch, train};
    int count = 6;

    snprintf(dir, sizeof dir, "data.dir=%s", folder);
    snprintf(steps, sizeof steps, "train.steps=%d", (int)o->steps);
    snprintf(on_it, sizeof on_it, "device=%s", o->device);
    snprintf(kept, sizeof kept, "trajectory.kind=%s", o->trajectory);
    snprintf(batch, sizeof batch, "train.batch=%s", n->batch);
    snprintf(train, sizeof train, "data.train=%d", (int)n->images - 128);
    const char *const more[] = {"data.valid=64",
                                "data.test=64",
                                "threads=auto",
                                "optimizer.lr=0.01",
                                "optimizer.momentum=0.9",
                                "trajectory.memory=64GiB",
                                n->model,
                                n->hyper,
                                n->size ? "data.kind=npy" : "data.kind=synthetic-digits",
                                n->size ? "data.images=x.npy" : "model.activation=tanh"};
    for (size_t i = 0; i < COUNT(more); i++) pairs[count++] = more[i];
    if (strcmp(n->name, "large") == 0) pairs[count++] = "model.activation=relu";
    if (n->size) pairs[count++] = "data.labels=y.npy";
    if (o->word) pairs[count++] = o->word;
    lab_open(l, pairs, count, true);
}

static void make_data(const subject *n, char *folder)
{
    char path[160];

    strcpy(folder, "/tmp/gpu_lab-XXXXXX");
    if (!mkdtemp(folder)) abort();
    if (!n->size) return;
    snprintf(path, sizeof path, "%s/x.npy", folder);
    noise_write(path, n->images, n->size, n->channels);
    snprintf(path, sizeof path, "%s/y.npy", folder);
    noise_write(path, n->images, 0, 0);
}

static void drop_data(const char *folder)
{
    char path[160];

    snprintf(path, sizeof path, "%s/x.npy", folder), unlink(path);
    snprintf(path, sizeof path, "%s/y.npy", folder), unlink(path);
    rmdir(folder);
}

/* ---- compare ---- */

static double gradient_of(lab *l)
{
    walk_report r;

    lab_must(l, walker_gradient(l->s->walker, l->values, 7, &l->s->objective, &r, l->grad));
    return r.value.loss;
}

static void compare(options o, const char *folder)
{
    lab cpu, on;
    options reference = o;

    reference.device = "cpu", reference.word = NULL;
    open_study(&cpu, &reference, folder);
    open_study(&on, &o, folder);
    const int64_t n = cpu.s->space->total;
    const double want = gradient_of(&cpu), got = gradient_of(&on);
    const double cosine = lab_cosine(on.grad, cpu.grad, n);
    const double norm = lab_norm(on.grad, n) / lab_norm(cpu.grad, n);
    double *first = malloc((size_t)n * sizeof *first);
    memcpy(first, on.grad, (size_t)n * sizeof *first);
    const bool same =
        gradient_of(&on) == got && memcmp(first, on.grad, (size_t)n * sizeof *first) == 0;
    printf("{\"net\": \"%s\", \"steps\": %d, \"values\": %d, \"cosine\": %.9f, \"norm\": %.9f, "
           "\"loss_cpu\": %.9g, \"loss\": %.9g, \"same_bits\": %s}\n",
           o.net->name, (int)o.steps, (int)n, cosine, norm, want, got, same ? "true" : "false");
    free(first);
    lab_close(&on);
    lab_close(&cpu);
}

/* ---- times ---- */

typedef struct took {
    double step, reverse, grid_step;
} took;

static took once(lab *full, lab *grid)
{
    const double steps = (double)full->s->spec.steps;
    train_report run;
    walk_report r;
    took t;

    const double start = base_now();
    lab_must(full, trainer_run(full->s->trainer, full->values, 1, NULL, &run));
    t.step = (base_now() - start) / steps;
    lab_must(full, walker_gradient(full->s->walker, full->values, 1, &full->s->objective, &r,
                                   full->grad));
    t.reverse = r.reverse_seconds / steps;
    lab_must(grid, walker_gradient(grid->s->walker, grid->values, 1, &grid->s->objective, &r,
                                   grid->grad));
    t.grid_step = r.train_seconds / steps;
    return t;
}

static void times(options o, const char *folder)
{
    double step[REPEATS], reverse[REPEATS], grid_step[REPEATS];
    options gridded = o;
    lab full, grid;

    gridded.trajectory = "grid";
    open_study(&full, &o, folder);
    open_study(&grid, &gridded, folder);
    once(&full, &grid); /* warms up */
    for (int i = 0; i < REPEATS; i++) {
        const took t = once(&full, &grid);
        step[i] = t.step, reverse[i] = t.reverse, grid_step[i] = t.grid_step;
    }
    printf("{\"net\": \"%s\", \"steps\": %d, \"batch\": %s, \"step\": %.9g, \"reverse\": %.9g, "
           "\"grid_step\": %.9g}\n",
           o.net->name, (int)o.steps, o.net->batch, median(step, REPEATS), median(reverse, REPEATS),
           median(grid_step, REPEATS));
    lab_close(&grid);
    lab_close(&full);
}

int main(int argc, char **argv)
{
    options o = {.trajectory = "full"};
    char folder[64];

    for (size_t i = 0; argc > 3 && i < COUNT(subjects); i++)
        if (strcmp(argv[2], subjects[i].name) == 0) o.net = &subjects[i];
    if (!o.net) {
        fprintf(stderr, "gpu_lab compare|times NET DEVICE [STEPS] [KEY=VALUE]\n");
        return 2;
    }
    const bool timing = strcmp(argv[1], "times") == 0;
    o.device = argv[3];
    o.steps = timing ? o.net->times : o.net->compare;
    for (int i = 4; i < argc; i++) {
        if (strchr(argv[i], '=')) o.word = argv[i];
        else o.steps = atoi(argv[i]);
    }
    make_data(o.net, folder);
    timing ? times(o, folder) : compare(o, folder);
    drop_data(folder);
    return 0;
}
