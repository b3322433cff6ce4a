/* The tree-structured Parzen estimator.
 *
 *   finished trials in order: complete ones by value, pruned ones by last step (falling) and value
 *   below = the first ceil(.15 n), above = the others and those that run ("constant liar": a point
 *           that somebody looks at is taken for a bad one until it is known)
 *   x = the best of 24 draws from l by  l(x) / g(x),  l and g the densities of below and above
 *
 * Parameters that were there in the same trials and have the same condition form a group with an
 * l and a g of its own over the trials that have it, multivariate within the group; their condition
 * decides afterwards whether they are in x. Points of below weigh ln(m + 1) - ln(rank), rank 1 to
 * m, times what makes the sum m. A point that breaks a rule is drawn again.
 *
 * Source:  Bergstra, Bardenet, Bengio, Kegl, "Algorithms for hyper-parameter optimization" (NIPS
 *          2011), section 4; Falkner, Klein, Hutter, "BOHB" (ICML 2018): multivariate; groups,
 *          pruned trials and the liar as in Optuna; Watanabe, "Tree-structured Parzen estimator",
 *          arXiv 2304.11127: what the choices do, and the share .15. The weights by rank are those
 *          of CMA-ES (Hansen, arXiv 1604.00772, equation 49).
 * Checked: tests/bo/test_tpe.c; the choices were made on the problems of bench/bo, seeds 0 to 11:
 *          docs/SEARCH.md. */
#include "bo/parzen.h"
#include "bo/sampler_inside.h"
#include <math.h>
#include <string.h>

enum {
    STARTUP = 10,
    CANDIDATES = 24,
    ATTEMPTS = 100 /* points that break a rule before one of the start design is taken */
};
static const double BELOW = 0.15;

/* The trials that count. */
typedef struct sight {
    int32_t n, finished; /* the finished ones come first, best first */
    int32_t below;
    const observation **rows;
} sight;

typedef struct group {
    int32_t n; /* parameters: indices into the space, rising */
    int32_t *params;
    parzen *below, *above;
} group;

typedef struct tpe {
    sampler *s;
    sight seen;
    int32_t n_groups;
    group *groups;
    int32_t *params;    /* all groups' */
    const double **x;   /* work: points of an estimator */
    double *weights;    /* work */
    double *drawn, *at; /* work: points of the space */
} tpe;

/* ---- the trials ---- */

static drmad_status look(tpe *t, const history *h, int64_t number)
{
    drmad_status st = DRMAD_OK;
    sight *v = &t->seen;

    TRY(mem_alloc(t->s->ctx, (size_t)h->n + 1, sizeof(void *), &v->rows));
    for (int32_t i = 0; i < h->n; i++) {
        observed state = h->rows[i].state;

        if (state != OBSERVED_COMPLETE && state != OBSERVED_PRUNED) continue;
        v->rows[v->finished++] = &h->rows[i];
    }
    rank_rows(v->rows, v->finished);
    v->n = v->finished;
    for (int32_t i = 0; i < h->n; i++)
        if (h->rows[i].state == OBSERVED_PENDING && h->rows[i].number != number)
            v->rows[v->n++] = &h->rows[i];
    v->below = (int32_t)ceil(BELOW * v->finished);
done:
    return st;
}

/* ---- groups ---- */

static bool same_condition(const search_param *a, const search_param *b)
{
    if (!a->when || !b->when) return a->when == b->when;
    return strcmp(expr_text(a->when), expr_text(b->when)) == 0;
}

static bool together(const tpe *t, int32_t a, int32_t b)
{
    const search_param *params = t->s->space->params;

    if (!same_condition(&params[a], &params[b])) return false;
    for (int32_t i = 0; i < t->seen.n; i++) {
        const double *x = t->seen.rows[i]->x;

        if (isnan(x[a]) != isnan(x[b])) return false;
    }
    return true;
}

static bool is_single(const search_param *p)
{
    return p->fixed || (p->type == SEARCH_CATEGORICAL ? p->n_choices == 1 : p->low == p->high);
}

/* Groups in the order of their first parameters. */
static drmad_status find_groups(tpe *t)
{
    drmad_status st = DRMAD_OK;
    const search *space = t->s->space;
    const size_t n = (size_t)space->n + 1;
    int32_t *next = NULL, used = 0;

    TRY(mem_alloc(t->s->ctx, n, sizeof *t->groups, &t->groups));
    TRY(mem_alloc(t->s->ctx, n, sizeof *t->params, &t->params));
    TRY(mem_alloc(t->s->ctx, n, sizeof *next, &next)); /* 1: has its group */
    for (int32_t i = 0; i < space->n; i++) next[i] = is_single(&space->params[i]);
    for (int32_t i = 0; i < space->n; i++) {
        if (next[i]) continue;
        group *g = &t->groups[t->n_groups++];

        g->params = t->params + used;
        for (int32_t k = i; k < space->n; k++) {
            if (next[k] || (k > i && !together(t, i, k))) continue;
            next[k] = 1;
            g->params[g->n++] = k;
        }
        used += g->n;
    }
done:
    mem_free(t->s->ctx, next);
    return st;
}

/* Those of rows [from, to) that have the group's parameters, as points of an estimator. */
static parzen_points points_of(tpe *t, const group *g, int32_t from, int32_t to)
{
    parzen_points points = {0, t->x, t->weights};

    for (int32_t i = from; i < to; i++) {
        const double *x = t->seen.rows[i]->x;

        if (isnan(x[g->params[0]])) continue;
        t->weights[points.n] = 1;
        t->x[points.n++] = x;
    }
    return points;
}

static void weigh_by_rank(double *weights, int32_t m)
{
    double sum = 0;

    for (int32_t i = 0; i < m; i++) sum += weights[i] = log(m + 1) - log(i + 1);
    for (int32_t i = 0; i < m; i++) weights[i] *= m / sum;
}

static drmad_status fit(tpe *t, group *g)
{
    drmad_status st = DRMAD_OK;
    const search *space = t->s->space;
    parzen_points points = points_of(t, g, 0, t->seen.below);

    weigh_by_rank(t->weights, points.n);
    TRY(parzen_new(space, g->params, g->n, &points, &g->below));
    points = points_of(t, g, t->seen.below, t->seen.n);
    TRY(parzen_new(space, g->params, g->n, &points, &g->above));
done:
    return st;
}

/* ---- the proposal ---- */

/* The best candidate's values of the group into t->drawn. */
static void propose(tpe *t, group *g, int64_t number, int32_t attempt)
{
    double best = -INFINITY;

    for (int32_t c = 0; c < CANDIDATES; c++) {
        const uint32_t step = (uint32_t)(attempt * CANDIDATES + c);
        rng_key key = {t->s->options.seed, step, rng_site("sample/tpe")};

        parzen_draw(g->below, key, (uint64_t)number * PARZEN_ELEMENTS, t->at);
        double gain = parzen_log_density(g->below, t->at) - parzen_log_density(g->above, t->at);

        if (c > 0 && !(gain > best)) continue;
        best = gain;
        for (int32_t i = 0; i < g->n; i++) t->drawn[g->params[i]] = t->at[g->params[i]];
    }
}

/* *kept: whether x got a point that keeps the rules. */
static drmad_status draw(tpe *t, int64_t number, double *x, bool *kept)
{
    drmad_status st = DRMAD_OK;
    const search *space = t->s->space;
    const size_t bytes = (size_t)space->n * sizeof *x;
    int32_t broken = -1;

    *kept = false;
    sample_random(t->s->options.seed, number, 0, space->n, t->weights); /* of what has one value */
    for (int32_t k = 0; k < ATTEMPTS && !*kept; k++) {
        memcpy(t->drawn, x, bytes);
        memcpy(t->at, x, bytes);
        for (int32_t i = 0; i < t->n_groups; i++) propose(t, &t->groups[i], number, k);
        TRY(search_complete(space, t->weights, t->drawn, &broken));
        *kept = broken < 0;
    }
    if (*kept) memcpy(x, t->drawn, bytes);
done:
    return st;
}

static drmad_status make_room(tpe *t)
{
    drmad_status st = DRMAD_OK;
    drmad_ctx *ctx = t->s->ctx;
    const size_t d = (size_t)t->s->space->n + 1, n = (size_t)t->seen.n + d;

    TRY(mem_alloc(ctx, n, sizeof(void *), &t->x));
    TRY(mem_alloc(ctx, n, sizeof(double), &t->weights));
    TRY(mem_alloc(ctx, 2 * d, sizeof(double), &t->drawn));
    t->at = t->drawn + d;
done:
    return st;
}

static void clear(tpe *t)
{
    drmad_ctx *ctx = t->s->ctx;

    for (int32_t i = 0; i < t->n_groups; i++) {
        parzen_free(t->groups[i].below);
        parzen_free(t->groups[i].above);
    }
    mem_free(ctx, t->groups);
    mem_free(ctx, t->params);
    mem_free(ctx, t->seen.rows);
    mem_free(ctx, t->x);
    mem_free(ctx, t->weights);
    mem_free(ctx, t->drawn);
}

static drmad_status suggest(sampler *s, const history *h, int64_t number, double *x, json_t **model)
{
    drmad_status st = DRMAD_OK;
    tpe t = {.s = s};
    bool kept = false;

    *model = NULL;
    TRY(look(&t, h, number));
    if (t.seen.finished >= (s->options.startup > 0 ? s->options.startup : STARTUP)) {
        TRY(find_groups(&t));
        TRY(make_room(&t));
        for (int32_t i = 0; i < t.n_groups; i++) {
            TRY(fit(&t, &t.groups[i]));
            parzen_condition(t.groups[i].below, x);
        }
        TRY(draw(&t, number, x, &kept));
    }
    if (!kept) TRY(sampler_start(s, number, x));
done:
    clear(&t);
    return st;
}

const sampler_ops sampler_tpe = {.name = "tpe", .suggest = suggest};
