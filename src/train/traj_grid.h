/* What the parts of the grid share: traj_grid.c writes, with cells as wide as traj_tau.c says;
 * traj_grid_back.c reads. Inside room train only. */
#ifndef TRAJ_GRID_H
#define TRAJ_GRID_H
#include "train/traj_cells.h"
#include "train/traj_cross.h"

typedef struct cell { /* one tensor */
    code_span span;
    double size;      /* tau is size * rms */
    double expected;  /* crossings a step, running mean */
    double share;     /* of the weights that crossed in the last step */
    unsigned doubled; /* times at the current step */
    bool late;        /* started at zero */
    bool follows;     /* tau doubles when the weights do */
    bool small;       /* of little weight in the log: a finer grid */
} cell;

typedef struct grid {
    bits log;
    code_table table;
    uint64_t *start; /* of each record, in bits */
    cell *at;
    char *hat[2];    /* forwards: hat_t and, at the end, w_T itself; backwards: states t+1 and t */
    int64_t begun;   /* the record that is not ended; -1: none */
    const void *w;   /* of that record, as the host sees it */
    cross *cross;    /* on a device: its passes, in place of hat; hat[0] is then w_0 */
    void *stage;     /* and a copy of its w */
    double *tau;     /* of each tensor, for those */
    double *sum;     /* of squares, of each tensor */
    uint32_t *masks; /* of the step loaded last */
    size_t mask_words;
    size_t fixed;    /* bytes held besides the log */
    cells squares;   /* where spec.squares */
    double rate;     /* bytes a step, running mean */
    bool coarsen;    /* from the next step on */
    bool normed;     /* the net has norms */
    int32_t largest; /* tensor */
    bool swell;      /* most of its weights crossed in the last step */
    traj_scan_f32_fn *scan_f32;
    traj_scan_f64_fn *scan_f64;
} grid;

/* The error for a weight that is not a number, or moved too far. */
drmad_status grid_lost(trajectory *tr, int32_t tensor, int64_t i, bool far, int64_t t);

bool tau_normed(const traj_spec *s);
int32_t tau_largest(const param_table *p);
double tau_relative(const traj_spec *s);          /* of a large tensor, to its root mean square */
void tau_cells(const traj_spec *s, grid *g);      /* before a run */
drmad_status tau_begin(trajectory *tr, const void *w); /* by w_0 */
/* For the step to t > 0. w may be NULL on a device: whether it is asked for, or sums of its squares
 * in g->sum. */
drmad_status tau_choose(trajectory *tr, const void *w, int64_t t);
bool tau_wants_weights(const trajectory *tr, int64_t t);
bool tau_wants_sums(const trajectory *tr, int64_t t);

drmad_status grid_load(trajectory *tr, int64_t t, traj_view *out);
#endif
