/* A study's session with its store: what trial.h stands on.
 *
 * Opened by the first call that needs it, kept until the study is freed or another call wants other
 * patience. The study is found or made under its name; what it was made from is kept with it as the
 * system attribute `drmad:study`, without what belongs to one machine (store, folders), so that
 * workers elsewhere need no file. */
#ifndef SESSION_H
#define SESSION_H
#include "bo/sampler.h"
#include "drmad/trial.h"
#include "space/search.h"
#include "store/store.h"
#include "study/study.h"

#define SESSION_STUDY_KEY "drmad:study"
#define SESSION_GRADIENT_KEY "drmad:gradient" /* d objective / d parameter, by name */
#define SESSION_FIXED_KEY "fixed_params"      /* Optuna's: what a queued trial has to use */

struct session {
    drmad_ctx *ctx;
    store *store;
    int64_t study;
    char *name, *url; /* of the study there; of the store, as it was opened */
    search *space;    /* what the study declares, maybe nothing */
    double expire_at; /* drmad_study_ask: not before */
    /* Of trial_ask, where a call was cut short: */
    char claim_key[STORE_REQUEST_SIZE], begin_key[STORE_REQUEST_SIZE];
    store_lease taken;
    bool has_taken, queued;
};

/* Opens it where it is not open yet; patience_s < 0: the study's. */
drmad_status session_open(drmad_study *s, double patience_s);
void session_close(drmad_study *s);
/* The study as YAML, `auto`s as they are in `c`: to be kept in the store; without parameters, for
 * trials of our own training; what makes trials comparable. Gives *out. */
typedef enum session_text { SESSION_KEPT, SESSION_TRIAL, SESSION_COMPARED } session_text;
drmad_status session_print(const config *c, session_text what, char **out);

/* ---- trials: trial.c ---- */

struct drmad_trial {
    drmad_study *study; /* its session is looked up at each call */
    store_lease lease;
    double *x;   /* one a parameter of the space */
    search *own; /* declared while it runs, in this order */
    double *own_x;
    int32_t own_room;
    json_t *fixed;       /* what it was queued with; NULL: nothing */
    bool ended;          /* told or given back */
    char *params, *text; /* handed out */
};

/* The next trial, its parameters stored; *out is NULL when the study has no more. */
drmad_status trial_ask(drmad_study *s, drmad_trial **out);
/* Takes `p`. *index: its place among the trial's own. */
drmad_status trial_add_own(drmad_trial *t, search_param *p, double x, int32_t *index);
/* Point `number` of the study's sampler. */
void trial_point(const drmad_study *s, int64_t number, int32_t attempt, int32_t n, double *u);
/* The value of a parameter as plain text: 0.001, relu. Gives *out. */
drmad_status trial_text(drmad_ctx *ctx, const search_param *p, double x, char **out);
/* i-th of all parameters that have a value; NULL past the last. */
const search_param *trial_param(const drmad_trial *t, int32_t i, double *x);
/* What a message calls it: "study mnist, trial 7". */
void trial_name(const drmad_trial *t, char *buf, size_t size);
drmad_status trial_tell(drmad_trial *t, const store_trial *end);
/* Any text as a JSON string; bytes that are no UTF-8 become ?. Gives *out. */
drmad_status trial_json_text(drmad_ctx *ctx, const char *text, size_t n, char **out);
#endif
