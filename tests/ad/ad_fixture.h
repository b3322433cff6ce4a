/* A graph with seeded data behind its leaves, and the checks on derivatives that all tests of ad/
 * share. */
#ifndef AD_FIXTURE_H
#define AD_FIXTURE_H
#include "ad/ad.h"
#include "base/rng.h"
#include "eval.h"
#include "test.h"

enum { FX_LEAVES = 128, FX_NODES = 32 };

typedef struct fx {
    graph *g;
    uint64_t seed, drawn;
    void *data[FX_LEAVES]; /* by leaf number; f64 or i32 */
} fx;

/* A list of nodes: what a function takes or gives. */
typedef struct nodes {
    int n;
    node at[FX_NODES];
} nodes;

void fx_open(fx *f, uint64_t seed);
void fx_close(fx *f);
double fx_draw(fx *f, double lo, double hi);
int64_t fx_dim(fx *f);               /* 1 to 4; 1 for every third draw or so */
shape fx_shape(fx *f, int32_t rank); /* of such dimensions */

node fx_uniform(fx *f, shape s, double lo, double hi); /* an f64 leaf */
node fx_away(fx *f, shape s);                          /* of both signs, at least 0.3 from zero */
node fx_like(fx *f, node x);                           /* in [-1, 1], of x's shape */
node fx_index(fx *f, int64_t count, int64_t below);    /* an i32 leaf */
nodes fx_like_all(fx *f, const nodes *x);
void nodes_add(nodes *list, node n);
void nodes_append(nodes *list, const nodes *more); /* but NODE_NONE */

double *fx_value(fx *f, node n); /* to free() */
/* sum over i of <a_i, b_i>; NODE_NONE is zero. *size, unless NULL: the sum of the absolute values
 * of the terms. */
double fx_dot(fx *f, const nodes *a, const nodes *b, double *size);
/* The largest |a_i - b_i| over the largest |b_i|. NODE_NONE is zero. */
double fx_distance(fx *f, const nodes *a, const nodes *b);

nodes fx_vjp(fx *f, const nodes *y, const nodes *c, const nodes *x);
nodes fx_jvp(fx *f, const nodes *x, const nodes *t, const nodes *y);

/* What the differences can give: the step, and what is left of the error, relative to 1 + the
 * largest value; and the rounding of one product, relative to the sum of its terms' sizes. */
typedef struct tolerance {
    double step, difference, rounding;
} tolerance;

extern const tolerance fx_smooth;

/* JVP of y along random t against differences; VJP by <c, J t> = <J'c, t>; then, while order > 1,
 * the same of the VJP as a function of x and c. */
void fx_check_derivs(fx *f, const nodes *y, const nodes *x, int order, const tolerance *tol);
#endif
