/* How close the grid's hypergradients are to the exact ones of the same F32 run, and what it
 * holds: MNIST, 784-50-50-50-10,
 * batch 50, L2 per input unit, learning rates by layer and 5 phases, momentum by layer. The exact
 * ones come from a
 * trajectory that keeps everything. Accuracy, not time (but for `fast`, which is given with its
 * cost).
 *
 * bench_hypergrad [SEEDS]: 3 by default. */
#include "hyper/walker.h"
#include "lab.h"

enum { PAIRS_MAX = 24, LAYERS = 4 };

typedef struct setting {
    const char *name, *steps, *lr, *momentum, *activation, *train, *valid, *l2, *quality;
} setting;

static const setting settings[] = {
    {"T1000 a.05 m.9", "1000", "0.05", "0.9", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"T1000 a.1 m.9", "1000", "0.1", "0.9", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"T1000 a.3 m.9", "1000", "0.3", "0.9", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"T2000 a.1 m.1", "2000", "0.1", "0.1", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"T2000 a.1 m.9", "2000", "0.1", "0.9", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"T2000 a.1 m.95", "2000", "0.1", "0.95", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"paper m.1", "2000", "0.05", "0.1", "tanh", "15000", "5000", "0.0247235", "normal"},
    {"paper m.95", "2000", "0.05", "0.95", "tanh", "15000", "5000", "0.0247235", "normal"},
    {"T5000 a.1 m.9", "5000", "0.1", "0.9", "tanh", "6000", "2000", "0.00247875", "normal"},
    {"relu T1000 high", "1000", "0.2", "0.9", "relu", "6000", "2000", "0.00247875", "high"},
};

typedef struct quality {
    double l2, lr, momentum, norm_l2, norm_lr, layer, vectors, value;
    double cost; /* processor time over that of a plain run */
} quality;

static void open_setting(lab *l, const setting *s, int seed, const char *kind, const char *knobs)
{
    char text[PAIRS_MAX][192];
    const char *pairs[PAIRS_MAX];
    int n = 0;
#define PAIR(...) snprintf(text[n], sizeof text[n], __VA_ARGS__), pairs[n] = text[n], n++
    PAIR("seed=%d", seed);
    PAIR("data.train=%s", s->train);
    PAIR("data.valid=%s", s->valid);
    PAIR("model.layers=[auto, 50, 50, 50, auto]");
    PAIR("model.activation=%s", s->activation);
    PAIR("model.init=normal");
    PAIR("model.init_std=0.049787068");
    PAIR("train.steps=%s", s->steps);
    PAIR("train.order=replacement");
    PAIR("optimizer.form=maclaurin");
    PAIR("optimizer.lr=%s", s->lr);
    PAIR("optimizer.momentum=%s", s->momentum);
    PAIR("trajectory.kind=%s", kind);
    PAIR("trajectory.quality=%s", s->quality);
    PAIR("trajectory.memory=64GiB");
    if (strcmp(knobs, "fast") == 0) PAIR("trajectory.stride=fast");
    PAIR("hyper=[{kind: l2, per: unit-in, start: %s}, {kind: lr, per: layer, phases: %s}%s]", s->l2,
         strcmp(knobs, "every step") == 0 ? "every-step" : "5",
         strcmp(knobs, "all") == 0 ? ", {kind: momentum, per: layer}" : "");
    lab_open(l, pairs, n, true);
}

/* The values of one kind (and layer, unless -1) out of a whole vector; gives their number. */
static int64_t pick(const space *h, const double *x, hyper_kind kind, int32_t layer, double *out)
{
    int64_t n = 0;

    for (int32_t i = 0; i < h->n_slices; i++) {
        const hyper_slice *c = &h->slices[i];
        const int32_t at = c->tensor >= 0 ? h->params->at[c->tensor].layer : c->layer;
        if (c->kind != kind || (layer >= 0 && at != layer)) continue;
        for (int64_t e = 0; e < c->elements * c->phases; e++) out[n++] = x[c->offset + e];
    }
    return n;
}

static void compare(const space *h, const double *got, const space *hx, const double *want,
                    quality *q)
{
    double *a = malloc((size_t)h->total * sizeof *a), *b = malloc((size_t)hx->total * sizeof *b);
    int64_t n = pick(h, got, HYPER_L2, -1, a);

    pick(hx, want, HYPER_L2, -1, b);
    q->l2 = lab_cosine(a, b, n), q->norm_l2 = lab_norm(a, n) / lab_norm(b, n);
    n = pick(h, got, HYPER_LR, -1, a);
    pick(hx, want, HYPER_LR, -1, b);
    q->lr = lab_cosine(a, b, n), q->norm_lr = lab_norm(a, n) / lab_norm(b, n);
    n = pick(h, got, HYPER_MOMENTUM, -1, a);
    pick(hx, want, HYPER_MOMENTUM, -1, b);
    q->momentum = n > 0 ? lab_cosine(a, b, n) : NAN;
    q->layer = 1;
    for (int32_t k = 0; k < LAYERS; k++) {
        const hyper_kind kinds[] = {HYPER_L2, HYPER_LR};
        for (size_t i = 0; i < COUNT(kinds); i++) {
            n = pick(h, got, kinds[i], k, a);
            pick(hx, want, kinds[i], k, b);
            q->layer = fmin(q->layer, lab_cosine(a, b, n));
        }
    }
    free(a);
    free(b);
}

static void run(lab *l, quality *q)
{
    walk_report r;
    train_report plain;
    double start = cpu_seconds();

    lab_must(l, trainer_run(l->s->trainer, l->values, 7, NULL, &plain));
    const double one = cpu_seconds() - start;
    start = cpu_seconds();
    lab_must(l, walker_gradient(l->s->walker, l->values, 7, &l->s->objective, &r, l->grad));
    q->cost = (cpu_seconds() - start) / one;
    q->vectors = (double)r.kept.bytes_held / (double)(l->s->params->weights * 4);
    q->value = r.value.loss;
}

/* `knobs`: "all", "fast" (no momentum, adaptive stride) or "every step" (rates; no momentum). */
static quality measure(const setting *s, int seed, const char *knobs)
{
    lab exact, grid;
    quality q = {0}, ignored;

    open_setting(&exact, s, seed, "full", strcmp(knobs, "fast") == 0 ? "phases" : knobs);
    run(&exact, &ignored);
    open_setting(&grid, s, seed, "grid", knobs);
    run(&grid, &q);
    compare(grid.s->space, grid.grad, exact.s->space, exact.grad, &q);
    lab_close(&grid);
    lab_close(&exact);
    printf("%-18s seed %d %s: F %.3f  l2 %.4f (norm %.3f)  lr %.4f (norm %.3f)  momentum %.4f  "
           "worst layer %.4f  "
           "%.2f vectors  cost %.2f\n",
           s->name, seed, knobs, q.value, q.l2, q.norm_l2, q.lr, q.norm_lr,
           q.momentum, q.layer, q.vectors, q.cost);
    fflush(stdout);
    return q;
}

int main(int argc, char **argv)
{
    const int seeds = argc > 1 ? atoi(argv[1]) : 3;
    double every = 1, every_mean = 0, worst = 1, high = 1;
    int runs = 0;
    double l2 = 1, lr = 1, v1000 = 0, v2000 = 0, momentum = 1, cost = 0, fast_l2 = 1;

    print_machine("bench_hypergrad", cpu_isa_best());
    for (size_t i = 0; i < COUNT(settings); i++) {
        const bool judged =
            strcmp(settings[i].activation, "tanh") == 0 && strcmp(settings[i].steps, "5000") != 0;
        for (int seed = 1; seed <= (judged ? seeds : 1); seed++) {
            const quality q = measure(&settings[i], seed, "all");
            if (!judged) continue;
            worst = fmin(worst, q.layer);
            high = fmax(high, fmax(q.norm_lr, 1 / q.norm_lr));
            const double step = measure(&settings[i], seed, "every step").lr;
            every = fmin(every, step), every_mean += step, runs++;
            l2 = fmin(l2, q.l2), lr = fmin(lr, q.lr), momentum = fmin(momentum, q.momentum);
            if (strcmp(settings[i].steps, "1000") == 0) v1000 = fmax(v1000, q.vectors);
            else v2000 = fmax(v2000, q.vectors);
        }
    }
    for (int seed = 1; seed <= seeds; seed++) {
        const quality q = measure(&settings[7], seed, "fast");
        cost = fmax(cost, q.cost), fast_l2 = fmin(fast_l2, fmin(q.l2, q.lr));
    }
    printf("grid_every_step_cosine_min ratio %.4f lr by layer and step (mean %.4f), exact = 1\n",
           every, every_mean / runs);
    printf("grid_worst_layer_cosine ratio %.4f L2 or lr by phase of one layer, exact = 1\n", worst);
    printf("grid_norm_lr_off ratio %.4f norm of the rates' gradient, exact = 1; or 1/it\n", high);
    printf("fast_over_plain ratio %.3f hypergradient over plain run, paper's setting; smallest "
           "cosine %.4f\n",
           cost, fast_l2);
    printf("grid_momentum_cosine_min ratio %.4f momentum by layer, exact = 1\n", momentum);
    printf("grid_vectors_T1000 ratio %.2f held bytes in weight vectors, largest\n", v1000);
    printf("grid_vectors_T2000 ratio %.2f held bytes in weight vectors, largest\n", v2000);
    printf("grid_cosine_lr_min ratio %.4f lr by layer and phase, smallest over settings and seeds, "
           "exact = 1\n",
           lr);
    printf(
        "grid_cosine_l2_min ratio %.4f L2 by unit, smallest over settings and seeds, exact = 1\n",
        l2);
    return 0;
}
