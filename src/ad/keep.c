/* What a gradient keeps of the way forward, kept in BF16.
 *
 * A large value of the way forward that the gradient reads is read as cast(cast(v, BF16), F32): the
 * way forward itself stays as it was, and between the two only half of the bytes are alive. How few
 * of them:
 *
 *   moved       a view, slice, broadcast or multiple is made again of what it moves
 *   cheap       sums, differences and products of at most two values that are kept anyway, and of
 *               small ones, are computed again of those: the normalised image from the centred one
 *   relu, step  x step(x) is kept itself, and step(x) is step of it: rounding leaves the sign
 *               alone, so a mask is never another than that of the way forward
 *   the rest    is kept
 *
 * What follows from parameters alone, or from the data in a few cheap steps, is read as it is.
 *
 * Source:  Chakrabarti, Moseley, "Backprop with approximate activations for
 *          memory-efficient network training", NeurIPS 2019: exact activations
 *          forward, approximate ones for the gradient.
 * Differs: bf16 in place of 4 or 8 bits a value with a scale; masks exact by their sign. */
#include "ad/ad.h"

enum { SOURCES_MAX = 2 };

/* Of which kept values a value can be computed again in a few cheap steps. */
typedef struct origin {
    node from[SOURCES_MAX];
    int8_t n; /* -1: it cannot; 0: nothing kept is needed, it is read as it is */
} origin;

typedef struct keep {
    graph *g;
    size_t least;
    int32_t size; /* nodes before */
    bool *forward, *backward, *batch, *read, *kept;
    origin *origin;
    node *to; /* what the gradient reads in place of a node; NODE_NONE: not yet made */
} keep;

static const node_rec *rec(const keep *k, node n)
{
    return graph_rec(k->g, n);
}

static int arity(const keep *k, node n)
{
    return op_get(rec(k, n)->op)->arity;
}

static bool is_moved(int32_t op)
{
    return op == OP_reshape || op == OP_slice || op == OP_bcast || op == OP_scale;
}

static bool is_cheap(int32_t op)
{
    return op == OP_add || op == OP_sub || op == OP_mul || is_moved(op);
}

static bool is_step(int32_t op)
{
    return op == OP_step || op == OP_sign;
}

/* An activation: it comes from the batch, and is worth the trouble. */
static bool is_large(const keep *k, node n)
{
    size_t bytes;

    return k->batch[n] && rec(k, n)->dtype == F32 && rec(k, n)->op != OP_leaf &&
           shape_bytes(&rec(k, n)->shape, F32, &bytes) && bytes >= k->least;
}

/* n's other half where n = step(x): x step(x), where the way forward has it. */
static node relu_of(const keep *k, node n)
{
    node_rec r = {.op = OP_mul, .dtype = F32, .shape = rec(k, n)->shape};

    if (rec(k, n)->op != OP_step) return NODE_NONE;
    r.in[0] = rec(k, n)->in[0], r.in[1] = n, r.in[2] = NODE_NONE;
    const node relu = graph_find(k->g, &r);
    return relu != NODE_NONE && relu < k->size && k->forward[relu] ? relu : NODE_NONE;
}

static bool is_relu(const keep *k, node n)
{
    return rec(k, n)->op == OP_mul && rec(k, rec(k, n)->in[1])->op == OP_step &&
           rec(k, rec(k, n)->in[1])->in[0] == rec(k, n)->in[0];
}

/* ---- who reads what ---- */

static void mark_forward(keep *k, int n, const node *y)
{
    for (int i = 0; i < n; i++)
        if (y[i] != NODE_NONE) k->forward[y[i]] = true;
    for (node v = k->size - 1; v >= 0; v--)
        for (int i = 0; k->forward[v] && i < arity(k, v); i++) k->forward[rec(k, v)->in[i]] = true;
}

/* What comes from a leaf that is none of the parameters. */
static void mark_batch(keep *k, int n, const node *w)
{
    for (node v = 0; v < k->size; v++) {
        k->batch[v] = rec(k, v)->op == OP_leaf;
        for (int i = 0; i < n && k->batch[v]; i++) k->batch[v] = w[i] != v;
        for (int i = 0; i < arity(k, v); i++) k->batch[v] |= k->batch[rec(k, v)->in[i]];
    }
}

static void mark_reads(keep *k, int n, const node *y)
{
    for (int i = 0; i < n; i++)
        if (y[i] != NODE_NONE) k->backward[y[i]] = !k->forward[y[i]];
    for (node v = k->size - 1; v >= 0; v--)
        for (int i = 0; k->backward[v] && i < arity(k, v); i++) {
            const node u = rec(k, v)->in[i];
            if (k->forward[u]) k->read[u] = true;
            else k->backward[u] = true;
        }
    for (node v = k->size - 1; v >= 0; v--) {
        const node relu = k->read[v] && is_large(k, v) ? relu_of(k, v) : NODE_NONE;
        if (relu != NODE_NONE) k->read[relu] = true;
        if (k->read[v] && is_large(k, v) && is_moved(rec(k, v)->op))
            k->read[rec(k, v)->in[0]] = true;
    }
}

/* ---- what is kept ---- */

static void add_origin(origin *o, const origin *more)
{
    if (more->n < 0) o->n = -1;
    for (int i = 0; i < more->n && o->n >= 0; i++) {
        int at = 0;
        while (at < o->n && o->from[at] != more->from[i]) at++;
        if (at < o->n) continue;
        if (o->n == SOURCES_MAX) o->n = -1;
        else o->from[o->n++] = more->from[i];
    }
}

static origin origin_of(const keep *k, node v)
{
    const int32_t op = rec(k, v)->op;
    origin o = {.n = 0};

    if (!is_large(k, v) || arity(k, v) == 0) return o;
    for (int i = 0; i < arity(k, v); i++) add_origin(&o, &k->origin[rec(k, v)->in[i]]);
    if (is_cheap(op) && !(is_relu(k, v) && o.n != 0)) return o;
    if ((is_step(op) || op == OP_gather || op == OP_cast) && o.n == 0) return o;
    return (origin){.n = -1};
}

static void choose(keep *k)
{
    for (node v = 0; v < k->size; v++) {
        if (!k->forward[v]) continue;
        k->origin[v] = origin_of(k, v);
        if (!k->read[v] || k->origin[v].n >= 0 || relu_of(k, v) != NODE_NONE) continue;
        k->kept[v] = true;
        k->origin[v] = (origin){.from = {v}, .n = 1};
    }
}

/* ---- the gradient, reading that ---- */

static node kept_value(keep *k, node v)
{
    return g_cast(k->g, g_cast(k->g, v, BF16), F32);
}

static node again(keep *k, node v)
{
    node_rec r = *rec(k, v);
    bool changed = false;

    for (int i = 0; i < arity(k, v); i++) {
        const node to = k->to[r.in[i]];
        changed |= to != r.in[i];
        r.in[i] = to;
    }
    return changed ? op_apply(k->g, &r, r.in) : v;
}

/* Operands of what is made again must be there too. */
static void mark_needed(keep *k)
{
    for (node v = k->size - 1; v >= 0; v--)
        for (int i = 0; k->read[v] && !k->kept[v] && k->origin[v].n > 0 && i < arity(k, v); i++)
            k->read[rec(k, v)->in[i]] = true;
}

static void rebuild(keep *k)
{
    for (node v = 0; v < k->size; v++) {
        const node relu = k->read[v] && k->origin[v].n < 0 ? relu_of(k, v) : NODE_NONE;
        k->to[v] = v;
        if (relu != NODE_NONE) k->to[v] = g_step(k->g, kept_value(k, relu));
        else if (k->kept[v]) k->to[v] = kept_value(k, v);
        else if (k->backward[v] || (k->read[v] && k->origin[v].n > 0)) k->to[v] = again(k, v);
    }
}

drmad_status ad_keep_bf16(graph *g, const ad_forward *f, size_t least, int ny, node *y)
{
    drmad_ctx *ctx = graph_ctx(g);
    const size_t n = (size_t)graph_size(g);
    keep k = {.g = g, .least = least, .size = graph_size(g)};
    drmad_status st = graph_status(g);

    if (st != DRMAD_OK) return st;
    TRY(mem_alloc(ctx, n, sizeof *k.forward, &k.forward));
    TRY(mem_alloc(ctx, n, sizeof *k.backward, &k.backward));
    TRY(mem_alloc(ctx, n, sizeof *k.batch, &k.batch));
    TRY(mem_alloc(ctx, n, sizeof *k.read, &k.read));
    TRY(mem_alloc(ctx, n, sizeof *k.kept, &k.kept));
    TRY(mem_alloc(ctx, n, sizeof *k.origin, &k.origin));
    TRY(mem_alloc(ctx, n, sizeof *k.to, &k.to));
    mark_forward(&k, f->n, f->y);
    mark_batch(&k, f->parameters, f->w);
    mark_reads(&k, ny, y);
    choose(&k);
    mark_needed(&k);
    rebuild(&k);
    for (int i = 0; i < ny; i++)
        if (y[i] != NODE_NONE) y[i] = k.to[y[i]];
    st = graph_status(g);
done:
    mem_free(ctx, k.forward);
    mem_free(ctx, k.backward);
    mem_free(ctx, k.batch);
    mem_free(ctx, k.read);
    mem_free(ctx, k.kept);
    mem_free(ctx, k.origin);
    mem_free(ctx, k.to);
    return st;
}
