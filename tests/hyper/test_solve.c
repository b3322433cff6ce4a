/* The solvers of the implicit estimator on matrices that are written down. */
#include "hyper/solve.h"
#include "test.h"

enum { N = 9, UNKNOWNS = 7 };

/* Symmetric, with gaps at places 3 and 8; eigenvalues about `low` to `low` + 4. */
typedef struct matrix {
    double a[N][N];
    int64_t products;
} matrix;

static const int64_t spot[UNKNOWNS] = {0, 1, 2, 4, 5, 6, 7};

static matrix make(double low)
{
    matrix m = {.products = 0};
    double b[UNKNOWNS][UNKNOWNS];

    for (int i = 0; i < UNKNOWNS; i++)
        for (int j = 0; j < UNKNOWNS; j++)
            b[i][j] = rng_normal((rng_key){4, 0, 1}, (uint64_t)(i * UNKNOWNS + j)) / 4;
    for (int i = 0; i < UNKNOWNS; i++)
        for (int j = 0; j < UNKNOWNS; j++) {
            double x = i == j ? low : 0;
            for (int k = 0; k < UNKNOWNS; k++) x += b[k][i] * b[k][j];
            m.a[spot[i]][spot[j]] = x;
        }
    return m;
}

static drmad_status product(void *user, const double *x, double *y)
{
    matrix *m = user;

    m->products++;
    for (int i = 0; i < N; i++) {
        y[i] = 0;
        for (int j = 0; j < N; j++) y[i] += m->a[i][j] * x[j];
    }
    return DRMAD_OK;
}

static const double v[N] = {1, -2, 0.5, 0, 3, 1, -1, 0.25, 0};

/* q of `spec`, and its largest error as a solution of (A + damping) q = v. */
static double solved(const solve_spec *usual, matrix *m, solve_report *r, double q[N])
{
    drmad_ctx *ctx = test_ctx();
    solve_spec spec = *usual;
    double worst = 0, y[N];
    solve *s;

    spec.n = N, spec.place = spot, spec.unknowns = UNKNOWNS;
    spec.product = product, spec.user = m;
    CHECK_OK(ctx, solve_new(ctx, &spec, &s));
    CHECK_OK(ctx, solve_run(s, v, q, r));
    CHECK_INT(r->products, m->products);
    solve_free(s);
    product(m, q, y);
    for (int i = 0; i < N; i++) worst = fmax(worst, fabs(y[i] + spec.damping * q[i] - v[i]));
    return worst;
}

TEST(cg_solves_in_as_many_steps_as_unknowns)
{
    matrix m = make(0.1);
    solve_report r;
    double q[N];

    /* condition about 40: rounding grows by that */
    CHECK(solved(&(solve_spec){.terms = UNKNOWNS, .damping = 0.3}, &m, &r, q) < 1e-12);
    CHECK(r.residual < 1e-12 && !r.negative);
    CHECK_INT(r.products, UNKNOWNS + 1);
    CHECK(q[3] == 0 && q[8] == 0);
}

TEST(cg_ends_at_its_tolerance)
{
    matrix m = make(2); /* well conditioned: each step gains much */
    solve_report r;
    double q[N];

    CHECK(solved(&(solve_spec){.terms = 100, .tolerance = 1e-2}, &m, &r, q) < 4e-2); /* |v| = 4 */
    CHECK(r.residual < 1e-2 && r.residual > 1e-9);
    CHECK(r.products < UNKNOWNS);
}

TEST(the_residual_is_that_of_the_answer)
{
    matrix m = make(0.1);
    solve_report r;
    double q[N], y[N], sum = 0, norm = 0;

    solved(&(solve_spec){.terms = 2}, &m, &r, q);
    product(&m, q, y);
    for (int i = 0; i < N; i++) sum += (y[i] - v[i]) * (y[i] - v[i]), norm += v[i] * v[i];
    CHECK_NEAR(r.residual, sqrt(sum / norm), 1e-14);
    CHECK(r.residual > 0.01);
}

TEST(neumann_converges_with_its_terms)
{
    const solve_spec spec = {.kind = SOLVER_NEUMANN, .damping = 0.2, .scale = 0.3};
    double before = HUGE_VAL, q[N];
    solve_report r;

    for (int64_t terms = 4; terms <= 1024; terms *= 4) {
        matrix m = make(0.3);
        solve_spec more = spec;
        more.terms = terms;
        const double now = solved(&more, &m, &r, q);
        CHECK(now < 0.8 * before || now < 1e-12);
        CHECK_INT(r.products, terms); /* the last one gives the residual */
        before = now;
    }
    CHECK(before < 1e-12);
}

TEST(neumann_that_diverges_is_no_answer)
{
    drmad_ctx *ctx = test_ctx();
    matrix m = make(2);
    const solve_spec spec = {.kind = SOLVER_NEUMANN,
                             .scale = 1.5,
                             .terms = 20,
                             .n = N,
                             .place = spot,
                             .unknowns = UNKNOWNS,
                             .product = product,
                             .user = &m};
    solve_report r;
    double q[N];
    solve *s;

    CHECK_OK(ctx, solve_new(ctx, &spec, &s));
    CHECK_FAILS(ctx, solve_run(s, v, q, &r), DRMAD_E_DIVERGED, "lower estimator.scale");
    CHECK(r.residual > 1);
    solve_free(s);
}

TEST(nystrom_of_full_rank_is_the_inverse)
{
    const solve_spec spec = {.kind = SOLVER_NYSTROM, .damping = 0.2, .seed = 3};
    double before = HUGE_VAL, q[N];
    solve_report r;

    for (int64_t rank = 1; rank <= UNKNOWNS; rank += 3) {
        matrix m = make(0.05);
        solve_spec more = spec;
        more.terms = rank;
        const double now = solved(&more, &m, &r, q);
        CHECK(now < before);
        CHECK_INT(r.products, rank + 1);
        before = now;
    }
    CHECK(before < 1e-11); /* v/d and C y/d^2 nearly cancel: largest eigenvalue over d, about 20 */
    matrix m = make(0.05);
    solve_spec more = spec;
    more.terms = 100; /* no more columns than there are */
    CHECK(solved(&more, &m, &r, q) < 1e-11);
    CHECK_INT(r.products, UNKNOWNS + 1);
}

TEST(cg_stops_at_negative_curvature)
{
    drmad_ctx *ctx = test_ctx();
    matrix m = make(-1); /* some eigenvalues below 0 */
    solve_spec spec = {
        .terms = 20, .n = N, .place = spot, .unknowns = UNKNOWNS, .product = product, .user = &m};
    solve_report r;
    double q[N];
    solve *s;

    CHECK_OK(ctx, solve_new(ctx, &spec, &s));
    const drmad_status st = solve_run(s, v, q, &r);
    CHECK(st == DRMAD_OK || st == DRMAD_E_DIVERGED);
    CHECK(r.negative);
    solve_free(s);

    for (int i = 0; i < N; i++) /* negative from the first direction on */
        for (int j = 0; j < N; j++) m.a[i][j] = i == j ? -1 : 0;
    CHECK_OK(ctx, solve_new(ctx, &spec, &s));
    CHECK_FAILS(ctx, solve_run(s, v, q, &r), DRMAD_E_DIVERGED, "raise estimator.damping");
    solve_free(s);
}

static drmad_status open_and_solve(drmad_ctx *ctx, void *arg)
{
    matrix m = make(1);
    const solve_spec spec = {.kind = SOLVER_NYSTROM,
                             .terms = 3,
                             .damping = 1,
                             .n = N,
                             .place = spot,
                             .unknowns = UNKNOWNS,
                             .product = product,
                             .user = &m};
    drmad_status st = DRMAD_OK;
    solve_report r;
    double q[N];
    solve *s;

    (void)arg;
    TRY(solve_new(ctx, &spec, &s));
    TRY(solve_run(s, v, q, &r));
done:
    solve_free(s);
    return st;
}

TEST(solvers_run_out_of_memory_cleanly)
{
    test_oom(open_and_solve, NULL);
}
