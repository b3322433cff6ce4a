/* Losses of rows, what counts as right, and penalties. */
#include "nn/nn.h"

static node row_sum(graph *g, node x)
{
    return g_sum(g, x, 1u << 1);
}

/* Of rows [n, K]. */
static node loss_of(graph *g, nn_loss loss, node z, node labels, node smoothing)
{
    const shape s = *graph_shape(g, z);
    const bool shared = labels != NODE_NONE && graph_dtype(g, labels) != I32;
    node q = shared ? labels : g_onehot(g, labels, s.dim[1], graph_dtype(g, z));

    if (loss == LOSS_SQUARED) {
        node d = g_sub(g, z, q);
        return g_scale(g, row_sum(g, g_mul(g, d, d)), 0.5);
    }
    if (loss == LOSS_LOGISTIC) return row_sum(g, g_sub(g, g_softplus(g, z), g_mul(g, q, z)));
    node hit = row_sum(g, g_mul(g, q, z));
    if (smoothing != NODE_NONE) { /* sum_k q_k z_k = hit + e (mean z - hit) */
        node e = g_bcast(g, smoothing, SHAPE(s.dim[0], 1));
        node mean = g_scale(g, row_sum(g, z), 1.0 / (double)s.dim[1]);
        hit = g_add(g, hit, g_mul(g, e, g_sub(g, mean, hit)));
    }
    return g_sub(g, g_logsumexp(g, z), hit);
}

static node correct_of(graph *g, node z, node labels)
{
    const int64_t k = graph_shape(g, z)->dim[1];
    const dtype t = graph_dtype(g, z);

    return row_sum(g, g_mul(g, g_onehot(g, g_argmax(g, z), k, t), g_onehot(g, labels, k, t)));
}

/* Every position as a row: z [B, T, K] -> [B T, K], labels [B, T] -> [B T]. */
static bool flatten_positions(graph *g, node *z, node *labels, shape *was)
{
    *was = *graph_shape(g, *z);
    if (was->rank != 3) return false;
    *z = g_reshape(g, *z, SHAPE(was->dim[0] * was->dim[1], was->dim[2]));
    *labels = g_reshape(g, *labels, SHAPE(was->dim[0] * was->dim[1]));
    return true;
}

static node mean_of_positions(graph *g, node x, const shape *was)
{
    x = g_reshape(g, x, SHAPE(was->dim[0], was->dim[1]));
    return g_scale(g, row_sum(g, x), 1.0 / (double)was->dim[1]);
}

node nn_row_loss(graph *g, nn_loss loss, node z, node labels, node smoothing)
{
    shape was;

    if (z == NODE_NONE) return NODE_NONE;
    const bool sequence = flatten_positions(g, &z, &labels, &was);
    node rows = z == NODE_NONE ? z : loss_of(g, loss, z, labels, smoothing);

    return sequence ? mean_of_positions(g, rows, &was) : rows;
}

node nn_row_correct(graph *g, node z, node labels)
{
    shape was;

    if (z == NODE_NONE) return NODE_NONE;
    const bool sequence = flatten_positions(g, &z, &labels, &was);
    node rows = z == NODE_NONE ? z : correct_of(g, z, labels);

    return sequence ? mean_of_positions(g, rows, &was) : rows;
}

/* <lambda spread over w, x> as one element [1,1]. */
static node penalty(graph *g, node w, node lambda, node x)
{
    if (w == NODE_NONE) return NODE_NONE;
    return g_reshape(g, g_dot(g, g_bcast(g, lambda, *graph_shape(g, w)), x), SHAPE(1, 1));
}

node nn_l2(graph *g, node w, node lambda)
{
    return g_scale(g, penalty(g, w, lambda, g_mul(g, w, w)), 0.5);
}

node nn_l1(graph *g, node w, node lambda)
{
    return penalty(g, w, lambda, g_abs(g, w));
}
