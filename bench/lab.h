/* A study made from key=value pairs, for benchmarks: data, trainer and walker, and the vectors
 * they need. */
#ifndef LAB_H
#define LAB_H
#include "base/pool.h"
#include "hyper/walker.h"
#include "peak.h"
#include "setup/setup.h"
#include "train/trainer.h"
#include <math.h>

typedef struct lab {
    drmad_ctx *ctx;
    config *cfg;
    setup *s;
    double *raw, *values, *grad;
} lab;

static inline void lab_must(lab *l, drmad_status st)
{
    if (st == DRMAD_OK) return;
    fprintf(stderr, "%s\n", drmad_errmsg(l->ctx));
    exit(drmad_status_exit(st));
}

static inline void lab_log(void *user, int level, const char *line)
{
    (void)user;
    if (level <= LOG_WARN) fprintf(stderr, "%s\n", line);
}

/* MNIST from DRMAD_DATA or ../shared/data; `walk`: with a walker. */
static inline void lab_open(lab *l, const char *const *pairs, int n, bool walk)
{
    memset(l, 0, sizeof *l);
    if (!getenv("DRMAD_DATA")) setenv("DRMAD_DATA", "../shared/data", 1);
    l->ctx = drmad_ctx_new(NULL, NULL);
    drmad_ctx_set_log(l->ctx, lab_log, NULL);
    lab_must(l, config_new(l->ctx, &l->cfg));
    lab_must(l, config_set(l->cfg, "threads", "1"));
    for (int i = 0; i < n; i++) {
        char key[128];
        const char *eq = strchr(pairs[i], '=');
        snprintf(key, sizeof key, "%.*s", (int)(eq - pairs[i]), pairs[i]);
        lab_must(l, config_set(l->cfg, key, eq + 1));
    }
    lab_must(l, config_finish(l->cfg));
    lab_must(l, setup_new(l->ctx, l->cfg, NULL, NULL, &l->s));
    lab_must(l, setup_tie(l->s, 0, walk, NULL));
    const size_t total = (size_t)l->s->space->total + 1;
    lab_must(l, mem_alloc(l->ctx, total, sizeof(double), &l->raw));
    lab_must(l, mem_alloc(l->ctx, total, sizeof(double), &l->values));
    lab_must(l, mem_alloc(l->ctx, total, sizeof(double), &l->grad));
    space_start(l->s->space, l->raw);
    space_values(l->s->space, l->raw, l->values);
}

/* The two nets that figures are given for: 784-50-50-50-10 tanh, 784-800-800-10 ReLU. */
static inline void lab_open_net(lab *l, bool large)
{
    static const char *const small_net[] = {"data.train=15000",
                                            "data.valid=5000",
                                            "model.layers=[auto, 50, 50, 50, auto]",
                                            "model.activation=tanh",
                                            "train.batch=50",
                                            "train.steps=1000",
                                            "optimizer.lr=0.01",
                                            "optimizer.momentum=0.9",
                                            "hyper=[{kind: l2, per: unit-in, start: 1e-3}]",
                                            "trajectory.kind=grid"};
    static const char *const large_net[] = {"data.train=15000",
                                            "data.valid=5000",
                                            "model.layers=[auto, 800, 800, auto]",
                                            "model.activation=relu",
                                            "train.batch=128",
                                            "train.steps=300", /* 2.6 epochs */
                                            "optimizer.lr=0.02",
                                            "optimizer.momentum=0.9",
                                            "hyper=[{kind: l2, per: unit-in, start: 1e-4}]",
                                            "trajectory.kind=grid",
                                            "trajectory.masks=false"};

    if (large) lab_open(l, large_net, COUNT(large_net), true);
    else lab_open(l, small_net, COUNT(small_net), true);
}

static inline void lab_close(lab *l)
{
    mem_free(l->ctx, l->raw);
    mem_free(l->ctx, l->values);
    mem_free(l->ctx, l->grad);
    setup_free(l->s);
    config_free(l->cfg);
    drmad_ctx_free(l->ctx);
}

static inline double lab_cosine(const double *a, const double *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;

    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static inline double lab_norm(const double *a, int64_t n)
{
    double aa = 0;

    for (int64_t i = 0; i < n; i++) aa += a[i] * a[i];
    return sqrt(aa);
}

typedef struct lab_times {
    double step, reverse, plain, meta, peak; /* seconds; of both passes: a step's; FLOP/s */
} lab_times;

/* One repetition: a plain run, a whole hypergradient; the peak before and after. */
static inline void lab_time_once(lab *l, lab_times *t)
{
    train_report run;
    walk_report r;
    const double steps = (double)l->s->spec.steps, before = peak_flops(cpu_isa_best());

    double start = cpu_seconds();
    lab_must(l, trainer_run(l->s->trainer, l->values, 1, NULL, &run));
    t->plain = cpu_seconds() - start;
    start = cpu_seconds();
    lab_must(l, walker_gradient(l->s->walker, l->values, 1, &l->s->objective, &r, l->grad));
    t->meta = cpu_seconds() - start;
    t->step = t->plain / steps;
    const double wall = r.train_seconds + r.eval_seconds + r.reverse_seconds;
    t->reverse = t->meta / steps * r.reverse_seconds / wall;
    t->peak = fmax(before, peak_flops(cpu_isa_best()));
}

enum { LAB_REPEATS = 5 };

/* After one that warms up. */
static inline void lab_time(lab *l, lab_times t[LAB_REPEATS])
{
    for (int i = -1; i < LAB_REPEATS; i++) lab_time_once(l, &t[i < 0 ? 0 : i]);
}

static inline double lab_median(const lab_times t[LAB_REPEATS], size_t offset)
{
    double x[LAB_REPEATS];

    for (int i = 0; i < LAB_REPEATS; i++) memcpy(&x[i], (const char *)&t[i] + offset, sizeof x[i]);
    return median(x, LAB_REPEATS);
}
#define LAB_MEDIAN(t, name) lab_median(t, offsetof(lab_times, name))
#endif
