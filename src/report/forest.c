/* Growing one tree: recursion over rows, with the box of each node at hand, so that a leaf is
 * written down where it is met. */
#include "report/forest.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

typedef struct pair {
    double x, y;
} pair;

typedef struct split {
    int32_t at; /* the coordinate; -1: none helps */
    double threshold, gain;
    int32_t choice;
} split;

typedef struct grower {
    const forest_data *data;
    forest_tree *tree;
    int32_t *rows; /* of the sample */
    pair *pairs;   /* scratch */
    forest_side *box;
} grower;

static int by_x(const void *a, const void *b)
{
    const pair *p = a, *q = b;

    return (p->x > q->x) - (p->x < q->x);
}

double forest_share(const forest_side *s, int32_t choices)
{
    if (choices == 0) return s->high - s->low;
    return (double)__builtin_popcountll(s->set) / choices;
}

static double x_at(const grower *g, int32_t row, int32_t j)
{
    return g->data->x[(size_t)row * (size_t)g->data->d + (size_t)j];
}

/* Sum of squares that a split takes away: what both sides' means explain. */
static double gain_of(double left, double n_left, double all, double n)
{
    const double right = all - left, n_right = n - n_left;

    return left * left / n_left + right * right / n_right - all * all / n;
}

/* At or above a and below b, also where no number lies between. */
static double between(double a, double b)
{
    const double middle = a / 2 + b / 2;

    return middle >= a && middle < b ? middle : a;
}

static void look_at_number(grower *g, const int32_t *rows, int32_t n, int32_t j, split *best)
{
    double all = 0, left = 0;

    for (int32_t i = 0; i < n; i++) {
        g->pairs[i] = (pair){x_at(g, rows[i], j), g->data->y[rows[i]]};
        all += g->pairs[i].y;
    }
    qsort(g->pairs, (size_t)n, sizeof *g->pairs, by_x);
    for (int32_t i = 0; i + 1 < n; i++) {
        left += g->pairs[i].y;
        if (g->pairs[i].x == g->pairs[i + 1].x) continue;
        const double gain = gain_of(left, i + 1, all, n);

        if (gain <= best->gain) continue;
        *best = (split){j, between(g->pairs[i].x, g->pairs[i + 1].x), gain, 0};
    }
}

static void look_at_choices(grower *g, const int32_t *rows, int32_t n, int32_t j, split *best)
{
    double sum[FOREST_CHOICES_MAX] = {0}, count[FOREST_CHOICES_MAX] = {0}, all = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t k = (int32_t)x_at(g, rows[i], j);

        sum[k] += g->data->y[rows[i]], count[k] += 1;
        all += g->data->y[rows[i]];
    }
    for (int32_t k = 0; k < g->data->choices[j]; k++) {
        if (count[k] == 0 || count[k] == n) continue;
        const double gain = gain_of(sum[k], count[k], all, n);

        if (gain > best->gain) *best = (split){j, 0, gain, k};
    }
}

static split best_split(grower *g, const int32_t *rows, int32_t n)
{
    double mean = 0, square = 0;

    for (int32_t i = 0; i < n; i++) mean += g->data->y[rows[i]] / n;
    for (int32_t i = 0; i < n; i++) square += pow(g->data->y[rows[i]] - mean, 2);
    /* less than rounding leaves is no gain */
    split best = {.at = -1, .gain = 1e-12 * (square + n * mean * mean * 1e-3)};
    if (square <= 0) return best;
    for (int32_t j = 0; j < g->data->d; j++) {
        if (g->data->choices[j]) look_at_choices(g, rows, n, j, &best);
        else look_at_number(g, rows, n, j, &best);
    }
    return best;
}

static bool goes_left(const grower *g, const split *s, int32_t row)
{
    const double x = x_at(g, row, s->at);

    return g->data->choices[s->at] ? (int32_t)x == s->choice : x <= s->threshold;
}

static int32_t part(const grower *g, const split *s, int32_t *rows, int32_t n)
{
    int32_t left = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t row = rows[i];

        if (!goes_left(g, s, row)) continue;
        rows[i] = rows[left], rows[left++] = row;
    }
    return left;
}

static drmad_status add_leaf(grower *g, const int32_t *rows, int32_t n)
{
    forest_tree *t = g->tree;
    const size_t d = (size_t)t->d;
    drmad_status st = DRMAD_OK;
    double sum = 0;

    if (t->n_leaves == t->room) {
        const size_t room = (size_t)t->room, more = 2 * room + 32;

        TRY(mem_resize(t->ctx, &t->values, room, more, sizeof *t->values));
        TRY(mem_resize(t->ctx, &t->sides, room * d, more * d, sizeof *t->sides));
        t->room = (int32_t)more;
    }
    for (int32_t i = 0; i < n; i++) sum += g->data->y[rows[i]];
    t->values[t->n_leaves] = sum / n;
    memcpy(t->sides + (size_t)t->n_leaves++ * d, g->box, d * sizeof *g->box);
done:
    return st;
}

static drmad_status grow(grower *g, int32_t *rows, int32_t n, int depth)
{
    const split s = depth < DEPTH_MAX && n > 1 ? best_split(g, rows, n) : (split){.at = -1};
    drmad_status st = DRMAD_OK;

    if (s.at < 0) return add_leaf(g, rows, n);
    const int32_t left = part(g, &s, rows, n);
    const bool choices = g->data->choices[s.at] > 0;
    forest_side *side = &g->box[s.at];
    const forest_side whole = *side;

    if (choices) side->set = 1ull << s.choice;
    else side->high = s.threshold;
    TRY(grow(g, rows, left, depth + 1));
    *side = whole;
    if (choices) side->set &= ~(1ull << s.choice);
    else side->low = s.threshold;
    TRY(grow(g, rows + left, n - left, depth + 1));
    *side = whole;
done:
    return st;
}

drmad_status forest_grow(drmad_ctx *ctx, const forest_data *data, uint64_t seed, uint32_t number,
                         forest_tree *out)
{
    const size_t n = (size_t)data->n, d = (size_t)data->d;
    const rng_key key = {seed, number, rng_site("forest")};
    grower g = {.data = data, .tree = out};
    drmad_status st = DRMAD_OK;

    *out = (forest_tree){.ctx = ctx, .d = data->d};
    TRY(mem_alloc(ctx, n + 1, sizeof *g.rows, &g.rows));
    TRY(mem_alloc(ctx, n + 1, sizeof *g.pairs, &g.pairs));
    TRY(mem_alloc(ctx, d + 1, sizeof *g.box, &g.box));
    for (size_t i = 0; i < n; i++) g.rows[i] = (int32_t)rng_below(key, i, n);
    for (size_t j = 0; j < d; j++) {
        const int32_t k = data->choices[j];

        g.box[j] = (forest_side){0, 1, k >= 64 ? ~0ull : (1ull << k) - 1};
    }
    TRY(grow(&g, g.rows, data->n, 0));
done:
    mem_free(ctx, g.rows);
    mem_free(ctx, g.pairs);
    mem_free(ctx, g.box);
    if (st != DRMAD_OK) forest_free(out);
    return st;
}

void forest_free(forest_tree *t)
{
    mem_free(t->ctx, t->values);
    mem_free(t->ctx, t->sides);
    *t = (forest_tree){.ctx = t->ctx};
}
