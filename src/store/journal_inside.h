/* The inside of `journal:`: an Optuna journal file, replayed into memory.
 *
 *   journal_state.c   what the lines say so far: studies
 *   journal_replay.c  one line of a trial more, accepted or rejected by Optuna's rules
 *   journal_lock.c    the lock that Optuna's writers take too, and the file system's clock
 *   journal_file.c    the new lines since last time; lines of ours, appended under the lock
 *   journal_write.c   lines of ours
 *   journal.c         studies and reading; journal_trials.c making and taking trials,
 *                     journal_leased.c writing under a lease; journal_artefacts.c, journal_check.c
 *
 * A file's numbers of studies and trials begin at 0; the store's ids are one more, so that 0 is
 * nobody's here as in the other stores. */
#ifndef JOURNAL_INSIDE_H
#define JOURNAL_INSIDE_H
#include "store/json_text.h"
#include "store/store_ops.h"
#include <sys/types.h>

/* Optuna's numbers of operations. */
enum {
    OP_CREATE_STUDY,
    OP_DELETE_STUDY,
    OP_STUDY_USER_ATTR,
    OP_STUDY_SYSTEM_ATTR,
    OP_CREATE_TRIAL,
    OP_TRIAL_PARAM,
    OP_TRIAL_STATE,
    OP_TRIAL_REPORT,
    OP_TRIAL_USER_ATTR,
    OP_TRIAL_SYSTEM_ATTR,
    OP_DISCARD_TRIALS /* Rustuna's; Optuna ignores it */
};

/* Trial system attributes of ours, not shown among a trial's attributes. */
#define ATTR_LEASE "drmad:lease"
#define ATTR_VERSION "drmad:version"
#define ATTR_ARTEFACT "drmad:artefact:"
/* Fields of ours in lines of Optuna's form; Optuna reads the fields it knows. */
#define FIELD_REQUEST "drmad_request"
#define FIELD_TOKEN "drmad_token"

/* A text, by its bytes, to a number: open addressing, `n` of `size` slots taken. */
typedef struct journal_map {
    struct journal_slot {
        char *text; /* NULL: free */
        int64_t value, token;
    } * slots;
    size_t n, size;
} journal_map;
/* The slot of `text`, made with value -1 when it is new; `*out` lives until the next call. */
drmad_status journal_map_at(drmad_ctx *ctx, journal_map *m, const char *text,
                            struct journal_slot **out);
void journal_map_free(drmad_ctx *ctx, journal_map *m);

typedef struct journal_trial {
    int64_t id, study, number; /* as in the file */
    trial_state state;
    char start[STORE_TIME_SIZE], complete[STORE_TIME_SIZE]; /* "": not yet */
    int32_t n_params, n_values, n_reports, n_attrs, n_artefacts;
    store_param *params; /* name and distribution belong to `texts` */
    double *values;
    store_report *reports;
    store_attr *attrs;     /* json is the trial's own, key belongs to `texts` */
    store_attr *artefacts; /* the attributes ATTR_ARTEFACT... */
    char *version;
    struct {
        int64_t token, beat; /* beat in microseconds */
        double lease_s;
        char *worker;
    } lease;
    /* Under which lease it began to run and ended; 0: others did it. The lease before is none. */
    int64_t running_token, end_token;
} journal_trial;

typedef struct journal_dist {
    const char *name, *distribution; /* of the first trial that has the parameter */
    int64_t trial;
} journal_dist;

typedef struct journal_study {
    char *name;
    bool deleted;
    int32_t n_directions, n_attrs, n_dists;
    study_direction *directions;
    store_attr *attrs;
    journal_dist *dists;
    int64_t n_trials, *trials;
    int64_t count[TRIAL_STATE_COUNT];
    int64_t first_waiting, first_running; /* no place before holds such a trial */
} journal_study;

typedef struct journal_state {
    journal_study *studies;
    journal_trial *trials;
    int64_t n_studies, n_trials;
    journal_map texts;    /* names and distributions, each once */
    journal_map requests; /* to trials */
    int64_t lines;
} journal_state;

enum { LOCK_HOLDER_SIZE = 192 };
typedef struct journal_lock {
    char *path;                    /* FILE.lock */
    char holder[LOCK_HOLDER_SIZE]; /* what it says: who we are */
    uint64_t held_inode;
    int64_t held_time; /* its time, nanoseconds; 0: not held */
    double since;      /* base_now() of taking it */
    uint64_t seen_inode;
    int64_t seen_time;
    double seen_since; /* how long the same lock of others has been there */
    double grace_s;
} journal_lock;

typedef struct journal {
    store s;
    char *path;
    journal_state state;
    off_t offset; /* of the first byte not replayed yet */
    uint64_t device, inode;
    char worker_id[64];
    journal_lock lock;
    int fd;      /* open while the lock is held, else -1 */
    int64_t now; /* the file system's clock when the lock was taken, microseconds since 1970 */
} journal;

/* ---- journal_state.c ---- */

uint64_t journal_hash(const char *text);
/* Replays one line (without its end). DRMAD_E_DATA when it is no JSON object (nothing has changed),
 * DRMAD_E_STORAGE when it cannot be one of a journal (the state is spoilt). A line that Optuna's
 * rules reject changes nothing. */
drmad_status journal_apply(drmad_ctx *ctx, journal_state *state, const char *line, size_t size);
void journal_state_free(drmad_ctx *ctx, journal_state *state);
/* Room for one more in an array that grows by doubling. */
drmad_status journal_grow(drmad_ctx *ctx, void *array, int64_t n, size_t size);
/* Makes `attrs` say json for key. */
drmad_status journal_attr_set(drmad_ctx *ctx, journal_state *state, store_attr **attrs, int32_t *n,
                              const store_attr *a);
drmad_status journal_intern(drmad_ctx *ctx, journal_state *state, const char *text,
                            const char **out);
/* NULL when there is none or it is deleted. `id` as in the file. */
journal_study *journal_study_of(journal_state *state, int64_t id);

/* ---- journal_replay.c ---- */
typedef struct journal_op {
    json_span line;
    int64_t code;
} journal_op;
drmad_status journal_apply_trial(drmad_ctx *ctx, journal_state *state, const journal_op *op);
bool journal_leased(const journal_trial *t); /* RUNNING under a lease of ours */
bool journal_finished(const journal_trial *t);
/* Whether a trial of the study may be given the parameter: DRMAD_E_USAGE. */
drmad_status journal_param_fits(journal *j, const journal_study *s, const store_param *p);
void journal_time_text(int64_t micros, char text[STORE_TIME_SIZE]);
void journal_trial_free(drmad_ctx *ctx, journal_trial *t);

/* ---- journal_lock.c ---- */

void journal_lock_who(journal_lock *l); /* fills in `holder` */
/* Takes the lock, or DRMAD_E_AGAIN after a second and a half. *now: the file system's clock. */
drmad_status journal_lock_take(journal *j);
/* Whether it is still ours, and will be for long enough to write. */
bool journal_lock_ours(const journal *j);
void journal_lock_drop(journal *j);

/* ---- journal_file.c ---- */

/* Replays what is new. */
drmad_status journal_sync(journal *j);
/* Takes the lock, replays what is new; a torn last line is cut off. journal_leave always follows */
drmad_status journal_enter(journal *j);
void journal_leave(journal *j);
/* Appends the lines in one write, syncs the file, replays them. */
drmad_status journal_append(journal *j, const text_out *lines);
drmad_status journal_errno(journal *j, const char *what, int error);

/* ---- journal_write.c ---- */

/* One line: journal_line, its fields, journal_line_end. */
void journal_line(const journal *j, text_out *o, int code);
void journal_field_int(text_out *o, const char *key, int64_t value);
void journal_field_string(text_out *o, const char *key, const char *text);
void journal_field_time(text_out *o, const char *key, int64_t micros);
void journal_line_end(text_out *o);
/* An attribute of a trial as a line. */
void journal_put_attr(const journal *j, text_out *o, int64_t trial, const store_attr *a);
/* The lease from now on, the version of the code. */
void journal_put_lease(const journal *j, text_out *o, int64_t trial, int64_t token);
void journal_put_version(const journal *j, text_out *o, const journal_trial *t);
/* `t` as a new trial of the study; one that is RUNNING with a lease of `token`. */
void journal_put_trial(const journal *j, text_out *o, int64_t study, const store_trial *t,
                       const char *request, int64_t token);
void journal_put_state(const journal *j, text_out *o, int64_t trial, trial_state state);

/* ---- journal_leased.c ---- */

/* The trial, when the lease is held; renews it when a quarter of it is over. Needs the lock. */
drmad_status journal_held(journal *j, text_out *o, const store_lease *l, journal_trial **out);
drmad_status journal_trial_params(store *s, const store_lease *l, const store_param *p, int32_t n,
                                  const store_attr *note);
drmad_status journal_trial_reports(store *s, const store_lease *l, const store_report *r,
                                   int32_t n);
drmad_status journal_trial_attrs(store *s, const store_lease *l, const store_attr *a, int32_t n);
drmad_status journal_beat(store *s, const store_lease *l, int32_t n, bool *held);
drmad_status journal_trial_tell(store *s, const store_lease *l, const store_trial *end);
drmad_status journal_trial_release(store *s, const store_lease *l);

/* ---- journal_trials.c ---- */
drmad_status journal_trial_add(store *s, int64_t study, const store_trial *t, const char *request,
                               int64_t *id, int64_t *number);
drmad_status journal_trial_claim(store *s, int64_t study, const char *request, store_lease *lease);
drmad_status journal_trial_begin(store *s, int64_t study, int64_t limit, const char *request,
                                 store_lease *lease);
drmad_status journal_trial_expire(store *s, int64_t study, int32_t retries, int32_t *expired);

/* ---- journal.c ---- */
/* The study, or E_USAGE. `id` as the store has it. */
drmad_status journal_find(journal *j, int64_t id, journal_study **out);
store_trial journal_view(const journal_trial *t); /* what readers see of it; borrows */
drmad_status journal_setup(journal *j);           /* paths and names, without looking at files */

/* ---- journal_artefacts.c ---- */
drmad_status journal_artefact_put(store *s, const store_lease *l, const char *name,
                                  const void *data, size_t size);
drmad_status journal_artefact_get(store *s, int64_t trial, const char *name, void **data,
                                  size_t *size);
drmad_status journal_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user);
void journal_artefacts_delete(const journal *j, int64_t trial);

/* ---- journal_check.c ---- */
drmad_status journal_check(store *s, store_finding_fn *fn, void *user);
drmad_status journal_upgrade(store *s);
#endif
