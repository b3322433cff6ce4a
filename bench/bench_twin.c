/* What the planner costs: the small net's training step and reverse step as planned, and written by
 * hand on the same kernels (twin.h). First the results are compared, then the times, in turn. */
#include "hyper/walker.h"
#include "twin.h"

enum { REPEATS = 101, TIMES = 20 };
/* Both sides sum 784 products in another order: a few units in the last place of the largest. */
static const double tolerance = 1e-5;

typedef enum side { PLANNED, TWIN, SIDES } side;

/* What a step changes: w, b or w~, b~; and where it started from. */
typedef struct states {
    float *at[SIDES][2], *start[2], *weights;
    int64_t n;
    job *back;
} states;

/* Step or reverse step `k` by either side. */
static void go(twin *w, states *s, side who, bool back, int64_t k)
{
    trainer *t = w->t;
    float **x = s->at[who];

    trainer_prepare(t, k);
    if (who == TWIN && back) twin_reverse(w, s->weights, x[0], x[1]);
    else if (who == TWIN) twin_step(w, x[0], x[1]);
    else if (back) {
        t->slot[SLOT_W] = t->slot[SLOT_W1] = s->weights;
        t->slot[SLOT_WCOT] = x[0], t->slot[SLOT_WCOT + 1] = x[1];
        job_run(s->back, t->slot);
    } else {
        t->slot[SLOT_W] = t->slot[SLOT_W_OUT] = x[0];
        t->slot[SLOT_W + 1] = t->slot[SLOT_W_OUT + 1] = x[1];
        job_run(t->step, t->slot);
    }
}

static void restart(states *s)
{
    for (int k = 0; k < SIDES * 2; k++)
        memcpy(s->at[k / 2][k % 2], s->start[k % 2], (size_t)s->n * sizeof(float));
}

static void compare(const char *what, int64_t n, const float *a, const float *b)
{
    double most = 0, apart = 0;

    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i]));
        apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
    }
    printf("%s: apart by %.1e of the largest, allowed %.0e\n", what, apart / most, tolerance);
    if (apart <= tolerance * most) return;
    fprintf(stderr, "bench_twin: %s differs\n", what);
    exit(1);
}

static void check(twin *w, states *s, bool back)
{
    restart(s);
    for (int who = 0; who < SIDES; who++) go(w, s, (side)who, back, 7);
    compare(back ? "w~" : "w", s->n, s->at[PLANNED][0], s->at[TWIN][0]);
    compare(back ? "b~" : "b", s->n, s->at[PLANNED][1], s->at[TWIN][1]);
    for (int l = 0; l < LAYERS && back; l++)
        compare("l2~", w->l[l].in, w->l[l].planned_cot, w->l[l].l2_cot);
    if (!back) compare("loss", 1, w->t->slot[SLOT_LOSS], &w->loss);
}

static void race(twin *w, states *s, bool back)
{
    static double each[SIDES][REPEATS];

    for (int r = 0; r < REPEATS; r++) {
        restart(s);
        for (int who = 0; who < SIDES; who++) {
            const double start = cpu_seconds();
            for (int k = 0; k < TIMES; k++) go(w, s, (side)who, back, r * TIMES + k);
            each[who][r] = (cpu_seconds() - start) / TIMES;
        }
    }
    const double planned = median(each[PLANNED], REPEATS), hand = median(each[TWIN], REPEATS);
    printf("twin_%s_small ratio %.3f planned %.1f us over by hand %.1f us\n",
           back ? "reverse" : "step", planned / hand, 1e6 * planned, 1e6 * hand);
}

/* From the end of a run of 1000 steps; w and b stand in for w~ and b~. */
int main(void)
{
    lab l;
    twin w = {0};
    train_report run;

    lab_open_net(&l, false);
    lab_must(&l, trainer_run(l.s->trainer, l.values, 1, NULL, &run));
    twin_open(&w, l.s->trainer);
    states s = {.n = w.t->spec.params->total, .back = l.s->walker->back};
    s.weights = floats(s.n);
    for (int k = 0; k < 2; k++) {
        s.start[k] = floats(s.n), s.at[PLANNED][k] = floats(s.n), s.at[TWIN][k] = floats(s.n);
        memcpy(s.start[k], w.t->state[w.t->now][k], (size_t)s.n * sizeof(float));
    }
    memcpy(s.weights, s.start[0], (size_t)s.n * sizeof(float));
    print_machine("bench_twin", w.isa);
    for (int back = 0; back < 2; back++) check(&w, &s, back);
    for (int back = 0; back < 2; back++) race(&w, &s, back);
    lab_close(&l);
    return 0;
}
