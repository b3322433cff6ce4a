/* The driver that tests run on, which counts what it is asked for and can be made to fail. */
#ifndef COUNTING_DRIVER_H
#define COUNTING_DRIVER_H
#include "gpu_driver.h"

typedef struct counted {
    int runs, copies, reached; /* since a test set them to 0 */
    int ahead;                 /* programs whose blocks travel ahead */
    void *block[3];            /* of the last of them */
    int live;                  /* memory and programs not given back */
    int calls, fail_at;        /* that call fails, from 0; -1: none */
    const gpu_driver *real;
    bool for_good; /* and all behind it */
} counted;

extern counted seen;

gpu_driver counting_driver(void); /* begins to count */
#endif
