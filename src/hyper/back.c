/* The walk over the steps: what is loaded, bound and collected for each. */
#include "hyper/walker.h"
#include <math.h>

/* 1/lr of every tuned rate, 0 where the rate is 0; made again when the leaf was filled again. */
static void invert_rates(walker *w)
{
    trainer *t = w->t;

    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        const use_state *u = &t->use[i];
        if (u->use->kind != HYPER_LR || w->inverted[i] == u->filled) continue;
        const void *lr = t->slot[trainer_use_ref(t, i, USE_VALUE).slot];
        void *inverse = t->slot[trainer_use_ref(t, i, USE_INVERSE).slot];
        for (size_t e = 0; e < u->count; e++) {
            const double x = trainer_get(t, lr, (int64_t)e);
            trainer_put(t, inverse, (int64_t)e, x == 0 ? 0 : 1 / x);
        }
        w->inverted[i] = u->filled;
    }
}

static void collect(walker *w, int64_t step, double *dvalues)
{
    trainer *t = w->t;

    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        if (!w->has_cot[i]) continue;
        const hyper_at at = trainer_at(t, &t->use[i], step);
        space_scatter(t->spec.space, t->use[i].use, &at, t->slot[trainer_use_ref(t, i, USE_COT).slot], dvalues);
    }
    for (int32_t k = 0; k < w->sums; k++) {
        const momentum_sum *s = &w->sum[k];
        const hyper_slice *slice = &t->spec.space->slices[t->use[s->use].use->slice];
        hyper_at at = trainer_at(t, &t->use[s->use], step);
        at.t = (s->phase * t->spec.steps + slice->phases - 1) / slice->phases; /* a step of that phase */
        space_scatter(t->spec.space, t->use[s->use].use, &at, t->slot[s->slot + 1], dvalues);
    }
}

static void set_active(walker *w, int64_t step)
{
    trainer *t = w->t;

    for (int32_t k = 0; k < w->sums; k++) {
        const int64_t phase = space_phase(t->spec.space, t->use[w->sum[k].use].use, step);
        trainer_put(t, t->slot[w->sum[k].slot], 0, phase == w->sum[k].phase);
    }
}

double walker_norm(const walker *w, const void *flat)
{
    double s = 0;

    for (int64_t i = 0; i < w->t->spec.params->total; i++) {
        const double x = trainer_get(w->t, flat, i);
        s += x * x;
    }
    return sqrt(s);
}

static drmad_status reverse_step(walker *w, int64_t step, const traj_view *v)
{
    trainer *t = w->t;

    if (v->masks) trainer_masks_unpack(t, v->masks);
    t->slot[SLOT_W] = (void *)(uintptr_t)v->w0, t->slot[SLOT_W1] = (void *)(uintptr_t)v->w1;
    t->slot[SLOT_B] = (void *)(uintptr_t)v->b0, t->slot[SLOT_B1] = (void *)(uintptr_t)v->b1;
    t->slot[SLOT_WCOT] = w->wcot, t->slot[SLOT_BCOT] = w->bcot;
    invert_rates(w);
    set_active(w, step);
    return job_run(w->back, t->slot);
}

/* h~ += (dw_0/dh)' w~ for initial scales: w_0 = scale * draw. */
static void collect_start(walker *w, double *dvalues)
{
    trainer *t = w->t;
    const space *s = t->spec.space;

    for (int32_t i = 0; i < s->n_uses; i++) {
        const use_state *u = &t->use[i];
        if (u->use->kind != HYPER_INIT_SCALE) continue;
        const param *p = &t->spec.params->at[u->use->tensor];
        void *cot = t->slot[trainer_use_ref(t, i, USE_COT).slot];
        for (size_t e = 0; e < u->count; e++) trainer_put(t, cot, (int64_t)e, 0);
        for (int64_t e = 0; e < p->count; e++) {
            const int64_t at = use_index(&u->leaf, &p->shape, e);
            const double x = t->draw[p->offset + e] * trainer_get(t, w->wcot, p->offset + e);
            trainer_put(t, cot, at, trainer_get(t, cot, at) + x);
        }
        const hyper_at at = trainer_at(t, u, 0);
        space_scatter(s, u->use, &at, cot, dvalues);
    }
}

static drmad_status check_growth(walker *w, int64_t step, double first, walk_report *r)
{
    const double norm = walker_norm(w, w->wcot);

    if (!isfinite(norm))
        return FAIL(w->ctx, DRMAD_E_DIVERGED, "the way back diverged: |dF/dw| is %g at step %lld of %lld", norm,
                    (long long)step, (long long)w->t->spec.steps);
    if (first > 0 && norm / first > r->growth) r->growth = norm / first;
    return DRMAD_OK;
}

drmad_status walker_back(walker *w, walk_report *r, double *dvalues)
{
    trainer *t = w->t;
    const int64_t T = t->spec.steps, last = w->spec.tenth ? T / 10 : T, look = T / 50 + 1;
    const double first = walker_norm(w, w->wcot);
    drmad_status st = DRMAD_OK;
    traj_view v;

    for (int64_t i = 0; i < t->spec.space->n_uses; i++) w->inverted[i] = -1;
    r->growth = 1;
    for (int64_t step = last - 1; step >= 0; step--) {
        TRY(base_stopped(w->ctx));
        TRY(traj_load(w->tr, step, &v));
        trainer_prepare(t, step);
        TRY(reverse_step(w, step, &v));
        collect(w, step, dvalues);
        r->steps++;
        if (step % look == 0) TRY(check_growth(w, step, first, r));
    }
    trainer_prepare(t, 0);
    collect_start(w, dvalues);
done:
    return st;
}
