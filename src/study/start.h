/* What a training or a tuning goes on from: files of weights, of an optimiser's state, of
 * hyperparameters; and how they are written. Names in a state file are the weights' own and, for
 * the optimiser's buffers, "momentum_buffer/layers.0.weight". */
#ifndef START_H
#define START_H
#include "study/folder.h"
#include "study/setup.h"

/* What model.weights, optimizer.state and outer.start name, into the set-up. */
drmad_status start_read(setup *u);
/* The values of outer.start are where the space starts; nothing without that key. */
drmad_status start_space(const setup *u, space *s);

/* A flat vector over `params` from the file's tensors PREFIX + name; `path` is for messages. */
drmad_status start_flat(const param_table *params, const char *path, const st_file *f,
                        const char *prefix, double *flat);
/* Weights into w, and into b the optimiser's buffer where the set-up has one. */
drmad_status start_state(const setup *u, const char *path, const st_file *f, double *w, double *b);
/* All slices of `s` from the file. */
drmad_status start_values(const space *s, const char *path, const st_file *f, double *values);

/* Weights as they are called, and the optimiser's buffer unless NULL: flat, in the study's type. */
drmad_status start_save(folder *f, const char *file, const setup *u, const void *w, const void *b);
/* A vector over a space: one tensor a slice, [phases, elements], F64. */
drmad_status start_save_values(folder *f, const char *file, const setup *u, const space *s,
                               const double *values);
#endif
