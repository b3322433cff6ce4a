/* Pruners, each by counting over the curves.
 *
 *   median     best of the trial so far  >  median of the finished trials' values at its step
 *   asha       rung k is at step  min_resource reduction^k. A trial's value there is its first one
 *              at that step or later; it goes on when it is among the best  m / reduction  (at
 *              least one) of the m that have reached the rung so far, itself included.
 *   hyperband  asha within the trial's bracket b, whose rungs begin at  min_resource reduction^b.
 *              With B brackets, their shares of the trials are as
 *                  ceil(B reduction^(B-1-b) / (B-b))
 *              which gives each bracket about the same number of steps (JMLR 18, Algorithm 1).
 *
 * Differs: Li et al.'s ASHA pauses a trial until it is among the best; here, as in Optuna, a trial
 *          is decided about once a rung and goes on or ends, and the first ones at a rung go on
 *          when they are the best so far. Optuna keeps rung values in the study; ours follow from
 *          the curves, so that a decision is a pure function of these. So two things count that
 *          Optuna misses: the further rungs that the last report of a pruned trial reached, and
 *          what was reported before a resource left open was known. Brackets are counted in whole
 *          numbers: of 243 steps there are 6 for a reduction of 3, not 5.
 * Checked: tests/bo/test_pruner.c: by hand, and 8 studies of Optuna 4.9. */
#include "bo/pruner.h"
#include "base/rng.h"
#include <math.h>

/* ---- curves ---- */

/* The first report at `step` or later; c->n: none. */
static int32_t report_from(const curve *c, int64_t step)
{
    int32_t from = 0, to = c->n;

    while (from < to) {
        int32_t middle = from + (to - from) / 2;

        if (c->steps[middle] < step) from = middle + 1;
        else to = middle;
    }
    return from;
}

static double value_at(const curve *c, int64_t step)
{
    int32_t i = report_from(c, step);

    return i < c->n && c->steps[i] == step ? c->values[i] : NAN;
}

static double rung_value(const curve *c, int64_t step)
{
    int32_t i = report_from(c, step);

    while (i < c->n && isnan(c->values[i])) i++;
    return i < c->n ? c->values[i] : NAN;
}

/* The last step of the longest finished trial, -1 for none. */
static int64_t longest(const curve *curves, int32_t n)
{
    int64_t last = -1;

    for (int32_t i = 0; i < n; i++) {
        const curve *c = &curves[i];

        if (c->state == OBSERVED_COMPLETE && c->n > 0 && c->steps[c->n - 1] > last)
            last = c->steps[c->n - 1];
    }
    return last;
}

/* ---- median ---- */

/* Whether this is the first report since the last step at which a decision is due. */
static bool decision_due(const pruner_options *o, const curve *c)
{
    const int64_t step = c->steps[c->n - 1], interval = o->interval > 1 ? o->interval : 1;
    const int64_t warmup = o->warmup > 0 ? o->warmup : 0;

    if (step < warmup) return false;
    return c->n == 1 || c->steps[c->n - 2] < step - (step - warmup) % interval;
}

/* v > median of the finished values at the step. Of m values `less` are below v: the median of an
 * even number lies between the greatest of those and the least of the others only when these are
 * the two in the middle. */
static bool above_median(const curve *curves, int32_t n, int64_t step, double v)
{
    int32_t m = 0, less = 0;
    double below = -INFINITY, above = INFINITY;

    for (int32_t i = 0; i < n; i++) {
        double y = curves[i].state == OBSERVED_COMPLETE ? value_at(&curves[i], step) : NAN;

        if (isnan(y)) continue;
        m++;
        if (y < v) less++, below = fmax(below, y);
        else above = fmin(above, y);
    }
    if (m % 2 == 0 && less == m / 2) return m > 0 && v > below + (above - below) / 2;
    return less > m / 2;
}

static bool prune_median(const pruner_options *o, const curve *curves, int32_t n, int32_t own)
{
    const curve *c = &curves[own];
    int32_t complete = 0;
    double best = NAN;

    for (int32_t i = 0; i < n; i++) complete += curves[i].state == OBSERVED_COMPLETE;
    if (complete == 0 || complete < o->startup || !decision_due(o, c)) return false;
    for (int32_t i = 0; i < c->n; i++) best = fmin(best, c->values[i]); /* NaN gives way */
    return isnan(best) || above_median(curves, n, c->steps[c->n - 1], best);
}

/* ---- asha ---- */

/* The step of the next rung, INT64_MAX when that is too far for any trial. */
static int64_t rung_after(const pruner_options *o, int64_t step)
{
    return step > INT64_MAX / o->reduction ? INT64_MAX : step * o->reduction;
}

static bool same_bracket(const pruner_options *o, const curve *a, const curve *b)
{
    if (o->kind != PRUNER_HYPERBAND) return true;
    return prune_bracket(o, a->number) == prune_bracket(o, b->number);
}

static bool goes_on(const pruner_options *o, const curve *curves, int32_t n, int32_t own,
                    int64_t rung)
{
    const double v = rung_value(&curves[own], rung);
    int32_t m = 1, less = 0;

    for (int32_t i = 0; i < n; i++) {
        double y = i == own ? NAN : rung_value(&curves[i], rung);

        if (isnan(y) || !same_bracket(o, &curves[i], &curves[own])) continue;
        m++;
        less += y < v;
    }
    return less < (m < o->reduction ? 1 : m / o->reduction);
}

/* `rung`: step of the first. Rungs up to the last report before this one that had a value are
 * behind the trial. */
static bool prune_at_rungs(const pruner_options *o, const curve *curves, int32_t n, int32_t own,
                           int64_t rung)
{
    const curve *c = &curves[own];
    const int64_t step = c->steps[c->n - 1];
    int32_t before = c->n - 2;

    while (before >= 0 && isnan(c->values[before])) before--;
    while (rung < INT64_MAX && before >= 0 && rung <= c->steps[before]) rung = rung_after(o, rung);
    if (rung <= step && isnan(c->values[c->n - 1])) return true;
    for (; rung < INT64_MAX && rung <= step; rung = rung_after(o, rung))
        if (!goes_on(o, curves, n, own, rung)) return true;
    return false;
}

/* ---- hyperband ---- */

int32_t prune_brackets(const pruner_options *o)
{
    int32_t brackets = 1;

    for (int64_t r = o->max_resource / o->min_resource; r >= o->reduction; r /= o->reduction)
        brackets++;
    return brackets;
}

/* reduction^(B-1) <= max_resource, so nothing here is too large for a double's whole numbers by
 * more than the factor B. */
static double share(const pruner_options *o, int32_t brackets, int32_t b)
{
    return ceil(brackets * pow(o->reduction, brackets - 1 - b) / (brackets - b));
}

int32_t prune_bracket(const pruner_options *o, int64_t number)
{
    const rng_key key = {o->seed, 0, rng_site("pruner/bracket")};
    const int32_t brackets = prune_brackets(o);
    double total = 0;
    int32_t b = 0;

    for (int32_t i = 0; i < brackets; i++) total += share(o, brackets, i);
    total *= rng_uniform(key, (uint64_t)number);
    while (b < brackets - 1 && (total -= share(o, brackets, b)) >= 0) b++;
    return b;
}

static bool prune_hyperband(const pruner_options *o, const curve *curves, int32_t n, int32_t own)
{
    int64_t rung = o->min_resource;

    for (int32_t b = prune_bracket(o, curves[own].number); b > 0; b--) rung = rung_after(o, rung);
    return prune_at_rungs(o, curves, n, own, rung);
}

/* ---- the door ---- */

bool prune_now(const pruner_options *o, const curve *curves, int32_t n, int32_t own)
{
    const int64_t last = longest(curves, n);
    pruner_options full = *o;

    if (o->kind == PRUNER_NONE || curves[own].n == 0) return false;
    if (o->kind == PRUNER_MEDIAN) return prune_median(o, curves, n, own);
    if (full.reduction < 2) full.reduction = 2;
    if (last < 0 && (o->min_resource < 1 || (o->kind == PRUNER_HYPERBAND && o->max_resource < 1)))
        return false;
    if (o->min_resource < 1) full.min_resource = last >= 200 ? last / 100 : 1;
    if (o->max_resource < 1) full.max_resource = last < INT64_MAX ? last + 1 : last;
    if (o->kind == PRUNER_HYPERBAND) return prune_hyperband(&full, curves, n, own);
    return prune_at_rungs(&full, curves, n, own, full.min_resource);
}
