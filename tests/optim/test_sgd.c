/* SGD fragments, computed by the naive evaluator, against a plain loop in PyTorch's words, step by
 * step; what stands for a fragment's values when a trajectory hands the states out; the sums that
 * give the momentum's derivative without the buffer. */
#include "optim/optim.h"
#include "eval.h"
#include "test.h"

enum { OUT = 3, IN = 4, SIZE = OUT * IN, STEPS = 6, LEAVES = 16 };

typedef struct setting {
    const char *name;
    optim_spec spec;
    bool decay; /* a weight decay is given */
} setting;

static const setting settings[] = {
    {"plain", {.buffer = false}, false},
    {"plain, decay", {.buffer = false}, true},
    {"plain, decoupled", {.buffer = false, .decoupled = true}, true},
    {"momentum", {.buffer = true}, false},
    {"momentum, decay", {.buffer = true}, true},
    {"dampening", {.buffer = true, .dampening = 0.3}, true},
    {"nesterov", {.buffer = true, .nesterov = true}, true},
    {"decoupled", {.buffer = true, .decoupled = true}, true},
    {"decoupled nesterov", {.buffer = true, .decoupled = true, .nesterov = true}, true},
    {"decoupled dampening", {.buffer = true, .decoupled = true, .dampening = 0.3}, true},
    {"maclaurin", {.form = FORM_MACLAURIN, .buffer = true}, false},
    {"maclaurin, decay", {.form = FORM_MACLAURIN, .buffer = true}, true},
};

/* Hyperparameters in use shape: [1,1], [1,IN], [OUT,1] or [OUT,IN]. */
static const int64_t use_shapes[][2] = {{1, 1}, {1, IN}, {OUT, 1}, {OUT, IN}};

typedef struct values {
    double w[SIZE], b[SIZE], g[SIZE], lr[SIZE], mu[SIZE], wd[SIZE], c;
} values;

/* Hyperparameters of every element; those of one use shape are equal where they are shared. */
static void draw(values *v, const int64_t s[2])
{
    memset(v, 0, sizeof *v);
    for (int e = 0; e < SIZE; e++) {
        const int64_t at = (s[0] > 1 ? e / IN : 0) * s[1] + (s[1] > 1 ? e % IN : 0);
        v->w[e] = sin(1 + 2.3 * e);
        v->lr[e] = 0.1 + 0.02 * (double)at;
        v->mu[e] = 0.6 + 0.03 * (double)at;
        v->wd[e] = 0.05 + 0.01 * (double)at;
    }
}

/* Some gradient at w in step t; the same for the plain loop and for the graph. */
static double gradient(double w, int e, int t)
{
    return 0.5 * w + cos(3 * w + e) + 0.2 * t;
}

/* One element's step, as torch.optim.SGD's documentation says it; decoupled decay as AdamW does. */
static void plain_step(const optim_spec *o, values *v, int e, bool decay, bool first)
{
    double wd = decay ? v->wd[e] : 0, g = v->g[e], w = v->w[e], step;

    if (o->form == FORM_MACLAURIN) { /* Maclaurin et al., Algorithm 1 */
        v->b[e] = v->mu[e] * v->b[e] - (1 - v->mu[e]) * (g + wd * w);
        v->w[e] = w + v->lr[e] * v->b[e];
        return;
    }
    if (o->decoupled) w -= v->lr[e] * wd * w;
    else g += wd * w;
    step = g;
    if (o->buffer) {
        v->b[e] = first ? g : v->mu[e] * v->b[e] + (1 - o->dampening) * g;
        step = o->nesterov ? g + v->mu[e] * v->b[e] : v->b[e];
    }
    v->w[e] = w - v->lr[e] * step;
}

typedef struct fragment {
    graph *g;
    optim_spec spec;
    optim_in in;
    optim_step step;
    const void *leaf[LEAVES];
} fragment;

static node bind(fragment *f, const char *name, shape s, const void *data)
{
    node n = graph_add_leaf(f->g, name, F64, s);

    f->leaf[graph_leaves(f->g) - 1] = data;
    return n;
}

/* The elements of a use-shaped leaf out of those of the whole tensor. */
static const double *shared(const double *full, const int64_t s[2], double *out)
{
    for (int64_t i = 0; i < s[0]; i++)
        for (int64_t j = 0; j < s[1]; j++) out[i * s[1] + j] = full[i * IN + j];
    return out;
}

typedef struct held {
    double lr[SIZE], mu[SIZE], wd[SIZE];
} held;

static void fragment_open(fragment *f, const setting *set, values *v, const int64_t s[2], held *h)
{
    const shape use = SHAPE(s[0], s[1]), whole = SHAPE(OUT, IN);

    memset(f, 0, sizeof *f);
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &f->g));
    f->spec = set->spec;
    f->in = optim_nothing();
    f->in.state[0] = bind(f, "w", whole, v->w);
    f->in.g = bind(f, "g", whole, v->g);
    f->in.h[OPTIM_LR] = bind(f, "lr", use, shared(v->lr, s, h->lr));
    if (set->decay) f->in.h[OPTIM_DECAY] = bind(f, "wd", use, shared(v->wd, s, h->wd));
    if (set->spec.buffer) {
        f->in.state[1] = bind(f, "b", whole, v->b);
        f->in.h[OPTIM_MOMENTUM] = bind(f, "mu", use, shared(v->mu, s, h->mu));
    }
    if (set->spec.dampening != 0) f->in.number[OPTIM_GAIN] = bind(f, "c", SHAPE(1, 1), &v->c);
    f->step = optim_build(f->g, &f->spec, &f->in);
}

/* Every element of `node` within a few roundings of want: the order of operations may differ. */
static void check_node(const fragment *f, node n, const double *want, const char *what)
{
    double *got = eval_one(f->g, f->leaf, n);

    for (int e = 0; e < SIZE; e++)
        if (!(fabs(got[e] - want[e]) <= 1e-14 * (1 + fabs(want[e]))))
            test_fail(__FILE__, __LINE__, "%s[%d] = %.17g, expected %.17g", what, e, got[e],
                      want[e]);
    free(got);
}

static void run_steps(const setting *set, const int64_t s[2])
{
    values v, want;
    fragment f;
    held h;
    char what[128];

    draw(&v, s);
    want = v;
    fragment_open(&f, set, &v, s, &h);
    for (int t = 0; t < STEPS; t++) {
        for (int e = 0; e < SIZE; e++) v.g[e] = want.g[e] = gradient(v.w[e], e, t);
        v.c = t > 0 ? 1 - set->spec.dampening : 1;
        for (int e = 0; e < SIZE; e++) plain_step(&set->spec, &want, e, set->decay, t == 0);
        snprintf(what, sizeof what, "%s, [%d,%d], step %d: w", set->name, (int)s[0], (int)s[1], t);
        check_node(&f, f.step.next[0], want.w, what);
        if (set->spec.buffer) check_node(&f, f.step.next[1], want.b, what);
        memcpy(v.w, want.w, sizeof v.w);
        memcpy(v.b, want.b, sizeof v.b);
    }
    CHECK_OK(test_ctx(), graph_status(f.g));
    graph_free(f.g);
}

TEST(fragments_step_as_the_plain_loop_does)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        for (size_t k = 0; k < COUNT(use_shapes); k++) run_steps(&settings[i], use_shapes[k]);
}

/* What a trajectory knows gives back what the fragment computed. */
static void read_out(const setting *set, bool exact, int t)
{
    const int64_t *s = use_shapes[1];
    values v, after;
    fragment f;
    held h;
    double inverse[SIZE];
    node from[OPTIM_PAIRS], to[OPTIM_PAIRS];

    draw(&v, s);
    for (int e = 0; e < SIZE; e++) {
        v.b[e] = t > 0 ? cos(e) : 0;
        v.g[e] = gradient(v.w[e], e, t);
    }
    v.c = t > 0 ? 1 - set->spec.dampening : 1;
    fragment_open(&f, set, &v, s, &h);
    after = v;
    for (int e = 0; e < SIZE; e++) plain_step(&set->spec, &after, e, set->decay, t == 0);
    for (int i = 0; i < IN; i++) inverse[i] = 1 / h.lr[i];
    optim_known k = {.exact = exact, .next = {NODE_NONE, NODE_NONE}};
    k.next[0] = bind(&f, "w'", SHAPE(OUT, IN), after.w);
    if (set->spec.buffer) k.next[1] = bind(&f, "b'", SHAPE(OUT, IN), after.b);
    k.inv_lr = bind(&f, "1/lr", SHAPE(1, IN), inverse);
    const int n = optim_substitutes(f.g, &f.spec, &f.step, &k, from, to);
    CHECK(n >= 1 && n <= OPTIM_PAIRS);
    for (int i = 0; i < n; i++) {
        double *want = eval_one(f.g, f.leaf, from[i]), *got = eval_one(f.g, f.leaf, to[i]);
        for (int e = 0; e < SIZE; e++) /* differences of states lose a digit or two */
            if (!(fabs(got[e] - want[e]) <= 1e-13))
                test_fail(__FILE__, __LINE__, "%s, %s, pair %d [%d]: %.17g stands for %.17g",
                          set->name, exact ? "exact" : "path", i, e, got[e], want[e]);
        free(want);
        free(got);
    }
    graph_free(f.g);
}

TEST(known_states_give_the_values_of_the_step)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        for (int t = 0; t < 2; t++) {
            read_out(&settings[i], true, t);
            read_out(&settings[i], false, t);
        }
}

/* ---- the momentum's derivative by the transposed sum ---- */

/* F = sum_e cot_e w_T,e after STEPS steps with gradients that do not depend on w: only then is the
 * adjoint of the loop short enough to write down here. mu is added in the steps of [a, z). */
static double run_value(const setting *set, const values *start, double mu, int a, int z)
{
    values v = *start;
    double f = 0;

    for (int t = 0; t < STEPS; t++)
        for (int e = 0; e < SIZE; e++) {
            const double keep = v.mu[e];
            v.g[e] = cos(2 * e + t);
            v.mu[e] += t >= a && t < z ? mu : 0;
            plain_step(&set->spec, &v, e, set->decay, t == 0);
            v.mu[e] = keep;
        }
    for (int e = 0; e < SIZE; e++) f += sin(1 + e) * v.w[e];
    return f;
}

typedef struct sums {
    double z[SIZE], active, bcot[SIZE], scot[SIZE];
} sums;

/* B, the whole cotangent of b', and s~ of one element, from w'~ and what b'~ brings. */
static double step_cots(const setting *set, const values *v, double wcot, double bcot, double *scot)
{
    if (set->spec.form == FORM_MACLAURIN) return bcot + v->lr[0] * wcot;
    *scot = -v->lr[0] * wcot;
    return bcot + (set->spec.nesterov ? v->mu[0] : 1) * *scot;
}

/* (w~, b~) before the step from B, s~ and w'~; see DESIGN's formulas, g constant. */
static void step_back(const setting *set, const values *v, const sums *s, double *wcot,
                      double *bcot)
{
    const double mu = v->mu[0], wd = set->decay ? v->wd[0] : 0;

    for (int e = 0; e < SIZE; e++) {
        const double gain = set->spec.form == FORM_MACLAURIN ? mu - 1 : v->c;
        const double u = gain * s->bcot[e] + (set->spec.nesterov ? s->scot[e] : 0);
        wcot[e] = set->spec.decoupled ? (1 - v->lr[0] * wd) * wcot[e] : wcot[e] + wd * u;
        bcot[e] = mu * s->bcot[e];
    }
}

static double transposed_sum(const setting *set, const values *start, int a, int z)
{
    static const int64_t scalar[2] = {1, 1};
    values v[STEPS], now = *start;
    double wcot[SIZE], bcot[SIZE] = {0}, total = 0;
    sums s = {0};
    fragment f;
    held h;

    for (int t = 0; t < STEPS; t++) { /* the states before each step */
        for (int e = 0; e < SIZE; e++) now.g[e] = cos(2 * e + t);
        now.c = t > 0 ? 1 - set->spec.dampening : 1;
        v[t] = now;
        for (int e = 0; e < SIZE; e++) plain_step(&set->spec, &now, e, set->decay, t == 0);
    }
    fragment_open(&f, set, &now, scalar, &h);
    optim_momentum m = {.step_cot = NODE_NONE};
    m.z = bind(&f, "z", SHAPE(OUT, IN), s.z);
    m.active = bind(&f, "active", SHAPE(1, 1), &s.active);
    m.buffer_cot = bind(&f, "B", SHAPE(OUT, IN), s.bcot);
    if (set->spec.nesterov) m.step_cot = bind(&f, "s~", SHAPE(OUT, IN), s.scot);
    optim_momentum_build(f.g, &f.spec, &f.step, &m);
    for (int e = 0; e < SIZE; e++) wcot[e] = sin(1 + e);
    for (int t = STEPS - 1; t >= 0; t--) {
        now = v[t];
        s.active = t >= a && t < z;
        for (int e = 0; e < SIZE; e++)
            s.bcot[e] = step_cots(set, &now, wcot[e], bcot[e], &s.scot[e]);
        double *product = eval_one(f.g, f.leaf, m.product), *z1 = eval_one(f.g, f.leaf, m.z1);
        for (int e = 0; e < SIZE; e++) total += product[e];
        memcpy(s.z, z1, sizeof s.z);
        free(product);
        free(z1);
        step_back(set, &now, &s, wcot, bcot);
    }
    graph_free(f.g);
    return total;
}

static void check_sum(const setting *set, int a, int z)
{
    static const int64_t scalar[2] = {1, 1};
    const double h = 1e-3;
    values v;

    draw(&v, scalar);
    const double near = run_value(set, &v, h, a, z) - run_value(set, &v, -h, a, z);
    const double far = run_value(set, &v, 2 * h, a, z) - run_value(set, &v, -2 * h, a, z);
    const double want = (8 * near - far) / (12 * h), got = transposed_sum(set, &v, a, z);
    /* F is a polynomial of degree 7 or less in mu: what is left out is h^4 F5/30 */
    if (!(fabs(got - want) <= 1e-9 * (1 + fabs(want))))
        test_fail(__FILE__, __LINE__, "%s, steps %d to %d: %.12g, difference %.12g", set->name, a,
                  z - 1, got, want);
    CHECK(fabs(want) > 1e-3);
}

TEST(transposed_sums_are_the_momentums_derivative)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (!settings[i].spec.buffer) continue;
        check_sum(&settings[i], 0, STEPS);
        check_sum(&settings[i], 0, 2);
        check_sum(&settings[i], 2, 4);
        check_sum(&settings[i], 4, STEPS);
    }
}

TEST(what_pytorch_refuses_is_refused_by_name)
{
    drmad_ctx *ctx = test_ctx();
    optim_spec o = {.buffer = true, .nesterov = true, .dampening = 0.1};

    CHECK_FAILS(ctx, optim_check(ctx, &o), DRMAD_E_CONFIG, "optimizer.nesterov");
    o.dampening = 0;
    CHECK_OK(ctx, optim_check(ctx, &o));
    o.buffer = false;
    CHECK_FAILS(ctx, optim_check(ctx, &o), DRMAD_E_CONFIG, "optimizer.nesterov");
    o = (optim_spec){.form = FORM_MACLAURIN};
    CHECK_FAILS(ctx, optim_check(ctx, &o), DRMAD_E_CONFIG, "optimizer.form");
    o.buffer = true;
    CHECK_OK(ctx, optim_check(ctx, &o));
    o.dampening = 0.5;
    CHECK_FAILS(ctx, optim_check(ctx, &o), DRMAD_E_CONFIG, "optimizer.form");
}
