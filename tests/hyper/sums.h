/* A model for an oracle: a loss in closed form, l_i = log cosh(<a_i, w> - b_i), whose steps also
 * leave a running statistic r behind that F reads; and runs over it with every kind of
 * hyperparameter. */
#ifndef SUMS_H
#define SUMS_H
#include "hyper/walk.h"
#include "test.h"

enum { ROWS = 18, TRAIN = 12, SIZE = 6, BATCH = 4, STEPS = 15 };
#define DECAY 0.8 /* of the running statistic */

typedef struct sums {
    drmad_ctx *ctx;
    double a[ROWS][SIZE], b[ROWS];
    double r, r_cot, r_tan; /* the statistic, its cotangent, its tangent */
    int64_t moved;          /* the last step that moved r */
    int32_t fail_at;        /* the gradient of that step fails; -1: none */
    int32_t where[SIZE];    /* of weight i in the flat vector */
    int64_t total;
} sums;

typedef struct bench {
    sums q;
    oracle o;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    examples valid;
    double *values, *grad, *raw;
} bench;

enum { EVERY_KIND = 7 };
extern const hyper_decl every_kind[EVERY_KIND];

typedef struct bench_way {
    const backend *on; /* NULL: host memory */
    int64_t steps;
    optim_spec optim;
    schedule_kind schedule;
    double l2; /* a constant of the graph */
} bench_way;

drmad_status open_bench(bench *b, drmad_ctx *ctx, const hyper_decl *decl, int32_t n,
                        const walk_spec *walk);
/* Of another length, by another optimiser, elsewhere. */
drmad_status open_bench_as(bench *b, drmad_ctx *ctx, const hyper_decl *decl, int32_t n,
                           const walk_spec *walk, const bench_way *way);
void close_bench(bench *b, drmad_ctx *ctx);
#endif
