/* The naive evaluator. Moving ops are one map of indices, from the place in the larger or permuted
 * array to the place it is read from (bcast, slice, gather, permute) or added to (sum, pad,
 * scatter_add). */
#include "base/rng.h"
#include "eval.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    int64_t at[RANK_MAX];
} place;

/* A node being computed: its record, its values and its operands'. */
typedef struct job {
    const node_rec *r;
    const shape *xs[OPERANDS_MAX];
    const double *x[OPERANDS_MAX];
    double *y;
    int64_t count;
} job;

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "eval: %s: %s\n", name, what);
    abort();
}

static place unravel(const shape *s, int64_t flat)
{
    place i = {{0}};

    for (int32_t k = s->rank - 1; k >= 0; k--) {
        i.at[k] = flat % s->dim[k];
        flat /= s->dim[k];
    }
    return i;
}

static int64_t ravel(const shape *s, place i)
{
    int64_t flat = 0;

    for (int32_t k = 0; k < s->rank; k++) {
        if (i.at[k] < 0 || i.at[k] >= s->dim[k])
            give_up("index out of range", "gather or scatter_add");
        flat = flat * s->dim[k] + i.at[k];
    }
    return flat;
}

/* x with 8 bits: by its exponent, not by its own bits. Ties go to even, as rint does. */
static float nearest_bf16(float x)
{
    int exponent;

    frexpf(x, &exponent);
    if (!isfinite(x) || x == 0) return x;
    const int unit = (exponent < -125 ? -125 : exponent) - 8;
    return (float)ldexp(rint(ldexp((double)x, -unit)), unit);
}

/* -- leaves */

static void load_leaf(const graph *g, const job *j, const void *const *leaves)
{
    const void *data = leaves[j->r->attr.n];

    if (!data) give_up("leaf without data", graph_leaf_name(g, (int32_t)j->r->attr.n));
    for (int64_t i = 0; i < j->count; i++) switch (j->r->dtype) {
        case F32: j->y[i] = (double)((const float *)data)[i]; break;
        case F64: j->y[i] = ((const double *)data)[i]; break;
        case I32: j->y[i] = ((const int32_t *)data)[i]; break;
        case BF16: j->y[i] = (double)bf16_to(((const uint16_t *)data)[i]); break;
        default: j->y[i] = ((const uint8_t *)data)[i]; break;
        }
}

/* -- elementwise: a and b are the operands' elements, b also the attribute of fill and scale */

static double element(int32_t op, double a, double b)
{
    switch (op) {
    case OP_fill: return b;
    case OP_exp: return exp(a);
    case OP_log: return log(a);
    case OP_sqrt: return sqrt(a);
    case OP_recip: return 1.0 / a;
    case OP_tanh: return tanh(a);
    case OP_sigmoid: return 1.0 / (1.0 + exp(-a));
    case OP_softplus: return fmax(a, 0.0) + log1p(exp(-fabs(a)));
    case OP_erf: return erf(a);
    case OP_add: return a + b;
    case OP_sub: return a - b;
    case OP_scale:
    case OP_mul: return a * b;
    case OP_step: return a > 0.0;
    case OP_sign: return (a > 0.0) - (a < 0.0);
    case OP_reshape:
    case OP_cast: return a;
    default: give_up("an op without a rule here", op_get(op)->name); return 0.0;
    }
}

static void run_elementwise(const job *j)
{
    for (int64_t i = 0; i < j->count; i++) {
        double a = j->x[0] ? j->x[0][i] : 0.0, b = j->x[1] ? j->x[1][i] : j->r->attr.f;
        j->y[i] = element(j->r->op, a, b);
    }
}

/* -- moves */

static place moved(const job *j, place i, const shape *to)
{
    const op_attr *a = &j->r->attr;
    place p = i;

    switch (j->r->op) {
    case OP_bcast:
    case OP_sum:
        for (int32_t k = 0; k < to->rank; k++)
            if (to->dim[k] == 1) p.at[k] = 0;
        break;
    case OP_slice:
    case OP_pad: p.at[a->axis] += a->n; break;
    case OP_gather:
    case OP_scatter_add: p.at[0] = (int64_t)j->x[1][i.at[0]]; break;
    default: /* permute */
        for (int32_t k = 0; k < to->rank; k++) p.at[a->perm[k]] = i.at[k];
        break;
    }
    return p;
}

static void run_read(const job *j)
{
    for (int64_t i = 0; i < j->count; i++)
        j->y[i] = j->x[0][ravel(j->xs[0], moved(j, unravel(&j->r->shape, i), j->xs[0]))];
}

static void run_add_to(const job *j)
{
    for (int64_t i = 0; i < shape_count(j->xs[0]); i++)
        j->y[ravel(&j->r->shape, moved(j, unravel(j->xs[0], i), &j->r->shape))] += j->x[0][i];
}

/* -- products */

static void multiply(const job *j, const double *x, const double *w, double *y)
{
    bool ta = j->r->attr.ta, tb = j->r->attr.tb;
    int32_t last = j->r->shape.rank - 1;
    int64_t m = j->r->shape.dim[last - 1], n = j->r->shape.dim[last];
    int64_t k = j->xs[0]->dim[ta ? last - 1 : last];

    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++) {
            double a = x[ta ? p * m + i : i * k + p];
            for (int64_t c = 0; c < n; c++) y[i * n + c] += a * w[tb ? c * k + p : p * n + c];
        }
}

static void run_matmul(const job *j)
{
    int64_t batch = j->r->shape.rank == 3 ? j->r->shape.dim[0] : 1;

    for (int64_t i = 0; i < batch; i++)
        multiply(j, j->x[0] + i * shape_count(j->xs[0]) / batch,
                 j->x[1] + i * shape_count(j->xs[1]) / batch, j->y + i * j->count / batch);
}

/* -- windows: every result pixel with every tap (i, k) and the image pixel under it */

typedef struct tap {
    int64_t n, i, k;      /* image; tap */
    int64_t pixel, under; /* flat: of the result, of the image */
} tap;

/* Tap number `at`, counting the taps of a pixel together; false when it lies outside. */
static bool tap_at(const window *v, int64_t at, tap *t)
{
    const int64_t h = window_out(v, 0), w = window_out(v, 1);

    t->k = at % v->kernel[1], at /= v->kernel[1];
    t->i = at % v->kernel[0], at /= v->kernel[0];
    t->pixel = at;
    t->n = at / (h * w);
    const int64_t y = at / w % h * v->stride[0] - v->pad[0] + t->i * v->dilation[0];
    const int64_t x = at % w * v->stride[1] - v->pad[1] + t->k * v->dilation[1];
    t->under = (t->n * v->size[0] + y) * v->size[1] + x;
    return y >= 0 && y < v->size[0] && x >= 0 && x < v->size[1];
}

static int64_t taps_of(const window *v, int64_t images)
{
    return images * window_out(v, 0) * window_out(v, 1) * v->kernel[0] * v->kernel[1];
}

/* What a tap of a convolution does: which two are read and which is added to. */
typedef struct trio {
    const double *x, *w, *y;
    double *dx, *dw, *dy;
    int64_t c, o; /* channels of the image, of the result */
} trio;

static void convolve_tap(const window *v, const tap *t, const trio *d)
{
    const int64_t per = d->c / v->groups, out = d->o / v->groups;

    for (int64_t e = 0; e < d->o * per; e++) {
        const int64_t o = e / per, c = e % per;
        const int64_t x = t->under * d->c + o / out * per + c, y = t->pixel * d->o + o;
        const int64_t w = (e * v->kernel[0] + t->i) * v->kernel[1] + t->k;
        if (d->dy) d->dy[y] += d->x[x] * d->w[w];
        if (d->dx) d->dx[x] += d->y[y] * d->w[w];
        if (d->dw) d->dw[w] += d->x[x] * d->y[y];
    }
}

static void run_conv(const job *j)
{
    const window *v = &j->r->attr.window;
    const double *a = j->x[0], *b = j->x[1];
    trio d = {0};
    tap t;

    if (j->r->op == OP_conv) d = (trio){.x = a, .w = b, .dy = j->y};
    if (j->r->op == OP_conv_dx) d = (trio){.y = a, .w = b, .dx = j->y};
    if (j->r->op == OP_conv_dw) d = (trio){.x = a, .y = b, .dw = j->y};
    d.c = j->r->op == OP_conv_dx ? j->r->shape.dim[3] : j->xs[0]->dim[3];
    d.o = j->r->op == OP_conv ? j->r->shape.dim[3] : j->xs[j->r->op == OP_conv_dw]->dim[3];
    for (int64_t at = 0; at < taps_of(v, j->xs[0]->dim[0]); at++)
        if (tap_at(v, at, &t)) convolve_tap(v, &t, &d);
}

static void pool_tap(const job *j, const tap *t, int64_t c, bool *seen)
{
    const int64_t channels = j->r->shape.dim[3];
    const int64_t x = t->under * channels + c, y = t->pixel * channels + c;

    if (j->r->op == OP_sumpool) j->y[y] += j->x[0][x];
    if (j->r->op == OP_spread) j->y[x] += j->x[0][y];
    if (j->r->op != OP_maxpool_arg) return;
    if (!seen[y] || j->x[0][x] > j->x[0][(int64_t)j->y[y]]) j->y[y] = (double)x;
    seen[y] = true;
}

static void run_pool(const job *j)
{
    const window *v = &j->r->attr.window;
    bool *seen = calloc((size_t)j->count + 1, sizeof *seen);
    tap t;

    if (!seen) abort();
    for (int64_t at = 0; at < taps_of(v, j->xs[0]->dim[0]); at++)
        for (int64_t c = 0; tap_at(v, at, &t) && c < j->r->shape.dim[3]; c++)
            pool_tap(j, &t, c, seen);
    free(seen);
}

/* -- the rest */

static void run_elements(const job *j)
{
    const int64_t n = shape_count(j->xs[1]);

    for (int64_t i = 0; i < n; i++) {
        const double at = j->x[1][i];
        if (at < 0 || at >= (double)shape_count(j->r->op == OP_take ? j->xs[0] : &j->r->shape))
            give_up("index out of range", "take or put");
        if (j->r->op == OP_take) j->y[i] = j->x[0][(int64_t)at];
        else j->y[(int64_t)at] += j->x[0][i];
    }
}

static void run_draw(const job *j)
{
    const uint32_t low = (uint32_t)(int32_t)j->x[0][0], high = (uint32_t)(int32_t)j->x[0][1];
    const rng_key k = {.seed = (uint64_t)high << 32 | low,
                       .step = (uint32_t)(int32_t)j->x[0][2],
                       .site = (uint32_t)j->r->attr.n};

    for (int64_t i = 0; i < j->count; i++)
        j->y[i] = j->r->op == OP_normal ? rng_normal(k, (uint64_t)i)
                  : j->r->dtype == F32  ? (double)rng_uniform_f32(k, (uint64_t)i)
                                        : rng_uniform(k, (uint64_t)i);
}

static void run_iota(const job *j)
{
    for (int64_t i = 0; i < j->count; i++)
        j->y[i] = (double)unravel(&j->r->shape, i).at[j->r->attr.axis];
}

static int64_t largest(const double *x, int64_t n)
{
    int64_t at = 0;

    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

static void run_rows(const job *j)
{
    int64_t n = j->xs[0]->dim[j->xs[0]->rank - 1];

    for (int64_t i = 0; i < j->count; i++) {
        const double *x = j->x[0] + i * n;
        int64_t at = largest(x, n);
        double sum = 0.0;

        for (int64_t k = 0; k < n; k++) sum += exp(x[k] - x[at]);
        j->y[i] = j->r->op == OP_argmax   ? (double)at
                  : j->r->op == OP_rowmax ? x[at]
                                          : x[at] + log(sum);
    }
}

static void run_onehot(const job *j)
{
    int64_t classes = j->r->shape.dim[1];

    for (int64_t i = 0; i < j->count; i++) j->y[i] = i % classes == (int64_t)j->x[0][i / classes];
}

static void run_node(const graph *g, const job *j, const void *const *leaves)
{
    switch (j->r->op) {
    case OP_leaf: load_leaf(g, j, leaves); break;
    case OP_bcast:
    case OP_slice:
    case OP_gather:
    case OP_permute: run_read(j); break;
    case OP_sum:
    case OP_pad:
    case OP_scatter_add: run_add_to(j); break;
    case OP_matmul: run_matmul(j); break;
    case OP_conv:
    case OP_conv_dx:
    case OP_conv_dw: run_conv(j); break;
    case OP_sumpool:
    case OP_spread:
    case OP_maxpool_arg: run_pool(j); break;
    case OP_take:
    case OP_put: run_elements(j); break;
    case OP_uniform:
    case OP_normal: run_draw(j); break;
    case OP_iota: run_iota(j); break;
    case OP_logsumexp:
    case OP_rowmax:
    case OP_argmax: run_rows(j); break;
    case OP_onehot: run_onehot(j); break;
    default: run_elementwise(j); break;
    }
    if (j->r->dtype == F32)
        for (int64_t i = 0; i < j->count; i++) j->y[i] = (double)(float)j->y[i];
    if (j->r->dtype == BF16)
        for (int64_t i = 0; i < j->count; i++) j->y[i] = (double)nearest_bf16((float)j->y[i]);
}

static double *zeros(int64_t n)
{
    double *p = calloc((size_t)n, sizeof *p);

    if (!p) abort();
    return p;
}

static void compute(const graph *g, const void *const *leaves, double **value, node n)
{
    job j = {.r = graph_rec(g, n), .count = shape_count(graph_shape(g, n))};

    for (int i = 0; i < op_get(j.r->op)->arity; i++) {
        j.xs[i] = graph_shape(g, j.r->in[i]);
        j.x[i] = value[j.r->in[i]];
    }
    j.y = value[n] = zeros(j.count);
    run_node(g, &j, leaves);
}

void eval(const graph *g, const void *const *leaves, int n, const node *roots, double *const *out)
{
    int32_t size = graph_size(g);
    double **value = calloc((size_t)size + 1, sizeof *value);
    bool *need = calloc((size_t)size + 1, sizeof *need);

    if (!value || !need) abort();
    if (graph_status(g) != DRMAD_OK) give_up(drmad_errmsg(graph_ctx(g)), "broken graph");
    for (int i = 0; i < n; i++)
        if (roots[i] != NODE_NONE) need[roots[i]] = true;
    for (node v = size - 1; v >= 0; v--)
        for (int i = 0; need[v] && i < op_get(graph_rec(g, v)->op)->arity; i++)
            need[graph_rec(g, v)->in[i]] = true;
    for (node v = 0; v < size; v++)
        if (need[v]) compute(g, leaves, value, v);
    for (int i = 0; i < n; i++)
        if (roots[i] != NODE_NONE)
            memcpy(out[i], value[roots[i]],
                   (size_t)shape_count(graph_shape(g, roots[i])) * sizeof(double));
    for (node v = 0; v < size; v++) free(value[v]);
    free(value);
    free(need);
}

double *eval_one(const graph *g, const void *const *leaves, node root)
{
    double *out = zeros(shape_count(graph_shape(g, root)));

    eval(g, leaves, 1, &root, &out);
    return out;
}
