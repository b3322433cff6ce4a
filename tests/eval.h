/* The oracle: a graph computed by plain loops, one node after the other, with nothing shared with
 * the kernels.
 *
 * leaves[i] is the memory bound to leaf number i, in that leaf's dtype; NULL where no root needs
 * it. out[i] belongs to the caller and takes the elements of roots[i], row-major,
 * shape_count(graph_shape(g, roots[i])) of them, as doubles whatever the dtype; a root NODE_NONE
 * writes nothing.
 *
 * Every node is computed in double from its operands' values and, when it is f32, rounded once.
 * Sums run in index order. A graph that cannot run (a missing leaf, an index out of range) ends
 * the test program with a message. */
#ifndef EVAL_H
#define EVAL_H
#include "ops/ops.h"

void eval(const graph *g, const void *const *leaves, int n, const node *roots, double *const *out);

/* One root; the array is the caller's, to free(). */
double *eval_one(const graph *g, const void *const *leaves, node root);
#endif
