/* How close the grid's hypergradients are to the exact ones of the same F32 run, for the nets and
 * optimisers that people train: weight decay per input unit, learning rates by tensor and 5 phases.
 * The exact ones come from a trajectory that keeps everything. Accuracy and bytes, not time.
 *
 * bench_grid_nets [SEEDS [NAME]]: 2 by default; only settings whose name holds NAME. The residual
 * nets take CIFAR-10 from cifar10-imagefolder.tar beside MNIST, at 16 x 16 pixels. */
#include "hyper/walker.h"
#include "lab.h"
#include <unistd.h>

enum { PAIRS_MAX = 32 };

typedef struct setting {
    const char *name, *model, *init, *optimizer, *steps;
    const char *line; /* of the benchmark that it counts for */
    const char *data; /* words */
} setting;

#define ADAMW "optimizer.kind=adamw optimizer.eps_inside=true optimizer.weight_decay=0.01 "
#define SGD "optimizer.kind=sgd optimizer.momentum=0.9 optimizer.weight_decay=0.001 "
#define RESNET_SGD                                                                                 \
    "optimizer.kind=sgd optimizer.momentum=0.9 optimizer.weight_decay=0.0005 optimizer.lr=0.1"
#define BN "{kind: batch_norm}, {kind: relu}"
#define CONV(out) "{kind: conv, out: " out ", kernel: 5, padding: 2, bias: false}, " BN
#define POOL "{kind: max_pool, kernel: 2}"
#define LENET_BN                                                                                   \
    "model.net=[" CONV("8") ", " POOL                                                              \
                            ", " CONV("16") ", " POOL                                              \
                                            ", {kind: flatten}, {kind: linear, out: 10}]"

/* A residual net of three blocks with dropout before its last layer: resnet8 has none. */
#define BATCH_NORM(name) "{kind: batch_norm, name: " name "}, "
#define RELU(name) "{kind: relu, name: " name "}, "
#define CONV3(name, out, stride)                                                                   \
    "{kind: conv, name: " name ", out: " out ", kernel: 3, stride: " stride                        \
    ", padding: 1, bias: false}, "
#define SHORT_CUT(name, in, out, stride)                                                           \
    "{kind: conv, name: " name ".down, from: [" in "], out: " out ", kernel: 1, stride: " stride   \
    ", bias: false}, "
#define ADD(name, a, b) "{kind: add, name: " name ", from: [" a ", " b "]}, "
#define BRANCH(name, out, stride)                                                                  \
    CONV3(name ".conv1", out, stride)                                                              \
    BATCH_NORM(name ".bn1") RELU(name ".mid") CONV3(name ".conv2", out, "1")
#define BLOCK(name, in, out, stride)                                                               \
    BRANCH(name, out, stride)                                                                      \
    BATCH_NORM(name ".bn2")                                                                        \
    SHORT_CUT(name, in, out, stride)                                                               \
    BATCH_NORM(name ".bn3") ADD(name ".sum", name ".bn2", name ".bn3") RELU(name)
#define STEM CONV3("stem", "16", "1") BATCH_NORM("bn") RELU("start")
#define BLOCKS                                                                                     \
    BLOCK("a", "start", "16", "1")                                                                 \
    BLOCK("b", "a", "32", "2")                                                                     \
    BLOCK("c", "b", "64", "2")
#define HEAD "{kind: global_avg_pool}, {kind: dropout, rate: 0.1}, {kind: linear, out: 10}"
#define RESNET_DROPOUT "model.net=[" STEM BLOCKS HEAD "]"
#define MNIST "data.train=15000 data.valid=1000"
#define CIFAR                                                                                      \
    "data.kind=folder data.images=train data.test_images=val data.size=16 data.train=4500 "        \
    "data.valid=500 data.test=1000 data.mean=[0.49,0.48,0.45] data.std=[0.25,0.24,0.26] "          \
    "data.crop=random data.pad=1 data.flip=true train.batch=64 optimizer.schedule=one-cycle"

static const setting settings[] = {
    {"lenet sgd", "model.preset=lenet5", "pytorch", SGD "optimizer.lr=0.02", "400",
     "grid_cosine_lenet", MNIST},
    {"lenet adamw", "model.preset=lenet5", "pytorch", ADAMW "optimizer.lr=0.002", "400",
     "grid_cosine_adamw", MNIST},
    {"lenet bn sgd", LENET_BN, "kaiming", SGD "optimizer.lr=0.02", "400", "grid_cosine_lenet_bn",
     MNIST},
    {"lenet bn adamw", LENET_BN, "kaiming", ADAMW "optimizer.lr=0.002", "400",
     "grid_cosine_adamw_bn", MNIST},
    {"mlp adamw", "model.layers=[auto, 50, 50, 50, auto]", "pytorch", ADAMW "optimizer.lr=0.001",
     "600", "grid_cosine_adamw_mlp", MNIST},
    {"resnet bn sgd", "model.preset=resnet8", "pytorch", RESNET_SGD, "1500",
     "grid_cosine_resnet_bn", CIFAR},
    {"resnet bn dropout sgd", RESNET_DROPOUT, "kaiming", RESNET_SGD, "1500",
     "grid_cosine_resnet_bn_dropout", CIFAR},
};

typedef struct quality {
    double least;  /* cosine */
    double logged; /* crossings and cells of the run, in weight vectors, without sign masks */
} quality;

/* Words of `text`, which is cut up, become pairs. */
static int add_words(const char **pairs, int n, char *text)
{
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) pairs[n++] = w;
    return n;
}

static bool on_cifar(const setting *s)
{
    return strstr(s->data, "kind=folder") != NULL;
}

/* dir: of the unpacked pictures, for those who need it. */
static void open_setting(lab *l, const setting *s, const char *dir, int seed, const char *kind)
{
    char common[256], optimizer[256], data[512];
    const char *pairs[PAIRS_MAX];
    int n = 0;

    snprintf(common, sizeof common,
             "seed=%d trajectory.kind=%s trajectory.memory=64GiB train.steps=%s model.init=%s",
             seed, kind, s->steps, s->init);
    n = add_words(pairs, n, common);
    snprintf(optimizer, sizeof optimizer, "%s", s->optimizer);
    n = add_words(pairs, n, optimizer);
    if (on_cifar(s)) snprintf(data, sizeof data, "data.dir=%s/c10 %s", dir, s->data);
    else snprintf(data, sizeof data, "%s", s->data);
    n = add_words(pairs, n, data);
    pairs[n++] = s->model;
    pairs[n++] = "hyper=[{kind: weight_decay, per: unit-in},"
                 " {kind: lr, per: tensor, phases: 5, multiplier: true}]";
    lab_open(l, pairs, n, true);
}

static int64_t pick(const space *h, const double *x, hyper_kind kind, double *out)
{
    int64_t n = 0;

    for (int32_t i = 0; i < h->n_slices; i++) {
        const hyper_slice *c = &h->slices[i];
        for (int64_t e = 0; c->kind == kind && e < c->elements * c->phases; e++)
            out[n++] = x[c->offset + e];
    }
    return n;
}

/* How the grid's gradient by one kind of hyperparameter compares with the exact one. */
typedef struct likeness {
    double cosine, norm;
} likeness;

static likeness compare(const lab *grid, const lab *exact, hyper_kind kind)
{
    const space *h = grid->s->space;
    double *x = malloc((size_t)h->total * sizeof *x), *y = malloc((size_t)h->total * sizeof *y);
    const int64_t n = pick(h, grid->grad, kind, x);

    pick(exact->s->space, exact->grad, kind, y);
    const likeness like = {lab_cosine(x, y, n), lab_norm(x, n) / lab_norm(y, n)};
    free(x);
    free(y);
    return like;
}

static walk_report run(lab *l)
{
    walk_report r;

    lab_must(l, walker_gradient(l->s->walker, l->values, 7, &l->s->objective, &r, l->grad));
    return r;
}

static quality measure(const setting *s, const char *dir, int seed)
{
    lab exact, grid;

    open_setting(&exact, s, dir, seed, "full");
    run(&exact);
    open_setting(&grid, s, dir, seed, "grid");
    const walk_report r = run(&grid);
    const double vector = (double)(grid.s->params->weights * 4);
    const double masks =
        (double)(grid.s->trainer->mask_bytes * (size_t)grid.s->spec.steps) / vector;
    const likeness decay = compare(&grid, &exact, HYPER_WEIGHT_DECAY);
    const likeness lr = compare(&grid, &exact, HYPER_LR);
    const quality q = {.least = fmin(decay.cosine, lr.cosine),
                       .logged = (double)r.kept.bytes_logged / vector - masks};
    printf("%-16s seed %d: F %.3f error %.3f  decay by unit %.4f, norm %.3f  lr by tensor and "
           "phase %.4f, norm %.3f  %.2f vectors logged, masks %.2f, all held %.2f\n",
           s->name, seed, r.value.loss, r.value.error, decay.cosine, decay.norm, lr.cosine, lr.norm,
           q.logged, masks, (double)r.kept.bytes_held / vector);
    fflush(stdout);
    lab_close(&grid);
    lab_close(&exact);
    return q;
}

static void measure_all(const setting *s, const char *dir, int seeds)
{
    double least = 1, most = 0;

    for (int seed = 1; seed <= seeds; seed++) {
        const quality q = measure(s, dir, seed);
        least = fmin(least, q.least);
        most = fmax(most, q.logged);
    }
    printf("%s ratio %.4f decay by unit or lr by tensor and phase, smallest, exact = 1\n", s->line,
           least);
    printf("%s_vectors ratio %.2f crossings and cells of a run, in weight vectors, largest\n",
           s->line, most);
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[1024];

    snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0) exit(1);
}

int main(int argc, char **argv)
{
    const int seeds = argc > 1 ? atoi(argv[1]) : 2;
    char dir[] = "/tmp/bench_grid_nets-XXXXXX";

    setenv("DRMAD_DATA", "../shared/data", 0);
    if (!mkdtemp(dir)) return 1;
    print_machine("bench_grid_nets", cpu_isa_best());
    for (size_t i = 0; i < COUNT(settings); i++) {
        const setting *s = &settings[i];
        if (argc > 2 && !strstr(s->name, argv[2])) continue;
        if (s->data) shell("tar xf '%s/cifar10-imagefolder.tar' -C %s", getenv("DRMAD_DATA"), dir);
        measure_all(s, dir, seeds);
    }
    shell("rm -r %s%s", dir, "");
    return 0;
}
