/* The model: memory, factor, appended points, predictions. The fit is in gp_fit.c, what derivatives
 * add in gp_gradient.c. */
#include "bo/gp_inside.h"
#include <math.h>
#include <string.h>

enum { ROOM_MIN = 64, TRIES = 10 };

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

int32_t gp_count(const gp_shape *shape)
{
    return shape->groups + 2 + shape->gradients;
}

/* ---- memory ---- */

drmad_status gp_new(drmad_ctx *ctx, const linalg *lin, gp_shape shape, gp **out)
{
    drmad_status st = DRMAD_OK;
    gp *g = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *g, &g));
    *g = (gp){.ctx = ctx, .lin = lin, .loops = gp_loops_best(), .shape = shape};
    TRY(mem_alloc(ctx, (size_t)gp_count(&shape), sizeof *g->phi, &g->phi));
    TRY(mem_alloc(ctx, 3 * (size_t)shape.columns, sizeof *g->at, &g->at));
    g->over = g->at + 2 * (int64_t)shape.columns;
    *out = g, g = NULL;
done:
    gp_free(g);
    return st;
}

static void forget_room(gp *g)
{
    g->z = g->x = g->factor = g->slope = g->t = g->alpha = NULL;
    g->point = g->along = NULL;
    for (size_t i = 0; i < COUNT(g->row); i++) g->row[i] = NULL;
    g->room = g->n = g->rows = g->sides = 0;
}

static void free_room(gp *g)
{
    double *all[] = {g->z, g->x, g->factor, g->slope, g->t, g->alpha};

    for (size_t i = 0; i < COUNT(all); i++) mem_free(g->ctx, all[i]);
    for (size_t i = 0; i < COUNT(g->row); i++) mem_free(g->ctx, g->row[i]);
    mem_free(g->ctx, g->point);
    mem_free(g->ctx, g->along);
    forget_room(g);
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
    TRY(mem_alloc(g->ctx, r, sizeof *g->point, &g->point));
    TRY(mem_alloc(g->ctx, r, sizeof *g->along, &g->along));
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

static int32_t room_for(int32_t n)
{
    int32_t room = ROOM_MIN;

    while (room < n) room += room / 2 / GP_PAD * GP_PAD;
    return room;
}

drmad_status gp_reserve(gp *g, int32_t n)
{
    return g->room == room_for(n) ? DRMAD_OK : new_room(g, room_for(n));
}

static void put_row(gp *g, int32_t row, int32_t point, int32_t along, double t)
{
    g->point[row] = point, g->along[row] = along, g->t[row] = t;
}

drmad_status gp_room(gp *g, int32_t rows)
{
    const int32_t old_room = g->room, old_rows = g->rows;
    drmad_status st = DRMAD_OK;
    gp old = *g;

    if (rows <= g->room) return st;
    const int32_t room = room_for(rows);

    forget_room(g);
    TRY(new_room(g, room));
    for (int32_t c = 0; c < g->shape.columns && old.n; c++) {
        memcpy(g->z + (int64_t)c * room, old.z + (int64_t)c * old_room,
               sizeof(double) * (size_t)old.n);
        memcpy(g->x + (int64_t)c * room, old.x + (int64_t)c * old_room,
               sizeof(double) * (size_t)old.n);
    }
    for (int32_t i = 0; i < old_rows; i++) {
        memcpy(g->factor + (int64_t)i * room, old.factor + (int64_t)i * old_room,
               sizeof(double) * (size_t)(i + 1));
        put_row(g, i, old.point[i], old.along[i], old.t[i]);
    }
    g->n = old.n, g->rows = old_rows;
done:
    free_room(&old);
    return st;
}

drmad_status gp_data(gp *g, int32_t n, const double *z, const double *t)
{
    drmad_status st = DRMAD_OK;

    g->n = g->rows = 0;
    TRY(gp_room(g, n));
    g->n = g->rows = n;
    for (int32_t i = 0; i < n; i++) {
        put_point(g, i, z + (int64_t)i * g->shape.columns);
        put_row(g, i, i, -1, t[i]);
    }
done:
    return st;
}

drmad_status gp_gradients(gp *g, const double *slopes)
{
    const int32_t columns = g->shape.columns;
    drmad_status st = DRMAD_OK;
    int32_t more = 0;

    for (int64_t i = 0; i < (int64_t)g->n * columns; i++) more += !isnan(slopes[i]);
    TRY(gp_room(g, g->rows + more));
    for (int32_t i = 0; i < g->n; i++)
        for (int32_t c = 0; c < columns; c++) {
            const double slope = slopes[(int64_t)i * columns + c];

            if (!isnan(slope)) put_row(g, g->rows++, i, c, slope);
        }
done:
    return st;
}

/* ---- factor ---- */

double gp_s2(const gp *g)
{
    return exp(g->phi[g->shape.groups]);
}

static void scale_columns(gp *g)
{
    for (int32_t c = 0; c < g->shape.columns; c++) {
        const int64_t from = (int64_t)c * g->room;

        g->over[c] = exp(-g->phi[g->shape.group[c]]);
        for (int32_t j = 0; j < g->n; j++) g->x[from + j] = g->z[from + j] * g->over[c];
    }
}

void gp_point_at(const gp *g, int32_t i)
{
    for (int32_t c = 0; c < g->shape.columns; c++) g->at[c] = g->x[(int64_t)c * g->room + i];
}

/* The lower triangle of K, and of the slopes when they are asked for. */
static void covariance(gp *g, double jitter, bool slopes)
{
    const double s2 = gp_s2(g), noise = exp(g->phi[g->shape.groups + 1]) + jitter;

    for (int32_t i = 0; i < g->n; i++) {
        double *k = g->factor + (int64_t)i * g->room, *h = g->slope + (int64_t)i * g->room;

        gp_point_at(g, i);
        g->loops->row(i + 1, g->shape.columns, g->x, g->room, g->at, s2, k, slopes ? h : NULL);
        k[i] = s2 + noise;
    }
    if (g->rows > g->n) gp_gradient_rows(g, jitter);
}

bool gp_factor_at(gp *g, const double *phi, double jitter, bool slopes)
{
    if (phi != g->phi) memcpy(g->phi, phi, sizeof *phi * (size_t)gp_count(&g->shape));
    g->sides = 0;
    scale_columns(g);
    covariance(g, jitter, slopes);
    return linalg_cholesky(g->lin, g->rows, g->factor, g->room);
}

bool gp_factor(gp *g, const double *phi)
{
    double jitter = GP_JITTER;

    for (int i = 0; i < TRIES; i++, jitter *= 10)
        if (gp_factor_at(g, phi, jitter, false)) return true;
    return false;
}

drmad_status gp_append(gp *g, const double *z, bool *done)
{
    const int32_t n = g->n, rows = g->rows;
    const double s2 = gp_s2(g);
    drmad_status st = DRMAD_OK;

    *done = false;
    TRY(gp_room(g, rows + 1));
    put_point(g, n, z);
    put_row(g, rows, n, -1, 0);
    for (int32_t c = 0; c < g->shape.columns; c++) {
        g->at[c] = z[c] * g->over[c];
        g->x[(int64_t)c * g->room + n] = g->at[c];
    }
    double *k = g->factor + (int64_t)rows * g->room, *h = rows > n ? g->row[1] : NULL;

    g->loops->row(n + 1, g->shape.columns, g->x, g->room, g->at, s2, k, h);
    if (h) gp_spread(g, rows, k, h);
    k[rows] = s2 + exp(g->phi[g->shape.groups + 1]) + GP_JITTER;
    *done = linalg_cholesky_append(g->lin, rows, g->factor, g->room);
    if (*done) g->n = n + 1, g->rows = rows + 1;
done:
    return st;
}

void gp_drop(gp *g, int32_t n)
{
    g->rows -= g->n - n;
    g->n = n;
}

/* ---- right sides ---- */

static void pad(gp *g, double *v)
{
    for (int32_t i = g->n; i < g->room && i % GP_PAD; i++) v[i] = 0;
}

/* t - mu of row i. */
static double above(const gp *g, int32_t i)
{
    return g->along[i] < 0 ? g->t[i] - g->mean : g->t[i];
}

/* row[0] = K^-1 1, gives mu. */
double gp_level(gp *g)
{
    double below = 0, *ones = g->row[0];

    for (int32_t i = 0; i < g->rows; i++) ones[i] = g->along[i] < 0;
    linalg_solve(g->lin, g->rows, g->factor, g->room, ones);
    for (int32_t i = 0; i < g->rows; i++) below += g->along[i] < 0 ? ones[i] : 0;
    return g->loops->dot(g->rows, ones, g->t) / below;
}

void gp_targets(gp *g, const double *t)
{
    for (int32_t i = 0; i < g->rows; i++)
        if (g->along[i] < 0) g->t[i] = t[g->point[i]];
    g->mean = gp_level(g);
    for (int32_t i = 0; i < g->rows; i++) g->alpha[i] = above(g, i);
    linalg_solve(g->lin, g->rows, g->factor, g->room, g->alpha);
    if (g->rows == g->n) pad(g, g->alpha);
    g->sides = 1;
}

drmad_status gp_fantasies(gp *g, int32_t known, int32_t sides, const double *e, double *t)
{
    const int32_t more = g->n - known, n = g->rows, seen = n - more;
    drmad_status st = DRMAD_OK;
    double *w = NULL, *alpha = NULL;

    TRY(mem_alloc(g->ctx, (size_t)(n * (int64_t)sides), sizeof *w, &w));
    TRY(mem_alloc(g->ctx, (size_t)(g->room * (int64_t)sides), sizeof *alpha, &alpha));
    for (int32_t i = 0; i < seen; i++) g->row[0][i] = above(g, i);
    linalg_solve_lower(g->lin, seen, g->factor, g->room, 1, g->row[0], 1);
    for (int32_t s = 0; s < sides; s++) {
        memcpy(g->row[0] + seen, e + (int64_t)s * more, sizeof *e * (size_t)more);
        for (int32_t i = seen; i < n; i++)
            t[(int64_t)s * more + i - seen] =
                g->mean + g->loops->dot(i + 1, g->factor + (int64_t)i * g->room, g->row[0]);
        for (int32_t i = 0; i < n; i++) w[(int64_t)i * sides + s] = g->row[0][i];
    }
    linalg_solve_upper(g->lin, n, g->factor, g->room, sides, w, sides);
    for (int32_t s = 0; s < sides; s++)
        for (int32_t i = 0; i < n; i++) alpha[(int64_t)s * g->room + i] = w[(int64_t)i * sides + s];
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

    if (g->rows > g->n) {
        gp_gradient_moments(g, h, beta, out);
        for (int32_t c = 0; c < g->shape.columns; c++) out[c] *= -factor;
        return;
    }
    for (int32_t j = 0; j < g->n; j++) w[j] = h[j] * beta[j] * factor;
    pad(g, w);
    g->loops->moments(g->n, g->shape.columns, g->x, g->room, g->at, w, out);
    for (int32_t c = 0; c < g->shape.columns; c++) out[c] *= g->over[c];
}

void gp_predict(gp *g, const double *z, double *mean, double *variance, double *dmean,
                double *dvariance)
{
    double *k = g->row[0], *h = g->row[1], *v = g->row[2];
    const double s2 = gp_s2(g);

    for (int32_t c = 0; c < g->shape.columns; c++) g->at[c] = z[c] * g->over[c];
    g->loops->row(g->n, g->shape.columns, g->x, g->room, g->at, s2, k, h);
    if (g->rows > g->n) gp_spread(g, g->rows, k, h);
    for (int32_t s = 0; s < g->sides; s++) {
        const double *alpha = g->alpha + (int64_t)s * g->room;

        mean[s] = g->mean + g->loops->dot(g->rows, k, alpha);
        if (dmean) slopes_at(g, h, alpha, -1, dmean + (int64_t)s * g->shape.columns);
    }
    memcpy(v, k, sizeof *k * (size_t)g->rows);
    linalg_solve_lower(g->lin, g->rows, g->factor, g->room, 1, v, 1);
    *variance = fmax(s2 - g->loops->dot(g->rows, v, v), s2 * 1e-12);
    if (!dvariance) return;
    linalg_solve_upper(g->lin, g->rows, g->factor, g->room, 1, v, 1);
    slopes_at(g, h, v, 2, dvariance);
}

/* Row i of b: covariances of row i of the model with m points, x over lengthscales. The two rows
 * after the last hold h of gp_kernel.h, which derivatives at a point share, and k beside it. */
static void many_row(gp *g, int32_t i, int32_t m, const double *x, int32_t ld, double *b)
{
    const int32_t along = g->along[i];
    double *k = b + (int64_t)i * ld, *h = b + (int64_t)g->rows * ld;

    gp_point_at(g, g->point[i]);
    if (along < 0) {
        g->loops->row(m, g->shape.columns, x, ld, g->at, gp_s2(g), k, NULL);
        return;
    }
    if (g->along[i - 1] < 0 || g->point[i - 1] != g->point[i])
        g->loops->row(m, g->shape.columns, x, ld, g->at, gp_s2(g), h + ld, h);
    for (int32_t j = 0; j < m; j++)
        k[j] = h[j] * (x[(int64_t)along * ld + j] - g->at[along]) * g->over[along];
}

drmad_status gp_predict_many(gp *g, int32_t m, const double *z, double *mean, double *variance)
{
    const int32_t ld = (m + GP_PAD - 1) / GP_PAD * GP_PAD, columns = g->shape.columns;
    const double s2 = gp_s2(g);
    drmad_status st = DRMAD_OK;
    double *x = NULL, *b = NULL, *sum = NULL;

    TRY(mem_alloc(g->ctx, (size_t)(columns * (int64_t)ld), sizeof *x, &x));
    TRY(mem_alloc(g->ctx, (size_t)((g->rows + 2) * (int64_t)ld), sizeof *b, &b));
    TRY(mem_alloc(g->ctx, (size_t)ld, sizeof *sum, &sum));
    for (int32_t c = 0; c < columns; c++) {
        for (int32_t j = 0; j < m; j++)
            x[(int64_t)c * ld + j] = z[(int64_t)j * columns + c] * g->over[c];
    }
    for (int32_t i = 0; i < g->rows; i++) many_row(g, i, m, x, ld, b);
    linalg_multiply(g->lin, g->sides, m, g->rows, g->alpha, g->room, b, ld, mean, m);
    linalg_solve_lower(g->lin, g->rows, g->factor, g->room, m, b, ld);
    for (int32_t i = 0; i < g->rows; i++) g->loops->squares(m, b + (int64_t)i * ld, sum);
    for (int32_t j = 0; j < m; j++) variance[j] = fmax(s2 - sum[j], s2 * 1e-12);
    for (int64_t j = 0; j < (int64_t)g->sides * m; j++) mean[j] += g->mean;
done:
    mem_free(g->ctx, x);
    mem_free(g->ctx, b);
    mem_free(g->ctx, sum);
    return st;
}
