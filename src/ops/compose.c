/* Functions made of several nodes: they need no rules of their own. */
#include "ops/rules.h"
#include <math.h>

node g_sum_all(graph *g, node x)
{
    return g_sum(g, x, (1u << graph_shape(g, x)->rank) - 1);
}

node g_dot(graph *g, node a, node b)
{
    return g_sum_all(g, g_mul(g, a, b));
}

node g_relu(graph *g, node x)
{
    return g_mul(g, x, g_step(g, x));
}

node g_abs(graph *g, node x)
{
    return g_mul(g, x, g_sign(g, x));
}

/* x/2 (1 + erf(x / sqrt 2)), Hendrycks and Gimpel, arXiv 1606.08415 */
node g_gelu(graph *g, node x)
{
    node cdf = g_add(g, g_ones_like(g, x), g_erf(g, g_scale(g, x, M_SQRT1_2)));

    return g_mul(g, g_scale(g, x, 0.5), cdf);
}

node g_softmax(graph *g, node x)
{
    return g_exp(g, g_sub(g, x, g_bcast(g, g_logsumexp(g, x), *graph_shape(g, x))));
}
