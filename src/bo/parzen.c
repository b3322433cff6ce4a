/* Parzen estimators over mixed parameters.
 *
 *   p(u) = sum_k w_k prod_i K_ki(u_i)        k = 1..n, and the prior, K = 1
 *
 *   number   K is the normal density around the point's place m, cut to [0, 1]; its sd is the
 *            distance to the farther one of the two neighbouring places in this coordinate (at an
 *            end to the only one; a half when there is none), at least
 *                1 / min(50, (n + 2)^1.5)
 *            On a grid a value is a stretch of u, and K its mean over the stretch.
 *   choice   with prob. c / (n + 1 + c) a draw from the prior, else the point's own choice, c the
 *            number of choices
 *
 * Points that share a place share its sd, so K is computed once a place: a "slot".
 *
 * Source:  Bergstra, Bardenet, Bengio, Kegl, "Algorithms for hyper-parameter optimization" (NIPS
 *          2011), section 4 for the sd from neighbours; product kernels: Falkner, Klein, Hutter,
 *          "BOHB" (ICML 2018). The categorical kernel and the "magic" bound on sd are those of
 *          Optuna; its exponent after Watanabe, arXiv 2304.11127, section 3.3.4.
 * Differs: Optuna takes the sd of its product kernels from n and d alone, .2 n^(-1/(d+4)). That of
 *          the neighbours adapts to each coordinate and was better: docs/SEARCH.md.
 * Checked: tests/bo/test_parzen.c. */
#include "bo/parzen.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 64 };

/* In sd: over less, the density's mean is that of the middle, to .2 %. */
static const double NARROW = 0.2;
static const double NEGLIGIBLE = 50;                  /* exp(-50), beside 1 */
static const double SD_BOUND = 50, SD_EXPONENT = 1.5; /* measured: docs/SEARCH.md */

/* A parameter of the estimator. */
typedef struct axis {
    const search_param *param;
    int32_t index, slots; /* in the space; of places or choices */
    bool given;
    int32_t *slot; /* of each point */
    /* of each slot: a number's m, sd, 1 / sd, ln K at m, and -ln of the normal's mass in [0, 1] */
    double *place, *sd, *rate, *ln_peak, *ln_norm;
    double *term; /* ln K at the point that is looked at */
} axis;

struct parzen {
    drmad_ctx *ctx;
    int32_t n, d;
    double *ln_weight; /* n + 1, the prior last */
    double *reach;     /* n + 1: sums of the weights that draws follow */
    double *sum;       /* n + 1: work */
    axis *axes;
};

static double below(double z)
{
    return 0.5 * erfc(-z / M_SQRT2);
}

/* ---- making ---- */

typedef struct spot {
    double place;
    int32_t point;
} spot;

static int by_place(const void *a, const void *b)
{
    const spot *p = a, *q = b;

    return p->place < q->place ? -1 : p->place > q->place;
}

/* Slots in the order of their places. */
static void find_slots(axis *a, const spot *spots, int32_t n)
{
    a->slots = 0;
    for (int32_t i = 0; i < n; i++) {
        if (i == 0 || spots[i].place > spots[i - 1].place) a->place[a->slots++] = spots[i].place;
        a->slot[spots[i].point] = a->slots - 1;
    }
}

static double mass_inside(double place, double sd)
{
    const double far = 8; /* erfc is below an ulp of 1 */
    double left = place < far * sd ? below(-place / sd) : 0;
    double right = 1 - place < far * sd ? below(-(1 - place) / sd) : 0;

    return 1 - left - right;
}

static void find_widths(axis *a, int32_t n)
{
    const double least = 1 / fmin(SD_BOUND, pow(n + 2, SD_EXPONENT));

    for (int32_t s = 0; s < a->slots; s++) {
        double sd = a->slots == 1 ? 0.5 : 0;

        if (s > 0) sd = fmax(sd, a->place[s] - a->place[s - 1]);
        if (s + 1 < a->slots) sd = fmax(sd, a->place[s + 1] - a->place[s]);
        a->sd[s] = fmax(sd, least);
        a->rate[s] = 1 / a->sd[s];
        a->ln_norm[s] = -log(mass_inside(a->place[s], a->sd[s]));
        a->ln_peak[s] = a->ln_norm[s] - log(a->sd[s] * sqrt(2 * M_PI));
    }
}

static void set_axis(axis *a, const parzen_points *points, spot *spots)
{
    double from, to;

    if (a->param->type == SEARCH_CATEGORICAL && !a->param->ordered) {
        a->slots = a->param->n_choices;
        for (int32_t i = 0; i < points->n; i++) a->slot[i] = (int32_t)points->x[i][a->index];
        return;
    }
    for (int32_t i = 0; i < points->n; i++) {
        search_place_one(a->param, points->x[i][a->index], &from, &to);
        spots[i] = (spot){from + 0.5 * (to - from), i};
    }
    qsort(spots, (size_t)points->n, sizeof *spots, by_place);
    find_slots(a, spots, points->n);
    find_widths(a, points->n);
}

static drmad_status make_axis(parzen *p, axis *a, const parzen_points *points, spot *spots)
{
    drmad_status st = DRMAD_OK;
    size_t n = (size_t)points->n + 1;

    TRY(mem_alloc(p->ctx, n, sizeof *a->slot, &a->slot));
    if ((size_t)a->param->n_choices > n) n = (size_t)a->param->n_choices;
    TRY(mem_alloc(p->ctx, 6 * n, sizeof(double), &a->place));
    a->sd = a->place + n, a->rate = a->sd + n, a->ln_peak = a->rate + n;
    a->ln_norm = a->ln_peak + n, a->term = a->ln_norm + n;
    set_axis(a, points, spots);
done:
    return st;
}

/* Draws follow the weights alone, or with `conditional` those of p->sum, logarithms. */
static void set_reach(parzen *p, bool conditional)
{
    const double *ln = conditional ? p->sum : p->ln_weight;
    double most = -INFINITY, sum = 0;

    for (int32_t k = 0; k <= p->n; k++) most = fmax(most, ln[k]);
    for (int32_t k = 0; k <= p->n; k++) p->reach[k] = sum += exp(ln[k] - most);
}

drmad_status parzen_new(const search *space, const int32_t *params, int32_t d,
                        const parzen_points *points, parzen **out)
{
    drmad_status st = DRMAD_OK;
    const size_t n = (size_t)points->n + 1;
    drmad_ctx *ctx = space->ctx;
    double total = 1;
    parzen *p = NULL;
    spot *spots = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, n, sizeof *spots, &spots));
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    *p = (parzen){.ctx = ctx, .n = points->n, .d = d};
    TRY(mem_alloc(ctx, 3 * n, sizeof(double), &p->ln_weight));
    p->reach = p->ln_weight + n, p->sum = p->reach + n;
    TRY(mem_alloc(ctx, (size_t)d, sizeof *p->axes, &p->axes));
    for (int32_t i = 0; i < d; i++) {
        p->axes[i] = (axis){.param = &space->params[params[i]], .index = params[i]};
        TRY(make_axis(p, &p->axes[i], points, spots));
    }
    for (int32_t i = 0; i < points->n; i++) total += points->weights[i];
    for (int32_t i = 0; i < points->n; i++) p->ln_weight[i] = log(points->weights[i] / total);
    p->ln_weight[points->n] = -log(total);
    set_reach(p, false);
    *out = p, p = NULL;
done:
    parzen_free(p);
    mem_free(ctx, spots);
    return st;
}

void parzen_free(parzen *p)
{
    if (!p) return;
    for (int32_t i = 0; p->axes && i < p->d; i++) {
        mem_free(p->ctx, p->axes[i].slot);
        mem_free(p->ctx, p->axes[i].place);
    }
    mem_free(p->ctx, p->axes);
    mem_free(p->ctx, p->ln_weight);
    mem_free(p->ctx, p);
}

/* ---- density ---- */

/* At a point, or a stretch that is narrow for all kernels. */
static void point_terms(axis *a, double at)
{
    for (int32_t s = 0; s < a->slots; s++) {
        const double z = (at - a->place[s]) * a->rate[s];

        a->term[s] = a->ln_peak[s] - 0.5 * z * z;
    }
}

static void stretch_terms(axis *a, double from, double to)
{
    const double width = to - from;

    point_terms(a, from + 0.5 * width);
    for (int32_t s = 0; s < a->slots; s++) {
        const double m = a->place[s], rate = a->rate[s];

        if (width * rate < NARROW) continue;
        a->term[s] = log((below((to - m) * rate) - below((from - m) * rate)) / width);
        a->term[s] += a->ln_norm[s];
    }
}

static void choice_terms(const parzen *p, axis *a, int32_t choice, double width)
{
    const double c = a->slots, prior = c / (p->n + 1 + c);

    for (int32_t s = 0; s < a->slots; s++)
        a->term[s] = log(prior + (s == choice ? (1 - prior) / width : 0));
}

/* Adds ln K of the axis at x to p->sum; the prior's is 0. */
static void add_axis(parzen *p, axis *a, double x)
{
    double from, to;

    search_place_one(a->param, x, &from, &to);
    if (a->param->type == SEARCH_CATEGORICAL && !a->param->ordered)
        choice_terms(p, a, (int32_t)x, fmax(to - from, 1e-300)); /* of weight 0, but given */
    else if (from < to) stretch_terms(a, from, to);
    else point_terms(a, from);
    for (int32_t k = 0; k < p->n; k++) p->sum[k] += a->term[a->slot[k]];
}

double parzen_log_density(parzen *p, const double *x)
{
    double most = -INFINITY, sum = 0;

    memcpy(p->sum, p->ln_weight, ((size_t)p->n + 1) * sizeof *p->sum);
    for (int32_t i = 0; i < p->d; i++) add_axis(p, &p->axes[i], x[p->axes[i].index]);
    for (int32_t k = 0; k <= p->n; k++) most = p->sum[k] > most ? p->sum[k] : most;
    for (int32_t k = 0; k <= p->n; k++)
        if (p->sum[k] > most - NEGLIGIBLE) sum += exp(p->sum[k] - most);
    return most + log(sum);
}

/* ---- draws ---- */

void parzen_condition(parzen *p, const double *x)
{
    bool any = false;

    memcpy(p->sum, p->ln_weight, ((size_t)p->n + 1) * sizeof *p->sum);
    for (int32_t i = 0; i < p->d; i++) {
        axis *a = &p->axes[i];

        a->given = !isnan(x[a->index]);
        any |= a->given;
        if (a->given) add_axis(p, a, x[a->index]);
    }
    set_reach(p, any);
}

/* Which kernel, n: the prior. */
static int32_t pick(const parzen *p, double u)
{
    const double target = u * p->reach[p->n];
    int32_t from = 0, to = p->n;

    while (from < to) {
        int32_t middle = from + (to - from) / 2;

        if (p->reach[middle] <= target) from = middle + 1;
        else to = middle;
    }
    return from;
}

/* From the normal around the place, until one falls inside: at least one in three does. */
static double draw_number(const axis *a, int32_t s, rng_key key, uint64_t element)
{
    for (int32_t i = 0; i < TRIES; i++) {
        double u = a->place[s] + a->sd[s] * rng_normal(key, element + (uint64_t)i);

        if (u >= 0 && u < 1) return u;
    }
    return rng_uniform(key, element);
}

static double draw_axis(const parzen *p, const axis *a, int32_t kernel, rng_key key,
                        uint64_t element)
{
    const double c = a->slots, prior = c / (p->n + 1 + c);
    double u = rng_uniform(key, element + TRIES);

    if (kernel == p->n) return search_draw_one(a->param, u);
    if (a->param->type == SEARCH_CATEGORICAL && !a->param->ordered)
        return u < prior ? search_draw_one(a->param, u / prior) : a->slot[kernel];
    return search_draw_one(a->param, draw_number(a, a->slot[kernel], key, element));
}

void parzen_draw(const parzen *p, rng_key key, uint64_t element, double *x)
{
    const uint64_t last =
        element + PARZEN_ELEMENTS - 1; /* estimators of other parameters use others */
    const int32_t kernel = pick(p, rng_uniform(key, last - (uint64_t)p->axes[0].index));

    for (int32_t i = 0; i < p->d; i++) {
        const axis *a = &p->axes[i];
        uint64_t at = element + (uint64_t)a->index * 2 * TRIES;

        if (!a->given) x[a->index] = draw_axis(p, a, kernel, key, at);
    }
}
