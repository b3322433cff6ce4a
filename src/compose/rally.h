/* The inside of a rally: one long training cut into stages ("legs" here; stages are a pipeline's),
 * each over more examples than the one before and tuned by hypergradients of its own.
 *
 *   leg k      tuned in the folder rally/K: a study as any, whose training goes on from the state
 *              (weights and the optimiser's) that leg k - 1 left, with its hyperparameters
 *   retrain    whole chains of legs over seeds, with what was tuned and with the start, in
 *              retrain/tuned/K and retrain/start/K
 *
 * Between legs there are files: state.safetensors of one leg becomes start.safetensors of the next,
 * hyperparameters.safetensors becomes tuned.safetensors (as fine as they will ever be) and then
 * start-values.safetensors. The record, rally.json, is rewritten after each leg that is done; a leg
 * that was cut goes on from its own checkpoint. It has, beside what all records have,
 *
 *   legs            [{stage, folder, examples, steps, ... }]
 *   tuned, start    [[outcome of each leg] of each seed]
 *
 * Costs are in runs: one is the multiply-adds of all legs trained once.
 *
 * Why stages: a hypergradient through one leg needs a trajectory of that leg only, and is not
 * carried through the long run behind it. */
#ifndef RALLY_H
#define RALLY_H
#include "compose/record.h"
#include "compose/sub.h"

typedef struct rally {
    drmad_study *s; /* its folder is open, its set-up lends the data */
    double run;     /* multiply-adds of a run */
    double *share;  /* [legs]: a training of leg k, in runs */
    int32_t n;      /* legs */
    bool resume;
    char print[SHA256_TEXT];
    json_t *record;
} rally;

enum { RALLY_DIR = 64 };

drmad_status study_run_rally(drmad_study *s, bool resume);

const config_leg *rally_leg(const rally *r, int32_t k);
drmad_status rally_save(rally *r, double runs, double seconds);

/* What a leg starts from: files within the rally's folder; NULL: as the study says. */
typedef struct leg_start {
    const char *state, *values;
} leg_start;
/* The study of leg k in the folder `dir`; loaded. Gives *out. */
drmad_status leg_study(drmad_study *of, int32_t k, const char *dir, const leg_start *from,
                       drmad_study **out);
drmad_status leg_tune(rally *r, int32_t k);

/* DIR/state.safetensors of leg k - 1 becomes TO/start.safetensors, the start of leg k. */
drmad_status carry_state(rally *r, int32_t k, const char *dir, const char *to);
/* The tuned values of leg k, which ended after `meta_steps`, into its tuned.safetensors. */
drmad_status carry_loosen(rally *r, int32_t k, int64_t meta_steps);
/* Those of leg k - 1 into the start-values.safetensors of leg k. */
drmad_status carry_values(rally *r, int32_t k);

drmad_status rally_retrain(rally *r);
drmad_status rally_say_all(rally *r);
#endif
