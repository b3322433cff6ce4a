/* The inside of a pipeline: a study with `stages`.
 *
 *   search     trials in the store, as any search; `drmad worker`s may help
 *   refine     from the best of them: tuning by hypergradients, each in its folder refine/NUMBER
 *   retrain    what came out, from scratch over seeds: the winner
 *   compare    the same budget spent otherwise: whole pipelines in folders compare/WORD
 *
 * Each stage reads what the one before left and leaves a record, search.json, refine.json,
 * retrain.json, rewritten after each piece of work: a trial refined, a training run. A pipeline
 * that was cut goes on from there. A record has
 *
 *   stage, status ("running", "done"), study_sha256, runs, seconds: what is charged
 *   search:   trials, best, top [{trial, value, params}]
 *   refine:   starts [{name, trial, folder, status, searched, start, objective, meta_steps, ...}]
 *   retrain:  candidates [{name, trial, folder, refined, runs [outcome], mean, ...}], winner
 *
 * Costs are in runs: one is the multiply-adds of a training run of the study as it stands. */
#ifndef STAGES_H
#define STAGES_H
#include "compose/record.h"
#include "compose/sub.h"

enum { STAGES_MAX = CFG_END_stage_run };

typedef struct pipeline {
    drmad_study *s; /* its folder is open, its set-up lends the data */
    double run;     /* multiply-adds of a run */
    bool resume;
    char print[SHA256_TEXT];
    json_t *record[STAGES_MAX]; /* by `run`; NULL: not begun */
    json_t *compared;           /* an array */
} pipeline;

drmad_status study_run_stages(drmad_study *s, bool resume);

/* The stage of that kind, NULL where the study has none. */
const config_stage *stage_of(const pipeline *p, cfg_stage_run run);
/* The record, made where there is none yet. */
drmad_status stage_begin(pipeline *p, cfg_stage_run run);
bool stage_done(const pipeline *p, cfg_stage_run run);
/* Adds to what is charged, and writes the record. */
drmad_status stage_save(pipeline *p, cfg_stage_run run, double runs, double seconds);
drmad_status stage_end(pipeline *p, cfg_stage_run run);
/* Puts `value` into the record; takes it. */
drmad_status stage_put(pipeline *p, cfg_stage_run run, const char *key, json_t *value);
/* What is left of the budget to the end of this stage's share; 0: no limit is set. */
void stage_left(const pipeline *p, cfg_stage_run run, double *runs, double *seconds);
double stage_number(const pipeline *p, cfg_stage_run run, const char *key);

drmad_status stage_search(pipeline *p);
drmad_status stage_refine(pipeline *p);
drmad_status stage_retrain(pipeline *p);
drmad_status stage_compare(pipeline *p);

/* The study that refinement tunes; loaded. Gives *out. */
drmad_status stage_refined_study(const pipeline *p, const json_t *params, const char *dir,
                                 drmad_study **out);

/* stage_text.c. What people read. */
drmad_status stage_say_all(pipeline *p);
/* How the budget is to be shared out; into the result too. */
drmad_status stage_say_split(drmad_study *s);
#endif
