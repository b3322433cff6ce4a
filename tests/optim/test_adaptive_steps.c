/* The fragments of the optimisers that divide by averaged squares, and clipping, computed by the
 * naive evaluator, against plain loops in PyTorch's words, step by step. */
#include "eval.h"
#include "optim/optim.h"
#include "test.h"

enum { OUT = 2, IN = 3, SIZE = OUT * IN, STEPS = 4, LEAVES = 16 };

typedef struct setting {
    const char *name;
    optim_spec spec;
    bool decay; /* a weight decay is given */
} setting;

static const setting settings[] = {
    {"rmsprop", {.kind = OPTIM_RMSPROP}, false},
    {"rmsprop, decay", {.kind = OPTIM_RMSPROP}, true},
    {"rmsprop, momentum", {.kind = OPTIM_RMSPROP, .buffer = true}, true},
    {"rmsprop, centered", {.kind = OPTIM_RMSPROP, .centered = true}, true},
    {"rmsprop, all",
     {.kind = OPTIM_RMSPROP, .buffer = true, .centered = true, .eps_inside = true},
     true},
    {"adam", {.kind = OPTIM_ADAM}, false},
    {"adam, decay", {.kind = OPTIM_ADAM}, true},
    {"adam, eps inside", {.kind = OPTIM_ADAM, .eps_inside = true}, true},
    {"adamw", {.kind = OPTIM_ADAM, .decoupled = true}, true},
    {"nadam", {.kind = OPTIM_NADAM, .momentum_decay = 0.1}, true},
    {"nadam, decoupled", {.kind = OPTIM_NADAM, .momentum_decay = 4e-3, .decoupled = true}, true},
};

typedef struct hypers {
    double lr, mu, wd, beta1, beta2, eps;
} hypers;

/* One number for each of OPTIM_HYPERS, in its order. */
static const hypers at = {0.05, 0.7, 0.1, 0.8, 0.9, 0.01};

/* One element: PyTorch's names. `step` counts from 1. */
typedef struct element {
    double w, exp_avg, exp_avg_sq, grad_avg, buffer, mu_product;
} element;

/* The first element never has a gradient, unless by decay. */
static double gradient(double w, int e, int t)
{
    return e == 0 ? 0 : 0.5 * w + cos(3 * w + e) + 0.2 * t;
}

static double denominator(const optim_spec *o, double square)
{
    return o->eps_inside ? sqrt(square + at.eps) : sqrt(square) + at.eps;
}

static void plain_rmsprop(const optim_spec *o, element *x, double grad)
{
    double square;

    x->exp_avg_sq = at.beta2 * x->exp_avg_sq + (1 - at.beta2) * grad * grad;
    square = x->exp_avg_sq;
    if (o->centered) {
        x->grad_avg = at.beta2 * x->grad_avg + (1 - at.beta2) * grad;
        square -= x->grad_avg * x->grad_avg;
    }
    const double step = grad / denominator(o, square);
    x->buffer = o->buffer ? at.mu * x->buffer + step : step;
    x->w -= at.lr * x->buffer;
}

static void plain_adam(const optim_spec *o, element *x, double grad, int step)
{
    const double correction1 = 1 - pow(at.beta1, step), correction2 = 1 - pow(at.beta2, step);

    x->exp_avg = at.beta1 * x->exp_avg + (1 - at.beta1) * grad;
    x->exp_avg_sq = at.beta2 * x->exp_avg_sq + (1 - at.beta2) * grad * grad;
    const double denom = denominator(o, x->exp_avg_sq / correction2);
    if (o->kind == OPTIM_ADAM) {
        x->w -= at.lr / correction1 * x->exp_avg / denom;
        return;
    }
    const double mu = at.beta1 * (1 - 0.5 * pow(0.96, step * o->momentum_decay));
    const double mu_next = at.beta1 * (1 - 0.5 * pow(0.96, (step + 1) * o->momentum_decay));
    x->mu_product *= mu;
    x->w -= at.lr * (1 - mu) / (1 - x->mu_product) * grad / denom;
    x->w -= at.lr * mu_next / (1 - x->mu_product * mu_next) * x->exp_avg / denom;
}

static void plain_step(const setting *set, element *x, double grad, int step)
{
    const optim_spec *o = &set->spec;
    const double wd = set->decay ? at.wd : 0;

    if (o->decoupled) x->w *= 1 - at.lr * wd;
    else grad += wd * x->w;
    if (o->kind == OPTIM_RMSPROP) plain_rmsprop(o, x, grad);
    else plain_adam(o, x, grad, step);
}

/* Vector k of a state, as optim_vector_name() says which it is. */
static double of_element(const optim_spec *o, const element *x, int32_t k)
{
    const char *name = k == 0 ? "w" : optim_vector_name(o, k);

    if (strcmp(name, "w") == 0) return x->w;
    if (strcmp(name, "exp_avg") == 0) return x->exp_avg;
    if (strcmp(name, "grad_avg") == 0) return x->grad_avg;
    if (strcmp(name, "momentum_buffer") == 0) return x->buffer;
    return x->exp_avg_sq; /* RMSprop: square_avg */
}

typedef struct fragment {
    graph *g;
    optim_step step;
    int32_t vectors;
    double state[OPTIM_VECTORS][SIZE], grad[SIZE], number[OPTIM_NUMBERS];
    const void *leaf[LEAVES];
} fragment;

static node bind(fragment *f, const char *name, shape s, const void *data)
{
    node n = graph_add_leaf(f->g, name, F64, s);

    f->leaf[graph_leaves(f->g) - 1] = data;
    return n;
}

static void fragment_open(fragment *f, const setting *set)
{
    const shape one = SHAPE(1, 1), whole = SHAPE(OUT, IN);
    const double *value = &at.lr;
    optim_in in = optim_nothing();

    memset(f, 0, sizeof *f);
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &f->g));
    f->vectors = optim_vectors(&set->spec);
    for (int32_t k = 0; k < f->vectors; k++) in.state[k] = bind(f, "state", whole, f->state[k]);
    in.g = bind(f, "g", whole, f->grad);
    for (int k = 0; k < OPTIM_HYPERS; k++)
        if (optim_reads(&set->spec, (optim_hyper)k) && (k != OPTIM_DECAY || set->decay))
            in.h[k] = bind(f, "h", one, &value[k]);
    in.number[OPTIM_STEP] = bind(f, "step", one, &f->number[OPTIM_STEP]);
    in.number[OPTIM_PRODUCT] = bind(f, "product", one, &f->number[OPTIM_PRODUCT]);
    f->step = optim_build(f->g, &set->spec, &in);
    CHECK_OK(test_ctx(), graph_status(f->g));
}

/* Within a few roundings: the order of operations may differ. */
static void check_values(const double *got, const double *want, const char *what)
{
    for (int e = 0; e < SIZE; e++)
        if (!(fabs(got[e] - want[e]) <= 1e-14 * (1 + fabs(want[e]))))
            test_fail(__FILE__, __LINE__, "%s[%d] = %.17g, expected %.17g", what, e, got[e],
                      want[e]);
}

/* Steps all elements; the fragment's next state must be theirs, and becomes its state. */
static void check_step(fragment *f, const setting *set, element *x, int t)
{
    char what[128];

    for (int e = 0; e < SIZE; e++) {
        f->grad[e] = gradient(x[e].w, e, t);
        plain_step(set, &x[e], f->grad[e], t + 1);
    }
    for (int32_t k = 0; k < f->vectors; k++) {
        double want[SIZE], *got = eval_one(f->g, f->leaf, f->step.next[k]);

        snprintf(what, sizeof what, "%s, step %d, vector %d", set->name, t, (int)k);
        for (int e = 0; e < SIZE; e++) want[e] = of_element(&set->spec, &x[e], k);
        check_values(got, want, what);
        free(got);
    }
    for (int32_t k = 0; k < f->vectors; k++)
        for (int e = 0; e < SIZE; e++) f->state[k][e] = of_element(&set->spec, &x[e], k);
}

TEST(adaptive_fragments_step_as_the_plain_loops_do)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        element x[SIZE];
        fragment f;

        fragment_open(&f, &settings[i]);
        for (int e = 0; e < SIZE; e++) {
            x[e] = (element){.w = sin(1 + 2.3 * e), .mu_product = 1};
            f.state[0][e] = x[e].w;
        }
        f.number[OPTIM_PRODUCT] = 1;
        for (int t = 0; t < STEPS; t++) {
            f.number[OPTIM_STEP] = t + 1;
            f.number[OPTIM_PRODUCT] = optim_product(&settings[i].spec, t, f.number[OPTIM_PRODUCT]);
            check_step(&f, &settings[i], x, t);
        }
        graph_free(f.g);
    }
}

/* ---- squares by their cells ---- */

/* v from v' and p where v lies inside its cell, else the cell's end. */
TEST(squares_before_a_step_follow_from_those_after_it)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        double next[SIZE], low[SIZE], want[SIZE];
        fragment f;

        fragment_open(&f, &settings[i]);
        const bool coupled = settings[i].decay && !settings[i].spec.decoupled;
        for (int e = 0; e < SIZE; e++) {
            const double w = f.state[0][e] = sin(1 + 2.3 * e), v = 0.1 + 0.05 * e;
            const double g = f.grad[e] = cos(3 * e), p = coupled ? g + at.wd * w : g;
            next[e] = at.beta2 * v + (1 - at.beta2) * p * p;
            low[e] = e == 0 ? 1.1 * v : e == 1 ? v / 5 : v / 2; /* below it, above it, inside */
            want[e] = fmin(fmax(v, low[e]), SQUARES_CELL * low[e]);
        }
        node n = bind(&f, "v'", SHAPE(OUT, IN), next), l = bind(&f, "low", SHAPE(OUT, IN), low);
        double *got =
            eval_one(f.g, f.leaf, optim_squares_before(f.g, &settings[i].spec, &f.step, n, l));
        check_values(got, want, settings[i].name);
        free(got);
        graph_free(f.g);
    }
}

/* ---- clipping ---- */

/* Two tensors; clip_grad_norm_ sees their norm together. */
static void check_clipped(optim_clip kind, double threshold, const double grad[2][SIZE])
{
    const optim_spec o = {.clip = kind};
    double square = 0;
    fragment f = {0};
    node g[3];

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &f.g));
    for (int i = 0; i < 2; i++) {
        g[i] = bind(&f, "g", SHAPE(OUT, IN), grad[i]);
        for (int e = 0; e < SIZE; e++) square += grad[i][e] * grad[i][e];
    }
    g[2] = NODE_NONE;
    optim_clip_build(f.g, &o, 3, bind(&f, "threshold", SHAPE(1), &threshold), g);
    CHECK_INT(g[2], NODE_NONE);
    const double factor = fmin(1, threshold / (sqrt(square) + 1e-6));
    for (int i = 0; i < 2; i++) {
        double want[SIZE], *got = eval_one(f.g, f.leaf, g[i]);

        for (int e = 0; e < SIZE; e++)
            want[e] = kind == CLIP_NORM ? factor * grad[i][e]
                                        : fmax(-threshold, fmin(threshold, grad[i][e]));
        check_values(got, want, kind == CLIP_NORM ? "norm" : "value");
        free(got);
    }
    graph_free(f.g);
}

TEST(gradients_are_clipped_as_pytorch_does)
{
    static const double nothing[2][SIZE] = {{0}};
    double grad[2][SIZE];

    for (int i = 0; i < 2; i++)
        for (int e = 0; e < SIZE; e++) grad[i][e] = cos(2 + i + 1.7 * e);
    for (int k = 0; k < 3; k++) { /* some, all or none are beyond it */
        const double threshold = k == 0 ? 0.5 : k == 1 ? 1e-3 : 100;
        check_clipped(CLIP_NORM, threshold, grad);
        check_clipped(CLIP_VALUE, threshold, grad);
    }
    check_clipped(CLIP_NORM, 1, nothing);
    check_clipped(CLIP_VALUE, 1, nothing);
}
