/* The kinds of trajectory, and the memory they all take. Inside room train only. */
#ifndef TRAJ_KINDS_H
#define TRAJ_KINDS_H
#include "train/trajectory.h"

extern const traj_ops traj_full, traj_replay, traj_grid, traj_line;

/* mem_alloc that adds to stats.bytes_held. Nothing is given back before close. */
drmad_status traj_hold(trajectory *tr, size_t count, size_t size, void *out_ptr);

/* The same for n vectors, where the run's own live; and their end. */
drmad_status traj_hold_vectors(trajectory *tr, int32_t n, void *out_ptr);
void traj_free_vectors(trajectory *tr, void *ptr);
/* For kinds that work in host memory, with vectors elsewhere: *out is what the host can read of the
 * run's vector v, v itself or `stage` with a device's in it; and what programs can read of a vector
 * that the host has made, itself or a device's `there`. Neither memory is needed in host memory. */
drmad_status traj_down(trajectory *tr, const void *v, void *stage, const void **out);
drmad_status traj_up(trajectory *tr, const void *v, void *there, const void **out);
/* Copies the vectors of a state behind one another. */
drmad_status traj_copy_in(trajectory *tr, char *to, void *const state[]);
/* The view of two states that were copied in so. */
void traj_show(const trajectory *tr, const char *now, const char *next, traj_view *out);

size_t traj_vector_bytes(const traj_spec *s); /* one flat vector */
size_t traj_state_bytes(const traj_spec *s);  /* all vectors of a state */

/* What the kinds expect to hold at most. */
size_t traj_full_bytes(const traj_spec *s);
size_t traj_replay_bytes(const traj_spec *s);
size_t traj_grid_bytes(const traj_spec *s);
size_t traj_line_bytes(const traj_spec *s);
#endif
