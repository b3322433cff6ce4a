/* Forward mode against the walk back: two programs made by different walks over the rules. Much
 * faster than differences, and to the last digits. */
#include "toy.h"

typedef struct setting {
    const char *name;
    optim_spec optim;
    double weight_decay;
    schedule_kind schedule;
    int64_t warmup;
} setting;

static const setting settings[] = {
    {"plain", {.buffer = false}, 0, SCHEDULE_LINEAR, 0},
    {"momentum", {.buffer = true}, 0, SCHEDULE_CONSTANT, 0},
    {"dampening", {.buffer = true, .dampening = 0.3}, 0.01, SCHEDULE_CONSTANT, 4},
    {"nesterov", {.buffer = true, .nesterov = true}, 0.01, SCHEDULE_COSINE, 5},
    {"decoupled", {.buffer = true, .decoupled = true}, 0.02, SCHEDULE_CONSTANT, 0},
    {"maclaurin", {.form = FORM_MACLAURIN, .buffer = true}, 0, SCHEDULE_CONSTANT, 0},
};

/* The toy with every knob; without l1 where the run has to be smooth. */
static drmad_status open_toy(toy *t, const setting *s, hyper_per per, bool smooth)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    int32_t n = 0;

    toy_init(t, test_ctx());
    t->spec.optim = s->optim;
    t->spec.weight_decay = s->weight_decay;
    t->spec.rate.kind = s->schedule;
    t->spec.rate.final = 0.1;
    t->spec.rate.warmup = s->warmup;
    for (int32_t i = 0, all = toy_declare(t, per, 3, decls); i < all; i++) {
        if (smooth && decls[i].kind == HYPER_L1) continue;
        decls[n] = decls[i];
        decls[n++].multiplier = decls[i].kind == HYPER_LR; /* the base schedule takes part */
    }
    return toy_open(t, decls, n, &walk);
}

/* Along all of one kind's values. */
static void check_kind(toy *t, hyper_kind kind, const char *name)
{
    const int64_t n = t->s->total;
    double *d = calloc((size_t)n, sizeof *d), value, slope, dot = 0, sum = 0;

    for (int64_t i = 0; i < n; i++) {
        if (space_slice_of(t->s, i)->kind != kind) continue;
        d[i] = rng_normal((rng_key){8, 0, 1}, (uint64_t)i);
        dot += d[i] * t->grad[i];
        sum += fabs(d[i] * t->grad[i]);
    }
    CHECK_OK(t->ctx, walker_directional(t->w, t->values, d, 42, &t->valid, &value, &slope));
    /* both are exact: what is left is rounding, grown over 20 steps */
    if (!(fabs(slope - dot) <= 1e-12 * sum) || sum == 0)
        test_fail(__FILE__, __LINE__, "%s, %s: forward %.17g, back %.17g", name,
                  hyper_kind_of(kind)->word, slope, dot);
    free(d);
}

static void check_setting(const setting *s, hyper_per per)
{
    walk_report r;
    toy t;

    const drmad_status st = open_toy(&t, s, per, false);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        for (int k = 0; k < HYPER_KIND_COUNT; k++)
            if (space_has(t.s, (hyper_kind)k)) check_kind(&t, (hyper_kind)k, s->name);
    }
    toy_close(&t);
}

TEST(forward_mode_is_the_walk_back)
{
    for (size_t i = 0; i < COUNT(settings); i++) check_setting(&settings[i], PER_TENSOR);
    check_setting(&settings[1], PER_UNIT_IN);
    check_setting(&settings[3], PER_WEIGHT);
}

/* Differences of whole runs along each kind: slower, and the only thing here that does not come
 * from the rules. The step is where the fourth-order formula is best in double. */
TEST(forward_mode_is_what_runs_show)
{
    const double h = 1e-3;
    toy t;

    CHECK_OK(test_ctx(), open_toy(&t, &settings[3], PER_TENSOR, true));
    const int64_t n = t.s->total;
    double *d = calloc((size_t)n, sizeof *d), *x = calloc((size_t)n, sizeof *x);
    for (int k = 0; k < HYPER_KIND_COUNT; k++) {
        double value, slope, f[4];
        if (!space_has(t.s, (hyper_kind)k)) continue;
        for (int64_t i = 0; i < n; i++)
            d[i] = space_slice_of(t.s, i)->kind == (hyper_kind)k ? t.values[i] : 0;
        for (int p = 0; p < 4; p++) {
            for (int64_t i = 0; i < n; i++) x[i] = t.values[i] + h * (p < 2 ? p - 2 : p - 1) * d[i];
            f[p] = toy_value(&t, x);
        }
        CHECK_OK(t.ctx, walker_directional(t.w, t.values, d, 42, &t.valid, &value, &slope));
        const double want = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
        CHECK_NEAR(value, toy_value(&t, t.values), 1e-14);
        if (!(fabs(slope - want) <= 1e-7 * fabs(want)))
            test_fail(__FILE__, __LINE__, "%s: forward %.12g, difference %.12g",
                      hyper_kind_of((hyper_kind)k)->word, slope, want);
    }
    free(d);
    free(x);
    toy_close(&t);
}
