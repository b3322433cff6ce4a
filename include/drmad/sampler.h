/* A sampler without a store: the caller keeps the trials and asks where to look next.
 *
 *   const char *const settings[] = {"sampler=gp", "seed=1"};
 *   drmad_sampler_new(ctx, settings, 2, &s);
 *   drmad_sampler_add_param(s, "lr", "{\"name\": \"FloatDistribution\", ...}", &index);
 *   for (int64_t number = 0; number < 100; number++) {
 *       double x = NAN;
 *       drmad_sampler_suggest(s, number, &x);
 *       drmad_sampler_observe(s, number, "COMPLETE", &x, loss(x), 0);
 *   }
 *
 * A point is an array x with one double a parameter, in the order of their declaration and in
 * Optuna's internal form: the number itself for float and int (also under log), the index of the
 * choice for a categorical, NaN for a parameter that the trial does not have.
 * A suggestion is a function of the settings, the parameters, what was observed until then, and the
 * trial's number.
 * Ownership: new gives, free takes. Strings and arrays are copied.
 * Threads:   one sampler, one thread at a time; different samplers on different contexts need no
 *            lock. */
#ifndef DRMAD_SAMPLER_H
#define DRMAD_SAMPLER_H
#include "drmad/ctx.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drmad_sampler drmad_sampler;

/* A sampler that knows no parameter yet. The `n` settings are "key=value":
 *   sampler    gp (default), tpe, cmaes, sobol, random
 *   direction  minimize (default), maximize
 *   seed       0 to 2^53 [1]
 *   startup    trials before the model is used: Sobol points; 0 (default): the sampler's own choice
 *   gradients  true: gp learns from drmad_sampler_gradient; false (default)
 * DRMAD_E_USAGE: a key or value that is none. */
DRMAD_API drmad_status drmad_sampler_new(drmad_ctx *ctx, const char *const *settings, int n,
                                         drmad_sampler **out);
DRMAD_API void drmad_sampler_free(drmad_sampler *s); /* NULL is fine */

/* Declares a parameter by Optuna's JSON of its distribution; *index is its place in x. One of that
 * name that is there keeps its place and gets the new range; its type, log and choices must be the
 * same (DRMAD_E_CONFIG). Trials observed before it have NaN there. */
DRMAD_API drmad_status drmad_sampler_add_param(drmad_sampler *s, const char *name,
                                               const char *distribution, int *index);

/* What is known of trial `number` >= 0; what was known of it before is replaced. State "COMPLETE"
 * with the objective's value, "PRUNED" with the last value that it reported (NaN: none) and the
 * step of that report, "FAIL" or "RUNNING" with NaN. A value that is not finite counts as a
 * failure; a point outside the declared ranges is kept, and not looked at. */
DRMAD_API drmad_status drmad_sampler_observe(drmad_sampler *s, int64_t number, const char *state,
                                             const double *x, double value, int64_t step);
/* d value / d x at the point of trial `number`, which must be observed already (DRMAD_E_USAGE): one
 * double a parameter, by the parameter itself and not its logarithm, NaN where it is not known. Of
 * choices and of trials that are not COMPLETE it does not count. Another point observed for the
 * trial takes it back. */
DRMAD_API drmad_status drmad_sampler_gradient(drmad_sampler *s, int64_t number,
                                              const double *gradient);
/* Takes back what is known of it. Fine when nothing is. */
DRMAD_API void drmad_sampler_forget(drmad_sampler *s, int64_t number);

/* Fills in the values of x that are NaN, for trial `number`; values that are there stay. The trial
 * counts as running from then on, at x. What is known of it already does not count.
 * DRMAD_E_MISSING: a library that the sampler needs is not installed; the message names it. */
DRMAD_API drmad_status drmad_sampler_suggest(drmad_sampler *s, int64_t number, double *x);

#ifdef __cplusplus
}
#endif
#endif
