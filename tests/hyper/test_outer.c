/* Moves of the outer loop against plain loops on the same hypergradients, the audit on an exact
 * path, and the trust region. */
#include "hyper/outer.h"
#include "toy.h"

typedef struct subject {
    toy t;
    outer *o;
    outer_spec spec;
    double *g, *m, *v, *last; /* transformed gradient, the plain loop's moments, h before a move */
} subject;

static const outer_spec kinds[] = {
    {.kind = OUTER_ADAM, .lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-8, .audit_every = 1},
    {.kind = OUTER_SGD, .lr = 0.2, .momentum = 0.7, .audit_every = 1},
    {.kind = OUTER_SIGN, .lr = 0.05, .audit_every = 1},
};

/* `smooth` > 0: three phases, and every other declaration is smooth. */
static void open_smooth(subject *s, const outer_spec *spec, double smooth)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];

    memset(s, 0, sizeof *s);
    toy_init(&s->t, test_ctx());
    s->spec = *spec;
    const int32_t n_decls = toy_declare(&s->t, PER_LAYER, smooth > 0 ? 3 : 1, decls);
    for (int32_t i = 0; i < n_decls; i += 2) decls[i].smooth = smooth;
    CHECK_OK(test_ctx(), toy_open(&s->t, decls, n_decls, &walk));
    CHECK_OK(test_ctx(), outer_new(test_ctx(), &s->spec, s->t.s, &s->o));
    const size_t n = (size_t)s->t.s->total;
    s->g = calloc(n, sizeof *s->g), s->m = calloc(n, sizeof *s->m);
    s->v = calloc(n, sizeof *s->v), s->last = calloc(n, sizeof *s->last);
}

static void open_subject(subject *s, const outer_spec *spec)
{
    open_smooth(s, spec, 0);
}

static void close_subject(subject *s)
{
    outer_free(s->o);
    toy_close(&s->t);
    free(s->g);
    free(s->m);
    free(s->v);
    free(s->last);
}

/* The transformed gradient at the h that the outer loop is about to try. */
static double gradient(subject *s)
{
    walk_report r;

    memcpy(s->last, outer_raw(s->o), (size_t)s->t.s->total * sizeof *s->last);
    space_values(s->t.s, s->last, s->t.values);
    CHECK_OK(s->t.ctx, walker_gradient(s->t.w, s->t.values, 42, &s->t.valid, &r, s->t.grad));
    space_chain(s->t.s, s->last, s->t.grad, s->g);
    return r.value.loss;
}

/* Kingma and Ba, Algorithm 1; PyTorch's SGD; the sign: of the smoothed gradient. */
static double plain_move(subject *s, int64_t i, double g, int step)
{
    const outer_spec *p = &s->spec;

    if (p->kind == OUTER_SIGN) return -p->lr * (g > 0 ? 1 : g < 0 ? -1 : 0);
    if (p->kind == OUTER_SGD) {
        s->m[i] = p->momentum * s->m[i] + g;
        return -p->lr * s->m[i];
    }
    s->m[i] = p->beta1 * s->m[i] + (1 - p->beta1) * g;
    s->v[i] = p->beta2 * s->v[i] + (1 - p->beta2) * g * g;
    const double m = s->m[i] / (1 - pow(p->beta1, step)), v = s->v[i] / (1 - pow(p->beta2, step));
    return -p->lr * m / (sqrt(v) + p->eps);
}

static void check_moves(const outer_spec *spec, double smooth)
{
    outer_report r;
    subject s;

    open_smooth(&s, spec, smooth);
    double *pull = calloc((size_t)s.t.s->total, sizeof *pull);
    for (int step = 1; step <= 4; step++) {
        double predicted = 0;
        const double value = gradient(&s);
        CHECK_OK(s.t.ctx, outer_step(s.o, s.t.w, 42, &s.t.valid, &r));
        CHECK(r.verdict == OUTER_MOVED);
        CHECK_NEAR(r.value, value, 0);
        space_smooth(s.t.s, s.g, pull);
        for (int64_t i = 0; i < s.t.s->total; i++) {
            const double move = plain_move(&s, i, pull[i], step);
            const double got = outer_raw(s.o)[i] - s.last[i];
            CHECK_NEAR(got, move, 1e-13); /* nothing is near a bound */
            predicted += s.g[i] * move;
        }
        CHECK_NEAR(r.predicted, predicted, 1e-12 * fabs(predicted));
        CHECK(r.predicted < 0);
        /* on an exact path both are the derivative along the move */
        CHECK(r.audited);
        CHECK_NEAR(r.audit_exact, r.audit_cheap, 1e-10 * fabs(r.audit_cheap));
        CHECK_NEAR(r.audit_value, r.value, 1e-10 * fabs(r.value));
    }
    free(pull);
    close_subject(&s);
}

TEST(moves_are_those_of_the_plain_loops)
{
    for (size_t i = 0; i < COUNT(kinds); i++) check_moves(&kinds[i], 0);
}

TEST(moves_follow_the_gradient_smoothed_in_time)
{
    for (size_t i = 0; i < COUNT(kinds); i++) check_moves(&kinds[i], 1.5);
}

TEST(a_move_that_makes_F_worse_is_taken_back_and_halved)
{
    const outer_spec spec = {.kind = OUTER_SIGN, .lr = 1, .trust = true};
    outer_report r = {.verdict = OUTER_MOVED};
    double *start, *far, good = HUGE_VAL;
    subject s;

    open_subject(&s, &spec);
    const size_t n = (size_t)s.t.s->total;
    start = calloc(n, sizeof *start), far = calloc(n, sizeof *far);
    for (int i = 0; i < 20 && r.verdict == OUTER_MOVED; i++) { /* steps this long must overshoot */
        memcpy(start, far, n * sizeof *start);
        memcpy(far, outer_raw(s.o), n * sizeof *far);
        CHECK_OK(s.t.ctx, outer_step(s.o, s.t.w, 42, &s.t.valid, &r));
        if (r.verdict == OUTER_MOVED) good = r.value;
    }
    CHECK(r.verdict == OUTER_TAKEN_BACK);
    CHECK(r.value > good);
    CHECK_NEAR(r.scale, 0.5, 0);
    for (size_t i = 0; i < n; i++) { /* half of the way, unless a bound cut the whole */
        const double whole = far[i] - start[i], half = outer_raw(s.o)[i] - start[i];
        CHECK(fabs(fabs(half) - 0.5) < 1e-12 || fabs(half - whole) < 1e-12);
    }
    CHECK_NEAR(outer_best_value(s.o), good, 0);
    free(start);
    free(far);
    close_subject(&s);
}

TEST(of_values_with_seeds_of_their_own_those_of_the_least_running_mean_are_kept)
{
    enum { STEPS = 30, RECENT = 10 };
    const outer_spec spec = {.kind = OUTER_SIGN, .lr = 0.3, .fresh = true}; /* soon too far */
    double *h[STEPS], mean = 0, least = HUGE_VAL, smallest = HUGE_VAL;
    int kept = 0, luckiest = 0;
    outer_report r;
    subject s;

    open_subject(&s, &spec);
    const size_t n = (size_t)s.t.s->total;
    for (int k = 0; k < STEPS; k++) {
        h[k] = calloc(n, sizeof *h[k]);
        memcpy(h[k], outer_raw(s.o), n * sizeof *h[k]);
        CHECK_OK(s.t.ctx, outer_step(s.o, s.t.w, 42 + (uint64_t)k, &s.t.valid, &r));
        CHECK(isfinite(r.value));
        if (k < RECENT) mean = (mean * k + r.value) / (k + 1);
        else mean = .9 * mean + .1 * r.value;
        if (r.value < smallest) smallest = r.value, luckiest = k;
        if (k + 1 < RECENT) CHECK(memcmp(outer_chosen(s.o), h[k], n * sizeof *h[k]) == 0);
        if (k + 1 >= RECENT && mean < least) least = mean, kept = k;
    }
    CHECK(kept != STEPS - 1 && kept != luckiest && kept != RECENT - 1);
    CHECK(memcmp(outer_chosen(s.o), h[kept], n * sizeof *h[kept]) == 0);
    CHECK_NEAR(outer_best_value(s.o), smallest, 0);
    for (int k = 0; k < STEPS; k++) free(h[k]);
    close_subject(&s);
}
