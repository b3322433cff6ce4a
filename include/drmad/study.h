/* A study: one YAML file that says which model is trained on which data, which hyperparameters
 * are tuned and how.
 * Ownership: load gives, free takes. Strings handed out live until the next call on the study.
 * Threads:   one study, one thread at a time. The callback runs on the calling thread.
 *            drmad_ctx_stop() may be called from anywhere: the call under way then ends after a
 *            clean checkpoint with DRMAD_E_INTERRUPTED or DRMAD_E_TERMINATED. */
#ifndef DRMAD_STUDY_H
#define DRMAD_STUDY_H
#include "drmad/ctx.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drmad_study drmad_study;

/* One call an event. `stage` names what runs; `done` of `total` of it is finished (total 0: not
 * known); `json` is the event as one JSON object without a newline, also kept in the run folder's
 * log.jsonl. */
typedef void drmad_event_fn(void *user, const char *stage, double done, double total,
                            const char *json);

/* Reads the study at `path` (NULL: overrides alone), applies the `n` overrides ("key=value", later
 * ones win) and checks it all. Keys are those of the study file, joined by dots; `threads` among
 * them is set on `ctx`. On failure *out is NULL and drmad_errmsg(ctx) names file, line and column.
 */
DRMAD_API drmad_status drmad_study_load(drmad_ctx *ctx, const char *path,
                                        const char *const *overrides, int n, drmad_study **out);
DRMAD_API void drmad_study_free(drmad_study *s); /* NULL is fine */
DRMAD_API void drmad_study_set_events(drmad_study *s, drmad_event_fn *fn, void *user);

/* What can be done with a study. Each call writes its files under the study's `out` folder and
 * leaves a result. `resume` not 0: go on from the checkpoint in that folder, when there is one. */
DRMAD_API drmad_status drmad_study_tune(drmad_study *s, int resume);
/* One training run, no tuning. */
DRMAD_API drmad_status drmad_study_train(drmad_study *s, int resume);
/* One run and one walk back: how strongly each hyperparameter acts, ranked. */
DRMAD_API drmad_status drmad_study_why(drmad_study *s);
/* Proves the derivatives on this very study. */
DRMAD_API drmad_status drmad_study_check(drmad_study *s);
/* The plans: nodes, groups, offsets, bytes, FLOPs. */
DRMAD_API drmad_status drmad_study_explain(drmad_study *s);
/* What tune would cost: training-run equivalents, hours, peak memory. Trains nothing. */
DRMAD_API drmad_status drmad_study_dry_run(drmad_study *s);
/* What the study's data are like: classes, sizes, every picture decoded once, bad ones named, and
 * how fast one core decodes them. Trains nothing; bad pictures are no error here. */
DRMAD_API drmad_status drmad_study_data(drmad_study *s);

/* Net2Net: the weights of the study's net in the safetensors file `weights` become those of the net
 * that `n` morphs ("wider LAYER=OUTPUTS", "deeper LAYER") make of it, which computes the same, in
 * `file`; a state file's vectors of an optimiser go along. `noise` parts the copies of wider
 * layers, in root mean squares of their weights; 0: none. The result is the study's new `model:`.
 */
DRMAD_API drmad_status drmad_study_grow(drmad_study *s, const char *weights, const char *file,
                                        const char *const *morphs, int n, double noise);

/* The last call's result: one JSON object, or text for people. "" when nothing has run. */
DRMAD_API const char *drmad_study_result_json(const drmad_study *s);
DRMAD_API const char *drmad_study_result_text(const drmad_study *s);

/* After tune or why: the value of hyperparameter `kind` ("lr", "weight_decay", ...) at `step` of
 * training for parameter tensor number `tensor` (-1 where the kind is not about tensors), as the
 * run used it (schedule multiplied in), spread over the tensor's shape: `count` doubles into out.
 * *tuned: 0 when no declaration reaches it; then it is the study's constant. */
DRMAD_API drmad_status drmad_study_value(drmad_study *s, const char *kind, int tensor,
                                         int64_t step, double *out, int64_t count, int *tuned);

/* The run in `folder` (of tune, train or why), or a result that the Python package wrote as JSON,
 * as one HTML page that needs nothing else (docs/REPORT.md).
 * Settings: file (gets the page; needed), tensorboard (a folder: gets event files). */
DRMAD_API drmad_status drmad_run_report(drmad_ctx *ctx, const char *folder,
                                        const char *const *settings, int n);

/* Downloads the data set `name` ("mnist") into `dir` and checks its SHA-256; files already there
 * and right are kept. The only call of the library that opens a network connection. */
DRMAD_API drmad_status drmad_data_get(drmad_ctx *ctx, const char *name, const char *dir);

#ifdef __cplusplus
}
#endif
#endif
