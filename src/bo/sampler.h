/* Samplers: where the next trial looks. A suggestion is a pure function of (study seed, trial
 * number), so trials may be drawn in any order, by any number of workers. Random and scrambled
 * Sobol points look at nothing else.
 *
 * Threads: pure functions. */
#ifndef SAMPLER_H
#define SAMPLER_H
#include "base/base.h"

/* u in [0, 1)^n for trial `number`; `attempt` counts points refused by a rule. Coordinate i depends
 * on (seed, number, attempt, i) alone. n <= 65536. */
void sample_random(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u);

enum { SOBOL_DIMS = 64 }; /* coordinates beyond are random */
/* Point `number` of an Owen-scrambled Sobol sequence: the first 2^k points have, in every
 * coordinate, one in each of 2^k equal intervals. An attempt after the first gives a random
 * point. */
void sample_sobol(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u);
#endif
