/* Gradient clipping: torch.nn.utils.clip_grad_norm_ and clip_grad_value_, 2.13.
 *
 *   norm    g <- g min(1, at/(|g| + 1e-6)), |g| over all tensors together
 *   value   g <- max(-at, min(g, at)) */
#include "optim/family.h"

static node clipped_values(graph *g, node grad, node at)
{
    const shape s = *graph_shape(g, grad);
    const node limit = g_bcast(g, g_reshape(g, at, shape_ones(s.rank)), s);
    const node over = g_step(g, g_sub(g, g_abs(g, grad), limit));

    return optim_choose(g, over, g_mul(g, g_sign(g, grad), limit), grad);
}

/* min(1, at/(|g| + 1e-6)), one element. */
static node norm_factor(graph *g, int32_t n, node at, const node *grad)
{
    node sum = NODE_NONE;

    for (int32_t i = 0; i < n; i++) {
        if (grad[i] == NODE_NONE) continue;
        const node square = g_reshape(g, g_dot(g, grad[i], grad[i]), SHAPE(1));
        sum = sum == NODE_NONE ? square : g_add(g, sum, square);
    }
    const node one = g_ones_like(g, sum);
    const node norm = g_add(g, optim_root(g, sum), g_scale(g, one, 1e-6));
    const node f = g_mul(g, at, g_recip(g, norm));
    return optim_choose(g, g_step(g, g_sub(g, one, f)), f, one);
}

void optim_clip_build(graph *g, const optim_spec *o, int32_t n, node at, node *grad)
{
    if (o->clip == CLIP_NONE) return;
    const node f = o->clip == CLIP_NORM ? norm_factor(g, n, at, grad) : NODE_NONE;

    for (int32_t i = 0; i < n; i++) {
        if (grad[i] == NODE_NONE) continue;
        const shape one = shape_ones(graph_shape(g, grad[i])->rank);
        grad[i] = o->clip == CLIP_NORM ? optim_times(g, g_reshape(g, f, one), grad[i])
                                       : clipped_values(g, grad[i], at);
    }
}
