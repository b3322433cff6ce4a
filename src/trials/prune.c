/* Whether a trial is worth going on with: its own curve as it knows it, the others' as the store
 * has them, read now and then. */
#include "trials/suggest.h"
#include <string.h>

static const double READ_SHARE = 0.1; /* of the time goes into reading, at most */

/* ---- the trial's own curve ---- */

/* The place of `step`: that of the report, or where it belongs. */
static int32_t place_of(const curve *c, int64_t step)
{
    int32_t i = c->n;

    while (i > 0 && c->steps[i - 1] >= step) i--;
    return i;
}

static drmad_status make_room(drmad_trial *t)
{
    const int32_t room = 2 * t->reports_room + 16;
    drmad_ctx *ctx = t->study->ctx;
    drmad_status st = DRMAD_OK;

    if (t->curve.n < t->reports_room) return st;
    TRY(mem_resize(ctx, &t->steps, (size_t)t->reports_room, (size_t)room, sizeof *t->steps));
    t->curve.steps = t->steps;
    TRY(mem_resize(ctx, &t->reports, (size_t)t->reports_room, (size_t)room, sizeof *t->reports));
    t->curve.values = t->reports;
    t->reports_room = room;
done:
    return st;
}

drmad_status trial_keep_report(drmad_trial *t, int64_t step, double value)
{
    const int32_t i = place_of(&t->curve, step);
    drmad_status st = DRMAD_OK;

    TRY(make_room(t));
    if (i == t->curve.n || t->steps[i] != step) {
        const size_t behind = (size_t)(t->curve.n++ - i);

        memmove(t->steps + i + 1, t->steps + i, behind * sizeof *t->steps);
        memmove(t->reports + i + 1, t->reports + i, behind * sizeof *t->reports);
    }
    t->steps[i] = step;
    t->reports[i] = t->study->session->maximise ? -value : value;
done:
    return st;
}

/* ---- the decision ---- */

static const pruner_kind kinds[] = {
    [CFG_PRUNER_NONE] = PRUNER_NONE,
    [CFG_PRUNER_MEDIAN] = PRUNER_MEDIAN,
    [CFG_PRUNER_ASHA] = PRUNER_ASHA,
    [CFG_PRUNER_HYPERBAND] = PRUNER_HYPERBAND,
};

static pruner_options options_of(const drmad_study *s)
{
    const config_pruner *c = &s->cfg->set.search.pruner;

    return (pruner_options){
        .kind = kinds[c->kind],
        .seed = (uint64_t)s->cfg->set.seed,
        .startup = (int32_t)c->startup,
        .warmup = c->warmup,
        .interval = c->interval,
        .min_resource = c->min_resource,
        .max_resource = c->max_resource,
        .reduction = (int32_t)c->reduction,
    };
}

/* What ended before this trial began is always known. */
static bool is_old(const drmad_trial *t)
{
    const struct session *ss = t->study->session;
    const double age = base_now() - ss->read_at;

    return !ss->past || ss->read_at < t->asked_at || age >= ss->read_s / READ_SHARE;
}

drmad_status trial_prune(drmad_trial *t, int32_t *judged, bool *prune)
{
    const pruner_options o = options_of(t->study);
    drmad_status st = DRMAD_OK;
    const curve *curves;
    int32_t n, at;

    *prune = false;
    if (o.kind == PRUNER_NONE || *judged >= t->curve.n) return st;
    if (is_old(t)) TRY(suggest_read_past(t->study));
    for (; *judged < t->curve.n && !*prune; ++*judged) {
        curve own = t->curve;

        own.n = *judged + 1;
        TRY(past_curves(t->study->session->past, &own, &curves, &n, &at));
        *prune = prune_now(&o, curves, n, at);
    }
done:
    return st;
}

drmad_status drmad_trial_should_prune(drmad_trial *t, int *prune)
{
    int32_t judged = t->curve.n - 1; /* at its last report */
    bool yes = false;
    drmad_status st = trial_check_open(t);

    *prune = 0;
    if (st == DRMAD_OK && judged >= 0) st = trial_prune(t, &judged, &yes);
    *prune = yes;
    return st;
}
