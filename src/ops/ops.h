/* Builders: one a graph node, or a few composed. All take and give node indices; NODE_NONE in,
 * NODE_NONE out. Builders fold what needs no node: scale(scale), mul by 1, add of 0, bcast to the
 * same shape, transposes into matmul. A constant 0 times anything is 0, Inf and NaN included. The
 * operands of add and mul are put in order of age, so that a + b and b + a are one node. */
#ifndef OPS_H
#define OPS_H
#include "ops/op.h"

node g_fill(graph *g, dtype t, shape s, double value);
node g_fill_like(graph *g, node x, double value);
node g_zeros_like(graph *g, node x);
node g_ones_like(graph *g, node x);

node g_exp(graph *g, node x);
node g_log(graph *g, node x);
node g_sqrt(graph *g, node x);
node g_recip(graph *g, node x);
node g_tanh(graph *g, node x);
node g_sigmoid(graph *g, node x);
node g_softplus(graph *g, node x);
node g_erf(graph *g, node x);

node g_add(graph *g, node a, node b);
node g_sub(graph *g, node a, node b);
node g_mul(graph *g, node a, node b);
node g_scale(graph *g, node x, double f);
node g_neg(graph *g, node x); /* scale by -1 */
node g_sum(graph *g, node x, uint32_t axes);
node g_sum_to(graph *g, node x, shape s); /* sums where s has 1: the transpose of g_bcast */
node g_bcast(graph *g, node x, shape s);
node g_reshape(graph *g, node x, shape s);
node g_permute(graph *g, node x, const int32_t perm[]);
node g_transpose(graph *g, node x); /* rank 2 */
node g_slice(graph *g, node x, int32_t axis, int64_t start, int64_t length);
node g_pad(graph *g, node x, int32_t axis, int64_t before, int64_t total);
node g_gather(graph *g, node table, node index);
node g_scatter_add(graph *g, node rows, node index, int64_t n);
node g_cast(graph *g, node x, dtype t);
node g_take(graph *g, node x, node index);
node g_put(graph *g, node values, node index, shape s);
node g_matmul(graph *g, node a, node b, bool ta, bool tb);

/* Convolution and pooling of images [n, h, w, c]; a convolution's weight is [out, c/groups, kh, kw]
 * (PyTorch's layout). `v` needs its size only where no image is given (conv_dx, spread), its
 * kernel only where no weight is. */
node g_conv(graph *g, node x, node w, window v);
node g_conv_dx(graph *g, node dy, node w, window v);
node g_conv_dw(graph *g, node x, node dy, window v);
node g_sumpool(graph *g, node x, window v);
node g_spread(graph *g, node y, window v);
node g_maxpool_arg(graph *g, node x, window v);

/* Draws are those of base/rng.h: element i of a tensor is rng_uniform or rng_normal of (key, i),
 * f32 ones rounded (uniform: cut). `key`: i32[4], (seed low, seed high, step, unused). */
node g_uniform(graph *g, node key, uint32_t site, dtype t, shape s);
node g_normal(graph *g, node key, uint32_t site, dtype t, shape s);
node g_iota(graph *g, dtype t, shape s, int32_t axis); /* f32, f64 or i32 */

node g_logsumexp(graph *g, node x);
node g_rowmax(graph *g, node x);
node g_step(graph *g, node x);
node g_sign(graph *g, node x);
node g_onehot(graph *g, node index, int64_t classes, dtype t);
node g_argmax(graph *g, node x);

/* Compositions; no ops of their own, so they need no rules. */
node g_dot(graph *g, node a, node b); /* sum of a*b over everything, all dimensions 1 */
node g_sum_all(graph *g, node x);
node g_relu(graph *g, node x);    /* x * step(x); the derivative at 0 is 0 */
node g_abs(graph *g, node x);     /* x * sign(x) */
node g_gelu(graph *g, node x);    /* x/2 (1 + erf(x/sqrt 2)) */
node g_softmax(graph *g, node x); /* exp(x - logsumexp x) */
#endif
