#include "paper.h"

enum { ROWS = 200, WIDTH = 784 };

static const hyper_decl penalty_and_rate[] = {{.kind = HYPER_L2,
                                               .per = PER_UNIT_IN,
                                               .phases = 1,
                                               .transform = TRANSFORM_LOG,
                                               .low = 1e-8,
                                               .high = 1,
                                               .start = 1e-4},
                                              {.kind = HYPER_LR,
                                               .per = PER_TENSOR,
                                               .phases = 1,
                                               .transform = TRANSFORM_LOG,
                                               .low = 1e-4,
                                               .high = 1,
                                               .start = 0.1}};

void paper_open(toy *t, const backend *on, int64_t steps, int64_t batch)
{
    static unsigned char rows[ROWS * WIDTH];
    static int32_t labels[ROWS], list[ROWS];
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};

    for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = (unsigned char)(i * 7 % 251);
    for (int i = 0; i < ROWS; i++) labels[i] = i % 10, list[i] = i;
    toy_init(t, test_ctx());
    t->layers = 4;
    memcpy(t->sizes, (const int64_t[]){WIDTH, 50, 50, 50, 10}, 5 * sizeof(int64_t));
    t->spec.dtype = F32;
    t->spec.train = (examples){.rows = rows,
                               .type = U8,
                               .n = ROWS,
                               .width = WIDTH,
                               .scale = 1.0 / 255,
                               .list = list,
                               .labels = labels,
                               .count = ROWS};
    t->valid = t->spec.train;
    t->spec.steps = t->spec.rate.steps = steps;
    t->spec.batch = batch;
    t->spec.on = on;
    CHECK_OK(t->ctx, toy_open(t, penalty_and_rate, COUNT(penalty_and_rate), &walk));
}
