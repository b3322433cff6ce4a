/* (H + damping) q = v for a symmetric H that is known by its products alone, for the implicit
 * estimator. Vectors are doubles of n elements; those outside `place` are 0 in all of them.
 * Ownership: solve_new gives, solve_free takes. Threads: one solve, one thread at a time. */
#ifndef SOLVE_H
#define SOLVE_H
#include "hyper/walk.h"

/* y = H x. */
typedef drmad_status solve_product_fn(void *user, const double *x, double *y);

typedef struct solve_spec {
    solver_kind kind;
    int64_t n;            /* of a vector */
    const int64_t *place; /* [unknowns]: where they lie in it; borrowed */
    int64_t unknowns;
    int64_t terms; /* products at most; Nystrom: columns, at most `unknowns` */
    double damping;
    double tolerance; /* CG: ends when |r| / |v| is below it */
    double scale;     /* Neumann */
    uint64_t seed;    /* Nystrom: which columns */
    solve_product_fn *product;
    void *user;
} solve_spec;

typedef struct solve_report {
    double residual; /* |(H + damping) q - v| / |v| */
    int64_t products;
    bool negative; /* CG: stopped at a direction of negative curvature */
} solve_report;

typedef struct solve solve;

drmad_status solve_new(drmad_ctx *ctx, const solve_spec *spec, solve **out);
void solve_free(solve *s); /* NULL is fine */
/* v and q: [n], not the same memory. DRMAD_E_DIVERGED: no q is near a solution. */
drmad_status solve_run(solve *s, const double *v, double *q, solve_report *r);
size_t solve_bytes(const solve_spec *spec);
#endif
