/* How what is bound to leaves and outputs gets to the calls of a plan's code:
 *
 *   direct   memory of the device, the same in every run: used as it is
 *   staged   memory of the host: through page-locked blocks, one way up and one down for all,
 *            which are part of the recorded program
 *   moving   anything else: a place of its own on the device; a call at the run's beginning brings
 *            it there, or one at its end from there, as the run's block tells them; what comes from
 *            or goes to the host the driver copies
 *
 * An address begins as direct or staged. The first that does not stay so makes it moving, and the
 * programs are recorded again, at most once for each leaf and output. */
#include "exec/cuda/code_inside.h"

/* Runs are put by where they wait for launches rather than for their work. Measured on no GPU. */
enum { SMALL_BYTES = 64 << 10, SMALL_CALLS = 256 };

/* From here on what is staged travels beside the run before. Measured on no GPU. */
enum { AHEAD_BYTES = 256 << 10 };

/* ---- ways ---- */

/* The first run says what is staged. */
static void count_blocks(gpu_code *c, const bound_memory *m)
{
    const gpu_state *s = c->state;

    if (c->begun) return;
    c->begun = true;
    c->staged_bytes = 0, c->down_bytes = c->flags ? ALIGN : 0; /* the flag comes first */
    for (int32_t i = 0; i < c->leaf.n; i++) {
        if (c->leaf.at[i].way == WAY_UNUSED || gpu_owns(s, m->leaf[i])) continue;
        c->leaf.at[i].at = c->staged_bytes;
        c->staged_bytes += code_round_up(c->leaf.at[i].bytes);
    }
    for (int32_t i = 0; i < c->out.n; i++) {
        if (gpu_owns(s, m->out[i])) continue;
        c->out.at[i].at = c->down_bytes;
        c->down_bytes += code_round_up(c->out.at[i].bytes);
    }
}

void *code_address(const gpu_slot *v, void *block)
{
    return v->way == WAY_STAGED ? (char *)block + v->at : v->device;
}

/* Is it decided how `memory` gets to the calls, and still right? Decides it at first. */
static bool stays(const gpu_code *c, gpu_slot *s, const void *memory)
{
    const bool owned = gpu_owns(c->state, memory);

    switch (s->way) {
    case WAY_NEW:
        s->way = owned ? WAY_DIRECT : WAY_STAGED;
        s->device = owned ? (void *)(uintptr_t)memory : NULL;
        return true;
    case WAY_DIRECT: return owned && s->device == memory;
    case WAY_STAGED: return !owned;
    default: return true;
    }
}

/* ---- places ---- */

/* Does slot j lie behind slot i in what is bound to them? */
static bool follows(const gpu_slots *s, const void *const *memory, int32_t i, int32_t j)
{
    return memory[j] == (const char *)memory[i] + s->at[i].bytes;
}

static void sort_by_address(int32_t *list, int32_t n, const void *const *memory)
{
    for (int32_t i = 1; i < n; i++) {
        const int32_t k = list[i];
        int32_t j = i;
        for (; j > 0 && (uintptr_t)memory[list[j - 1]] > (uintptr_t)memory[k]; j--)
            list[j] = list[j - 1];
        list[j] = k;
    }
}

/* Slots that lie behind one another get places that do so too: one piece for all. */
static drmad_status make_places(gpu_code *c, gpu_slots *s, const int32_t *list, int32_t n)
{
    drmad_status st = DRMAD_OK;
    size_t bytes = 0;

    for (int32_t k = 0; k < n; k++) bytes += s->at[list[k]].bytes;
    TRY(gpu_code_wait(c, 0)); /* for what they now are */
    TRY(gpu_take(c->state, c->ctx, bytes, &s->at[list[0]].own));
    char *device = s->at[list[0]].own;
    for (int32_t k = 0; k < n; k++) {
        s->at[list[k]].way = WAY_MOVING;
        s->at[list[k]].device = device;
        device += s->at[list[k]].bytes;
    }
    s->movings += n;
    c->own_bytes += bytes;
    code_forget(c);
done:
    return st;
}

static drmad_status settle(gpu_code *c, gpu_slots *s, const void *const *memory)
{
    drmad_status st = DRMAD_OK;
    int32_t *list = s->moving + s->movings, n = 0;

    for (int32_t i = 0; i < s->n; i++)
        if (!stays(c, &s->at[i], memory[i])) list[n++] = i;
    sort_by_address(list, n, memory);
    for (int32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && follows(s, memory, list[end - 1], list[end]);) end++;
        TRY(make_places(c, s, list + i, end - i));
    }
done:
    return st;
}

/* ---- pieces ---- */

/* What lies behind one another from moving slot *at on; *at is then the one behind it. */
static carry_piece next_piece(const gpu_slots *s, const void *const *memory, int32_t *at, bool back)
{
    const gpu_slot *v = &s->at[s->moving[*at]];
    void *there = (void *)(uintptr_t)memory[s->moving[*at]];
    size_t bytes = v->bytes;

    for (++*at; *at < s->movings; ++*at) {
        const gpu_slot *next = &s->at[s->moving[*at]];
        if (!follows(s, memory, s->moving[*at - 1], s->moving[*at]) ||
            next->device != (char *)v->device + bytes)
            break;
        bytes += next->bytes;
    }
    return back ? (carry_piece){v->device, there, (int64_t)bytes}
                : (carry_piece){there, v->device, (int64_t)bytes};
}

/* False: a piece is the host's, or does not go with the others. */
static bool add_moving(const gpu_code *c, const gpu_slots *s, const void *const *memory, bool back,
                       carry_table *t)
{
    bool fits = true;

    for (int32_t i = 0; i < s->movings && fits;) {
        const carry_piece p = next_piece(s, memory, &i, back);
        fits = gpu_owns(c->state, back ? p.to : p.from) && gpu_carry_add(t, p);
    }
    return fits;
}

/* All that moves before and after the run, with the copies that were put by. */
static bool find_pieces(const gpu_code *c, const bound_memory *m, gpu_carry *x)
{
    x->before = c->state->copies;
    x->after.pieces = 0;
    return add_moving(c, &c->leaf, m->leaf, false, &x->before) &&
           add_moving(c, &c->out, (const void *const *)m->out, true, &x->after);
}

drmad_status code_copy_moving(const gpu_code *c, const gpu_slots *s, const void *const *memory,
                              bool back)
{
    const gpu_state *g = c->state;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < s->movings;) {
        const carry_piece p = next_piece(s, memory, &i, back);
        const bool owned = gpu_owns(g, back ? p.to : p.from);
        const copy_way way = owned ? COPY_WITHIN : back ? COPY_DOWN : COPY_UP;
        TRY(g->d->copy(g->g, c->ctx, way, p.to, p.from, (size_t)p.bytes));
    }
done:
    return st;
}

static size_t bytes_of(const gpu_carry *x)
{
    const carry_table *const both[] = {&x->before, &x->after};
    int64_t bytes = 0;

    for (size_t k = 0; k < COUNT(both); k++)
        for (int64_t i = 0; i < both[k]->pieces; i++) bytes += both[k]->piece[i].bytes;
    return (size_t)bytes;
}

/* ---- blocks ---- */

static bool is_small(const gpu_code *c)
{
    const size_t bytes = c->staged_bytes + c->down_bytes;

    return c->lower.apart && c->calls <= SMALL_CALLS && bytes > 0 && bytes <= SMALL_BYTES;
}

/* Bytes that calls are made for where a run carries so many. */
static size_t carried_for(const gpu_code *c, const gpu_carry *x)
{
    const size_t bytes = bytes_of(x);
    size_t most = c->carried;

    if (most == 0 && bytes > 0) most = 4096;
    while (most < bytes) most *= 2;
    return most;
}

/* What was put by is sent as it was meant, and done, before there are others. */
static drmad_status make_blocks(gpu_code *c, bool batched, bool ahead, size_t carried)
{
    gpu_state *s = c->state;
    drmad_status st = DRMAD_OK;

    TRY(gpu_code_wait(c, 0));
    code_free_blocks(c);
    c->made = false, c->batched = batched, c->ahead = ahead, c->carried = carried;
    const size_t runs = (size_t)code_parts(c);
    c->up_bytes = c->staged_bytes + (carried ? code_round_up(sizeof(gpu_carry)) : 0);
    if (c->up_bytes) TRY(gpu_take(s, c->ctx, runs * c->up_bytes, &c->up));
    if (c->down_bytes) TRY(gpu_take(s, c->ctx, runs * c->down_bytes, &c->down));
    if (runs > 1 && !c->tapes)
        TRY(gpu_take(s, c->ctx, (runs - 1) * c->tape_bytes + 1, &c->tapes));
    c->made = true;
done:
    return st;
}

static drmad_status make_blocks_or_fewer(gpu_code *c, bool batched, bool ahead, size_t carried)
{
    const drmad_status st = make_blocks(c, batched, ahead, carried);

    if (st != DRMAD_E_NOMEM || !ahead) return st;
    c->narrow = true;
    return make_blocks(c, batched, false, carried);
}

static bool goes_ahead(const gpu_code *c, const bound_memory *m, bool batched)
{
    return !c->narrow && (c->ahead || (m->later && !batched && c->staged_bytes >= AHEAD_BYTES));
}

drmad_status code_settle(gpu_code *c, const bound_memory *m, gpu_carry *x, bool *in_calls)
{
    drmad_status st = DRMAD_OK;

    count_blocks(c, m);
    c->lower.arena = m->arena;
    TRY(settle(c, &c->leaf, m->leaf));
    TRY(settle(c, &c->out, (const void *const *)m->out));
    const bool batched = c->batched || (m->later && is_small(c));
    const bool ahead = goes_ahead(c, m, batched);
    if (!m->later || !batched) TRY(gpu_send(c->state)); /* it goes off at once */
    *in_calls = find_pieces(c, m, x);
    if (!*in_calls && c->state->copies.pieces > 0) {
        TRY(gpu_send(c->state));
        *in_calls = find_pieces(c, m, x);
    }
    if (!*in_calls) x->before.pieces = x->after.pieces = 0;
    const size_t carried = carried_for(c, x);
    if (c->made && batched == c->batched && ahead == c->ahead && carried == c->carried)
        return DRMAD_OK;
    TRY(make_blocks_or_fewer(c, batched, ahead, carried));
    if (*in_calls) find_pieces(c, m, x);
done:
    return st;
}
