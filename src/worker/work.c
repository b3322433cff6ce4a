/* A worker: asks for trials while it has room, listens to those that run, renews their leases,
 * tells what came of them. One thread, one connection; what runs are slots.
 *
 * A store that does not answer for a while stops nothing that runs: results go to the spool. Only
 * with nothing to do and no answer for worker.patience does it end, to be started again (75). */
#include "worker/work.h"
#include "worker/charge.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A call of the store may hold the loop so long: commands write into pipes of 64 KiB meanwhile. */
static const double call_patience_s = 3;
static const double wait_s = 0.1; /* between looks when nothing comes */
static const double idle_s = 2;   /* between questions for trials that others may leave */

/* ---- ends ---- */

void work_stop(work *w, drmad_status why)
{
    if (w->stop != DRMAD_OK) return;
    w->stop = why;
    snprintf(w->why, sizeof w->why, "%s", drmad_errmsg(w->s->ctx));
    for (int i = 0; i < w->n; i++) slot_stop(w->runs[i]->slot);
}

/* The request is taken off the context: what is left to do would be refused otherwise. */
static void heed_signals(work *w)
{
    drmad_ctx *ctx = w->s->ctx;
    const drmad_status st = base_stopped(ctx);

    if (st != DRMAD_OK) {
        work_stop(w, st);
        atomic_store(&ctx->stop, 0);
    } else if (base_checkpoint_wanted(ctx)) {
        work_stop(w, FAIL(ctx, DRMAD_E_AGAIN,
                          "asked to make room (SIGUSR1): trials under way are given back"));
    }
}

drmad_status work_reached(work *w, drmad_status st)
{
    const double now = base_now();

    if (st != DRMAD_E_AGAIN) {
        if (st == DRMAD_OK) w->away_since = 0;
        return st;
    }
    if (w->away_since <= 0) {
        w->away_since = now;
        base_log(w->s->ctx, LOG_WARN, "%s; trying again", drmad_errmsg(w->s->ctx));
    }
    w->pause = fmin(30, fmax(0.5, 2 * w->pause));
    w->ask_at = now + w->pause;
    if (w->n == 0 && now - w->away_since >= w->s->cfg->set.worker.patience)
        work_stop(w, DRMAD_E_AGAIN);
    return DRMAD_OK;
}

/* ---- upkeep ---- */

static drmad_status beat(work *w)
{
    drmad_ctx *ctx = w->s->ctx;
    drmad_status st = DRMAD_OK;
    store_lease *l = NULL;
    bool *held = NULL;

    TRY(mem_alloc(ctx, (size_t)w->n + 1, sizeof *l, &l));
    TRY(mem_alloc(ctx, (size_t)w->n + 1, sizeof *held, &held));
    for (int i = 0; i < w->n; i++) l[i] = w->runs[i]->t->lease;
    st = store_beat(w->s->session->store, l, w->n, held);
    for (int i = 0; st == DRMAD_OK && i < w->n; i++) {
        if (held[i] || w->runs[i]->lost) continue;
        w->runs[i]->lost = true;
        slot_stop(w->runs[i]->slot);
    }
    TRY(work_reached(w, st));
done:
    mem_free(ctx, l);
    mem_free(ctx, held);
    return st;
}

static drmad_status expire(work *w)
{
    const struct session *ss = w->s->session;
    drmad_status st = DRMAD_OK;
    int32_t n = 0;

    TRY(work_reached(w, store_trial_expire(ss->store, ss->study,
                                           (int32_t)w->s->cfg->set.objective.retries, &n)));
    if (n > 0)
        base_log(w->s->ctx, LOG_INFO, "%d trials of workers that are gone were failed", (int)n);
done:
    return st;
}

static drmad_status flush(work *w)
{
    drmad_status st = DRMAD_OK;
    int32_t n = 0;

    st = store_flush(w->s->session->store, &n);
    if (st == DRMAD_OK) w->spooled = false;
    TRY(work_reached(w, st));
    if (n > 0) base_log(w->s->ctx, LOG_INFO, "%d results were stored that waited here", (int)n);
done:
    return st;
}

static drmad_status upkeep(work *w)
{
    const double now = base_now(), lease = w->s->cfg->set.worker.lease;
    drmad_status st = DRMAD_OK;

    if (w->n > 0 && now >= w->beat_at) {
        w->beat_at = now + lease / 3;
        TRY(beat(w));
    }
    if (w->stop == DRMAD_OK && now >= w->expire_at) {
        w->expire_at = now + lease;
        TRY(expire(w));
        if (w->spooled) TRY(flush(w));
    }
done:
    return st;
}

/* ---- asking ---- */

/* Whether another trial fits. Those under way elsewhere are not charged before they end. */
static drmad_status look_at_budget(work *w)
{
    const double each = w->cost.run;
    double runs, seconds;
    drmad_status st = DRMAD_OK;
    charged c;

    search_limits(&w->s->cfg->set, &runs, &seconds);
    if (runs <= 0 && seconds <= 0) return st;
    TRY(search_charged(w->s, each, &c));
    w->spent = (seconds > 0 && c.seconds >= seconds) ||
               (runs > 0 && each > 0 && c.macs + each * (w->n + 1) > each * runs);
done:
    return st;
}

static drmad_status fill(work *w)
{
    drmad_status st = DRMAD_OK;
    drmad_trial *t = NULL;

    while (w->stop == DRMAD_OK && w->n < w->jobs && base_now() >= w->ask_at) {
        st = look_at_budget(w);
        if (st == DRMAD_OK && !w->spent) st = trial_ask(w->s, &t);
        TRY(work_reached(w, st));
        if (!t && w->away_since > 0) break;
        w->dry = !t;
        if (!t) {
            w->ask_at = base_now() + idle_s;
            break;
        }
        w->idle_since = 0;
        if (w->n == 0) w->beat_at = base_now() + w->s->cfg->set.worker.lease / 3;
        TRY(run_start(w, t));
        if (w->kind == &slot_call) break; /* it has ended already */
    }
done:
    return st;
}

/* Whether all is done; where only trials elsewhere are missing, ask_at says when to look again. */
static bool all_done(work *w, const int64_t count[TRIAL_STATE_COUNT])
{
    const int64_t open = count[TRIAL_RUNNING] + count[TRIAL_WAITING];
    const int64_t limit = w->s->cfg->set.search.trials;

    if (w->spent) return count[TRIAL_RUNNING] == 0;
    if (open > 0) return false;
    if (limit > 0 && count[TRIAL_COMPLETE] + count[TRIAL_PRUNED] >= limit) return true;
    w->ask_at = 0; /* one has failed meanwhile: another may be begun */
    return false;
}

/* Nothing is left to begin: but a trial that runs elsewhere may come back if its worker is lost,
 * which shows within a lease. */
static drmad_status look_around(work *w, bool *over)
{
    const double now = base_now(), lease = w->s->cfg->set.worker.lease;
    int64_t count[TRIAL_STATE_COUNT];
    drmad_status st = DRMAD_OK;

    *over = w->stop != DRMAD_OK;
    if (*over || w->away_since > 0 || !w->dry) return st;
    w->dry = false; /* once a question */
    TRY(work_reached(w, work_count(w, count)));
    if (w->away_since > 0) return st;
    *over = all_done(w, count);
    if (*over) return st;
    if (w->idle_since <= 0) {
        w->idle_since = now;
        base_log(w->s->ctx, LOG_INFO,
                 "no more trials to begin; waiting for %lld that run elsewhere, up to %g s",
                 (long long)count[TRIAL_RUNNING], 1.5 * lease);
    }
    w->expire_at = fmin(w->expire_at, now + idle_s);
    *over = now - w->idle_since > 1.5 * lease + idle_s;
done:
    return st;
}

/* ---- listening ---- */

static drmad_status listen_once(work *w)
{
    drmad_ctx *ctx = w->s->ctx;
    double until = base_now() + wait_s;
    drmad_status st = DRMAD_OK;
    struct pollfd *fds = NULL;
    nfds_t n = 0;

    TRY(mem_alloc(ctx, SLOT_FDS * (size_t)w->n + 1, sizeof *fds, &fds));
    for (int i = 0; i < w->n; i++) {
        slot *s = w->runs[i]->slot;

        n += (nfds_t)slot_fds(s, fds + n);
        until = fmin(until, slot_due(s));
        if (s->out < 0) until = base_now() + 0.002; /* its end is near */
    }
    const double left = until - base_now();
    poll(fds, n, left > 0 ? (int)ceil(1e3 * left) : 0);
    for (int i = w->n; i-- > 0;) {
        bool ended;

        st = run_step(w, w->runs[i], &ended);
        if (st == DRMAD_OK && !ended) continue;
        run_close(w, w->runs[i]);
        w->runs[i] = w->runs[--w->n];
        if (st != DRMAD_OK) work_stop(w, st);
    }
    st = DRMAD_OK;
done:
    mem_free(ctx, fds);
    return st;
}

/* Until the next question, but signals are looked at. */
static void rest(const work *w)
{
    const double left = w->ask_at - base_now();

    if (left > 0) poll(NULL, 0, (int)ceil(1e3 * fmin(left, wait_s)));
}

/* A failure of ours still gives back what runs. */
static drmad_status loop(work *w)
{
    drmad_status st = DRMAD_OK;
    bool over = false;

    while (!over) {
        heed_signals(w);
        st = upkeep(w);
        if (st == DRMAD_OK) st = fill(w);
        if (st != DRMAD_OK) work_stop(w, st);
        if (w->n > 0) TRY(listen_once(w));
        else TRY(look_around(w, &over));
        if (w->n == 0 && !over) rest(w);
    }
    if (w->spooled) flush(w);
    if (w->s->session->has_taken) /* it never ran here */
        store_trial_release(w->s->session->store, &w->s->session->taken);
    w->s->session->has_taken = false;
done:
    return st;
}

/* Once here and not at each trial: what earlier workers left. */
static drmad_status begin(work *w)
{
    drmad_status st = DRMAD_OK;

    TRY(flush(w));
    TRY(expire(w));
    w->expire_at = base_now() + w->s->cfg->set.worker.lease;
done:
    return st;
}

static drmad_status work_on(work *w)
{
    drmad_status st = DRMAD_OK;

    TRY(begin(w));
    TRY(loop(w));
    if (w->stop == DRMAD_OK || w->stop == DRMAD_E_DIVERGED) st = work_result(w);
    if (st == DRMAD_OK && w->stop != DRMAD_OK) st = FAIL(w->s->ctx, w->stop, "%s", w->why);
done:
    return st;
}

/* The first try waits as long as the study says; then the loop does the waiting. */
drmad_status drmad_study_work(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    work w = {.s = s};

    TRY(study_begin_result(s, "search"));
    session_close(s);
    TRY(session_open(s, -1));
    session_close(s);
    TRY(session_open(s, fmin(call_patience_s, s->cfg->set.worker.patience)));
    TRY(work_setup(&w));
    st = work_on(&w);
done:
    work_close(&w);
    return study_end(s, st);
}
