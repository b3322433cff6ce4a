/* How close the grid's hypergradients are to the exact ones of the same F32 run, for the nets and
 * optimisers that people train: weight decay per input unit, learning rates by tensor and 5 phases.
 * The exact ones come from a trajectory that keeps everything. Accuracy and bytes, not time.
 *
 * bench_grid_nets [SEEDS [NAME]]: 2 by default; only settings whose name holds NAME. */
#include "hyper/walker.h"
#include "lab.h"

enum { PAIRS_MAX = 32 };

typedef struct setting {
    const char *name, *model, *init, *optimizer, *steps;
    const char *line; /* of the benchmark that it counts for */
} setting;

#define ADAMW "optimizer.kind=adamw optimizer.eps_inside=true optimizer.weight_decay=0.01 "
#define SGD "optimizer.kind=sgd optimizer.momentum=0.9 optimizer.weight_decay=0.001 "
#define BN "{kind: batch_norm}, {kind: relu}"
#define CONV(out) "{kind: conv, out: " out ", kernel: 5, padding: 2, bias: false}, " BN
#define POOL "{kind: max_pool, kernel: 2}"
#define LENET_BN                                                                                   \
    "model.net=[" CONV("8") ", " POOL                                                              \
                            ", " CONV("16") ", " POOL                                              \
                                            ", {kind: flatten}, {kind: linear, out: 10}]"

static const setting settings[] = {
    {"lenet sgd", "model.preset=lenet5", "pytorch", SGD "optimizer.lr=0.02", "400",
     "grid_cosine_lenet"},
    {"lenet adamw", "model.preset=lenet5", "pytorch", ADAMW "optimizer.lr=0.002", "400",
     "grid_cosine_adamw"},
    {"lenet bn sgd", LENET_BN, "kaiming", SGD "optimizer.lr=0.02", "400", "grid_cosine_lenet_bn"},
    {"lenet bn adamw", LENET_BN, "kaiming", ADAMW "optimizer.lr=0.002", "400",
     "grid_cosine_adamw_bn"},
    {"mlp adamw", "model.layers=[auto, 50, 50, 50, auto]", "pytorch", ADAMW "optimizer.lr=0.001",
     "600", "grid_cosine_adamw_mlp"},
};

typedef struct quality {
    double decay, lr;
    double logged; /* crossings and cells of the run, in weight vectors, without sign masks */
} quality;

static void open_setting(lab *l, const setting *s, int seed, const char *kind)
{
    char text[PAIRS_MAX][512], words[1024];
    const char *pairs[PAIRS_MAX];
    int n = 0;
#define PAIR(...) snprintf(text[n], sizeof text[n], __VA_ARGS__), pairs[n] = text[n], n++
    PAIR("seed=%d", seed);
    PAIR("data.train=15000");
    PAIR("data.valid=1000");
    PAIR("%s", s->model);
    PAIR("model.init=%s", s->init);
    PAIR("train.steps=%s", s->steps);
    snprintf(words, sizeof words, "%s", s->optimizer);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) PAIR("%s", w);
    PAIR("trajectory.kind=%s", kind);
    PAIR("trajectory.memory=64GiB");
    PAIR("hyper=[{kind: weight_decay, per: unit-in}, {kind: lr, per: tensor, phases: 5}]");
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

static double cosine(const lab *a, const lab *b, hyper_kind kind)
{
    const space *h = a->s->space;
    double *x = malloc((size_t)h->total * sizeof *x), *y = malloc((size_t)h->total * sizeof *y);
    const int64_t n = pick(h, a->grad, kind, x);

    pick(b->s->space, b->grad, kind, y);
    const double c = lab_cosine(x, y, n);
    free(x);
    free(y);
    return c;
}

static walk_report run(lab *l)
{
    walk_report r;

    lab_must(l, walker_gradient(l->s->walker, l->values, 7, &l->s->objective, &r, l->grad));
    return r;
}

static quality measure(const setting *s, int seed)
{
    lab exact, grid;
    quality q;

    open_setting(&exact, s, seed, "full");
    run(&exact);
    open_setting(&grid, s, seed, "grid");
    const walk_report r = run(&grid);
    const double vector = (double)(grid.s->params->weights * 4);
    const double masks =
        (double)(grid.s->trainer->mask_bytes * (size_t)grid.s->spec.steps) / vector;
    q = (quality){.decay = cosine(&grid, &exact, HYPER_WEIGHT_DECAY),
                  .lr = cosine(&grid, &exact, HYPER_LR),
                  .logged = (double)r.kept.bytes_logged / vector - masks};
    printf("%-16s seed %d: F %.3f error %.3f  decay by unit %.4f  lr by tensor and phase %.4f  "
           "%.2f vectors logged, masks %.2f, all held %.2f\n",
           s->name, seed, r.value.loss, r.value.error, q.decay, q.lr, q.logged, masks,
           (double)r.kept.bytes_held / vector);
    fflush(stdout);
    lab_close(&grid);
    lab_close(&exact);
    return q;
}

int main(int argc, char **argv)
{
    const int seeds = argc > 1 ? atoi(argv[1]) : 2;

    print_machine("bench_grid_nets", cpu_isa_best());
    for (size_t i = 0; i < COUNT(settings); i++) {
        double least = 1, most = 0;
        if (argc > 2 && !strstr(settings[i].name, argv[2])) continue;
        for (int seed = 1; seed <= seeds; seed++) {
            const quality q = measure(&settings[i], seed);
            least = fmin(least, fmin(q.decay, q.lr));
            most = fmax(most, q.logged);
        }
        printf("%s ratio %.4f decay by unit or lr by tensor and phase, smallest, exact = 1\n",
               settings[i].line, least);
        printf("%s_vectors ratio %.2f crossings and cells of a run, in weight vectors, largest\n",
               settings[i].line, most);
    }
    return 0;
}
