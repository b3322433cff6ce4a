/* A graph with seeded data behind its leaves, run by plan and program, and the comparison with
 * the naive evaluator. */
#ifndef RUN_FIXTURE_H
#define RUN_FIXTURE_H
#include "base/rng.h"
#include "eval.h"
#include "exec/backend.h"
#include "test.h"

enum { RX_LEAVES = 64, RX_OUTS = 32 };

typedef struct rx {
    drmad_ctx *ctx;
    graph *g;
    dtype type;
    uint64_t seed, drawn;
    void *data[RX_LEAVES]; /* by leaf number */
    plan_target target;    /* changed by tests; the CPU's at first */
    bool bf16;             /* random graphs: values that pass through it */
} rx;

void rx_open(rx *x, dtype t, uint64_t seed);
void rx_close(rx *x);
double rx_draw(rx *x, double lo, double hi);
int64_t rx_below(rx *x, int64_t n);
node rx_leaf(rx *x, shape s); /* uniform in [-1, 1) */
node rx_index(rx *x, int64_t n, int64_t below);
node rx_bytes(rx *x, shape s); /* u8 */

/* Runs the plan of `out` with `threads`; y[i]: the outputs' bytes, to free(). In place: aliased
 * outputs are bound to a copy of their leaf's memory. Fails the test and gives false when
 * something fails. */
bool rx_run(rx *x, int n, const plan_output *out, int threads, bool in_place, void **y);
size_t rx_out_bytes(const rx *x, const plan_output *o);

/* The evaluator's values, and how far from them outputs may be: of the largest of each. `how` they
 * were computed, for messages. */
typedef struct rx_wanted {
    double *const *want;
    double tol;
    const char *how;
} rx_wanted;

void rx_evaluate(rx *x, int n, const plan_output *out, double **want); /* want[i]: to free() */
void rx_compare(rx *x, const plan_output *o, int i, const void *y, const rx_wanted *w);
/* The above in all variants against the evaluator: fused and not, small and large tiles, 1, 2
 * and 5 threads (equal bit for bit), in place and not. tol: of the largest value of each output. */
void rx_check(rx *x, int n, const plan_output *out, double tol);
void rx_check_one(rx *x, node y, double tol);
#endif
