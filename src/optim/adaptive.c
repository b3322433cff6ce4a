/* What the optimisers that divide by an averaged square share. */
#include "optim/family.h"
#include <math.h>

drmad_status optim_adaptive_check(drmad_ctx *ctx, const optim_spec *o)
{
    if (o->form != FORM_PYTORCH || o->nesterov || o->dampening != 0)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "optimizer: form, nesterov and dampening are those of sgd alone");
    return DRMAD_OK;
}

node optim_keep(graph *g, node beta, node x)
{
    return g_cast(g, beta, graph_rec(g, x)->dtype);
}

node optim_gain(graph *g, node beta, node x)
{
    return g_cast(g, optim_one_minus(g, beta), graph_rec(g, x)->dtype);
}

/* e^(t log beta); of beta = 0 that is 0. */
node optim_power(graph *g, node beta, node step)
{
    return g_exp(g, optim_times(g, step, g_log(g, beta)));
}

node optim_correction(graph *g, node beta, node step, node x)
{
    return g_cast(g, optim_one_minus(g, optim_power(g, beta, step)), graph_rec(g, x)->dtype);
}

node optim_average(graph *g, node beta, node x, node y)
{
    return g_add(g, optim_times(g, optim_keep(g, beta, x), x),
                 optim_times(g, optim_gain(g, beta, x), y));
}

/* Where x = 0 all gradients so far were 0, and the step is 0 along any of them: without the mask
 * its derivative would be 0 times infinity. */
node optim_root(graph *g, node x)
{
    const node above = g_step(g, x);

    return g_mul(g, above, g_sqrt(g, g_add(g, g_mul(g, above, x), optim_one_minus(g, above))));
}

node optim_inverse_root(graph *g, const optim_spec *o, node x, node eps)
{
    const node wide = g_bcast(g, eps, *graph_shape(g, x));

    if (o->eps_inside) return g_recip(g, g_sqrt(g, g_add(g, x, wide)));
    return g_recip(g, g_add(g, optim_root(g, x), wide));
}

node optim_choose(graph *g, node m, node a, node b)
{
    return g_add(g, g_mul(g, m, a), g_mul(g, optim_one_minus(g, m), b));
}

node optim_squares_before(graph *g, const optim_spec *o, const optim_step *st, node next, node low)
{
    const node beta = st->in.h[OPTIM_BETA2], high = g_scale(g, low, SQUARES_CELL);
    const node added = optim_times(g, optim_gain(g, beta, next), g_mul(g, st->p, st->p));
    node v = optim_times(g, g_recip(g, optim_keep(g, beta, next)), g_sub(g, next, added));

    (void)o;
    v = optim_choose(g, g_step(g, g_sub(g, v, low)), v, low);
    return optim_choose(g, g_step(g, g_sub(g, high, v)), v, high);
}

/* Corrected, p/|p|; RMSprop's is p/sqrt((1 - alpha) p^2). */
double optim_first_step(const optim_spec *o, double beta2)
{
    if (o->kind == OPTIM_SGD) return 0;
    return o->kind == OPTIM_RMSPROP ? 1 / sqrt(1 - beta2) : 1;
}
