/* The inside of a study: the public handle and what its calls share. study.c opens and closes;
 * tune.c, compare.c, why.c and check.c do the work. */
#ifndef STUDY_H
#define STUDY_H
#include "base/text.h"
#include "drmad/trial.h"
#include "setup/folder.h"
#include "setup/setup.h"

struct drmad_study {
    drmad_ctx *ctx;
    config *cfg;
    drmad_model *model;      /* the caller's, or NULL */
    struct session *session; /* with the store, of the room of trials; NULL: none */
    void (*session_close)(drmad_study *s);
    char *given, *base; /* with parameters, stages or a rally: the study as YAML before `auto`s are
                                replaced, the same for its trials */
    bool foreign;       /* its command comes from a store and is not run */
    drmad_objective_fn *objective; /* of the caller, or NULL */
    void *objective_user;
    space *kept_space; /* of the values that the last call came to */
    double *kept;
    const setup *lender; /* of data, or NULL: setup.h */
    setup *s;
    folder *f;
    drmad_event_fn *on_event;
    void *user;
    double started;
    json_t *result; /* of the last call */
    char *json;
    text_out said; /* for people */
};

/* A study without a configuration; gives *out, for drmad_study_free. */
drmad_status study_new(drmad_ctx *ctx, drmad_study **out);
/* A study from YAML of ours, for more keys to be set. Gives *out. */
drmad_status study_from_text(drmad_ctx *ctx, const char *text, drmad_study **out);
/* What is left to do once all keys are set. */
drmad_status study_finish_load(drmad_study *s);
/* The study as YAML, `auto`s as they are in `c`: to be kept in the store; without parameters, for
 * trials of our own training; what makes trials comparable. Gives *out. */
typedef enum study_text { STUDY_KEPT, STUDY_TRIAL, STUDY_COMPARED } study_text;
drmad_status study_print(const config *c, study_text what, char **out);
/* Forgets the last call's result and begins a new one. */
drmad_status study_begin_result(drmad_study *s, const char *what);
/* Starts a call: a new result, the set-up at meta-step 0; with a folder when `folder`, in which
 * nothing is changed yet. */
drmad_status study_begin(drmad_study *st, const char *what, bool walk, bool folder);
/* The folder becomes this call's: the resolved study, a new log. */
drmad_status study_files(drmad_study *st);
/* One event to the log and the callback; takes `event`, which may be NULL for "out of memory". */
drmad_status study_event(drmad_study *st, const char *stage, double done, double total,
                         json_t *event);
/* Adds a line to the text for people. */
drmad_status study_say(drmad_study *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts `value` into the result; takes it. */
drmad_status study_put(drmad_study *st, const char *key, json_t *value);
json_t *study_real(double x); /* null where x is not finite */
/* Ends the result and writes it to `file`, NULL for none. */
drmad_status study_finish(drmad_study *st, const char *file);
drmad_status study_show(drmad_study *st); /* the result as JSON for the caller */
/* Ends a call: gives `end` back. */
drmad_status study_end(drmad_study *st, drmad_status end);

/* How fast one thread decodes pictures, where they are decoded during training (*speed, else 0). */
drmad_status study_put_speed(drmad_study *s, double *speed);

/* Keeps the values in the run folder, of a run that ended after `meta_steps`, for
 * drmad_study_value. */
drmad_status study_keep_saved(drmad_study *s, int64_t meta_steps);

drmad_status study_save_weights(drmad_study *st);

/* What a checkpoint and a result belong to: the study, less what may differ between two starts, and
 * the data. */
drmad_status study_fingerprint(drmad_study *s, char out[SHA256_TEXT]);

/* tune.c. One tuning by hypergradients, from its checkpoint if `resume` and there is one. */
drmad_status study_tune(drmad_study *s, bool resume);
#endif
