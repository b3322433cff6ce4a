/* Runs of a plan's code. Each has a seat of a ring, with blocks in host memory, until the program
 * that it went off with is reached: so the host fills some while the device works on others. A run
 * that nobody waits for is put by where it is small: BATCH of them go off as one program, whose
 * calls are theirs one behind another, with one transfer each way. Where they are sent before there
 * are so many, because something else comes to the device or the ring ends, it is in programs of 4,
 * 2 and 1. */
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
    for (int32_t i = first; i < first + (1 << k); i++) c->seat[i].with = *p;
done:
    return st;
}

/* What is put by lies in a row of seats. */
drmad_status code_send(gpu_code *c)
{
    drmad_status st = DRMAD_OK;

    for (int k = BATCHES - 1; k >= 0; k--) {
        if (c->waiting < 1 << k) continue;
        TRY(send_from(c, code_seat(c, c->in_flight - c->waiting), k));
        c->waiting -= 1 << k;
    }
done:
    c->in_flight -= c->waiting; /* they are lost */
    c->waiting = 0;
    return st;
}

/* ---- what comes and goes ---- */

static drmad_status take_seat(gpu_code *c)
{
    const gpu_state *s = c->state;
    gpu_seat *own = &c->seat[c->batched ? 0 : code_seat(c, c->in_flight)];
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
    const int32_t seat = code_seat(c, c->in_flight);
    char *up = code_block(c, seat, false);
    void **out = c->sent + (size_t)seat * (size_t)c->out.n;

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
    const size_t bytes = (size_t)code_parts(c) * c->down_bytes;

    return c->state->d->copy(c->state->g, c->ctx, COPY_WITHIN, c->down, NULL, bytes);
}

/* So many of the oldest, which are done; gives what the first with a bad index says of it, or 0. */
static uint64_t take_oldest(gpu_code *c, int32_t runs)
{
    uint64_t bad = 0;

    for (int32_t i = 0; i < runs; i++) {
        const uint64_t more = take(c, code_seat(c, i));
        if (bad == 0) bad = more;
    }
    c->in_flight -= runs;
    c->head = c->in_flight > 0 ? code_seat(c, runs) : 0;
    return bad;
}

static void lose_all(gpu_code *c)
{
    c->head = c->in_flight = c->waiting = 0;
}

/* The error ends all that is under way: the flags of later runs may be this one's. */
static drmad_status tell_bad(gpu_code *c, uint64_t bad)
{
    const drmad_status st = gpu_code_wait(c, 0);
    const drmad_status cleared = clear_flags(c);

    if (st != DRMAD_OK && st != DRMAD_E_DATA) return st;
    if (cleared != DRMAD_OK) return cleared;
    return FAIL(c->ctx, DRMAD_E_DATA, "index %d of a table of %d rows", (int32_t)(uint32_t)bad,
                (int32_t)(bad >> 32 & 0x7fffffff));
}

/* So many of the oldest runs, and those that went off with them. */
static drmad_status end_oldest(gpu_code *c, int32_t runs)
{
    const gpu_state *s = c->state;
    const int32_t sent = c->in_flight - c->waiting;
    gpu_program *with = c->seat[code_seat(c, runs - 1)].with;
    drmad_status st = DRMAD_OK;

    while (runs < sent && c->seat[code_seat(c, runs)].with == with) runs++;
    TRY(s->d->reach(s->g, c->ctx, with));
    const uint64_t bad = take_oldest(c, runs);
    return bad ? tell_bad(c, bad) : DRMAD_OK;
done:
    lose_all(c);
    return st;
}

drmad_status gpu_code_wait(void *code, int32_t leave)
{
    gpu_code *c = code;
    const gpu_state *s = c->state;
    const bool sends = leave == 0 || c->waiting > leave || s->failed != DRMAD_OK;
    const drmad_status st = sends ? gpu_send(c->state) : DRMAD_OK;

    if (st == DRMAD_OK) return c->in_flight > leave ? end_oldest(c, c->in_flight - leave) : st;
    if (c->in_flight > 0) s->d->wait(s->g, c->ctx); /* for the blocks */
    lose_all(c);
    return st;
}

/* ---- runs ---- */

static drmad_status put_by(gpu_code *c, const bound_memory *m, const gpu_carry *x)
{
    const bool ends = code_seat(c, c->in_flight) == RING - 1;
    drmad_status st = DRMAD_OK;

    TRY(take_seat(c));
    fill_seat(c, m, x);
    c->state->last = c;
    c->state->copies.pieces = 0; /* they go with it */
    c->in_flight++;
    c->waiting++;
    if (ends || c->waiting == BATCH) TRY(code_send(c));
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
    TRY(send_from(c, code_seat(c, c->in_flight), 0));
    c->in_flight += c->up_bytes + c->down_bytes > 0;
    if (!in_calls) TRY(code_copy_moving(c, &c->out, (const void *const *)m->out, true));
    if (c->down_bytes && !m->later) TRY(gpu_code_wait(c, 0));
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
    if (c->in_flight == code_seats(c)) TRY(gpu_code_wait(c, c->in_flight - 1));
    TRY(code_settle(c, m, &x, &in_calls));
    if (m->later && c->batched && in_calls) return put_by(c, m, &x);
    TRY(gpu_send(s));
    TRY(run_now(c, m, &x, in_calls));
done:
    return st;
}
