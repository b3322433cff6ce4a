/* The outer loop. */
#include "hyper/outer.h"
#include <math.h>
#include <string.h>

/* The state is one array of doubles: these numbers, then the vectors. */
enum { RISES = 4 };   /* of F that are compared */
enum { RECENT = 10 }; /* values of F that the running mean is over */
enum {
    N_STEP,
    N_SCALE,
    N_LAST,
    N_BEST,
    N_MOMENTS,
    N_IDLE,
    N_HALVED,
    N_NOISE,
    N_SEEN,   /* values of F, up to RECENT */
    N_RECENT, /* their running mean */
    N_LEAST,  /* the least of it */
    N_RISE, /* of the moves that were taken back since one was not, the last one last */
    N_NUMBERS = N_RISE + RISES
};
enum { V_RAW, V_LAST, V_GRAD, V_MEAN, V_SQUARE, V_BEST, V_VECTORS };

struct outer {
    drmad_ctx *ctx;
    outer_spec spec;
    const space *s;
    double *state;
    double *values, *dvalues, *move, *along; /* scratch */
};

static double *vec(const outer *o, int v)
{
    return o->state + N_NUMBERS + (size_t)v * (size_t)o->s->total;
}

static size_t state_size(const space *s)
{
    return (size_t)N_NUMBERS + (size_t)V_VECTORS * (size_t)s->total;
}

static drmad_status scratch_new(outer *o)
{
    const size_t n = (size_t)o->s->total + 1;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(o->ctx, state_size(o->s), sizeof *o->state, &o->state));
    TRY(mem_alloc(o->ctx, n, sizeof *o->values, &o->values));
    TRY(mem_alloc(o->ctx, n, sizeof *o->dvalues, &o->dvalues));
    TRY(mem_alloc(o->ctx, n, sizeof *o->move, &o->move));
    TRY(mem_alloc(o->ctx, n, sizeof *o->along, &o->along));
done:
    return st;
}

static void scratch_free(outer *o)
{
    mem_free(o->ctx, o->state);
    mem_free(o->ctx, o->values);
    mem_free(o->ctx, o->dvalues);
    mem_free(o->ctx, o->move);
    mem_free(o->ctx, o->along);
    o->state = o->values = o->dvalues = o->move = o->along = NULL;
}

drmad_status outer_new(drmad_ctx *ctx, const outer_spec *spec, const space *s, outer **out)
{
    drmad_status st = DRMAD_OK;
    outer *o = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *o, &o));
    o->ctx = ctx;
    o->spec = *spec;
    o->s = s;
    TRY(scratch_new(o));
    o->state[N_SCALE] = 1;
    o->state[N_LAST] = o->state[N_BEST] = o->state[N_LEAST] = HUGE_VAL;
    space_start(s, vec(o, V_RAW));
    memcpy(vec(o, V_BEST), vec(o, V_RAW), (size_t)s->total * sizeof(double));
    *out = o, o = NULL;
done:
    outer_free(o);
    return st;
}

void outer_free(outer *o)
{
    if (!o) return;
    scratch_free(o);
    mem_free(o->ctx, o);
}

const double *outer_raw(const outer *o)
{
    return vec(o, V_RAW);
}

double outer_best_value(const outer *o)
{
    return o->state[N_BEST];
}

int64_t outer_steps(const outer *o)
{
    return (int64_t)o->state[N_STEP];
}

double *outer_state(outer *o, size_t *n)
{
    *n = state_size(o->s);
    return o->state;
}

drmad_status outer_loosen(outer *o, const space *fine)
{
    outer old = *o;
    drmad_status st = DRMAD_OK;

    o->s = fine;
    o->state = o->values = o->dvalues = o->move = o->along = NULL;
    TRY(scratch_new(o));
    memcpy(o->state, old.state, N_NUMBERS * sizeof *o->state);
    o->state[N_MOMENTS] = 0;
    const int kept[] = {V_RAW, V_LAST, V_BEST};
    for (size_t i = 0; i < COUNT(kept); i++)
        TRY(space_loosen(old.s, vec(&old, kept[i]), fine, vec(o, kept[i])));
    o->state[N_LAST] =
        HUGE_VAL; /* the gradient there is unknown in the finer space: nothing to go back to */
    scratch_free(&old);
    return DRMAD_OK;
done:
    scratch_free(o);
    *o = old;
    return st;
}

/* ---- moves ---- */

/* The gradient as the moves see it, smoothed in time, enters the averages. */
static void moments(outer *o)
{
    double *m = vec(o, V_MEAN), *v = vec(o, V_SQUARE), *g = o->dvalues;
    const outer_spec *p = &o->spec;

    space_smooth(o->s, vec(o, V_GRAD), g);
    for (int64_t i = 0; i < o->s->total; i++) {
        if (p->kind == OUTER_SIGN) m[i] = g[i];
        if (p->kind == OUTER_SGD) m[i] = p->momentum * m[i] + g[i];
        if (p->kind != OUTER_ADAM) continue;
        m[i] = p->beta1 * m[i] + (1 - p->beta1) * g[i];
        v[i] = p->beta2 * v[i] + (1 - p->beta2) * g[i] * g[i];
    }
    o->state[N_MOMENTS] += 1;
}

static double direction(const outer *o, int64_t i)
{
    const outer_spec *p = &o->spec;
    const double k = o->state[N_MOMENTS], *m = vec(o, V_MEAN), *v = vec(o, V_SQUARE);

    if (p->kind == OUTER_SIGN) return (m[i] > 0) - (m[i] < 0);
    if (p->kind == OUTER_SGD) return m[i];
    return m[i] / (1 - pow(p->beta1, k)) / (sqrt(v[i] / (1 - pow(p->beta2, k))) + p->eps);
}

/* raw = last - scale lr direction, inside the bounds. `move` = raw - last; gives the predicted
 * change of F. */
static double propose(outer *o)
{
    double *raw = vec(o, V_RAW), *last = vec(o, V_LAST), *g = vec(o, V_GRAD), predicted = 0;

    for (int64_t i = 0; i < o->s->total; i++)
        raw[i] = last[i] - o->state[N_SCALE] * o->spec.lr * direction(o, i);
    space_clamp(o->s, raw);
    for (int64_t i = 0; i < o->s->total; i++) {
        o->move[i] = raw[i] - last[i];
        predicted += g[i] * o->move[i];
    }
    return predicted;
}

static drmad_status audit(outer *o, walker *w, uint64_t seed, const examples *objective,
                          outer_report *r)
{
    const double start = base_now();

    /* the move in values: the transforms' Jacobian is diagonal, so the chain rule applies it too */
    space_values(o->s, vec(o, V_LAST), o->values);
    space_chain(o->s, vec(o, V_LAST), o->move, o->along);
    drmad_status st = walker_directional(w, o->values, o->along, seed, objective, &r->audit_value,
                                         &r->audit_exact);
    r->audit_cheap = r->predicted;
    r->audited = st == DRMAD_OK;
    r->audit_seconds = base_now() - start;
    return st == DRMAD_E_DIVERGED ? DRMAD_OK : st;
}

/* Whether h is the one to keep. Where each F has a seed or split of its own, the smallest one is
 * mostly luck, and the last may follow a relapse: what counts is the running mean. */
static bool is_best(outer *o, double value)
{
    double *s = o->state;

    if (!o->spec.fresh || !isfinite(value)) return value < s[N_BEST];
    s[N_SEEN] = fmin(s[N_SEEN] + 1, RECENT);
    s[N_RECENT] += (value - s[N_RECENT]) / s[N_SEEN];
    if (s[N_SEEN] < RECENT) return true;
    if (s[N_RECENT] >= s[N_LEAST]) return false;
    s[N_LEAST] = s[N_RECENT];
    return true;
}

/* Whether F got better counts for patience in every meta-step, also in one that is taken back. */
static void note_value(outer *o, double value)
{
    const size_t bytes = (size_t)o->s->total * sizeof(double);
    const double best = o->state[N_BEST];
    const bool better = !isfinite(best) || value < best - o->spec.tolerance * fabs(best);

    o->state[N_IDLE] = better && isfinite(value) ? 0 : o->state[N_IDLE] + 1;
    if (is_best(o, value)) memcpy(vec(o, V_BEST), vec(o, V_RAW), bytes);
    o->state[N_BEST] = fmin(best, value);
}

/* ---- roughness ---- */

/* Four moves in a row, each half as long as the one before, all made F worse. Were F smooth, the
 * rise would have halved each time, for a move that points the wrong way, or quartered, for one
 * that was too long: the last two rises together would be a quarter of the first two, or less.
 * Where they are more than half, F jumps between neighbouring h, and none of the four says
 * whether the move is good. But a rise of more than a quarter of F is no roughness: there the run
 * breaks. */
static bool is_rough(const outer *o)
{
    const double *r = o->state + N_RISE;
    const double most = fmax(fmax(r[0], r[1]), fmax(r[2], r[3]));

    return o->state[N_HALVED] + 1 >= RISES && r[2] + r[3] >= (r[0] + r[1]) / 2 &&
           most <= fabs(o->state[N_LAST]) / 4;
}

/* F rose by `rise`, HUGE_VAL where it cannot be said; true: that is roughness, from now on no rise
 * as large as these is taken for worse, and the length is what it was before the four. */
static bool note_rise(outer *o, double rise)
{
    double *r = o->state + N_RISE;

    memmove(r, r + 1, (RISES - 1) * sizeof *r);
    r[RISES - 1] = rise;
    if (!isfinite(rise) || !is_rough(o)) return false;
    for (int i = 0; i < RISES; i++) o->state[N_NOISE] = fmax(o->state[N_NOISE], r[i]);
    o->state[N_SCALE] = ldexp(o->state[N_SCALE], (int)o->state[N_HALVED]);
    return true;
}

/* From `last` once more, half as far. Where nothing is known of `last`: to the best, or, with the
 * next seed, again to the same place. */
static void take_back(outer *o, bool worse, outer_report *r)
{
    const size_t bytes = (size_t)o->s->total * sizeof(double);
    const bool known = isfinite(o->state[N_LAST]), best = isfinite(o->state[N_BEST]);
    const bool there = memcmp(vec(o, V_RAW), vec(o, V_BEST), bytes) == 0;

    r->verdict = OUTER_TAKEN_BACK;
    o->state[N_SCALE] *= 0.5;
    o->state[N_HALVED] += 1;
    if (o->state[N_HALVED] > OUTER_HALVINGS || (!known && there && !o->spec.fresh)) {
        r->verdict = worse ? OUTER_STOPPED : OUTER_UNSTABLE;
        if (worse) r->why = "no move in this direction improves F, however short";
    }
    if (r->verdict == OUTER_TAKEN_BACK && known) r->predicted = propose(o);
    else if (best) memcpy(vec(o, V_RAW), vec(o, V_BEST), bytes);
}

/* Why the run or its hypergradient (on the transformed scale) cannot be used; NULL when it can. */
static const char *unusable(const outer *o, const double *g, const outer_report *r, drmad_status st)
{
    const bool line = r->walk.trajectory == TRAJ_LINE;

    if (!isfinite(r->value)) return "the run diverged";
    if (st == DRMAD_E_DIVERGED) return "the way back diverged";
    for (int64_t i = 0; i < o->s->total; i++)
        if (!(fabs(g[i]) <= OUTER_LARGEST)) return "the hypergradient is not finite or above 1e12";
    if (line && o->spec.max_growth > 0 && r->walk.growth > o->spec.max_growth)
        return "dF/dw grew beyond outer.max_growth on the way back";
    return NULL;
}

/* h is good: its gradient `g` gives the next move. */
static void accept(outer *o, const double *g, outer_report *r)
{
    const size_t bytes = (size_t)o->s->total * sizeof(double);

    memcpy(vec(o, V_LAST), vec(o, V_RAW), bytes);
    memcpy(vec(o, V_GRAD), g, bytes);
    o->state[N_LAST] = r->value;
    o->state[N_HALVED] = 0;
    memset(o->state + N_RISE, 0, RISES * sizeof *o->state);
    moments(o);
    o->state[N_SCALE] = fmin(1, o->state[N_SCALE] * 1.5);
    r->predicted = propose(o);
}

/* The run, the walk back and what is to be said about them; g = dF/dh, transformed. */
static drmad_status measure(outer *o, walker *w, uint64_t seed, const examples *objective,
                            double *g, outer_report *r)
{
    space_values(o->s, vec(o, V_RAW), o->values);
    const drmad_status st = walker_gradient(w, o->values, seed, objective, &r->walk, o->dvalues);
    if (st != DRMAD_OK && st != DRMAD_E_DIVERGED) return st;
    if (st == DRMAD_OK || r->walk.steps > 0) r->value = r->walk.value.loss;
    else r->diverged_at = r->walk.run.steps - !isfinite(r->walk.run.last_loss);
    if (st == DRMAD_OK) space_chain(o->s, vec(o, V_RAW), o->dvalues, g);
    r->why = unusable(o, g, r, st);
    return DRMAD_OK;
}

static double norm_of(const double *x, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    return sqrt(s);
}

drmad_status outer_step(outer *o, walker *w, uint64_t seed, const examples *objective,
                        outer_report *r)
{
    double *g = o->along;
    drmad_status st = DRMAD_OK;

    *r = (outer_report){
        .verdict = OUTER_MOVED, .value = HUGE_VAL, .gradient_norm = NAN, .diverged_at = -1};
    TRY(measure(o, w, seed, objective, g, r));
    o->state[N_STEP] += 1;
    r->step = outer_steps(o);
    const double rise = r->why ? HUGE_VAL : r->value - o->state[N_LAST];
    bool worse = !r->why && o->spec.trust && rise > o->state[N_NOISE];
    if (worse || r->why) worse &= !note_rise(o, rise);
    if (worse) r->why = "F became worse";
    if (!r->why) r->gradient_norm = norm_of(g, o->s->total);
    note_value(o, r->value);
    if (r->why) take_back(o, worse, r);
    else accept(o, g, r);
    if (r->verdict == OUTER_MOVED && o->spec.audit_every > 0 &&
        (r->step - 1) % o->spec.audit_every == 0)
        TRY(audit(o, w, seed, objective, r));
    if (r->verdict < OUTER_STOPPED && o->spec.patience > 0 &&
        o->state[N_IDLE] >= (double)o->spec.patience)
        r->verdict = OUTER_STOPPED, r->why = "patience is out";
    r->best = o->state[N_BEST];
    r->scale = o->state[N_SCALE];
    r->noise = o->state[N_NOISE];
done:
    return st;
}

void outer_judge(outer *o, double value)
{
    note_value(o, value);
}

const double *outer_chosen(const outer *o)
{
    return vec(o, V_BEST);
}
