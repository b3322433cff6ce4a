/* The grid walked back: records undone from the last to the first, in host memory or by a device's
 * own passes. */
#include "train/traj_grid.h"
#include <math.h>
#include <string.h>

/* hat_t to hat_{t-1} on `hat`. The second and last time (`leave`) the spacing goes back to that
 * of step t-1. */
static void undo(trajectory *tr, int64_t t, char *hat, bool leave)
{
    grid *g = tr->kept;
    size_t skip = t < tr->spec.steps ? 32 * g->mask_words : 0;
    bits_reader r;

    bits_read_at(&r, &g->log, g->start[t] + skip);
    for (int32_t i = 0; i < tr->spec.params->n; i++) {
        cell *c = &g->at[i];
        unsigned doubled = (unsigned)__builtin_ctzll(~bits_peek(&r));
        bits_skip(&r, doubled + 1);
        unsigned k = bits_peek(&r) & CODE_NONE;
        bits_skip(&r, CODE_K_BITS);
        if (k != CODE_NONE && tr->spec.dtype == F32)
            code_undo_f32(&r, &g->table, k, c->span, (float *)(void *)hat);
        if (k != CODE_NONE && tr->spec.dtype == F64)
            code_undo_f64(&r, &g->table, k, c->span, (double *)(void *)hat);
        if (leave) c->span.tau = ldexp(c->span.tau, -(int)doubled);
    }
}

static void get_masks(grid *g, int64_t t)
{
    bits_reader r;

    bits_read_at(&r, &g->log, g->start[t]);
    for (size_t i = 0; i < g->mask_words; i++) {
        g->masks[i] = (uint32_t)bits_peek(&r);
        bits_skip(&r, 32);
    }
}

/* The same on a device, where each record is read once. */
static drmad_status load_there(trajectory *tr, int64_t t, traj_view *out)
{
    grid *g = tr->kept;
    cross *x = g->cross;
    const int64_t last = tr->spec.steps - 1;
    drmad_status st = DRMAD_OK;
    bits_reader r;

    bits_read_at(&r, &g->log, g->start[t + 1] + (t < last ? 32 * g->mask_words : 0));
    if (t < last) TRY(cross_keep(tr, x, x->hat));
    TRY(cross_fill(tr, x));
    for (int32_t i = 0; i < tr->spec.params->n; i++) {
        cell *c = &g->at[i];
        if (t < last) c->span.tau = ldexp(c->span.tau, -(int)c->doubled);
        c->doubled = (unsigned)__builtin_ctzll(~bits_peek(&r));
        bits_skip(&r, c->doubled + 1);
        const unsigned k = bits_peek(&r) & CODE_NONE;
        bits_skip(&r, CODE_K_BITS);
        if (k != CODE_NONE) cross_decode(x, &r, &g->table, k, c->span);
        g->tau[i] = c->span.tau;
    }
    TRY(cross_undo(tr, x, g->tau));
    out->now[0] = x->hat, out->next[0] = x->next;
done:
    return st;
}

/* hat[0] holds w_t, hat[1] what was w_{t+1} (at first the exact w_T). To go one step down,
 * hat[1] is brought from t+2 to t over both steps, which is cheaper than a copy, and the two
 * change places. */
static drmad_status load_here(trajectory *tr, int64_t t, traj_view *out)
{
    grid *g = tr->kept;
    const int64_t last = tr->spec.steps - 1;

    if (t < last) {
        char *old = g->hat[1];
        undo(tr, t + 2, old, true);
        if (t == last - 1) memcpy(old, g->hat[0], traj_vector_bytes(&tr->spec));
        g->hat[1] = g->hat[0];
        g->hat[0] = old;
    }
    undo(tr, t + 1, g->hat[0], false);
    out->now[0] = g->hat[0], out->next[0] = g->hat[1];
    return DRMAD_OK;
}

drmad_status grid_load(trajectory *tr, int64_t t, traj_view *out)
{
    grid *g = tr->kept;
    drmad_status st = DRMAD_OK;

    *out = (traj_view){.masks = g->mask_words ? g->masks : NULL};
    TRY(g->cross ? load_there(tr, t, out) : load_here(tr, t, out));
    if (g->mask_words) get_masks(g, t);
    if (tr->spec.squares) {
        TRY(cells_load(tr, &g->squares, t));
        out->low = g->squares.low;
    }
done:
    return st;
}
