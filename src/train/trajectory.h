/* What is kept of a training run, so that it can be walked back. One contract for every kind:
 *
 *   forward    record(t, state_t) for t = 0, 1, ..., T in order; state_0 the start, state_T the end
 *   backward   load(t) for t = T-1, ..., 0 in order: hands out state_t and state_{t+1}
 *
 * The reverse step does not know of which kind the trajectory is. A state is one or more flat
 * vectors of params->total elements: the weights w, and for `full` and `replay` also the
 * optimiser's buffers.
 *
 *   full     every state as it was                                      exact
 *   replay   some states; the steps between are run again by `step`     exact
 *   grid     w to within tau/2 per weight, by its grid crossings        close
 *   line     w on the straight line between w_0 and w_T                 DrMAD as published
 *
 * With `first` only the states from there on are kept and handed out: a kind sees them as a run.
 * Memory beyond the start comes in chunks under spec.memory (or room); what does not fit spills
 * (full is never chosen then; replay, to spec.spill_dir or from a device to host memory) or
 * coarsens (grid) and is said in the log. */
#ifndef TRAJECTORY_H
#define TRAJECTORY_H
#include "exec/backend.h"
#include "space/params.h"

typedef enum traj_kind {
    TRAJ_NONE = -1, /* of an estimator that walks nothing back */
    TRAJ_AUTO = 0,
    TRAJ_FULL,
    TRAJ_REPLAY,
    TRAJ_GRID,
    TRAJ_LINE,
    TRAJ_KIND_COUNT
} traj_kind;
/* grid: size of tau */
typedef enum traj_quality { QUALITY_LOW, QUALITY_NORMAL, QUALITY_HIGH } traj_quality;

enum { TRAJ_VECTORS = 4 }; /* of a state at most */

/* Runs training step t: reads state `from` (`vectors` pointers), writes state_{t+1} to `to`;
 * never the same memory. */
typedef drmad_status traj_step_fn(void *user, int64_t t, void *const from[], void *const to[]);

typedef struct traj_spec {
    traj_kind kind;
    traj_quality quality;
    dtype dtype;
    const param_table *params; /* borrowed */
    int64_t steps;             /* T */
    int64_t first;             /* the first state that is kept; 0 = all of them */
    int32_t vectors;           /* of a state: w, then the optimiser's buffers */
    int32_t squares;           /* grid: the vector of averaged squares; 0 = none */
    double first_step; /* grid: the first step over a usual one; 0: tau by the weights' size */
    double memory_of_squares; /* its beta2: v' = beta2 v + (1 - beta2) p^2 */
    size_t memory;            /* limit in bytes; 0 = none */
    /* The same for states on a device (full, replay); 0: `memory`. Checkpoints beyond it go to
     * host memory, then within `memory`, or to spill_dir. */
    size_t room;
    const char *spill_dir;    /* replay: where what is beyond the limit goes; NULL = nowhere */
    size_t mask_bytes;        /* grid: bytes of ReLU sign masks of each step; 0 = none */
    bool kinked;              /* the net has kinks (ReLU): a finer grid */
    /* Where states live; NULL: in host memory. Elsewhere the grid goes by the passes that the
     * backend makes, and line works on the host; on a caller's device neither can. */
    const backend *on;
    traj_step_fn *step; /* replay only */
    void *user;
} traj_spec;

typedef struct traj_view {
    const void *now[TRAJ_VECTORS];  /* state_t, valid until the next load; a vector that the kind */
    const void *next[TRAJ_VECTORS]; /* does not keep is NULL; state_{t+1} likewise */
    /* Grid: lower bounds of the cells of state_t's averaged squares (traj_cells.h); 0: no gradient
     * so far. NULL: none are kept. */
    const void *low;
    const void *masks; /* of step t, NULL where none were given */
    bool exact;
} traj_view;

typedef struct traj_stats {
    size_t bytes_logged; /* grid: of the crossings, masks and cells of the whole run */
    size_t bytes_held;   /* largest sum of chunks, index and vectors held at any time */
    int64_t events;      /* grid: crossings logged */
    int64_t coarsened;   /* grid: times the limit made it coarser */
    int64_t recomputed;  /* replay: steps run again */
    size_t bytes_spilled; /* replay: of checkpoints beyond the limit, to host memory or the file */
} traj_stats;

typedef struct trajectory trajectory;

/* TRAJ_AUTO becomes full while it fits the limit, grid beyond; on a device, between them, replay
 * while that fits, for which nothing travels. The trajectory is reused for
 * any number of runs. */
drmad_status traj_new(drmad_ctx *ctx, const traj_spec *spec, trajectory **out);
void traj_free(trajectory *tr); /* NULL is fine */
traj_kind traj_kind_of(const trajectory *tr);
const char *traj_kind_name(traj_kind k);
/* What `spec` will hold at most, before any work; for --dry-run. For grid, an estimate. */
size_t traj_estimate(const traj_spec *spec);
/* What a device is still to take for tr, with the first run. */
size_t traj_later_bytes(const trajectory *tr);
size_t traj_limit(const traj_spec *spec); /* of states where they live; 0 = none */

drmad_status traj_begin(trajectory *tr); /* forget the last run */
/* t = 0 ... T, those before `first` too. `state`: its vectors; masks belong to step t (NULL at
 * t = T and when spec.mask_bytes is 0). */
/* DRMAD_E_DIVERGED: a state that cannot be kept, this one or one before (tr->lost). */
drmad_status traj_record(trajectory *tr, int64_t t, void *const state[], const void *masks);
drmad_status traj_load(trajectory *tr, int64_t t, traj_view *out);
traj_stats traj_stats_of(const trajectory *tr);

/* Inside: one of these a kind, in traj_<kind>.c. */
typedef struct traj_ops {
    const char *name;
    drmad_status (*open)(trajectory *tr);
    void (*close)(trajectory *tr);
    drmad_status (*begin)(trajectory *tr);
    drmad_status (*record)(trajectory *tr, int64_t t, void *const state[], const void *masks);
    drmad_status (*load)(trajectory *tr, int64_t t, traj_view *out);
} traj_ops;

struct trajectory {
    drmad_ctx *ctx;
    traj_spec spec; /* .steps: those that are kept */
    int64_t first;
    const traj_ops *ops;
    traj_stats stats;
    void *kept;   /* the kind's own */
    bool back;    /* all recorded: walking back */
    int64_t next; /* the t that record or load must be called with next; -1 = none */
    int64_t lost; /* after a record that ended with DRMAD_E_DIVERGED: the state it is about */
};
#endif
