/* A device's part of the grid. */
#include "train/traj_cross.h"

drmad_status cross_new(trajectory *tr, cross **out)
{
    const param_table *p = tr->spec.params;
    drmad_status st = DRMAD_OK;
    cross *x;

    TRY(traj_hold(tr, 1, sizeof *x, &x));
    *out = x;
    x->on = tr->spec.on;
    TRY(traj_hold(tr, (size_t)p->n, sizeof *x->span, &x->span));
    for (int32_t i = 0; i < p->n; i++)
        x->span[i] = (pass_span){
            p->at[i].offset, (p->at[i].count + PASS_EACH - 1) / PASS_EACH * PASS_EACH, 0};
    TRY(traj_hold_vectors(tr, 1, &x->hat));
    TRY(traj_hold_vectors(tr, 1, &x->next));
done:
    return st;
}

static void forget_passes_of_w(cross *x)
{
    x->on->pass_free(x->pass);
    x->on->pass_free(x->sums);
    x->pass = x->sums = NULL;
}

void cross_free(trajectory *tr, cross *x)
{
    if (!x) return;
    forget_passes_of_w(x);
    x->on->pass_free(x->back);
    traj_free_vectors(tr, x->hat);
    traj_free_vectors(tr, x->next);
    mem_free(tr->ctx, x->span);
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

static drmad_status make_pass(trajectory *tr, const cross *x, pass_kind kind, void **out)
{
    const pass_spec p = {.kind = kind,
                         .type = tr->spec.dtype,
                         .from = x->w,
                         .hat = x->hat,
                         .spans = tr->spec.params->n,
                         .total = tr->spec.params->total};

    return *out ? DRMAD_OK : x->on->pass_new(x->on, tr->ctx, &p, out);
}

static drmad_status run_pass(cross *x, void *pass, const double *tau, int32_t spans)
{
    const pass_numbers n = {.span = x->span};

    for (int32_t i = 0; i < spans; i++) x->span[i].tau = tau[i];
    return x->on->pass_run(pass, &n);
}

/* ---- there ---- */

static void look_at(cross *x, const void *w)
{
    if (x->w != w) forget_passes_of_w(x);
    x->w = w;
}

drmad_status cross_squares(trajectory *tr, cross *x, const void *w, double *sum)
{
    drmad_status st = DRMAD_OK;
    const double *share;

    look_at(x, w);
    TRY(make_pass(tr, x, PASS_SQUARES, &x->sums));
    TRY(run_pass(x, x->sums, NULL, 0));
    TRY(x->on->pass_block(x->sums, &share));
    for (int32_t i = 0; i < tr->spec.params->n; i++, share += PASS_SHARES) {
        sum[i] = 0;
        for (int32_t k = 0; k < PASS_SHARES; k++) sum[i] += share[k];
    }
done:
    return st;
}

drmad_status cross_run(trajectory *tr, cross *x, const void *w, const double *tau)
{
    drmad_status st = DRMAD_OK;

    look_at(x, w);
    TRY(make_pass(tr, x, PASS_CROSS, &x->pass));
    TRY(run_pass(x, x->pass, tau, tr->spec.params->n));
done:
    return st;
}

drmad_status cross_found(cross *x)
{
    x->coded = 0;
    return x->on->pass_block(x->pass, &x->list);
}

int64_t cross_encode(code_writer *c, cross *x, code_span s, bool *far)
{
    const int64_t end = s.offset + s.count, before = x->coded;
    int64_t last = s.offset - 1;
    bool was = false;

    for (; x->coded < x->list->count && x->list->move[x->coded].at < end; x->coded++) {
        const pass_move m = x->list->move[x->coded];
        const bool down = m.by < 0;
        *far = m.by == PASS_FAR;
        if (*far || m.by == PASS_NAN) return -1 - (m.at - s.offset);
        code_event(c, (uint64_t)(m.at - last - 1), down != was, (uint32_t)(down ? -m.by : m.by));
        last = m.at, was = down;
    }
    code_end(c);
    return x->coded - before;
}

/* ---- back ---- */

drmad_status cross_fill(trajectory *tr, cross *x)
{
    drmad_status st = DRMAD_OK;

    TRY(make_pass(tr, x, PASS_UNCROSS, &x->back));
    TRY(x->on->pass_block(x->back, &x->list));
    x->list->count = 0;
done:
    return st;
}

void cross_decode(cross *x, bits_reader *r, const code_table *t, unsigned k, code_span s)
{
    int64_t at = s.offset - 1;
    bool down = false;

    for (code_move m; (m = code_next(r, t, k)).cells > 0;) {
        at += m.gap + 1;
        down = down != m.turned;
        const int32_t n = (int32_t)m.cells;
        x->list->move[x->list->count++] = (pass_move){(int32_t)at, down ? -n : n};
    }
}

drmad_status cross_undo(trajectory *tr, cross *x, const double *tau)
{
    if (x->list->count == 0) return DRMAD_OK;
    return run_pass(x, x->back, tau, tr->spec.params->n);
}
