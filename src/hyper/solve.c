/* Three ways to solve (H + d) q = v by products, d the damping:
 *
 *   CG       Hestenes and Stiefel, J. Res. NBS 49, 1952. Stops at p'(H + d) p <= 0, where its
 *            quadratic has no minimum.
 *   Neumann  q = a sum over j < terms of (I - a (H + d))^j v: Lorraine, Vicol, Duvenaud,
 *            "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020,
 *            Algorithm 3, a the learning rate. Converges where a (H + d) lies within (0, 2).
 *   Nystrom  H is taken for C M^-1 C', C some columns of it and M their rows, and inverted with the
 *            damping by Woodbury's identity,
 *            q = v/d - C (M + C'C/d)^-1 C'v / d^2: Hataya and Yamada, "Nystrom Method for Accurate
 *            and Scalable Implicit Differentiation", AISTATS 2023, eq. 6. The columns are drawn
 *            without repetition.
 *
 * Checked: tests/hyper/test_solve.c. */
#include "hyper/solve.h"
#include "linalg/linalg.h"
#include <math.h>
#include <string.h>

struct solve {
    drmad_ctx *ctx;
    solve_spec spec;
    int64_t products;
    double *r, *p, *y; /* [n] */
    double *column;    /* Nystrom: [terms][n] */
    int64_t *chosen;   /* [terms]: their places */
    double *small, *value, *right, *left;
    linalg *algebra;
};

static int64_t columns_of(const solve_spec *s)
{
    if (s->kind != SOLVER_NYSTROM) return 0;
    return s->terms < s->unknowns ? s->terms : s->unknowns;
}

drmad_status solve_new(drmad_ctx *ctx, const solve_spec *spec, solve **out)
{
    const size_t n = (size_t)spec->n, k = (size_t)columns_of(spec);
    drmad_status st = DRMAD_OK;
    solve *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->spec = *spec;
    TRY(mem_alloc(ctx, n, sizeof *s->r, &s->r));
    TRY(mem_alloc(ctx, n, sizeof *s->p, &s->p));
    TRY(mem_alloc(ctx, n, sizeof *s->y, &s->y));
    if (k > 0) {
        TRY(linalg_open(ctx, &s->algebra));
        TRY(mem_alloc(ctx, k * n, sizeof *s->column, &s->column));
        TRY(mem_alloc(ctx, k, sizeof *s->chosen, &s->chosen));
        TRY(mem_alloc(ctx, k * k, sizeof *s->small, &s->small));
        TRY(mem_alloc(ctx, k, sizeof *s->value, &s->value));
        TRY(mem_alloc(ctx, k, sizeof *s->right, &s->right));
        TRY(mem_alloc(ctx, k, sizeof *s->left, &s->left));
    }
    *out = s, s = NULL;
done:
    solve_free(s);
    return st;
}

void solve_free(solve *s)
{
    if (!s) return;
    void *all[] = {s->r, s->p, s->y, s->column, s->chosen, s->small, s->value, s->right, s->left};

    for (size_t i = 0; i < COUNT(all); i++) mem_free(s->ctx, all[i]);
    linalg_close(s->algebra);
    mem_free(s->ctx, s);
}

size_t solve_bytes(const solve_spec *spec)
{
    const size_t n = (size_t)spec->n, k = (size_t)columns_of(spec);

    return sizeof(double) * (3 * n + k * (n + k + 4));
}

static double dot(const double *a, const double *b, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

static void add_scaled(double *y, double a, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

/* y = (H + d) x. */
static drmad_status damped(solve *s, const double *x, double *y)
{
    const drmad_status st = s->spec.product(s->spec.user, x, y);

    s->products++;
    if (st == DRMAD_OK) add_scaled(y, s->spec.damping, x, s->spec.n);
    return st;
}

static drmad_status by_cg(solve *s, const double *v, double *q, bool *negative)
{
    const int64_t n = s->spec.n;
    const double end = s->spec.tolerance * sqrt(dot(v, v, n));
    drmad_status st = DRMAD_OK;
    double square = dot(v, v, n);

    memset(q, 0, (size_t)n * sizeof *q);
    memcpy(s->r, v, (size_t)n * sizeof *v);
    memcpy(s->p, v, (size_t)n * sizeof *v);
    for (int64_t k = 0; k < s->spec.terms && sqrt(square) > end; k++) {
        TRY(damped(s, s->p, s->y));
        const double curvature = dot(s->p, s->y, n);
        *negative = !(curvature > 0);
        if (*negative) break;
        const double step = square / curvature, before = square;
        add_scaled(q, step, s->p, n);
        add_scaled(s->r, -step, s->y, n);
        square = dot(s->r, s->r, n);
        for (int64_t i = 0; i < n; i++) s->p[i] = s->r[i] + square / before * s->p[i];
    }
done:
    return st;
}

static drmad_status by_neumann(solve *s, const double *v, double *q)
{
    const int64_t n = s->spec.n;
    const double a = s->spec.scale;
    drmad_status st = DRMAD_OK;

    memcpy(s->p, v, (size_t)n * sizeof *v); /* (I - a (H + d))^j v */
    memcpy(q, v, (size_t)n * sizeof *v);
    for (int64_t j = 1; j < s->spec.terms; j++) {
        TRY(damped(s, s->p, s->y));
        add_scaled(s->p, -a, s->y, n);
        add_scaled(q, 1, s->p, n);
    }
    for (int64_t i = 0; i < n; i++) q[i] *= a;
done:
    return st;
}

/* C, by products with unit vectors. */
static drmad_status make_columns(solve *s, int64_t k)
{
    const int64_t n = s->spec.n;
    const rng_perm order = rng_perm_make((rng_key){s->spec.seed, 0, rng_site("nystrom columns")},
                                         (uint64_t)s->spec.unknowns);
    drmad_status st = DRMAD_OK;

    memset(s->p, 0, (size_t)n * sizeof *s->p);
    for (int64_t j = 0; j < k; j++) {
        s->chosen[j] = s->spec.place[rng_perm_at(&order, (uint64_t)j)];
        s->p[s->chosen[j]] = 1;
        TRY(s->spec.product(s->spec.user, s->p, s->column + j * n));
        s->products++;
        s->p[s->chosen[j]] = 0;
    }
done:
    return st;
}

/* left = small^-1 right by eigenvalues; those that are rounding alone count as infinite. */
static drmad_status solve_small(solve *s, int64_t k)
{
    drmad_status st = linalg_eigen(s->algebra, (int32_t)k, s->small, (int32_t)k, s->value);

    if (st != DRMAD_OK) return st;
    const double largest = fmax(fabs(s->value[0]), fabs(s->value[k - 1]));
    memset(s->left, 0, (size_t)k * sizeof *s->left);
    for (int64_t e = 0; e < k; e++) {
        double part = 0;
        for (int64_t i = 0; i < k; i++) part += s->small[i * k + e] * s->right[i];
        if (fabs(s->value[e]) <= 1e-15 * (double)k * largest) continue;
        for (int64_t i = 0; i < k; i++) s->left[i] += s->small[i * k + e] * part / s->value[e];
    }
    return DRMAD_OK;
}

static drmad_status by_nystrom(solve *s, const double *v, double *q)
{
    const int64_t n = s->spec.n, k = columns_of(&s->spec);
    const double d = s->spec.damping;
    drmad_status st = DRMAD_OK;

    TRY(make_columns(s, k));
    for (int64_t i = 0; i < k; i++) {
        const double *column = s->column + i * n;
        s->right[i] = dot(column, v, n);
        for (int64_t j = 0; j <= i; j++)
            s->small[i * k + j] = s->small[j * k + i] =
                column[s->chosen[j]] + dot(column, s->column + j * n, n) / d;
    }
    TRY(solve_small(s, k));
    for (int64_t i = 0; i < n; i++) q[i] = v[i] / d;
    for (int64_t j = 0; j < k; j++) add_scaled(q, -s->left[j] / (d * d), s->column + j * n, n);
done:
    return st;
}

/* The solution's own residual; a series that has left v behind has not converged. */
static drmad_status judge(solve *s, const double *v, const double *q, solve_report *r)
{
    const int64_t n = s->spec.n;
    const double norm = sqrt(dot(v, v, n));
    drmad_status st = DRMAD_OK;

    TRY(damped(s, q, s->y));
    add_scaled(s->y, -1, v, n);
    r->residual = norm > 0 ? sqrt(dot(s->y, s->y, n)) / norm : 0;
    if (!isfinite(r->residual) || (s->spec.kind == SOLVER_NEUMANN && r->residual > 1))
        st = FAIL(s->ctx, DRMAD_E_DIVERGED, "implicit: %s did not converge, residual %g%s",
                  solver_name(s->spec.kind), r->residual,
                  s->spec.kind == SOLVER_NEUMANN
                      ? "; lower estimator.scale, or the loss has negative curvature: raise "
                        "estimator.damping"
                      : "");
    else if (r->negative && dot(q, q, n) == 0)
        st = FAIL(s->ctx, DRMAD_E_DIVERGED,
                  "implicit: the loss has negative curvature along dF/dw, so the weights are at no "
                  "minimum; raise estimator.damping or train longer");
done:
    return st;
}

drmad_status solve_run(solve *s, const double *v, double *q, solve_report *r)
{
    drmad_status st = DRMAD_OK;

    *r = (solve_report){.residual = NAN};
    s->products = 0;
    switch (s->spec.kind) {
    case SOLVER_CG: TRY(by_cg(s, v, q, &r->negative)); break;
    case SOLVER_NEUMANN: TRY(by_neumann(s, v, q)); break;
    case SOLVER_NYSTROM: TRY(by_nystrom(s, v, q)); break;
    }
    TRY(judge(s, v, q, r));
done:
    r->products = s->products;
    return st;
}
