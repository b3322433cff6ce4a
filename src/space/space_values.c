/* Between the two scales of h, and between h and the leaves of one step.
 *
 *   log       v = exp r                       dv/dr = v
 *   logit     v = low + (high - low) s(r)     dv/dr = (high - low) s(r) s(-r)
 *   identity  v = r                           dv/dr = 1
 *
 * with s(r) = 1/(1 + exp -r).
 *
 * At a bound the derivative is the transform's own: the outer optimiser projects, it does not stop
 * there. */
#include "space/space.h"
#include <math.h>
#include <string.h>

/* Beyond these a raw value can move no more in double: exp overflows, 1 - s rounds to zero. */
#define LOG_RAW_MAX 700.0
#define LOGIT_RAW_MAX 36.0

static double sigmoid(double r)
{
    return 1 / (1 + exp(-r));
}

static double to_raw(const hyper_slice *sl, double v)
{
    switch (sl->transform) {
    case TRANSFORM_LOG: return log(v);
    case TRANSFORM_LOGIT: return log((v - sl->low) / (sl->high - v));
    default: return v;
    }
}

static double to_value(const hyper_slice *sl, double r)
{
    double v = r;

    if (sl->transform == TRANSFORM_LOG) v = exp(r);
    if (sl->transform == TRANSFORM_LOGIT) v = sl->low + (sl->high - sl->low) * sigmoid(r);
    return v < sl->low ? sl->low : v > sl->high ? sl->high : v; /* NaN stays NaN: it must be seen */
}

static double slope(const hyper_slice *sl, double r)
{
    switch (sl->transform) {
    case TRANSFORM_LOG: return exp(r);
    case TRANSFORM_LOGIT: return (sl->high - sl->low) * sigmoid(r) * sigmoid(-r);
    default: return 1;
    }
}

static double clamp_raw(const hyper_slice *sl, double r)
{
    double low = sl->low, high = sl->high;

    if (sl->transform == TRANSFORM_LOGIT) low = -LOGIT_RAW_MAX, high = LOGIT_RAW_MAX;
    if (sl->transform == TRANSFORM_LOG) low = log(low), high = fmin(log(high), LOG_RAW_MAX);
    return r < low ? low : r > high ? high : r;
}

double space_spread(const hyper_slice *sl, double x)
{
    if (sl->transform == TRANSFORM_LOG) return sl->low * pow(sl->high / sl->low, x);
    return sl->low + (sl->high - sl->low) * x;
}

static int64_t slice_end(const hyper_slice *sl)
{
    return sl->offset + sl->elements * sl->phases;
}

void space_start(const space *s, double *raw)
{
    if (s->start) {
        space_raw(s, s->start, raw);
        return;
    }
    for (int32_t j = 0; j < s->n_slices; j++) {
        const hyper_slice *sl = &s->slices[j];
        double r = clamp_raw(sl, to_raw(sl, sl->start));

        for (int64_t i = sl->offset; i < slice_end(sl); i++) raw[i] = r;
    }
}

drmad_status space_start_at(space *s, const double *values)
{
    drmad_status st = DRMAD_OK;

    if (!s->start) TRY(mem_alloc(s->ctx, (size_t)s->total + 1, sizeof *s->start, &s->start));
    memcpy(s->start, values, (size_t)s->total * sizeof *values);
done:
    return st;
}

void space_clamp(const space *s, double *raw)
{
    for (int32_t j = 0; j < s->n_slices; j++)
        for (int64_t i = s->slices[j].offset; i < slice_end(&s->slices[j]); i++)
            raw[i] = clamp_raw(&s->slices[j], raw[i]);
}

void space_values(const space *s, const double *raw, double *values)
{
    for (int32_t j = 0; j < s->n_slices; j++)
        for (int64_t i = s->slices[j].offset; i < slice_end(&s->slices[j]); i++)
            values[i] = to_value(&s->slices[j], raw[i]);
}

void space_raw(const space *s, const double *values, double *raw)
{
    for (int32_t j = 0; j < s->n_slices; j++)
        for (int64_t i = s->slices[j].offset; i < slice_end(&s->slices[j]); i++)
            raw[i] = clamp_raw(&s->slices[j], to_raw(&s->slices[j], values[i]));
}

void space_chain(const space *s, const double *raw, const double *gvalues, double *graw)
{
    for (int32_t j = 0; j < s->n_slices; j++)
        for (int64_t i = s->slices[j].offset; i < slice_end(&s->slices[j]); i++)
            graw[i] = gvalues[i] * slope(&s->slices[j], raw[i]);
}

/* n values, `step` apart. The kernel is a recursion either way: O(n), however wide it is. */
static void smooth_row(const double *g, int64_t n, int64_t step, double keep, double *out)
{
    double sum = 0, weight = 0;

    for (int64_t i = 0; i < n; i++) out[i * step] = sum = g[i * step] + keep * sum;
    sum = 0;
    for (int64_t i = n; i-- > 0;) {
        const double before = (1 - pow(keep, (double)(i + 1))) / (1 - keep); /* and i itself */
        out[i * step] = (out[i * step] + keep * sum) / (before + keep * weight);
        sum = g[i * step] + keep * sum;
        weight = 1 + keep * weight;
    }
}

void space_smooth(const space *s, const double *graw, double *out)
{
    for (int32_t j = 0; j < s->n_slices; j++) {
        const hyper_slice *sl = &s->slices[j];
        const int64_t at = sl->offset, n = sl->elements;

        if (sl->smooth > 0)
            for (int64_t i = at; i < at + n; i++)
                smooth_row(graw + i, sl->phases, n, exp(-1 / sl->smooth), out + i);
        else memcpy(out + at, graw + at, (size_t)(n * sl->phases) * sizeof *out);
    }
}

int64_t space_phase(const space *s, const hyper_use *u, int64_t t)
{
    /* The k with floor(k T/K) <= t < floor((k+1) T/K). */
    return ((t + 1) * s->slices[u->slice].phases - 1) / s->facts.steps;
}

static int64_t row_start(const space *s, const hyper_use *u, int64_t t)
{
    const hyper_slice *sl = &s->slices[u->slice];

    return sl->offset + space_phase(s, u, t) * sl->elements;
}

void space_fetch(const space *s, const hyper_use *u, const hyper_at *at, const double *values,
                 void *out)
{
    const hyper_slice *sl = &s->slices[u->slice];
    const double *row = values + row_start(s, u, at->t);
    double factor = sl->multiplier ? at->base : 1;
    int64_t n = at->rows ? at->n_rows : sl->elements;

    for (int64_t i = 0; i < n; i++) {
        double v = factor * row[at->rows ? at->rows[i] : i];

        if (at->type == F64) ((double *)out)[i] = v;
        else ((float *)out)[i] = (float)v;
    }
}

void space_scatter(const space *s, const hyper_use *u, const hyper_at *at, const void *cot,
                   double *gvalues)
{
    const hyper_slice *sl = &s->slices[u->slice];
    double *row = gvalues + row_start(s, u, at->t);
    double factor = sl->multiplier ? at->base : 1;
    int64_t n = at->rows ? at->n_rows : sl->elements;

    for (int64_t i = 0; i < n; i++) {
        row[at->rows ? at->rows[i] : i] += factor * dtype_get(at->type, cot, i);
    }
}

/* The element of `coarse`'s row that element e of `fine`'s row was tied to: dimensions of length 1
 * are shared. -1 when `fine` does not refine `coarse`. */
static int64_t tied_to(const shape *coarse, const shape *fine, int64_t e)
{
    int64_t below = shape_count(fine), at = 0;

    for (int32_t i = 0; i < fine->rank; i++) {
        below /= fine->dim[i];
        if (coarse->dim[i] != 1 && coarse->dim[i] != fine->dim[i]) return -1;
        at = at * coarse->dim[i] + (coarse->dim[i] == 1 ? 0 : e / below % fine->dim[i]);
    }
    return at;
}

static drmad_status loosen_use(const space *coarse, const double *raw_coarse, const space *fine,
                               double *raw_fine, const hyper_use *uf)
{
    const hyper_use *uc = space_find(coarse, uf->kind, uf->tensor);
    const hyper_slice *sf = &fine->slices[uf->slice];
    const hyper_slice *sc = uc ? &coarse->slices[uc->slice] : NULL;

    if (!sc || sc->phases != sf->phases || uc->shape.rank != uf->shape.rank ||
        tied_to(&uc->shape, &uf->shape, 0) < 0)
        return FAIL(fine->ctx, DRMAD_E_CONFIG, "%s: was not tied before as a coarser %s", sf->name,
                    hyper_kind_of(uf->kind)->word);
    for (int64_t k = 0; k < sf->phases; k++)
        for (int64_t e = 0; e < sf->elements; e++)
            raw_fine[sf->offset + k * sf->elements + e] =
                raw_coarse[sc->offset + k * sc->elements + tied_to(&uc->shape, &uf->shape, e)];
    return DRMAD_OK;
}

drmad_status space_loosen(const space *coarse, const double *raw_coarse, const space *fine,
                          double *raw_fine)
{
    drmad_status st = DRMAD_OK;

    for (int32_t u = 0; u < fine->n_uses; u++)
        TRY(loosen_use(coarse, raw_coarse, fine, raw_fine, &fine->uses[u]));
done:
    return st;
}
