/* fANOVA: each tree is a function that is constant on boxes, so its marginals and their variances
 * are sums over leaves.
 *
 *   m_i(c)   = sum over leaves L that hold cell c of coordinate i:  v_L share(L) / share_i(L)
 *   V_i      = sum over cells c:  share(c) (m_i(c) - mean)^2
 *   V_ij     = the same over pairs of cells, less V_i and V_j
 *
 * where the cells of a coordinate are the parts that the tree's splits cut it into. */
#include "report/importance.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One tree with its cells. */
typedef struct cut {
    const forest_data *data;
    const forest_tree *tree;
    double *shares;        /* of each leaf in the whole box */
    double *edges;         /* of one coordinate after the other */
    int32_t *n_cells;      /* d */
    int32_t *offset;       /* d: where a coordinate's edges begin */
    int32_t *first, *last; /* n_leaves x d: the cells of a leaf, [first, last) */
    double *sum;           /* scratch: a cell each, or a pair of cells */
    double mean, variance;
} cut;

static const forest_side *side_of(const cut *c, int32_t leaf, int32_t j)
{
    return &c->tree->sides[(size_t)leaf * (size_t)c->data->d + (size_t)j];
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The distinct ends of leaves along j, into edges; gives how many cells lie between them. */
static int32_t put_edges(const cut *c, int32_t j, double *edges)
{
    int32_t n = 0, kept = 0;

    for (int32_t l = 0; l < c->tree->n_leaves; l++) {
        edges[n++] = side_of(c, l, j)->low;
        edges[n++] = side_of(c, l, j)->high;
    }
    qsort(edges, (size_t)n, sizeof *edges, rising);
    for (int32_t i = 0; i < n; i++)
        if (kept == 0 || edges[i] > edges[kept - 1]) edges[kept++] = edges[i];
    return kept - 1;
}

static int32_t edge_at(const double *edges, int32_t n, double x)
{
    int32_t low = 0, high = n;

    while (low < high) {
        const int32_t mid = (low + high) / 2;

        if (edges[mid] < x) low = mid + 1;
        else high = mid;
    }
    return low;
}

static void place_leaves(cut *c, int32_t j)
{
    const int32_t d = c->data->d, choices = c->data->choices[j];
    const double *edges = c->edges + c->offset[j];

    for (int32_t l = 0; l < c->tree->n_leaves; l++) {
        const forest_side *s = side_of(c, l, j);

        c->first[l * d + j] = choices ? 0 : edge_at(edges, c->n_cells[j] + 1, s->low);
        c->last[l * d + j] = choices ? choices : edge_at(edges, c->n_cells[j] + 1, s->high);
    }
}

static void find_moments(cut *c)
{
    double square = 0;

    c->mean = 0;
    for (int32_t l = 0; l < c->tree->n_leaves; l++) {
        c->shares[l] = 1;
        for (int32_t j = 0; j < c->data->d; j++)
            c->shares[l] *= forest_share(side_of(c, l, j), c->data->choices[j]);
        c->mean += c->shares[l] * c->tree->values[l];
    }
    for (int32_t l = 0; l < c->tree->n_leaves; l++)
        square += c->shares[l] * pow(c->tree->values[l] - c->mean, 2);
    c->variance = square;
}

static void cut_free(drmad_ctx *ctx, cut *c)
{
    mem_free(ctx, c->shares);
    mem_free(ctx, c->edges);
    mem_free(ctx, c->n_cells);
    mem_free(ctx, c->offset);
    mem_free(ctx, c->first);
    mem_free(ctx, c->last);
    mem_free(ctx, c->sum);
}

static drmad_status cut_tree(drmad_ctx *ctx, const forest_data *data, const forest_tree *tree,
                             cut *c)
{
    const size_t leaves = (size_t)tree->n_leaves, d = (size_t)data->d;
    drmad_status st = DRMAD_OK;
    int32_t used = 0;

    *c = (cut){.data = data, .tree = tree};
    TRY(mem_alloc(ctx, leaves, sizeof *c->shares, &c->shares));
    TRY(mem_alloc(ctx, 2 * leaves * d, sizeof *c->edges, &c->edges));
    TRY(mem_alloc(ctx, d, sizeof *c->n_cells, &c->n_cells));
    TRY(mem_alloc(ctx, d, sizeof *c->offset, &c->offset));
    TRY(mem_alloc(ctx, leaves * d, sizeof *c->first, &c->first));
    TRY(mem_alloc(ctx, leaves * d, sizeof *c->last, &c->last));
    for (int32_t j = 0; j < data->d; j++) {
        c->offset[j] = used;
        c->n_cells[j] = data->choices[j] ? data->choices[j] : put_edges(c, j, c->edges + used);
        used += 2 * tree->n_leaves;
        place_leaves(c, j);
    }
    find_moments(c);
done:
    return st;
}

static double cell_share(const cut *c, int32_t j, int32_t cell)
{
    const double *edges = c->edges + c->offset[j];

    return c->data->choices[j] ? 1.0 / c->data->choices[j] : edges[cell + 1] - edges[cell];
}

static bool holds(const cut *c, int32_t leaf, int32_t j, int32_t cell)
{
    return c->data->choices[j] == 0 || (side_of(c, leaf, j)->set >> cell & 1);
}

/* ---- alone ---- */

static double variance_alone(cut *c, int32_t j)
{
    const int32_t d = c->data->d;
    double v = 0;

    memset(c->sum, 0, (size_t)c->n_cells[j] * sizeof *c->sum);
    for (int32_t l = 0; l < c->tree->n_leaves; l++) {
        const double share = forest_share(side_of(c, l, j), c->data->choices[j]);
        const double part = c->tree->values[l] * c->shares[l] / share;

        for (int32_t k = c->first[l * d + j]; k < c->last[l * d + j]; k++)
            if (holds(c, l, j, k)) c->sum[k] += part;
    }
    for (int32_t k = 0; k < c->n_cells[j]; k++)
        v += cell_share(c, j, k) * pow(c->sum[k] - c->mean, 2);
    return v;
}

/* ---- in pairs ---- */

static void add_leaf(cut *c, int32_t l, int32_t i, int32_t j)
{
    const int32_t d = c->data->d;
    const double share = forest_share(side_of(c, l, i), c->data->choices[i]) *
                         forest_share(side_of(c, l, j), c->data->choices[j]);
    const double part = c->tree->values[l] * c->shares[l] / share;

    for (int32_t a = c->first[l * d + i]; a < c->last[l * d + i]; a++) {
        if (!holds(c, l, i, a)) continue;
        for (int32_t b = c->first[l * d + j]; b < c->last[l * d + j]; b++)
            if (holds(c, l, j, b)) c->sum[a * c->n_cells[j] + b] += part;
    }
}

/* What both together explain, their own parts included. */
static double variance_both(cut *c, int32_t i, int32_t j)
{
    const int32_t width = c->n_cells[j];
    double v = 0;

    memset(c->sum, 0, (size_t)c->n_cells[i] * (size_t)width * sizeof *c->sum);
    for (int32_t l = 0; l < c->tree->n_leaves; l++) add_leaf(c, l, i, j);
    for (int32_t a = 0; a < c->n_cells[i]; a++)
        for (int32_t b = 0; b < width; b++)
            v +=
                cell_share(c, i, a) * cell_share(c, j, b) * pow(c->sum[a * width + b] - c->mean, 2);
    return v;
}

/* ---- the forest ---- */

typedef drmad_status tree_fn(importance *m, drmad_ctx *ctx, cut *c);

static drmad_status add_alone(importance *m, drmad_ctx *ctx, cut *c)
{
    int32_t most = 0;

    for (int32_t j = 0; j < m->d; j++) most = c->n_cells[j] > most ? c->n_cells[j] : most;
    const drmad_status st = mem_alloc(ctx, (size_t)most, sizeof *c->sum, &c->sum);
    for (int32_t j = 0; j < m->d && st == DRMAD_OK; j++)
        m->alone[j] += variance_alone(c, j) / c->variance;
    return st;
}

static drmad_status add_pairs(importance *m, drmad_ctx *ctx, cut *c)
{
    const int32_t paired = m->d < IMPORTANCE_PAIRED ? m->d : IMPORTANCE_PAIRED;
    size_t most = 0;

    for (int32_t j = 0; j < m->d; j++)
        most = (size_t)c->n_cells[j] > most ? (size_t)c->n_cells[j] : most;
    const drmad_status st = mem_alloc(ctx, most * most, sizeof *c->sum, &c->sum);
    for (int32_t a = 0; a < paired && st == DRMAD_OK; a++)
        for (int32_t b = 0; b < a; b++) {
            const int32_t i = m->order[a], j = m->order[b];
            const double own = variance_alone(c, i) + variance_alone(c, j);
            const double beyond = fmax(0, variance_both(c, i, j) - own) / c->variance;

            m->both[i * m->d + j] += beyond, m->both[j * m->d + i] += beyond;
        }
    return st;
}

/* Calls fn for each tree that is not flat; *n counts them. */
static drmad_status each_tree(importance *m, const forest_data *data, uint64_t seed, tree_fn *fn,
                              int32_t *n)
{
    drmad_status st = DRMAD_OK;
    forest_tree tree = {.ctx = m->ctx};
    cut c = {0};

    *n = 0;
    for (uint32_t k = 0; k < IMPORTANCE_TREES; k++) {
        TRY(forest_grow(m->ctx, data, seed, k, &tree));
        TRY(cut_tree(m->ctx, data, &tree, &c));
        if (c.variance > 0) {
            TRY(fn(m, m->ctx, &c));
            ++*n;
        }
        cut_free(m->ctx, &c);
        c = (cut){0};
        forest_free(&tree);
    }
done:
    cut_free(m->ctx, &c);
    forest_free(&tree);
    return st;
}

static void sort_order(importance *m)
{
    for (int32_t i = 0; i < m->d; i++) {
        int32_t k = i;

        for (; k > 0 && m->alone[m->order[k - 1]] < m->alone[i]; k--) m->order[k] = m->order[k - 1];
        m->order[k] = i;
    }
}

static void scale_pairs(importance *m, int32_t trees)
{
    const int32_t paired = m->d < IMPORTANCE_PAIRED ? m->d : IMPORTANCE_PAIRED;

    for (int32_t a = 0; a < m->d; a++)
        for (int32_t b = 0; b < m->d; b++) {
            double *x = &m->both[m->order[a] * m->d + m->order[b]];

            *x = a < paired && b < paired && a != b && trees > 0 ? *x / trees : NAN;
        }
}

drmad_status importance_of_data(drmad_ctx *ctx, const forest_data *data, uint64_t seed,
                                importance **out)
{
    const size_t d = (size_t)data->d;
    drmad_status st = DRMAD_OK;
    importance *m = NULL;
    int32_t trees = 0;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *m, &m));
    m->ctx = ctx, m->d = data->d;
    TRY(mem_alloc(ctx, d + 1, sizeof *m->alone, &m->alone));
    TRY(mem_alloc(ctx, d * d + 1, sizeof *m->both, &m->both));
    TRY(mem_alloc(ctx, d + 1, sizeof *m->order, &m->order));
    if (d > 0 && data->n >= IMPORTANCE_LEAST) TRY(each_tree(m, data, seed, add_alone, &trees));
    for (int32_t j = 0; j < m->d && trees > 0; j++) m->alone[j] /= trees;
    sort_order(m);
    m->rows = trees > 0 ? data->n : 0;
    if (trees > 0 && d > 1) TRY(each_tree(m, data, seed, add_pairs, &trees));
    scale_pairs(m, trees);
    *out = m, m = NULL;
done:
    importance_free(m);
    return st;
}

void importance_free(importance *m)
{
    if (!m) return;
    mem_free(m->ctx, m->alone);
    mem_free(m->ctx, m->both);
    mem_free(m->ctx, m->order);
    mem_free(m->ctx, m);
}

/* ---- of a study ---- */

/* 0 to 1 on the scale that the search draws from; a choice as it is. */
static double unit(const search_param *d, int32_t choices, double x)
{
    if (choices) return isnan(x) ? 0 : x;
    if (isnan(x)) return 0.5;
    if (d->type == SEARCH_CATEGORICAL) return (x + 0.5) / d->n_choices;
    const double half = d->type == SEARCH_INT && !d->log ? 0.5 : 0;
    const double low = d->low - half, high = d->high + half;

    if (!(high > low)) return 0.5;
    if (d->log) return fmin(1, fmax(0, log(x / low) / log(high / low)));
    return fmin(1, fmax(0, (x - low) / (high - low)));
}

static bool usable(const view *v, int32_t trial, int32_t objective)
{
    return isfinite(view_value_of(&v->trials[trial], objective));
}

static int32_t fill(const view *v, int32_t objective, int32_t every_of, double *x, double *y,
                    const int32_t *choices)
{
    int32_t n = 0, seen = 0;
    const int32_t most = every_of < IMPORTANCE_ROWS ? every_of : IMPORTANCE_ROWS;

    for (int32_t i = 0; i < v->n_trials && n < most; i++) {
        if (!usable(v, i, objective)) continue;
        /* the next of `most` places spread evenly over all */
        if ((int64_t)seen++ * most < (int64_t)n * every_of) continue;
        for (int32_t j = 0; j < v->n_params; j++)
            x[(size_t)n * (size_t)v->n_params + (size_t)j] =
                unit(v->params[j].d, choices[j], view_x(&v->trials[i], j));
        y[n++] = view_value_of(&v->trials[i], objective);
    }
    return n;
}

/* Squares of the values must be finite. */
static void shrink(double *y, int32_t n)
{
    double most = 0;

    for (int32_t i = 0; i < n; i++) most = fmax(most, fabs(y[i]));
    for (int32_t i = 0; i < n && most > 0; i++) y[i] /= most;
}

drmad_status importance_of(const view *v, int32_t objective, uint64_t seed, importance **out)
{
    drmad_status st = DRMAD_OK;
    double *x = NULL, *y = NULL;
    int32_t *choices = NULL, n = 0;
    const size_t d = (size_t)v->n_params;

    *out = NULL;
    for (int32_t i = 0; i < v->n_trials; i++) n += usable(v, i, objective);
    const size_t rows = n < IMPORTANCE_ROWS ? (size_t)n : IMPORTANCE_ROWS;
    TRY(mem_alloc(v->ctx, rows * d + 1, sizeof *x, &x));
    TRY(mem_alloc(v->ctx, rows + 1, sizeof *y, &y));
    TRY(mem_alloc(v->ctx, d + 1, sizeof *choices, &choices));
    for (size_t j = 0; j < d; j++) {
        const search_param *p = v->params[j].d;
        const bool few = p->type == SEARCH_CATEGORICAL && p->n_choices <= FOREST_CHOICES_MAX;

        choices[j] = few ? p->n_choices : 0;
    }
    const forest_data data = {fill(v, objective, n, x, y, choices), v->n_params, x, y, choices};
    shrink(y, data.n);
    TRY(importance_of_data(v->ctx, &data, seed, out));
done:
    mem_free(v->ctx, x);
    mem_free(v->ctx, y);
    mem_free(v->ctx, choices);
    return st;
}
