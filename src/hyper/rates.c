/* Learning rates where the trajectory keeps w alone. The displacement of one step on a grid is
 * mostly rounding; a sum over the momentum's memory, which needs no displacement, steadies it.
 *
 * With kappa(r, t) the factor of p_r in s_t (in Maclaurin's form: in b'_t) and o = -1 (there +1),
 *
 *   lr~_t = o <w~_{t+1}, s_t> = o sum_{r<=t} kappa(r, t) <w~_{t+1}, p_r>
 *   u_r   = o sum_{t>=r} kappa(r, t) lr_t w~_{t+1}
 *   N_r   = o sum_{t>=r} kappa(r, t) lr_t             so u_r/N_r is a mean of the w~ from r on
 *   F_t   = o sum_{r<=t} kappa(r, t) <u_r, p_r>/N_r   lr~_t with that mean in place of w~_{t+1}
 *
 * N is the optimiser's adjoint on numbers, at w~ = 1; F is the optimiser itself on numbers, fed
 * with <u, p>/N. Exact without momentum and, summed over all steps, always. It is biased where w~
 * turns within the memory, above all near the end of the run, so
 *
 *   every step   F + a box(raw - F), box the mean over 3 steps, a = 1 - noise/power of it nearby
 *   phases       the mean of both sums; their errors are as good as unrelated
 *
 * raw being the displacement's. Source: own, bench/bench_hypergrad.c measures it; the filter's
 * idea (constant rate) is in our reference grid.md section 5. docs/MATH.md, "Rates on a path".
 * Checked: tests/hyper/test_rates.c. */
#include "hyper/walker.h"
#include <math.h>
#include <string.h>

/* On both sides of a step: of the box, and of the window in which noise and power are measured.
 * Measured over 24 runs (bench_hypergrad): smallest cosine .912; boxes of 1 and 5 steps .894 and
 * .858; windows of 12 to 40 steps are within .01. */
enum { BOX = 1, NEARBY = 25 };
/* Phases at least so many times the momentum's memory 1/(1 - mu): the filter errs at their ends. */
static const double long_phase = 10;

/* What the walk adds for this use: T (2 count + 1) numbers, within one weight vector for phases. */
static bool wanted(const walker *w, int32_t use, bool *every)
{
    const train_spec *t = &w->t->spec;
    const hyper_use *lr = &t->space->uses[use];
    const double phases = (double)t->space->slices[lr->slice].phases, steps = (double)t->steps;
    const int64_t count = shape_count(&lr->shape);
    const hyper_use *mu = space_find(t->space, HYPER_MOMENTUM, lr->tensor);

    *every = phases > 1 && phases >= steps;
    if (lr->kind != HYPER_LR || w->exact || w->spec.stride > 1) return false;
    if (trainer_sums(w->t, use)) return false; /* no step's own is seen */
    if (t->optim.kind != OPTIM_SGD) return false;
    if (traj_kind_of(w->tr) == TRAJ_LINE || (mu && shape_count(&mu->shape) > 1)) return false;
    if (*every) return true;
    return (w->sums > 0 || count == 1) && count * t->steps <= t->params->total &&
           (phases == 1 || steps / phases * (1 - t->momentum) >= long_phase);
}

static drmad_status series_new(walker *w, int32_t use, bool every)
{
    trainer *t = w->t;
    const size_t count = t->use[use].count, steps = (size_t)t->spec.steps;
    drmad_status st = DRMAD_OK;
    int32_t slot;

    TRY(trainer_add_slots(t, RATE_SLOTS, &slot));
    rate_series *r = &w->rate[w->rates++];
    *r = (rate_series){.use = use, .slot = slot};
    for (int k = 0; k < RATE_SLOTS; k++)
        TRY(mem_alloc(w->ctx, count, t->size, &t->slot[r->slot + k]));
    TRY(mem_alloc(w->ctx, count, sizeof *r->back, &r->back));
    TRY(mem_alloc(w->ctx, count, sizeof *r->first, &r->first));
    TRY(mem_alloc(w->ctx, steps, sizeof *r->mu, &r->mu));
    TRY(mem_alloc(w->ctx, steps * count, sizeof *r->sum, &r->sum));
    if (!every) return DRMAD_OK;
    TRY(mem_alloc(w->ctx, steps * count, sizeof *r->raw, &r->raw));
    TRY(mem_alloc(w->ctx, 3 * steps, sizeof *r->scratch, &r->scratch));
done:
    return st;
}

drmad_status rates_new(walker *w)
{
    const int32_t uses = w->t->spec.space->n_uses;
    drmad_status st = DRMAD_OK;
    bool every;

    TRY(mem_alloc(w->ctx, (size_t)uses + 1, sizeof *w->rate, &w->rate));
    for (int32_t i = 0; i < uses; i++)
        if (wanted(w, i, &every)) TRY(series_new(w, i, every));
done:
    return st;
}

void rates_free(walker *w)
{
    for (int32_t i = 0; i < w->rates; i++) {
        rate_series *r = &w->rate[i];
        void *all[] = {r->back, r->mu, r->sum, r->raw, r->scratch, r->first};
        for (int k = 0; k < RATE_SLOTS; k++) {
            mem_free(w->ctx, w->t->slot[r->slot + k]);
            w->t->slot[r->slot + k] = NULL;
        }
        for (size_t k = 0; k < COUNT(all); k++) mem_free(w->ctx, all[k]);
    }
    mem_free(w->ctx, w->rate);
}

size_t rates_bytes(const walker *w)
{
    size_t numbers = 0;

    for (int32_t i = 0; i < w->rates; i++) {
        const size_t count = w->t->use[w->rate[i].use].count;
        numbers +=
            (size_t)w->t->spec.steps * (w->rate[i].raw ? 2 * count + 4 : count + 1) + 2 * count;
    }
    return numbers * sizeof(double);
}

rate_series *rates_of(const walker *w, int32_t use)
{
    for (int32_t i = 0; i < w->rates; i++)
        if (w->rate[i].use == use) return &w->rate[i];
    return NULL;
}

void rates_begin(walker *w)
{
    for (int32_t i = 0; i < w->rates; i++)
        memset(w->rate[i].back, 0, w->t->use[w->rate[i].use].count * sizeof *w->rate[i].back);
}

static double momentum_now(const trainer *t, int32_t tensor)
{
    const hyper_use *mu = space_find(t->spec.space, HYPER_MOMENTUM, tensor);

    if (!t->spec.optim.buffer) return 0;
    if (!mu) return trainer_get(t, t->slot[SLOT_MU], 0);
    const int32_t i = (int32_t)(mu - t->spec.space->uses);
    return trainer_get(t, t->use[i].host[USE_VALUE], 0);
}

/* The factor of p in b' without c: a factor of p_r alone is in N_r and again in F, so it cancels,
 * and <u, p> has it once, as it must. */
static double gain(const optim_spec *o, double mu)
{
    return o->form == FORM_PYTORCH ? 1 : mu - 1;
}

/* N of one step; *b is b~ at w~ = 1. */
static double adjoint_of_numbers(const optim_spec *o, double lr, double mu, double *b)
{
    const double s = o->form == FORM_PYTORCH ? -lr : lr, cot = *b + (o->nesterov ? mu * s : s);

    *b = mu * cot;
    return gain(o, mu) * cot + (o->nesterov ? s : 0);
}

/* F of one step from x = <u, p>/N; *b is the buffer. */
static double step_of_numbers(const optim_spec *o, double x, double mu, double *b)
{
    *b = mu * *b + gain(o, mu) * x;
    if (o->form == FORM_MACLAURIN) return *b;
    return -(o->nesterov ? x + mu * *b : *b);
}

/* After the reverse step of `step`: leaves in the cotangent what is to be scattered now. */
void rates_note(walker *w, rate_series *r, int64_t step)
{
    trainer *t = w->t;
    const size_t count = t->use[r->use].count, at = (size_t)step * count;
    const void *lr = t->use[r->use].host[USE_VALUE];
    void *cot = t->use[r->use].host[USE_COT];
    const double mu = momentum_now(t, t->use[r->use].use->tensor);

    r->mu[step] = mu;
    for (size_t e = 0; e < count; e++) {
        const int64_t i = (int64_t)e;
        const double rate = trainer_get(t, lr, i);
        const double n = adjoint_of_numbers(&t->spec.optim, rate, mu, &r->back[e]);
        const double decay = trainer_get(t, t->slot[r->slot + RATE_DECAY], i);
        const double raw = trainer_get(t, cot, i) - decay;
        r->sum[at + e] = n != 0 ? trainer_get(t, t->slot[r->slot + RATE_PRODUCT], i) / n : 0;
        if (r->raw) r->raw[at + e] = rate != 0 ? raw : NAN; /* no displacement to read */
        trainer_put(t, cot, i, decay + (r->raw ? 0 : raw / 2));
    }
}

/* F of element e, in place of what it is fed with. */
static void filter(const walker *w, rate_series *r, size_t e)
{
    const train_spec *s = &w->t->spec;
    const size_t count = w->t->use[r->use].count;
    double b = r->first[e] != 0 ? r->first[e] / r->back[e] : 0;

    for (int64_t t = 0; t < s->steps; t++) {
        double *x = &r->sum[(size_t)t * count + e];
        *x = step_of_numbers(&s->optim, *x, r->mu[t], &b);
    }
}

/* Sum of x over the steps at most `reach` from t, within [0, T); *n is their number. */
static double around(const double *x, int64_t T, int64_t t, int64_t reach, int64_t *n)
{
    const int64_t from = t > reach ? t - reach : 0, to = t + reach < T ? t + reach : T - 1;
    double sum = 0;

    for (int64_t k = from; k <= to; k++) sum += x[k];
    *n = to - from + 1;
    return sum;
}

/* F + a box(raw - F). A step's noise is half the mean square of what raw - F changes from step to
 * step; the box has a third of it. */
static void blend(const walker *w, rate_series *r, size_t e)
{
    const int64_t T = w->t->spec.steps;
    const size_t count = w->t->use[r->use].count;
    double *off = r->scratch, *slow = off + T, *square = slow + T;
    int64_t n;

    for (int64_t t = 0; t < T; t++) {
        const size_t i = (size_t)t * count + e;
        off[t] = isnan(r->raw[i]) ? 0 : r->raw[i] - r->sum[i];
    }
    for (int64_t t = 0; t < T; t++) {
        slow[t] = around(off, T, t, BOX, &n) / (double)n;
        square[t] = slow[t] * slow[t];
    }
    for (int64_t t = T - 1; t > 0; t--) off[t] = (off[t] - off[t - 1]) * (off[t] - off[t - 1]) / 2;
    off[0] = 0;
    for (int64_t t = 0; t < T; t++) {
        const double noise = around(off, T, t, NEARBY, &n) / (2 * BOX + 1);
        const double power = around(square, T, t, NEARBY, &n);
        if (power > noise) r->sum[(size_t)t * count + e] += (1 - noise / power) * slow[t];
    }
}

/* A run that goes on from a buffer b_0 has it as the p of a step before the first: its <u, p>/N,
 * times its share of b, is <b~_0, b_0> over b~_0 on numbers. */
static drmad_status note_buffer(walker *w, rate_series *r)
{
    trainer *t = w->t;
    const use_state *u = &t->use[r->use];
    const param *p = &t->spec.params->at[u->use->tensor];
    drmad_status st = DRMAD_OK;
    void *cot;

    memset(r->first, 0, u->count * sizeof *r->first);
    if (!t->spec.buffers) return DRMAD_OK;
    TRY(trainer_fetch(t, w->cot[1], &cot));
    for (int64_t e = 0; e < p->count; e++)
        r->first[use_index(&u->leaf, &p->shape, e)] +=
            trainer_get(t, cot, p->offset + e) * t->spec.buffers[p->offset + e];
done:
    return st;
}

drmad_status rates_collect(walker *w, double *dvalues)
{
    trainer *t = w->t;
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < w->rates; k++) {
        rate_series *r = &w->rate[k];
        TRY(note_buffer(w, r));
        const use_state *u = &t->use[r->use];
        void *cot = u->host[USE_COT];
        for (size_t e = 0; e < u->count; e++) {
            filter(w, r, e);
            if (r->raw) blend(w, r, e);
        }
        for (int64_t step = 0; step < t->spec.steps; step++) {
            const hyper_at at = trainer_at(t, u, step);
            for (size_t e = 0; e < u->count; e++)
                trainer_put(t, cot, (int64_t)e,
                            (r->raw ? 1 : .5) * r->sum[(size_t)step * u->count + e]);
            space_scatter(t->spec.space, u->use, &at, cot, dvalues);
        }
    }
done:
    return st;
}
