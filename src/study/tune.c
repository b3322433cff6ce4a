/* The main job: train, walk back, move h, and so on; then retrain and compare. */
#include "study/tuning.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what is said about a meta-step ---- */

static const char *verdict_word(outer_verdict v)
{
    switch (v) {
    case OUTER_MOVED: return "moved";
    case OUTER_TAKEN_BACK: return "taken back";
    case OUTER_STOPPED: return "stopped";
    default: return "unstable";
    }
}

static json_t *step_json(const outer_report *r, double spent)
{
    json_t *j = json_pack(
        "{s:s,s:I,s:s,s:o,s:o,s:o,s:o,s:o,s:f,s:f,s:s,s:I}", "event", "meta-step", "step",
        (json_int_t)r->step, "verdict", verdict_word(r->verdict), "objective", study_real(r->value),
        "best", study_real(r->best), "error", study_real(r->walk.value.error), "gradient_norm",
        study_real(r->gradient_norm), "growth", study_real(r->walk.growth), "length", r->scale,
        "spent_runs", spent, "trajectory", traj_kind_name(r->walk.trajectory), "trajectory_bytes",
        (json_int_t)r->walk.kept.bytes_held);

    if (j && isfinite(r->walk.residual))
        json_object_set_new(j, "residual", json_real(r->walk.residual));
    if (j && r->noise > 0) json_object_set_new(j, "noise", json_real(r->noise));
    if (j && r->why) json_object_set_new(j, "why", json_string(r->why));
    if (j && r->diverged_at >= 0)
        json_object_set_new(j, "diverged_at", json_integer(r->diverged_at));
    if (j && r->audited)
        json_object_set_new(j, "audit",
                            json_pack("{s:o,s:o,s:o}", "exact", study_real(r->audit_exact),
                                      "hypergradient", study_real(r->audit_cheap), "objective",
                                      study_real(r->audit_value)));
    return j;
}

static void tell(drmad_study *s, const outer_report *r)
{
    const long long step = (long long)r->step, total = (long long)s->cfg->set.outer.steps;
    char at[64] = "", residual[48] = "";

    if (isfinite(r->walk.residual))
        snprintf(residual, sizeof residual, ", residual %.2g", r->walk.residual);

    if (r->diverged_at >= 0)
        snprintf(at, sizeof at, " at step %lld of %lld", (long long)r->diverged_at,
                 (long long)s->s->spec.steps);
    if (r->verdict == OUTER_MOVED)
        base_log(s->ctx, LOG_INFO, "meta-step %lld of %lld: objective %.5g, |dF/dh| %.3g%s", step,
                 total, r->value, r->gradient_norm, residual);
    else
        base_log(s->ctx, LOG_INFO, "meta-step %lld of %lld: objective %.5g: %s%s; %s", step, total,
                 r->value, r->why, at,
                 r->verdict == OUTER_TAKEN_BACK ? "taken back, half as far" : "the end");
}

static const char *growth_advice(traj_kind k)
{
    switch (k) {
    case TRAJ_GRID: return "grid is close to the run's own path; the audits tell how close";
    case TRAJ_LINE: return "line cannot follow the run, so this is its error: use grid or full";
    default: return "is exact, so the steep hypergradient is real";
    }
}

/* Beyond this the implicit hypergradient is of another matrix than the loss's. */
static const double large_residual = 0.1;

/* Relative difference of F between two orders of rounding: 1e-7 to 1e-6 where a run of thousands of
 * steps in f32 is smooth, 1e-2 where it is chaotic. */
static const double rough_from = 1e-3;

/* The lines that say whether the hypergradient deserves trust. */
static void health(drmad_study *s, tuning *t, const outer_report *r)
{
    if (r->walk.growth > s->s->outer.max_growth && !t->growth_told) {
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: |dF/dw| grew %.3g-fold on the way back, outer.max_growth is %g; "
                 "trajectory %s",
                 (long long)r->step, r->walk.growth, s->s->outer.max_growth,
                 growth_advice(r->walk.trajectory));
        t->growth_told = true;
    }
    if (r->walk.residual > large_residual && !t->residual_told) {
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: implicit: %s left a residual of %.2g of |dF/dw|%s",
                 (long long)r->step, solver_name(s->s->walk.estimator.solver), r->walk.residual,
                 r->walk.negative ? ": the loss has negative curvature at the trained weights; "
                                    "raise estimator.damping or train longer"
                                  : "; raise estimator.terms or estimator.damping");
        t->residual_told = true;
    }
    if (r->audited && !(fabs(r->audit_value - r->value) <= rough_from * fabs(r->value)))
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: the same training, rounded in another order, ends at %.5g and "
                 "not at %.5g: it is so rough that no derivative of it says where to go; lower the "
                 "learning rate, take larger batches or a smooth activation",
                 (long long)r->step, r->audit_value, r->value);
    if (r->audited && fabs(r->audit_exact - r->audit_cheap) > 0.5 * fabs(r->audit_exact))
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: audit: the move changes F by %.4g, the hypergradient said %.4g",
                 (long long)r->step, r->audit_exact, r->audit_cheap);
}

/* ---- meta-steps ---- */

/* Split, ties and seed of meta-step k. */
static drmad_status prepare(drmad_study *s, tuning *t, int64_t k, uint64_t *seed)
{
    const config_outer *c = &s->cfg->set.outer;
    const setup *u = s->s;
    int64_t change = t->tied;
    drmad_status st = DRMAD_OK;

    if (c->fresh_split) TRY(setup_split(s->s, setup_seed(u, "split", (uint64_t)k)));
    for (int64_t next = change; next >= 0 && next <= k;) {
        change = next;
        next = space_next_change(u->decl, u->decls, next);
    }
    if (change != t->tied) {
        TRY(setup_tie(s->s, change, true, t->o));
        t->tied = change;
        TRY(tuning_fit(s, t));
    } else if (c->fresh_split) {
        TRY(setup_run(s->s, true));
    }
    *seed = setup_seed(u, "run", c->fresh_seed ? (uint64_t)k : 0);
done:
    return st;
}

/* One meta-step, whole or not at all: what interrupts it leaves the state as it was. */
static drmad_status meta_step(drmad_study *s, tuning *t, outer_report *r)
{
    const int64_t total = s->cfg->set.outer.steps, k = outer_steps(t->o);
    drmad_status st = DRMAD_OK;
    uint64_t seed;
    size_t n;

    TRY(prepare(s, t, k, &seed));
    const setup_cost cost = setup_cost_of(s->s);
    double *state = outer_state(t->o, &n);
    memcpy(t->before, state, n * sizeof *state);
    st = outer_step(t->o, s->s->walker, seed, &s->s->objective, r);
    if (st != DRMAD_OK) {
        memcpy(state, t->before, n * sizeof *state);
        goto done;
    }
    t->spent += setup_spent(s->s, &cost, &r->walk);
    if (r->verdict == OUTER_MOVED) TRY(setup_pull_to_last(s->s));
    if (r->audited) t->spent += cost.audit;
    json_t *event = step_json(r, t->spent);
    if (event && json_array_append(t->path, event) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the path"));
    tell(s, r);
    health(s, t, r);
    TRY(study_event(s, "tuning", (double)r->step, (double)total, event));
done:
    return st;
}

/* Training runs that one more meta-step, and the look at its move, would take. */
static double next_step_runs(const drmad_study *s, const tuning *t)
{
    const setup_cost cost = setup_cost_of(s->s);
    const int64_t every = s->cfg->set.outer.audit_every;
    const bool audited = every > 0 && outer_steps(t->o) % every == 0;

    return cost.meta + cost.look + (audited ? cost.audit : 0);
}

/* Fills t->stopped when no meta-step is to follow. */
static void look_at_limits(const drmad_study *s, tuning *t, const outer_report *last)
{
    const config_budget *b = &s->cfg->set.budget;
    const double minutes = (base_now() - s->started) / 60;
    const char *why = NULL;

    if (last && last->verdict >= OUTER_STOPPED) why = last->why;
    else if (outer_steps(t->o) >= s->cfg->set.outer.steps) why = "all done";
    else if (b->runs > 0 && t->spent + next_step_runs(s, t) > b->runs) why = "budget.runs is spent";
    else if (b->minutes > 0 && minutes > b->minutes) why = "budget.minutes are over";
    if (why) snprintf(t->stopped, sizeof t->stopped, "%s", why);
    t->unstable = last && last->verdict == OUTER_UNSTABLE;
}

static drmad_status tune_loop(drmad_study *s, tuning *t)
{
    const double pause = 60 * s->cfg->set.output.checkpoint_minutes;
    drmad_status st = DRMAD_OK;
    outer_report r;

    if (t->stopped[0]) return DRMAD_OK;
    look_at_limits(s, t, NULL);
    while (!t->stopped[0]) {
        st = meta_step(s, t, &r);
        if (st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED) {
            const drmad_status why = st;
            char reason[256];
            snprintf(reason, sizeof reason, "%s", drmad_errmsg(s->ctx));
            TRY(tuning_save(s, t));
            return FAIL(s->ctx, why, "%s", reason);
        }
        TRY(st);
        look_at_limits(s, t, &r);
        const bool asked = base_checkpoint_wanted(s->ctx);
        if (asked || t->stopped[0] || base_now() - t->saved >= pause) TRY(tuning_save(s, t));
        if (asked)
            base_log(s->ctx, LOG_INFO, "checkpoint written after meta-step %lld",
                     (long long)outer_steps(t->o));
    }
done:
    return st;
}

/* ---- afterwards ---- */

/* The last move has not been looked at: one run more. Not after a stop, where h is the best again.
 * With fresh splits the study's own one is used from here on. */
static drmad_status judge_last(drmad_study *s, tuning *t)
{
    const config_study *c = &s->cfg->set;
    const setup_cost cost = setup_cost_of(s->s);
    const json_t *last = json_array_get(t->path, json_array_size(t->path) - 1);
    const char *verdict = json_string_value(json_object_get(last, "verdict"));
    drmad_status st = DRMAD_OK;
    outcome o;

    if (c->outer.fresh_split) TRY(setup_split(s->s, (uint64_t)c->data.split_seed));
    TRY(setup_run(s->s, false));
    if (verdict && strcmp(verdict, verdict_word(OUTER_MOVED)) != 0 &&
        strcmp(verdict, verdict_word(OUTER_TAKEN_BACK)) != 0)
        goto done;
    const uint64_t k = c->outer.fresh_seed ? (uint64_t)outer_steps(t->o) : 0;
    space_values(s->s->space, outer_raw(t->o), t->values);
    TRY(study_run(s, t->values, setup_seed(s->s, "run", k), &o));
    outer_judge(t->o, o.finite ? o.valid.loss : HUGE_VAL);
    t->spent += cost.look;
    TRY(study_event(s, "last move", 1, 1,
                    json_pack("{s:s,s:o,s:o}", "event", "last-move", "objective",
                              study_real(o.finite ? o.valid.loss : HUGE_VAL), "best",
                              study_real(outer_best_value(t->o)))));
done:
    return st;
}

/* Of all meta-steps; 0 where none has it. */
static double largest(const tuning *t, const char *key)
{
    double x = 0;

    for (size_t i = 0; i < json_array_size(t->path); i++)
        x = fmax(x, json_number_value(json_object_get(json_array_get(t->path, i), key)));
    return x;
}

static int moves_of(const tuning *t)
{
    int n = 0;

    for (size_t i = 0; i < json_array_size(t->path); i++) {
        const json_t *v = json_object_get(json_array_get(t->path, i), "verdict");
        n += strcmp(json_string_value(v), verdict_word(OUTER_MOVED)) == 0;
    }
    return n;
}

static drmad_status report_path(drmad_study *s, tuning *t, const char *kind, const char *way)
{
    const json_t *first = json_object_get(json_array_get(t->path, 0), "objective");
    const double best = outer_best_value(t->o);
    drmad_status st = DRMAD_OK;
    char start[32] = "not finite";

    if (first && json_is_number(first))
        snprintf(start, sizeof start, "%.5g", json_number_value(first));
    TRY(study_put(s, "meta_steps", json_integer(outer_steps(t->o))));
    TRY(study_put(s, "stopped_because", json_string(t->stopped)));
    TRY(study_put(s, "spent_runs", json_real(t->spent)));
    TRY(study_put(s, "best_objective", study_real(best)));
    TRY(study_put(s, "trajectory", json_string(kind)));
    TRY(study_put(s, "estimator", json_string(estimator_name(s->s->walk.estimator.kind))));
    TRY(study_put(s, "largest_growth", json_real(largest(t, "growth"))));
    if (s->s->walk.estimator.kind == ESTIMATOR_IMPLICIT)
        TRY(study_put(s, "largest_residual", json_real(largest(t, "residual"))));
    TRY(study_put(s, "path", json_incref(t->path)));
    TRY(study_say(s, "tuning     %lld meta-steps (%s), the work of %.1f training runs; %s",
                  (long long)outer_steps(t->o), t->stopped, t->spent, way));
    if (first && isfinite(best))
        TRY(study_say(s, "objective  %s at the start, %.5g at the best (%s, one seed)", start, best,
                      s->cfg->set.objective.data == CFG_OBJECTIVE_TRAIN ? "training loss"
                                                                        : "validation loss"));
done:
    return st;
}

/* Nothing to report but the failure: the result says so, and what was tried. */
static drmad_status give_up(drmad_study *s, tuning *t)
{
    const bool finite = isfinite(outer_best_value(t->o));
    drmad_status st = DRMAD_OK;
    char tried[512], reason[900];

    space_values(s->s->space, outer_raw(t->o), t->values);
    TRY(study_put(s, "status", json_string(finite ? "unstable" : "diverged")));
    TRY(study_put(s, "tried", study_ranges(s, t->values, tried, sizeof tried)));
    if (finite)
        snprintf(reason, sizeof reason,
                 "no usable hypergradient in %lld meta-steps (%s); tried %s; shorten the run, "
                 "lower the learning rate or use trajectory.kind=full",
                 (long long)outer_steps(t->o), t->stopped, tried);
    else
        snprintf(reason, sizeof reason,
                 "no finite run in %lld meta-steps; tried %s; lower the learning rate",
                 (long long)outer_steps(t->o), tried);
    TRY(study_put(s, "message", json_string(reason)));
    TRY(study_finish(s, "result.json"));
    TRY(tuning_close(s));
    return FAIL(s->ctx, DRMAD_E_DIVERGED, "%s", reason);
done:
    return st;
}

/* Retrains with the tuned values, then with those of the start, over the same seeds. The spaces of
 * the two may differ (ties), and the outer loop ends here. */
static drmad_status retrain(drmad_study *s, tuning *t, summary *tuned)
{
    drmad_status st = DRMAD_OK;
    summary start;

    space_values(s->s->space, outer_chosen(t->o), t->values);
    outer_free(t->o);
    t->o = NULL;
    TRY(study_save_values(s, "hyperparameters.safetensors", t->values));
    TRY(study_keep(s, t->tied, t->values));
    TRY(setup_pull_to_nothing(s->s));
    TRY(study_say_values(s, t->values));
    TRY(study_clean_report(s, t->values));
    TRY(study_say_header(s));
    TRY(study_retrain(s, "tuned", t->values, true, tuned));
    TRY(setup_tie(s->s, 0, false, NULL)); /* never finer than what t->values has room for */
    space_start(s->s->space, t->before);
    space_values(s->s->space, t->before, t->values);
    TRY(study_retrain(s, "start", t->values, false, &start));
    TRY(study_put(s, "retrain_runs", json_integer(tuned->runs + start.runs)));
done:
    return st;
}

/* --resume on a folder whose work is done: the result that is there. */
static drmad_status show_finished(drmad_study *s)
{
    const char *status = json_string_value(json_object_get(s->result, "status"));
    const char *message = json_string_value(json_object_get(s->result, "message"));
    drmad_status st = study_say(s, "%s holds the result: nothing to go on with", folder_path(s->f));

    const json_t *steps = json_object_get(s->result, "meta_steps");

    if (st == DRMAD_OK) st = study_keep_saved(s, json_integer_value(steps));
    if (st == DRMAD_OK) st = study_show(s);
    if (st == DRMAD_OK && message && (!status || strcmp(status, "done") != 0))
        st = FAIL(s->ctx, DRMAD_E_DIVERGED, "%s", message);
    return st;
}

static const char lost_message[] =
    "no run with the tuned values is finite when trained from other seeds; outer.fresh_seed=true "
    "tunes for all of them";

static drmad_status tune(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    double random_runs = 0;
    char print[SHA256_TEXT], way[128];
    summary tuned;

    if (t->resumed)
        base_log(s->ctx, LOG_INFO, "going on after meta-step %lld", (long long)outer_steps(t->o));
    TRY(study_fingerprint(s, print));
    TRY(study_put(s, "study_sha256", json_string(print)));
    const char *kind = traj_kind_name(walker_kind(s->s->walker));
    setup_way(s->s, way, sizeof way);
    TRY(tune_loop(s, t));
    TRY(judge_last(s, t));
    TRY(report_path(s, t, kind, way));
    if (!isfinite(outer_best_value(t->o)) || (t->unstable && moves_of(t) == 0)) {
        st = give_up(s, t);
        goto done;
    }
    if (t->unstable) base_log(s->ctx, LOG_WARN, "tuning ended unstable: %s", t->stopped);
    TRY(retrain(s, t, &tuned));
    const bool lost = tuned.runs > 0 && tuned.finite == 0;
    TRY(study_put(s, "status", json_string(lost ? "diverged" : t->unstable ? "unstable" : "done")));
    if (lost) TRY(study_put(s, "message", json_string(lost_message)));
    TRY(study_random_search(s, &random_runs));
    if (random_runs > 0) TRY(study_put(s, "random_search_runs", json_real(random_runs)));
    TRY(study_finish(s, "result.json"));
    TRY(tuning_close(s));
    if (lost) st = FAIL(s->ctx, DRMAD_E_DIVERGED, "%s", lost_message);
done:
    return st;
}

drmad_status study_tune(drmad_study *s, bool resume)
{
    drmad_status st = DRMAD_OK;
    tuning t = {0};

    TRY(config_need_hyper(s->cfg));
    TRY(study_begin(s, "tune", true, true));
    TRY(tuning_open(s, resume, &t));
    st = t.finished ? show_finished(s) : tune(s, &t);
    if (st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED)
        st = FAIL(s->ctx, st, "%s; go on with --resume", drmad_errmsg(s->ctx));
done:
    tuning_free(s, &t);
    return study_end(s, st);
}
