/* The grid's passes over all weights, made on the device that they live on; inside room train only.
 * What comes to the host, and goes back up, is the list of those that have moved: 5 bytes for each,
 * 8 for how many. */
#ifndef TRAJ_CROSS_H
#define TRAJ_CROSS_H
#include "train/traj_code.h"

/* A weight that moved by more than a byte tells. */
typedef struct far_move {
    int64_t at; /* in the flat vector */
    int32_t cells;
} far_move;

typedef struct cross {
    const backend *on;
    void *hat, *next;   /* device: hat_t; backwards the state behind it */
    void *pass, *back;  /* made when first used */
    const void *pass_w; /* of which the first is made */
    pass_list there;
    void *span_there;
    int64_t moved, coded; /* the list, here; how far it is coded */
    int32_t *at;          /* [total] */
    int8_t *by;
    pass_span *span; /* [tensors], as they are on the device */
    bool sent;
    far_move *far;
    size_t fars, far_coded, room;
    void *w, *copy; /* host: of w and hat, where one is needed */
} cross;

/* Gives *out; NULL where the backend has no such passes. */
drmad_status cross_new(trajectory *tr, cross **out);
void cross_free(trajectory *tr, cross *x);                         /* NULL is fine */
drmad_status cross_begin(trajectory *tr, cross *x, const void *w); /* hat = w */
drmad_status cross_keep(trajectory *tr, cross *x, const void *w);  /* next = w */
/* Moves hat towards the device's w, tensor i by its tau; the list and x->far say how. A weight that
 * is lost is left in *lost, else -1. */
drmad_status cross_run(trajectory *tr, cross *x, const void *w, const double *tau, int64_t *lost);
/* Back by the list and x->far. */
drmad_status cross_undo(trajectory *tr, cross *x, const double *tau);
void cross_clear(cross *x); /* the list and x->far */
/* Events of one tensor from the list, and to its end; tensors in the order of their offsets. */
int64_t cross_encode(code_writer *c, cross *x, code_span s);
drmad_status cross_decode(trajectory *tr, cross *x, bits_reader *r, const code_table *t, unsigned k,
                          code_span s);
#endif
