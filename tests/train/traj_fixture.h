/* A toy training run for trajectories: a noisy walk of (w, b), each step a pure function of the
 * state before. */
#ifndef TRAJ_FIXTURE_H
#define TRAJ_FIXTURE_H
#include "base/rng.h"
#include "test.h"
#include "train/traj_spill.h"
#include "train/trajectory.h"

typedef struct fixture {
    drmad_ctx *ctx;
    param_table *params; /* two layers of weight and bias; biases start at zero */
    traj_spec spec;      /* kind not set */
    char *all;           /* every state, one after the other */
    void *state[2];      /* w and b of the state that fixture_at chose */
    uint8_t masks[13];   /* of that step */
} fixture;

void fixture_make(fixture *f, dtype d, int64_t steps, int32_t vectors);
/* The first layer has `rows` rows of 31 weights instead of 21. */
void fixture_make_wide(fixture *f, dtype d, int64_t steps, int32_t vectors, int64_t rows);
void fixture_free(fixture *f);
void fixture_at(fixture *f, int64_t t);
void fixture_forward(fixture *f, trajectory *tr); /* traj_begin and all traj_record */
void *fixture_vector(const fixture *f, int64_t t, int32_t vector); /* 0 = w, 1 = b */
double fixture_read(const fixture *f, const void *w, int64_t i);
void fixture_write(const fixture *f, void *w, int64_t i, double x);
double fixture_value(const fixture *f, int64_t t, int64_t i);                  /* w_t[i] */
bool fixture_same(const fixture *f, const void *v, int64_t t, int32_t vector); /* bit for bit */

drmad_status fixture_step(void *f, int64_t t, void *const from[], void *const to[]);
#endif
