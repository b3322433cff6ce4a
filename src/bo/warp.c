/* Targets of a model from the values of trials.
 *
 * Source:  the one-sided logarithm was chosen by experiment (docs/SEARCH.md); the same in both
 *          directions is Eriksson and Poloczek's bilog, "Scalable constrained Bayesian
 *          optimization" (AISTATS 2021).
 * Checked: tests/bo/test_warp.c. */
#include "bo/warp.h"
#include <math.h>
#include <stdlib.h>

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double root_mean_square(const double *sorted, int32_t from, int32_t to, double m)
{
    double most = fmax(fabs(sorted[from] - m), fabs(sorted[to - 1] - m)), sum = 0;

    if (!(most > 0) || !isfinite(most)) return most;
    for (int32_t i = from; i < to; i++) sum += (sorted[i] - m) / most * ((sorted[i] - m) / most);
    return most * sqrt(sum / (to - from));
}

typedef struct warp {
    double median, scale, middle; /* middle: median of the complete */
} warp;

static double bent(const warp *w, double y)
{
    double t = (y / w->scale - w->median / w->scale);

    if (!isfinite(t)) t = y > w->median ? 1e300 : -1e300;
    return t > 0 ? log1p(t) : t;
}

static double median_of(const double *sorted, int32_t n)
{
    return n % 2 ? sorted[n / 2] : sorted[n / 2 - 1] * 0.5 + sorted[n / 2] * 0.5;
}

static bool has_value(const observation *row)
{
    return (row->state == OBSERVED_COMPLETE || row->state == OBSERVED_PRUNED) &&
           isfinite(row->value);
}

/* The scale from `sorted`, all values there are; `complete` of them ended. */
static warp make(const double *sorted, int32_t n, double middle)
{
    warp w = {.median = median_of(sorted, n), .middle = middle};
    int32_t low = 0;

    while (low < n && sorted[low] <= w.median) low++;
    w.scale = root_mean_square(sorted, 0, low, w.median);
    if (!(w.scale > 0) && low < n) w.scale = root_mean_square(sorted, low, n, w.median);
    if (!(w.scale > 0)) w.scale = 1;
    return w;
}

/* Of `bent`, given what it gave. */
static double slope_of(const warp *w, double t)
{
    return t > 0 ? exp(-t) / w->scale : 1 / w->scale;
}

static void standardise(double *t, int32_t n, double *slope)
{
    double mean = 0, square = 0;

    for (int32_t i = 0; i < n; i++) mean += t[i] / n;
    for (int32_t i = 0; i < n; i++) square += (t[i] - mean) * (t[i] - mean) / n;
    const double sd = square > 0 ? sqrt(square) : 1;

    for (int32_t i = 0; i < n; i++) t[i] = (t[i] - mean) / sd, slope[i] /= sd;
}

drmad_status warp_targets(drmad_ctx *ctx, const observation *const *rows, int32_t n, double *t,
                          double *slope)
{
    drmad_status st = DRMAD_OK;
    double *sorted = NULL, worst = -INFINITY;
    int32_t count = 0;

    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *sorted, &sorted));
    for (int32_t i = 0; i < n; i++)
        if (rows[i]->state == OBSERVED_COMPLETE && has_value(rows[i]))
            sorted[count++] = rows[i]->value;
    qsort(sorted, (size_t)count, sizeof *sorted, rising);
    const double middle = median_of(sorted, count);
    warp w = make(sorted, count, middle);

    for (int32_t i = 0; i < n; i++) {
        slope[i] = NAN;
        if (rows[i]->state == OBSERVED_FAILED || !isfinite(rows[i]->value)) {
            t[i] = NAN;
            if (rows[i]->state == OBSERVED_PRUNED) t[i] = bent(&w, middle);
        } else if (rows[i]->state == OBSERVED_PRUNED) {
            t[i] = bent(&w, fmax(rows[i]->value, middle));
        } else t[i] = bent(&w, rows[i]->value), slope[i] = slope_of(&w, t[i]);
        if (!isnan(t[i])) worst = fmax(worst, t[i]);
    }
    for (int32_t i = 0; i < n; i++)
        if (isnan(t[i])) t[i] = worst + 0.5;
    standardise(t, n, slope);
done:
    mem_free(ctx, sorted);
    return st;
}
