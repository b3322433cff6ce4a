/* A trainer's vectors, which live where its backend computes: in host memory, or on a device that C
 * cannot touch. There each has a twin in host memory only as long as somebody reads it. */
#include "train/trainer.h"

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

drmad_status trainer_fetch(trainer *t, const void *flat, void **out)
{
    drmad_status st = DRMAD_OK;

    *out = (void *)(uintptr_t)flat;
    if (t->on->host) return DRMAD_OK;
    if (!t->stage) TRY(mem_alloc(t->ctx, flat_bytes(t), 1, &t->stage));
    TRY(t->on->copy(t->on, t->ctx, COPY_DOWN, t->stage, flat, flat_bytes(t)));
    *out = t->stage;
done:
    return st;
}

drmad_status trainer_send(trainer *t, void *flat)
{
    if (t->on->host) return DRMAD_OK;
    return t->on->copy(t->on, t->ctx, COPY_UP, flat, t->stage, flat_bytes(t));
}

/* ---- of the uses ---- */

/* Single numbers and what changes with the batch stay on the host; sums of cotangents are the
 * device's. */
static bool on_host(const trainer *t, const use_state *u, use_slot what)
{
    return t->on->host || u->by_row || (u->count == 1 && what != USE_COT);
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

drmad_status trainer_take_sum(trainer *t, int32_t use)
{
    drmad_status st = move_use(t, use, USE_COT, COPY_DOWN);

    return st == DRMAD_OK ? trainer_clear_sum(t, use) : st;
}

drmad_status trainer_clear_sum(trainer *t, int32_t use)
{
    return move_use(t, use, USE_COT, COPY_WITHIN);
}
