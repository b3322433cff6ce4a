/* What the estimators share: their words, which steps they walk, what each cannot see and what it
 * costs. */
#include "hyper/walker.h"
#include <math.h>

const char *estimator_name(estimator_kind k)
{
    static const char *const name[] = {"unrolled", "truncated", "one-step", "implicit"};

    return name[k];
}

const char *solver_name(solver_kind k)
{
    static const char *const name[] = {"cg", "neumann", "nystrom"};

    return name[k];
}

bool estimator_walks(const walker *w)
{
    return w->spec.estimator.kind <= ESTIMATOR_TRUNCATED;
}

bool about_optimiser(hyper_kind k)
{
    for (int h = 0; h < OPTIM_HYPERS; h++)
        if (optim_kind_of((optim_hyper)h) == k) return true;
    return k == HYPER_CLIP;
}

/* What moves the way to a minimum and not the minimum. */
static bool about_the_way(hyper_kind k)
{
    const bool scheduled = k == HYPER_LR_PEAK || k == HYPER_LR_FINAL || k == HYPER_LR_GAMMA;

    return scheduled || (about_optimiser(k) && k != HYPER_WEIGHT_DECAY);
}

/* Why the estimator's derivative by this slice is zero though F's is not; NULL when it sees it. */
static const char *blind(const walker *w, const hyper_slice *s)
{
    const estimator_kind k = w->spec.estimator.kind;
    const int64_t T = w->t->spec.steps;

    if (k == ESTIMATOR_IMPLICIT) {
        if (s->kind == HYPER_INIT_SCALE)
            return "a minimum of the loss does not depend on where training started";
        if (about_the_way(s->kind))
            return "a minimum of the loss does not depend on how the optimiser got there";
        if (s->phases > 1) return "a minimum of the loss has no phases";
        return NULL;
    }
    if (k == ESTIMATOR_ONE_STEP && s->kind == HYPER_INIT_SCALE)
        return "each step's start is held fixed, the first one's too";
    if (k != ESTIMATOR_TRUNCATED || w->first == 0) return NULL;
    if (s->kind == HYPER_INIT_SCALE)
        return "the state before the last steps is held fixed, and so are the initial weights";
    if (s->phases > 1 && T / s->phases <= w->first)
        return "its first phases end before the last steps, and only those are walked back";
    return NULL;
}

static drmad_status check_sight(const walker *w)
{
    const space *s = w->t->spec.space;
    const estimator_kind k = w->spec.estimator.kind;

    for (int32_t i = 0; i < s->n_slices; i++) {
        const char *why = blind(w, &s->slices[i]);
        if (why)
            return FAIL(w->ctx, DRMAD_E_CONFIG,
                        "%s: estimator.kind: %s cannot see it: %s; use unrolled", s->slices[i].name,
                        estimator_name(k), why);
    }
    if (k != ESTIMATOR_UNROLLED && w->first + (k == ESTIMATOR_ONE_STEP) > 0 &&
        space_has(s, HYPER_LR))
        base_log(w->ctx, LOG_WARN,
                 "estimator.kind: %s judges a learning rate by its first effect, which favours "
                 "rates that are too small (short-horizon bias: Wu et al., ICLR 2018)",
                 estimator_name(k));
    return DRMAD_OK;
}

/* AdamW and its like end where g / sqrt(v) + wd w = 0, which is no gradient's zero. */
static bool decays_by_the_way(const walker *w)
{
    const train_spec *s = &w->t->spec;

    return s->optim.kind != OPTIM_SGD && s->optim.decoupled && train_uses(s, HYPER_WEIGHT_DECAY);
}

static drmad_status check_settings(const walker *w)
{
    const estimator_spec *e = &w->spec.estimator;
    const traj_kind kept = w->spec.trajectory;

    if (e->kind == ESTIMATOR_UNROLLED) return DRMAD_OK;
    if (w->spec.stride > 1)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.stride: fast is for estimator.kind: unrolled, and it is %s",
                    estimator_name(e->kind));
    if (e->kind == ESTIMATOR_TRUNCATED && (kept == TRAJ_GRID || kept == TRAJ_LINE))
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.kind: %s approximates a whole run; estimator.kind: truncated keeps "
                    "the last states as they are: use full or replay",
                    traj_kind_name(kept));
    if (!estimator_walks(w) && kept != TRAJ_AUTO)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "trajectory.kind: %s keeps states that estimator.kind: %s does not walk back; "
                    "leave it auto",
                    traj_kind_name(kept), estimator_name(e->kind));
    if (e->kind == ESTIMATOR_IMPLICIT && w->t->spec.regress.to != REGRESS_NONE)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "regress.to: the regression fades with the steps, and estimator.kind: implicit "
                    "needs one loss for all of them; use unrolled");
    if (e->kind == ESTIMATOR_IMPLICIT && decays_by_the_way(w))
        return FAIL(
            w->ctx, DRMAD_E_CONFIG,
            "estimator.kind: implicit needs a minimum of a loss, and decoupled weight "
            "decay under an adaptive optimiser ends where neither loss nor penalty says; use l2, "
            "optimizer.decoupled: false or unrolled");
    if (e->kind == ESTIMATOR_IMPLICIT && e->solver == SOLVER_NYSTROM && e->damping == 0)
        return FAIL(w->ctx, DRMAD_E_CONFIG,
                    "estimator.damping: 0; nystrom inverts a matrix of low rank plus the damping, "
                    "so it must be above 0");
    return DRMAD_OK;
}

drmad_status estimator_open(walker *w)
{
    const estimator_spec *e = &w->spec.estimator;
    const int64_t T = w->t->spec.steps;
    drmad_status st = DRMAD_OK;

    TRY(check_settings(w));
    if (e->kind == ESTIMATOR_TRUNCATED) {
        const double last = ceil(e->last < 1 ? e->last * (double)T : e->last);
        w->first = last >= (double)T ? 0 : T - (last < 1 ? 1 : (int64_t)last);
    }
    TRY(check_sight(w));
done:
    return st;
}

int64_t walker_products(const walker *w)
{
    const estimator_spec *e = &w->spec.estimator;

    if (e->kind != ESTIMATOR_IMPLICIT) return w->t->spec.steps - w->first;
    return (e->terms + 2) * implicit_batches(w); /* the residual, and the mixed product */
}

int64_t walker_rows(const walker *w)
{
    if (w->spec.estimator.kind != ESTIMATOR_ONE_STEP) return 0;
    return w->t->spec.steps * w->spec.estimator.rows;
}
