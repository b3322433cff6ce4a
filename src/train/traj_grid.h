/* What the two halves of the grid share: traj_grid.c writes, traj_grid_back.c reads. Inside room
 * train only. */
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
    void *stage[2];  /* of a device's vectors: w, averaged squares */
    void *there[3];  /* on the device: states t and t+1, by t modulo 2; lower bounds */
    cross *cross;    /* a device's own passes, in place of hat and of there[0, 1]; or NULL */
    double *tau;     /* of each tensor, for those */
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

drmad_status grid_load(trajectory *tr, int64_t t, traj_view *out);
#endif
