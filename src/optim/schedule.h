/* Base learning rate schedules, in PyTorch's terms, and their derivatives. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include <stdint.h>

typedef enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_STEP,
    SCHEDULE_MULTI_STEP,
    SCHEDULE_POLYNOMIAL,
    SCHEDULE_ONE_CYCLE,
    SCHEDULE_RESTARTS,
    SCHEDULE_TABLE
} schedule_kind;

typedef struct schedule {
    schedule_kind kind;
    double rate;   /* the peak: before any decay */
    double final;  /* cosine, linear, polynomial, restarts: the factor reached at step T, one after
                   * the last; one-cycle: at the last step */
    double gamma;  /* step: the factor each `every` steps; multi-step: at each milestone */
    int64_t every; /* also restarts: steps of the first cycle */
    int64_t stretch;         /* restarts: a cycle's steps over those of the one before */
    double power;            /* polynomial */
    double rise;             /* one-cycle: share of the steps before the peak */
    double initial;          /* one-cycle: the factor at step 0 */
    int64_t warmup;          /* steps of a linear rise from rate / warmup, before everything else */
    int64_t steps;           /* T */
    const double *milestone; /* multi-step: steps, counted from the end of the warm-up; borrowed */
    int32_t milestones;
    const double *factor; /* table: of the rate at each step, [T]; borrowed */
} schedule;

double schedule_at(const schedule *s, int64_t t);

/* The derivatives of schedule_at. A schedule without the parameter has 0. */
typedef struct schedule_slope {
    double rate, final, gamma;
} schedule_slope;
schedule_slope schedule_slope_at(const schedule *s, int64_t t);
#endif
