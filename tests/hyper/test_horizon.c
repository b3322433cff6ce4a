/* Short-horizon bias on the noisy quadratic: Wu, Ren, Liao, Grosse, "Understanding Short-Horizon
 * Bias in Stochastic Meta-Optimization", ICLR 2018, section 2. A learning rate for each step, tuned
 * over the whole run and by one step each: the greedy rates fall too early and end far above.
 *
 *   loss of a step    sum over i of h_i/2 (w_i - c_i)^2,   c_i ~ N(0, 1/h_i) drawn for the step
 *   F                 mean over the runs of sum over i of h_i/2 w_i^2
 *
 * RUNS independent runs are one flat vector under one rate, so F is near its expectation, which has
 * a closed form:  E w_i^2 <- (1 - a h_i)^2 E w_i^2 + a^2 h_i. */
#include "hyper/outer.h"
#include "test.h"

enum { RUNS = 300, DIMS = 2, STEPS = 50, META_STEPS = 250 };
static const double curvature[DIMS] = {1, 0.1};
static const double first_square = 10; /* E w_i^2 = first_square / h_i at the start */

/* What is added to F, another draw wherever w differs; and faults of it. */
typedef struct bumps {
    double size;    /* standard deviation */
    double cliff;   /* F is higher by it everywhere but where it was evaluated first */
    uint64_t first; /* w there, hashed; 0: nowhere yet */
    bool wrong;     /* dF/dw has the wrong sign */
} bumps;

static rng_key key_of(const void *w)
{
    rng_key key = {0, 3, 3};
    uint64_t bits;

    for (int k = 0; k < RUNS * DIMS; k++) {
        memcpy(&bits, (const double *)w + k, sizeof bits);
        key.seed = (key.seed ^ bits) * 0x9e3779b97f4a7c15u;
    }
    return key;
}

static int start(void *user, uint64_t seed, void *w)
{
    double *x = w;

    (void)user, (void)seed; /* of equal size, so that the closed form's start is this one */
    for (int m = 0; m < RUNS; m++)
        for (int i = 0; i < DIMS; i++)
            x[m * DIMS + i] = (m % 2 ? 1 : -1) * sqrt(first_square / curvature[i]);
    return DRMAD_OK;
}

static int gradient(void *user, uint64_t seed, int64_t step, const void *w, const void *weights,
                    void *g, double *loss)
{
    const double *x = w;
    double *out = g;

    (void)user, (void)weights;
    *loss = 0;
    for (int k = 0; k < RUNS * DIMS; k++) {
        const double h = curvature[k % DIMS];
        const double c = rng_normal((rng_key){seed, (uint32_t)step, 1}, (uint64_t)k) / sqrt(h);
        out[k] = h * (x[k] - c);
        *loss += h * (x[k] - c) * (x[k] - c) / 2;
    }
    return DRMAD_OK;
}

static int product(void *user, uint64_t seed, int64_t step, const void *w, const void *u,
                   const void *weights, int way, void *g, void *hu, void *rows)
{
    double loss;

    (void)way, (void)rows;
    for (int k = 0; k < RUNS * DIMS; k++)
        ((double *)hu)[k] = curvature[k % DIMS] * ((const double *)u)[k];
    return g ? gradient(user, seed, step, w, weights, g, &loss) : DRMAD_OK;
}

static int evaluate(void *user, int part, int64_t n, const void *w, const void *u, void *dw,
                    double *loss, double *error, double *slope)
{
    const double *x = w;

    bumps *b = user;

    (void)part, (void)n, (void)error;
    *loss = 0;
    if (u) *slope = 0;
    for (int k = 0; k < RUNS * DIMS; k++) {
        const double d = curvature[k % DIMS] * x[k] / RUNS;
        *loss += d * x[k] / 2;
        if (dw) ((double *)dw)[k] = d;
        if (u) *slope += d * ((const double *)u)[k];
        if (dw && b->wrong) ((double *)dw)[k] = -d;
    }
    *loss += b->size * rng_normal(key_of(w), 0);
    if (b->first == 0) b->first = key_of(w).seed;
    if (b->first != key_of(w).seed) *loss += b->cliff;
    return DRMAD_OK;
}

/* E F after the first `steps` rates. */
static double expected(const double *rate, int steps, double square[DIMS])
{
    double f = 0;

    for (int i = 0; i < DIMS; i++) {
        square[i] = first_square / curvature[i];
        for (int t = 0; t < steps; t++) {
            const double left = 1 - rate[t] * curvature[i];
            square[i] = left * left * square[i] + rate[t] * rate[t] * curvature[i];
        }
        f += curvature[i] / 2 * square[i];
    }
    return f;
}

/* The rate that makes E F least after one step more. */
static double greedy_rate(const double square[DIMS])
{
    double slope = 0, bend = 0;

    for (int i = 0; i < DIMS; i++) {
        const double h = curvature[i];
        slope += h * h * square[i];
        bend += h * h * h * (square[i] + 1 / h);
    }
    return slope / bend;
}

/* The rates after `meta_steps` moves, or where the outer loop stopped; gives how often a move was
 * taken back. */
static int tune(const estimator_spec *e, bumps *b, int meta_steps, double rate[STEPS],
                outer_report *r)
{
    const hyper_decl decl = {.kind = HYPER_LR,
                             .phases = 0,
                             .transform = TRANSFORM_LOG,
                             .low = 1e-4,
                             .high = 1.99,
                             .start = 0.3};
    const outer_spec way = {.kind = OUTER_ADAM,
                            .lr = 0.05,
                            .beta1 = 0.9,
                            .beta2 = 0.99,
                            .eps = 1e-12,
                            .trust = b != NULL};
    const walk_spec walk = {.estimator = *e, .stride = 1};
    const examples valid = {.count = 1, .part = 1};
    bumps none = {.size = 0};
    oracle model = {start, gradient, product, evaluate, NULL, b ? b : &none, false, NULL};
    drmad_ctx *ctx = test_ctx();
    param_table *params;
    int back = 0;
    trainer *t;
    walker *w;
    outer *o;
    space *s;

    CHECK_OK(ctx, params_new(ctx, &params));
    CHECK_OK(ctx, params_add(params, "w", SHAPE(RUNS, DIMS), PARAM_WEIGHT, 0));
    CHECK_OK(ctx,
             space_new(ctx, params, &(space_facts){.steps = STEPS, .examples = 1}, &decl, 1, &s));
    const train_spec spec = {.dtype = F64,
                             .init_scale = 1,
                             .oracle = &model,
                             .params = params,
                             .rate = {.rate = 0.3, .steps = STEPS},
                             .steps = STEPS,
                             .batch = 1,
                             .train = {.count = 1},
                             .space = s};
    CHECK_OK(ctx, trainer_new(ctx, &spec, &t));
    CHECK_OK(ctx, walker_new(ctx, t, &walk, &w));
    CHECK_OK(ctx, outer_new(ctx, &way, s, &o));
    r->verdict = OUTER_MOVED;
    for (int k = 0; k < meta_steps && r->verdict < OUTER_STOPPED; k++) {
        CHECK_OK(ctx, outer_step(o, w, 7, &valid, r));
        back += r->verdict == OUTER_TAKEN_BACK;
    }
    space_values(s, outer_raw(o), rate);
    outer_free(o);
    walker_free(w);
    trainer_free(t);
    space_free(s);
    params_free(params);
    return back;
}

static double mean(const double *x, int from, int to)
{
    double sum = 0;

    for (int i = from; i < to; i++) sum += x[i] / (to - from);
    return sum;
}

TEST(one_step_rates_are_short_sighted_on_the_noisy_quadratic)
{
    double whole[STEPS], greedy[STEPS], square[DIMS], exact[STEPS], worst = 0;
    outer_report r;

    tune(&(estimator_spec){.kind = ESTIMATOR_UNROLLED}, NULL, META_STEPS, whole, &r);
    tune(&(estimator_spec){.kind = ESTIMATOR_ONE_STEP, .rows = 1}, NULL, META_STEPS, greedy, &r);
    for (int t = 0; t < STEPS; t++) {
        expected(exact, t, square);
        exact[t] = greedy_rate(square);
        worst = fmax(worst, fabs(log(greedy[t] / exact[t])));
    }
    const double f_whole = expected(whole, STEPS, square);
    const double f_greedy = expected(greedy, STEPS, square);
    const double f_exact = expected(exact, STEPS, square);
    printf("# F: whole run %.4g, one step %.4g (closed form %.4g); mean rate of the first half "
           "%.3g and %.3g; greedy rates off by %.2g\n",
           f_whole, f_greedy, f_exact, mean(whole, 0, STEPS / 2), mean(greedy, 0, STEPS / 2),
           worst);
    /* One step each is the greedy schedule: what is left is the noise of RUNS runs. */
    CHECK_NEAR(f_greedy, f_exact, 0.05 * f_exact);
    CHECK(worst < 0.5);
    /* Over the whole run it ends several times lower, by rates several times larger before the
     * end. */
    CHECK(f_whole < f_greedy / 5);
    CHECK(mean(whole, 0, STEPS / 2) > 3 * mean(greedy, 0, STEPS / 2));
    CHECK(whole[STEPS - 1] < whole[STEPS / 2] / 5);
}

/* F jumps by .0015 from one h to the next, some per cent of it; moves of the last half gain less. A
 * trust region that takes each rise for worse ends this at meta-step 33, at .094. */
TEST(a_rough_F_does_not_end_the_tuning)
{
    enum { MOVES = 120 };
    const estimator_spec exact = {.kind = ESTIMATOR_UNROLLED};
    double rate[STEPS], square[DIMS];
    bumps b = {.size = 0.0015};
    outer_report r;
    const int back = tune(&exact, &b, MOVES, rate, &r);

    printf("# F %.4g, taken back %d times, noise %.4g\n", expected(rate, STEPS, square), back,
           r.noise);
    CHECK_INT(r.step, MOVES);
    CHECK(back > 3 && back < MOVES / 4);
    CHECK(r.noise > b.size && r.noise < 6 * b.size);
    CHECK(expected(rate, STEPS, square) < 0.06); /* without bumps: .044 */
}

/* Nor does it go on where there is no reason to: on a gradient that points uphill, and where F
 * jumps up at every other h. */
TEST(a_wrong_move_and_a_cliff_are_no_roughness)
{
    const estimator_spec exact = {.kind = ESTIMATOR_UNROLLED};
    bumps faults[] = {{.wrong = true}, {.cliff = 1}};
    double rate[STEPS];

    for (size_t i = 0; i < COUNT(faults); i++) {
        outer_report r;
        const int back = tune(&exact, &faults[i], 40, rate, &r);
        CHECK_INT(r.verdict, OUTER_STOPPED);
        CHECK_INT(back, OUTER_HALVINGS);
        CHECK_NEAR(r.noise, 0, 0);
        CHECK_STR(r.why, "no move in this direction improves F, however short");
    }
}
