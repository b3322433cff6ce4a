/* The averaged squares v of an optimiser (v' = beta v + (1 - beta) p^2), kept as cells a factor of
 * four wide. Inside room train only.
 *
 *   s_t = v_t beta^-t never falls, so the cell k_t = floor(log4 s_t) of a weight only ever rises,
 *
 * and what is logged are the rises: about five a weight and run. Backwards the trajectory hands out
 * low_t = 4^k_t beta^t; the walk back keeps v between low and 4 low (optim_squares_before). A
 * weight without a gradient so far has no cell, and low = 0.
 * Source: our own measurements, reference grid.md, section 3, where cells are two wide; what four
 * do is in bench/bench_grid_nets.c. */
#ifndef TRAJ_CELLS_H
#define TRAJ_CELLS_H
#include "train/traj_bits.h"

/* On a device k and low live there, and what comes and goes are lists of those that rose: the
 * passes rise and fall of exec/backend.h. */
typedef struct cells {
    bits log;
    uint64_t *start;      /* of each record, in bits */
    int16_t *k;           /* [total]; CELL_NONE before the first gradient */
    void *low;            /* of the state loaded last */
    int64_t events;       /* of the record before */
    const void *v;        /* of the record that has begun */
    void *k_there;        /* a device's k */
    void *rise, *fall;    /* passes; made when first used, of v */
} cells;

drmad_status cells_open(trajectory *tr, cells *c);
void cells_close(trajectory *tr, cells *c);
drmad_status cells_begin(trajectory *tr, cells *c);
/* A record begins with a look at v, which may take a device until it is ended; in host memory v
 * must stay until then. */
drmad_status cells_record(trajectory *tr, cells *c, int64_t t, const void *v);
drmad_status cells_end(trajectory *tr, cells *c, int64_t t);
/* From t + 1 to t; c->low. */
drmad_status cells_load(trajectory *tr, cells *c, int64_t t);
size_t cells_bytes(const traj_spec *s); /* an estimate of all of it */
#endif
