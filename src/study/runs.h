/* Training runs of a study from scratch: one, one a seed, those that a result is held against. */
#ifndef RUNS_H
#define RUNS_H
#include "study/study.h"

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

/* Outcomes, one a seed, under `name` in the result and as a line of the table. */
drmad_status study_put_runs(drmad_study *st, const char *name, json_t *runs, const summary *m);

/* A table of runs: its head, one line. */
drmad_status study_say_header(drmad_study *st);
drmad_status study_say_runs(drmad_study *st, const char *name, const summary *m);
#endif
