/* A sampler of ours with a history in memory, as a shared library for solver_drmad.py: ask, tell.
 *
 * Ownership: tuner_open gives, tuner_close takes. Threads: one tuner, one thread at a time. */
#ifndef TUNER_H
#define TUNER_H
#include <stdint.h>

#define TUNER_API __attribute__((visibility("default")))

typedef struct tuner tuner;

/* `kind`: "gp", "tpe", ...; `study`: a study file with `parameters`. NULL where there is no
 * memory; else see tuner_error. */
TUNER_API tuner *tuner_open(const char *kind, uint64_t seed, const char *study);
TUNER_API void tuner_close(tuner *t);              /* NULL is fine */
TUNER_API const char *tuner_error(const tuner *t); /* "" while all is well */
/* The next point, one value a parameter, NaN where left out; false: see tuner_error. */
TUNER_API int32_t tuner_ask(tuner *t, double *x);
TUNER_API void tuner_tell(tuner *t, double value); /* of the point asked for last */
#endif
