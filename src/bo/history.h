/* What a sampler knows of a study: its trials so far as points of the space.
 *
 * Ownership: rows and what they point to belong to who made the history. */
#ifndef HISTORY_H
#define HISTORY_H
#include "base/base.h"

typedef enum observed {
    OBSERVED_COMPLETE,
    OBSERVED_PRUNED,
    OBSERVED_FAILED, /* no value, or one that is not finite */
    OBSERVED_PENDING /* runs somewhere, or waits */
} observed;

typedef struct observation {
    int64_t number;
    observed state;
    const double *x;        /* one a parameter of the space, internal form; NaN: left out */
    double value;           /* to be minimised; of a pruned trial its last report; NaN: none */
    int64_t step;           /* of that report */
    const double *gradient; /* d value / d x, NaN where not known; NULL: none known */
    const char *note;       /* what sampler_suggest gave with it; NULL: nothing */
} observation;

typedef struct history {
    int32_t n;
    const observation *rows; /* number rising */
} history;
#endif
