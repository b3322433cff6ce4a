/* A device's part of the grid. Weights that moved by more than a byte tells are few: their vectors
 * come to the host, are moved there as the CPU's encoder does, and go back. */
#include "train/traj_cross.h"
#include <math.h>
#include <string.h>

drmad_status cross_new(trajectory *tr, cross **out)
{
    const traj_spec *s = &tr->spec;
    const size_t total = (size_t)s->params->total, n = (size_t)s->params->n;
    drmad_status st = DRMAD_OK;
    cross *x;

    if (!s->on->pass_new) return DRMAD_OK;
    TRY(traj_hold(tr, 1, sizeof *x, &x));
    *out = x;
    x->on = s->on;
    TRY(traj_hold(tr, total, sizeof *x->at, &x->at));
    TRY(traj_hold(tr, total, sizeof *x->by, &x->by));
    TRY(traj_hold(tr, n, sizeof *x->span, &x->span));
    TRY(traj_hold_vectors(tr, 1, &x->hat));
    TRY(traj_hold_vectors(tr, 1, &x->next));
    TRY(backend_alloc(x->on, tr->ctx, 1, sizeof *x->there.count, &x->there.count));
    TRY(backend_alloc(x->on, tr->ctx, total, sizeof *x->at, &x->there.at));
    TRY(backend_alloc(x->on, tr->ctx, total, sizeof *x->by, &x->there.by));
    TRY(backend_alloc(x->on, tr->ctx, n, sizeof *x->span, &x->span_there));
done:
    return st;
}

void cross_free(trajectory *tr, cross *x)
{
    if (!x) return;
    x->on->pass_free(x->pass);
    x->on->pass_free(x->back);
    void *const there[] = {x->hat,      x->next,     x->there.count,
                           x->there.at, x->there.by, x->span_there};
    for (size_t i = 0; i < COUNT(there); i++) traj_free_vectors(tr, there[i]);
    void *const here[] = {x->at, x->by, x->span, x->far, x->w, x->copy};
    for (size_t i = 0; i < COUNT(here); i++) mem_free(tr->ctx, here[i]);
    mem_free(tr->ctx, x);
}

drmad_status cross_begin(trajectory *tr, cross *x, const void *w)
{
    return x->on->copy(x->on, tr->ctx, COPY_WITHIN, x->hat, w, traj_vector_bytes(&tr->spec));
}

drmad_status cross_keep(trajectory *tr, cross *x, const void *w)
{
    return x->on->copy(x->on, tr->ctx, COPY_WITHIN, x->next, w, traj_vector_bytes(&tr->spec));
}

void cross_clear(cross *x)
{
    x->moved = x->coded = 0;
    x->fars = x->far_coded = 0;
}

static drmad_status add_far(trajectory *tr, cross *x, int64_t at, int32_t cells)
{
    drmad_status st = DRMAD_OK;
    const size_t more = x->room ? 2 * x->room : 64;

    if (x->fars == x->room) {
        TRY(mem_resize(tr->ctx, &x->far, x->room, more, sizeof *x->far));
        x->room = more;
    }
    x->far[x->fars++] = (far_move){at, cells};
done:
    return st;
}

/* ---- passes ---- */

static drmad_status send_spans(trajectory *tr, cross *x, const double *tau)
{
    const size_t bytes = (size_t)tr->spec.params->n * sizeof *x->span;
    bool same = x->sent;

    for (int32_t i = 0; i < tr->spec.params->n; i++) {
        const param *p = &tr->spec.params->at[i];
        const pass_span now = {p->offset, (p->count + PASS_EACH - 1) / PASS_EACH * PASS_EACH,
                               tau[i]};
        same = same && x->span[i].tau == now.tau;
        x->span[i] = now;
    }
    x->sent = true;
    return same ? DRMAD_OK : x->on->copy(x->on, tr->ctx, COPY_UP, x->span_there, x->span, bytes);
}

static drmad_status make_pass(trajectory *tr, cross *x, const void *w, void **out)
{
    const grid_pass p = {.type = tr->spec.dtype,
                         .w = w,
                         .hat = x->hat,
                         .list = x->there,
                         .span = x->span_there,
                         .spans = tr->spec.params->n,
                         .total = tr->spec.params->total};

    return x->on->pass_new(x->on, tr->ctx, &p, out);
}

/* Copies of the device's vectors, for the moves that are told one by one. */
static drmad_status fetch(trajectory *tr, const cross *x, const void *v, void **copy)
{
    const size_t bytes = traj_vector_bytes(&tr->spec);
    drmad_status st = DRMAD_OK;

    if (!*copy) TRY(traj_hold(tr, bytes, 1, copy));
    TRY(x->on->copy(x->on, tr->ctx, COPY_DOWN, *copy, v, bytes));
done:
    return st;
}

static double tau_at(const trajectory *tr, const cross *x, int64_t at)
{
    const param_table *p = tr->spec.params;
    int32_t i = p->n - 1;

    while (p->at[i].offset > at) i--;
    return x->span[i].tau;
}

/* hat by `cells` of its tau at once, rounded as the type does. */
static void move(const trajectory *tr, const cross *x, int64_t at, double cells)
{
    const double tau = tau_at(tr, x, at);

    if (tr->spec.dtype == F32) ((float *)x->copy)[at] += (float)tau * (float)cells;
    else ((double *)x->copy)[at] += tau * cells;
}

/* Cells between w and hat; HUGE_VAL for one that is lost. */
static double distance(const trajectory *tr, const cross *x, int64_t at)
{
    const double tau = tau_at(tr, x, at);
    double d;

    if (tr->spec.dtype == F32)
        d = (double)((((const float *)x->w)[at] - ((const float *)x->copy)[at]) / (float)tau);
    else d = (((const double *)x->w)[at] - ((const double *)x->copy)[at]) / tau;
    return fabs(d) < CODE_UNITS_MAX ? rint(d) : HUGE_VAL;
}

static drmad_status move_far(trajectory *tr, cross *x, const void *w, int64_t *lost)
{
    drmad_status st = DRMAD_OK;

    TRY(fetch(tr, x, w, &x->w));
    TRY(fetch(tr, x, x->hat, &x->copy));
    for (int64_t i = 0; i < x->moved; i++) {
        if (x->by[i] != PASS_FAR) continue;
        const double cells = distance(tr, x, x->at[i]);
        if (cells == HUGE_VAL) {
            *lost = x->at[i];
            return DRMAD_OK;
        }
        TRY(add_far(tr, x, x->at[i], (int32_t)cells));
        move(tr, x, x->at[i], cells);
    }
    TRY(x->on->copy(x->on, tr->ctx, COPY_UP, x->hat, x->copy, traj_vector_bytes(&tr->spec)));
done:
    return st;
}

static drmad_status fetch_list(trajectory *tr, cross *x)
{
    const backend *on = x->on;
    drmad_status st = DRMAD_OK;

    TRY(on->copy(on, tr->ctx, COPY_DOWN, &x->moved, x->there.count, sizeof x->moved));
    const size_t n = (size_t)x->moved;
    TRY(on->copy(on, tr->ctx, COPY_DOWN, x->at, x->there.at, n * sizeof *x->at));
    TRY(on->copy(on, tr->ctx, COPY_DOWN, x->by, x->there.by, n * sizeof *x->by));
done:
    return st;
}

static drmad_status send_list(trajectory *tr, const cross *x)
{
    const backend *on = x->on;
    const size_t n = (size_t)x->moved;
    drmad_status st = DRMAD_OK;

    TRY(on->copy(on, tr->ctx, COPY_UP, x->there.count, &x->moved, sizeof x->moved));
    TRY(on->copy(on, tr->ctx, COPY_UP, x->there.at, x->at, n * sizeof *x->at));
    TRY(on->copy(on, tr->ctx, COPY_UP, x->there.by, x->by, n * sizeof *x->by));
done:
    return st;
}

drmad_status cross_run(trajectory *tr, cross *x, const void *w, const double *tau, int64_t *lost)
{
    drmad_status st = DRMAD_OK;

    *lost = -1;
    cross_clear(x);
    TRY(send_spans(tr, x, tau));
    if (x->pass_w != w) {
        x->on->pass_free(x->pass);
        x->pass = NULL;
        TRY(make_pass(tr, x, w, &x->pass));
        x->pass_w = w;
    }
    TRY(x->on->pass_run(x->pass));
    TRY(fetch_list(tr, x));
    if (memchr(x->by, PASS_FAR & 0xff, (size_t)x->moved)) TRY(move_far(tr, x, w, lost));
done:
    return st;
}

drmad_status cross_undo(trajectory *tr, cross *x, const double *tau)
{
    drmad_status st = DRMAD_OK;

    if (x->moved == 0) goto done;
    TRY(send_spans(tr, x, tau));
    if (!x->back) TRY(make_pass(tr, x, NULL, &x->back));
    TRY(send_list(tr, x));
    TRY(x->on->pass_run(x->back));
    if (x->fars == 0) goto done;
    TRY(fetch(tr, x, x->hat, &x->copy));
    for (size_t k = 0; k < x->fars; k++) { /* as the log tells it: one, then all others */
        const far_move *f = &x->far[k];
        const double one = f->cells < 0 ? -1 : 1;
        move(tr, x, f->at, -one);
        move(tr, x, f->at, one - f->cells);
    }
    TRY(x->on->copy(x->on, tr->ctx, COPY_UP, x->hat, x->copy, traj_vector_bytes(&tr->spec)));
done:
    return st;
}

/* ---- the code ---- */

int64_t cross_encode(code_writer *c, cross *x, code_span s)
{
    const int64_t end = s.offset + s.count, before = x->coded;
    int64_t last = s.offset - 1;
    bool was = false;

    for (; x->coded < x->moved && x->at[x->coded] < end; x->coded++) {
        const int64_t at = x->at[x->coded];
        const int8_t by = x->by[x->coded];
        const int32_t n = by == PASS_FAR ? x->far[x->far_coded++].cells : by;
        const bool down = n < 0;
        code_event(c, (uint64_t)(at - last - 1), down != was, (uint32_t)(down ? -n : n));
        last = at, was = down;
    }
    code_end(c);
    return x->coded - before;
}

drmad_status cross_decode(trajectory *tr, cross *x, bits_reader *r, const code_table *t, unsigned k,
                          code_span s)
{
    drmad_status st = DRMAD_OK;
    int64_t at = s.offset - 1;
    bool down = false;

    for (code_move m; (m = code_next(r, t, k)).cells > 0;) {
        at += m.gap + 1;
        down = down != m.turned;
        const int32_t n = down ? -(int32_t)m.cells : (int32_t)m.cells;
        const bool is_far = m.cells > INT8_MAX;
        x->at[x->moved] = (int32_t)at;
        x->by[x->moved++] = is_far ? PASS_FAR : (int8_t)n;
        if (is_far) TRY(add_far(tr, x, at, n));
    }
done:
    return st;
}
