/* The inside of a study: the public handle and what its calls share. study.c opens and closes;
 * tune.c, compare.c, why.c, check.c and explain.c do the work. */
#ifndef STUDY_H
#define STUDY_H
#include "base/text.h"
#include "drmad/trial.h"
#include "study/folder.h"
#include "study/setup.h"

struct drmad_study {
    drmad_ctx *ctx;
    config *cfg;
    drmad_model *model;      /* the caller's, or NULL */
    struct session *session; /* with the store, or NULL: session.h */
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

/* One training run from scratch, evaluated. */
typedef struct outcome {
    eval_result valid, test; /* test.loss NaN without a test set */
    double train_loss;
    bool finite;
    int64_t diverged_at; /* the step whose loss was not finite, -1 for none */
} outcome;
drmad_status study_run(drmad_study *st, const double *values, uint64_t seed, outcome *out);

/* Several runs. */
typedef struct summary {
    outcome mean;
    double test_error_sd;
    double square; /* sum of test errors squared */
    int32_t runs, finite;
} summary;
/* From zeros: sums until closed, then means over the finite ones. */
void summary_add(summary *m, const outcome *o);
void summary_close(summary *m);
json_t *study_outcome_json(const outcome *o);

/* runs.c. The training runs that speak for the study's values: objective.seeds of them, until one
 * is not finite. */
typedef struct study_runs {
    summary sum;
    json_t *each; /* outcomes */
} study_runs;
int64_t study_runs_wanted(const drmad_study *s);
uint64_t study_runs_seed(const drmad_study *s, int64_t i);
/* Takes in the next one; the weights of the first are written. */
drmad_status study_runs_add(drmad_study *s, study_runs *r, const outcome *o);
/* Their mean as text and under "run", each under "runs" where more than one was asked for; `macs`:
 * multiply-adds they took. A run that was not finite makes the mean so. */
drmad_status study_runs_report(drmad_study *s, study_runs *r, double macs);
void study_runs_free(study_runs *r);

/* Retrains over the study's seeds; mean over finite runs. `keep`: the weights of the first finite
 * run are written (of one run also where no seeds are asked for). */
drmad_status study_retrain(drmad_study *st, const char *name, const double *values, bool keep,
                           summary *out);

/* Outcomes, one a seed, under `name` in the result and as a line of the table. */
drmad_status study_put_runs(drmad_study *st, const char *name, json_t *runs, const summary *m);

/* Random search as a baseline; *spent gets the training runs it took. */
drmad_status study_random_search(drmad_study *st, double *spent);

/* data_stat.c. Pictures that were left out; how fast one thread decodes them, where they are
 * decoded during training (*speed, else 0). */
drmad_status study_put_bad(drmad_study *s);
drmad_status study_put_speed(drmad_study *s, double *speed);

/* text.c. The study in a few lines. */
drmad_status study_say_study(drmad_study *st);
/* A table of runs: its head, one line. */
drmad_status study_say_header(drmad_study *st);
drmad_status study_say_runs(drmad_study *st, const char *name, const summary *m);
/* Smallest and largest value of each declaration: as text, and as JSON given. */
json_t *study_ranges(const drmad_study *st, const double *values, char *text, size_t size);
/* One line a slice: start, smallest, median, largest. */
drmad_status study_say_values(drmad_study *st, const double *values);

/* model.c. Keeps what the last call came to, for drmad_study_value. */
drmad_status study_keep(drmad_study *s, int64_t meta_step, const double *values);
/* The same from the run folder, of a run that ended after `meta_steps`. */
drmad_status study_keep_saved(drmad_study *s, int64_t meta_steps);
void study_forget_kept(drmad_study *s);

/* clean.c. How well example weights found the labels that data.label_noise made wrong; nothing
 * where there are none. */
drmad_status study_clean_report(drmad_study *st, const double *values);

/* A vector over the space: one tensor a slice, [phases, elements], F64. */
drmad_status study_save_values(drmad_study *st, const char *file, const double *values);
drmad_status study_save_weights(drmad_study *st);
#endif
