/* What a training step, a reverse step and a meta-iteration cost on one core: shares of the peak
 * and ratios to each other, within this process. Gather of the batch and L2 per input unit are on.
 * Processor time, medians. */
#include "hyper/walker.h"
#include "lab.h"

enum { REPEATS = 5, PAIRS = 31 };

/* Useful multiply-adds of a training step of one example: 2W + W' (DESIGN section 2). */
static double step_macs(const setup *s)
{
    const param_table *p = s->params;
    double w = 0, first = (double)p->at[0].count;

    for (int32_t i = 0; i < p->n; i++)
        if (p->at[i].role == PARAM_WEIGHT) w += (double)p->at[i].count;
    return 2 * w + (w - first);
}

typedef struct times {
    double step, reverse, plain, recorded, meta, peak;
} times;

/* One repetition: a plain run, a recorded run, a whole hypergradient; the peak before and after. */
static void once(lab *l, times *t)
{
    trainer *tr = l->s->trainer;
    train_report run;
    walk_report r;
    const double steps = (double)l->s->spec.steps, before = peak_flops(cpu_isa_best());

    double start = cpu_seconds();
    lab_must(l, trainer_run(tr, l->values, 1, NULL, &run));
    t->plain = cpu_seconds() - start;
    start = cpu_seconds();
    lab_must(l, trainer_run(tr, l->values, 1, l->s->walker->tr, &run));
    t->recorded = cpu_seconds() - start;
    start = cpu_seconds();
    lab_must(l, walker_gradient(l->s->walker, l->values, 1, &l->s->objective, &r, l->grad));
    t->meta = cpu_seconds() - start;
    t->step = t->plain / steps;
    const double wall = r.train_seconds + r.eval_seconds + r.reverse_seconds;
    t->reverse = t->meta / steps * r.reverse_seconds / wall;
    t->peak = fmax(before, peak_flops(cpu_isa_best()));
}

/* (recorded - plain)/plain of one run each, one after the other: a slow moment of the machine then
 * mostly falls on both. Median over the pairs. */
static double recording_share(lab *l, int pairs)
{
    double share[PAIRS];
    train_report run;

    for (int i = 0; i < pairs; i++) {
        double cost[2];
        for (int k = 0; k < 2; k++) {
            const double start = cpu_seconds();
            trajectory *tr = k ? l->s->walker->tr : NULL;
            lab_must(l, trainer_run(l->s->trainer, l->values, 1, tr, &run));
            cost[k] = cpu_seconds() - start;
        }
        share[i] = cost[1] / cost[0] - 1;
    }
    return median(share, pairs);
}

static double column(const times *t, size_t offset)
{
    double x[REPEATS];

    for (int i = 0; i < REPEATS; i++) memcpy(&x[i], (const char *)&t[i] + offset, sizeof x[i]);
    return median(x, REPEATS);
}
#define COLUMN(t, name) column(t, offsetof(times, name))

static void measure(const char *name, bool large)
{
    times t[REPEATS + 1];
    lab l;

    lab_open_net(&l, large);
    for (int i = 0; i <= REPEATS; i++)
        once(&l, &t[i == 0 ? REPEATS : i - 1]); /* the first warms up */
    const double flops = 2 * step_macs(l.s) * (double)l.s->spec.batch;
    const double step = COLUMN(t, step), peak = COLUMN(t, peak);
    const double recording = recording_share(&l, large ? REPEATS : PAIRS);
    printf("%s: step %.1f us (%.1f GFLOP/s of %.1f), reverse %.1f us, recording %+.1f %%\n", name,
           1e6 * step, 1e-9 * flops / step, 1e-9 * peak, 1e6 * COLUMN(t, reverse), 100 * recording);
    printf("step_%s_peak_share ratio %.3f useful FLOP/s over the FMA peak of this core\n", name,
           flops / step / peak);
    if (!large)
        printf("grid_encoder_share ratio %.3f (recorded - plain)/plain; lr .01 with momentum .9 is "
               "a = .1\n",
               recording);
    printf("reverse_over_step_%s ratio %.3f reverse step over training step\n", name,
           COLUMN(t, reverse) / step);
    printf("%s ratio %.3f hypergradient over plain run, %s net\n",
           large ? "meta_over_plain_large" : "meta_over_plain", COLUMN(t, meta) / COLUMN(t, plain),
           name);
    lab_close(&l);
}

/* Wall seconds of one step of each kind, for comparisons with other programs. */
static void print_times(bool large)
{
    lab l;
    train_report run;
    walk_report r;
    double plain[REPEATS], reverse[REPEATS];

    lab_open_net(&l, large);
    const double steps = (double)l.s->spec.steps;
    for (int i = 0; i < REPEATS; i++) {
        lab_must(&l, trainer_run(l.s->trainer, l.values, 1, NULL, &run));
        lab_must(&l, walker_gradient(l.s->walker, l.values, 1, &l.s->objective, &r, l.grad));
        plain[i] = run.seconds / steps, reverse[i] = r.reverse_seconds / steps;
    }
    printf("{\"step\": %.9g, \"reverse\": %.9g}\n", median(plain, REPEATS),
           median(reverse, REPEATS));
    lab_close(&l);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "times") == 0) {
        print_times(strcmp(argv[2], "small") != 0);
        return 0;
    }
    print_machine("bench_train", cpu_isa_best());
    measure("small", false);
    measure("large", true);
    return 0;
}
