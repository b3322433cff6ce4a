/* The two modes and their relatives, as walks over the nodes between x and y. What one node does
 * to a tangent or a cotangent follows from its op's kind and rule (ops/op.h); no op is named here.
 *
 * New nodes come after all old ones, so a walk over the old ones never meets them. A node without
 * an entry in a map has a zero derivative: NODE_NONE. */
#include "ad/ad.h"
#include <assert.h>

/* May a derivative pass between y and that operand? */
static bool passes(const graph *g, node y, int operand)
{
    return op_get(graph_rec(g, y)->op)->kind != OP_NONDIFF && op_carries(g, y) &&
           op_carries(g, graph_rec(g, y)->in[operand]);
}

static int arity(const graph *g, node y)
{
    return op_get(graph_rec(g, y)->op)->arity;
}

/* Sum where NODE_NONE is zero. */
static node acc(graph *g, node a, node b)
{
    return a == NODE_NONE ? b : b == NODE_NONE ? a : g_add(g, a, b);
}

/* -- one node */

/* y again with `t` in place of operand i: the others stay (BILINEAR) or are zero (LINEAR). */
static node apply_to(graph *g, node y, int i, node t)
{
    node_rec r = *graph_rec(g, y);
    const op_def *def = op_get(r.op);
    node in[OPERANDS_MAX];

    for (int k = 0; k < OPERANDS_MAX; k++) {
        bool zero = k != i && k < def->arity && def->kind == OP_LINEAR && op_carries(g, r.in[k]);
        in[k] = k == i ? t : zero ? g_zeros_like(g, r.in[k]) : r.in[k];
    }
    return op_apply(g, &r, in);
}

/* (dy/dx_i) t for operand i of y. */
static node tangent(graph *g, node y, int i, node t)
{
    const op_def *def = op_get(graph_rec(g, y)->op);

    if (def->kind == OP_DIAG) return g_mul(g, def->partial(g, y), t);
    if (def->kind == OP_REDUCE)
        return g_sum_to(g, g_mul(g, def->partial(g, y), t), *graph_shape(g, y));
    return apply_to(g, y, i, t);
}

/* (dy/dx_i)' c for operand i of y. */
static node cotangent(graph *g, node y, int i, node c)
{
    const op_def *def = op_get(graph_rec(g, y)->op);

    if (def->kind == OP_DIAG) return g_mul(g, def->partial(g, y), c);
    if (def->kind == OP_REDUCE) {
        node x = graph_rec(g, y)->in[0];
        return g_mul(g, def->partial(g, y), g_bcast(g, c, *graph_shape(g, x)));
    }
    return def->transpose(g, y, i, c);
}

/* -- walks */

typedef struct walk {
    graph *g;
    int32_t size; /* nodes before the walk */
    node *map;    /* each old node's derivative */
    bool *below;  /* an x is this node or among its ancestors */
    bool *above;  /* a y is this node or needs it */
} walk;

static void walk_close(walk *w)
{
    mem_free(graph_ctx(w->g), w->map);
    mem_free(graph_ctx(w->g), w->below);
    mem_free(graph_ctx(w->g), w->above);
}

static void mark(bool *flags, int n, const node *nodes)
{
    for (int i = 0; i < n; i++)
        if (nodes[i] != NODE_NONE) flags[nodes[i]] = true;
}

/* No derivative through what is kept in bf16: 8 bits of a value are too few for one. */
static void refuse_bf16(walk *w)
{
    for (node n = 0; n < w->size; n++)
        for (int i = 0; w->above[n] && i < arity(w->g, n); i++)
            if (graph_dtype(w->g, graph_rec(w->g, n)->in[i]) == BF16)
                graph_fail(w->g,
                           "derivative: node %%%d reads a value that is kept in bf16, whose 8 bits "
                           "are too few; build it from the f32 one",
                           n);
}

/* Marks what lies between x and y. `every` = follow every operand, not only those that carry a
 * derivative. */
static drmad_status walk_open(walk *w, int nx, const node *x, int ny, const node *y, bool every)
{
    graph *g = w->g;
    drmad_ctx *ctx = graph_ctx(g);
    drmad_status st = graph_status(g);

    if (st != DRMAD_OK) return st;
    w->size = graph_size(g);
    TRY(mem_alloc(ctx, (size_t)w->size, sizeof *w->map, &w->map));
    TRY(mem_alloc(ctx, (size_t)w->size, sizeof *w->below, &w->below));
    TRY(mem_alloc(ctx, (size_t)w->size, sizeof *w->above, &w->above));
    mark(w->below, nx, x);
    mark(w->above, ny, y);
    for (node n = 0; n < w->size; n++) {
        w->map[n] = NODE_NONE;
        for (int i = 0; i < arity(g, n); i++)
            if (every || passes(g, n, i)) w->below[n] |= w->below[graph_rec(g, n)->in[i]];
    }
    for (node n = w->size - 1; n >= 0; n--)
        for (int i = 0; w->above[n] && i < arity(g, n); i++)
            if (every || passes(g, n, i)) w->above[graph_rec(g, n)->in[i]] = true;
    if (!every) refuse_bf16(w);
    st = graph_status(g);
done:
    return st;
}

static bool alike(const graph *g, node a, node b)
{
    return graph_dtype(g, a) == graph_dtype(g, b) &&
           shape_same(graph_shape(g, a), graph_shape(g, b));
}

/* Is `t` right for a derivative of x? NODE_NONE always is. */
static bool fits(graph *g, const char *who, node x, node t)
{
    const node_rec *a = graph_rec(g, x), *b = graph_rec(g, t);
    char want[128], have[128];

    if (x == NODE_NONE || t == NODE_NONE || alike(g, x, t)) return true;
    graph_fail(g, "%s: %s%s for a node of %s%s, expected the same", who,
               dtype_name((dtype)b->dtype), shape_print(&b->shape, have, sizeof have),
               dtype_name((dtype)a->dtype), shape_print(&a->shape, want, sizeof want));
    return false;
}

static bool all_fit(graph *g, const char *who, int n, const node *x, const node *t)
{
    for (int i = 0; i < n; i++)
        if (!fits(g, who, x[i], t[i])) return false;
    return true;
}

/* Adds t to the map at n; integers carry nothing. */
static void seed(walk *w, node n, node t)
{
    if (n == NODE_NONE || !op_carries(w->g, n)) return;
    assert(t == NODE_NONE || alike(w->g, n, t)); /* else a rule is wrong */
    w->map[n] = acc(w->g, w->map[n], t);
}

static void clear(int n, node *out)
{
    for (int i = 0; i < n; i++) out[i] = NODE_NONE;
}

static drmad_status read_out(walk *w, int n, const node *at, node *out)
{
    for (int i = 0; i < n; i++) out[i] = at[i] == NODE_NONE ? NODE_NONE : w->map[at[i]];
    return graph_status(w->g);
}

/* Sends the cotangent of y on to its operands that lie on a path from an x. */
static void pull(walk *w, node y)
{
    if (w->map[y] == NODE_NONE) return;
    for (int i = 0; i < arity(w->g, y); i++) {
        node x = graph_rec(w->g, y)->in[i];
        if (w->below[x] && passes(w->g, y, i)) seed(w, x, cotangent(w->g, y, i, w->map[y]));
    }
}

/* Adds to y's tangent those of its operands. */
static void push(walk *w, node y)
{
    for (int i = 0; i < arity(w->g, y); i++) {
        node t = w->map[graph_rec(w->g, y)->in[i]];
        if (t != NODE_NONE && passes(w->g, y, i)) seed(w, y, tangent(w->g, y, i, t));
    }
}

drmad_status ad_vjp(graph *g, int ny, const node *y, const node *c, int nx, const node *x,
                    node *out)
{
    drmad_status st = DRMAD_OK;
    walk w = {.g = g};

    clear(nx, out);
    if (!all_fit(g, "ad_vjp: cotangent", ny, y, c)) return graph_status(g);
    TRY(walk_open(&w, nx, x, ny, y, false));
    for (int i = 0; i < ny; i++) seed(&w, y[i], c[i]);
    for (node n = w.size - 1; n >= 0; n--)
        if (w.below[n]) pull(&w, n);
    TRY(read_out(&w, nx, x, out));
done:
    walk_close(&w);
    return st;
}

drmad_status ad_jvp(graph *g, int nx, const node *x, const node *t, int ny, const node *y,
                    node *out)
{
    drmad_status st = DRMAD_OK;
    walk w = {.g = g};

    clear(ny, out);
    if (!all_fit(g, "ad_jvp: tangent", nx, x, t)) return graph_status(g);
    TRY(walk_open(&w, nx, x, ny, y, false));
    for (int i = 0; i < nx; i++) seed(&w, x[i], t[i]);
    for (node n = 0; n < w.size; n++)
        if (w.above[n]) push(&w, n);
    TRY(read_out(&w, ny, y, out));
done:
    walk_close(&w);
    return st;
}

/* -- pairing */

/* The sum of a * b as one element of the rank of `like`, or of its own where there is none. */
static node paired(graph *g, node a, node b, node like)
{
    node d = g_dot(g, a, b);

    return like == NODE_NONE ? d : g_reshape(g, d, *graph_shape(g, like));
}

/* A use of x_j as operand i of y: <c_y, op_i(u_j)>. */
static void pair(walk *w, node y, int i, int nx, const node *x, const node *u, node *out)
{
    graph *g = w->g;

    for (int j = 0; j < nx; j++)
        if (graph_rec(g, y)->in[i] == x[j] && u[j] != NODE_NONE)
            out[j] = acc(g, out[j], paired(g, w->map[y], tangent(g, y, i, u[j]), out[j]));
}

/* Is some operand of n on a path from an x? Then n's own cotangent is needed beyond its pairing. */
static bool depends(const walk *w, node n)
{
    for (int i = 0; i < arity(w->g, n); i++)
        if (w->below[graph_rec(w->g, n)->in[i]] && passes(w->g, n, i)) return true;
    return false;
}

static void pair_and_pull(walk *w, node y, int nx, const node *x, const node *u, node *out)
{
    graph *g = w->g;

    if (w->map[y] == NODE_NONE) return;
    for (int i = 0; i < arity(g, y); i++) {
        node o = graph_rec(g, y)->in[i];
        if (!w->below[o] || !passes(g, y, i)) continue;
        pair(w, y, i, nx, x, u, out);
        if (depends(w, o)) seed(w, o, cotangent(g, y, i, w->map[y]));
    }
}

drmad_status ad_pairing(graph *g, node loss, int nx, const node *x, const node *u, node *out)
{
    drmad_status st = DRMAD_OK;
    walk w = {.g = g};

    clear(nx, out);
    if (shape_count(graph_shape(g, loss)) != 1)
        graph_fail(g, "ad_pairing: the loss has %lld elements, expected 1",
                   (long long)shape_count(graph_shape(g, loss)));
    if (!all_fit(g, "ad_pairing: direction", nx, x, u)) return graph_status(g);
    TRY(walk_open(&w, nx, x, 1, &loss, false));
    if (loss == NODE_NONE) goto done;
    seed(&w, loss, g_ones_like(g, loss));
    for (int j = 0; j < nx; j++)
        if (x[j] == loss) out[j] = u[j];
    for (node n = w.size - 1; n >= 0; n--)
        if (w.below[n]) pair_and_pull(&w, n, nx, x, u, out);
    st = graph_status(g);
done:
    walk_close(&w);
    return st;
}

/* -- substitution */

static void rebuild(walk *w, node n)
{
    node_rec r = *graph_rec(w->g, n);
    bool changed = false;

    if (w->map[n] != NODE_NONE) return; /* replaced itself */
    for (int i = 0; i < arity(w->g, n); i++) {
        node to = w->map[r.in[i]];
        if (to == NODE_NONE) continue;
        changed |= to != r.in[i];
        r.in[i] = to;
    }
    w->map[n] = changed ? op_apply(w->g, &r, r.in) : n;
}

drmad_status ad_substitute(graph *g, int n, const node *from, const node *to, int ny, const node *y,
                           node *out)
{
    drmad_status st = DRMAD_OK;
    walk w = {.g = g};

    clear(ny, out);
    if (!all_fit(g, "ad_substitute: replacement", n, from, to)) return graph_status(g);
    TRY(walk_open(&w, n, from, ny, y, true));
    for (int i = 0; i < n; i++)
        if (from[i] != NODE_NONE) w.map[from[i]] = to[i];
    for (node v = 0; v < w.size; v++)
        if (w.above[v] && w.below[v]) rebuild(&w, v);
    for (int i = 0; i < ny; i++)
        out[i] = y[i] == NODE_NONE || w.map[y[i]] == NODE_NONE ? y[i] : w.map[y[i]];
    st = graph_status(g);
done:
    walk_close(&w);
    return st;
}
