/* States and hyperparameters of nets that grow. */
#include "setup/grow.h"
#include "nn/morph.h"
#include <math.h>
#include <string.h>

/* The net at one point between `from` and `to`. */
typedef struct growth {
    morph *m; /* that led to it; NULL: from's own net */
    const nn_spec *net;
    param_table *params;
} growth;

static void growth_free(growth *g)
{
    if (g->m) params_free(g->params);
    morph_free(g->m);
}

static growth growth_start(const setup *from)
{
    return (growth){.net = from->net, .params = from->params};
}

/* By morph number i of `to`. */
static drmad_status growth_next(const growth *g, const setup *to, int32_t i, growth *next)
{
    drmad_status st = DRMAD_OK;

    *next = (growth){0};
    TRY(morph_parse(g->net, to->cfg->set.model.grow.at[i], (uint64_t)i, &next->m));
    next->net = next->m->net;
    TRY(params_new(to->ctx, &next->params));
    TRY(nn_params(next->net, next->params));
done:
    if (st != DRMAD_OK) {
        params_free(next->params);
        morph_free(next->m);
        *next = (growth){0};
    }
    return st;
}

/* ---- states ---- */

static morph_what what_of(const optim_spec *o, int32_t vector)
{
    if (vector == 0) return MORPH_WEIGHTS;
    if (vector == optim_squares(o)) return MORPH_SQUARES;
    return o->kind == OPTIM_RMSPROP && strcmp(optim_vector_name(o, vector), "grad_avg") != 0
               ? MORPH_STEPS
               : MORPH_GRADIENTS;
}

static drmad_status grow_once(const growth *g, const growth *next, const optim_spec *o,
                              double noise, start_state *s)
{
    drmad_ctx *ctx = next->params->ctx;
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < OPTIM_VECTORS && s->v[k]; k++) {
        double *to;

        TRY(mem_alloc(ctx, (size_t)next->params->total, sizeof *to, &to));
        morph_apply(next->m, g->params, next->params, what_of(o, k), noise, s->v[k], to);
        mem_free(ctx, s->v[k]);
        s->v[k] = to;
    }
done:
    return st;
}

drmad_status grow_state(const setup *from, const setup *to, double noise, start_state *s)
{
    growth now = growth_start(from), next = {0};
    drmad_status st = DRMAD_OK;

    for (int32_t i = from->cfg->set.model.grow.n; i < to->cfg->set.model.grow.n; i++) {
        TRY(growth_next(&now, to, i, &next));
        TRY(grow_once(&now, &next, &from->spec.optim, noise, s));
        growth_free(&now);
        now = next, next = (growth){0};
    }
done:
    growth_free(&now);
    growth_free(&next);
    return st;
}

/* ---- hyperparameters ---- */

/* The old element of element e of a leaf; -1 where the layer is new and the shapes differ. */
static int64_t element_before(const morph_tensor *t, const shape *then, const shape *now, int64_t e)
{
    int64_t at = 0, stride = 1;

    if (!t || t->identity) return shape_same(then, now) ? e : -1;
    for (int32_t d = now->rank - 1; d >= 0; d--) {
        int64_t x = e % now->dim[d];

        e /= now->dim[d];
        if (t->map[d] && now->dim[d] > 1) x = t->map[d]->from[x];
        at += (then->dim[d] > 1 ? x : 0) * stride;
        stride *= then->dim[d];
    }
    return at;
}

/* On the scale on which values move: of logarithms where that is one. */
static double mean_of(const hyper_slice *c, const double *x)
{
    const bool logs = c->transform == TRANSFORM_LOG;
    double sum = 0;

    for (int64_t i = 0; i < c->elements; i++) sum += logs ? log(x[i]) : x[i];
    sum /= (double)c->elements;
    return logs ? exp(sum) : sum;
}

static double inherited(const hyper_use *u, const hyper_slice *then, const double *row,
                        const morph_tensor *t, const hyper_use *now, const hyper_slice *slice,
                        int64_t e)
{
    if (slice->per == PER_EXAMPLE) return e < then->elements ? row[e] : slice->start;
    const int64_t at = element_before(t, &u->shape, &now->shape, e);
    return at >= 0 ? row[at] : mean_of(then, row);
}

/* One step: over a morph, or none. What the old space has not stays at its start. */
static drmad_status inherit(const space *from, const double *old, const space *to, const growth *by,
                            double *fresh)
{
    drmad_status st = DRMAD_OK;
    double *raw = NULL;

    TRY(mem_alloc(to->ctx, (size_t)to->total + 1, sizeof *raw, &raw));
    space_start(to, raw);
    space_values(to, raw, fresh);
    for (int32_t i = 0; i < to->n_uses; i++) {
        const hyper_use *now = &to->uses[i];
        const bool tensors = by && by->m && hyper_is_about_tensors(now->kind);
        const morph_tensor *t = tensors ? &by->m->at[now->tensor] : NULL;
        const hyper_use *u = space_find(from, now->kind, t ? t->from : now->tensor);
        const hyper_slice *c = &to->slices[now->slice];
        const hyper_slice *p = u ? &from->slices[u->slice] : NULL;

        if (!u || p->phases != c->phases || u->shape.rank != now->shape.rank) continue;
        for (int64_t k = 0; k < c->phases * c->elements; k++)
            fresh[c->offset + k] = inherited(u, p, old + p->offset + k / c->elements * p->elements,
                                             t, now, c, k % c->elements);
    }
done:
    mem_free(to->ctx, raw);
    return st;
}

/* The values `old` over *s go on to the net `by`; *s and *values are given anew. */
static drmad_status inherit_step(const grow_side *to, const space_facts *facts, const growth *by,
                                 space **s, double **values)
{
    drmad_ctx *ctx = to->u->ctx;
    drmad_status st = DRMAD_OK;
    double *fresh = NULL;
    space *next = NULL;

    TRY(space_new(ctx, by->params, facts, to->u->decl, to->u->decls, &next));
    TRY(mem_alloc(ctx, (size_t)next->total + 1, sizeof *fresh, &fresh));
    TRY(inherit(*s, *values, next, by, fresh));
    space_free(*s);
    mem_free(ctx, *values);
    *s = next, *values = fresh;
    next = NULL, fresh = NULL;
done:
    space_free(next);
    mem_free(ctx, fresh);
    return st;
}

drmad_status grow_values(const grow_side *from, const double *old, const grow_side *to,
                         double *fresh)
{
    const int32_t first = from->u->cfg->set.model.grow.n, n = to->u->cfg->set.model.grow.n;
    const space_facts facts = setup_facts(from->u, INT64_MAX);
    growth all[COUNT(to->u->cfg->set.model.grow.at) + 1] = {growth_start(from->u)};
    drmad_status st = DRMAD_OK;
    double *values = NULL;
    space *s = NULL;
    int32_t made = 0;

    TRY(space_new(to->u->ctx, from->u->params, &facts, to->u->decl, to->u->decls, &s));
    TRY(mem_alloc(to->u->ctx, (size_t)s->total + 1, sizeof *values, &values));
    TRY(inherit(from->s, old, s, NULL, values));
    for (int32_t i = first; i < n; i++) {
        TRY(growth_next(&all[made], to->u, i, &all[made + 1]));
        made++;
        TRY(inherit_step(to, &facts, &all[made], &s, &values));
    }
    TRY(inherit(s, values, to->s, NULL, fresh));
done:
    space_free(s); /* borrows the tables of `all` */
    for (int32_t i = 0; i <= made; i++) growth_free(&all[i]);
    mem_free(to->u->ctx, values);
    return st;
}
