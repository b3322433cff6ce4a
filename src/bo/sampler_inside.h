/* What the samplers share: for the files of this room alone. */
#ifndef SAMPLER_INSIDE_H
#define SAMPLER_INSIDE_H
#include "bo/sampler.h"
#include <jansson.h>

struct sampler {
    drmad_ctx *ctx;
    sampler_options options;
    const search *space;
    void *state;   /* of the kind */
    char cpu[128]; /* for notes */
};

/* One kind of sampler. suggest fills in x as sampler_suggest does; *model is what the note keeps,
 * NULL for nothing. open and close may be NULL. */
typedef struct sampler_ops {
    const char *name;
    drmad_status (*open)(sampler *s);
    void (*close)(sampler *s);
    drmad_status (*suggest)(sampler *s, const history *h, int64_t number, double *x,
                            json_t **model);
} sampler_ops;

extern const sampler_ops sampler_random, sampler_sobol, sampler_tpe, sampler_gp, sampler_cmaes;

/* Best first: complete trials by value, pruned ones by last step (falling) and value, failed ones;
 * then by number. */
void rank_rows(const observation **rows, int32_t n);
/* A point of the start design: Sobol (random for SAMPLER_RANDOM), redrawn until rules hold. */
drmad_status sampler_start(const sampler *s, int64_t number, double *x);
/* The note of a suggestion that looked at `h`; `model` is borrowed, NULL: none. Gives *out. */
drmad_status note_print(const sampler *s, const history *h, json_t *model, char **out);
/* The "model" in the row's note, of the same kind of sampler; *model is NULL when there is none. */
drmad_status sampler_model(const sampler *s, const observation *row, json_t **model);
#endif
