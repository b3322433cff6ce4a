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
                TRY(trainer_gradient_put(t, j, i, dw[i]));
        if (scale != NODE_NONE) {
            const hyper_use *u = space_find(s->space, HYPER_INPUT_SCALE, -1);
            TRY(ad_vjp(j->g, 1, &total, &one, 1, &scale, &dscale));
            TRY(trainer_put_cotangent(t, j, (int32_t)(u - s->space->uses), dscale));
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
    int32_t *labels, *index;
    void *weight, *row_loss;
    bool there; /* the rows lie in a device's tables */
} chunk;

static void chunk_free(trainer *t, chunk *c)
{
    mem_free(t->ctx, c->rows);
    for (int32_t k = 0; k < MORE_MAX; k++) mem_free(t->ctx, c->more[k]);
    mem_free(t->ctx, c->labels);
    mem_free(t->ctx, c->index);
    mem_free(t->ctx, c->weight);
    mem_free(t->ctx, c->row_loss);
}

/* The rows of a chunk, k = 0, or its further input k - 1: the plan's output and the device's memory
 * for it. */
static drmad_status gather_from(trainer *t, int32_t k, dtype type, int64_t width)
{
    const slot_ref from = {SLOT_TABLE + k, 0}, out = {k == 0 ? SLOT_ROWS : SLOT_MORE + k - 1, 0};
    job *j = t->gather;
    drmad_status st = DRMAD_OK;
    void *memory;

    node rows = job_leaf(j, "table", type, SHAPE(t->spec.train.n, width), from);
    node index = job_leaf(j, "index", I32, SHAPE(t->chunk), (slot_ref){SLOT_INDEX, 0});
    TRY(job_output(j, g_gather(j->g, rows, index), out, NODE_NONE));
    TRY(backend_alloc(t->on, t->ctx, (size_t)(t->chunk * width), dtype_size(type), &memory));
    t->chunk_at[k] = t->table[t->tables++] = memory;
done:
    return st;
}

static drmad_status gather_job(trainer *t)
{
    const examples *e = &t->spec.train;
    drmad_status st = DRMAD_OK;

    TRY(job_new(t->ctx, t->on, &t->gather));
    TRY(gather_from(t, 0, e->type, e->width));
    t->slot[SLOT_TABLE] = (void *)(uintptr_t)t->rows;
    for (int32_t k = 0; k < t->spec.model.n_more; k++) {
        const module_input *m = &t->spec.model.more[k];
        t->slot[SLOT_TABLE_MORE + k] = (void *)(uintptr_t)t->more[k];
        if (!e->more[k]) continue;
        TRY(gather_from(t, 1 + k, m->type, shape_count(&m->shape)));
    }
    TRY(job_compile(t->gather));
done:
    if (st != DRMAD_OK) job_free(t->gather), t->gather = NULL;
    return st;
}

/* Whether the examples' rows are in a device's tables. */
static bool lie_there(const trainer *t, const examples *e)
{
    const examples *own = &t->spec.train;
    bool same = !t->on->host && t->rows && e->rows == own->rows && e->n == own->n;

    for (int32_t k = 0; k < t->spec.model.n_more; k++) same = same && e->more[k] == own->more[k];
    return same;
}

static drmad_status chunk_new(trainer *t, const examples *e, chunk *c)
{
    const size_t n = (size_t)t->chunk;
    drmad_status st = DRMAD_OK;

    *c = (chunk){.there = lie_there(t, e)};
    if (c->there && !t->gather) TRY(gather_job(t));
    if (e->rows && !c->there)
        TRY(mem_alloc(t->ctx, n * (size_t)e->width, dtype_size(e->type), &c->rows));
    TRY(mem_alloc(t->ctx, n, sizeof *c->labels, &c->labels));
    TRY(mem_alloc(t->ctx, n, sizeof *c->index, &c->index));
    TRY(mem_alloc(t->ctx, n, t->size, &c->weight));
    TRY(mem_alloc(t->ctx, n, t->size, &c->row_loss));
    for (int32_t k = 0; k < t->spec.model.n_more; k++) {
        if (e->more[k] && !c->there)
            TRY(mem_alloc(t->ctx, n, module_row_bytes(&t->spec.model.more[k]), &c->more[k]));
        t->slot[SLOT_MORE + k] = c->there ? t->chunk_at[1 + k] : c->more[k];
    }
    t->slot[SLOT_ROWS] = c->there ? t->chunk_at[0] : c->rows;
    t->slot[SLOT_INDEX] = c->index;
    t->slot[SLOT_LABELS] = c->labels;
    t->slot[SLOT_ROW_WEIGHT] = c->weight;
    t->slot[SLOT_ROW_LOSS] = c->row_loss;
done:
    return st;
}

static drmad_status chunk_copy(trainer *t, const examples *e, int64_t first, chunk *c)
{
    for (int64_t i = 0; i < t->chunk; i++) {
        const bool there = first + i < e->count;
        const int64_t at = there ? first + i : 0;
        c->index[i] = e->list[at];
        c->labels[i] = e->labels[at];
        trainer_put(t, c->weight, i, there);
    }
    if (c->there) return job_run(t->gather, t->slot);
    trainer_copy_rows(c->rows, e->rows, (size_t)e->width * dtype_size(e->type), c->index, t->chunk);
    for (int32_t k = 0; k < t->spec.model.n_more; k++)
        if (e->more[k])
            trainer_copy_rows(c->more[k], e->more[k], module_row_bytes(&t->spec.model.more[k]),
                              c->index, t->chunk);
    return DRMAD_OK;
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

/* h~ += what the input scale's cotangent gives. */
static void scatter_scale(trainer *t, int32_t use, dtype type, double *dvalues)
{
    const use_state *u = &t->use[use];
    hyper_at at = trainer_at(t, u, t->spec.steps - 1);

    at.type = type;
    space_scatter(t->spec.space, u->use, &at, u->host[USE_COT], dvalues);
}

static void add_chunk(trainer *t, double *dvalues)
{
    const hyper_use *u = space_find(t->spec.space, HYPER_INPUT_SCALE, -1);
    const int32_t i = u ? (int32_t)(u - t->spec.space->uses) : 0;

    trainer_gradient_add(t);
    if (u && !trainer_sums(t, i)) scatter_scale(t, i, t->use[i].type, dvalues);
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
        TRY(e->rows ? chunk_copy(t, e, first, &c) : chunk_take(t, e, first, &c));
        const bool full = first + t->chunk <= e->count;
        TRY(job_run(full || !rest ? j : rest, t->slot));
        loss += trainer_get(t, t->slot[SLOT_LOSS], 0);
        correct += trainer_get(t, t->slot[SLOT_CORRECT], 0);
        if (dvalues) add_chunk(t, dvalues);
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

/* The input scale's use where a device sums its cotangent; else -1. */
static int32_t summed_scale(const trainer *t)
{
    const hyper_use *u = space_find(t->spec.space, HYPER_INPUT_SCALE, -1);
    const int32_t i = u ? (int32_t)(u - t->spec.space->uses) : -1;

    return i >= 0 && trainer_sums(t, i) ? i : -1;
}

static drmad_status begin_sums(trainer *t, double *dvalues)
{
    const int32_t scale = summed_scale(t);
    const drmad_status st = trainer_gradient_begin(t);

    memset(dvalues, 0, (size_t)t->spec.space->total * sizeof *dvalues);
    return st == DRMAD_OK && scale >= 0 ? trainer_clear_sum(t, scale) : st;
}

static drmad_status end_sums(trainer *t, double *dw, double *dvalues)
{
    const int32_t scale = summed_scale(t);
    drmad_status st = DRMAD_OK;

    TRY(trainer_gradient_end(t));
    if (scale >= 0) {
        TRY(trainer_take_sum(t, scale));
        scatter_scale(t, scale, F64, dvalues);
    }
    for (int64_t i = 0; i < t->spec.params->total; i++) dw[i] = t->grad_sum[i] / (double)t->seen;
    for (int64_t i = 0; i < t->spec.space->total; i++) dvalues[i] /= (double)t->seen;
done:
    return st;
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
    if (grad) TRY(begin_sums(t, dvalues));
    TRY(sweep(t, *j, e, out, grad ? dvalues : NULL, NULL));
    if (grad) TRY(end_sums(t, dw, dvalues));
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
        TRY(e->rows ? chunk_copy(t, e, first, &c) : chunk_take(t, e, first, &c));
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
