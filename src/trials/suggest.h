/* Where a trial's values come from: the study's sampler over its past. */
#ifndef SUGGEST_H
#define SUGGEST_H
#include "trials/session.h"

/* What `search.sampler` comes to: `kept` is that of the study in the store, -1 for none. */
drmad_status suggest_setup(drmad_study *s, int kept);
int suggest_word(sampler_kind kind); /* as `search.sampler` has it */
/* Brings the past up to date. */
drmad_status suggest_read_past(drmad_study *s);
/* Whether its sampler can work here, before a trial is taken: DRMAD_E_MISSING. */
drmad_status suggest_ready(drmad_study *s);
/* Fills in what is missing of the declared parameters. Gives *note, NULL: nothing was missing. */
drmad_status suggest_declared(drmad_trial *t, char **note);
/* A parameter that the trial declares itself. Gives *note with the first one, to be stored. */
drmad_status suggest_own(drmad_trial *t, const search *one, double *x, char **note);

/* A suggestion made again, from its note. */
typedef struct suggestion {
    sampler_options options;
    const search *space; /* the session's; NULL: the point was drawn alone */
    double *x;
    char *note;
} suggestion;
/* Of a trial of the past with a note; to be freed by suggestion_free, also on failure.
 * DRMAD_E_STORAGE: the note does not lead back to what it saw. */
drmad_status suggest_again(drmad_study *s, const past_trial *t, suggestion *out);
void suggestion_free(drmad_ctx *ctx, suggestion *g);
/* Coordinate i of a point drawn alone. */
drmad_status suggest_alone(drmad_ctx *ctx, const sampler_options *o, int64_t number, int32_t i,
                           double *u);
#endif
