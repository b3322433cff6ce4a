/* Runs of a plan's code. Each has blocks of its own in host memory until the device is waited for.
 * One that nobody waits for is put by where it is small: BATCH of them go off as one program, whose
 * calls are theirs one behind another, with one transfer each way. Where they are sent before there
 * are so many, because something else comes to the device, it is in programs of 4, 2 and 1. */
#include "exec/cuda/code_inside.h"
#include <string.h>

/* ---- sending ---- */

/* 1 << k runs. */
static drmad_status send_from(gpu_code *c, int32_t first, int k)
{
    const gpu_state *s = c->state;
    gpu_program **p = &c->seat[first].program[k];
    drmad_status st = DRMAD_OK;

    if (!*p) TRY(code_record(c, first, 1 << k, p));
    TRY(s->d->run(s->g, c->ctx, *p));
done:
    return st;
}

drmad_status code_send(gpu_code *c)
{
    int32_t first = c->in_flight - c->waiting;
    drmad_status st = DRMAD_OK;

    for (int k = BATCHES - 1; k >= 0; k--) {
        if (!(c->waiting >> k & 1)) continue;
        TRY(send_from(c, first, k));
        first += 1 << k;
    }
done:
    c->waiting = 0;
    c->in_flight = first; /* the others are lost */
    return st;
}

/* ---- what comes and goes ---- */

static drmad_status take_seat(gpu_code *c)
{
    const gpu_state *s = c->state;
    gpu_seat *own = &c->seat[c->batched ? 0 : c->in_flight];
    const size_t seats = c->batched ? RING : 1;
    drmad_status st = DRMAD_OK;

    if (c->up_bytes && !own->up) TRY(s->d->alloc_host(s->g, c->ctx, seats * c->up_bytes, &own->up));
    if (c->down_bytes && !own->down)
        TRY(s->d->alloc_host(s->g, c->ctx, seats * c->down_bytes, &own->down));
done:
    return st;
}

static void fill_seat(gpu_code *c, const bound_memory *m, const gpu_carry *x)
{
    char *up = code_block(c, c->in_flight, false);
    void **out = c->sent + (size_t)c->in_flight * (size_t)c->out.n;

    for (int32_t i = 0; i < c->leaf.n; i++) {
        const gpu_slot *v = &c->leaf.at[i];
        if (v->way == WAY_STAGED) memcpy(up + v->at, m->leaf[i], v->bytes);
    }
    if (c->carried) memcpy(up + c->staged_bytes, x, sizeof *x);
    for (int32_t i = 0; i < c->out.n; i++) out[i] = m->out[i];
}

/* What a run has left for the host. */
static uint64_t take(const gpu_code *c, int32_t seat)
{
    const char *down = code_block(c, seat, true);
    void *const *out = c->sent + (size_t)seat * (size_t)c->out.n;
    uint64_t bad = 0;

    for (int32_t i = 0; i < c->out.n; i++)
        if (c->out.at[i].way == WAY_STAGED)
            memcpy(out[i], down + c->out.at[i].at, c->out.at[i].bytes);
    if (c->flags) memcpy(&bad, down, sizeof bad);
    return bad;
}

static drmad_status clear_flags(const gpu_code *c)
{
    const size_t runs = c->batched ? BATCH : 1;

    return c->state->d->copy(c->state->g, c->ctx, COPY_WITHIN, c->down, NULL, runs * c->down_bytes);
}

drmad_status gpu_code_wait(void *code)
{
    gpu_code *c = code;
    const gpu_state *s = c->state;
    drmad_status st = gpu_send(c->state);
    const int32_t runs = c->in_flight;
    uint64_t bad = 0;

    c->in_flight = 0;
    if (runs == 0) return st;
    if (st != DRMAD_OK) {
        s->d->wait(s->g, c->ctx); /* for the blocks */
        return st;
    }
    TRY(s->d->wait(s->g, c->ctx));
    for (int32_t i = 0; i < runs; i++) {
        const uint64_t more = take(c, i);
        if (bad == 0) bad = more;
    }
    if (bad == 0) return DRMAD_OK;
    TRY(clear_flags(c));
    return FAIL(c->ctx, DRMAD_E_DATA, "index %d of a table of %d rows", (int32_t)(uint32_t)bad,
                (int32_t)(bad >> 32 & 0x7fffffff));
done:
    return st;
}

/* ---- runs ---- */

static drmad_status put_by(gpu_code *c, const bound_memory *m, const gpu_carry *x)
{
    drmad_status st = DRMAD_OK;

    TRY(take_seat(c));
    fill_seat(c, m, x);
    c->state->last = c;
    c->state->copies.pieces = 0; /* they go with it */
    c->in_flight++;
    c->waiting++;
    if (c->waiting == BATCH) TRY(code_send(c));
done:
    return st;
}

/* `in_calls`: what moves does so by x. */
static drmad_status run_now(gpu_code *c, const bound_memory *m, const gpu_carry *x, bool in_calls)
{
    drmad_status st = DRMAD_OK;

    c->state->last = NULL;
    TRY(take_seat(c));
    fill_seat(c, m, x);
    if (!in_calls) TRY(code_copy_moving(c, &c->leaf, m->leaf, false));
    TRY(send_from(c, c->in_flight, 0));
    c->in_flight += c->up_bytes + c->down_bytes > 0;
    if (!in_calls) TRY(code_copy_moving(c, &c->out, (const void *const *)m->out, true));
    if (c->down_bytes && !m->later) TRY(gpu_code_wait(c));
done:
    return st;
}

drmad_status gpu_code_run(void *code, const bound_memory *m)
{
    gpu_code *c = code;
    gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;
    bool in_calls;
    gpu_carry x;

    if (s->last && s->last != c) TRY(code_send(s->last)); /* copies may go with this run */
    if (c->in_flight == (c->batched ? RING : RING_ALONE)) TRY(gpu_code_wait(c));
    TRY(code_settle(c, m, &x, &in_calls));
    if (m->later && c->batched && in_calls) return put_by(c, m, &x);
    TRY(gpu_send(s));
    TRY(run_now(c, m, &x, in_calls));
done:
    return st;
}
