/* What a training step, a reverse step and a meta-iteration cost on one core: shares of the peak
 * and ratios to each other, within this process. Gather of the batch and L2 per input unit are on.
 * Processor time, medians. */
#include "lab.h"

enum { PAIRS = 31 };

/* Useful multiply-adds of a training step of one example: 2W + W' (DESIGN section 2). */
static double step_macs(const setup *s)
{
    const param_table *p = s->params;
    double w = 0, first = (double)p->at[0].count;

    for (int32_t i = 0; i < p->n; i++)
        if (p->at[i].role == PARAM_WEIGHT) w += (double)p->at[i].count;
    return 2 * w + (w - first);
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

static void measure(const char *name, bool large)
{
    lab_times t[LAB_REPEATS];
    lab l;

    lab_open_net(&l, large);
    lab_time(&l, t);
    const double flops = 2 * step_macs(l.s) * (double)l.s->spec.batch;
    const double step = LAB_MEDIAN(t, step), peak = LAB_MEDIAN(t, peak);
    const double recording = recording_share(&l, large ? LAB_REPEATS : PAIRS);
    printf("%s: step %.1f us (%.1f GFLOP/s of %.1f), reverse %.1f us, recording %+.1f %%\n", name,
           1e6 * step, 1e-9 * flops / step, 1e-9 * peak, 1e6 * LAB_MEDIAN(t, reverse),
           100 * recording);
    printf("step_%s_peak_share ratio %.3f useful FLOP/s over the FMA peak of this core\n", name,
           flops / step / peak);
    if (!large)
        printf("grid_encoder_share ratio %.3f (recorded - plain)/plain; lr .01 with momentum .9 is "
               "a = .1\n",
               recording);
    printf("reverse_over_step_%s ratio %.3f reverse step over training step\n", name,
           LAB_MEDIAN(t, reverse) / step);
    printf("%s ratio %.3f hypergradient over plain run, %s net\n",
           large ? "meta_over_plain_large" : "meta_over_plain",
           LAB_MEDIAN(t, meta) / LAB_MEDIAN(t, plain), name);
    lab_close(&l);
}

/* Wall seconds of one step of each kind, for comparisons with other programs. */
static void print_times(bool large)
{
    lab l;
    train_report run;
    walk_report r;
    double plain[LAB_REPEATS], reverse[LAB_REPEATS];

    lab_open_net(&l, large);
    const double steps = (double)l.s->spec.steps;
    for (int i = 0; i < LAB_REPEATS; i++) {
        lab_must(&l, trainer_run(l.s->trainer, l.values, 1, NULL, &run));
        lab_must(&l, walker_gradient(l.s->walker, l.values, 1, &l.s->objective, &r, l.grad));
        plain[i] = run.seconds / steps, reverse[i] = r.reverse_seconds / steps;
    }
    printf("{\"step\": %.9g, \"reverse\": %.9g}\n", median(plain, LAB_REPEATS),
           median(reverse, LAB_REPEATS));
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
