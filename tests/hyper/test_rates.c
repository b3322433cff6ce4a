/* Rates where the trajectory keeps w alone (rates.c): exact on the run's own path without momentum,
 * close with it, closer than the displacement on a grid. Summed over a whole run the filter is
 * exact with momentum too: test_reverse.c, read_outs_without_the_buffer, one phase. */
#include "toy.h"

typedef struct setting {
    const char *name;
    optim_spec optim;
    double momentum, weight_decay, rate;
} setting;

static const setting settings[] = {
    {"plain", {.buffer = false}, 0, 0.02, 0.1},
    {"plain, decoupled decay", {.buffer = false, .decoupled = true}, 0, 0.02, 0.1},
    {"dampening alone", {.buffer = true, .dampening = 0.3}, 0, 0.02, 0.1},
    {"maclaurin without memory", {.form = FORM_MACLAURIN, .buffer = true}, 0, 0, 0.1},
    {"momentum", {.buffer = true}, 0.8, 0.02, 0.02},
    {"dampening", {.buffer = true, .dampening = 0.3}, 0.8, 0.02, 0.02},
    {"nesterov", {.buffer = true, .nesterov = true}, 0.8, 0.02, 0.02},
    {"decoupled decay", {.buffer = true, .decoupled = true}, 0.8, 0.02, 0.02},
    {"maclaurin", {.form = FORM_MACLAURIN, .buffer = true}, 0.8, 0, 0.1},
};
enum { SETTINGS = sizeof settings / sizeof settings[0], STEPS = 120 };

/* The hypergradient by the rates of every step; *n is their number. */
static double *rates(const setting *s, const walk_spec *walk, hyper_per per, int64_t *n)
{
    const hyper_decl lr = {.kind = HYPER_LR,
                           .per = per,
                           .phases = 0,
                           .transform = TRANSFORM_LOG,
                           .low = 1e-4,
                           .high = 10,
                           .start = s->rate};
    double *out;
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.optim = s->optim;
    t.spec.momentum = s->momentum;
    t.spec.weight_decay = s->weight_decay;
    t.spec.steps = t.spec.rate.steps = STEPS;
    CHECK_OK(t.ctx, toy_open(&t, &lr, 1, walk));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
    *n = t.s->total;
    out = malloc((size_t)*n * sizeof *out);
    memcpy(out, t.grad, (size_t)*n * sizeof *out);
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad)); /* begins afresh */
    CHECK(memcmp(out, t.grad, (size_t)*n * sizeof *out) == 0);
    toy_close(&t);
    return out;
}

static double cosine(const double *a, const double *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;

    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
static const walk_spec path = {.trajectory = TRAJ_FULL, .stride = 1, .path_only = true};
static const walk_spec grid = {.trajectory = TRAJ_GRID, .stride = 1};

TEST(rates_of_every_step_are_exact_without_momentum)
{
    const hyper_per pers[] = {PER_GLOBAL, PER_TENSOR, PER_UNIT_OUT};

    for (int k = 0; k < SETTINGS; k++)
        for (int p = 0; p < 3 && settings[k].momentum == 0; p++) {
            int64_t n;
            double *want = rates(&settings[k], &full, pers[p], &n), largest = 0, worst = 0;
            double *got = rates(&settings[k], &path, pers[p], &n);
            for (int64_t i = 0; i < n; i++) {
                largest = fmax(largest, fabs(want[i]));
                worst = fmax(worst, fabs(want[i] - got[i]));
            }
            /* w - w' over lr loses a few digits */
            if (!(worst <= 1e-11 * largest))
                test_fail(__FILE__, __LINE__, "%s: off by %g of %g", settings[k].name, worst,
                          largest);
            free(want);
            free(got);
        }
}

TEST(rates_of_every_step_are_close_with_momentum)
{
    for (int k = 0; k < SETTINGS; k++) {
        int64_t n;
        double *want = rates(&settings[k], &full, PER_TENSOR, &n);
        double *own = rates(&settings[k], &path, PER_TENSOR, &n);
        double *got = rates(&settings[k], &grid, PER_TENSOR, &n);
        const double a = cosine(want, own, n), b = cosine(want, got, n);
        const double least = settings[k].momentum == 0 ? 0.97 : 0.85; /* measured: .985, .876 */
        if (!(a >= 0.99 && b >= least)) /* the displacement alone: 1, .13 to .46 */
            test_fail(__FILE__, __LINE__, "%s: cosine %.4f on the run's path, %.4f on a grid",
                      settings[k].name, a, b);
        free(want);
        free(own);
        free(got);
    }
}
