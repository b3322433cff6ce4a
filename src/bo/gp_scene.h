/* What one suggestion of the GP sampler looks at, in the model's terms: for sampler_gp*.c.
 *
 * Ownership: scene_make gives, scene_free takes; it borrows sampler and history. */
#ifndef GP_SCENE_H
#define GP_SCENE_H
#include "bo/encoding.h"
#include "bo/niche.h"
#include "bo/sampler_inside.h"

typedef struct gp_scene {
    const sampler *s;
    const history *h;
    int64_t number;
    encoding *code;
    int32_t n_done, n_pending, n_complete;
    const observation **done;  /* ended, number rising */
    niche_row *rows;           /* of done */
    gp_note *notes;            /* of done, then of pending */
    const observation **noted; /* whose they are */
    double *z;                 /* columns of done, then of pending */
    int32_t *centres;          /* of closed balls: places in done */
    int32_t balls;
} gp_scene;

drmad_status scene_make(const sampler *s, const history *h, int64_t number, const niche_options *o,
                        gp_scene *out);
void scene_free(gp_scene *c);

/* The newest trial whose note has a fit of this turn (and, of a niche, for so many balls): its
 * place in `noted`, -1: none, or not of n numbers. phi[n] is filled in. */
drmad_status scene_fit(const gp_scene *c, gp_turn turn, int32_t n, double *phi, int32_t *place);
#endif
