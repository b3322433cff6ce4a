/* Small dense algebra in double precision over LAPACK, and a minimiser over NLopt: for models with
 * up to a few thousand rows, on one thread.
 *
 * Both libraries are loaded when first asked for, as SQLite is: a binary serves machines with and
 * without them, and a training run does not pay for them. Matrices are row-major, `ld` doubles from
 * row to row; of a triangular or symmetric one the lower triangle is read and written.
 *
 * Bits: the same call on the same library gives the same bits, whatever was called before.
 * Ownership: open gives, close takes.
 * Threads: one linalg, one thread at a time. The first linalg_open of a process sets and restores
 * environment variables around the loading. */
#ifndef LINALG_H
#define LINALG_H
#include "base/base.h"

typedef struct linalg linalg;

/* DRMAD_E_MISSING: not there; the message names the Debian package. */
drmad_status linalg_open(drmad_ctx *ctx, linalg **out);
void linalg_close(linalg *l); /* NULL is fine */

/* a = L L', L into a's lower triangle. false: not positive definite; a is then spoilt. */
bool linalg_cholesky(const linalg *l, int32_t n, double *a, int32_t ld);
/* One more row and column of the matrix: L[0..n) is the factor so far, row n of `factor` holds the
 * new row of the matrix (n + 1 entries), which becomes the factor's. O(n^2). Its bits are those of
 * this call alone: the same whether the rows before it came one by one or from linalg_cholesky, as
 * long as those are the same. false: not positive definite; the row is then spoilt. */
bool linalg_cholesky_append(const linalg *l, int32_t n, double *factor, int32_t ld);
/* m right sides at once, b is n x m with row stride ldb: L x = b, and L' x = b. In place. */
void linalg_solve_lower(const linalg *l, int32_t n, const double *factor, int32_t ld, int32_t m,
                        double *b, int32_t ldb);
void linalg_solve_upper(const linalg *l, int32_t n, const double *factor, int32_t ld, int32_t m,
                        double *b, int32_t ldb);
/* Both in turn for one right side: (L L') x = b. */
void linalg_solve(const linalg *l, int32_t n, const double *factor, int32_t ld, double *b);
/* (L L')^-1, lower triangle, in place of the factor. */
void linalg_inverse(const linalg *l, int32_t n, double *factor, int32_t ld);
/* c (n x m) = a (n x k) b (k x m). */
void linalg_multiply(const linalg *l, int32_t n, int32_t m, int32_t k, const double *a, int32_t lda,
                     const double *b, int32_t ldb, double *c, int32_t ldc);
/* Symmetric a = V diag(values) V', values rising, V's columns in a. DRMAD_E_NOMEM;
 * DRMAD_E_INTERNAL: no convergence, as with entries that are not finite. */
drmad_status linalg_eigen(const linalg *l, int32_t n, double *a, int32_t ld, double *values);

/* f(x) with its gradient; where the value is not finite the minimiser steps back. */
typedef double linalg_fn(void *user, int32_t n, const double *x, double *gradient);

typedef struct linalg_task {
    int32_t n;                   /* at least 1 */
    const double *lower, *upper; /* lower <= x <= upper, equal ones allowed; NULL: no bounds */
    int32_t evaluations;         /* about so many: one more at times */
    double tolerance;            /* ends when a step changes f by less than this, relatively */
    linalg_fn *fn;
    void *user;
} linalg_task;

/* L-BFGS from x (first moved within the bounds), which becomes the best point seen; *value: f
 * there, +inf when no value was finite. DRMAD_E_NOMEM. */
drmad_status linalg_minimise(const linalg *l, const linalg_task *t, double *x, double *value);
#endif
