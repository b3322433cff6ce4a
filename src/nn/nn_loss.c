/* Losses of rows, what counts as right, and penalties. */
#include "nn/nn.h"

static node row_sum(graph *g, node x)
{
    return g_sum(g, x, 1u << 1);
}

/* The rows' matrix of label flips, [K, K]: odds with 1 on the diagonal, each row over its sum. */
static node transition(graph *g, node odds, int64_t k)
{
    const shape full = SHAPE(k, k);
    const dtype t = graph_dtype(g, odds);
    const node same = g_onehot(g, g_iota(g, I32, SHAPE(k), 0), k, t);
    const node other = g_sub(g, g_ones_like(g, same), same);
    const node m = g_add(g, same, g_mul(g, other, g_bcast(g, odds, full)));

    return g_mul(g, m, g_bcast(g, g_recip(g, row_sum(g, m)), full));
}

/* sum_k q_k f(p_k), f the logarithm or what generalised cross-entropy has in its place. */
static node likelihood(graph *g, node z, node q, const nn_doubt *d)
{
    const shape s = *graph_shape(g, z), line = SHAPE(s.dim[0], 1);
    node log_p, power;

    if (d->flips == NODE_NONE) {
        log_p = g_sub(g, z, g_bcast(g, g_logsumexp(g, z), s));
    } else {
        const node t = transition(g, d->flips, s.dim[1]);
        log_p = g_log(g, g_matmul(g, g_softmax(g, z), t, false, false));
    }
    if (d->gce == NODE_NONE) return row_sum(g, g_mul(g, q, log_p));
    power = g_exp(g, g_mul(g, g_bcast(g, d->gce, s), log_p));
    node off = g_sub(g, row_sum(g, g_mul(g, q, power)), g_fill(g, graph_dtype(g, z), line, 1));
    return g_mul(g, off, g_bcast(g, g_recip(g, d->gce), line));
}

static node smooth(graph *g, node q, node smoothing)
{
    if (smoothing == NODE_NONE || q == NODE_NONE) return q;
    const shape s = *graph_shape(g, q);
    const node even = g_fill(g, graph_dtype(g, q), s, 1.0 / (double)s.dim[1]);

    return g_add(g, q, g_mul(g, g_bcast(g, smoothing, s), g_sub(g, even, q)));
}

/* logsumexp(z) - sum_k q_k z_k with smoothed q, by sums of rows alone. */
static node cross_entropy(graph *g, node z, node q, node smoothing)
{
    const shape s = *graph_shape(g, z);
    node hit = row_sum(g, g_mul(g, q, z));

    if (smoothing != NODE_NONE) { /* sum_k q_k z_k = hit + e (mean z - hit) */
        node e = g_bcast(g, smoothing, SHAPE(s.dim[0], 1));
        node mean = g_scale(g, row_sum(g, z), 1.0 / (double)s.dim[1]);
        hit = g_add(g, hit, g_mul(g, e, g_sub(g, mean, hit)));
    }
    return g_sub(g, g_logsumexp(g, z), hit);
}

/* Of rows [n, K]. */
static node loss_of(graph *g, nn_loss loss, node z, node labels, const nn_doubt *doubt)
{
    const shape s = *graph_shape(g, z);
    const bool shared = labels != NODE_NONE && graph_dtype(g, labels) != I32;
    node q = shared ? labels : g_onehot(g, labels, s.dim[1], graph_dtype(g, z));

    if (loss == LOSS_SQUARED) {
        node d = g_sub(g, z, q);
        return g_scale(g, row_sum(g, g_mul(g, d, d)), 0.5);
    }
    if (loss == LOSS_LOGISTIC) return row_sum(g, g_sub(g, g_softplus(g, z), g_mul(g, q, z)));
    if (!doubt || (doubt->gce == NODE_NONE && doubt->flips == NODE_NONE))
        return cross_entropy(g, z, q, doubt ? doubt->smoothing : NODE_NONE);
    return g_neg(g, likelihood(g, z, smooth(g, q, doubt->smoothing), doubt));
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

node nn_row_loss(graph *g, nn_loss loss, node z, node labels, const nn_doubt *doubt)
{
    shape was;

    if (z == NODE_NONE) return NODE_NONE;
    const bool sequence = flatten_positions(g, &z, &labels, &was);
    node rows = z == NODE_NONE ? z : loss_of(g, loss, z, labels, doubt);

    return sequence ? mean_of_positions(g, rows, &was) : rows;
}

node nn_row_distillation(graph *g, node z, node theirs, node temperature)
{
    if (z == NODE_NONE || theirs == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, z), line = SHAPE(s.dim[0], 1);
    const node cool = g_bcast(g, g_recip(g, temperature), s);
    const node a = g_mul(g, z, cool), b = g_mul(g, theirs, cool);
    const node apart = row_sum(g, g_mul(g, g_softmax(g, b), g_sub(g, b, a)));
    const node kl = g_add(g, apart, g_sub(g, g_logsumexp(g, a), g_logsumexp(g, b)));

    return g_mul(g, kl, g_bcast(g, g_mul(g, temperature, temperature), line));
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
