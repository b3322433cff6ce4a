/* The functions of LAPACK, BLAS and NLopt that this room calls: for its files and tests alone.
 *
 * The types are ours, for only the libraries are needed, not their headers. A Fortran procedure
 * takes each argument by address and, after all of them, the length of each CHARACTER one, which
 * gfortran passes as size_t. */
#ifndef LINALG_INSIDE_H
#define LINALG_INSIDE_H
#include "base/shared_library.h"
#include "linalg/linalg.h"

typedef void f_potrf(const char *uplo, const int32_t *n, double *a, const int32_t *lda,
                     int32_t *info, size_t);
typedef void f_syevd(const char *jobz, const char *uplo, const int32_t *n, double *a,
                     const int32_t *lda, double *w, double *work, const int32_t *lwork,
                     int32_t *iwork, const int32_t *liwork, int32_t *info, size_t, size_t);
typedef void f_trsv(const char *uplo, const char *trans, const char *diag, const int32_t *n,
                    const double *a, const int32_t *lda, double *x, const int32_t *incx, size_t,
                    size_t, size_t);
typedef void f_trsm(const char *side, const char *uplo, const char *trans, const char *diag,
                    const int32_t *m, const int32_t *n, const double *alpha, const double *a,
                    const int32_t *lda, double *b, const int32_t *ldb, size_t, size_t, size_t,
                    size_t);
typedef void f_gemm(const char *transa, const char *transb, const int32_t *m, const int32_t *n,
                    const int32_t *k, const double *alpha, const double *a, const int32_t *lda,
                    const double *b, const int32_t *ldb, const double *beta, double *c,
                    const int32_t *ldc, size_t, size_t);

typedef struct lapack {
    f_potrf *dpotrf_, *dpotri_;
    f_syevd *dsyevd_;
    f_trsv *dtrsv_;
    f_trsm *dtrsm_;
    f_gemm *dgemm_;
} lapack;

typedef struct nlopt_problem nlopt_problem; /* NLopt's own */
typedef double nlopt_fn(unsigned n, const double *x, double *gradient, void *user);

typedef struct nlopt {
    int (*nlopt_algorithm_from_string)(const char *name); /* numbers differ between versions */
    nlopt_problem *(*nlopt_create)(int algorithm, unsigned n);
    void (*nlopt_destroy)(nlopt_problem *);
    int (*nlopt_set_min_objective)(nlopt_problem *, nlopt_fn *fn, void *user);
    int (*nlopt_set_lower_bounds)(nlopt_problem *, const double *);
    int (*nlopt_set_upper_bounds)(nlopt_problem *, const double *);
    int (*nlopt_set_maxeval)(nlopt_problem *, int);
    int (*nlopt_set_ftol_rel)(nlopt_problem *, double);
    int (*nlopt_optimize)(nlopt_problem *, double *x, double *value);
} nlopt;

struct linalg {
    drmad_ctx *ctx;
    lapack lapack;
    nlopt nlopt;
};
#endif
