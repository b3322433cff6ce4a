/* The inside of a study: the public handle and what its calls share. study.c opens and closes;
 * tune.c, compare.c, why.c, check.c and explain.c do the work. */
#ifndef STUDY_H
#define STUDY_H
#include "drmad/study.h"
#include "study/folder.h"
#include "study/setup.h"

struct drmad_study {
    drmad_ctx *ctx;
    config *cfg;
    setup *s;
    folder *f;
    drmad_event_fn *on_event;
    void *user;
    double started;
    json_t *result; /* of the last call */
    char *json, *text;
    size_t text_used, text_size;
};

/* Starts a call: a new result, the set-up at meta-step 0; with a folder when `folder`. */
drmad_status study_begin(drmad_study *st, const char *what, bool walk, bool folder);
/* One event to the log and the callback; takes `event`, which may be NULL for "out of memory". */
drmad_status study_event(drmad_study *st, const char *stage, double done, double total,
                         json_t *event);
/* Adds a line to the text for people. */
drmad_status study_say(drmad_study *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts `value` into the result; takes it. */
drmad_status study_put(drmad_study *st, const char *key, json_t *value);
json_t *study_real(double x);               /* null where x is not finite */
drmad_status study_finish(drmad_study *st); /* result.json, if there is a folder */

/* One training run from scratch, evaluated. */
typedef struct outcome {
    eval_result valid, test; /* test.loss NaN without a test set */
    double train_loss;
    bool finite;
} outcome;
drmad_status study_run(drmad_study *st, const double *values, uint64_t seed, outcome *out);

/* Retrains over the study's seeds; mean over finite runs, and the list of runs in `out`. */
typedef struct summary {
    outcome mean;
    double test_error_sd;
    int32_t runs, finite;
    json_t *json; /* borrowed by the result once put */
} summary;
drmad_status study_retrain(drmad_study *st, const char *name, const double *values, summary *out);

/* Random search as a baseline; *spent gets the training runs it took. */
drmad_status study_random_search(drmad_study *st, double *spent);

/* A vector over the space: one tensor a slice, [phases, elements], F64. */
drmad_status study_save_values(drmad_study *st, const char *file, const double *values);
drmad_status study_save_weights(drmad_study *st);
#endif
