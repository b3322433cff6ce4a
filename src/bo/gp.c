/* The model: memory, factor, appended points, predictions. The fit is in gp_fit.c. */
#include "bo/gp.h"
#include <math.h>
#include <string.h>

enum { ROOM_MIN = 64, TRIES = 7 };
static const double jitter_least = 1e-10;

const gp_loops *gp_loops_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return &gp_loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &gp_loops_avx2;
#endif
    return &gp_loops_portable;
}

/* ---- memory ---- */

drmad_status gp_new(drmad_ctx *ctx, const linalg *lin, gp_shape shape, gp **out)
{
    drmad_status st = DRMAD_OK;
    gp *g = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *g, &g));
    *g = (gp){.ctx = ctx, .lin = lin, .loops = gp_loops_best(), .shape = shape};
    TRY(mem_alloc(ctx, (size_t)shape.groups + 2, sizeof *g->phi, &g->phi));
    TRY(mem_alloc(ctx, 2 * (size_t)shape.columns, sizeof *g->at, &g->at));
    *out = g, g = NULL;
done:
    gp_free(g);
    return st;
}

static void free_room(gp *g)
{
    double *all[] = {g->z,     g->x,      g->factor, g->slope,  g->t,
                     g->alpha, g->row[0], g->row[1], g->row[2], g->row[3]};

    for (size_t i = 0; i < COUNT(all); i++) mem_free(g->ctx, all[i]);
    g->z = g->x = g->factor = g->slope = g->t = g->alpha = NULL;
    for (size_t i = 0; i < COUNT(g->row); i++) g->row[i] = NULL;
    g->room = g->n = g->sides = 0;
}

void gp_free(gp *g)
{
    if (!g) return;
    free_room(g);
    mem_free(g->ctx, g->phi);
    mem_free(g->ctx, g->at);
    mem_free(g->ctx, g);
}

static drmad_status new_room(gp *g, int32_t room)
{
    const size_t r = (size_t)room, columns = (size_t)g->shape.columns;
    drmad_status st = DRMAD_OK;

    free_room(g);
    TRY(mem_alloc(g->ctx, columns * r, sizeof(double), &g->z));
    TRY(mem_alloc(g->ctx, columns * r, sizeof(double), &g->x));
    TRY(mem_alloc(g->ctx, r * r, sizeof(double), &g->factor));
    TRY(mem_alloc(g->ctx, r * r, sizeof(double), &g->slope));
    TRY(mem_alloc(g->ctx, r, sizeof(double), &g->t));
    TRY(mem_alloc(g->ctx, r, sizeof(double), &g->alpha));
    for (size_t i = 0; i < COUNT(g->row); i++)
        TRY(mem_alloc(g->ctx, r, sizeof(double), &g->row[i]));
    g->room = room;
done:
    if (st != DRMAD_OK) free_room(g);
    return st;
}

static void put_point(gp *g, int32_t i, const double *z)
{
    for (int32_t c = 0; c < g->shape.columns; c++) g->z[(int64_t)c * g->room + i] = z[c];
}

/* Room for n points, what is there kept. */
static drmad_status more_room(gp *g, int32_t n)
{
    const int32_t old_room = g->room, old_n = g->n;
    drmad_status st = DRMAD_OK;
    gp old = *g;

    if (n <= g->room) return st;
    int32_t room = old_room < ROOM_MIN ? ROOM_MIN : old_room;

    while (room < n) room += room / 2 / GP_PAD * GP_PAD;
    g->z = g->x = g->factor = g->slope = g->t = g->alpha = NULL;
    for (size_t i = 0; i < COUNT(g->row); i++) g->row[i] = NULL;
    TRY(new_room(g, room));
    for (int32_t c = 0; c < g->shape.columns && old_n; c++) {
        memcpy(g->z + (int64_t)c * room, old.z + (int64_t)c * old_room,
               sizeof(double) * (size_t)old_n);
        memcpy(g->x + (int64_t)c * room, old.x + (int64_t)c * old_room,
               sizeof(double) * (size_t)old_n);
    }
    for (int32_t i = 0; i < old_n; i++)
        memcpy(g->factor + (int64_t)i * room, old.factor + (int64_t)i * old_room,
               sizeof(double) * (size_t)(i + 1));
    g->n = old_n;
done:
    free_room(&old);
    return st;
}

drmad_status gp_data(gp *g, int32_t n, const double *z, const double *t)
{
    drmad_status st = DRMAD_OK;

    g->n = 0;
    TRY(more_room(g, n));
    g->n = n;
    for (int32_t i = 0; i < n; i++) put_point(g, i, z + (int64_t)i * g->shape.columns);
    memcpy(g->t, t, sizeof *t * (size_t)n);
done:
    return st;
}

/* ---- factor ---- */

static double s2_of(const gp *g)
{
    return exp(g->phi[g->shape.groups]);
}

static void scale_columns(gp *g)
{
    for (int32_t c = 0; c < g->shape.columns; c++) {
        const double over = exp(-g->phi[g->shape.group[c]]);
        const int64_t from = (int64_t)c * g->room;

        for (int32_t j = 0; j < g->n; j++) g->x[from + j] = g->z[from + j] * over;
    }
}

static void point_at(const gp *g, int32_t i, double *at)
{
    for (int32_t c = 0; c < g->shape.columns; c++) at[c] = g->x[(int64_t)c * g->room + i];
}

/* The lower triangle of K, and of the slopes when they are asked for. */
static void covariance(gp *g, double noise, bool slopes)
{
    const double s2 = s2_of(g);

    for (int32_t i = 0; i < g->n; i++) {
        double *k = g->factor + (int64_t)i * g->room, *h = g->slope + (int64_t)i * g->room;

        point_at(g, i, g->at);
        g->loops->row(i + 1, g->shape.columns, g->x, g->room, g->at, s2, k, slopes ? h : NULL);
        k[i] = s2 + noise;
    }
}

bool gp_factor_at(gp *g, const double *phi, double jitter, bool slopes)
{
    if (phi != g->phi) memcpy(g->phi, phi, sizeof *phi * (size_t)(g->shape.groups + 2));
    g->sides = 0;
    scale_columns(g);
    covariance(g, exp(g->phi[g->shape.groups + 1]) + jitter, slopes);
    return linalg_cholesky(g->lin, g->n, g->factor, g->room);
}

bool gp_factor(gp *g, const double *phi)
{
    double jitter = jitter_least;

    for (int i = 0; i < TRIES; i++, jitter *= 10)
        if (gp_factor_at(g, phi, jitter, false)) return true;
    return false;
}

drmad_status gp_append(gp *g, const double *z, bool *done)
{
    const int32_t n = g->n;
    drmad_status st = DRMAD_OK;

    *done = false;
    TRY(more_room(g, n + 1));
    put_point(g, n, z);
    for (int32_t c = 0; c < g->shape.columns; c++) {
        g->at[c] = z[c] * exp(-g->phi[g->shape.group[c]]);
        g->x[(int64_t)c * g->room + n] = g->at[c];
    }
    double *k = g->factor + (int64_t)n * g->room, s2 = s2_of(g);

    g->loops->row(n + 1, g->shape.columns, g->x, g->room, g->at, s2, k, NULL);
    k[n] = s2 + exp(g->phi[g->shape.groups + 1]) + jitter_least;
    *done = linalg_cholesky_append(g->lin, n, g->factor, g->room);
    if (*done) g->n = n + 1;
done:
    return st;
}

/* ---- right sides ---- */

static void pad(gp *g, double *v)
{
    for (int32_t i = g->n; i < g->room && i % GP_PAD; i++) v[i] = 0;
}

/* row[0] = K^-1 1, gives mu. */
double gp_level(gp *g)
{
    double below = 0, *ones = g->row[0];

    for (int32_t i = 0; i < g->n; i++) ones[i] = 1;
    linalg_solve(g->lin, g->n, g->factor, g->room, ones);
    for (int32_t i = 0; i < g->n; i++) below += ones[i];
    return g->loops->dot(g->n, ones, g->t) / below;
}

void gp_targets(gp *g, const double *t)
{
    memmove(g->t, t, sizeof *t * (size_t)g->n);
    g->mean = gp_level(g);
    for (int32_t i = 0; i < g->n; i++) g->alpha[i] = g->t[i] - g->mean;
    linalg_solve(g->lin, g->n, g->factor, g->room, g->alpha);
    pad(g, g->alpha);
    g->sides = 1;
}

drmad_status gp_fantasies(gp *g, int32_t known, int32_t sides, const double *e, double *t)
{
    const int32_t more = g->n - known;
    drmad_status st = DRMAD_OK;
    double *w = NULL, *alpha = NULL;

    TRY(mem_alloc(g->ctx, (size_t)(g->n * (int64_t)sides), sizeof *w, &w));
    TRY(mem_alloc(g->ctx, (size_t)(g->room * (int64_t)sides), sizeof *alpha, &alpha));
    for (int32_t i = 0; i < known; i++) g->row[0][i] = g->t[i] - g->mean;
    linalg_solve_lower(g->lin, known, g->factor, g->room, 1, g->row[0], 1);
    for (int32_t s = 0; s < sides; s++) {
        memcpy(g->row[0] + known, e + (int64_t)s * more, sizeof *e * (size_t)more);
        for (int32_t i = known; i < g->n; i++)
            t[(int64_t)s * more + i - known] =
                g->mean + g->loops->dot(i + 1, g->factor + (int64_t)i * g->room, g->row[0]);
        for (int32_t i = 0; i < g->n; i++) w[(int64_t)i * sides + s] = g->row[0][i];
    }
    linalg_solve_upper(g->lin, g->n, g->factor, g->room, sides, w, sides);
    for (int32_t s = 0; s < sides; s++)
        for (int32_t i = 0; i < g->n; i++)
            alpha[(int64_t)s * g->room + i] = w[(int64_t)i * sides + s];
    mem_free(g->ctx, g->alpha);
    g->alpha = alpha, alpha = NULL;
    g->sides = sides;
done:
    mem_free(g->ctx, w);
    mem_free(g->ctx, alpha);
    return st;
}

/* ---- predictions ---- */

/* d mean / dz_c = -sum_j alpha_j h_j (at_c - x_jc) / l_c, h with s2 in it; likewise for the
 * variance, with -2 K^-1 k in alpha's place. */
static void slopes_at(gp *g, const double *h, const double *beta, double factor, double *out)
{
    double *w = g->row[3];

    for (int32_t j = 0; j < g->n; j++) w[j] = h[j] * beta[j] * factor;
    pad(g, w);
    g->loops->moments(g->n, g->shape.columns, g->x, g->room, g->at, w, out);
    for (int32_t c = 0; c < g->shape.columns; c++) out[c] *= exp(-g->phi[g->shape.group[c]]);
}

void gp_predict(gp *g, const double *z, double *mean, double *variance, double *dmean,
                double *dvariance)
{
    double *k = g->row[0], *h = g->row[1], *v = g->row[2];
    const double s2 = s2_of(g);

    for (int32_t c = 0; c < g->shape.columns; c++)
        g->at[c] = z[c] * exp(-g->phi[g->shape.group[c]]);
    g->loops->row(g->n, g->shape.columns, g->x, g->room, g->at, s2, k, h);
    for (int32_t s = 0; s < g->sides; s++) {
        const double *alpha = g->alpha + (int64_t)s * g->room;

        mean[s] = g->mean + g->loops->dot(g->n, k, alpha);
        if (dmean) slopes_at(g, h, alpha, -1, dmean + (int64_t)s * g->shape.columns);
    }
    memcpy(v, k, sizeof *k * (size_t)g->n);
    linalg_solve_lower(g->lin, g->n, g->factor, g->room, 1, v, 1);
    *variance = fmax(s2 - g->loops->dot(g->n, v, v), s2 * 1e-12);
    if (!dvariance) return;
    linalg_solve_upper(g->lin, g->n, g->factor, g->room, 1, v, 1);
    slopes_at(g, h, v, 2, dvariance);
}

drmad_status gp_predict_many(gp *g, int32_t m, const double *z, double *mean, double *variance)
{
    const int32_t ld = (m + GP_PAD - 1) / GP_PAD * GP_PAD, columns = g->shape.columns;
    const double s2 = s2_of(g);
    drmad_status st = DRMAD_OK;
    double *x = NULL, *b = NULL, *sum = NULL;

    TRY(mem_alloc(g->ctx, (size_t)(columns * (int64_t)ld), sizeof *x, &x));
    TRY(mem_alloc(g->ctx, (size_t)((g->n + 1) * (int64_t)ld), sizeof *b, &b));
    TRY(mem_alloc(g->ctx, (size_t)ld, sizeof *sum, &sum));
    for (int32_t c = 0; c < columns; c++) {
        const double over = exp(-g->phi[g->shape.group[c]]);

        for (int32_t j = 0; j < m; j++) x[(int64_t)c * ld + j] = z[(int64_t)j * columns + c] * over;
    }
    for (int32_t i = 0; i < g->n; i++) {
        point_at(g, i, g->at);
        g->loops->row(m, columns, x, ld, g->at, s2, b + (int64_t)i * ld, NULL);
    }
    linalg_multiply(g->lin, g->sides, m, g->n, g->alpha, g->room, b, ld, mean, m);
    linalg_solve_lower(g->lin, g->n, g->factor, g->room, m, b, ld);
    for (int32_t i = 0; i < g->n; i++) g->loops->squares(m, b + (int64_t)i * ld, sum);
    for (int32_t j = 0; j < m; j++) variance[j] = fmax(s2 - sum[j], s2 * 1e-12);
    for (int64_t j = 0; j < (int64_t)g->sides * m; j++) mean[j] += g->mean;
done:
    mem_free(g->ctx, x);
    mem_free(g->ctx, b);
    mem_free(g->ctx, sum);
    return st;
}
