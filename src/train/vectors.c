/* A trainer's vectors, which live where its backend computes: in host memory, or on a device that C
 * cannot touch. There each has a twin in host memory only as long as somebody reads it.
 *
 * What else programs read or write is in host memory where it is small, for a device too: single
 * numbers are, and on a device that takes host addresses (backend.mixed) all that changes with
 * every step: index, labels, key, rows of a feed, leaves and cotangents of few elements. */
#include "train/trainer.h"
#include <string.h>

/* Of a mixed device's leaf of hyperparameters, in elements: more stay there, whose cotangents are
 * then summed there. */
enum { SMALL = 64 };

static size_t flat_bytes(const trainer *t)
{
    return (size_t)t->spec.params->total * t->size;
}

drmad_status trainer_vector(trainer *t, size_t count, void **out)
{
    return backend_alloc(t->on, t->ctx, count, t->size, out);
}

void trainer_vector_free(trainer *t, void *v)
{
    t->on->free(t->on, t->ctx, v);
}

drmad_status trainer_clear(trainer *t, void *flat)
{
    return t->on->copy(t->on, t->ctx, COPY_WITHIN, flat, NULL, flat_bytes(t));
}

drmad_status trainer_copy(trainer *t, void *to, const void *from)
{
    return t->on->copy(t->on, t->ctx, COPY_WITHIN, to, from, flat_bytes(t));
}

drmad_status trainer_stage(trainer *t, void *flat, void **out)
{
    drmad_status st = DRMAD_OK;

    *out = flat;
    if (t->on->host) return DRMAD_OK;
    if (!t->stage) TRY(mem_alloc(t->ctx, flat_bytes(t), 1, &t->stage));
    *out = t->stage;
done:
    return st;
}

drmad_status trainer_fetch_some(trainer *t, const void *v, int64_t count, void **out)
{
    drmad_status st = trainer_stage(t, (void *)(uintptr_t)v, out);

    if (st != DRMAD_OK || t->on->host) return st;
    return t->on->copy(t->on, t->ctx, COPY_DOWN, *out, v, (size_t)count * t->size);
}

drmad_status trainer_fetch(trainer *t, const void *flat, void **out)
{
    return trainer_fetch_some(t, flat, t->spec.params->total, out);
}

drmad_status trainer_send(trainer *t, void *flat)
{
    if (t->on->host) return DRMAD_OK;
    return t->on->copy(t->on, t->ctx, COPY_UP, flat, t->stage, flat_bytes(t));
}

/* Of a model of our own a device's evaluation sums over the chunks itself. */
static bool sums_gradient(const trainer *t)
{
    return !t->on->host && !t->spec.oracle;
}

static size_t gradient_size(const trainer *t)
{
    return sums_gradient(t) ? sizeof(double) : t->size;
}

drmad_status trainer_gradient_new(trainer *t)
{
    return backend_alloc(t->on, t->ctx, (size_t)t->spec.params->total, gradient_size(t),
                         &t->slot[SLOT_WGRAD]);
}

drmad_status trainer_gradient_begin(trainer *t)
{
    const size_t total = (size_t)t->spec.params->total;

    memset(t->grad_sum, 0, total * sizeof *t->grad_sum);
    return t->on->copy(t->on, t->ctx, COPY_WITHIN, t->slot[SLOT_WGRAD], NULL,
                       total * gradient_size(t));
}

drmad_status trainer_gradient_put(trainer *t, job *j, int32_t tensor, node dw)
{
    const param *p = &t->spec.params->at[tensor];
    const slot_ref to = {SLOT_WGRAD, p->offset * (int64_t)gradient_size(t)};

    if (!sums_gradient(t)) return job_output(j, dw, to, NODE_NONE);
    node sum = job_leaf(j, "sum of gradients", F64, p->shape, to);
    return job_output(j, g_add(j->g, sum, g_cast(j->g, dw, F64)), to, sum);
}

void trainer_gradient_add(trainer *t)
{
    for (int64_t i = 0; t->on->host && i < t->spec.params->total; i++)
        t->grad_sum[i] += trainer_get(t, t->slot[SLOT_WGRAD], i);
}

drmad_status trainer_gradient_end(trainer *t)
{
    const size_t bytes = (size_t)t->spec.params->total * sizeof *t->grad_sum;

    if (t->on->host) return DRMAD_OK;
    return t->on->copy(t->on, t->ctx, COPY_DOWN, t->grad_sum, t->slot[SLOT_WGRAD], bytes);
}

/* ---- what never changes ---- */

drmad_status trainer_table(trainer *t, const void *host, size_t bytes, const void **out)
{
    drmad_status st = DRMAD_OK;
    void *there = NULL;

    *out = host;
    if (!host || t->on->host || t->spec.oracle) return DRMAD_OK;
    TRY(backend_alloc(t->on, t->ctx, bytes, 1, &there));
    *out = t->table[t->tables++] = there;
    TRY(t->on->copy(t->on, t->ctx, COPY_UP, there, host, bytes));
done:
    return st;
}

static size_t constant_bytes(const module *m)
{
    size_t end = 0;

    for (int32_t k = 0; k < m->n_constants; k++) {
        const module_constant *c = &m->constant[k];
        const size_t last = c->offset + (size_t)shape_count(&c->shape) * dtype_size(c->type);
        if (last > end) end = last;
    }
    return end;
}

/* The training set: on the device where there is room, else memory for the rows of a batch. */
static drmad_status data_new(trainer *t)
{
    const train_spec *s = &t->spec;
    const examples *e = &s->train;
    const size_t n = (size_t)e->n, row = (size_t)e->width * dtype_size(e->type);
    const int32_t before = t->tables;
    drmad_status st = trainer_fed(t) ? DRMAD_OK : trainer_table(t, e->rows, n * row, &t->rows);

    for (int32_t k = 0; st == DRMAD_OK && k < s->model.n_more; k++)
        st = trainer_table(t, e->more[k], n * module_row_bytes(&s->model.more[k]), &t->more[k]);
    if (st != DRMAD_E_NOMEM || t->on->host || trainer_fed(t)) return st;
    base_log(t->ctx, LOG_WARN,
             "the training set does not fit on the device: its rows travel with each batch (%s)",
             drmad_errmsg(t->ctx));
    while (t->tables > before) trainer_vector_free(t, t->table[--t->tables]);
    t->travels = true;
    t->rows = NULL;
    TRY(mem_alloc(t->ctx, (size_t)s->batch, row, &t->batch_rows[0]));
    for (int32_t k = 0; k < s->model.n_more; k++) {
        t->more[k] = NULL;
        TRY(mem_alloc(t->ctx, (size_t)s->batch, module_row_bytes(&s->model.more[k]),
                      &t->batch_rows[1 + k]));
    }
done:
    return st;
}

void trainer_copy_rows(void *to, const void *table, size_t row, const int32_t *index, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)to + (size_t)i * row, (const char *)table + (size_t)index[i] * row, row);
}

drmad_status trainer_tables_new(trainer *t)
{
    const train_spec *s = &t->spec;
    const size_t outputs = (size_t)s->train.n * (size_t)s->model.classes;
    drmad_status st = DRMAD_OK;
    const void *at;

    TRY(trainer_table(t, s->model.constant_data, constant_bytes(&s->model), &at));
    t->slot[SLOT_CONSTANTS] = (void *)(uintptr_t)at;
    TRY(trainer_table(t, s->teacher, outputs * t->size, &at));
    t->slot[SLOT_TEACHER] = (void *)(uintptr_t)at;
    TRY(data_new(t));
done:
    return st;
}

/* ---- of the uses ---- */

/* Sums of cotangents are the device's unless it takes host addresses. */
static bool on_host(const trainer *t, const use_state *u, use_slot what)
{
    if (t->on->host || u->by_row) return true;
    return t->on->mixed ? u->count <= SMALL : u->count == 1 && what != USE_COT;
}

bool train_sums(const train_spec *s, const hyper_use *u)
{
    const backend *on = train_backend(s);

    return !on->host && (!on->mixed || shape_count(&u->shape) > SMALL);
}

static size_t cot_size(const trainer *t, const use_state *u)
{
    return on_host(t, u, USE_COT) ? dtype_size(u->type) : sizeof(double);
}

drmad_status trainer_use_memory(trainer *t, int32_t use)
{
    use_state *u = &t->use[use];
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < USE_SLOTS; k++) {
        void **slot = &t->slot[trainer_use_ref(t, use, (use_slot)k).slot];
        const size_t size = k == USE_COT ? cot_size(t, u) : dtype_size(u->type);
        TRY(mem_alloc(t->ctx, u->count, size, &u->host[k]));
        if (on_host(t, u, (use_slot)k)) *slot = u->host[k];
        else TRY(backend_alloc(t->on, t->ctx, u->count, size, slot));
    }
done:
    return st;
}

void trainer_use_memory_free(trainer *t, int32_t use)
{
    for (int k = 0; k < USE_SLOTS; k++) {
        void *slot = t->slot[trainer_use_ref(t, use, (use_slot)k).slot];
        if (slot != t->use[use].host[k]) trainer_vector_free(t, slot);
        mem_free(t->ctx, t->use[use].host[k]);
    }
}

static drmad_status move_use(trainer *t, int32_t use, use_slot what, copy_way way)
{
    const use_state *u = &t->use[use];
    void *slot = t->slot[trainer_use_ref(t, use, what).slot], *host = u->host[what];
    const size_t bytes = u->count * (what == USE_COT ? cot_size(t, u) : dtype_size(u->type));

    if (slot == host) return DRMAD_OK;
    if (way == COPY_UP) return t->on->copy(t->on, t->ctx, way, slot, host, bytes);
    if (way == COPY_DOWN) return t->on->copy(t->on, t->ctx, way, host, slot, bytes);
    return t->on->copy(t->on, t->ctx, way, slot, NULL, bytes);
}

drmad_status trainer_send_use(trainer *t, int32_t use, use_slot what)
{
    return move_use(t, use, what, COPY_UP);
}

bool trainer_sums(const trainer *t, int32_t use)
{
    return !on_host(t, &t->use[use], USE_COT);
}

drmad_status trainer_put_cotangent(trainer *t, job *j, int32_t use, node cot)
{
    const slot_ref to = trainer_use_ref(t, use, USE_COT);
    node sum = NODE_NONE;

    if (t->use[use].scaled) cot = g_mul(j->g, cot, trainer_base_leaf(t, j, &t->use[use].leaf));
    if (trainer_sums(t, use)) {
        sum = job_leaf(j, "sum", F64, t->use[use].leaf, to);
        cot = g_add(j->g, sum, g_cast(j->g, cot, F64));
    }
    return job_output(j, cot, to, sum);
}

drmad_status trainer_take_sum(trainer *t, int32_t use)
{
    drmad_status st = move_use(t, use, USE_COT, COPY_DOWN);

    return st == DRMAD_OK ? trainer_clear_sum(t, use) : st;
}

drmad_status trainer_clear_sum(trainer *t, int32_t use)
{
    return move_use(t, use, USE_COT, COPY_WITHIN);
}
