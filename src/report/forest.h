/* Regression trees over a box of parameters, as fANOVA needs them: each leaf is a part of the box
 * with one value.
 *
 * Coordinates are 0 to 1, or, where choices[j] > 0, one of 0 .. choices[j] - 1 (at most 64), which
 * count alike.
 * Source: Breiman, "Random Forests", Machine Learning 45 (2001); every coordinate is looked at for
 *         every split, as regression forests do. Choices are split one against the rest.
 * Threads: pure functions. */
#ifndef FOREST_H
#define FOREST_H
#include "base/base.h"

enum { FOREST_CHOICES_MAX = 64 };

typedef struct forest_data {
    int32_t n, d;
    const double *x; /* n rows of d */
    const double *y;
    const int32_t *choices; /* d; 0: a number */
} forest_data;

/* Where a leaf lies: [low, high) of a number, a set of choices. */
typedef struct forest_side {
    double low, high;
    uint64_t set;
} forest_side;

typedef struct forest_tree {
    drmad_ctx *ctx;
    int32_t n_leaves, room, d;
    double *values;     /* one a leaf */
    forest_side *sides; /* d a leaf */
} forest_tree;

/* Tree `number` of the forest of `seed`, grown on a bootstrap sample until leaves are pure; gives
 * *out, which tree_free empties. */
drmad_status forest_grow(drmad_ctx *ctx, const forest_data *data, uint64_t seed, uint32_t number,
                         forest_tree *out);
void forest_free(forest_tree *t);
/* The share of coordinate j that a leaf covers. */
double forest_share(const forest_side *s, int32_t choices);
#endif
