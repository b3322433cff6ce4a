/* The past of a study: its trials in memory, as samplers and pruners want them.
 *
 * A finished trial never changes and is read once; the others are read again each time. What a
 * trial tells a sampler:
 *
 *   COMPLETE with a finite value, PRUNED with its last intermediate value     an observation
 *   FAIL of the objective, or a value that is not finite                      failed
 *   FAIL of a worker that was lost                                            nothing
 *   RUNNING, and WAITING for another try                                      pending
 *
 * of one whose point is one of the space: each parameter that its conditions want has a value in
 * its range and on its grid, and the rules hold. Parameters that the space lacks are not looked at.
 * Who ran it is no matter: another worker, Optuna.
 *
 * Ownership: past_new gives, past_free takes; what is handed out lives until the next call that
 * reads or looks at another space. */
#ifndef PAST_H
#define PAST_H
#include "bo/pruner.h"
#include "bo/sampler.h"
#include "store/store.h"
#include <jansson.h>

/* System attributes of trials. */
#define PAST_NOTE_KEY "drmad:sampler"      /* how its point was suggested: bo/sampler.h */
#define PAST_GRADIENT_KEY "drmad:gradient" /* d objective / d parameter, by name */
#define PAST_FAILED_KEY "drmad:failed"     /* its objective failed; it was not lost */
#define PAST_FIXED_KEY "fixed_params"      /* Optuna's: what a queued trial has to use */

/* A parameter as trials have it: one entry a name and distribution. */
typedef struct past_param {
    char *name, *distribution;
} past_param;

typedef struct past_trial {
    int64_t id, number;
    trial_state state;
    int32_t n_params, n_reports;
    int32_t *which;    /* past_params, in the order of their storing */
    double *values;    /* theirs, internal form */
    double value;      /* of one objective, to be minimised; NaN: none */
    int64_t *steps;    /* of the reports, rising */
    double *reports;   /* to be minimised */
    json_t *gradient;  /* {name: of the objective as it is told}, NULL: none */
    json_t *fixed;     /* what it was queued with; NULL: nothing */
    char *note;        /* NULL: none */
    bool failed;       /* FAIL of the objective */
    bool again;        /* queued anew after its worker was lost */
    bool ours;         /* a drmad worker had it */
    bool stale;        /* not finished, and not seen by the read under way */
    double *x, *slope; /* in the space looked at; NULL: not there yet, or none */
    bool outside;      /* of that space */
} past_trial;

typedef struct past {
    drmad_ctx *ctx;
    double sign; /* -1: the objective is maximised */
    int32_t n, room, n_params, room_params;
    past_trial *trials; /* number and id rising */
    past_param *params;
    const search *space; /* x of trials is in it */
    observation *rows;   /* handed out */
    curve *curves;
} past;

drmad_status past_new(drmad_ctx *ctx, bool maximise, past **out);
void past_free(past *p); /* NULL is fine */
/* What has come since. */
drmad_status past_read(past *p, store *s, int64_t study);

/* The trials that say something about `space`, but for number `but`. `space` must be the same
 * object, unchanged, for as long as it is looked at. */
drmad_status past_history(past *p, const search *space, int64_t but, history *h);
/* The same with all whose point is one of the space, lost ones too: among them are those that any
 * earlier suggestion saw. */
drmad_status past_history_all(past *p, const search *space, history *h);
void past_forget_space(past *p); /* before the space looked at goes */

/* The parameters that all COMPLETE trials have alike, by name: the space of a study that declares
 * while it runs. Gives *out, with n = 0 where there are none. */
drmad_status past_shared_space(past *p, search **out);
/* The parameters `names` as trial `like` has them: such a space of an earlier suggestion. Gives
 * *out. DRMAD_E_STORAGE: it has not all of them. */
drmad_status past_named_space(past *p, const past_trial *like, const json_t *names, search **out);

/* All curves that have a value, number rising, and `own`, as its trial knows it, at *at. */
drmad_status past_curves(past *p, const curve *own, const curve **curves, int32_t *n, int32_t *at);
const past_trial *past_find(const past *p, int64_t number); /* NULL: none */
#endif
