/* The run folder: what a call leaves behind, each file complete under its name or not there at all.
 *
 *   study.yaml                    the study as resolved, defaults and overrides included
 *   log.jsonl                     tune, train: one event a line
 *   checkpoint.safetensors        tune, until the result is there
 *   result.json                   tune, train: what came out
 *   hyperparameters.safetensors   tune
 *   weights.safetensors           tune, train
 *   state.safetensors             tune, train, with output.state
 *   why.json                      why
 *   search.json refine.json retrain.json   tune with stages: what each left, see stages.h
 *   hypergradients.safetensors    why: dF/dh, h not transformed
 *
 * Ownership: open gives, close takes. Two processes never share a folder: open fails with
 * DRMAD_E_AGAIN. */
#ifndef FOLDER_H
#define FOLDER_H
#include "config/config.h"
#include "data/safetensors.h"
#include <jansson.h>

typedef struct folder folder;

/* Makes the folder, locks it and tries that files can be made in it. */
drmad_status folder_open(drmad_ctx *ctx, const config *cfg, folder **out);
void folder_close(folder *f); /* NULL is fine */
const char *folder_path(const folder *f);

drmad_status folder_text(folder *f, const char *name, const char *text);
drmad_status folder_json(folder *f, const char *name, const json_t *json);
drmad_status folder_tensors(folder *f, const char *name, const st_file *file);
/* *out is NULL when there is no such file. */
drmad_status folder_read_tensors(folder *f, const char *name, st_file **out);
drmad_status folder_read_text(folder *f, const char *name, char **out);
bool folder_has(const folder *f, const char *name);
drmad_status folder_remove(folder *f, const char *name);
/* A folder in it with all that it holds; links are removed, not followed. */
drmad_status folder_remove_tree(folder *f, const char *name);

/* The log: cut to `bytes` first (0: a new log), less a torn last line; then one line a call. */
drmad_status folder_log_open(folder *f, int64_t bytes);
drmad_status folder_log(folder *f, const char *line);
int64_t folder_log_bytes(const folder *f);
#endif
