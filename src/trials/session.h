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
#include "trials/past.h"

#define SESSION_STUDY_KEY "drmad:study"

struct session {
    drmad_ctx *ctx;
    store *store;
    int64_t study;
    char *name, *url; /* of the study there; of the store, as it was opened */
    search *space;    /* what the study declares, maybe nothing */
    bool reading;     /* nothing is written */
    int32_t objectives;
    bool maximise;           /* the first */
    sampler_options options; /* of its suggestions */
    past *past;              /* read where a sampler or a pruner looks at it */
    double read_at, read_s;  /* the end of the last reading, how long it took */
    sampler *sampler;        /* the last that was asked */
    sampler_options asked;   /* its options and space: this, or one of `shared` */
    const search *asked_space;
    search **shared; /* spaces that trials have made; a trial may point to each */
    int32_t n_shared;
    double expire_at; /* drmad_study_ask: not before */
    /* Of trial_ask, where a call was cut short: */
    char claim_key[STORE_REQUEST_SIZE], begin_key[STORE_REQUEST_SIZE];
    store_lease taken;
    bool has_taken, queued;
};

/* Opens it where it is not open yet; patience_s < 0: the study's. */
drmad_status session_open(drmad_study *s, double patience_s);
/* Anew, for reading alone: nothing is made where it is missing. */
drmad_status session_open_reading(drmad_study *s);
void session_close(drmad_study *s);

/* ---- trials: trial.c ---- */

struct drmad_trial {
    drmad_study *study; /* its session is looked up at each call */
    store_lease lease;
    double *x;   /* one a parameter of the space */
    search *own; /* declared while it runs, in this order */
    double *own_x;
    int32_t own_room;
    json_t *fixed;        /* what it was queued with; NULL: nothing */
    char *note;           /* of its suggestion, as stored; NULL: none */
    bool wanted;          /* the sampler was asked for its own parameters, in the space: */
    const search *shared; /* NULL: it had none to suggest in */
    double *shared_x;
    curve curve;    /* what it has reported, to be minimised */
    int64_t *steps; /* of the curve */
    double *reports;
    int32_t reports_room;
    double asked_at;
    bool ended;          /* told or given back */
    char *params, *text; /* handed out */
};

/* The next trial, its parameters stored; *out is NULL when the study has no more. */
drmad_status trial_ask(drmad_study *s, drmad_trial **out);
/* Takes `p`. *index: its place among the trial's own. */
drmad_status trial_add_own(drmad_trial *t, search_param *p, double x, int32_t *index);
/* The value of a parameter as plain text: 0.001, relu. Gives *out. */
drmad_status trial_text(drmad_ctx *ctx, const search_param *p, double x, char **out);
/* i-th of all parameters that have a value; NULL past the last. */
const search_param *trial_param(const drmad_trial *t, int32_t i, double *x);
/* What a message calls it: "study mnist, trial 7". */
void trial_name(const drmad_trial *t, char *buf, size_t size);
/* What a trial was queued with, as far as it is of `space`; the rest of x becomes NaN. */
drmad_status trial_fixed(const search *space, const json_t *fixed, double *x);
/* DRMAD_E_USAGE: a name or a value that cannot be. */
drmad_status trial_check_gradient(const drmad_trial *t, const json_t *gradient);
drmad_status trial_check_open(const drmad_trial *t); /* DRMAD_E_USAGE: it has ended */
/* A report becomes part of its curve: prune.c. */
drmad_status trial_keep_report(drmad_trial *t, int64_t step, double value);
/* The study's pruner on the reports from the *judged-th on, one after the other. */
drmad_status trial_prune(drmad_trial *t, int32_t *judged, bool *prune);
drmad_status trial_tell(drmad_trial *t, const store_trial *end);
/* Any text as a JSON string; bytes that are no UTF-8 become ?. Gives *out. */
drmad_status trial_json_text(drmad_ctx *ctx, const char *text, size_t n, char **out);
#endif
