/* Evaluation: fixed chunks in order, the last one padded with weight-0 rows, sums in double. */
#include "ad/ad.h"
#include "train/trainer.h"
#include <math.h>
#include <string.h>

/* The graph of one chunk of `size` rows: sum of weighted row losses, count of right answers, row
 * losses; with `grad` the gradient of the sum. */
static drmad_status eval_job(trainer *t, bool grad, int64_t size, job **out)
{
    const train_spec *s = &t->spec;
    const int32_t tensors = s->params->n;
    drmad_status st = DRMAD_OK;
    net *n = NULL;
    node *dw = NULL, scale, dscale = NODE_NONE;
    module_batch b;
    job *j;

    TRY(job_new(t->ctx, t->on, out));
    j = *out;
    TRY(net_new(t->ctx, t, &n));
    TRY(mem_alloc(t->ctx, (size_t)tensors, sizeof *dw, &dw));
    for (int32_t i = 0; i < tensors; i++)
        n->w[i] = job_leaf(j, s->params->at[i].name, s->dtype, s->params->at[i].shape,
                           trainer_tensor_ref(t, SLOT_W, i));
    node rows =
        job_leaf(j, "rows", s->train.type, SHAPE(size, s->train.width), (slot_ref){SLOT_ROWS, 0});
    node weight =
        job_leaf(j, "row weight", s->dtype, SHAPE(size, 1), (slot_ref){SLOT_ROW_WEIGHT, 0});
    TRY(trainer_batch(t, j, n, rows, NODE_NONE, &b));
    scale = trainer_use_leaf(t, j, n, HYPER_INPUT_SCALE, -1);
    const nn_pass pass = nn_evaluation();
    const module_result r = s->model.build(j->g, &s->model, n->w, &b, &pass);
    node total = g_dot(j->g, weight, r.rows), one = g_ones_like(j->g, total);

    TRY(job_output(j, total, (slot_ref){SLOT_LOSS, 0}, NODE_NONE));
    t->scored = r.correct != NODE_NONE;
    if (t->scored)
        TRY(job_output(j, g_dot(j->g, weight, r.correct), (slot_ref){SLOT_CORRECT, 0}, NODE_NONE));
    TRY(job_output(j, r.rows, (slot_ref){SLOT_ROW_LOSS, 0}, NODE_NONE));
    if (grad) {
        TRY(ad_vjp(j->g, 1, &total, &one, tensors, n->w, dw));
        for (int32_t i = 0; i < tensors; i++)
            if (dw[i] != NODE_NONE && (!s->frozen || s->params->at[i].role != PARAM_STAT))
                TRY(job_output(j, dw[i], trainer_tensor_ref(t, SLOT_WGRAD, i), NODE_NONE));
        if (scale != NODE_NONE) {
            const hyper_use *u = space_find(s->space, HYPER_INPUT_SCALE, -1);
            TRY(ad_vjp(j->g, 1, &total, &one, 1, &scale, &dscale));
            TRY(job_output(j, dscale, trainer_use_ref(t, (int32_t)(u - s->space->uses), USE_COT),
                           NODE_NONE));
        }
    }
    TRY(job_compile(j));
done:
    mem_free(t->ctx, dw);
    net_free(t->ctx, n);
    return st;
}

/* Memory of one chunk. */
typedef struct chunk {
    char *rows, *more[MORE_MAX];
    int32_t *labels;
    void *weight, *row_loss;
} chunk;

static void chunk_free(trainer *t, chunk *c)
{
    mem_free(t->ctx, c->rows);
    for (int32_t k = 0; k < MORE_MAX; k++) mem_free(t->ctx, c->more[k]);
    mem_free(t->ctx, c->labels);
    mem_free(t->ctx, c->weight);
    mem_free(t->ctx, c->row_loss);
}

/* Of one row of further input k. */
static size_t more_bytes(const trainer *t, int32_t k)
{
    const module_input *m = &t->spec.model.more[k];

    return (size_t)shape_count(&m->shape) * dtype_size(m->type);
}

static drmad_status chunk_new(trainer *t, const examples *e, chunk *c)
{
    const size_t n = (size_t)t->chunk;
    drmad_status st = DRMAD_OK;

    *c = (chunk){0};
    if (e->rows) TRY(mem_alloc(t->ctx, n * (size_t)e->width, dtype_size(e->type), &c->rows));
    TRY(mem_alloc(t->ctx, n, sizeof *c->labels, &c->labels));
    TRY(mem_alloc(t->ctx, n, t->size, &c->weight));
    TRY(mem_alloc(t->ctx, n, t->size, &c->row_loss));
    for (int32_t k = 0; k < t->spec.model.n_more; k++) {
        if (e->more[k]) TRY(mem_alloc(t->ctx, n, more_bytes(t, k), &c->more[k]));
        t->slot[SLOT_MORE + k] = c->more[k];
    }
    t->slot[SLOT_ROWS] = c->rows;
    t->slot[SLOT_LABELS] = c->labels;
    t->slot[SLOT_ROW_WEIGHT] = c->weight;
    t->slot[SLOT_ROW_LOSS] = c->row_loss;
done:
    return st;
}

static void chunk_copy(const trainer *t, const examples *e, int64_t first, chunk *c)
{
    const size_t row = (size_t)e->width * dtype_size(e->type);

    for (int64_t i = 0; i < t->chunk; i++) {
        const bool there = first + i < e->count;
        const int64_t at = there ? first + i : 0;
        const int32_t from = e->list[at];
        memcpy(c->rows + (size_t)i * row, (const char *)e->rows + (size_t)from * row, row);
        for (int32_t k = 0; k < t->spec.model.n_more; k++)
            if (e->more[k])
                memcpy(c->more[k] + (size_t)i * more_bytes(t, k),
                       (const char *)e->more[k] + (size_t)from * more_bytes(t, k),
                       more_bytes(t, k));
        c->labels[i] = e->labels[at];
        trainer_put(t, c->weight, i, there);
    }
}

/* Rows from the feed, as evaluation sees them: not varied, bad ones with weight 0. */
static drmad_status chunk_take(trainer *t, const examples *e, int64_t first, chunk *c)
{
    const feed_stream of = {.data = e->data,
                            .list = e->list,
                            .count = (int32_t)e->count,
                            .batch = (int32_t)t->chunk,
                            .all = true,
                            .steps = (e->count + t->chunk - 1) / t->chunk};
    feed_batch b;
    const drmad_status st = feed_take(e->feed, &of, 0, first / t->chunk, &b);

    if (st != DRMAD_OK) return st;
    t->slot[SLOT_ROWS] = (void *)(uintptr_t)b.rows;
    for (int64_t i = 0; i < t->chunk; i++) {
        c->labels[i] = e->labels[b.position[i]];
        trainer_put(t, c->weight, i, b.good[i]);
    }
    return DRMAD_OK;
}

static void add_grad(trainer *t, double *dvalues)
{
    for (int64_t i = 0; i < t->spec.params->total; i++)
        t->grad_sum[i] += trainer_get(t, t->slot[SLOT_WGRAD], i);
    const hyper_use *u = space_find(t->spec.space, HYPER_INPUT_SCALE, -1);
    if (!u) return;
    const use_state *us = &t->use[u - t->spec.space->uses];
    const hyper_at at = trainer_at(t, us, t->spec.steps - 1);
    space_scatter(t->spec.space, u, &at, us->host[USE_COT], dvalues);
}

/* A loss that is no mean over rows has a graph of its own for a last chunk that is smaller: rows
 * that pad it would change it. */
static drmad_status rest_job(trainer *t, bool grad, const examples *e)
{
    const int64_t rows = t->spec.model.whole ? e->count % t->chunk : 0;
    drmad_status st = DRMAD_OK;

    if (rows == t->rest_rows[grad]) return DRMAD_OK;
    job_free(t->rest[grad]);
    t->rest[grad] = NULL, t->rest_rows[grad] = 0;
    if (rows > 0) TRY(eval_job(t, grad, rows, &t->rest[grad]));
    t->rest_rows[grad] = rows;
done:
    return st;
}

/* Runs every chunk; the means go to *out, row losses to row_loss where given. */
static drmad_status sweep(trainer *t, job *j, const examples *e, eval_result *out, double *dvalues,
                          double *row_loss)
{
    job *rest = t->rest[dvalues != NULL];
    drmad_status st = DRMAD_OK;
    double loss = 0, correct = 0;
    chunk c;

    t->seen = 0;
    TRY(chunk_new(t, e, &c));
    t->slot[SLOT_W] = t->state[t->now][0];
    for (int64_t first = 0; first < e->count; first += t->chunk) {
        TRY(base_stopped(t->ctx));
        if (e->rows) chunk_copy(t, e, first, &c);
        else TRY(chunk_take(t, e, first, &c));
        const bool full = first + t->chunk <= e->count;
        TRY(job_run(full || !rest ? j : rest, t->slot));
        loss += trainer_get(t, t->slot[SLOT_LOSS], 0);
        correct += trainer_get(t, t->slot[SLOT_CORRECT], 0);
        if (dvalues) add_grad(t, dvalues);
        for (int64_t i = 0; i < t->chunk && first + i < e->count; i++) {
            const double weight = trainer_get(t, c.weight, i);
            t->seen += weight != 0;
            if (row_loss) row_loss[first + i] = weight * trainer_get(t, c.row_loss, i);
        }
    }
    if (t->seen == 0) TRY(FAIL(t->ctx, DRMAD_E_DATA, "evaluation: no picture can be read"));
    out->loss = loss / (double)t->seen;
    out->error = t->scored ? 1 - correct / (double)t->seen : (double)NAN;
done:
    chunk_free(t, &c);
    return st;
}

static drmad_status check_examples(const trainer *t, const examples *e)
{
    const examples *own = &t->spec.train;

    if (!e->rows && !e->feed) return FAIL(t->ctx, DRMAD_E_INTERNAL, "evaluation: no rows");
    if (e->count < 1) return FAIL(t->ctx, DRMAD_E_DATA, "evaluation: no examples");
    if (e->width != own->width || e->type != own->type)
        return FAIL(t->ctx, DRMAD_E_DATA, "evaluation: rows of %lld %s, training has %lld %s",
                    (long long)e->width, dtype_name(e->type), (long long)own->width,
                    dtype_name(own->type));
    if (t->spec.model.batch && e->count % t->chunk != 0)
        return FAIL(t->ctx, DRMAD_E_DATA,
                    "evaluation: %lld examples in batches of %lld, the only size that the model "
                    "was exported for; take a multiple of it",
                    (long long)e->count, (long long)t->chunk);
    return DRMAD_OK;
}

drmad_status trainer_eval(trainer *t, const examples *e, const double *values, eval_result *out,
                          double *dw, double *dvalues)
{
    const bool grad = dw != NULL;
    job **j = grad ? &t->eval_grad : &t->eval;
    drmad_status st = DRMAD_OK;

    if (t->spec.oracle) return trainer_ask_value(t, e, out, dw, dvalues);
    TRY(check_examples(t, e));
    if (!*j) TRY(eval_job(t, grad, t->chunk, j));
    TRY(rest_job(t, grad, e));
    trainer_restart(t, values, t->seed);
    TRY(trainer_prepare_eval(t)); /* the last phase's input scale */
    if (grad) {
        memset(t->grad_sum, 0, (size_t)t->spec.params->total * sizeof *t->grad_sum);
        memset(dvalues, 0, (size_t)t->spec.space->total * sizeof *dvalues);
        memset(t->slot[SLOT_WGRAD], 0, (size_t)t->spec.params->total * t->size);
    }
    TRY(sweep(t, *j, e, out, grad ? dvalues : NULL, NULL));
    for (int64_t i = 0; grad && i < t->spec.params->total; i++)
        dw[i] = t->grad_sum[i] / (double)t->seen;
    for (int64_t i = 0; grad && i < t->spec.space->total; i++) dvalues[i] /= (double)t->seen;
    if (!isfinite(out->loss))
        st = FAIL(t->ctx, DRMAD_E_DIVERGED, "evaluation loss %g after %lld steps", out->loss,
                  (long long)t->spec.steps);
done:
    return st;
}

/* The graph of one chunk that gives what the net does. */
static drmad_status outputs_job(trainer *t, job **out)
{
    const train_spec *s = &t->spec;
    const nn_pass pass = nn_evaluation();
    drmad_status st = DRMAD_OK;
    net *n = NULL;
    job *j;

    TRY(job_new(t->ctx, t->on, out));
    j = *out;
    TRY(net_new(t->ctx, t, &n));
    for (int32_t i = 0; i < s->params->n; i++)
        n->w[i] = job_leaf(j, s->params->at[i].name, s->dtype, s->params->at[i].shape,
                           trainer_tensor_ref(t, SLOT_W, i));
    node rows = job_leaf(j, "rows", s->train.type, SHAPE(t->chunk, s->train.width),
                         (slot_ref){SLOT_ROWS, 0});
    node z = nn_forward(j->g, s->model.layers, n->w, trainer_inputs(t, j, n, rows), &pass);
    TRY(job_output(j, z, (slot_ref){SLOT_OUTPUT, 0}, NODE_NONE));
    TRY(job_compile(j));
done:
    net_free(t->ctx, n);
    return st;
}

drmad_status trainer_outputs(trainer *t, const examples *e, void *table)
{
    const size_t row = (size_t)shape_count(nn_output(t->spec.model.layers)) * t->size;
    drmad_status st = DRMAD_OK;
    const double none = 0;
    job *j = NULL;
    chunk c = {0};

    TRY(check_examples(t, e));
    TRY(outputs_job(t, &j));
    trainer_restart(t, &none, 0);
    t->now = 0;
    TRY(trainer_start_state(t, t->state[0]));
    TRY(chunk_new(t, e, &c));
    TRY(mem_alloc(t->ctx, (size_t)t->chunk, row, &t->slot[SLOT_OUTPUT]));
    t->slot[SLOT_W] = t->state[0][0];
    for (int64_t first = 0; first < e->count; first += t->chunk) {
        TRY(base_stopped(t->ctx));
        if (e->rows) chunk_copy(t, e, first, &c);
        else TRY(chunk_take(t, e, first, &c));
        TRY(job_run(j, t->slot));
        for (int64_t i = 0; i < t->chunk && first + i < e->count; i++)
            memcpy((char *)table + (size_t)e->list[first + i] * row,
                   (const char *)t->slot[SLOT_OUTPUT] + (size_t)i * row, row);
    }
done:
    mem_free(t->ctx, t->slot[SLOT_OUTPUT]);
    t->slot[SLOT_OUTPUT] = NULL;
    chunk_free(t, &c);
    job_free(j);
    return st;
}

drmad_status trainer_row_losses(trainer *t, const examples *e, const double *values, double *loss)
{
    drmad_status st = DRMAD_OK;
    eval_result ignored;

    if (t->spec.oracle)
        return FAIL(t->ctx, DRMAD_E_CONFIG, "losses of single rows need a model of drmad's own");
    TRY(check_examples(t, e));
    if (!t->eval) TRY(eval_job(t, false, t->chunk, &t->eval));
    TRY(rest_job(t, false, e));
    trainer_restart(t, values, t->seed);
    TRY(trainer_prepare_eval(t)); /* the last phase's input scale */
    TRY(sweep(t, t->eval, e, &ignored, NULL, loss));
done:
    return st;
}
