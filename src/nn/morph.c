/* Morphs: their life, and how vectors follow them. */
#include "nn/morph.h"
#include "nn/morph_inside.h"
#include <math.h>
#include <string.h>

drmad_status morph_new(const nn_spec *net, morph **out)
{
    drmad_status st = DRMAD_OK;
    morph *m = NULL;

    *out = NULL;
    TRY(mem_alloc(net->ctx, 1, sizeof *m, &m));
    m->ctx = net->ctx;
    m->layers = net->n;
    TRY(mem_alloc(m->ctx, (size_t)net->n, sizeof *m->columns, &m->columns));
    TRY(nn_new(m->ctx, net->input, &m->net));
    *out = m, m = NULL;
done:
    morph_free(m);
    return st;
}

void morph_free(morph *m)
{
    if (!m) return;
    for (int32_t i = 0; m->columns && i < m->layers; i++) {
        mem_free(m->ctx, m->columns[i].from);
        mem_free(m->ctx, m->columns[i].copies);
    }
    mem_free(m->ctx, m->columns);
    mem_free(m->ctx, m->at);
    nn_free(m->net);
    mem_free(m->ctx, m);
}

drmad_status morph_add(morph *m, const nn_layer *l, int32_t from, bool identity)
{
    const size_t n = (size_t)m->net->tensors;
    drmad_status st = DRMAD_OK;

    TRY(nn_add(m->net, l));
    const nn_layer *made = &m->net->at[m->net->n - 1];
    TRY(mem_resize(m->ctx, &m->at, n, n + (size_t)made->tensors, sizeof *m->at));
    for (int32_t k = 0; k < made->tensors; k++)
        m->at[made->first + k] =
            (morph_tensor){.from = from + k, .identity = identity, .in = -1, .out = -1};
done:
    return st;
}

/* ---- vectors ---- */

/* Where element e of the new tensor was, and by what its layer's copies divide it. */
static int64_t origin(const morph_tensor *t, const shape *now, const shape *then, int64_t e,
                      double *in, double *out)
{
    int64_t at = 0, stride = 1;

    *in = *out = 1;
    for (int32_t d = now->rank - 1; d >= 0; d--) {
        const morph_columns *map = t->map[d];
        int64_t x = e % now->dim[d];

        e /= now->dim[d];
        if (map) {
            x = map->from[x];
            if (d == t->in) *in = map->copies[x];
            if (d == t->out) *out = map->copies[x];
        }
        at += x * stride;
        stride *= then->dim[d];
    }
    return at;
}

static double share(morph_what what, double in, double out)
{
    switch (what) {
    case MORPH_WEIGHTS: return 1 / in;
    case MORPH_GRADIENTS: return 1 / out;
    case MORPH_SQUARES: return 1 / (out * out);
    default: return 1;
    }
}

static double root_mean_square(const double *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* Whether element e belongs to a unit that is new. */
static bool is_copy(const morph_tensor *t, const shape *s, int64_t e)
{
    if (t->out < 0 || !t->map[t->out]) return false;
    for (int32_t d = s->rank - 1; d > t->out; d--) e /= s->dim[d];
    return e % s->dim[t->out] >= t->map[t->out]->old;
}

static void carry_tensor(const morph *m, int32_t i, const param *then, const param *now,
                         morph_what what, double noise, const double *from, double *to)
{
    const morph_tensor *t = &m->at[i];
    const rng_key key = {m->seed, 0, rng_site(now->name)};
    const bool noisy = what == MORPH_WEIGHTS && noise > 0 && now->role == PARAM_WEIGHT;
    const double size = noisy ? noise * root_mean_square(from, then->count) : 0;
    double in, out;

    for (int64_t e = 0; e < now->count; e++) {
        const double x = from[origin(t, &now->shape, &then->shape, e, &in, &out)];

        to[e] = x * share(what, in, out);
        if (noisy && is_copy(t, &now->shape, e)) to[e] += size / in * rng_normal(key, (uint64_t)e);
    }
}

/* ---- the identity ---- */

/* Ones where input and output are the same, in the window's middle. */
static void put_identity(const shape *s, double *w)
{
    const int64_t c = s->dim[0], in = s->dim[1];
    const int64_t pixels = s->rank > 2 ? s->dim[2] * s->dim[3] : 1, middle = pixels / 2;

    for (int64_t k = 0; k < c; k++) w[(k * in + k) * pixels + middle] = 1;
}

/* Mean and variance of max(z, 0), z normal. */
static void rectified(double mean, double deviation, double *first, double *variance)
{
    const double s = fabs(deviation), x = s > 0 ? mean / s : 0;
    const double above = s > 0 ? erfc(-x / sqrt(2)) / 2 : mean > 0;
    const double density = exp(-x * x / 2) / sqrt(2 * acos(-1));

    *first = mean * above + s * density;
    *variance = fmax(0, (mean * mean + s * s) * above + mean * s * density - *first * *first);
}

/* weight, bias, running mean and variance from those of the norm before. */
static void put_norm(const nn_layer *l, const param *then, const param *now, const double *from,
                     double *to)
{
    for (int64_t c = 0; c < now->count; c++) {
        double mean, variance;

        rectified(from[then[1].offset + c], from[then[0].offset + c], &mean, &variance);
        to[now[0].offset + c] = sqrt(variance + l->eps);
        to[now[1].offset + c] = mean;
        to[now[2].offset + c] = mean;
        to[now[3].offset + c] = variance;
    }
}

static void put_layer(const morph *m, const nn_layer *l, const param_table *old,
                      const param_table *fresh, const double *from, double *to)
{
    const param *now = &fresh->at[l->first], *then = &old->at[m->at[l->first].from];

    if (l->kind == NN_BATCH_NORM) put_norm(l, then, now, from, to);
    else put_identity(&now->shape, to + now->offset);
}

/* Squares of a new layer: the mean of the layer's before it, so that its first steps are of a size
 * with the others'. */
static void put_mean(const param *then, const param *now, const double *from, double *to)
{
    double sum = 0;

    for (int64_t e = 0; e < then->count; e++) sum += from[then->offset + e];
    for (int64_t e = 0; e < now->count; e++) to[now->offset + e] = sum / (double)then->count;
}

void morph_apply(const morph *m, const param_table *old, const param_table *fresh, morph_what what,
                 double noise, const double *from, double *to)
{
    memset(to, 0, (size_t)fresh->total * sizeof *to);
    for (int32_t i = 0; i < fresh->n; i++) {
        const param *now = &fresh->at[i], *then = &old->at[m->at[i].from];

        if (!m->at[i].identity)
            carry_tensor(m, i, then, now, what, noise, from + then->offset, to + now->offset);
        else if (what == MORPH_SQUARES) put_mean(then, now, from, to);
    }
    for (int32_t i = 0; what == MORPH_WEIGHTS && i < m->net->n; i++) {
        const nn_layer *l = &m->net->at[i];

        if (l->tensors > 0 && m->at[l->first].identity) put_layer(m, l, old, fresh, from, to);
    }
}
