/* Points of a search as columns of a model: encoding.h says what they are.
 * Checked: tests/bo/test_encoding.c. */
#include "bo/encoding.h"
#include <math.h>
#include <string.h>

enum {
    QUANTILES = 256,  /* equal steps of u; between them a draw is interpolated */
    GRID_MOST = 65536 /* a longer grid is snapped to and otherwise treated as continuous */
};

static double scaled(const coded_param *c, double x)
{
    return c->logarithm ? log(x) : x;
}

/* The part of the range that matters: three sd of a normal prior. */
static void set_range(const search_param *p, coded_param *c)
{
    const double half = 0.5 * p->step;
    double low = p->low - half, high = p->high + half;

    c->logarithm = p->log || p->prior == PRIOR_LOG_NORMAL;
    if (c->logarithm && low <= 0) low = p->low > 0 ? p->low : p->step > 0 ? half : 1e-300;
    double from = scaled(c, low), to = scaled(c, high), a = from, b = to;

    if (p->prior != PRIOR_UNIFORM && c->logarithm == (p->prior == PRIOR_LOG_NORMAL)) {
        a = fmax(from, p->mean - 3 * p->sd);
        b = fmin(to, p->mean + 3 * p->sd);
        if (!(b > a)) a = from, b = to;
    }
    c->from = a, c->width = b > a ? b - a : 1;
    c->lower = (from - a) / c->width, c->upper = (to - a) / c->width;
    c->count = p->step > 0 ? nearbyint((p->high - p->low) / p->step) + 1 : 0;
    if (c->count > GRID_MOST) c->count = 0;
    if (p->low == p->high) c->count = 1;
}

static double place_of(const coded_param *c, double x)
{
    return (scaled(c, x) - c->from) / c->width;
}

static drmad_status set_quantiles(const search *space, const search_param *p, coded_param *c)
{
    drmad_status st = DRMAD_OK;

    if (p->prior == PRIOR_UNIFORM && c->logarithm == p->log) return st;
    TRY(mem_alloc(space->ctx, QUANTILES + 1, sizeof(double), &c->quantiles));
    for (int32_t i = 0; i <= QUANTILES; i++) {
        double u = fmin(fmax((double)i / QUANTILES, 1e-3), 1 - 1e-3);

        c->quantiles[i] = place_of(c, search_draw_one(p, u));
    }
done:
    return st;
}

static drmad_status add_param(encoding *e, const search_param *p, int32_t index)
{
    coded_param *c = &e->params[e->n];

    *c = (coded_param){.index = index, .conditional = p->when != NULL};
    c->choice = p->type == SEARCH_CATEGORICAL && !p->ordered;
    if (p->type == SEARCH_CATEGORICAL) {
        c->count = p->n_choices, c->width = 1;
        if (p->ordered) c->from = -0.5, c->width = p->n_choices, c->upper = 1;
    } else set_range(p, c);
    const int32_t states = c->choice ? p->n_choices + c->conditional : 0;

    c->column = e->columns;
    c->columns = !c->choice ? 1 + c->conditional : states <= 2 ? 1 : states;
    e->columns += c->columns;
    e->n++;
    return p->type == SEARCH_CATEGORICAL ? DRMAD_OK : set_quantiles(e->space, p, c);
}

drmad_status encoding_new(const search *space, encoding **out)
{
    drmad_status st = DRMAD_OK;
    encoding *e = NULL;

    *out = NULL;
    TRY(mem_alloc(space->ctx, 1, sizeof *e, &e));
    *e = (encoding){.space = space, .heeds = space->n_rules > 0};
    TRY(mem_alloc(space->ctx, (size_t)space->n + 1, sizeof *e->params, &e->params));
    for (int32_t i = 0; i < space->n; i++) {
        e->heeds |= space->params[i].when != NULL;
        if (!space->params[i].fixed) TRY(add_param(e, &space->params[i], i));
    }
    TRY(mem_alloc(space->ctx, (size_t)e->columns + 1, sizeof *e->group, &e->group));
    for (int32_t i = 0; i < e->n; i++)
        for (int32_t k = 0; k < e->params[i].columns; k++) e->group[e->params[i].column + k] = i;
    *out = e, e = NULL;
done:
    encoding_free(e);
    return st;
}

void encoding_free(encoding *e)
{
    if (!e) return;
    drmad_ctx *ctx = e->space->ctx;

    for (int32_t i = 0; e->params && i < e->n; i++) mem_free(ctx, e->params[i].quantiles);
    mem_free(ctx, e->params);
    mem_free(ctx, e->group);
    mem_free(ctx, e);
}

/* ---- x and v ---- */

void encoding_latent(const encoding *e, const double *x, double *v)
{
    for (int32_t i = 0; i < e->n; i++) {
        const coded_param *c = &e->params[i];
        const double value = x[c->index];

        if (isnan(value)) v[i] = c->choice ? 0 : 0.5;
        else v[i] = c->choice ? value : place_of(c, value);
    }
}

static double value_of(const search_param *p, const coded_param *c, double v)
{
    if (c->choice) return fmin(fmax(nearbyint(v), 0), p->n_choices - 1);
    double x = c->from + fmin(fmax(v, c->lower), c->upper) * c->width;

    if (p->type == SEARCH_CATEGORICAL) return fmin(fmax(nearbyint(x), 0), p->n_choices - 1);
    if (c->logarithm) x = exp(x);
    if (p->step > 0) x = nearbyint((x - p->low) / p->step) * p->step + p->low;
    return fmin(fmax(x, p->low), p->high);
}

drmad_status encoding_point(const encoding *e, const double *v, const double *given, double *x,
                            bool *keeps)
{
    drmad_status st = DRMAD_OK;
    int32_t broken = -1;

    for (int32_t i = 0; i < e->space->n; i++)
        if (e->space->params[i].fixed) x[i] = e->space->params[i].fixed_value;
    for (int32_t i = 0; i < e->n; i++)
        x[e->params[i].index] =
            value_of(&e->space->params[e->params[i].index], &e->params[i], v[i]);
    for (int32_t i = 0; given && i < e->space->n; i++)
        if (!isnan(given[i])) x[i] = given[i];
    *keeps = true;
    if (!e->heeds) return st;
    TRY(search_complete(e->space, NULL, x, &broken));
    *keeps = broken < 0;
done:
    return st;
}

/* ---- z ---- */

static void put_choice(const coded_param *c, double x, double *z)
{
    const int32_t out = (int32_t)c->count;
    const int32_t state = isnan(x) ? out : (int32_t)x;

    if (c->columns == 1) {
        z[0] = state;
        return;
    }
    for (int32_t k = 0; k < c->columns; k++) z[k] = k == state ? M_SQRT1_2 : 0;
}

void encoding_columns(const encoding *e, const double *x, double *z)
{
    for (int32_t i = 0; i < e->n; i++) {
        const coded_param *c = &e->params[i];
        const double value = x[c->index];
        double *to = z + c->column;

        if (c->choice) {
            put_choice(c, value, to);
            continue;
        }
        to[0] = isnan(value) ? 0.5 : place_of(c, value);
        if (c->conditional) to[1] = isnan(value) ? sqrt(0.75) : 0;
    }
}

double encoding_slope(const encoding *e, int32_t p, const double *x)
{
    const coded_param *c = &e->params[p];
    const double value = x[c->index];

    if (c->count > 0 || isnan(value)) return NAN;
    return c->logarithm ? c->width * value : c->width;
}

/* ---- grids ---- */

int32_t encoding_step(const encoding *e, int32_t p, const double *x)
{
    const coded_param *c = &e->params[p];
    const search_param *q = &e->space->params[c->index];
    const double value = x[c->index];

    if (q->type == SEARCH_CATEGORICAL) return (int32_t)value;
    return q->step > 0 ? (int32_t)nearbyint((value - q->low) / q->step) : 0;
}

double encoding_at_step(const encoding *e, int32_t p, int32_t step)
{
    const coded_param *c = &e->params[p];
    const search_param *q = &e->space->params[c->index];

    if (c->choice) return step;
    return place_of(c, q->type == SEARCH_CATEGORICAL ? step : q->low + step * q->step);
}

/* ---- draws ---- */

void encoding_draw(const encoding *e, const double *u, double *v)
{
    for (int32_t i = 0; i < e->n; i++) {
        const coded_param *c = &e->params[i];

        if (c->choice) {
            v[i] = search_draw_one(&e->space->params[c->index], u[i]);
        } else if (!c->quantiles) {
            v[i] = c->lower + u[i] * (c->upper - c->lower);
        } else {
            const double at = u[i] * QUANTILES, k = fmin(floor(at), QUANTILES - 1);
            const double *q = c->quantiles + (int32_t)k;

            v[i] = q[0] + (at - k) * (q[1] - q[0]);
        }
    }
}
