/* Steepness: with g the slopes of a row, |g| <= 3 sqrt(n) max_ij |t_i - t_j| / |z_i - z_j|, over n
 * parameters. For sqrt(n): a line between points that lie at random in many dimensions sees about
 * |g| / sqrt(n); for 3: curvature. bench_gegp: functions lose nothing by it; training, which was
 * worse off with gradients than without, gains.
 *
 * Checked: tests/bo/test_gp_gradient.c. */
#include "bo/slopes.h"
#include <math.h>

static const double too_steep = 3, too_near = 1e-3;

static double slope_of(const encoding *e, const observation *row, int32_t p)
{
    if (row->state != OBSERVED_COMPLETE || !isfinite(row->value) || !row->gradient) return NAN;
    const double slope = row->gradient[e->params[p].index] * encoding_slope(e, p, row->x);

    return isfinite(slope) ? slope : NAN;
}

static int32_t count_of(const encoding *e, const observation *row)
{
    int32_t n = 0;

    for (int32_t p = 0; p < e->n; p++) n += !isnan(slope_of(e, row, p));
    return n;
}

bool slopes_there(const encoding *e, const observation *const *rows, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (count_of(e, rows[i]) > 0) return true;
    return false;
}

/* How much the targets rise at most from one point to another; next to each other they say nothing:
 * noise. */
static double steepest(const slope_data *d)
{
    const int32_t columns = d->code->columns;
    double most = 0;

    for (int32_t i = 0; i < d->n; i++)
        for (int32_t j = 0; j < i; j++) {
            double r2 = 0;

            for (int32_t c = 0; c < columns; c++) {
                const double r = d->z[(int64_t)i * columns + c] - d->z[(int64_t)j * columns + c];

                r2 += r * r;
            }
            if (isnan(d->by_value[i]) || isnan(d->by_value[j]) || r2 < too_near * too_near)
                continue;
            most = fmax(most, fabs(d->t[i] - d->t[j]) / sqrt(r2));
        }
    return most;
}

/* Whether row i has slopes that may be used. */
static bool usable(const slope_data *d, int32_t i, double limit)
{
    double sum = 0;

    for (int32_t p = 0; p < d->code->n; p++) {
        const double slope = slope_of(d->code, d->rows[i], p) * d->by_value[i];

        if (!isnan(slope)) sum += slope * slope;
    }
    return sqrt(sum) <= limit && count_of(d->code, d->rows[i]) > 0;
}

/* The best row that is open, of equals the newest; -1: none. */
static int32_t next_row(const slope_data *d, const bool *open)
{
    int32_t best = -1;

    for (int32_t i = 0; i < d->n; i++)
        if (open[i] && (best < 0 || d->rows[i]->value <= d->rows[best]->value)) best = i;
    return best;
}

drmad_status slopes_make(drmad_ctx *ctx, const slope_data *d, int32_t most, double *slopes)
{
    const double limit = too_steep * sqrt(d->code->n) * steepest(d);
    drmad_status st = DRMAD_OK;
    bool *open = NULL;
    int32_t i;

    TRY(mem_alloc(ctx, (size_t)d->n + 1, sizeof *open, &open));
    for (int64_t k = 0; k < (int64_t)d->n * d->code->columns; k++) slopes[k] = NAN;
    for (i = 0; i < d->n; i++) open[i] = usable(d, i, limit);
    while ((i = next_row(d, open)) >= 0 && count_of(d->code, d->rows[i]) <= most) {
        open[i] = false;
        most -= count_of(d->code, d->rows[i]);
        for (int32_t p = 0; p < d->code->n; p++)
            slopes[(int64_t)i * d->code->columns + d->code->params[p].column] =
                slope_of(d->code, d->rows[i], p) * d->by_value[i];
    }
done:
    mem_free(ctx, open);
    return st;
}
