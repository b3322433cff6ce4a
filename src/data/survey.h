/* What a set of pictures is like: sizes, classes, what cannot be decoded, how fast it goes. */
#ifndef SURVEY_H
#define SURVEY_H
#include "data/pictures.h"

enum { SURVEY_NAMED = 20, SURVEY_WHY = 512 };

typedef struct survey {
    int64_t pictures, bad;       /* looked at; of which cannot be decoded */
    int64_t bytes, png;          /* of all files; how many are PNG */
    int32_t width[3], height[3]; /* least, median, most, of the good ones */
    int32_t named;
    char why[SURVEY_NAMED][SURVEY_WHY]; /* of the first bad ones */
} survey;

/* Decodes every picture of `d` whole, on the context's threads. A dataset whose rows lie in memory
 * has no files to look at: its rows are counted. Gives *out: mem_free it. */
drmad_status survey_take(drmad_ctx *ctx, const dataset *d, survey **out);

/* Pictures a second that one thread decodes and augments as training asks for them (`how` NULL: as
 * evaluation does), from a sample spread over the set; 0 when none of it is good. */
drmad_status survey_speed(drmad_ctx *ctx, const dataset *d, const augment *how, double *out);
#endif
