/* What the GP sampler keeps with a suggestion:
 *   {"turn": "base", "ei": -3.25, "fit": {"rows": 40, "phi": ["0x1.8p+1", ...]}}
 * "turn": whose it was; "balls": how many were closed then; "ei": the largest acquisition, in
 * natural logarithms, or "mean": the least mean, where that was asked for; "fit": the
 * hyperparameters, bit for bit, where they were fitted for this suggestion, after that many
 * trials. */
#ifndef GP_NOTE_H
#define GP_NOTE_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* base: all data, no noise expected; noisy: all data, noise expected; niche: the data outside the
 * closed balls. */
typedef enum gp_turn { GP_NONE, GP_BASE, GP_NOISY, GP_NICHE } gp_turn;

typedef struct gp_note {
    gp_turn turn;
    int32_t balls, rows; /* rows: of the fit; 0: none was made */
    double ei;   /* NaN: polished */
    double mean; /* where polished */
} gp_note;

/* GP_NONE for a model that is none. */
gp_note gp_note_read(const json_t *model);
/* phi[n] of a note with a fit; false: there are not n. */
bool gp_note_phi(const json_t *model, double *phi, int32_t n);
/* NULL: no memory. phi NULL: no fit. */
json_t *gp_note_make(const gp_note *note, const double *phi, int32_t n);
#endif
