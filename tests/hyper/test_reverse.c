/* Hypergradients of whole runs in F64, slice by slice, against central differences and forward
 * mode. */
#include "toy.h"

typedef struct setting {
    const char *name;
    optim_spec optim;
    double momentum, weight_decay, dampening;
    schedule_kind schedule;
    int64_t warmup;
    bool goes_on; /* from weights and a buffer that another run left */
} setting;

static const setting settings[] = {
    {"plain SGD", {.buffer = false}, 0, 0, 0, SCHEDULE_CONSTANT, 0, false},
    {"momentum", {.buffer = true}, 0.7, 0, 0, SCHEDULE_CONSTANT, 0, false},
    {"dampening", {.buffer = true, .dampening = 0.3}, 0.7, 0.01, 0, SCHEDULE_CONSTANT, 0, false},
    {"nesterov", {.buffer = true, .nesterov = true}, 0.7, 0.01, 0, SCHEDULE_COSINE, 5, false},
    {"decoupled", {.buffer = true, .decoupled = true}, 0.7, 0.02, 0, SCHEDULE_CONSTANT, 0, false},
    {"decoupled, plain",
     {.buffer = false, .decoupled = true},
     0,
     0.02,
     0,
     SCHEDULE_LINEAR,
     0,
     false},
    {"maclaurin", {.form = FORM_MACLAURIN, .buffer = true}, 0.7, 0, 0, SCHEDULE_CONSTANT, 0, false},
    {"going on", {.buffer = true, .dampening = 0.3}, 0.7, 0, 0, SCHEDULE_CONSTANT, 0, true},
    {"nesterov, going on",
     {.buffer = true, .nesterov = true},
     0.7,
     0.01,
     0,
     SCHEDULE_COSINE,
     5,
     true},
    {"maclaurin, going on",
     {.form = FORM_MACLAURIN, .buffer = true},
     0.7,
     0,
     0,
     SCHEDULE_CONSTANT,
     0,
     true},
};

enum { TOY_FLAT = 256 }; /* more than the toy's flat buffer */

/* Weights and a buffer as large as gradients of the toy are: .1 to 1. */
static void go_on(toy *t)
{
    static double start[TOY_FLAT], buffer[TOY_FLAT];
    param_table *p;

    CHECK_OK(t->ctx, params_new(t->ctx, &p));
    CHECK_OK(t->ctx, nn_mlp(t->ctx, t->sizes, t->layers, t->activation, &t->net));
    CHECK_OK(t->ctx, nn_params(t->net, p));
    CHECK(p->total <= TOY_FLAT);
    for (int32_t i = 0; i < p->n; i++)
        for (int64_t e = 0; e < p->at[i].count; e++) {
            const rng_key key = {8, (uint32_t)i, 2};
            start[p->at[i].offset + e] = 0.4 * rng_normal(key, (uint64_t)(2 * e));
            buffer[p->at[i].offset + e] = 0.3 * rng_normal(key, (uint64_t)(2 * e + 1));
        }
    params_free(p);
    t->spec.start = start;
    t->spec.buffers = buffer;
    t->spec.done = 9;
}

static void use_setting(toy *t, const setting *s)
{
    if (s->goes_on) go_on(t);
    t->spec.optim = s->optim;
    t->spec.momentum = s->momentum;
    t->spec.weight_decay = s->weight_decay;
    t->spec.rate.kind = s->schedule;
    t->spec.rate.final = 0.1;
    t->spec.rate.warmup = s->warmup;
    if (s->optim.form == FORM_MACLAURIN) t->spec.rate.rate = 0.8;
}

static void check_all(const setting *set, hyper_per per, int64_t phases)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    use_setting(&t, set);
    const drmad_status st = toy_open(&t, decls, toy_declare(&t, per, phases, decls), &walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        CHECK_NEAR(r.value.loss, toy_value(&t, t.values), 1e-14); /* two plans, one formula */
        toy_check_slices(&t, set->name);
    }
    toy_close(&t);
}

static void check_granularity(hyper_per per)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        check_all(&settings[i], per, 1);
        check_all(&settings[i], per, 3);
    }
    check_all(&settings[1], per, 0);
    check_all(&settings[3], per, 0);
}

TEST(hypergradients_per_global_equal_differences)
{
    check_granularity(PER_GLOBAL);
}
TEST(hypergradients_per_layer_equal_differences)
{
    check_granularity(PER_LAYER);
}
TEST(hypergradients_per_tensor_equal_differences)
{
    check_granularity(PER_TENSOR);
}
TEST(hypergradients_per_unit_in_equal_differences)
{
    check_granularity(PER_UNIT_IN);
}
TEST(hypergradients_per_unit_out_equal_differences)
{
    check_granularity(PER_UNIT_OUT);
}
TEST(hypergradients_per_weight_equal_differences)
{
    check_granularity(PER_WEIGHT);
}

/* The read-outs of a trajectory that keeps w alone (displacement, transposed momentum sum) are
 * identities on the exact path; what is lost is the rounding of w - w', a few digits. */
static void check_path(const setting *set, int64_t phases)
{
    walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    double *exact = NULL, largest = 0, worst = 0;

    for (int k = 0; k < 2; k++) {
        hyper_decl decls[TOY_DECLS_MAX];
        walk_report r;
        toy t;

        toy_init(&t, test_ctx());
        use_setting(&t, set);
        walk.path_only = k == 1;
        CHECK_OK(t.ctx, toy_open(&t, decls, toy_declare(&t, PER_TENSOR, phases, decls), &walk));
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
        if (k == 0) {
            exact = calloc((size_t)t.s->total, sizeof *exact);
            memcpy(exact, t.grad, (size_t)t.s->total * sizeof *exact);
        }
        for (int64_t i = 0; i < t.s->total; i++) {
            largest = fmax(largest, fabs(exact[i]));
            worst = fmax(worst, fabs(t.grad[i] - exact[i]));
        }
        toy_close(&t);
    }
    if (!(worst <= 1e-11 * largest))
        test_fail(__FILE__, __LINE__, "%s, %lld phases: off by %g of %g", set->name,
                  (long long)phases, worst, largest);
    free(exact);
}

TEST(read_outs_without_the_buffer_equal_those_with_it)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        check_path(&settings[i], 1);
        check_path(&settings[i], 3);
    }
}
