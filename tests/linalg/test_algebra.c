/* Dense algebra against naive loops, for sizes on both sides of the library's blocks and rows
 * longer than the matrix. */
#include "base/rng.h"
#include "linalg/linalg_inside.h"
#include "test.h"
#include <float.h>

enum { LD = 131, MOST = 130, RIGHT = 7, LDB = 9 };
static const int32_t sizes[] = {1, 2, 3, 17, 64, 130};

static linalg *opened(void)
{
    linalg *l = NULL;
    drmad_ctx *ctx = test_ctx();

    CHECK_OK(ctx, linalg_open(ctx, &l));
    if (!l) exit(1);
    return l;
}

static double draw(uint64_t seed, int i)
{
    return 2 * rng_uniform((rng_key){.seed = seed}, (uint64_t)i) - 1;
}

/* n x n, symmetric with eigenvalues of at least 1, both triangles; NaN between its rows. */
static void definite(uint64_t seed, int32_t n, double *a)
{
    static double b[MOST * MOST];

    for (int i = 0; i < n * n; i++) b[i] = draw(seed, i);
    for (int i = 0; i < LD * MOST; i++) a[i] = NAN;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double s = i == j;

            for (int k = 0; k < n; k++) s += b[i * n + k] * b[j * n + k];
            a[i * LD + j] = s;
        }
}

/* The largest |a - L L'| of the lower triangle, relative to the largest entry. */
static double misfit(int32_t n, const double *a, const double *l)
{
    double worst = 0, most = 0;

    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double s = a[i * LD + j];

            for (int k = 0; k <= j; k++) s -= l[i * LD + k] * l[j * LD + k];
            worst = fmax(worst, fabs(s)), most = fmax(most, fabs(a[i * LD + j]));
        }
    return worst / most;
}

/* n^2 roundings at most meet in an entry; n eps is what is seen. */
static double few(int32_t n)
{
    return 10 * n * DBL_EPSILON;
}

TEST(cholesky_gives_back_its_matrix)
{
    static double a[LD * MOST], f[LD * MOST];
    linalg *l = opened();

    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int32_t n = sizes[s];

        definite(s, n, a);
        memcpy(f, a, sizeof f);
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++) f[i * LD + j] = NAN; /* must not be read */
        CHECK(linalg_cholesky(l, n, f, LD));
        CHECK_NEAR(misfit(n, a, f), 0, few(n));
        for (int i = 0; i < n; i++) CHECK(f[i * LD + i] > 0);
    }
    linalg_close(l);
}

TEST(appended_rows_are_the_whole_factor)
{
    static double a[LD * MOST], whole[LD * MOST], rows[LD * MOST], after[LD * MOST];
    linalg *l = opened();
    const int32_t n = MOST, half = 61;
    double worst = 0;

    definite(11, n, a);
    memcpy(whole, a, sizeof a), memcpy(rows, a, sizeof a), memcpy(after, a, sizeof a);
    CHECK(linalg_cholesky(l, n, whole, LD));
    for (int i = 0; i < n; i++) CHECK(linalg_cholesky_append(l, i, rows, LD));
    CHECK(linalg_cholesky(l, half, after, LD));
    for (int i = half; i < n; i++) CHECK(linalg_cholesky_append(l, i, after, LD));
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            const double w = whole[i * LD + j];

            worst = fmax(worst, fabs(w - rows[i * LD + j]));
            worst = fmax(worst, fabs(w - after[i * LD + j]));
        }
    CHECK_NEAR(worst, 0, 1e-12);
    linalg_close(l);
}

/* A row made alone, in other memory and at another alignment, has the bits of the row that was made
 * after all before it. */
TEST(bits_of_a_row_do_not_depend_on_how_the_others_came)
{
    static double a[LD * MOST], rows[LD * MOST], alone[LD * MOST + 1];
    linalg *l = opened();

    definite(12, MOST, a);
    memcpy(rows, a, sizeof a);
    for (int i = 0; i < MOST; i++) CHECK(linalg_cholesky_append(l, i, rows, LD));
    for (int i = 1; i < MOST; i += 16) {
        double *f = alone + (i & 1);

        memcpy(f, rows, sizeof rows);
        memcpy(f + i * LD, a + i * LD, (size_t)(i + 1) * sizeof *f);
        CHECK(linalg_cholesky_append(l, i, f, LD));
        CHECK(memcmp(f + i * LD, rows + i * LD, (size_t)(i + 1) * sizeof *f) == 0);
    }
    linalg_close(l);
}

/* Rank n - 1, an eigenvalue below 0, NaN and infinity. */
TEST(what_is_not_positive_definite_is_refused)
{
    static double a[LD * MOST];
    linalg *l = opened();
    double row[2 * 2] = {1, 0, 2, 4}; /* 4 - 2 2 = 0 */

    for (int bad = 0; bad < 4; bad++) {
        definite(5, 20, a);
        if (bad == 0)
            memcpy(a + 19 * LD, a + 18 * LD, 20 * sizeof *a),
                a[19 * LD + 19] = a[18 * LD + 18] - 1e-8;
        if (bad == 1) a[10 * LD + 10] = -1;
        if (bad == 2) a[10 * LD + 3] = NAN;
        if (bad == 3) a[19 * LD + 3] = INFINITY;
        CHECK(!linalg_cholesky(l, 20, a, LD));
    }
    CHECK(linalg_cholesky_append(l, 0, row, 2));
    CHECK(!linalg_cholesky_append(l, 1, row, 2));
    row[2] = NAN, row[3] = 1;
    CHECK(!linalg_cholesky_append(l, 1, row, 2));
    row[2] = 0, row[3] = INFINITY;
    CHECK(!linalg_cholesky_append(l, 1, row, 2));
    linalg_close(l);
}

/* |L x - b| or |L' x - b|, the largest of all right sides. */
static double residual(int32_t n, const double *f, const double *x, const double *b, int m, bool up)
{
    double worst = 0;

    for (int i = 0; i < n; i++)
        for (int c = 0; c < m; c++) {
            double s = b[i * LDB + c];

            for (int k = up ? i : 0; k <= (up ? n - 1 : i); k++)
                s -= (up ? f[k * LD + i] : f[i * LD + k]) * x[k * LDB + c];
            worst = fmax(worst, fabs(s));
        }
    return worst;
}

TEST(triangular_solves)
{
    static double f[LD * MOST], b[MOST * LDB], x[MOST * LDB];
    linalg *l = opened();

    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int32_t n = sizes[s];

        definite(20 + s, n, f);
        CHECK(linalg_cholesky(l, n, f, LD));
        for (int m = 1; m <= RIGHT; m += RIGHT - 1)
            for (int up = 0; up < 2; up++) {
                for (int i = 0; i < n * LDB; i++) b[i] = x[i] = draw(30, i);
                if (up) linalg_solve_upper(l, n, f, LD, m, x, LDB);
                else linalg_solve_lower(l, n, f, LD, m, x, LDB);
                CHECK_NEAR(residual(n, f, x, b, m, up), 0, few(n) * 10);
                for (int i = 0; i < n; i++) CHECK(x[i * LDB + m] == b[i * LDB + m]);
            }
    }
    linalg_close(l);
}

TEST(solve_and_inverse_undo_the_matrix)
{
    static double a[LD * MOST], f[LD * MOST];
    double x[MOST];
    linalg *l = opened();
    const int32_t n = MOST;

    definite(40, n, a);
    memcpy(f, a, sizeof f);
    CHECK(linalg_cholesky(l, n, f, LD));
    for (int i = 0; i < n; i++) x[i] = draw(41, i);
    linalg_solve(l, n, f, LD, x);
    for (int i = 0; i < n; i++) {
        double s = -draw(41, i);

        for (int k = 0; k < n; k++) s += a[i * LD + k] * x[k];
        CHECK_NEAR(s, 0, 1e-11); /* condition 1e3, |a| about 50 */
    }
    linalg_inverse(l, n, f, LD);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double s = -(i == j);

            for (int k = 0; k < n; k++) s += a[i * LD + k] * f[k > j ? k * LD + j : j * LD + k];
            CHECK_NEAR(s, 0, 1e-11);
        }
    linalg_close(l);
}

TEST(products)
{
    enum { N = 5, M = 6, K = 37, LDA = 40, LDC = 8 };
    double a[N * LDA], b[K * LDB], c[N * LDC];
    linalg *l = opened();

    for (int i = 0; i < N * LDA; i++) a[i] = draw(50, i);
    for (int i = 0; i < K * LDB; i++) b[i] = draw(51, i);
    for (int i = 0; i < N * LDC; i++) c[i] = NAN; /* what was there must not matter */
    linalg_multiply(l, N, M, K, a, LDA, b, LDB, c, LDC);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            double s = 0;

            for (int k = 0; k < K; k++) s += a[i * LDA + k] * b[k * LDB + j];
            CHECK_NEAR(c[i * LDC + j], s, 1e-14);
        }
    CHECK(isnan(c[M]));
    linalg_close(l);
}

TEST(eigenvectors_are_orthonormal_columns)
{
    static double a[LD * MOST], v[LD * MOST];
    double w[MOST];
    linalg *l = opened();

    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int32_t n = sizes[s];

        definite(60 + s, n, a);
        memcpy(v, a, sizeof v);
        CHECK_OK(l->ctx, linalg_eigen(l, n, v, LD, w));
        for (int j = 0; j < n; j++) {
            CHECK(j == 0 || w[j] >= w[j - 1]);
            for (int i = 0; i < n; i++) {
                double av = -w[j] * v[i * LD + j], dot = -(i == j);

                for (int k = 0; k < n; k++) av += a[i * LD + k] * v[k * LD + j];
                for (int k = 0; k < n; k++) dot += v[k * LD + i] * v[k * LD + j];
                CHECK_NEAR(av, 0, few(n) * w[n - 1]);
                CHECK_NEAR(dot, 0, few(n));
            }
        }
    }
    definite(60, 8, v);
    v[3 * LD + 1] = NAN;
    CHECK_FAILS(l->ctx, linalg_eigen(l, 8, v, LD, w), DRMAD_E_INTERNAL, "8 x 8");
    linalg_close(l);
}

/* Everything once more, in other memory, after other calls: the same bits. */
TEST(bits_of_a_call_do_not_depend_on_what_was_called_before)
{
    static double a[LD * MOST], f[2][LD * MOST], b[2][MOST * LDB], c[2][LDB * MOST];
    double w[2][MOST];
    linalg *l = opened();
    const int32_t n = MOST;

    definite(70, n, a);
    for (int k = 0; k < 2; k++) {
        memcpy(f[k], a, sizeof a);
        CHECK(linalg_cholesky(l, n, f[k], LD));
        for (int i = 0; i < n * LDB; i++) b[k][i] = draw(71, i);
        linalg_solve_lower(l, n, f[k], LD, RIGHT, b[k], LDB);
        linalg_solve_upper(l, n, f[k], LD, RIGHT, b[k], LDB);
        memset(c[k], 0, sizeof c[k]);
        linalg_multiply(l, n, RIGHT, n, a, LD, b[k], LDB, c[k], LDB);
        linalg_inverse(l, n, f[k], LD);
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++) f[k][i * LD + j] = 0;
        CHECK_OK(l->ctx, linalg_eigen(l, n, f[k], LD, w[k]));
    }
    CHECK(memcmp(f[0], f[1], sizeof a) == 0 && memcmp(b[0], b[1], sizeof b[0]) == 0);
    CHECK(memcmp(c[0], c[1], sizeof c[0]) == 0 && memcmp(w[0], w[1], sizeof w[0]) == 0);
    linalg_close(l);
}
