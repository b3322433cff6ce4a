/* Smooth functions of one element: y = f(x), with f' written in y where that is cheaper or, at
 * saturation, more exact. Each new node f' is built from the op set, so it has a derivative in
 * turn. */
#include "ops/rules.h"
#include <math.h>

static node exp_partial(graph *g, node y)
{
    (void)g;
    return y;
}

static node log_partial(graph *g, node y)
{
    return g_recip(g, op_in(g, y, 0));
}

/* 1 / (2 y) */
static node sqrt_partial(graph *g, node y)
{
    return g_scale(g, g_recip(g, y), 0.5);
}

/* -1/x^2 = -y^2 */
static node recip_partial(graph *g, node y)
{
    return g_neg(g, g_mul(g, y, y));
}

/* 1 - y^2 */
static node tanh_partial(graph *g, node y)
{
    return g_sub(g, g_ones_like(g, y), g_mul(g, y, y));
}

/* y (1 - y) */
static node sigmoid_partial(graph *g, node y)
{
    return g_mul(g, y, g_sub(g, g_ones_like(g, y), y));
}

static node softplus_partial(graph *g, node y)
{
    return g_sigmoid(g, op_in(g, y, 0));
}

/* 2/sqrt(pi) exp(-x^2) */
static node erf_partial(graph *g, node y)
{
    node x = op_in(g, y, 0);

    return g_scale(g, g_exp(g, g_neg(g, g_mul(g, x, x))), M_2_SQRTPI);
}

#define DIAG(op)                                                                                   \
    const op_def op_##op = {.name = #op,                                                           \
                            .arity = 1,                                                            \
                            .kind = OP_DIAG,                                                       \
                            .flags = OP_ELEMENTWISE,                                               \
                            .infer = infer_same,                                                   \
                            .partial = op##_partial};                                              \
    node g_##op(graph *g, node x)                                                                  \
    {                                                                                              \
        return op_unary(g, OP_##op, x);                                                            \
    }

DIAG(exp)
DIAG(log)
DIAG(sqrt)
DIAG(recip)
DIAG(tanh)
DIAG(sigmoid)
DIAG(softplus)
DIAG(erf)
