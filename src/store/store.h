/* A store: where studies and their trials outlive the process, shared by any number of workers.
 *
 *   url          sqlite:FILE | postgresql://... | journal:FILE
 *   study        a name, directions, attributes
 *   trial        WAITING -> RUNNING -> COMPLETE | PRUNED | FAIL; finished trials never change
 *   lease        the right to write to one RUNNING trial, told apart by its token; it ends when
 *                it is not renewed in time by the database's clock
 *
 * The data model is Optuna's (docs/STORE.md): parameter values are its internal ones, distributions
 * its JSON, attributes JSON texts. What a store adds (leases, versions, artefacts) lies in tables
 * of our own, in a journal in system attributes.
 *
 * Every call is one transaction, done or not done. A call that a broken connection interrupts is
 * repeated until `patience_s` is over; `request` and the lease's token let the store recognise what
 * it has done already, so nothing happens twice.
 *
 * Errors:    E_STORAGE  the store is damaged, of another revision, or refuses us: no use to go on
 *            E_AGAIN    not reachable or locked for longer than `patience_s`
 *            E_LEASE    the trial is no longer ours (expired, finished or deleted by others)
 *            E_USAGE    a name that cannot be stored, no such study
 *            Messages name store, study and trial, never a password.
 * Ownership: open gives, close takes. Texts passed in are copied; trials handed to a callback live
 *            until it returns.
 * Threads:   one store, one thread at a time; one connection a store. Not to be used after fork. */
#ifndef STORE_H
#define STORE_H
#include "base/base.h"

typedef struct store store;

/* Optuna's numbers, as its journal has them. */
typedef enum trial_state {
    TRIAL_RUNNING,
    TRIAL_COMPLETE,
    TRIAL_PRUNED,
    TRIAL_FAIL,
    TRIAL_WAITING,
    TRIAL_STATE_COUNT
} trial_state;
#define STATE_BIT(state) (1u << (state))
enum { STATES_ALL = (1 << TRIAL_STATE_COUNT) - 1 };

typedef enum study_direction { DIRECTION_MINIMIZE = 1, DIRECTION_MAXIMIZE = 2 } study_direction;

enum { STORE_NAME_MAX = 512, STORE_TIME_SIZE = 32 };

typedef struct store_attr {
    const char *key, *json;
    bool system; /* else a user attribute */
} store_attr;

typedef struct store_param {
    const char *name;
    double value;             /* a categorical's index, else the number itself */
    const char *distribution; /* Optuna's JSON */
} store_param;

typedef struct store_report {
    int64_t step;
    double value; /* NaN and infinities are kept */
} store_report;

/* One trial, or what is known of a new one. */
typedef struct store_trial {
    int64_t id, number; /* number: 0, 1, ... within its study, without gaps */
    trial_state state;
    const char *start, *complete; /* "YYYY-MM-DD HH:MM:SS.ffffff", UTC; NULL: not yet */
    int32_t n_params, n_values, n_reports, n_attrs;
    const store_param *params;   /* in the order of their first storing */
    const double *values;        /* one an objective, finite or infinite */
    const store_report *reports; /* step rising */
    const store_attr *attrs;
    const char *version, *worker; /* of the code, of the process that ran it; NULL: not known */
} store_trial;

typedef struct store_study {
    int64_t id;
    const char *name;
    int32_t n_directions, n_attrs;
    const study_direction *directions;
    const store_attr *attrs;
    int64_t count[TRIAL_STATE_COUNT]; /* of its trials */
} store_study;

typedef struct store_lease {
    int64_t study, trial, number, token;
} store_lease;

typedef struct store_options {
    bool create;         /* make the file or the tables when there are none */
    bool read_only;      /* nothing is written, not even our own tables */
    double patience_s;   /* how long to try again when the store does not answer */
    double lease_s;      /* how long a lease holds without being renewed */
    const char *worker;  /* "host:pid:n", for people; NULL: made here */
    const char *version; /* of the code, kept with each trial; NULL: none */
    const char *spool;   /* folder for results that could not be stored yet; NULL: the user's own */
} store_options;

/* Gives *out. An empty url: the environment's DRMAD_STORAGE, then sqlite:drmad.db. */
drmad_status store_open(drmad_ctx *ctx, const char *url, const store_options *o, store **out);
void store_close(store *s);            /* NULL is fine */
const char *store_url(const store *s); /* without password */
drmad_ctx *store_ctx(const store *s);

/* ---- studies ---- */

/* Makes the study, or finds the one of that name: its directions must then be the same. Any number
 * of processes may do so at once. `made`: whether it was this call. */
drmad_status store_study_create(store *s, const char *name, const study_direction *d, int32_t n,
                                int64_t *study, bool *made);
drmad_status store_study_find(store *s, const char *name, int64_t *study); /* E_USAGE: none */
typedef drmad_status store_study_fn(void *user, const store_study *study);
/* All studies in the order of their making; name not NULL: that one. */
drmad_status store_study_each(store *s, const char *name, store_study_fn *fn, void *user);
drmad_status store_study_set_attr(store *s, int64_t study, const store_attr *a);
drmad_status store_study_delete(store *s, int64_t study); /* with trials and artefacts */

/* ---- trials: making and taking ---- */

/* A fresh key for `request`: unique without talking to anyone. A call with a request that the store
 * has seen gives what it gave then. */
enum { STORE_REQUEST_SIZE = 40 };
void store_request(store *s, char key[STORE_REQUEST_SIZE]);

/* A trial that nobody runs here: WAITING (queued) or finished (observed, imported). With state
 * RUNNING it is E_USAGE. *id, *number as they came to be. */
drmad_status store_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                             int64_t *id, int64_t *number);
/* Takes the WAITING trial of smallest number. lease->trial is -1 when none waits. */
drmad_status store_trial_claim(store *s, int64_t study, const char *request, store_lease *lease);
/* A new RUNNING trial, without parameters yet. `limit` >= 0: lease->trial is -1 when the study has
 * so many trials that are not FAIL already. */
drmad_status store_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                               store_lease *lease);
/* Fails RUNNING trials whose lease (or, of Optuna's own, whose heartbeat) is over, each once, and
 * queues each again while it was tried at most `retries` times; Optuna's `failed_trial` and
 * `retry_history` say so. A trial without lease and heartbeat is left alone. */
drmad_status store_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired);

/* ---- trials: writing under a lease ---- */

/* `note`, an attribute that belongs with them, is stored in the same transaction; NULL: none. */
drmad_status store_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                                const store_attr *note);
drmad_status store_trial_reports(store *s, const store_lease *l, const store_report *r, int32_t n);
drmad_status store_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n);
/* Renews n leases at once; held[i] says which are still ours. */
drmad_status store_beat(store *s, const store_lease *l, int32_t n, bool *held);
/* Ends the trial: state COMPLETE with one value an objective, PRUNED or FAIL; n_reports and
 * n_attrs of `end` are stored in the same transaction. COMPLETE with a NaN among its values becomes
 * FAIL. Told twice under one lease is told once. When the store does not answer, the result is
 * first written to the spool, and stored by store_flush, this process's or a later one's. */
drmad_status store_trial_tell(store *s, const store_lease *l, const store_trial *end);
/* Gives the trial back to the queue as it is: WAITING, for whoever asks next. */
drmad_status store_trial_release(store *s, const store_lease *l);
/* Stores what is left in the spool for this store; *stored counts. */
drmad_status store_flush(store *s, int32_t *stored);

/* ---- reading ---- */

typedef drmad_status store_trial_fn(void *user, const store_trial *t);
/* Trials with id > after and a state in `states` (STATE_BITs), in the order of their ids. */
drmad_status store_trial_each(store *s, int64_t study, int64_t after, unsigned states,
                              store_trial_fn *fn, void *user);
drmad_status store_trial_read(store *s, int64_t study, int64_t trial, store_trial_fn *fn,
                              void *user);
/* The COMPLETE trial whose first value is best, the earliest of equals; *trial is -1 for none. */
drmad_status store_trial_best(store *s, int64_t study, int64_t *trial);
drmad_status store_now(store *s, char now[STORE_TIME_SIZE]); /* the database's clock, UTC */

/* ---- artefacts: files of a trial ---- */

/* Stores `size` bytes as `name` of the trial, in place of what has that name. */
drmad_status store_artefact_put(store *s, const store_lease *l, const char *name, const void *data,
                                size_t size);
/* Gives *data from the context's memory. E_USAGE: no such artefact. */
drmad_status store_artefact_get(store *s, int64_t trial, const char *name, void **data,
                                size_t *size);
typedef drmad_status store_artefact_fn(void *user, const char *name, int64_t size,
                                       const char *sha256);
drmad_status store_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user);

/* ---- health ---- */

/* One finding: what is wrong, where, and what to do. level as of the log. */
typedef void store_finding_fn(void *user, int level, const char *text);
/* Reads everything, changes nothing. DRMAD_E_STORAGE when something is damaged. */
drmad_status store_check(drmad_ctx *ctx, const char *url, store_finding_fn *fn, void *user);
/* Brings our own tables to this revision. Optuna's are Optuna's to upgrade. */
drmad_status store_upgrade(drmad_ctx *ctx, const char *url);

/* ---- words ---- */
const char *trial_state_word(trial_state s); /* "RUNNING", ... */
bool trial_state_of(const char *word, trial_state *out);
#endif
