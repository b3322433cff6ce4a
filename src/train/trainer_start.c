/* The state that a run starts from. */
#include "train/trainer.h"
#include <string.h>

/* The start weights of a model of our own, in host memory; the caller may have the last word. */
static drmad_status draw_start(trainer *t, void *w)
{
    const train_spec *s = &t->spec;

    if (s->start) memcpy(t->draw, s->start, (size_t)s->params->total * sizeof *t->draw);
    else s->model.draw(&s->model, s->params, t->seed, t->draw);
    for (int64_t i = 0; i < s->params->total; i++) trainer_put(t, w, i, t->draw[i]);
    if (s->start || !s->sources.start) return DRMAD_OK;
    const drmad_status st = trainer_ask_start(t, w);
    for (int64_t i = 0; st == DRMAD_OK && i < s->params->total; i++)
        t->draw[i] = trainer_get(t, w, i);
    return st;
}

/* w = initial scales times the draw, in host memory; where the space has no say, the constant. */
static void scale_start(trainer *t, void *w)
{
    const train_spec *s = &t->spec;

    for (int32_t i = 0; i < s->params->n; i++) {
        const param *p = &s->params->at[i];
        const hyper_use *u = space_find(s->space, HYPER_INIT_SCALE, i);
        if (p->role == PARAM_STAT) continue;
        const use_state *us = u ? &t->use[u - s->space->uses] : NULL;
        for (int64_t e = 0; e < p->count; e++) {
            const double scale =
                us ? trainer_get(t, us->host[USE_VALUE], use_index(&us->leaf, &p->shape, e))
                   : s->init_scale;
            trainer_put(t, w, p->offset + e, t->draw[p->offset + e] * scale);
        }
    }
}

drmad_status trainer_start(trainer *t, void *w)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;
    void *v = w;

    const bool scaled = space_has(s->space, HYPER_INIT_SCALE) || s->init_scale != 1;
    if (s->oracle) {
        TRY(trainer_ask_start(t, w));
        if (!scaled) return DRMAD_OK;
        TRY(trainer_fetch(t, w, &v));
        for (int64_t i = 0; i < s->params->total; i++) t->draw[i] = trainer_get(t, v, i);
    } else {
        TRY(trainer_stage(t, w, &v));
        TRY(draw_start(t, v));
    }
    if (scaled) scale_start(t, v);
    TRY(trainer_send(t, w));
done:
    return st;
}

/* Vector k of the state that the spec goes on from, zeros where there is none. */
static drmad_status start_buffer(trainer *t, int32_t k, void *to)
{
    const int64_t total = t->spec.params->total;
    const double *from = t->spec.buffers ? t->spec.buffers + (k - 1) * total : NULL;
    drmad_status st = trainer_clear(t, to);
    void *v;

    if (st != DRMAD_OK || !from) return st;
    TRY(trainer_stage(t, to, &v));
    for (int64_t i = 0; i < total; i++) trainer_put(t, v, i, from[i]);
    TRY(trainer_send(t, to));
done:
    return st;
}

drmad_status trainer_start_state(trainer *t, void *const state[])
{
    drmad_status st = trainer_start(t, state[0]);

    for (int32_t k = 1; st == DRMAD_OK && k < t->vectors; k++) st = start_buffer(t, k, state[k]);
    return st;
}
