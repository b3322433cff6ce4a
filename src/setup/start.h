/* What a training or a tuning goes on from: files of weights, of an optimiser's state, of
 * hyperparameters; and how they are written. A state file has the weights under their names, the
 * optimiser's buffers as torch calls them, "momentum_buffer/layers.0.weight", and in its metadata
 * the optimiser's steps so far. */
#ifndef START_H
#define START_H
#include "setup/folder.h"
#include "setup/setup.h"

/* A state of training: flat vectors, of which v[0] are the weights, and the optimiser's steps. */
typedef struct start_state {
    double *v[OPTIM_VECTORS]; /* NULL beyond what there is */
    int64_t steps;            /* -1: weights alone */
} start_state;

/* What model.weights, optimizer.state and outer.start name, into the set-up. */
drmad_status start_read(setup *u);
drmad_status start_read_weights(setup *u, const char *path); /* of the first alone */
/* The values of outer.start are where the space starts; nothing without that key. */
drmad_status start_space(const setup *u, space *s);

/* All vectors of the set-up's state from the file, the weights alone from one that has no others;
 * `path` is for messages. Gives what *to holds, for start_state_free. */
drmad_status start_state_read(const setup *u, const char *path, const st_file *f, start_state *to);
void start_state_free(drmad_ctx *ctx, start_state *s);
/* All slices of `s` from the file. */
drmad_status start_values(const space *s, const char *path, const st_file *f, double *values);

/* The weights w, flat, in the study's type. */
drmad_status start_save_weights(folder *f, const char *file, const setup *u, const void *w);
/* The state in which the trainer of `u` has ended, in host memory. */
drmad_status start_save_trained(folder *f, const char *file, const setup *u);
/* *s is left in the study's type. */
drmad_status start_save_state(const char *path, const setup *u, start_state *s);
/* A vector over a space: one tensor a slice, [phases, elements], F64. */
drmad_status start_save_values(folder *f, const char *file, const setup *u, const space *s,
                               const double *values);
#endif
