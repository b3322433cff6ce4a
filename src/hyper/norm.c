/* |w~|, taken now and then on the way back: by a loop in host memory, by a plan elsewhere. */
#include "hyper/walker.h"
#include <math.h>

drmad_status walker_build_norm(walker *w)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    node sum = NODE_NONE;

    if (t->on->host) return DRMAD_OK;
    TRY(job_new(w->ctx, t->on, &w->norm));
    graph *g = w->norm->g;
    for (int32_t i = 0; i < t->spec.params->n; i++) {
        node x = job_leaf(w->norm, "dF/dw", t->spec.dtype, t->spec.params->at[i].shape,
                          trainer_tensor_ref(t, SLOT_WCOT, i));
        x = g_cast(g, x, F64);
        node square = g_reshape(g, g_dot(g, x, x), SHAPE(1));
        sum = i == 0 ? square : g_add(g, sum, square);
    }
    TRY(trainer_add_slots(t, 1, &w->square_slot));
    if (!t->on->mixed)
        TRY(backend_alloc(t->on, w->ctx, 1, sizeof(double), &t->slot[w->square_slot]));
    TRY(job_output(w->norm, sum, (slot_ref){w->square_slot, 0}, NODE_NONE));
    TRY(job_compile(w->norm));
done:
    return st;
}

/* In eight sums: one alone would wait for each addition in turn. */
static double square_here(const trainer *t, const void *flat)
{
    enum { LANES = 8 };
    const int64_t n = t->spec.params->total;
    const float *x = flat;
    double lane[LANES] = {0}, s = 0;
    int64_t i = 0;

    for (; t->spec.dtype == F32 && i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) s += trainer_get(t, flat, i) * trainer_get(t, flat, i);
    for (int k = 0; k < LANES; k++) s += lane[k];
    return s;
}

drmad_status walker_send_norm(walker *w, double *square)
{
    trainer *t = w->t;

    t->slot[SLOT_WCOT] = w->cot[0];
    t->slot[w->square_slot] = square;
    return job_run_later(w->norm, t->slot);
}

drmad_status walker_norm(walker *w, double *out)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;
    double square = 0;

    if (!w->norm) {
        square = square_here(t, w->cot[0]);
    } else if (t->on->mixed) {
        TRY(walker_send_norm(w, &w->square));
        TRY(job_wait(w->norm, 0));
        square = w->square;
    } else {
        t->slot[SLOT_WCOT] = w->cot[0];
        TRY(job_run(w->norm, t->slot));
        TRY(t->on->copy(t->on, w->ctx, COPY_DOWN, &square, t->slot[w->square_slot], sizeof square));
    }
    *out = sqrt(square);
done:
    return st;
}
