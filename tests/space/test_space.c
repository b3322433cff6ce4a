/* The space: what reaches what, the two scales, names, ties. */
#include "base/rng.h"
#include "space/space.h"
#include "test.h"

/* Two layers of a perceptron and a norm: 3 -> 4 -> 2. Declarations in any order. */
static drmad_status make_params(drmad_ctx *ctx, param_table **out)
{
    drmad_status st = DRMAD_OK;

    TRY(params_new(ctx, out));
    TRY(params_add(*out, "layers.0.weight", SHAPE(4, 3), PARAM_WEIGHT, 0));
    TRY(params_add(*out, "layers.0.bias", SHAPE(4), PARAM_BIAS, 0));
    TRY(params_add(*out, "layers.1.weight", SHAPE(2, 4), PARAM_WEIGHT, 1));
    TRY(params_add(*out, "layers.1.bias", SHAPE(2), PARAM_BIAS, 1));
    TRY(params_add(*out, "layers.1.norm", SHAPE(2), PARAM_NORM, 1));
    TRY(params_add_site(*out, "drop", HYPER_DROPOUT));
    TRY(params_add_site(*out, "head", HYPER_AUXILIARY));
    TRY(params_add_site(*out, "drop2", HYPER_DROPOUT));
done:
    return st;
}

static const space_facts facts = {.steps = 7, .examples = 5, .classes = 2, .inputs = 3};

/* A declaration with the kind's own defaults. */
static hyper_decl decl(hyper_kind kind, hyper_per per, int64_t phases)
{
    const hyper_kind_info *k = hyper_kind_of(kind);

    return (hyper_decl){.kind = kind,
                        .per = per,
                        .phases = phases,
                        .transform = k->transform,
                        .low = k->low,
                        .high = k->high,
                        .start = k->start};
}

static param_table *params_of(drmad_ctx *ctx)
{
    param_table *p = NULL;

    CHECK_OK(ctx, make_params(ctx, &p));
    return p;
}

static space *space_of(drmad_ctx *ctx, const param_table *p, const hyper_decl *d, int32_t n)
{
    space *s = NULL;

    CHECK_OK(ctx, space_new(ctx, p, &facts, d, n, &s));
    return s;
}

static void fill(double *x, int64_t n, uint32_t site)
{
    for (int64_t i = 0; i < n; i++) x[i] = rng_normal((rng_key){7, 0, site}, (uint64_t)i);
}

/* Independent of space_phase: which phase a step belongs to by the definition. */
static int64_t phase_by_search(int64_t steps, int64_t phases, int64_t t)
{
    for (int64_t k = 0; k < phases; k++)
        if (k * steps / phases <= t && t < (k + 1) * steps / phases) return k;
    return -1;
}

/* <fetch(v), c> = <v, scatter(c)> over all steps and uses; scatter adds; and each value is reached
 * as often as its phase is long. Rows of a batch repeat some examples and leave others out. */
static void check_adjoint(space *s, dtype type)
{
    static const int32_t batch[] = {1, 0, 1};
    double v[512], g[512], c[64], buf[64], lhs = 0, rhs = 0, before = 0.25;
    float cf[64], bf[64];

    CHECK(s->total <= (int64_t)COUNT(v));
    fill(v, s->total, 1);
    for (int64_t i = 0; i < s->total; i++) g[i] = before;
    for (int32_t j = 0; j < s->n_uses; j++) {
        const hyper_use *u = &s->uses[j];
        bool by_row = u->shape.rank == 1 && u->tensor < 0 && u->shape.dim[0] > 1;

        for (int64_t t = 0; t < s->facts.steps; t++) {
            hyper_at at = {t, 0.5 + (double)t, type, by_row ? batch : NULL, COUNT(batch)};
            int64_t n = by_row ? at.n_rows : shape_count(&u->shape);

            fill(c, n, (uint32_t)(100 * j + t));
            for (int64_t i = 0; i < n; i++) cf[i] = (float)c[i];
            space_fetch(s, u, &at, v, type == F64 ? (void *)buf : (void *)bf);
            space_scatter(s, u, &at, type == F64 ? (void *)c : (void *)cf, g);
            for (int64_t i = 0; i < n; i++)
                lhs += type == F64 ? buf[i] * c[i] : (double)bf[i] * (double)cf[i];
        }
    }
    for (int64_t i = 0; i < s->total; i++) rhs += v[i] * (g[i] - before);
    CHECK(lhs != 0);
    /* f64: rounding of ~300 terms; f32: fetch rounds each term to 2^-24 */
    CHECK_NEAR(lhs, rhs, (type == F64 ? 1e-13 : 1e-6) * 1e3);
}

TEST(scatter_is_the_transpose_of_fetch_for_every_kind_granularity_and_time)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    static const int64_t times[] = {1, 3, 0};
    int made = 0;

    for (int k = 0; k < HYPER_KIND_COUNT; k++)
        for (int per = 0; per < HYPER_PER_COUNT; per++)
            for (size_t i = 0; i < COUNT(times) * 2; i++) {
                hyper_decl d = decl((hyper_kind)k, (hyper_per)per, times[i / 2]);
                space *s = NULL;

                d.multiplier = i % 2;
                if (space_new(ctx, p, &facts, &d, 1, &s) != DRMAD_OK) continue;
                made++;
                check_adjoint(s, F64);
                check_adjoint(s, F32);
                space_free(s);
            }
    /* 6 kinds x 6 granularities x 3 times x 2, betas without multipliers, init scales 6, smoothing,
     * generalised cross-entropy and clipping 6 each, flips 3 x 6, inputs 2, examples and the
     * teacher's share 3 x 3, its temperature 3, loss 2 x 3, the schedule's 3, regression 3 x 3 x 2,
     * dropout and auxiliary heads 2 x 3, variations of the inputs 5 x 6 */
    CHECK_INT(made, 6 * 6 * 3 * 2 + 2 * 6 * 3 + 6 + 3 * 6 + 3 * 6 + 2 + 2 * 9 + 3 + 6 + 3 + 18 +
                        2 * 6 + 5 * 6);
    params_free(p);
}

TEST(fetch_gives_the_value_of_the_right_group_and_phase)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl d[] = {decl(HYPER_L2, PER_UNIT_IN, 3), decl(HYPER_LR, PER_LAYER, 0)};
    double v[64], out[8];

    d[1].multiplier = true;
    space *s = space_of(ctx, p, d, 2);
    CHECK_INT(s->total, 3 * (3 + 4) + 7 * 2);
    for (int64_t i = 0; i < s->total; i++) v[i] = (double)i;
    const hyper_use *u = space_find(s, HYPER_L2, 2);

    CHECK_INT(u->shape.dim[0], 1);
    CHECK_INT(u->shape.dim[1], 4);
    for (int64_t t = 0; t < 7; t++) {
        CHECK_INT(space_phase(s, u, t), phase_by_search(7, 3, t));
        space_fetch(s, u, &(hyper_at){.t = t, .base = 99, .type = F64}, v, out);
        CHECK_NEAR(out[2], (double)(9 + 4 * phase_by_search(7, 3, t) + 2), 0); /* after layer 0 */
        space_fetch(s, space_find(s, HYPER_LR, 4), &(hyper_at){.t = t, .base = 2, .type = F64}, v,
                    out);
        CHECK_NEAR(out[0], 2 * (double)(21 + 7 + t),
                   0); /* after l2 and layer 0; the norm is of layer 1 */
    }
    CHECK(space_find(s, HYPER_L2, 1) == NULL); /* biases have no penalty unless named */
    CHECK(space_find(s, HYPER_MOMENTUM, 0) == NULL);
    CHECK(space_has(s, HYPER_LR) && !space_has(s, HYPER_L1));
    space_free(s);
    params_free(p);
}

TEST(phases_share_the_steps_out_as_the_definition_says)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);

    for (int64_t steps = 1; steps <= 23; steps++)
        for (int64_t k = 1; k <= steps; k++) {
            space_facts f = {.steps = steps};
            hyper_decl d = decl(HYPER_LR, PER_GLOBAL, k);
            space *s = NULL;

            CHECK_OK(ctx, space_new(ctx, p, &f, &d, 1, &s));
            for (int64_t t = 0; t < steps; t++)
                CHECK_INT(space_phase(s, s->uses, t), phase_by_search(steps, k, t));
            space_free(s);
        }
    params_free(p);
}

TEST(transforms_have_the_slopes_that_differences_show)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl d[] = {decl(HYPER_L2, PER_TENSOR, 1), decl(HYPER_MOMENTUM, PER_TENSOR, 1),
                      decl(HYPER_INPUT_SCALE, PER_UNIT_IN, 1)};
    double raw[32], up[32], down[32], one[32], slope[32], back[32], h = 1e-5;

    d[2].transform = TRANSFORM_IDENTITY, d[2].low = -10, d[2].high = 10, d[2].start = -1;
    d[1].low = -0.0, d[1].high = 0.75, d[1].start = 0.5;
    space *s = space_of(ctx, p, d, 3);
    fill(raw, s->total, 3);
    for (int i = 0; i < 2; i++) raw[i] -= 6; /* penalties of size e-6 */
    for (int64_t i = 0; i < s->total; i++) one[i] = 1 + (double)i;
    space_chain(s, raw, one, slope);
    for (int64_t i = 0; i < s->total; i++) up[i] = raw[i] + h, down[i] = raw[i] - h;
    space_values(s, up, up);
    space_values(s, down, down);
    for (int64_t i = 0; i < s->total; i++) /* truncation h^2/6, rounding 1e-16/h */
        CHECK_NEAR(slope[i], one[i] * (up[i] - down[i]) / (2 * h), 1e-9 * one[i]);
    space_values(s, raw, up);
    space_raw(s, up, back);
    for (int64_t i = 0; i < s->total; i++) CHECK_NEAR(back[i], raw[i], 1e-12);
    space_start(s, raw);
    space_values(s, raw, up);
    CHECK_NEAR(up[0], 1e-4, 1e-18);
    CHECK_NEAR(up[2], 0.5, 1e-15);
    CHECK_NEAR(up[7], -1, 0);
    space_free(s);
    params_free(p);
}

/* The average over the phases of one element, as space.h defines it. */
static double smoothed(const hyper_slice *sl, const double *g, int64_t phase, int64_t element)
{
    double sum = 0, weights = 0;

    for (int64_t j = 0; j < sl->phases; j++) {
        const double weight = exp(-fabs((double)(phase - j)) / sl->smooth);

        sum += weight * g[sl->offset + j * sl->elements + element];
        weights += weight;
    }
    return sum / weights;
}

TEST(a_smooth_slice_gets_the_average_around_each_phase_and_others_are_copied)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    const double wide[] = {.3, 1, 4.5, 1e6};
    double g[256], out[256];

    for (size_t k = 0; k < COUNT(wide); k++) {
        hyper_decl d[] = {decl(HYPER_LR, PER_UNIT_OUT, 7), decl(HYPER_L2, PER_TENSOR, 5),
                          decl(HYPER_MOMENTUM, PER_GLOBAL, 1)};
        d[0].smooth = d[2].smooth = wide[k];
        space *s = space_of(ctx, p, d, 3);
        CHECK(s->total <= 256);
        fill(g, s->total, 5);
        space_smooth(s, g, out);
        for (int32_t i = 0; i < s->n_slices; i++) {
            const hyper_slice *sl = &s->slices[i];

            for (int64_t r = 0; r < sl->phases; r++)
                for (int64_t e = 0; e < sl->elements; e++) {
                    const int64_t at = sl->offset + r * sl->elements + e;
                    if (sl->smooth > 0) CHECK_NEAR(out[at], smoothed(sl, g, r, e), 1e-9);
                    else CHECK_NEAR(out[at], g[at], 0);
                }
        }
        space_free(s);
    }
    params_free(p);
}

TEST(values_never_leave_their_bounds)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl d[] = {decl(HYPER_LR, PER_GLOBAL, 1), decl(HYPER_MOMENTUM, PER_GLOBAL, 1),
                      decl(HYPER_LOSS_WEIGHT, PER_GLOBAL, 1)};
    double raw[3], v[3];

    d[0].high = INFINITY;
    d[2].transform = TRANSFORM_IDENTITY;
    space *s = space_of(ctx, p, d, 3);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < 3; i++) raw[i] = sign * 1e300;
        space_clamp(s, raw);
        space_values(s, raw, v);
        for (int i = 0; i < 3; i++) {
            CHECK(isfinite(raw[i]) && isfinite(v[i]));
            CHECK(v[i] >= d[i].low && v[i] <= d[i].high);
        }
        CHECK(v[1] < 1); /* momentum 1 never decays */
        space_raw(s, v, raw);
        for (int i = 0; i < 3; i++) CHECK(isfinite(raw[i]));
    }
    raw[0] = NAN;
    space_clamp(s, raw);
    space_values(s, raw, v);
    CHECK(isnan(v[0])); /* a fault of the caller must not be hidden */
    space_free(s);
    params_free(p);
}

TEST(a_search_draws_evenly_on_the_scale_of_the_transform)
{
    hyper_slice log_slice = {.transform = TRANSFORM_LOG, .low = 1e-4, .high = 1e2};
    hyper_slice plain = {.transform = TRANSFORM_IDENTITY, .low = -1, .high = 3};
    hyper_slice logit = {.transform = TRANSFORM_LOGIT, .low = 0, .high = 1};

    CHECK_NEAR(space_spread(&log_slice, 0), 1e-4, 0);
    CHECK_NEAR(space_spread(&log_slice, 0.5), 0.1, 1e-15);
    CHECK_NEAR(space_spread(&log_slice, 1), 100, 1e-12);
    CHECK_NEAR(space_spread(&plain, 0.25), 0, 0);
    CHECK_NEAR(space_spread(&logit, 0.25), 0.25, 0);
}

static void check_name(space *s, int64_t i, const char *want)
{
    char buf[128];

    CHECK_STR(space_element_name(s, i, buf, sizeof buf), want);
}

TEST(elements_have_names_that_say_what_they_reach)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl d[] = {decl(HYPER_L2, PER_UNIT_IN, 1),
                      decl(HYPER_LR, PER_LAYER, 3),
                      decl(HYPER_MOMENTUM, PER_GLOBAL, 0),
                      decl(HYPER_L1, PER_WEIGHT, 1),
                      decl(HYPER_EXAMPLE_WEIGHT, PER_EXAMPLE, 1),
                      decl(HYPER_LOSS_WEIGHT, PER_CLASS, 2),
                      decl(HYPER_INPUT_SCALE, PER_UNIT_IN, 1),
                      decl(HYPER_INIT_SCALE, PER_LAYER, 1),
                      decl(HYPER_LABEL_SMOOTHING, PER_GLOBAL, 1)};
    char tiny[6];

    d[7].match = "no,*.w*,*.[n]*";
    space *s = space_of(ctx, p, d, COUNT(d));
    check_name(s, 3 + 2, "l2/layers.1.weight/in[2]");
    check_name(s, 7 + 2, "lr/layers.0/phase2");
    check_name(s, 13 + 4, "momentum/step4");
    check_name(s, 20 + 12 + 7, "l1/layers.1.weight/[1,3]");
    check_name(s, 40 + 4, "example_weight/example[4]");
    check_name(s, 45 + 3, "loss_weight/class[1]/phase1");
    check_name(s, 49 + 1, "input_scale/in[1]");
    check_name(s, 52, "init_scale/layers.0.weight");
    check_name(s, 53, "init_scale/layers.1.{weight,norm}");
    check_name(s, 54, "label_smoothing");
    CHECK_INT(s->total, 55);
    CHECK_STR(space_element_name(s, 0, tiny, sizeof tiny), "l2/la");
    space_free(s);
    params_free(p);
}

TEST(kinds_about_layers_have_a_value_for_all_or_for_each)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl d[] = {decl(HYPER_DROPOUT, PER_LAYER, 2), decl(HYPER_AUXILIARY, PER_GLOBAL, 1)};
    space *s = space_of(ctx, p, d, 2);

    CHECK_INT(s->n_slices, 3);
    check_name(s, 1, "dropout/drop/phase1");
    check_name(s, 2, "dropout/drop2/phase0");
    check_name(s, 4, "auxiliary");
    CHECK_INT(space_find(s, HYPER_DROPOUT, 0)->slice, 0);
    CHECK_INT(space_find(s, HYPER_DROPOUT, 2)->slice, 1);
    CHECK(!space_find(s, HYPER_DROPOUT, 1) && !space_find(s, HYPER_AUXILIARY, 0));
    CHECK_STR(space_place(s, HYPER_AUXILIARY, 1), "head");
    space_free(s);
    d[0].per = PER_GLOBAL;
    s = space_of(ctx, p, d, 2);
    CHECK_INT(s->n_slices, 2);
    CHECK_INT(space_find(s, HYPER_DROPOUT, 2)->slice, 0);
    space_free(s);
    d[0].match = "*2";
    s = space_of(ctx, p, d, 2);
    CHECK(!space_find(s, HYPER_DROPOUT, 0) && space_find(s, HYPER_DROPOUT, 2));
    CHECK_STR(s->slices[0].name, "dropout/*2");
    space_free(s);
    params_free(p);
}

TEST(names_are_unique_and_every_element_lies_in_its_slice)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    char(*names)[96] = calloc(1024, sizeof *names);

    for (int per = PER_GLOBAL; per <= PER_WEIGHT; per++) {
        hyper_decl d[] = {decl(HYPER_LR, (hyper_per)per, 3), decl(HYPER_LR, (hyper_per)per, 0),
                          decl(HYPER_L2, (hyper_per)per, 1), decl(HYPER_L2, PER_UNIT_OUT, 1)};
        d[0].match = "*.weight", d[1].match = "*[!t]",
        d[1].per = per == PER_UNIT_IN ? PER_WEIGHT : d[1].per, d[3].match = "*.bias";
        space *s = space_of(ctx, p, d, COUNT(d));

        for (int64_t i = 0; s && i < s->total; i++) {
            const hyper_slice *sl = space_slice_of(s, i);

            CHECK(sl->offset <= i && i < sl->offset + sl->elements * sl->phases);
            space_element_name(s, i, names[i], sizeof *names);
            for (int64_t j = 0; j < i; j++)
                if (strcmp(names[i], names[j]) == 0)
                    test_fail(__FILE__, __LINE__, "%s twice", names[i]);
        }
        space_free(s);
    }
    free(names);
    params_free(p);
}

TEST(groups_that_cannot_be_told_apart_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = NULL;
    hyper_decl d = decl(HYPER_LR, PER_LAYER, 1);
    space *s = NULL;

    CHECK_OK(ctx, params_new(ctx, &p));
    for (int32_t i = 0; i < 4; i++)
        CHECK_OK(ctx, params_add(p, i % 2 ? "net.a" : "net.b", SHAPE(1), PARAM_WEIGHT, i / 2));
    CHECK_FAILS(ctx, space_new(ctx, p, &facts, &d, 1, &s), DRMAD_E_MODEL, "\"lr/net\"");
    CHECK(s == NULL);
    params_free(p);
}

/* Loosening keeps what every step of every tensor sees, bit for bit. */
static void check_loosened(drmad_ctx *ctx, const param_table *p, const hyper_decl *d, int32_t n,
                           int64_t from, int64_t to)
{
    space_facts f0 = facts, f1 = facts;
    space *a = NULL, *b = NULL;
    double ra[512], rb[512];

    f0.meta_step = from, f1.meta_step = to;
    CHECK_OK(ctx, space_new(ctx, p, &f0, d, n, &a));
    CHECK_OK(ctx, space_new(ctx, p, &f1, d, n, &b));
    CHECK(a->total < b->total);
    fill(ra, a->total, 9);
    for (int64_t i = 0; i < b->total; i++) rb[i] = NAN;
    CHECK_OK(ctx, space_loosen(a, ra, b, rb));
    for (int64_t i = 0; i < b->total; i++) CHECK(!isnan(rb[i]));
    for (int32_t j = 0; j < b->n_uses; j++) {
        const hyper_use *ub = &b->uses[j], *ua = space_find(a, ub->kind, ub->tensor);
        const hyper_slice *sa = &a->slices[ua->slice], *sb = &b->slices[ub->slice];

        for (int64_t t = 0; t < facts.steps; t++)
            for (int64_t e = 0; e < sb->elements; e++) {
                /* one row or column index shared: the cases below tie per unit-in, layer or global
                 */
                int64_t ea = sa->elements == 1 ? 0 : e % sa->elements;
                double fine = rb[sb->offset + space_phase(b, ub, t) * sb->elements + e];

                CHECK(fine == ra[sa->offset + space_phase(a, ua, t) * sa->elements + ea]);
            }
    }
    space_free(a);
    space_free(b);
}

TEST(loosening_a_tie_keeps_every_value)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    static const hyper_tie ties[] = {{PER_GLOBAL, 2}, {PER_LAYER, 4}, {PER_UNIT_IN, 9}};
    static const hyper_tie example[] = {{PER_GLOBAL, 3}};
    hyper_decl d[] = {decl(HYPER_LR, PER_WEIGHT, 3), decl(HYPER_EXAMPLE_WEIGHT, PER_EXAMPLE, 1),
                      decl(HYPER_INPUT_SCALE, PER_UNIT_IN, 1), decl(HYPER_DROPOUT, PER_LAYER, 2)};

    d[0].ties = ties, d[0].n_ties = 3;
    for (int i = 1; i < 4; i++) d[i].ties = example, d[i].n_ties = 1;
    CHECK_INT(space_next_change(d, 4, 0), 2);
    CHECK_INT(space_next_change(d, 4, 2), 3);
    CHECK_INT(space_next_change(d, 4, 3), 4);
    CHECK_INT(space_next_change(d, 4, 9), -1);
    CHECK_INT(space_per_at(&d[0], 1), PER_GLOBAL);
    CHECK_INT(space_per_at(&d[0], 2), PER_LAYER);
    CHECK_INT(space_per_at(&d[0], 9), PER_WEIGHT);
    check_loosened(ctx, p, d, 4, 0, 2);
    check_loosened(ctx, p, d, 4, 2, 4);
    check_loosened(ctx, p, d, 4, 0, 9);
    check_loosened(ctx, p, d, 1, 4, 9);
    params_free(p);
}

TEST(loosening_refuses_spaces_that_do_not_refine_each_other)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = params_of(ctx);
    hyper_decl in = decl(HYPER_LR, PER_UNIT_IN, 1), out = decl(HYPER_LR, PER_UNIT_OUT, 1);
    hyper_decl l2 = decl(HYPER_L2, PER_UNIT_IN, 1);
    space *a = space_of(ctx, p, &in, 1), *b = space_of(ctx, p, &out, 1),
          *c = space_of(ctx, p, &l2, 1);
    double ra[64] = {0}, rb[64];

    CHECK_FAILS(ctx, space_loosen(a, ra, b, rb), DRMAD_E_CONFIG, "lr/layers.0.weight");
    CHECK_FAILS(ctx, space_loosen(a, ra, c, rb), DRMAD_E_CONFIG, "l2/layers.0.weight");
    space_free(a), space_free(b), space_free(c);
    params_free(p);
}

TEST(shapes_beyond_matrices_split_along_their_first_two_dimensions)
{
    drmad_ctx *ctx = test_ctx();
    param_table *p = NULL;
    hyper_decl d = decl(HYPER_L2, PER_UNIT_IN, 1);
    double v[8], out[8];

    CHECK_OK(ctx, params_new(ctx, &p));
    CHECK_OK(ctx, params_add(p, "conv.weight", SHAPE(6, 5, 3, 3), PARAM_WEIGHT, 0));
    space *s = space_of(ctx, p, &d, 1);
    CHECK(shape_same(&s->uses[0].shape, &SHAPE(1, 5, 1, 1)));
    fill(v, 5, 1);
    space_fetch(s, s->uses, &(hyper_at){.type = F64}, v, out);
    CHECK(memcmp(v, out, 5 * sizeof *v) == 0);
    check_name(s, 4, "l2/conv.weight/in[4]");
    space_free(s);
    params_free(p);
}

static drmad_status torture(drmad_ctx *ctx, void *arg)
{
    static const hyper_tie ties[] = {{PER_GLOBAL, 1}};
    hyper_decl d[] = {decl(HYPER_LR, PER_LAYER, 3), decl(HYPER_L2, PER_UNIT_IN, 1),
                      decl(HYPER_EXAMPLE_WEIGHT, PER_EXAMPLE, 1)};
    drmad_status st = DRMAD_OK;
    param_table *p = NULL;
    space *s = NULL;

    (void)arg;
    d[1].ties = ties, d[1].n_ties = 1;
    TRY(make_params(ctx, &p));
    TRY(space_new(ctx, p, &facts, d, COUNT(d), &s));
done:
    space_free(s);
    params_free(p);
    return st;
}

TEST(running_out_of_memory_leaves_nothing_behind)
{
    test_oom(torture, NULL);
}
