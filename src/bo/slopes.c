/* Checked: tests/bo/test_gp_gradient.c. */
#include "bo/slopes.h"
#include <math.h>

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

/* The best row that has slopes and is not taken, of equals the newest; -1: none. */
static int32_t next_row(const encoding *e, const observation *const *rows, int32_t n,
                        const bool *taken)
{
    int32_t best = -1;

    for (int32_t i = 0; i < n; i++) {
        if (taken[i] || count_of(e, rows[i]) == 0) continue;
        if (best < 0 || rows[i]->value <= rows[best]->value) best = i;
    }
    return best;
}

drmad_status slopes_make(drmad_ctx *ctx, const encoding *e, const observation *const *rows,
                         int32_t n, const double *by_value, int32_t most, double *slopes)
{
    drmad_status st = DRMAD_OK;
    bool *taken = NULL;
    int32_t i;

    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *taken, &taken));
    for (int64_t k = 0; k < (int64_t)n * e->columns; k++) slopes[k] = NAN;
    while ((i = next_row(e, rows, n, taken)) >= 0 && count_of(e, rows[i]) <= most) {
        taken[i] = true;
        most -= count_of(e, rows[i]);
        for (int32_t p = 0; p < e->n; p++)
            slopes[(int64_t)i * e->columns + e->params[p].column] =
                slope_of(e, rows[i], p) * by_value[i];
    }
done:
    mem_free(ctx, taken);
    return st;
}
