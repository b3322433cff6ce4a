/* The training graph of one step: loss and penalties. What the data loss is made of is in losses.c,
 * the optimiser on top in update.c. */
#include "ad/ad.h"
#include "train/trainer.h"
#include <stdio.h>

drmad_status net_new(drmad_ctx *ctx, const trainer *t, net **out)
{
    drmad_status st = DRMAD_OK;
    const size_t tensors = (size_t)t->spec.params->n, uses = (size_t)t->spec.space->n_uses;
    const size_t masks = (size_t)t->spec.model.masks;
    net *n = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *n, &n));
    TRY(mem_alloc(ctx, masks, sizeof *n->kinks, &n->kinks));
    TRY(mem_alloc(ctx, (size_t)t->spec.model.n_constants, sizeof *n->constant, &n->constant));
    TRY(mem_alloc(ctx, tensors, sizeof *n->w, &n->w));
    TRY(mem_alloc(ctx, tensors, sizeof *n->next, &n->next));
    TRY(mem_alloc(ctx, tensors, sizeof *n->next_cot, &n->next_cot));
    TRY(mem_alloc(ctx, tensors, sizeof *n->given, &n->given));
    TRY(mem_alloc(ctx, uses + 1, sizeof *n->use, &n->use));
    TRY(mem_alloc(ctx, tensors, sizeof *n->clipped, &n->clipped));
    TRY(mem_alloc(ctx, tensors, sizeof *n->step, &n->step));
    n->index = NODE_NONE;
    for (size_t u = 0; u < uses; u++) n->use[u] = NODE_NONE;
    for (size_t i = 0; i < tensors; i++) n->next[i] = n->next_cot[i] = NODE_NONE;
    *out = n, n = NULL;
done:
    net_free(ctx, n);
    return st;
}

void net_free(drmad_ctx *ctx, net *n)
{
    if (!n) return;
    mem_free(ctx, n->kinks);
    mem_free(ctx, n->constant);
    mem_free(ctx, n->w);
    mem_free(ctx, n->next);
    mem_free(ctx, n->next_cot);
    mem_free(ctx, n->given);
    mem_free(ctx, n->use);
    mem_free(ctx, n->clipped);
    mem_free(ctx, n->step);
    mem_free(ctx, n);
}

node trainer_use_leaf(trainer *t, job *j, net *n, hyper_kind kind, int32_t tensor)
{
    const hyper_use *u = space_find(t->spec.space, kind, tensor);
    char name[128];

    if (!u) return NODE_NONE;
    const int32_t i = (int32_t)(u - t->spec.space->uses);
    if (n->use[i] == NODE_NONE) {
        snprintf(name, sizeof name, "%s%s%s", hyper_kind_of(kind)->word, tensor < 0 ? "" : "/",
                 tensor < 0 ? "" : space_place(t->spec.space, kind, tensor));
        n->use[i] =
            job_leaf(j, name, t->use[i].type, t->use[i].leaf, trainer_use_ref(t, i, USE_VALUE));
        t->use[i].used = true;
    }
    return n->use[i];
}

node trainer_leaf_or(trainer *t, job *j, net *n, hyper_kind kind, int32_t tensor, double value)
{
    node leaf = trainer_use_leaf(t, j, n, kind, tensor);
    const bool tensors = hyper_is_about_tensors(kind);
    const int32_t rank = tensors ? t->spec.params->at[tensor].shape.rank : 2;

    if (leaf != NODE_NONE || value == 0) return leaf;
    return g_fill(j->g, t->spec.dtype, shape_ones(rank), value);
}

/* a + b, where NODE_NONE is zero. */
static node plus(graph *g, node a, node b)
{
    return a == NODE_NONE ? b : b == NODE_NONE ? a : g_add(g, a, b);
}

/* x [B, width], channels running fastest: less their mean, over their deviation. */
static node standardise(const trainer *t, job *j, node x)
{
    const examples *e = &t->spec.train;
    const shape flat = *graph_shape(j->g, x);

    if (e->channels == 0) return x;
    x = g_reshape(j->g, x, SHAPE(shape_count(&flat) / e->channels, e->channels));
    return g_reshape(j->g, nn_standardise(j->g, x, e->mean, e->deviation), flat);
}

node trainer_inputs(trainer *t, job *j, net *n, node rows)
{
    const module *m = &t->spec.model;
    shape s = {.rank = m->input.rank + 1};

    if (rows == NODE_NONE) return NODE_NONE;
    s.dim[0] = graph_shape(j->g, rows)->dim[0];
    for (int32_t i = 0; i < m->input.rank; i++) s.dim[i + 1] = m->input.dim[i];
    if (m->tokens) return g_cast(j->g, g_slice(j->g, rows, 1, 0, s.dim[1]), I32);
    node x = g_scale(j->g, g_cast(j->g, rows, t->spec.dtype), t->spec.train.scale);
    x = standardise(t, j, x);
    node scale = trainer_use_leaf(t, j, n, HYPER_INPUT_SCALE, -1);
    if (scale != NODE_NONE) x = g_mul(j->g, x, g_bcast(j->g, scale, *graph_shape(j->g, x)));
    return g_reshape(j->g, x, s);
}

/* Whether rows of tokens hold one more than the model reads, so that labels are among them. */
static bool followed(const trainer *t)
{
    return t->spec.model.tokens && t->spec.train.width > shape_count(&t->spec.model.input);
}

node trainer_labels(trainer *t, job *j, node rows)
{
    const module *m = &t->spec.model;

    if (rows == NODE_NONE) return NODE_NONE;
    if (followed(t)) return g_cast(j->g, g_slice(j->g, rows, 1, 1, m->input.dim[0]), I32);
    return job_leaf(j, "labels", I32, SHAPE(graph_shape(j->g, rows)->dim[0]),
                    (slot_ref){SLOT_LABELS, 0});
}

node trainer_index(trainer *t, job *j, net *n)
{
    if (n->index == NODE_NONE)
        n->index = job_leaf(j, "index", I32, SHAPE(t->spec.batch), (slot_ref){SLOT_INDEX, 0});
    return n->index;
}

/* The rows of the batch: as the feed gives them, or gathered from the table. */
static node batch_rows(trainer *t, job *j, net *n)
{
    const examples *e = &t->spec.train;
    const slot_ref at = {SLOT_ROWS, 0};

    if (trainer_fed(t) || t->travels)
        return job_leaf(j, "rows", e->type, SHAPE(t->spec.batch, e->width), at);
    node rows = job_leaf(j, "rows", e->type, SHAPE(e->n, e->width), at);
    return g_gather(j->g, rows, trainer_index(t, j, n));
}

/* The batch of further input k. */
static node more_rows(trainer *t, job *j, int32_t k, node index, int64_t batch)
{
    const module_input *m = &t->spec.model.more[k];
    const int64_t width = shape_count(&m->shape);
    const int64_t n = index == NODE_NONE ? batch : t->spec.train.n;
    node rows = job_leaf(j, m->name, m->type, SHAPE(n, width), (slot_ref){SLOT_MORE + k, 0});
    shape s = {.rank = m->shape.rank + 1};

    s.dim[0] = batch;
    for (int32_t i = 0; i < m->shape.rank; i++) s.dim[i + 1] = m->shape.dim[i];
    if (index != NODE_NONE) rows = g_gather(j->g, rows, index);
    return g_reshape(j->g, rows, s);
}

drmad_status trainer_batch(trainer *t, job *j, net *n, node rows, node index, module_batch *out)
{
    const module *m = &t->spec.model;

    *out = (module_batch){.loss = t->spec.loss};
    out->labels = trainer_labels(t, j, rows);
    out->x = trainer_inputs(t, j, n, rows);
    for (int32_t k = 0; k < m->n_more; k++)
        n->more[k] = t->spec.train.more[k]
                         ? more_rows(t, j, k, index, graph_shape(j->g, rows)->dim[0])
                         : out->labels;
    for (int32_t k = 0; k < m->n_constants; k++)
        n->constant[k] = job_leaf(j, m->constant[k].name, m->constant[k].type, m->constant[k].shape,
                                  (slot_ref){SLOT_CONSTANTS, (int64_t)m->constant[k].offset});
    out->more = n->more;
    out->constant = n->constant;
    return graph_status(j->g);
}

static node penalties(trainer *t, job *j, net *n, node total)
{
    for (int32_t i = 0; i < t->spec.params->n; i++) {
        const bool weight = t->spec.params->at[i].role == PARAM_WEIGHT;
        node l2 = trainer_leaf_or(t, j, n, HYPER_L2, i, weight ? t->spec.l2 : 0);
        node l1 = trainer_leaf_or(t, j, n, HYPER_L1, i, weight ? t->spec.l1 : 0);

        if (l2 != NODE_NONE) total = plus(j->g, total, nn_l2(j->g, n->w[i], l2));
        if (l1 != NODE_NONE) total = plus(j->g, total, nn_l1(j->g, n->w[i], l1));
    }
    return total;
}

/* The key of the step's draws; NODE_NONE where there are none. */
static node step_key(trainer *t, job *j)
{
    if (!t->spec.model.drops && !train_varies(&t->spec)) return NODE_NONE;
    return job_leaf(j, "key", I32, SHAPE(4), (slot_ref){SLOT_KEY, 0});
}

/* <c, r'> over the running statistics, c leaves of value 0. */
static node statistics_term(trainer *t, job *j, net *n)
{
    node total = NODE_NONE;

    for (int32_t i = 0; i < t->spec.params->n; i++) {
        if (n->next[i] == NODE_NONE) continue;
        n->next_cot[i] = job_leaf(j, "zero", t->spec.dtype, t->spec.params->at[i].shape,
                                  (slot_ref){SLOT_NONE, 0});
        total = plus(j->g, total,
                     g_reshape(j->g, g_dot(j->g, n->next_cot[i], n->next[i]), SHAPE(1, 1)));
    }
    return total;
}

/* The tuned rates of the dropout layers; NODE_NONE for those that the space does not reach. */
static void dropout_rates(trainer *t, job *j, net *n, node *rates)
{
    const param_table *p = t->spec.params;

    for (int32_t i = 0; i < p->sites; i++)
        rates[i] = p->site[i].kind == HYPER_DROPOUT ? trainer_use_leaf(t, j, n, HYPER_DROPOUT, i)
                                                    : NODE_NONE;
}

/* The data loss by our own graph. */
static drmad_status build_loss(trainer *t, job *j, net *n)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;
    nn_pass pass = {.train = true, .key = step_key(t, j), .kinks = n->kinks, .next = n->next};
    const size_t layers = s->model.layers ? (size_t)s->model.layers->n : 0;
    node *rates = NULL;
    module_batch b;

    TRY(mem_alloc(t->ctx, layers, sizeof *pass.outputs, &pass.outputs));
    TRY(mem_alloc(t->ctx, (size_t)s->params->sites, sizeof *rates, &rates));
    dropout_rates(t, j, n, rates);
    pass.rates = rates;
    node table = batch_rows(t, j, n);
    TRY(trainer_batch(t, j, n, table, n->index, &b));
    b.x = trainer_vary(t, j, n, b.x, pass.key);
    b.labels = trainer_targets(t, j, n, pass.key, b.labels);
    node rows = trainer_losses(t, j, n, &pass, &b);

    n->total = penalties(t, j, n, g_scale(j->g, g_sum_all(j->g, rows), 1.0 / (double)s->batch));
    TRY(trainer_regression(t, j, n, b.x, &pass, &n->total));
    if (n->adjoint) n->total = plus(j->g, n->total, statistics_term(t, j, n));
done:
    mem_free(t->ctx, pass.outputs);
    mem_free(t->ctx, rates);
    return st;
}

/* The data loss by the oracle: its gradient is a leaf. */
static drmad_status build_given(trainer *t, job *j, net *n)
{
    const train_spec *s = &t->spec;

    for (int32_t i = 0; i < s->params->n; i++)
        n->given[i] = job_leaf(j, "gradient", s->dtype, s->params->at[i].shape,
                               trainer_tensor_ref(t, SLOT_G, i));
    n->loss = NODE_NONE;
    n->total = penalties(t, j, n, NODE_NONE);
    return trainer_regression(t, j, n, NODE_NONE, NULL, &n->total);
}

drmad_status trainer_build_gradient(trainer *t, job *j, net *n, node *grad)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < s->params->n; i++) {
        grad[i] = NODE_NONE;
        n->w[i] = job_leaf(j, s->params->at[i].name, s->dtype, s->params->at[i].shape,
                           trainer_tensor_ref(t, SLOT_W, i));
    }
    TRY(s->oracle ? build_given(t, j, n) : build_loss(t, j, n));
    if (n->total != NODE_NONE) {
        node one = g_ones_like(j->g, n->total);
        TRY(ad_vjp(j->g, 1, &n->total, &one, s->params->n, n->w, grad));
    }
    for (int32_t i = 0; s->oracle && i < s->params->n; i++)
        grad[i] = plus(j->g, n->given[i], grad[i]);
    st = graph_status(j->g);
done:
    return st;
}
