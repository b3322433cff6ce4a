/* Studies within a study: made from its text, its folder within that one's, its data lent, its
 * events passed on. */
#ifndef SUB_H
#define SUB_H
#include "study/study.h"

/* The study with the values of a trial's `params` (NULL: none) and the run folder `dir` within the
 * other's; more keys may be set (sub_set) before study_finish_load ends it. Gives *out. */
drmad_status sub_new(drmad_study *of, const json_t *params, const char *dir, drmad_study **out);
drmad_status sub_set(drmad_study *s, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Its events become the other's, with `name` in them. */
typedef struct sub_voice {
    drmad_study *of;
    const char *name;
} sub_voice;
void sub_listen(drmad_study *s, sub_voice *v);
#endif
