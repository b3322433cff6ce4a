/* Trials: a study whose runs are kept in a store (`store: sqlite:runs.db`), asked for and told one
 * by one, by any number of processes on any number of machines.
 *
 *   drmad_study_load(ctx, "study.yaml", NULL, 0, &s);
 *   while (drmad_study_ask(s, &t) == DRMAD_OK && t) {
 *       drmad_trial_real(t, "lr", &lr);
 *       double loss = train(lr);
 *       drmad_trial_tell(t, "COMPLETE", &loss, 1);
 *       drmad_trial_free(t);
 *   }
 *
 * A trial runs under a lease, which a worker renews (drmad_trial_beat, every call that writes, or
 * drmad_study_work by itself); a worker that stops renewing loses it, and its later writes are
 * refused with DRMAD_E_LEASE.
 * Ownership: ask gives, free takes; the study must outlive its trials. Strings are copied; strings
 *            handed out live until the next call on the trial.
 * Threads:   one study with its trials, one thread at a time. */
#ifndef DRMAD_TRIAL_H
#define DRMAD_TRIAL_H
#include "drmad/study.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drmad_trial drmad_trial;

/* The study as it is kept in a store, for workers that have no study file: `target` is URL#NAME, or
 * the URL alone of a store with one study; an empty URL is the environment's DRMAD_STORAGE.
 * Overrides as in drmad_study_load. A command that comes from the store is refused
 * (DRMAD_E_UNSAFE) unless `trust` is not 0: whoever can write there could run anything here. */
DRMAD_API drmad_status drmad_study_open(drmad_ctx *ctx, const char *target, int trust,
                                        const char *const *overrides, int n, drmad_study **out);

/* The next trial: the oldest queued one, else a new one whose parameters the study's sampler
 * suggests. *out is NULL once the study has its `search.trials`. */
DRMAD_API drmad_status drmad_study_ask(drmad_study *s, drmad_trial **out);
/* A trial neither told nor given back goes on holding its lease until that is over. */
DRMAD_API void drmad_trial_free(drmad_trial *t); /* NULL is fine */

/* A trial and the right to write to it as a text without blanks: another process goes on with it.
 * `number` is a check: that of the trial, or -1. */
DRMAD_API const char *drmad_trial_token(drmad_trial *t);
DRMAD_API drmad_status drmad_study_trial(drmad_study *s, const char *token, int64_t number,
                                         drmad_trial **out);

DRMAD_API int64_t drmad_trial_number(const drmad_trial *t); /* 0, 1, ... within the study */
DRMAD_API const char *drmad_trial_params_json(drmad_trial *t);
/* The value of a parameter; DRMAD_E_USAGE when the trial has none of that name or type. */
DRMAD_API drmad_status drmad_trial_real(drmad_trial *t, const char *name, double *out);
DRMAD_API drmad_status drmad_trial_text(drmad_trial *t, const char *name, const char **out);

/* Parameters declared while the trial runs: the value is suggested at the first call for a name,
 * the same afterwards. step 0: none; log and step exclude each other. `choices` are JSON scalars;
 * *index tells which. */
DRMAD_API drmad_status drmad_trial_suggest_real(drmad_trial *t, const char *name, double low,
                                                double high, double step, int log, double *out);
DRMAD_API drmad_status drmad_trial_suggest_int(drmad_trial *t, const char *name, int64_t low,
                                               int64_t high, int64_t step, int log, int64_t *out);
DRMAD_API drmad_status drmad_trial_suggest_choice(drmad_trial *t, const char *name,
                                                  const char *const *choices, int n, int *index);

/* An intermediate value; of one step the last holds. NaN and infinities are kept. */
DRMAD_API drmad_status drmad_trial_report(drmad_trial *t, int64_t step, double value);
/* Whether the trial is worth going on with after what it has reported: *prune is 1 where the
 * study's pruner (`search.pruner`) would end it. The caller does so, with "PRUNED". The other
 * trials' values are read from the store now and then, for at most a tenth of the time. */
DRMAD_API drmad_status drmad_trial_should_prune(drmad_trial *t, int *prune);
/* d objective / d parameter at the trial's point, {"lr": -0.31, "wd": 12.5}, by the parameter as it
 * is (not by its logarithm) and for some of them or all; numbers alone. Told before the trial
 * ends; samplers use it under `search.gradients`. Kept as the system attribute `drmad:gradient`. */
DRMAD_API drmad_status drmad_trial_set_gradient(drmad_trial *t, const char *json);
/* A user attribute: `json` is any JSON value. */
DRMAD_API drmad_status drmad_trial_set_attr(drmad_trial *t, const char *key, const char *json);
DRMAD_API drmad_status drmad_trial_beat(drmad_trial *t);
/* Ends the trial: state "COMPLETE" with one value an objective, "PRUNED" or "FAIL" with none. */
DRMAD_API drmad_status drmad_trial_tell(drmad_trial *t, const char *state, const double *values,
                                        int n);
/* Back to the queue, as it is, for whoever asks next. */
DRMAD_API drmad_status drmad_trial_release(drmad_trial *t);

/* Queues a point, {"lr": 0.1} or "lr=0.1": parameters that it lacks are suggested when it runs. */
DRMAD_API drmad_status drmad_study_enqueue(drmad_study *s, const char *params_json,
                                           int64_t *number);
/* Adds a finished trial that ran elsewhere. */
DRMAD_API drmad_status drmad_study_observe(drmad_study *s, const char *params_json,
                                           const double *values, int n, int64_t *number);
/* Adds a trial with whatever it has, as drmad_store_trials gives it:
 *   {"state": "COMPLETE", "values": [0.5], "params": {"lr": 0.1}, "distributions": {"lr": {...}},
 *    "intermediate_values": [[step, value], ...], "user_attrs": {...}, "start": "YYYY-MM-DD ...",
 *    "complete": ...}
 * State WAITING queues it: its `params` are then used whenever a parameter of that name is
 * suggested, declared or not. Distributions are Optuna's; those of declared parameters may be left
 * out, as may all that a trial of its state need not have. Times are UTC. */
DRMAD_API drmad_status drmad_study_add(drmad_study *s, const char *trial_json, int64_t *number);
/* A user attribute of the study: `json` is any JSON value. */
DRMAD_API drmad_status drmad_study_set_attr(drmad_study *s, const char *key, const char *json);

/* Suggests each past trial again, from what its suggestion looked at: the note that is kept with it
 * as the system attribute `drmad:sampler`. Writes nothing. The result counts those that came out
 * the same, bit for bit, and says of each other trial why: it differs, was suggested by another
 * build or on another processor, or not at all (enqueued, by Optuna). DRMAD_E_STORAGE when one
 * differs. */
DRMAD_API drmad_status drmad_study_replay(drmad_study *s);

/* What a worker runs for each trial: gives DRMAD_OK with one value an objective, or has told the
 * trial by itself (PRUNED). DRMAD_E_AGAIN and the status of a stop give it back, DRMAD_E_NOMEM ends
 * the worker, anything else fails the trial. Called on the thread of drmad_study_work. */
typedef drmad_status drmad_objective_fn(void *user, drmad_trial *t, double *values, int n);
DRMAD_API void drmad_study_set_objective(drmad_study *s, drmad_objective_fn *fn, void *user);
/* Works on the study until it has its trials: asks, runs the objective (the study's command, its
 * training, or the function set), renews leases, tells. The result is the study's best trial.
 * After drmad_ctx_stop() what runs is stopped and given back within 30 s; after
 * drmad_ctx_checkpoint() too, and the call gives DRMAD_E_AGAIN. */
DRMAD_API drmad_status drmad_study_work(drmad_study *s);

#ifdef __cplusplus
}
#endif
#endif
