/* The CMA-ES sampler: generations from a history.
 *
 *   coordinates   numbers and ordered choices at their place on the unit cube (search_place_one);
 *                 choices without an order are drawn at random, from their weights
 *   generation g  trials  startup + g size  to  startup + (g + 1) size - 1
 *   closed        all of its trials are finished, or half as many later ones as it has: those that
 *                 still run are then left out until they are finished
 *
 * A trial of generation G is drawn from what the closed generations before G give, in turn, up to
 * the first that is open; so workers that run ahead draw from an older distribution, and nobody
 * waits. The state is computed from the history each time. Failed trials rank last. A draw outside
 * the cube or against a rule is drawn again, at last cut to the cube.
 *
 * Source:  cma.c.
 * Checked: tests/bo/test_cmaes.c. */
#include "bo/cma.h"
#include "bo/sampler_inside.h"
#include <math.h>
#include <string.h>

enum { ATTEMPTS = 100 };

typedef struct cmaes {
    sampler *s;
    linalg *lin; /* borrowed */
    cma *c;
    int32_t d, size, startup;
    int32_t *params; /* d: indices into the space */
    double *v, *u;   /* work: d; one a parameter of the space */
    double *drawn;   /* work: a point of the space */
    const observation **rows;
    cma_span *spans;    /* work: size * d */
    uint64_t *elements; /* work: size */
} cmaes;

static bool has_coordinate(const search_param *p)
{
    if (p->fixed) return false;
    if (p->type == SEARCH_CATEGORICAL) return p->ordered && p->n_choices > 1;
    return p->low < p->high;
}

static bool is_grid(const search_param *p)
{
    return p->type == SEARCH_CATEGORICAL || p->step > 0;
}

/* The stretch of x on the parameter's coordinate, without end at the borders of a grid. */
static cma_span span_of(const search_param *p, double x)
{
    cma_span s = {-INFINITY, INFINITY};

    if (isnan(x)) return s;
    search_place_one(p, x, &s.from, &s.to);
    if (!is_grid(p)) return s;
    if (x == (p->type == SEARCH_CATEGORICAL ? 0 : p->low)) s.from = -INFINITY;
    if (x == (p->type == SEARCH_CATEGORICAL ? p->n_choices - 1 : p->high)) s.to = INFINITY;
    return s;
}

static double inside(double v)
{
    return fmin(fmax(v, 0), 1 - 0x1p-53);
}

static drmad_status make_room(cmaes *t)
{
    drmad_status st = DRMAD_OK;
    drmad_ctx *ctx = t->s->ctx;
    const search *space = t->s->space;
    const size_t n = (size_t)space->n + 1;

    TRY(mem_alloc(ctx, n, sizeof *t->params, &t->params));
    for (int32_t i = 0; i < space->n; i++)
        if (has_coordinate(&space->params[i])) t->params[t->d++] = i;
    t->size = t->d > 0 ? cma_size(t->d) : 0;
    t->startup = t->s->options.startup > 0 ? t->s->options.startup : t->size;
    TRY(mem_alloc(ctx, 3 * n, sizeof(double), &t->v));
    t->u = t->v + n, t->drawn = t->u + n;
    const size_t members = (size_t)(t->size > t->startup ? t->size : t->startup) + 1;

    TRY(mem_alloc(ctx, members, sizeof *t->rows, &t->rows));
    TRY(mem_alloc(ctx, members * n, sizeof *t->spans, &t->spans));
    TRY(mem_alloc(ctx, members, sizeof *t->elements, &t->elements));
    if (t->d > 0) TRY(cma_new(ctx, t->lin, t->d, &t->c));
done:
    return st;
}

static void clear(cmaes *t)
{
    drmad_ctx *ctx = t->s->ctx;

    cma_free(t->c);
    mem_free(ctx, t->params);
    mem_free(ctx, t->v);
    mem_free(ctx, t->rows);
    mem_free(ctx, t->spans);
    mem_free(ctx, t->elements);
}

/* The finished trials numbered from `first` on, up to `count`; *closed: nothing is waited for. */
static int32_t members_of(cmaes *t, const history *h, int64_t first, int32_t count, bool *closed)
{
    int32_t n = 0, later = 0;

    for (int32_t i = 0; i < h->n; i++) {
        const observation *o = &h->rows[i];

        if (o->state == OBSERVED_PENDING || o->number < first) continue;
        if (o->number >= first + count) later++;
        else t->rows[n++] = o;
    }
    *closed = n == count || later >= (t->size + 1) / 2;
    rank_rows(t->rows, n);
    return n;
}

/* The mean to begin with: the best trial of the start design, else the middle. */
static void begin(cmaes *t, int32_t n)
{
    const observation *best = n > 0 && t->rows[0]->state == OBSERVED_COMPLETE ? t->rows[0] : NULL;

    for (int32_t i = 0; i < t->d; i++) {
        const search_param *p = &t->s->space->params[t->params[i]];
        double from = 0, to = 1;

        if (best && !isnan(best->x[t->params[i]]))
            search_place_one(p, best->x[t->params[i]], &from, &to);
        t->v[i] = from + 0.5 * (to - from);
    }
    cma_start(t->c, t->v);
}

static void keep_margins(cmaes *t)
{
    for (int32_t i = 0; i < t->d; i++) {
        const search_param *p = &t->s->space->params[t->params[i]];
        const double x = search_draw_one(p, inside(cma_mean(t->c)[i]));

        if (is_grid(p)) cma_margin(t->c, i, span_of(p, x));
    }
}

static drmad_status replay(cmaes *t, const history *h, int64_t number)
{
    drmad_status st = DRMAD_OK;
    const rng_key key = {t->s->options.seed, 0, rng_site("sample/cmaes/open")};
    bool closed = true;

    begin(t, members_of(t, h, 0, t->startup, &closed));
    for (int64_t g = t->startup; g + t->size <= number; g += t->size) {
        int32_t m = members_of(t, h, g, t->size, &closed);

        if (!closed) break;
        for (int32_t k = 0; k < m; k++) {
            t->elements[k] = (uint64_t)t->rows[k]->number << 24;
            for (int32_t i = 0; i < t->d; i++)
                t->spans[k * t->d + i] =
                    span_of(&t->s->space->params[t->params[i]], t->rows[k]->x[t->params[i]]);
        }
        TRY(cma_update(t->c, m, t->spans, key, t->elements));
        keep_margins(t);
    }
done:
    return st;
}

/* Puts a draw into t->u; false: it lies outside the cube. A grid's border cells have no end. */
static bool draw_place(cmaes *t, int64_t number, int32_t attempt)
{
    const rng_key key = {t->s->options.seed, (uint32_t)attempt, rng_site("sample/cmaes")};
    bool in = true;

    sample_random(t->s->options.seed, number, attempt, t->s->space->n, t->u);
    cma_draw(t->c, key, (uint64_t)number << 24, t->v);
    for (int32_t i = 0; i < t->d; i++) {
        in &= is_grid(&t->s->space->params[t->params[i]]) || (t->v[i] >= 0 && t->v[i] < 1);
        t->u[t->params[i]] = inside(t->v[i]);
    }
    return in;
}

static drmad_status draw(cmaes *t, int64_t number, double *x, bool *kept)
{
    drmad_status st = DRMAD_OK;
    const search *space = t->s->space;
    const size_t bytes = (size_t)space->n * sizeof *x;
    int32_t broken;

    *kept = false;
    for (int32_t k = 0; k < 2 * ATTEMPTS && !*kept; k++) {
        if (!draw_place(t, number, k) && k < ATTEMPTS) continue;
        memcpy(t->drawn, x, bytes);
        TRY(search_complete(space, t->u, t->drawn, &broken));
        *kept = broken < 0;
    }
    if (*kept) memcpy(x, t->drawn, bytes);
done:
    return st;
}

static drmad_status suggest(sampler *s, const history *h, int64_t number, double *x, json_t **model)
{
    drmad_status st = DRMAD_OK;
    cmaes t = {.s = s, .lin = s->state};
    bool kept = false;

    *model = NULL;
    TRY(make_room(&t));
    if (t.d > 0 && number >= t.startup) {
        TRY(replay(&t, h, number));
        TRY(draw(&t, number, x, &kept));
    }
    if (!kept) TRY(sampler_start(s, number, x));
done:
    clear(&t);
    return st;
}

static drmad_status open_cmaes(sampler *s)
{
    linalg *lin = NULL;
    drmad_status st = linalg_open(s->ctx, &lin);

    s->state = lin;
    return st;
}

static void close_cmaes(sampler *s)
{
    linalg_close(s->state);
}

const sampler_ops sampler_cmaes = {
    .name = "cmaes", .open = open_cmaes, .close = close_cmaes, .suggest = suggest};
