/* For acquire*.c alone. */
#ifndef ACQUIRE_INSIDE_H
#define ACQUIRE_INSIDE_H
#include "bo/acquire.h"

/* A place in the space in all its forms, and a there. */
typedef struct spot {
    double *v, *x, *z;
    double value;
    bool strays; /* the way up from it leads into a closed ball */
} spot;

typedef struct acquire_work {
    const acquire_task *task;
    drmad_ctx *ctx;
    int32_t m;                   /* candidates */
    double *v, *x, *z;           /* of the candidates, row by row */
    double *mean, *variance, *a; /* sides x m, m, m */
    double *slopes;              /* sides x columns, columns, sides + columns: of one point */
} acquire_work;

bool acquire_within(const acquire_task *task, const double *z); /* a ball */
/* Whether x may be proposed: not within a ball, not known. */
bool acquire_allowed(const acquire_task *task, const double *z);
/* The candidates, with a = -INFINITY where one may not be proposed. */
drmad_status acquire_candidates(acquire_work *w);
/* Moves `s` uphill; it stays where it may be proposed. */
drmad_status acquire_climb(acquire_work *w, spot *s);
/* a from predictions: mean has stride `stride` from side to side. */
double acquire_of(const acquire_task *task, const double *mean, int32_t stride, double variance);
#endif
