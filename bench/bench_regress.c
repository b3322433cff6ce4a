/* Acceleration by regression (src/train/regress.c): how many inner steps a run that is pulled
 * towards the meta-step before needs to come to the training loss of a plain run of T steps. Every
 * meta-step has a seed of its own (start weights and batches), the hyperparameters stay where they
 * are, which is the best case for the pull. One step of the pull costs more, so what is saved is
 * counted in multiply-adds too.
 *
 *   regress_steps_saved   1 - steps / T, mean over the meta-steps from the second on and the seeds,
 *                         of the defaults; steps = T where the loss is not reached
 *
 * bench_regress all: other weights and fades too. */
#include "lab.h"

enum { STEPS = 400, EVERY = 10, META_STEPS = 5, SEEDS = 3, LOOK = 2000 };

typedef struct curve {
    lab *l;
    examples few;
    double loss[STEPS / EVERY + 1];
} curve;

static double training_loss(curve *c)
{
    eval_result e;

    lab_must(c->l, trainer_eval(c->l->s->trainer, &c->few, c->l->values, &e, NULL, NULL));
    return e.loss;
}

static drmad_status look(void *user, int64_t steps)
{
    curve *c = user;

    c->loss[steps / EVERY] = training_loss(c);
    return DRMAD_OK;
}

static void run(curve *c, uint64_t seed)
{
    train_report r;

    trainer_watch(c->l->s->trainer, EVERY, look, c);
    lab_must(c->l, trainer_run(c->l->s->trainer, c->l->values, seed, NULL, &r));
    trainer_watch(c->l->s->trainer, 0, NULL, NULL);
    c->loss[STEPS / EVERY] = training_loss(c);
}

/* Steps to a loss, between the looks by the straight line; STEPS where it is not reached. */
static double steps_to(const curve *c, double loss)
{
    for (int k = 2; k <= STEPS / EVERY; k++) {
        const double before = c->loss[k - 1], now = c->loss[k];
        if (now > loss) continue;
        const double share = before > now ? (before - loss) / (before - now) : 1;
        return EVERY * (k - 1 + fmax(0, fmin(1, share)));
    }
    return STEPS;
}

static void open_curve(curve *c, lab *l, const char *to, double weight, double until)
{
    char way[64], by[64], end[64];
    const char *const pairs[] = {"data.train=10000",
                                 "data.valid=1000",
                                 "train.batch=50",
                                 "train.steps=400",
                                 "optimizer.lr=0.05",
                                 way,
                                 by,
                                 end};

    snprintf(way, sizeof way, "regress.to=%s", to);
    snprintf(by, sizeof by, "regress.weight=%.17g", weight);
    snprintf(end, sizeof end, "regress.until=%.17g", until);
    lab_open(l, pairs, COUNT(pairs), false);
    *c = (curve){.l = l, .few = l->s->spec.train};
    c->few.count = LOOK;
}

/* The mean share of steps saved in each meta-step from the second on. */
static void saved(const char *to, double weight, double until, const double plain[SEEDS],
                  double share[META_STEPS], double *macs)
{
    curve c;
    lab l;

    open_curve(&c, &l, to, weight, until);
    *macs = (double)trainer_step_macs(l.s->trainer);
    for (int k = 0; k < META_STEPS; k++) share[k] = 0;
    for (int s = 0; s < SEEDS; s++) {
        lab_must(&l, setup_pull_to_nothing(l.s));
        for (int k = 0; k < META_STEPS; k++) {
            run(&c, (uint64_t)(100 * s + k));
            if (k > 0) share[k] += (1 - steps_to(&c, plain[s]) / STEPS) / SEEDS;
            lab_must(&l, setup_pull_to_last(l.s));
        }
    }
    lab_close(&l);
}

static double mean(const double share[META_STEPS])
{
    double sum = 0;

    for (int k = 1; k < META_STEPS; k++) sum += share[k] / (META_STEPS - 1);
    return sum;
}

int main(int argc, char **argv)
{
    static const double weights[] = {0.01, 0.1, 1, 10};
    static const double untils[] = {0.5, 0};
    const bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    double plain[SEEDS], share[META_STEPS], macs, base;
    curve c;
    lab l;

    open_curve(&c, &l, "none", 1, 0.5);
    base = (double)trainer_step_macs(l.s->trainer);
    for (int s = 0; s < SEEDS; s++) { /* of the seed's meta-steps, all plain */
        plain[s] = 0;
        for (int k = 1; k < META_STEPS; k++) {
            run(&c, (uint64_t)(100 * s + k));
            plain[s] += c.loss[STEPS / EVERY] / (META_STEPS - 1);
        }
        printf("# seed %d: a plain run ends at a training loss of %.4f\n", s, plain[s]);
    }
    lab_close(&l);
    for (int to = 1; to <= 2; to++)
        for (size_t u = 0; u < COUNT(untils); u++)
            for (size_t i = 0; i < COUNT(weights); i++) {
                const char *word = to == 1 ? "activations" : "weights";
                const bool usual = weights[i] == 1 && untils[u] == 0.5;
                if (!all && !usual) continue;
                saved(word, weights[i], untils[u], plain, share, &macs);
                printf("# %s, weight %g, until %g: saved %.3f of the steps, %.3f of the work;",
                       word, weights[i], untils[u], mean(share),
                       1 - (1 - mean(share)) * macs / base);
                for (int k = 1; k < META_STEPS; k++) printf(" %.3f", share[k]);
                printf("\n");
                if (!usual) continue;
                printf("regress_%ssteps_saved ratio %.3f of %d steps, MNIST 784-50-50-50-10\n",
                       to == 1 ? "" : "weights_", mean(share), STEPS);
                printf("regress_%swork_saved ratio %.3f the same in multiply-adds\n",
                       to == 1 ? "" : "weights_", 1 - (1 - mean(share)) * macs / base);
            }
    return 0;
}
