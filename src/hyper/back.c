/* The walk over the steps: what is loaded, bound and collected for each.
 *
 * With strides (`fast`) s steps [a, a + s) are taken as one: momentum mu^s, rate s lr,
 * c = (1 - mu^s)/(1 - mu), the gradient that of the step in the block's middle, so that errors of
 * first order in s cancel; in Maclaurin's form (s alpha, beta^s).
 * The length adapts: the largest s up to the cap with s r (1 - mu^s)/(1 + mu^s) < 1/2,
 * r = lr/(1 - mu) |Hu|/|u|, where s steps as one would otherwise be unstable.
 * Source: measured rule, reference numerics.md section 6 (own). Approximate by design:
 * docs/MATH.md, "Strides". */
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

typedef struct stride_rule {
    double curvature; /* |Hu|/|u|, decaying maximum */
    double norm;      /* |w~| after the last block */
} stride_rule;

/* 1/lr of every tuned rate, 0 where the rate is 0; made again when the leaf was filled again. */
static drmad_status invert_rates(walker *w)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        const use_state *u = &t->use[i];
        if (u->use->kind != HYPER_LR || w->inverted[i] == u->filled) continue;
        const void *lr = u->host[USE_VALUE];
        void *inverse = u->host[USE_INVERSE];
        for (size_t e = 0; e < u->count; e++) {
            const double x = trainer_get(t, lr, (int64_t)e);
            trainer_put(t, inverse, (int64_t)e, x == 0 ? 0 : 1 / x);
        }
        TRY(trainer_send_use(t, i, USE_INVERSE));
        w->inverted[i] = u->filled;
    }
done:
    return st;
}

/* What a device summed over the steps of a phase, at the last of them to be walked: the phase's
 * first; one-step walks forward, so there at each. */
static drmad_status collect_sum(walker *w, int32_t use, int64_t step, double *dvalues)
{
    trainer *t = w->t;
    const use_state *u = &t->use[use];
    hyper_at at = trainer_at(t, u, step);

    if (estimator_walks(w) && step > w->first &&
        space_phase(t->spec.space, u->use, step - 1) == space_phase(t->spec.space, u->use, step))
        return DRMAD_OK;
    const drmad_status st = trainer_take_sum(t, use);
    at.type = F64;
    if (st == DRMAD_OK) space_scatter(t->spec.space, u->use, &at, u->host[USE_COT], dvalues);
    return st;
}

/* What the base rate's cotangent gives to the parameters of the schedule: that of the tensors that
 * follow it, and of all multipliers of it. */
static void collect_schedule(walker *w, int64_t step, double *dvalues)
{
    const trainer *t = w->t;
    double cot = trainer_get(t, t->slot[SLOT_LR_COT], 0);

    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        const use_state *u = &t->use[i];
        hyper_at at = trainer_at(t, u, step);
        if (u->use->kind != HYPER_LR || !t->spec.space->slices[u->use->slice].multiplier) continue;
        at.base = 1;
        space_fetch(t->spec.space, u->use, &at, t->values, u->host[USE_TAN]);
        for (size_t e = 0; e < u->count; e++)
            cot += trainer_get(t, u->host[USE_TAN], (int64_t)e) *
                   trainer_get(t, u->host[USE_COT], (int64_t)e);
    }
    trainer_scatter_rate(t, step, cot, dvalues);
}

/* A rate's cotangent is that of one step: each of the s steps gets it. All others are those of the
 * whole block. */
static drmad_status collect(walker *w, int64_t step, int64_t s, double *dvalues)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    for (int64_t k = 0; k < s && trainer_tunes_schedule(t); k++)
        collect_schedule(w, step + k, dvalues);
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        if (!w->has_cot[i]) continue;
        if (trainer_sums(t, i)) {
            TRY(collect_sum(w, i, step, dvalues));
            continue;
        }
        rate_series *r = rates_of(w, i);
        if (r) rates_note(w, r, step);
        const int64_t times = t->use[i].use->kind == HYPER_LR ? s : 1;
        for (int64_t k = 0; k < times; k++) {
            const hyper_at at = trainer_at(t, &t->use[i], step + k);
            space_scatter(t->spec.space, t->use[i].use, &at, t->use[i].host[USE_COT], dvalues);
        }
    }
    for (int32_t k = 0; k < w->sums; k++) {
        const momentum_sum *m = &w->sum[k];
        const hyper_slice *slice = &t->spec.space->slices[t->use[m->use].use->slice];
        hyper_at at = trainer_at(t, &t->use[m->use], step);
        at.t = (m->phase * t->spec.steps + slice->phases - 1) /
               slice->phases; /* a step of that phase */
        space_scatter(t->spec.space, t->use[m->use].use, &at, t->slot[m->slot + 1], dvalues);
    }
done:
    return st;
}

static void set_active(walker *w, int64_t step)
{
    trainer *t = w->t;

    for (int32_t k = 0; k < w->sums; k++) {
        const int64_t phase = space_phase(t->spec.space, t->use[w->sum[k].use].use, step);
        trainer_put(t, t->slot[w->sum[k].slot], 0, phase == w->sum[k].phase);
    }
}

/* The averaged squares: the plan makes those before a step from those after it, in place, from what
 * the run has left in the trainer's own state. */
static void bind_squares(walker *w, const traj_view *v)
{
    trainer *t = w->t;
    const int32_t k = optim_squares(&t->spec.optim);

    t->slot[SLOT_W1 + k] = t->state[t->now][k];
    t->slot[SLOT_LOW] = (void *)(uintptr_t)v->low;
}

/* A vector of a state to the plan: itself, or on a device a copy that is always in one place, so
 * that the plan is recorded once and not a copy made of each tensor. */
static drmad_status show(walker *w, int32_t slot, void *fixed, const void *v)
{
    w->t->slot[slot] = fixed ? fixed : (void *)(uintptr_t)v;
    return fixed && v ? trainer_copy(w->t, fixed, v) : DRMAD_OK;
}

drmad_status walker_send_step(walker *w, int64_t step, const traj_view *v)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    if (v->masks) trainer_masks_unpack(t, v->masks);
    for (int32_t k = 0; k < t->vectors; k++) {
        TRY(show(w, SLOT_W + k, w->fixed[0][k], v->now[k]));
        TRY(show(w, SLOT_W1 + k, w->fixed[1][k], v->next[k]));
    }
    trainer_bind(t, SLOT_WCOT, w->cot);
    if (w->squares) bind_squares(w, v);
    TRY(invert_rates(w));
    set_active(w, step);
    if (t->spec.oracle) {
        double loss;
        if (w->direction_asks)
            TRY(trainer_ask_gradient(t, step, v->now[0], trainer_example_weights(t, USE_VALUE),
                                     t->slot[SLOT_G], &loss));
        TRY(job_run(w->direction, t->slot));
        TRY(trainer_ask_product(t, step, v->now[0], t->slot[SLOT_U], PRODUCT_BACK,
                                w->asks_gradient ? t->slot[SLOT_G] : NULL));
    }
    TRY(job_run_later(w->back, t->slot));
done:
    return st;
}

static drmad_status reverse_step(walker *w, int64_t step, const traj_view *v)
{
    const drmad_status st = walker_send_step(w, step, v);

    return st == DRMAD_OK ? job_wait(w->back, 0) : st;
}

drmad_status walker_collect(walker *w, int64_t step, double *dvalues)
{
    return collect(w, step, 1, dvalues);
}

drmad_status walker_reverse_step(walker *w, int64_t step, const traj_view *v, double *dvalues)
{
    drmad_status st = DRMAD_OK;

    TRY(reverse_step(w, step, v));
    TRY(collect(w, step, 1, dvalues));
done:
    return st;
}

/* ---- strides ---- */

/* The largest rate in use. */
static double largest_rate(const walker *w)
{
    const trainer *t = w->t;
    double x = 0;

    for (int32_t i = 0; i < t->spec.params->n; i++)
        if (!space_find(t->spec.space, HYPER_LR, i)) x = trainer_get(t, t->slot[SLOT_LR], 0);
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        if (t->use[i].use->kind != HYPER_LR) continue;
        const void *lr = t->use[i].host[USE_VALUE];
        for (size_t e = 0; e < t->use[i].count; e++) x = fmax(x, trainer_get(t, lr, (int64_t)e));
    }
    return x;
}

/* Steps of one block that ends before step `end`; never across a change of phase. */
static int64_t block_length(const walker *w, const stride_rule *r, int64_t end)
{
    const trainer *t = w->t;
    const double mu = t->spec.momentum;
    const double rate = largest_rate(w) / (t->spec.optim.form == FORM_PYTORCH ? 1 - mu : 1);
    int64_t s = 1;

    while (s < w->spec.stride && s < end) {
        const double decay = pow(mu, (double)(s + 1));
        if ((double)(s + 1) * rate * r->curvature * (1 - decay) / (1 + decay) >= 0.5) break;
        for (int32_t i = 0; i < t->spec.space->n_uses; i++)
            if (space_phase(t->spec.space, t->use[i].use, end - s - 1) !=
                space_phase(t->spec.space, t->use[i].use, end - 1))
                return s;
        s++;
    }
    return s;
}

/* The leaves of one step turned into those of s steps as one; they are filled anew for the next
 * block. */
static void stretch(walker *w, int64_t s)
{
    trainer *t = w->t;
    const double mu = t->spec.momentum, decay = pow(mu, (double)s);
    const bool torch_form = t->spec.optim.form == FORM_PYTORCH;

    trainer_put(t, t->slot[SLOT_LR], 0, (double)s * trainer_get(t, t->slot[SLOT_LR], 0));
    trainer_put(t, t->slot[SLOT_MU], 0, decay);
    if (torch_form && t->spec.optim.buffer)
        trainer_put(t, t->slot[SLOT_GAIN], 0,
                    trainer_get(t, t->slot[SLOT_GAIN], 0) * (1 - decay) / (1 - mu));
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        use_state *u = &t->use[i];
        if (u->use->kind != HYPER_LR) continue;
        void *lr = u->host[USE_VALUE];
        for (size_t e = 0; e < u->count; e++)
            trainer_put(t, lr, (int64_t)e, (double)s * trainer_get(t, lr, (int64_t)e));
        u->phase = -1;
    }
}

static void learn_curvature(walker *w, stride_rule *r)
{
    const trainer *t = w->t;
    double n[3];

    for (int k = 0; k < 3; k++) n[k] = sqrt(trainer_get(t, t->slot[w->norm_slot + k], 0));
    const double now = n[0] > 0 ? n[1] / n[0] : 0;
    r->curvature = isfinite(r->curvature) ? fmax(now, 0.95 * r->curvature)
                                          : now; /* unknown before the first block */
    if (n[2] > 1.05 * r->norm) r->curvature *= 2;
    r->norm = n[2];
}

/* h~ += (dw_0/dh)' w~ for initial scales: w_0 = scale * draw. */
static drmad_status collect_start(walker *w, double *dvalues)
{
    trainer *t = w->t;
    const space *s = t->spec.space;
    drmad_status st = DRMAD_OK;
    void *wcot;

    if (!space_has(s, HYPER_INIT_SCALE)) return DRMAD_OK;
    TRY(trainer_fetch(t, w->cot[0], &wcot));
    for (int32_t i = 0; i < s->n_uses; i++) {
        const use_state *u = &t->use[i];
        if (u->use->kind != HYPER_INIT_SCALE) continue;
        const param *p = &t->spec.params->at[u->use->tensor];
        void *cot = u->host[USE_COT];
        for (size_t e = 0; e < u->count; e++) trainer_put(t, cot, (int64_t)e, 0);
        for (int64_t e = 0; e < p->count; e++) {
            const int64_t at = use_index(&u->leaf, &p->shape, e);
            const double x = t->draw[p->offset + e] * trainer_get(t, wcot, p->offset + e);
            trainer_put(t, cot, at, trainer_get(t, cot, at) + x);
        }
        const hyper_at at = trainer_at(t, u, 0);
        space_scatter(s, u->use, &at, cot, dvalues);
    }
done:
    return st;
}

/* Of a run that goes on from a buffer b_0 the transposed sums have one term more, <z, b_0>: it is
 * what the steps before the first one left. */
static drmad_status collect_buffer(walker *w, double *dvalues)
{
    trainer *t = w->t;
    const double *b = t->spec.buffers; /* of SGD: one */
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; b && k < w->sums; k++) {
        const momentum_sum *m = &w->sum[k];
        const use_state *u = &t->use[m->use];
        const param *p = &t->spec.params->at[u->use->tensor];
        const hyper_slice *slice = &t->spec.space->slices[u->use->slice];
        void *cot = t->slot[m->slot + 1], *z;
        hyper_at at = trainer_at(t, u, 0);

        TRY(trainer_fetch_some(t, t->slot[m->slot + 2], p->count, &z));
        for (size_t e = 0; e < u->count; e++) trainer_put(t, cot, (int64_t)e, 0);
        for (int64_t e = 0; e < p->count; e++) {
            const int64_t to = use_index(&u->leaf, &p->shape, e);
            const double x = trainer_get(t, z, e) * b[p->offset + e];
            trainer_put(t, cot, to, trainer_get(t, cot, to) + x);
        }
        at.t = (m->phase * t->spec.steps + slice->phases - 1) / slice->phases;
        space_scatter(t->spec.space, u->use, &at, cot, dvalues);
    }
done:
    return st;
}

drmad_status walker_note_norm(walker *w, int64_t step, double norm)
{
    if (!isfinite(norm))
        return FAIL(w->ctx, DRMAD_E_DIVERGED,
                    "the way back diverged: |dF/dw| is %g at step %lld of %lld", norm,
                    (long long)step, (long long)w->t->spec.steps);
    if (w->norm_last > 0) w->growth = fmax(w->growth, norm / w->norm_last);
    return DRMAD_OK;
}

static drmad_status check_growth(walker *w, int64_t step)
{
    drmad_status st = DRMAD_OK;
    double norm;

    if (w->lates > 0) return late_norm(w);
    TRY(walker_norm(w, &norm));
    TRY(walker_note_norm(w, step, norm));
done:
    return st;
}

/* The block's displacement laid at its middle: ahead = middle + (w_b - w_a). */
static void centre(walker *w, const void *start)
{
    const int64_t n = w->t->spec.params->total;

    if (w->t->spec.dtype == F32) {
        float *ahead = w->ahead;
        const float *middle = w->middle, *a = start;
        for (int64_t i = 0; i < n; i++) ahead[i] += middle[i] - a[i];
    } else {
        double *ahead = w->ahead;
        const double *middle = w->middle, *a = start;
        for (int64_t i = 0; i < n; i++) ahead[i] += middle[i] - a[i];
    }
}

/* Loads the steps of one block, runs them as one; *step becomes its first step. */
static drmad_status reverse_block(walker *w, stride_rule *r, int64_t *step, double *dvalues)
{
    trainer *t = w->t;
    const int64_t end = *step + 1;
    drmad_status st = DRMAD_OK;
    traj_view v;

    TRY(traj_load(w->tr, *step, &v));
    TRY(trainer_prepare(t, *step));
    const int64_t s = w->spec.stride > 1 ? block_length(w, r, end) : 1;
    int64_t middle = *step;
    if (s > 1) {
        middle = end - s + (s - 1) / 2;
        memcpy(w->ahead, v.next[0], (size_t)t->spec.params->total * t->size);
        while (*step > middle) TRY(traj_load(w->tr, --*step, &v));
        memcpy(w->middle, v.now[0], (size_t)t->spec.params->total * t->size);
        if (v.masks) trainer_masks_unpack(t, v.masks); /* those of the batch */
        while (*step > end - s) TRY(traj_load(w->tr, --*step, &v));
        centre(w, v.now[0]);
        v.now[0] = w->middle;
        v.next[0] = w->ahead;
        v.masks = NULL;
        TRY(trainer_prepare(t, middle));
    }
    if (w->spec.stride > 1) stretch(w, s);
    TRY(reverse_step(w, middle, &v));
    TRY(collect(w, *step, s, dvalues));
    if (w->spec.stride > 1) learn_curvature(w, r);
done:
    return st;
}

/* The authors' T/10: each tenth point of the line with the batches 0, 1, ..., T/10 - 1, nothing
 * rescaled. */
static drmad_status reverse_tenth(walker *w, int64_t *step, double *dvalues)
{
    const int64_t i = *step / 10;
    drmad_status st = DRMAD_OK;
    traj_view v;

    TRY(traj_load(w->tr, *step, &v));
    while (*step > 10 * i) TRY(traj_load(w->tr, --*step, &v));
    if (i >= w->t->spec.steps / 10) return DRMAD_OK;
    TRY(trainer_prepare(w->t, i));
    TRY(reverse_step(w, i, &v));
    TRY(collect(w, i, 1, dvalues));
done:
    return st;
}

drmad_status walker_back(walker *w, walk_report *r, double *dvalues)
{
    trainer *t = w->t;
    const int64_t T = t->spec.steps;
    /* About fifty looks at |w~|, at whole eights of steps: a GPU does so many at once. */
    const int64_t look = (T - w->first) / 400 * 8 + 8;
    stride_rule rule = {.curvature = HUGE_VAL};
    drmad_status st = DRMAD_OK;

    w->growth = 1;
    TRY(walker_norm(w, &w->norm_last));
    rule.norm = w->norm_last;
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        w->inverted[i] = -1;
        TRY(trainer_clear_sum(t, i));
    }
    late_forget(w);
    for (int64_t step = T - 1, seen = T; step >= w->first; step--) {
        TRY(base_stopped(w->ctx));
        const bool rest = w->spec.tenth && step / 10 >= T / 10; /* T is no multiple of 10 */
        if (w->spec.tenth) TRY(reverse_tenth(w, &step, dvalues));
        else if (w->late) TRY(late_reverse(w, step, dvalues));
        else TRY(reverse_block(w, &rule, &step, dvalues));
        r->steps += !rest;
        if (seen - step >= look || step == w->first) {
            TRY(check_growth(w, step));
            seen = step;
        }
    }
    if (w->first > 0) goto done;
    TRY(trainer_prepare(t, 0));
    TRY(rates_collect(w, dvalues));
    TRY(collect_buffer(w, dvalues));
    TRY(collect_start(w, dvalues));
done:
    r->growth = w->growth;
    return st;
}
