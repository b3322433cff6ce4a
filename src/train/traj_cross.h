/* The grid's passes over all weights, made on the device that they live on; inside room train only.
 * What comes to the host, and goes back up, is the list of those that have moved: 8 bytes for each,
 * 8 for how many. */
#ifndef TRAJ_CROSS_H
#define TRAJ_CROSS_H
#include "train/traj_code.h"

typedef struct cross {
    const backend *on;
    void *hat, *next;         /* device: hat_t; backwards the state behind it */
    void *pass, *back, *sums; /* made when first used */
    const void *w;            /* of which the first and the last are made */
    pass_span *span;          /* [tensors] */
    pass_list *list;          /* found, or being filled in */
    int64_t coded;            /* entries of it */
} cross;

drmad_status cross_new(trajectory *tr, cross **out);
void cross_free(trajectory *tr, cross *x);                         /* NULL is fine */
drmad_status cross_begin(trajectory *tr, cross *x, const void *w); /* hat = w */
drmad_status cross_keep(trajectory *tr, cross *x, const void *w);  /* next = w */
/* Sums of squares of the device's w, [tensors]; waits for it. */
drmad_status cross_squares(trajectory *tr, cross *x, const void *w, double *sum);
/* Moves hat towards the device's w, tensor i by its tau; cross_found waits for the list. */
drmad_status cross_run(trajectory *tr, cross *x, const void *w, const double *tau);
drmad_status cross_found(cross *x);
/* Events of one tensor from the list, and to its end; tensors in the order of their offsets. Gives
 * their number, or -1 - i when weight i of the span is lost: *far, or not a number. */
int64_t cross_encode(code_writer *c, cross *x, code_span s, bool *far);
/* Back: an empty list, filled in by tensors, and the device's part. */
drmad_status cross_fill(trajectory *tr, cross *x);
void cross_decode(cross *x, bits_reader *r, const code_table *t, unsigned k, code_span s);
drmad_status cross_undo(trajectory *tr, cross *x, const double *tau);
#endif
