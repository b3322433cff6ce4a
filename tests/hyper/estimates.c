/* See estimates.h. */
#include "estimates.h"

walk_spec estimate_by(const estimator_spec *e)
{
    return (walk_spec){.estimator = *e, .trajectory = TRAJ_AUTO, .stride = 1};
}

int32_t declare_seen(const toy *t, hyper_per per, int64_t phases, bool minimum, hyper_decl *out)
{
    hyper_decl all[TOY_DECLS_MAX];
    const int32_t n = toy_declare(t, per, phases, all);
    int32_t seen = 0;

    for (int32_t i = 0; i < n; i++) {
        const hyper_kind k = all[i].kind;
        if (k == HYPER_INIT_SCALE || k == HYPER_L1) continue;
        if (minimum && (k == HYPER_LR || k == HYPER_MOMENTUM)) continue;
        out[seen++] = all[i];
    }
    return seen;
}

void close_to(const toy *t, const double *got, const double *want, double share, const char *what)
{
    for (int32_t k = 0; k < t->s->n_slices; k++) {
        const hyper_slice *s = &t->s->slices[k];
        const int64_t end = s->offset + s->elements * s->phases;
        double largest = 0, worst = 0;

        for (int64_t i = s->offset; i < end; i++) {
            largest = fmax(largest, fabs(want[i]));
            worst = fmax(worst, fabs(got[i] - want[i]));
        }
        if (!(largest > 0) || !(worst <= share * largest))
            test_fail(__FILE__, __LINE__, "%s: %s: off by %g of %g", what, s->name, worst, largest);
    }
}

static int start_at_4(void *user, uint64_t seed, void *w)
{
    (void)user, (void)seed;
    *(double *)w = 4;
    return DRMAD_OK;
}

static int half_square(void *user, uint64_t seed, int64_t step, const void *w, const void *weights,
                       void *g, double *loss)
{
    const double x = *(const double *)w;

    (void)user, (void)seed, (void)step, (void)weights;
    *(double *)g = x;
    *loss = x * x / 2;
    return DRMAD_OK;
}

static int same_again(void *user, uint64_t seed, int64_t step, const void *w, const void *u,
                      const void *weights, int way, void *g, void *hu, void *rows)
{
    (void)user, (void)seed, (void)step, (void)weights, (void)way, (void)rows;
    *(double *)hu = *(const double *)u;
    if (g) *(double *)g = *(const double *)w;
    return DRMAD_OK;
}

static int away_from_2(void *user, int part, int64_t n, const void *w, const void *u, void *dw,
                       double *loss, double *error, double *slope)
{
    const double x = *(const double *)w - 2;

    (void)user, (void)part, (void)n, (void)error;
    *loss = x * x / 2;
    if (dw) *(double *)dw = x;
    if (u) *slope = x * *(const double *)u;
    return DRMAD_OK;
}

void one_weight_gradient(const walk_spec *walk, int64_t steps, bool rate, double out[2],
                         walk_report *r)
{
    const hyper_decl decl[] = {{.kind = HYPER_L2,
                                .phases = 1,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-3,
                                .high = 1,
                                .start = 0.25},
                               {.kind = HYPER_LR,
                                .phases = 1,
                                .transform = TRANSFORM_LOG,
                                .low = 1e-3,
                                .high = 1,
                                .start = 0.5}};
    oracle o = {start_at_4, half_square, same_again, away_from_2, NULL, NULL, false, NULL};
    const double values[] = {0.25, 0.5};
    const examples valid = {.count = 1, .part = 1};
    drmad_ctx *ctx = test_ctx();
    param_table *params;
    space *s;
    trainer *t;
    walker *w;

    CHECK_OK(ctx, params_new(ctx, &params));
    CHECK_OK(ctx, params_add(params, "w", SHAPE(1), PARAM_WEIGHT, 0));
    CHECK_OK(ctx, space_new(ctx, params, &(space_facts){.steps = steps, .examples = 1}, decl,
                            rate ? 2 : 1, &s));
    const train_spec spec = {.dtype = F64,
                             .init_scale = 1,
                             .oracle = &o,
                             .params = params,
                             .rate = {.rate = 0.5, .steps = steps},
                             .steps = steps,
                             .batch = 1,
                             .train = {.count = 1},
                             .space = s};
    CHECK_OK(ctx, trainer_new(ctx, &spec, &t));
    CHECK_OK(ctx, walker_new(ctx, t, walk, &w));
    CHECK_OK(ctx, walker_gradient(w, values, SEED, &valid, r, out));
    walker_free(w);
    trainer_free(t);
    space_free(s);
    params_free(params);
}
