/* Layers on sequences [B, t, c]: embeddings, positions, the class token and attention. */
#include "nn/nn_inside.h"
#include <math.h>

/* Ids [B, t] -> their rows of the table. */
node nn_build_embedding(const nn_build *b)
{
    const shape s = nn_batch_shape(b);
    node ids = g_reshape(b->g, b->in[0], SHAPE(s.dim[0] * s.dim[1]));

    return g_reshape(b->g, g_gather(b->g, b->w[b->l->first], ids), s);
}

/* One learned vector a position, of every row of the batch. */
node nn_build_position(const nn_build *b)
{
    const shape s = nn_batch_shape(b);
    node p = g_reshape(b->g, b->w[b->l->first], SHAPE(1, s.dim[1], s.dim[2]));

    return g_add(b->g, b->in[0], g_bcast(b->g, p, s));
}

node nn_build_class_token(const nn_build *b)
{
    const shape s = nn_batch_shape(b);
    const node token = g_bcast(b->g, b->w[b->l->first], SHAPE(s.dim[0], 1, s.dim[2]));

    return nn_join(b->g, (const node[]){token, b->in[0]}, 2, 1);
}

node nn_build_first_token(const nn_build *b)
{
    return g_reshape(b->g, g_slice(b->g, b->in[0], 1, 0, 1), nn_batch_shape(b));
}

/* Part k of the columns, [B, t, 3 c] -> [B heads, t, c/heads]. */
static node heads_of(const nn_build *b, int k)
{
    const shape s = nn_batch_shape(b);
    const int64_t heads = b->l->heads, width = s.dim[2] / heads;
    node x = g_slice(b->g, b->in[0], 2, k * s.dim[2], s.dim[2]);

    x = g_reshape(b->g, x, SHAPE(s.dim[0], s.dim[1], heads, width));
    x = g_permute(b->g, x, (const int32_t[]){0, 2, 1, 3});
    return g_reshape(b->g, x, SHAPE(s.dim[0] * heads, s.dim[1], width));
}

/* What makes exp() of a score 0, in f32 and f64. */
#define HIDDEN (-1e30)

/* Scores of positions behind the one that looks become HIDDEN. */
static node hide_future(graph *g, node scores)
{
    if (scores == NODE_NONE) return NODE_NONE;
    const shape s = *graph_shape(g, scores);
    const dtype t = graph_dtype(g, scores);
    const shape one = SHAPE(1, s.dim[1], s.dim[2]);
    node behind = g_step(g, g_sub(g, g_iota(g, t, one, 2), g_iota(g, t, one, 1)));

    return g_add(g, scores, g_bcast(g, g_scale(g, behind, HIDDEN), s));
}

/* softmax(q k' / sqrt(d)) v, each head for itself: Vaswani et al., NeurIPS 2017. Columns are
 * queries, keys and values of all heads, as timm's qkv and nanoGPT's c_attn give them. */
node nn_build_attention(const nn_build *b)
{
    graph *g = b->g;
    const shape s = nn_batch_shape(b);
    const int64_t heads = b->l->heads, width = s.dim[2] / heads;
    node scores = g_matmul(g, heads_of(b, 0), heads_of(b, 1), false, true);

    scores = g_scale(g, scores, 1 / sqrt((double)width));
    if (b->l->causal) scores = hide_future(g, scores);
    if (scores == NODE_NONE) return NODE_NONE;
    node y = g_matmul(g, g_softmax(g, scores), heads_of(b, 2), false, false);
    y = g_reshape(g, y, SHAPE(s.dim[0], heads, s.dim[1], width));
    return g_reshape(g, g_permute(g, y, (const int32_t[]){0, 2, 1, 3}), s);
}
