/* A study that a sampler runs in memory, for the tests: workers that finish out of order, notes
 * kept as a store would. */
#ifndef GP_DESK_H
#define GP_DESK_H
#include "bo/sampler.h"

enum { DESK_TRIALS = 200, DESK_PARAMS = 16 };

typedef double desk_fn(const double *x);

typedef struct gp_desk {
    drmad_ctx *ctx;
    search *space;
    sampler *s;
    sampler_options options;
    int32_t n;
    observation rows[DESK_TRIALS];
    double x[DESK_TRIALS][DESK_PARAMS];
    char *notes[DESK_TRIALS];
} gp_desk;

/* The space from a study's `parameters` and `search` sections. */
void gp_desk_open(gp_desk *d, const char *yaml, uint64_t seed);
void gp_desk_open_kind(gp_desk *d, sampler_kind kind, const char *yaml, uint64_t seed);
void gp_desk_close(gp_desk *d);
/* Asks for trial n, which then waits; its index. */
int32_t gp_desk_ask(gp_desk *d);
void gp_desk_tell(gp_desk *d, int32_t i, observed state, double value);
/* Asks and tells `trials` times; gives the least value. */
double gp_desk_run(gp_desk *d, desk_fn *f, int32_t trials);
#endif
