/* When to look elsewhere: the niche search, read off the trials so far.
 *
 * Once proposals gain nothing more the basin of the best point is finished: a ball about it is
 * closed. From then on most proposals come from a model that does not know the data within the
 * closed balls and proposes nothing there, nor where the way up leads into one (acquire.h); it
 * finds the next basin, and so on. Some still come from the model of all, which polishes.
 *
 * A proposal gains when y < best - tau (M - best), M the median of all y so far; best: of what its
 * model knows. After `patience` proposals of one model in a row that did not, the ball
 * |z - z_best| < radius sqrt(d) is closed: the first only when the model itself expects less than
 * exp(idle) standard deviations of its targets, a further one after two when it expects less than
 * exp(spent).
 *
 * Source: ours, docs/SEARCH.md; the idea of a tabu region is Glover's ("Tabu search", ORSA J.
 *         Comput. 1 (1989), 190-206).
 * Threads: pure. */
#ifndef NICHE_H
#define NICHE_H
#include "bo/gp_note.h"
#include "bo/history.h"

typedef struct niche_options {
    bool on;
    int32_t patience;
    int32_t every; /* of so many proposals one comes from the model of all */
    double tau, radius, idle, spent;
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
