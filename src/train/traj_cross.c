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
    TRY(traj_hold(tr, total, 1, &x->cells));
    TRY(traj_hold(tr, n, sizeof *x->span, &x->span));
    TRY(traj_hold_vectors(tr, 1, &x->hat));
    TRY(traj_hold_vectors(tr, 1, &x->next));
    TRY(backend_alloc(x->on, tr->ctx, total, 1, &x->cells_there));
    TRY(backend_alloc(x->on, tr->ctx, n, sizeof *x->span, &x->span_there));
done:
    return st;
}

void cross_free(trajectory *tr, cross *x)
{
    if (!x) return;
    x->on->pass_free(x->pass);
    x->on->pass_free(x->back);
    void *const there[] = {x->hat, x->next, x->cells_there, x->span_there};
    for (size_t i = 0; i < COUNT(there); i++) traj_free_vectors(tr, there[i]);
    void *const here[] = {x->cells, x->span, x->far, x->w, x->copy};
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

drmad_status cross_add_far(trajectory *tr, cross *x, int64_t at, int32_t cells)
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
                         .cells = x->cells_there,
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
    const int64_t total = tr->spec.params->total;
    drmad_status st = DRMAD_OK;

    TRY(fetch(tr, x, w, &x->w));
    TRY(fetch(tr, x, x->hat, &x->copy));
    for (int64_t i = 0; i < total; i++) {
        if (x->cells[i] != PASS_FAR) continue;
        const double cells = distance(tr, x, i);
        if (cells == HUGE_VAL) {
            *lost = i;
            return DRMAD_OK;
        }
        TRY(cross_add_far(tr, x, i, (int32_t)cells));
        move(tr, x, i, cells);
    }
    TRY(x->on->copy(x->on, tr->ctx, COPY_UP, x->hat, x->copy, traj_vector_bytes(&tr->spec)));
done:
    return st;
}

drmad_status cross_run(trajectory *tr, cross *x, const void *w, const double *tau, int64_t *lost)
{
    const size_t total = (size_t)tr->spec.params->total;
    drmad_status st = DRMAD_OK;

    *lost = -1;
    x->fars = 0;
    TRY(send_spans(tr, x, tau));
    if (x->pass_w != w) {
        x->on->pass_free(x->pass);
        x->pass = NULL;
        TRY(make_pass(tr, x, w, &x->pass));
        x->pass_w = w;
    }
    TRY(x->on->pass_run(x->pass));
    TRY(x->on->copy(x->on, tr->ctx, COPY_DOWN, x->cells, x->cells_there, total));
    if (memchr(x->cells, PASS_FAR & 0xff, total)) TRY(move_far(tr, x, w, lost));
done:
    return st;
}

drmad_status cross_undo(trajectory *tr, cross *x, const double *tau)
{
    const size_t total = (size_t)tr->spec.params->total;
    drmad_status st = DRMAD_OK;

    TRY(send_spans(tr, x, tau));
    if (!x->back) TRY(make_pass(tr, x, NULL, &x->back));
    TRY(x->on->copy(x->on, tr->ctx, COPY_UP, x->cells_there, x->cells, total));
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

int64_t cross_encode(code_writer *c, const cross *x, code_span s, size_t *far)
{
    const int8_t *cells = x->cells + s.offset;
    int64_t last = -1, events = 0;
    bool was = false;

    for (int64_t base = 0; base < s.count; base += 8) {
        uint64_t eight;
        memcpy(&eight, cells + base, sizeof eight);
        if (eight == 0) continue;
        for (int64_t i = base; i < base + 8; i++) {
            if (cells[i] == 0) continue;
            const int32_t n = cells[i] == PASS_FAR ? x->far[(*far)++].cells : cells[i];
            const bool down = n < 0;
            code_event(c, (uint64_t)(i - last - 1), down != was, (uint32_t)(down ? -n : n));
            last = i, was = down;
            events++;
        }
    }
    code_end(c);
    return events;
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
        x->cells[at] = is_far ? PASS_FAR : (int8_t)n;
        if (is_far) TRY(cross_add_far(tr, x, at, n));
    }
done:
    return st;
}
