/* When to look elsewhere: the niche search, read off the trials so far.
 *
 * Once the model's proposals gain nothing more the basin of the best point is finished: a ball about
 * it is closed. From then on most proposals come from a model that does not know the data within
 * the closed balls and proposes nothing there; it finds the next basin, and so on. Some still come
 * from the model of all.
 *
 * A proposal gains when y < best - tau (M - best), M the median of all y so far. After `patience`
 * proposals in a row that did not, of a model whose own largest expected improvement is also below
 * exp(idle) standard deviations, the ball |z - z_best| < radius sqrt(d) is closed.
 *
 * Source: ours, docs/SEARCH.md; the idea of a tabu region is Glover's ("Tabu search", ORSA J. Comput.
 *         1 (1989), 190-206).
 * Threads: pure. */
#ifndef NICHE_H
#define NICHE_H
#include "bo/gp_note.h"
#include "bo/history.h"

typedef struct niche_options {
    bool on;
    int32_t patience, every; /* of `every` proposals one comes from the model of all */
    double tau, radius, idle;
} niche_options;

/* One finished trial. */
typedef struct niche_row {
    double value; /* NaN: not complete */
    const double *z;
    const gp_note *note;
} niche_row;

/* The centres of the balls that are closed after these trials (number rising): rows' places into
 * centres[n]. */
drmad_status niche_closed(drmad_ctx *ctx, const niche_options *o, const niche_row *rows, int32_t n,
                          int32_t columns, int32_t groups, int32_t *centres, int32_t *n_centres);
/* Whether z lies in a ball about one of the first `balls` centres. */
bool niche_within(const niche_options *o, const niche_row *rows, const int32_t *centres,
                  int32_t balls, const double *z, int32_t columns, int32_t groups);
#endif
