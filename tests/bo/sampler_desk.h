/* A study that a sampler runs in memory, for the tests: workers that finish out of order, notes
 * kept as a store would. */
#ifndef SAMPLER_DESK_H
#define SAMPLER_DESK_H
#include "bo/sampler.h"

enum { DESK_TRIALS = 200, DESK_PARAMS = 16 };

typedef double desk_fn(const double *x);

typedef struct sampler_desk {
    drmad_ctx *ctx;
    search *space;
    sampler *s;
    sampler_options options;
    int32_t n;
    observation rows[DESK_TRIALS];
    double x[DESK_TRIALS][DESK_PARAMS];
    char *notes[DESK_TRIALS];
} sampler_desk;

/* The space from a study's `parameters` and `search` sections. */
void sampler_desk_open(sampler_desk *d, const char *yaml, uint64_t seed);
void sampler_desk_open_kind(sampler_desk *d, sampler_kind kind, const char *yaml, uint64_t seed);
void sampler_desk_close(sampler_desk *d);
/* Asks for trial n, which then waits; its index. */
int32_t sampler_desk_ask(sampler_desk *d);
void sampler_desk_tell(sampler_desk *d, int32_t i, observed state, double value);
/* Asks and tells `trials` times; gives the least value. */
double sampler_desk_run(sampler_desk *d, desk_fn *f, int32_t trials);

/* Two numbers; a bit of everything: conditions, rules, grids, choices, a prior, a fixed value. */
extern const char desk_flat[], desk_mixed[];
desk_fn desk_branin, desk_tangled; /* to be minimised there; Branin's less its least value */

/* ---- what holds of every sampler ---- */

/* Mean over seeds of the best of `trials`. */
double desk_mean_best(sampler_kind kind, const char *space, desk_fn *f, int trials);
/* Values of desk_mixed that are given stay. */
void desk_check_given(sampler_kind kind);
/* Four workers that finish in an order of their own, on a desk just opened; each suggestion is
 * checked against one by a sampler that has seen nothing before, which `prepare` (NULL: nothing)
 * sets up first. */
void desk_check_workers(sampler_desk *d, desk_fn *f, int trials, void (*prepare)(sampler *s));
/* One suggestion by a new sampler, for test_oom; `desk` is a sampler_desk. */
drmad_status sampler_desk_suggest_once(drmad_ctx *ctx, void *desk);
#endif
