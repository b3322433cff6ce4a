/* The multiply-adds of the plans that run, against the floors of docs/MATH.md: W all weights, W'
 * all but the first layer's. */
#include "toy.h"

enum { ROWS = 128, DEPTH_MAX = 5 };

typedef struct shape_of {
    int32_t layers;
    int64_t sizes[DEPTH_MAX], batch;
} shape_of;

static const shape_of nets[] = {
    {4, {784, 50, 50, 50, 10}, 50},
    {3, {784, 800, 800, 10}, 128},
};

static void check_optimiser(const shape_of *n, bool path_only, const optim_spec *o, bool momentum,
                            int64_t want_all)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1, .path_only = path_only};
    hyper_decl decls[] = {
        {.kind = HYPER_L2, .per = PER_UNIT_IN, .low = 1e-6, .high = 1, .start = 1e-3, .phases = 1},
        {.kind = HYPER_LR, .per = PER_LAYER, .low = 1e-6, .high = 1, .start = 0.1, .phases = 5},
        {.kind = HYPER_MOMENTUM, .low = 1e-6, .high = 1, .start = 0.9, .phases = 1},
    };
    float *rows = calloc((size_t)(ROWS * n->sizes[0]), sizeof *rows);
    int32_t index[ROWS];
    int64_t all = 0, rest = 0;
    toy t;

    toy_init(&t, test_ctx());
    for (int32_t i = 0; i < ROWS; i++) index[i] = i % TOY_CLASSES;
    t.spec.dtype = F32;
    t.spec.optim = *o;
    t.layers = n->layers;
    memcpy(t.sizes, n->sizes, sizeof n->sizes);
    t.spec.batch = n->batch;
    t.spec.train = (examples){.rows = rows,
                              .type = F32,
                              .n = ROWS,
                              .width = n->sizes[0],
                              .scale = 1,
                              .list = index,
                              .labels = index,
                              .count = ROWS};
    for (int32_t l = 0; l < n->layers; l++) {
        all += n->sizes[l] * n->sizes[l + 1];
        rest += l > 0 ? n->sizes[l] * n->sizes[l + 1] : 0;
    }
    const drmad_status st = toy_open(&t, decls, momentum ? 3 : 2, &walk);
    CHECK_OK(t.ctx, st);
    if (st == DRMAD_OK) {
        CHECK_INT(trainer_step_macs(t.t), n->batch * (2 * all + rest));
        CHECK_INT(walker_step_macs(t.w), n->batch * (want_all * all + 5 * rest));
    }
    toy_close(&t);
    free(rows);
}

static void check_cost(const shape_of *n, bool path_only, bool momentum, int64_t want_all)
{
    check_optimiser(n, path_only, &(const optim_spec){.buffer = true}, momentum, want_all);
}

TEST(steps_cost_what_they_must)
{
    for (size_t i = 0; i < COUNT(nets); i++) {
        check_cost(&nets[i], false, false, 3);
        check_cost(&nets[i], false, true, 3);
        check_cost(&nets[i], true, false, 3);
    }
}

/* Momentum on a path needs the weight gradient itself. */
TEST(momentum_on_a_path_costs_the_gradient)
{
    for (size_t i = 0; i < COUNT(nets); i++) check_cost(&nets[i], true, true, 4);
}

/* Adam's gradient is read from the averages where they are kept; on a grid, and behind clipping by
 * norm, it is formed. */
TEST(adam_costs_the_gradient_only_on_a_path)
{
    const optim_spec adam = {.kind = OPTIM_ADAM, .decoupled = true};
    const optim_spec clipped = {.kind = OPTIM_ADAM, .clip = CLIP_NORM};

    for (size_t i = 0; i < COUNT(nets); i++) {
        check_optimiser(&nets[i], false, &adam, false, 3);
        check_optimiser(&nets[i], true, &adam, false, 4);
        check_optimiser(&nets[i], false, &clipped, false, 4);
    }
}
