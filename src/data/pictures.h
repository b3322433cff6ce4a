/* Sets of pictures as datasets, and single rows of them: decoded once into memory, or each time
 * they are needed. */
#ifndef PICTURES_H
#define PICTURES_H
#include "data/augment.h"
#include "data/dataset.h"
#include "data/image_set.h"

typedef struct picture_set {
    image_set *set; /* NULL once all are decoded */
    image_reader *reader;
    double center; /* share of the shorter side that evaluation sees */
    bool as_it_is; /* every picture is a square of the rows' side already; else it is refused */
} picture_set;

/* Takes `set` (also on failure) and gives *out: rows u8 [size,size,3], with spec->size 0 of the
 * first picture's size, which all must have (DRMAD_E_CONFIG). They are decoded now where
 * spec->originals is not asked for and all of them fit into spec->memory, else when they are
 * needed (out->rows is NULL then). Pictures that cannot be decoded: spec->skip_bad. */
drmad_status pictures_new(drmad_ctx *ctx, const char *name, const source_spec *spec, image_set *set,
                          dataset **out);

/* One thread's memory for rows of one dataset. */
typedef struct picture_work picture_work;
drmad_status picture_work_new(drmad_ctx *ctx, const dataset *d, picture_work **out);
void picture_work_free(picture_work *w); /* NULL is fine */

/* Which row, for which step; `how` NULL: as it is in evaluation, the centred square. */
typedef struct picture_ask {
    const augment *how;
    uint64_t seed;
    int64_t step;
    int32_t row;
} picture_ask;

/* u8 [size,size,3] of a row, from memory or its file. DRMAD_E_DATA, DRMAD_E_IO and DRMAD_E_UNSAFE:
 * this one is bad. */
drmad_status picture_row(picture_work *w, const picture_ask *ask, uint8_t *out);
bool picture_is_bad(drmad_status st);

void picture_set_free(drmad_ctx *ctx, picture_set *p); /* NULL is fine */
#endif
