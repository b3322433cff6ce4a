/* Base learning rate schedules, in PyTorch's terms. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include <stdint.h>

typedef enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_STEP,
    SCHEDULE_TABLE
} schedule_kind;

typedef struct schedule {
    schedule_kind kind;
    double rate;  /* before any decay */
    double final; /* cosine, linear: the factor reached at step T, one after the last */
    double gamma; /* step: the factor each `every` steps */
    int64_t every;
    int64_t warmup; /* steps of a linear rise from rate / warmup, before everything else */
    int64_t steps;  /* T */
    const double *factor; /* table: of the rate at each step, [T]; borrowed */
} schedule;

double schedule_at(const schedule *s, int64_t t);
#endif
