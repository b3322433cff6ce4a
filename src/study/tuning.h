/* A tuning run between two meta-steps, and its checkpoints. */
#ifndef TUNING_H
#define TUNING_H
#include "study/study_parts.h"

typedef struct tuning {
    outer *o;
    double *values, *before;         /* scratch; the outer state before a meta-step */
    double spent;                    /* training runs so far */
    double saved;                    /* when the last checkpoint was written */
    int64_t tied;                    /* the meta-step whose ties the space holds */
    char stopped[128];               /* why no meta-step is to follow; "" while one may */
    bool unstable;                   /* ... because nothing near can be used */
    bool resumed, finished;          /* finished: the folder holds the result */
    bool growth_told, residual_told; /* a warning is not repeated */
    json_t *path;                    /* one object a meta-step */
} tuning;

/* Gives *t: from the folder's checkpoint if `resume` and there is one; finished if there is none
 * but a result; else a new run, for which the folder is cleared of an older one's files. */
drmad_status tuning_open(drmad_study *s, bool resume, tuning *t);
void tuning_free(drmad_study *s, tuning *t);
/* Scratch as large as the space is now. */
drmad_status tuning_fit(drmad_study *s, tuning *t);
drmad_status tuning_save(drmad_study *s, tuning *t);
/* After the result is written. */
drmad_status tuning_close(drmad_study *s);
#endif
