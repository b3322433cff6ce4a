/* Variations of a training step's inputs whose strengths are numbers of the graph, so that they can
 * be tuned like any other hyperparameter (with s the strength, u uniform draws of an example):
 *
 *   brightness   x (1 + s (2u - 1))
 *   contrast     m + (x - m) (1 + s (2u - 1)), m the example's mean
 *                (factors as in torchvision's ColorJitter, without clipping)
 *   erasing      x (1 - s inside), inside a rectangle of half the height and width around a drawn
 *                pixel: random erasing (Zhong et al., AAAI 2020) in part, smooth in s
 *   noise        x + s n, n normal
 *   mixup        x + s u (x' - x), x' the next example of the batch, and its target likewise (Zhang
 *                et al., ICLR 2018, with a uniform share in place of one from a beta distribution)
 *
 * They act on what the net reads, in this order; draws are functions of (seed, step, kind,
 * element). An evaluation sees the inputs as they are. */
#include "base/rng.h"
#include "train/trainer.h"
#include <stdio.h>

static const hyper_kind kinds[] = {HYPER_BRIGHTNESS, HYPER_CONTRAST, HYPER_ERASING, HYPER_NOISE,
                                   HYPER_MIXUP};

bool train_varies(const train_spec *s)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (train_uses(s, kinds[i])) return true;
    return false;
}

drmad_status train_check_varied(drmad_ctx *ctx, const train_spec *s)
{
    if (!train_varies(s)) return DRMAD_OK;
    if (!s->model.self)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "brightness, contrast, erasing, noise, mixup: your own model varies its inputs "
                    "itself");
    if (s->model.tokens)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "brightness, contrast, erasing, noise, mixup: the model reads token ids, which "
                    "have no such thing");
    if (s->model.judges && train_uses(s, HYPER_MIXUP))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "mixup: the model's loss is its own, and reads labels; take it out");
    if (train_uses(s, HYPER_ERASING) && s->model.input.rank != 3)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "erasing: the model reads rows, not images [h, w, c]; use a net that does");
    return DRMAD_OK;
}

typedef struct varying {
    trainer *t;
    job *j;
    net *n;
    node key;
    shape full, each; /* of the inputs; of one number an example */
} varying;

/* The kind's strength in shape `to`; NODE_NONE for none. */
static node strength(const varying *v, hyper_kind kind, shape to)
{
    const double value = train_base(&v->t->spec, kind, 0);
    node s = trainer_leaf_or(v->t, v->j, v->n, kind, -1, value);

    if (s == NODE_NONE) return NODE_NONE;
    return g_bcast(v->j->g, g_reshape(v->j->g, s, shape_ones(to.rank)), to);
}

static node draw(const varying *v, const char *site)
{
    return g_uniform(v->j->g, v->key, rng_site(site), v->t->spec.dtype, v->each);
}

/* 1 + s (2u - 1) for every example, in the inputs' shape. */
static node factor(const varying *v, const char *site, node s)
{
    graph *g = v->j->g;
    const node u = draw(v, site), one = g_ones_like(g, u);

    return g_bcast(g, g_add(g, one, g_mul(g, s, g_sub(g, g_scale(g, u, 2), one))), v->full);
}

static node contrast(const varying *v, node x, node s)
{
    graph *g = v->j->g;
    const uint32_t axes = ((1u << v->full.rank) - 1) & ~1u;
    const double count = (double)(shape_count(&v->full) / v->full.dim[0]);
    const node mean = g_bcast(g, g_scale(g, g_sum(g, x, axes), 1 / count), v->full);

    return g_add(g, mean, g_mul(g, factor(v, "contrast", s), g_sub(g, x, mean)));
}

/* 1 within a quarter of the axis' length of a drawn place, else 0. */
static node within(const varying *v, int32_t axis, const char *site)
{
    graph *g = v->j->g;
    const dtype type = v->t->spec.dtype;
    const double length = (double)v->full.dim[axis];
    shape line = v->each;

    line.dim[axis] = v->full.dim[axis];
    node centre = g_bcast(g, g_scale(g, draw(v, site), length), line);
    node away = g_abs(g, g_sub(g, g_iota(g, type, line, axis), centre));
    return g_bcast(g, g_step(g, g_sub(g, g_fill(g, type, line, length / 4), away)), v->full);
}

static node erase(const varying *v, node x, node s)
{
    graph *g = v->j->g;
    const node inside = g_mul(g, within(v, 1, "erasing/y"), within(v, 2, "erasing/x"));

    return g_sub(g, x, g_mul(g, g_mul(g, s, inside), x));
}

/* The rows of x [B, ...], the second first and the first last. */
static node next_rows(graph *g, node x)
{
    const int64_t n = graph_shape(g, x)->dim[0];

    if (n == 1) return x;
    const node rest = g_pad(g, g_slice(g, x, 0, 1, n - 1), 0, 0, n);
    return g_add(g, rest, g_pad(g, g_slice(g, x, 0, 0, 1), 0, n - 1, n));
}

/* x [B, ...] on its way to the next rows. */
static node mix(const varying *v, node x)
{
    graph *g = v->j->g;
    const shape full = *graph_shape(g, x), line = SHAPE(full.dim[0], 1);
    const node s = strength(v, HYPER_MIXUP, line);
    shape each = shape_ones(full.rank);

    if (s == NODE_NONE) return x;
    each.dim[0] = full.dim[0];
    node u = g_uniform(g, v->key, rng_site("mixup"), v->t->spec.dtype, line);
    node share = g_bcast(g, g_reshape(g, g_mul(g, s, u), each), full);
    return g_add(g, x, g_mul(g, share, g_sub(g, next_rows(g, x), x)));
}

node trainer_targets(trainer *t, job *j, net *n, node key, node labels)
{
    const train_spec *s = &t->spec;
    const varying v = {.t = t, .j = j, .n = n, .key = key};

    if (!train_uses(s, HYPER_MIXUP)) return labels;
    return mix(&v, g_onehot(j->g, labels, s->model.classes, s->dtype));
}

node trainer_vary(trainer *t, job *j, net *n, node x, node key)
{
    if (x == NODE_NONE || !train_varies(&t->spec)) return x;
    graph *g = j->g;
    varying v = {.t = t, .j = j, .n = n, .key = key, .full = *graph_shape(g, x)};
    v.each = shape_ones(v.full.rank);
    v.each.dim[0] = v.full.dim[0];
    const node bright = strength(&v, HYPER_BRIGHTNESS, v.each);
    const node contrasted = strength(&v, HYPER_CONTRAST, v.each);
    const node erased = strength(&v, HYPER_ERASING, v.full);
    const node noisy = strength(&v, HYPER_NOISE, v.full);

    if (bright != NODE_NONE) x = g_mul(g, x, factor(&v, "brightness", bright));
    if (contrasted != NODE_NONE) x = contrast(&v, x, contrasted);
    if (erased != NODE_NONE) x = erase(&v, x, erased);
    if (noisy != NODE_NONE)
        x = g_add(g, x,
                  g_mul(g, noisy, g_normal(g, v.key, rng_site("noise"), t->spec.dtype, v.full)));
    return mix(&v, x);
}
