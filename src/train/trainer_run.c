/* A run: the loop over the steps. On a backend that lets the host run ahead (backend.wait) up to
 * LATE_STEPS steps are under way, and then the losses of the older half are looked at, so that the
 * device has work meanwhile: a run that diverges ends so many steps late, and tells the step at
 * which it did.
 *
 * On a device all steps run in state[0], whether of a run or run again: programs whose addresses
 * stay are recorded once, and a state is one copy a vector where it would be one a tensor. */
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>

drmad_status trainer_step_at(void *user, int64_t step, void *const from[], void *const to[])
{
    trainer *t = user;
    drmad_status st = DRMAD_OK;
    double loss;

    TRY(trainer_prepare(t, step));
    if (t->spec.oracle) {
        const void *weights = trainer_example_weights(t, USE_VALUE);
        TRY(trainer_ask_gradient(t, step, from[0], weights, t->slot[SLOT_G], &loss));
        trainer_put(t, t->slot[SLOT_LOSS], 0, loss);
    }
    trainer_bind(t, SLOT_W, from);
    trainer_bind(t, SLOT_W_OUT, to);
    TRY(job_run_later(t->step, t->slot));
done:
    return st;
}

/* ---- on a device ---- */

static drmad_status copy_state(trainer *t, void *const to[], void *const from[])
{
    drmad_status st = DRMAD_OK;

    for (int32_t k = 0; k < t->vectors; k++) TRY(trainer_copy(t, to[k], from[k]));
done:
    return st;
}

/* In state[0], where the run was: the run's end moves to state[1]. */
drmad_status trainer_replay_step(void *user, int64_t step, void *const from[], void *const to[])
{
    trainer *t = user;
    drmad_status st = DRMAD_OK;

    if (!t->on->mixed) return trainer_step_at(t, step, from, to);
    if (t->now == 0) TRY(copy_state(t, t->state[1], t->state[0]));
    t->now = 1;
    if (t->replayed != step || t->replayed_to != from[0]) TRY(copy_state(t, t->state[0], from));
    t->replayed = -1;
    TRY(trainer_step_at(t, step, t->state[0], t->state[0]));
    TRY(copy_state(t, to, t->state[0]));
    t->replayed = step + 1, t->replayed_to = to[0];
done:
    return st;
}

drmad_status trainer_replay_end(trainer *t)
{
    t->replayed = -1;
    if (!t->on->mixed || t->now == 0) return DRMAD_OK;
    t->now = 0;
    return copy_state(t, t->state[0], t->state[1]);
}

/* ---- the loop ---- */

static drmad_status record(trainer *t, trajectory *tr, int64_t step, void *const state[])
{
    if (!tr) return DRMAD_OK;
    const bool masks = t->spec.masks && step < t->spec.steps;
    if (masks) trainer_masks_pack(t);
    return traj_record(tr, step, state, masks ? t->mask_bits : NULL);
}

static drmad_status diverged(trainer *t, int64_t step, double loss)
{
    return FAIL(t->ctx, DRMAD_E_DIVERGED, "training diverged: loss %g at step %lld of %lld", loss,
                (long long)step, (long long)t->spec.steps);
}

static void note_loss(const trainer *t, int64_t step, double loss, train_report *out)
{
    const int64_t tail = (t->spec.steps + 9) / 10;

    if (step == 0) out->first_loss = loss;
    out->last_loss = loss;
    if (step >= t->spec.steps - tail) out->mean_loss += loss / (double)tail;
    out->steps = step + 1;
}

void trainer_watch(trainer *t, int64_t every, train_watch_fn *fn, void *user)
{
    t->watch_every = every;
    t->watch = fn;
    t->watch_user = user;
}

void trainer_follow(trainer *t, train_follow_fn *fn, void *user)
{
    t->follow = fn;
    t->follow_user = user;
}

static drmad_status watch(trainer *t, int64_t steps)
{
    const bool due = t->watch_every > 0 && steps % t->watch_every == 0 && steps < t->spec.steps;

    return due ? t->watch(t->watch_user, steps) : DRMAD_OK;
}

/* Whether the loss of a step must be known before the next one. */
static bool impatient(const trainer *t, int64_t step)
{
    const bool due = t->watch_every > 0 && (step + 1) % t->watch_every == 0;

    return !t->on->wait || due || t->follow || t->spec.masks || step + 1 == t->spec.steps;
}

static void *loss_of(const trainer *t, int64_t step)
{
    return (char *)t->losses + (size_t)(step % LATE_STEPS) * t->size;
}

/* Looks at the losses of the steps before `end` but for the last `leave`. */
static drmad_status look(trainer *t, int64_t end, int32_t leave, train_report *out)
{
    const int64_t first = end - t->late;
    drmad_status st = job_wait(t->step, leave);

    t->late = leave;
    for (int64_t k = first; st == DRMAD_OK && k < end - leave; k++) {
        const double loss = trainer_get(t, loss_of(t, k), 0);
        note_loss(t, k, loss, out);
        if (!isfinite(loss)) st = diverged(t, k, loss);
    }
    return st;
}

static drmad_status look_if_due(trainer *t, int64_t step, train_report *out)
{
    if (impatient(t, step)) return look(t, step + 1, 0, out);
    return t->late < LATE_STEPS ? DRMAD_OK : look(t, step + 1, LATE_STEPS / 2, out);
}

/* A state that is lost may come of a loss that nobody has looked at: that is the earlier error. */
static drmad_status record_in_order(trainer *t, trajectory *tr, int64_t step, void *const state[],
                                    train_report *out)
{
    drmad_status st = record(t, tr, step, state), loss;
    char why[sizeof t->ctx->errmsg];

    if (st != DRMAD_E_DIVERGED) return st;
    const int64_t since = step - tr->lost; /* steps from that state on do not count */
    if (since >= t->late) return st;
    snprintf(why, sizeof why, "%s", drmad_errmsg(t->ctx));
    loss = look(t, step, (int32_t)since, out);
    return loss != DRMAD_OK ? loss : FAIL(t->ctx, st, "%s", why);
}

/* Nothing is left under way of a run that failed; its errors are told already. */
static void forget_steps(trainer *t)
{
    if (t->late > 0) (void)job_wait(t->step, 0);
    t->late = 0;
}

drmad_status trainer_run(trainer *t, const double *values, uint64_t seed, trajectory *tr,
                         train_report *out)
{
    const double start = base_now();
    const bool masks = t->spec.masks, apart = masks || t->follow; /* the state before is kept */
    const bool moves = apart && !t->on->mixed;
    drmad_status st = DRMAD_OK;

    *out = (train_report){0};
    forget_steps(t);
    trainer_restart(t, values, seed);
    TRY(trainer_prepare(t, 0));
    t->now = 0, t->replayed = -1;
    TRY(trainer_start_state(t, t->state[0]));
    if (tr) TRY(traj_begin(tr));
    for (int64_t step = 0; step < t->spec.steps; step++) {
        void *const *at = t->state[t->now], *const *to = moves ? t->state[1 - t->now] : at;
        void *const *from = apart && !moves ? t->state[1] : at;

        TRY(base_stopped(t->ctx));
        if (!masks) TRY(record_in_order(t, tr, step, from, out)); /* the step may overwrite it */
        t->slot[SLOT_LOSS] = loss_of(t, step);
        t->late++;
        if (from != at) TRY(copy_state(t, from, at));
        TRY(trainer_step_at(t, step, at, to));
        if (moves) t->now = 1 - t->now;
        TRY(look_if_due(t, step, out));
        if (masks) TRY(record(t, tr, step, from));
        if (t->follow) TRY(t->follow(t->follow_user, step, from, to));
        TRY(watch(t, step + 1));
    }
    TRY(record(t, tr, t->spec.steps, t->state[t->now]));
done:
    t->slot[SLOT_LOSS] = t->losses;
    out->seconds = base_now() - start;
    return st;
}
