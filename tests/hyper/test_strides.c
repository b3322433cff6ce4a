/* `fast` and the authors' T/10 on a linear model, whose Hessian is a product that a plain loop can
 * write down: the whole walk back by hand, from the weights of the run and the documented rules. */
#include "toy.h"

enum { IN = TOY_WIDTH, OUT = TOY_CLASSES, W = OUT * IN, SIZE = W + OUT, BATCH = 7, STEPS_MAX = 64 };

typedef struct way {
    const char *name;
    int64_t steps;
    int32_t stride;
    bool tenth;
    optim_form form;
    double rate, momentum;
} way;

static const way ways[] = {
    {"slow rate, full strides", 24, 4, false, FORM_PYTORCH, 0.01, 0.5},
    {"strides that shorten", 24, 4, false, FORM_PYTORCH, 0.2, 0.5},
    {"high momentum", 24, 8, false, FORM_PYTORCH, 0.03, 0.9},
    {"maclaurin", 24, 4, false, FORM_MACLAURIN, 0.05, 0.5},
    {"no momentum", 24, 4, false, FORM_PYTORCH, 0.05, 0},
    {"tenth", 30, 1, true, FORM_PYTORCH, 0.05, 0.5},
    {"tenth, T not a multiple of 10", 27, 1, true, FORM_MACLAURIN, 0.05, 0.5},
};

/* The hand-made walk: cotangents, and what it has found. */
typedef struct hand {
    toy *t;
    const way *way;
    double w[STEPS_MAX + 1][SIZE]; /* the run's weights, packed: W then b */
    double wcot[SIZE], bcot[SIZE], hess[SIZE], u[SIZE];
    double l2, lr;       /* dF/dl2 of the weights, dF/dlr of all */
    double lambda, rate; /* their values */
    int64_t blocks;
} hand;

static double inner(const double *a, const double *b, int n)
{
    double s = 0;

    for (int i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* The gradient of a step's loss at x (squared loss, l2 on the weights), or, the model being linear
 * and the targets left out, its Hessian times x. */
static void apply(const hand *h, int64_t step, const double *x, bool hessian, double *out)
{
    const toy *t = h->t;
    int32_t batch[BATCH];

    batch_indices(t->spec.order, 42, step, BATCH, (int32_t)t->spec.train.count, batch);
    for (int e = 0; e < SIZE; e++) out[e] = e < W ? h->lambda * x[e] : 0;
    for (int i = 0; i < BATCH; i++) {
        const double *row = t->rows + batch[i] * IN;
        for (int k = 0; k < OUT; k++) {
            double z = x[W + k];
            for (int j = 0; j < IN; j++) z += x[k * IN + j] * row[j] * t->spec.train.scale;
            if (!hessian) z -= t->labels[batch[i]] == k;
            for (int j = 0; j < IN; j++)
                out[k * IN + j] += z * row[j] * t->spec.train.scale / BATCH;
            out[W + k] += z / BATCH;
        }
    }
}

static void train_by_hand(hand *h)
{
    const double mu = h->way->momentum;
    double b[SIZE] = {0}, g[SIZE], flat[64] = {0};

    nn_draw(h->t->net, h->t->params, 42, flat);
    for (int e = 0; e < SIZE; e++)
        h->w[0][e] = e < W ? flat[e] : flat[h->t->params->at[1].offset + e - W];
    for (int64_t t = 0; t < h->way->steps; t++) {
        apply(h, t, h->w[t], false, g);
        for (int e = 0; e < SIZE; e++) {
            const bool torch = h->way->form == FORM_PYTORCH;
            b[e] = mu * b[e] + (torch ? g[e] : -(1 - mu) * g[e]);
            h->w[t + 1][e] = h->w[t][e] + (torch ? -h->rate : h->rate) * b[e];
        }
    }
}

/* s steps as one, from w0 to w1, with the batch of `step` at w. */
static void back(hand *h, int64_t step, int64_t s, const double *w0, const double *w1,
                 const double *w)
{
    const double mu = h->way->momentum, decay = pow(mu, (double)s), rate = (double)s * h->rate;
    const bool torch = h->way->form == FORM_PYTORCH;
    const double gain = torch ? (1 - decay) / (1 - mu) : decay - 1;

    for (int e = 0; e < SIZE; e++) {
        const double d = (w1[e] - w0[e]) / rate; /* -s in PyTorch's form, b' in Maclaurin's */
        h->lr += (double)s * h->wcot[e] * d;
        h->bcot[e] += (torch ? -rate : rate) * h->wcot[e];
        h->u[e] = gain * h->bcot[e];
        h->bcot[e] *= decay;
    }
    h->l2 += inner(h->u, w, W);
    apply(h, step, h->u, true, h->hess);
    for (int e = 0; e < SIZE; e++) h->wcot[e] += h->hess[e];
    h->blocks++;
}

/* The largest s up to the cap with s r (1 - mu^s)/(1 + mu^s) < 1/2; 1 while r is unknown. */
static int64_t length(const hand *h, double curvature, int64_t end)
{
    const double mu = h->way->momentum;
    const double r = curvature * h->rate / (h->way->form == FORM_PYTORCH ? 1 - mu : 1);
    int64_t s = 1;

    while (s < h->way->stride && s < end) {
        const double decay = pow(mu, (double)s + 1);
        if (!((double)(s + 1) * r * (1 - decay) / (1 + decay) < 0.5)) break;
        s++;
    }
    return s;
}

static void walk_strides(hand *h)
{
    double curvature = HUGE_VAL, norm = sqrt(inner(h->wcot, h->wcot, SIZE));

    for (int64_t end = h->way->steps; end > 0;) {
        const int64_t s = length(h, curvature, end), middle = end - s + (s - 1) / 2;
        back(h, middle, s, h->w[end - s], h->w[end], h->w[middle]);
        const double now = sqrt(inner(h->hess, h->hess, SIZE) / inner(h->u, h->u, SIZE));
        const double after = sqrt(inner(h->wcot, h->wcot, SIZE));
        curvature = isfinite(curvature) ? fmax(now, 0.95 * curvature) : now;
        if (after > 1.05 * norm) curvature *= 2;
        norm = after;
        end -= s;
    }
}

/* Point 10 i of the line with batch i, and the next point. */
static void walk_tenth(hand *h)
{
    const int64_t T = h->way->steps;
    double from[SIZE], to[SIZE];

    for (int64_t i = T / 10 - 1; i >= 0; i--) {
        for (int e = 0; e < SIZE; e++) {
            const double d = (h->w[T][e] - h->w[0][e]) / (double)T;
            from[e] = h->w[0][e] + 10 * (double)i * d;
            to[e] = from[e] + d;
        }
        back(h, i, 1, from, to, from);
    }
}

static void close_to(double got, double want, const char *name, const char *what)
{
    /* the walk reads w - w' off the weights, which costs a few digits */
    if (!(fabs(got - want) <= 1e-11 * fabs(want)))
        test_fail(__FILE__, __LINE__, "%s: dF/d%s = %.15g, by hand %.15g", name, what, got, want);
}

static void check_way(const way *y)
{
    const hyper_decl decls[] = {
        {.kind = HYPER_L2, .phases = 1, .low = 1e-4, .high = 1, .start = 0.05},
        {.kind = HYPER_LR, .phases = 1, .low = 1e-4, .high = 1, .start = y->rate},
    };
    const walk_spec walk = {
        .trajectory = y->tenth ? TRAJ_LINE : TRAJ_FULL, .stride = y->stride, .tenth = y->tenth};
    static hand h;
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.layers = 1, t.sizes[0] = IN, t.sizes[1] = OUT;
    t.spec.loss = LOSS_SQUARED;
    t.spec.optim = (optim_spec){.form = y->form, .buffer = y->momentum > 0};
    t.spec.momentum = y->momentum;
    t.spec.steps = t.spec.rate.steps = y->steps;
    t.spec.rate.rate = 0; /* every rate is a hyperparameter */
    const drmad_status st = toy_open(&t, decls, 2, &walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        h = (hand){.t = &t, .way = y, .lambda = t.values[0], .rate = t.values[1]};
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        train_by_hand(&h);
        double *dw = NULL, dvalues[2];
        eval_result f;
        CHECK_OK(t.ctx, mem_alloc(t.ctx, (size_t)t.params->total, sizeof *dw, &dw));
        CHECK_OK(t.ctx, trainer_eval(t.t, &t.valid, t.values, &f, dw, dvalues));
        for (int e = 0; e < SIZE; e++)
            h.wcot[e] = e < W ? dw[e] : dw[t.params->at[1].offset + e - W];
        mem_free(t.ctx, dw);
        if (y->tenth) walk_tenth(&h);
        else walk_strides(&h);
        close_to(t.grad[0], h.l2, y->name, "l2");
        close_to(t.grad[1], h.lr, y->name, "lr");
        if (y->steps % 10 == 0 || !y->tenth) CHECK_INT(r.steps, h.blocks);
        CHECK(h.blocks < y->steps);
    }
    toy_close(&t);
}

TEST(strides_and_tenths_are_the_walk_by_hand)
{
    for (size_t i = 0; i < COUNT(ways); i++) check_way(&ways[i]);
}
