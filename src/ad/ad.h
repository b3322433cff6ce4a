/* Derivatives, graph to graph. Every function adds nodes to the graph and computes nothing. */
#ifndef AD_H
#define AD_H
#include "ops/ops.h"

/* Cotangents: out[j] = sum_i (dy_i/dx_j)' c_i. c_i has the shape of y_i; NODE_NONE is a zero
 * cotangent, in and out. x_j may be any node; a path that passes through another x is followed on
 * past it. */
drmad_status ad_vjp(graph *g, int ny, const node *y, const node *c, int nx, const node *x,
                    node *out);

/* Tangents: out[i] = sum_j (dy_i/dx_j) t_j. NODE_NONE is a zero tangent, in and out. A path that
 * passes through another x adds to that one's own tangent. */
drmad_status ad_jvp(graph *g, int nx, const node *x, const node *t, int ny, const node *y,
                    node *out);

/* <dL/dx_j, u_j> for each j, without forming dL/dx_j: every use y of x_j contributes <c_y,
 * op_i(u_j)> instead of <transpose_i(c_y), u_j>. The op_i(u_j) are those of a JVP along u, so
 * after one they cost nothing but the dot. L has one element. out[j] has all dimensions 1 (rank of
 * the first use), NODE_NONE when L does not depend on x_j. */
drmad_status ad_pairing(graph *g, node loss, int nx, const node *x, const node *u, node *out);

/* The nodes of `y` with every node from[i] replaced by to[i], rebuilt above them. */
drmad_status ad_substitute(graph *g, int n, const node *from, const node *to, int ny, const node *y,
                           node *out);

/* What is computed for its own sake, and from which parameters. */
typedef struct ad_forward {
    const node *y, *w; /* y: NODE_NONE is passed by */
    int n, parameters;
} ad_forward;

/* Rewrites y[0..ny), gradients of what `f` computes: f32 activations of at least `least` bytes that
 * they read are read as BF16 has kept them, each with a relative error of at most 2^-9 (keep.c); f
 * itself stays as it is. No derivative of the result: ad_vjp and ad_jvp refuse. */
drmad_status ad_keep_bf16(graph *g, const ad_forward *f, size_t least, int ny, node *y);
#endif
