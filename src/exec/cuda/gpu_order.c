/* The order of a device's work. Runs that nobody waits for are put by until there are enough of
 * them for one launch (gpu_run.c), and copies within the device between two of them go with the
 * later one. Whatever else comes to the device, but new memory, sends them first: so nobody can
 * tell. */
#include "exec/cuda/code_inside.h"
#include <stdio.h>

enum { COPY_MAX = 32 << 20 }; /* bytes of a copy that is put by */

/* ---- pieces ---- */

static bool overlap(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes)
{
    const uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;

    return x < y + (uintptr_t)b_bytes && y < x + (uintptr_t)a_bytes;
}

/* Does one write what the other reads or writes? */
static bool conflict(const carry_piece *p, const carry_piece *q)
{
    return overlap(p->to, p->bytes, q->to, q->bytes) ||
           overlap(p->to, p->bytes, q->from, q->bytes) ||
           overlap(p->from, p->bytes, q->to, q->bytes);
}

bool gpu_carry_add(carry_table *t, carry_piece p)
{
    bool fits = t->pieces < CARRY_MAX && !overlap(p.to, p.bytes, p.from, p.bytes);

    for (int64_t i = 0; i < t->pieces && fits; i++) fits = !conflict(&t->piece[i], &p);
    if (fits) t->piece[t->pieces++] = p;
    return fits;
}

/* ---- sending ---- */

static drmad_status send(gpu_state *s)
{
    const carry_table copies = s->copies;
    drmad_status st = DRMAD_OK;

    s->copies.pieces = 0;
    if (s->last) TRY(code_send(s->last));
    for (int64_t i = 0; i < copies.pieces; i++) {
        const carry_piece *p = &copies.piece[i];
        TRY(s->d->copy(s->g, s->ctx, COPY_WITHIN, p->to, p->from, (size_t)p->bytes));
    }
done:
    return st;
}

drmad_status gpu_send(gpu_state *s)
{
    const drmad_status failed = s->failed;
    drmad_status st = send(s);

    if (st != DRMAD_OK || failed == DRMAD_OK) return st;
    s->failed = DRMAD_OK;
    return FAIL(s->ctx, failed, "%s", s->why);
}

void gpu_send_untold(gpu_state *s)
{
    const drmad_status st = send(s);

    if (st == DRMAD_OK || s->failed != DRMAD_OK) return;
    s->failed = st;
    snprintf(s->why, sizeof s->why, "%s", drmad_errmsg(s->ctx));
}

drmad_status gpu_copy(gpu_state *s, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                      size_t bytes)
{
    const bool within = way == COPY_WITHIN && from && gpu_owns(s, to) && gpu_owns(s, from);
    drmad_status st = DRMAD_OK;

    if (s->last && within && bytes <= COPY_MAX) {
        const carry_piece p = {from, to, (int64_t)bytes};
        if (gpu_carry_add(&s->copies, p)) return DRMAD_OK;
        TRY(gpu_send(s));
        if (gpu_carry_add(&s->copies, p)) return DRMAD_OK;
    }
    TRY(gpu_send(s));
    TRY(s->d->copy(s->g, ctx, way, to, from, bytes));
done:
    return st;
}
