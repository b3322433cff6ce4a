/* Samplers: where the next trial looks.
 *
 *   sampler_new(options, space) -> sampler_suggest(history, number) -> x, note
 *   note, history as it is later -> sampler_note_options, sampler_seen -> the same again
 *
 * A suggestion is a pure function of (options, space, number, history), so that a study whose
 * workers ran side by side can be replayed. What a sampler keeps between calls are factors and
 * fits that it would compute again, to the bit, without them. A fit that starts from an earlier one
 * finds that in the note of the earlier trial, which belongs to the history.
 *
 * The note of a suggestion says how it was made and which trials were seen:
 *   {"sampler": "gp", "seed": 1, ..., "seen": "0-6,8", "pending": "7", "hash": "...",
 *    "model": {...}}
 * "model" is the sampler's own; note.c has the rest. Random and Sobol points look at nothing: their
 * notes end before "seen".
 *
 * Threads: one sampler, one thread at a time; the functions without a sampler are pure. */
#ifndef SAMPLER_H
#define SAMPLER_H
#include "bo/history.h"
#include "space/search.h"

typedef enum sampler_kind {
    SAMPLER_RANDOM,
    SAMPLER_SOBOL,
    SAMPLER_TPE,
    SAMPLER_GP,
    SAMPLER_CMAES
} sampler_kind;

typedef struct sampler_options {
    sampler_kind kind;
    uint64_t seed;
    int32_t startup; /* trials before the model: Sobol points; 0: the sampler's own choice */
    bool gradients;  /* gp: observations' gradients are used where there are any */
} sampler_options;

typedef struct sampler sampler;

/* Gives *out, which keeps `space` (to outlive it). DRMAD_E_MISSING: a library that the sampler
 * needs is missing; the message names its package. */
drmad_status sampler_new(drmad_ctx *ctx, const sampler_options *o, const search *space,
                         sampler **out);
void sampler_free(sampler *s); /* NULL is fine */

/* Fills in what of x[space->n] is missing (NaN), conditions and rules heeded, for trial `number`;
 * values that are there stay. Rows of h with a number >= `number` are pending or finished before it
 * was asked for, and count like others. *note: to be kept with the trial, from the context's
 * memory. DRMAD_E_CONFIG: no point keeps the rules. Trouble with numbers is no error: the point is
 * then one of the start design. */
drmad_status sampler_suggest(sampler *s, const history *h, int64_t number, double *x, char **note);

/* Whether this kind looks at the trials so far; random and sobol do not. */
bool sampler_looks(sampler_kind kind);
const char *sampler_word(sampler_kind kind); /* "gp" */
bool sampler_kind_of(const char *word, sampler_kind *out);

/* ---- notes: note.c ---- */

/* The note of a point that was drawn without looking at a space's trials: options alone. */
drmad_status sampler_note_blind(drmad_ctx *ctx, const sampler_options *o, char **note);
/* How the suggestion was made. DRMAD_E_STORAGE: the note cannot be read. */
drmad_status sampler_note_options(drmad_ctx *ctx, const char *note, sampler_options *o);
/* The finished trials that it saw, numbers below `end`; gives *seen (mem_free), NULL where it
 * looked at nothing. */
drmad_status sampler_note_numbers(drmad_ctx *ctx, const char *note, int32_t end, int64_t **seen,
                                  int32_t *n);
/* The part of `h`, points of the sampler's space, that the suggestion with this note looked at:
 * trials that it calls pending are so again, whatever came of them since. Gives rows[] (mem_free),
 * which point into h. DRMAD_E_STORAGE: the note cannot be read, a trial that it names is not in h,
 * or one of them, or the space, is not what it was. */
drmad_status sampler_seen(const sampler *s, const char *note, const history *h, observation **rows,
                          int32_t *n);

/* ---- points without a model ---- */

/* u in [0, 1)^n for trial `number`; `attempt` counts points refused by a rule. Coordinate i depends
 * on (seed, number, attempt, i) alone. n <= 65536. */
void sample_random(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u);

enum { SOBOL_DIMS = 64 }; /* coordinates beyond are random */
/* Point `number` of an Owen-scrambled Sobol sequence: the first 2^k points have, in every
 * coordinate, one in each of 2^k equal intervals. An attempt after the first gives a random
 * point. */
void sample_sobol(uint64_t seed, int64_t number, int32_t attempt, int32_t n, double *u);
#endif
