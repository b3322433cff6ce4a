/* The algebra over LAPACK, which keeps matrices by columns: our lower triangle L by rows is its
 * upper triangle U = L' by columns, and so L L' = U'U. */
#include "linalg/linalg_inside.h"
#include <math.h>

static const int32_t one_step = 1;
static const double one = 1, zero = 0;

bool linalg_cholesky(const linalg *l, int32_t n, double *a, int32_t ld)
{
    int32_t info;

    l->lapack.dpotrf_("U", &n, a, &ld, &info, 1);
    return info == 0 && isfinite(a[(size_t)(n - 1) * (size_t)ld + (size_t)(n - 1)]);
}

bool linalg_cholesky_append(const linalg *l, int32_t n, double *factor, int32_t ld)
{
    double *row = factor + (size_t)n * (size_t)ld;
    double rest = row[n];

    if (n > 0) l->lapack.dtrsv_("U", "T", "N", &n, factor, &ld, row, &one_step, 1, 1, 1);
    for (int32_t i = 0; i < n; i++) rest -= row[i] * row[i];
    if (!(rest > 0 && isfinite(rest))) return false;
    row[n] = sqrt(rest);
    return true;
}

/* One right side is solved as a vector where it lies as one: no blocks are packed for it. */
static void solve(const linalg *l, const char *trans_vector, const char *trans_matrix,
                  const int32_t *n, const double *factor, const int32_t *ld, const int32_t *m,
                  double *b, const int32_t *ldb)
{
    if (*m == 1) l->lapack.dtrsv_("U", trans_vector, "N", n, factor, ld, b, ldb, 1, 1, 1);
    else l->lapack.dtrsm_("R", "U", trans_matrix, "N", m, n, &one, factor, ld, b, ldb, 1, 1, 1, 1);
}

void linalg_solve_lower(const linalg *l, int32_t n, const double *factor, int32_t ld, int32_t m,
                        double *b, int32_t ldb)
{
    solve(l, "T", "N", &n, factor, &ld, &m, b, &ldb);
}

void linalg_solve_upper(const linalg *l, int32_t n, const double *factor, int32_t ld, int32_t m,
                        double *b, int32_t ldb)
{
    solve(l, "N", "T", &n, factor, &ld, &m, b, &ldb);
}

void linalg_solve(const linalg *l, int32_t n, const double *factor, int32_t ld, double *b)
{
    linalg_solve_lower(l, n, factor, ld, 1, b, 1);
    linalg_solve_upper(l, n, factor, ld, 1, b, 1);
}

void linalg_inverse(const linalg *l, int32_t n, double *factor, int32_t ld)
{
    int32_t info; /* > 0 for a zero on the diagonal, which no factor has */

    l->lapack.dpotri_("U", &n, factor, &ld, &info, 1);
}

void linalg_multiply(const linalg *l, int32_t n, int32_t m, int32_t k, const double *a, int32_t lda,
                     const double *b, int32_t ldb, double *c, int32_t ldc)
{
    l->lapack.dgemm_("N", "N", &m, &n, &k, &one, b, &ldb, a, &lda, &zero, c, &ldc, 1, 1);
}

static void transpose(int32_t n, double *a, int32_t ld)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < i; j++) {
            double *low = a + (size_t)i * (size_t)ld + (size_t)j;
            double *high = a + (size_t)j * (size_t)ld + (size_t)i;
            const double t = *low;

            *low = *high, *high = t;
        }
}

drmad_status linalg_eigen(const linalg *l, int32_t n, double *a, int32_t ld, double *values)
{
    const int32_t ask = -1;
    int32_t info, whole = 0, *iwork = NULL;
    double reals = 0, *work = NULL;
    drmad_status st = DRMAD_OK;

    l->lapack.dsyevd_("V", "U", &n, a, &ld, values, &reals, &ask, &whole, &ask, &info, 1, 1);
    const int32_t lwork = (int32_t)reals, liwork = whole;
    TRY(mem_alloc(l->ctx, (size_t)lwork, sizeof *work, &work));
    TRY(mem_alloc(l->ctx, (size_t)liwork, sizeof *iwork, &iwork));
    l->lapack.dsyevd_("V", "U", &n, a, &ld, values, work, &lwork, iwork, &liwork, &info, 1, 1);
    if (info != 0 || !isfinite(values[0]) || !isfinite(values[n - 1]))
        TRY(FAIL(l->ctx, DRMAD_E_INTERNAL, "eigenvalues of a %d x %d matrix: no convergence",
                 (int)n, (int)n));
    transpose(n, a, ld); /* vectors are LAPACK's columns, our rows */
done:
    mem_free(l->ctx, iwork);
    mem_free(l->ctx, work);
    return st;
}
