/* The covariance matrix adaptation evolution strategy on the unit cube, one generation at a time.
 *
 *   cma_start(mean) -> cma_draw ... -> cma_update(members, best first) -> cma_margin -> cma_draw
 *
 * Ownership: cma_new gives; `lin` must outlive it.
 * Threads: one strategy, one thread at a time. */
#ifndef CMA_H
#define CMA_H
#include "base/rng.h"
#include "linalg/linalg.h"

typedef struct cma cma;

/* What is known of a member's coordinate: a point (from == to), a stretch of a grid, without end
 * at the borders, or nothing (-INFINITY to INFINITY). */
typedef struct cma_span {
    double from, to;
} cma_span;

int32_t cma_size(int32_t d); /* members of a generation */
drmad_status cma_new(drmad_ctx *ctx, const linalg *lin, int32_t d, cma **out);
void cma_free(cma *c); /* NULL is fine */

void cma_start(cma *c, const double *mean);
/* v[d], anywhere, from d elements of the key. */
void cma_draw(const cma *c, rng_key key, uint64_t element, double *v);
/* `members`: m * d spans, m <= cma_size, best first; `keys`: m elements to draw from what a span
 * leaves open, d elements each. DRMAD_E_NOMEM; trouble with numbers makes it start anew. */
drmad_status cma_update(cma *c, int32_t m, const cma_span *members, rng_key key,
                        const uint64_t *elements);
/* Coordinate i is on a grid and its mean within `cell`: each neighbour is to be drawn with
 * probability 1 / (2 d members) at least. */
void cma_margin(cma *c, int32_t i, cma_span cell);

const double *cma_mean(const cma *c);
double cma_sd(const cma *c, int32_t i); /* of a draw's coordinate */
#endif
