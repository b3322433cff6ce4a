/* Scales: which range, where a value lies, which ticks. */
#include "report/svg.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranges ---- */

/* Room at both ends, so that no mark sits on the frame. */
static void widen(scale *s)
{
    if (s->kind == SCALE_LOG) {
        const double by = s->high > s->low ? pow(s->high / s->low, 0.03) : 1.5;

        s->low /= by, s->high *= by;
        return;
    }
    const double span = s->high / 2 - s->low / 2;
    const double by = span > 1e-12 * fabs(s->high) ? 0.06 * span : 0.05 * fabs(s->high) + 1e-9;

    s->low -= by, s->high += by;
}

static int64_t range_of(const double *x, int64_t n, double *low, double *high)
{
    int64_t found = 0;

    *low = HUGE_VAL, *high = -HUGE_VAL;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        *low = fmin(*low, x[i]), *high = fmax(*high, x[i]);
        found++;
    }
    return found;
}

scale scale_of(const double *x, int64_t n, bool log)
{
    scale s = {.low = 0, .high = 1};
    double low, high;

    if (range_of(x, n, &low, &high) > 0) {
        /* beyond these, differences of coordinates would not be finite */
        s.low = fmax(low, -1e300), s.high = fmin(high, 1e300);
        s.kind = log && low > 0 ? SCALE_LOG : SCALE_LINEAR;
        widen(&s);
    }
    return s;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

drmad_status scale_of_values(drmad_ctx *ctx, const double *x, int64_t n, scale *out)
{
    double *sorted = NULL, low, high;
    drmad_status st = DRMAD_OK;
    int64_t k = 0;
    const int64_t found = range_of(x, n, &low, &high);

    *out = scale_of(x, n, low > 0 && high > 100 * low);
    if (found < 8 || out->kind == SCALE_LOG) return DRMAD_OK;
    TRY(mem_alloc(ctx, (size_t)found, sizeof *sorted, &sorted));
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) sorted[k++] = x[i];
    qsort(sorted, (size_t)k, sizeof *sorted, rising);
    /* what the middle eighty of a hundred span, three times to either side */
    const double a = sorted[k / 10], b = sorted[k - 1 - k / 10], reach = 3 * (b - a);
    if (b > a) {
        *out = (scale){.low = fmax(low, a - reach), .high = fmin(high, b + reach)};
        widen(out);
    }
done:
    mem_free(ctx, sorted);
    return st;
}

scale scale_of_names(char *const *names, int32_t n)
{
    return (scale){.kind = SCALE_NAMES, .low = -0.5, .high = n - 0.5, .n_names = n, .names = names};
}

/* ---- places ---- */

static double share_of(const scale *s, double x)
{
    if (s->kind != SCALE_LOG) return (x - s->low) / (s->high - s->low);
    return x > 0 ? log(x / s->low) / log(s->high / s->low) : 0;
}

double scale_at(const scale *s, double x)
{
    if (isnan(x)) x = s->high;
    return s->from + fmin(1, fmax(0, share_of(s, x))) * (s->to - s->from);
}

bool scale_holds(const scale *s, double x)
{
    return isfinite(x) && x >= s->low && x <= s->high;
}

double scale_back(const scale *s, double share)
{
    if (s->kind == SCALE_LOG) return s->low * pow(s->high / s->low, share);
    return s->low + share * (s->high - s->low);
}

/* ---- ticks ---- */

static double nice_step(double span, int wanted)
{
    const double rough = span / (wanted > 0 ? wanted : 1), power = pow(10, floor(log10(rough)));
    const double m = rough / power;

    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static int linear_ticks(const scale *s, int wanted, double *at)
{
    const double step = nice_step(s->high - s->low, wanted);
    int n = 0;

    if (!(step > 0) || !isfinite(step)) return 0;
    for (double x = ceil(s->low / step); x * step <= s->high && n < TICKS_MAX; x++)
        at[n++] = x * step;
    return n;
}

static int log_ticks(const scale *s, int wanted, double *at)
{
    static const double parts[] = {1, 2, 5};
    const double decades = log10(s->high / s->low);
    const int every = (int)ceil(decades / (wanted > 0 ? wanted : 1));
    int n = 0;

    if (decades < 0.8) return linear_ticks(s, wanted, at);
    const bool fine = decades * 3 <= wanted + 2;
    for (double e = floor(log10(s->low)); e <= log10(s->high); e += 1) {
        if (!fine && fmod(e, every) != 0) continue;
        for (size_t i = 0; i < (fine ? COUNT(parts) : 1) && n < TICKS_MAX; i++) {
            const double x = parts[i] * pow(10, e);

            if (x >= s->low && x <= s->high) at[n++] = x;
        }
    }
    return n > 1 ? n : linear_ticks(s, wanted, at);
}

int scale_ticks(const scale *s, int wanted, double *at)
{
    if (s->kind == SCALE_LOG) return log_ticks(s, wanted, at);
    if (s->kind == SCALE_LINEAR) return linear_ticks(s, wanted, at);
    const int most = wanted < 1 ? 1 : wanted < TICKS_MAX ? wanted : TICKS_MAX;
    const int every = s->n_names > most ? (s->n_names + most - 1) / most : 1;
    int n = 0;

    for (int i = 0; i < s->n_names; i += every) at[n++] = i;
    return n;
}

void scale_label(const scale *s, double x, char *buf, size_t size)
{
    const double span = s->high - s->low, large = fmax(fabs(s->low), fabs(s->high));

    if (s->kind == SCALE_NAMES) {
        snprintf(buf, size, "%s", s->names[(int)x]);
    } else if (s->kind == SCALE_LOG && span > s->low) {
        snprintf(buf, size, "%.3g", x);
    } else {
        /* as many digits as tell a twentieth of the span apart */
        const int digits = (int)ceil(log10(20 * large / span));

        snprintf(buf, size, "%.*g",
                 digits < 3   ? 3
                 : digits > 9 ? 9
                              : digits,
                 fabs(x) < 1e-9 * span ? 0.0 : x);
    }
}
