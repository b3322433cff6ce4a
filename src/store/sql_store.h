/* A store in an SQL database: what its parts share. */
#ifndef SQL_STORE_H
#define SQL_STORE_H
#include "store/schema.h"

enum { SQL_PARAMS_KNOWN = 64 };

/* The study last used, so that its name and objectives need not be asked for again. */
typedef struct sql_study {
    int64_t id; /* 0: none */
    char *name;
    int32_t n_directions;
    study_direction first;
    bool versioned; /* this code's version is in drmad_versions */
} sql_study;

/* A parameter of that study and a distribution of it that was found to fit its first. */
typedef struct sql_known {
    char *name, *distribution;
} sql_known;

typedef struct sql_store {
    store base; /* first */
    db d;
    bool own; /* drmad's tables are there */
    sql_study study;
    sql_known known[SQL_PARAMS_KNOWN];
    int32_t n_known, oldest_known;
} sql_store;

/* The connection, opened again if it was lost. */
drmad_status sql_ready(sql_store *q);
/* Forgets what was remembered of studies. */
void sql_forget(sql_store *q);
/* Makes `study` the one remembered; DRMAD_E_USAGE when there is none. */
drmad_status sql_know(sql_store *q, int64_t study);
/* A failure that names store, study and trial: number < 0 leaves the trial out. */
drmad_status sql_fail(sql_store *q, drmad_status code, int64_t study, int64_t number,
                      const char *why);
/* Adds the version of this code to the batch unless it is stored. */
void sql_add_version(sql_store *q, db_batch *b);

/* One value's row: its number or NULL, and the word beside it. */
const char *sql_value_word(double x);
double sql_value_of(double x, const char *word);
study_direction sql_direction(const char *word);
const char *sql_direction_word(study_direction d);

/* Adds the rows of a trial to a batch: `held` under a lease (trial and token), else of the trial
 * made by `request`. */
typedef struct sql_target {
    bool held;
    int64_t trial, token;
    const char *request;
} sql_target;
void sql_add_params(db_batch *b, const sql_target *to, const store_param *p, int32_t n);
void sql_add_values(db_batch *b, const sql_target *to, const double *v, int32_t n);
void sql_add_reports(db_batch *b, const sql_target *to, const store_report *r, int32_t n);
void sql_add_attrs(db_batch *b, const sql_target *to, const store_attr *a, int32_t n);
/* Refuses parameters whose class, log or choices differ from what the study has. Begins the
 * transaction (*begun) when it had to ask, and then holds the study. */
drmad_status sql_check_params(sql_store *q, int64_t study, const store_param *p, int32_t n,
                              bool *begun);
/* Once they are stored. */
drmad_status sql_remember_params(sql_store *q, const store_param *p, int32_t n);

/* Begins a batch of writes under a lease, and runs it: DRMAD_E_LEASE when it does not hold. */
void sql_add_renewal(sql_store *q, db_batch *b, const store_lease *l);
drmad_status sql_run_held(sql_store *q, db_batch *b, int flags, const store_lease *l);

/* The parts of the vtable. */
drmad_status sql_study_create(store *s, const char *name, const study_direction *d, int32_t n,
                              int64_t *study, bool *made);
drmad_status sql_study_find(store *s, const char *name, int64_t *study);
drmad_status sql_study_each(store *s, const char *name, store_study_fn *fn, void *user);
drmad_status sql_study_set_attr(store *s, int64_t study, const store_attr *a);
drmad_status sql_study_delete(store *s, int64_t study);
drmad_status sql_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                           int64_t *id, int64_t *number);
drmad_status sql_trial_claim(store *s, int64_t study, const char *request, store_lease *lease);
drmad_status sql_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                             store_lease *lease);
drmad_status sql_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired);
drmad_status sql_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                              const store_attr *note);
drmad_status sql_trial_reports(store *s, const store_lease *l, const store_report *r, int32_t n);
drmad_status sql_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n);
drmad_status sql_beat(store *s, const store_lease *l, int32_t n, bool *held);
drmad_status sql_trial_tell(store *s, const store_lease *l, const store_trial *end);
drmad_status sql_trial_release(store *s, const store_lease *l);
drmad_status sql_trial_each(store *s, int64_t study, int64_t *after, unsigned states,
                            store_trial_fn *fn, void *user);
drmad_status sql_trial_read(store *s, int64_t study, int64_t trial, store_trial_fn *fn, void *user);
drmad_status sql_trial_best(store *s, int64_t study, int64_t *trial);
drmad_status sql_now(store *s, char now[STORE_TIME_SIZE]);
drmad_status sql_artefact_put(store *s, const store_lease *l, const char *name, const void *data,
                              size_t size);
drmad_status sql_artefact_get(store *s, int64_t trial, const char *name, void **data, size_t *size);
drmad_status sql_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user);
drmad_status sql_check(store *s, store_finding_fn *fn, void *user);
#endif
