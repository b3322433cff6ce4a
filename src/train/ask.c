/* What a trainer asks of an oracle. Nothing is computed here: each call is one function of
 * drmad/model.h, with the status it gives and the vectors it reads and writes. */
#include "train/trainer.h"
#include <math.h>
#include <string.h>

/* The oracle's status, with its own message where it left none. */
static drmad_status answered(trainer *t, int status, const char *what)
{
    if (t->spec.oracle) t->spec.oracle->busy = false;
    if (status == DRMAD_OK) return DRMAD_OK;
    if (status < 0 || status >= DRMAD_STATUS_COUNT) status = DRMAD_E_MODEL;
    return FAIL(t->ctx, (drmad_status)status, "%s: the caller's function ended with: %s", what,
                drmad_status_text((drmad_status)status));
}

static const oracle *ask(trainer *t)
{
    t->spec.oracle->busy = true;
    return t->spec.oracle;
}

void *trainer_example_weights(const trainer *t, use_slot what)
{
    const hyper_use *u = space_find(t->spec.space, HYPER_EXAMPLE_WEIGHT, -1);

    if (!u) return NULL;
    return t->use[u - t->spec.space->uses].host[what];
}

drmad_status trainer_ask_start(trainer *t, void *w)
{
    const train_sources *own = &t->spec.sources;

    if (!t->spec.oracle) return answered(t, own->start(own->user, t->seed, w), "start weights");
    const drmad_status st = trainer_clear(t, w);
    if (st != DRMAD_OK) return st;
    const oracle *o = ask(t);
    return answered(t, o->start(o->user, t->seed, w), "start weights");
}

/* The place of the step's examples in t->asked, which runs of one seed share; NULL where that would
 * be too large. */
static int32_t *asked_at(trainer *t, int64_t step)
{
    enum { KEPT_MOST = 1 << 24 };
    const train_spec *s = &t->spec;
    const bool fits = !s->oracle && s->batch <= KEPT_MOST / s->steps;
    const size_t n = fits ? (size_t)(s->steps * s->batch) : 0;

    if (!fits) return NULL;
    const bool fresh = !t->asked;
    if (fresh && mem_alloc(t->ctx, n, sizeof *t->asked, &t->asked) != DRMAD_OK) return NULL;
    for (size_t i = 0; (fresh || t->asked_seed != t->seed) && i < n; i++) t->asked[i] = -1;
    t->asked_seed = t->seed;
    return t->asked + step * s->batch;
}

drmad_status trainer_ask_batch(trainer *t, int64_t step)
{
    const train_spec *s = &t->spec;
    const size_t bytes = (size_t)s->batch * sizeof *t->local;
    int32_t *kept = asked_at(t, step);

    if (kept && kept[0] >= 0) {
        memcpy(t->local, kept, bytes);
        return DRMAD_OK;
    }
    const oracle *o = s->oracle ? ask(t) : NULL;
    drmad_batch_fn *batch = o ? o->batch : s->sources.batch;
    drmad_status st =
        answered(t, batch(o ? o->user : s->sources.user, t->seed, step, t->local), "batch");

    for (int64_t i = 0; st == DRMAD_OK && i < s->batch; i++)
        if (t->local[i] < 0 || t->local[i] >= s->train.count)
            st = FAIL(t->ctx, DRMAD_E_MODEL, "batch: example %d of %lld at step %lld",
                      (int)t->local[i], (long long)s->train.count, (long long)step);
    if (st == DRMAD_OK && kept) memcpy(kept, t->local, bytes);
    return st;
}

drmad_status trainer_ask_gradient(trainer *t, int64_t step, const void *w, const void *weights,
                                  void *g, double *loss)
{
    const oracle *o = ask(t);

    *loss = NAN;
    return answered(t, o->gradient(o->user, t->seed, step, w, weights, g, loss), "gradient");
}

drmad_status trainer_ask_product(trainer *t, int64_t step, const void *w, const void *u,
                                 product_way way, void *g)
{
    const oracle *o = ask(t);
    void *rows = way == PRODUCT_FORWARD ? NULL : trainer_example_weights(t, USE_COT);

    return answered(t,
                    o->product(o->user, t->seed, step, w, u, trainer_example_weights(t, USE_VALUE),
                               (int)way, g, t->slot[SLOT_HU], rows),
                    "second-order product");
}

drmad_status trainer_ask_value(trainer *t, const examples *e, eval_result *out, double *dw,
                               double *dvalues)
{
    void *g = dw ? t->slot[SLOT_WGRAD] : NULL;
    drmad_status st = DRMAD_OK;

    *out = (eval_result){NAN, NAN};
    if (g) TRY(trainer_clear(t, g));
    const oracle *o = ask(t);
    TRY(answered(t,
                 o->evaluate(o->user, e->part, e->count, trainer_weights(t), NULL, g, &out->loss,
                             &out->error, NULL),
                 "evaluation"));
    if (g) TRY(trainer_fetch(t, g, &g));
    for (int64_t i = 0; g && i < t->spec.params->total; i++) dw[i] = trainer_get(t, g, i);
    if (g) memset(dvalues, 0, (size_t)t->spec.space->total * sizeof *dvalues);
    if (!isfinite(out->loss))
        st = FAIL(t->ctx, DRMAD_E_DIVERGED, "evaluation loss %g after %lld steps", out->loss,
                  (long long)t->spec.steps);
done:
    return st;
}

drmad_status trainer_ask_slope(trainer *t, const examples *e, const void *u, double *value,
                               double *slope)
{
    const oracle *o = ask(t);
    double error = NAN;

    *value = *slope = NAN;
    return answered(
        t,
        o->evaluate(o->user, e->part, e->count, trainer_weights(t), u, NULL, value, &error, slope),
        "evaluation");
}
