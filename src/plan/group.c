/* Which nodes become one step. A group runs over one iteration space; results pass between its
 * members in registers, so every merge along an edge saves a trip through memory, and one between
 * readers of the same array saves a read. A merge is legal when
 *
 *   the members iterate over the same elements, in one type, with one number of columns;
 *   a member reads another only at its own element (plan_same), and nobody reads a sum;
 *   no path leads from the group out and back in. */
#include "plan/plan_inside.h"

enum { POINTS_MAX = 48, MATMULS_MAX = 4, SIBLING_MIN = 64 };

static bool fusible(const plan_node *v)
{
    return v->cls == PN_POINT || v->cls == PN_SUM || v->cls == PN_MATMUL;
}

static bool same_space(const plan_node *a, const plan_node *b)
{
    return plan_type(a) == plan_type(b) && a->count == b->count &&
           (a->cols == b->cols || a->cols == 0 || b->cols == 0);
}

/* Takes `value` for the one of all where it is set; false when there is another. */
static bool agree(int64_t *all, int64_t value)
{
    if (value == 0) return true;
    if (*all && *all != value) return false;
    *all = value;
    return true;
}

/* Members of a and b fit pairwise (columns and lines: one number for all), and are few enough. */
static bool compatible(const plan_work *w, int32_t a, int32_t b)
{
    const plan_node *at = w->p->node;
    int64_t cols = 0, line = 0;
    int points = 0, matmuls = 0;

    for (int side = 0; side < 2; side++)
        for (node v = side ? b : a; v >= 0; v = w->next[v]) {
            if (!fusible(&at[v]) || !same_space(&at[v], &at[a])) return false;
            if (!agree(&cols, at[v].cols)) return false;
            if (!agree(&line, at[v].line)) return false;
            points += at[v].cls != PN_MATMUL;
            matmuls += at[v].cls == PN_MATMUL;
        }
    return points <= POINTS_MAX && matmuls <= MATMULS_MAX;
}

/* A search from the group a + b upwards through everything it must come after. */
typedef struct check {
    plan_work *w;
    int32_t a, b, from, top; /* from: the group whose dependences are being listed */
    bool bad;
} check;

static void check_dep(void *user, node dep, bool hard)
{
    check *c = user;
    plan_work *w = c->w;
    const int32_t to = w->cluster[dep];
    const bool from_inside = c->from == c->a || c->from == c->b;

    if (to == c->from) return;
    if (to == c->a || to == c->b) {
        if (hard || !from_inside) c->bad = true;
    } else if (w->mark[to] != w->stamp) {
        w->mark[to] = w->stamp;
        w->stack[c->top++] = to;
    }
}

static void check_group(check *c, int32_t group)
{
    c->from = group;
    for (node v = group; v >= 0 && !c->bad; v = c->w->next[v]) plan_deps(c->w, v, check_dep, c);
}

static bool legal(plan_work *w, int32_t a, int32_t b)
{
    check c = {.w = w, .a = a, .b = b};

    if (!compatible(w, a, b)) return false;
    w->stamp++;
    check_group(&c, a);
    check_group(&c, b);
    while (c.top > 0 && !c.bad) check_group(&c, w->stack[--c.top]);
    return !c.bad;
}

/* Both lists rise; so does the merged one. */
static void merge(plan_work *w, int32_t a, int32_t b)
{
    const int32_t first = a < b ? a : b;
    int32_t *tail = NULL;

    while (a >= 0 || b >= 0) {
        int32_t *from = b < 0 || (a >= 0 && a < b) ? &a : &b;
        const int32_t v = *from;
        *from = w->next[v];
        if (tail) *tail = v;
        tail = &w->next[v];
        w->cluster[v] = first;
    }
    *tail = -1;
}

static void try_merge(plan_work *w, node u, node v)
{
    const int32_t a = w->cluster[u], b = w->cluster[v];

    if (a != b && legal(w, a, b)) merge(w, a, b);
}

/* Along edges: a result goes to its reader in a register. First where the reader is the only
 * one. */
static void merge_edges(plan_work *w, const int32_t *readers, bool sole)
{
    const plan *p = w->p;

    for (node v = 0; v < p->nodes; v++) {
        const plan_node *r = &p->node[v];
        for (int k = 0; fusible(r) && k < r->n_in; k++) {
            const node u = r->in[k].src;
            if (u == NODE_NONE || !fusible(&p->node[u]) || (sole && readers[u] > 1)) continue;
            try_merge(w, u, v);
        }
    }
}

/* Readers of one large array, each at its own element, read it once. */
static void merge_siblings(plan_work *w, node *last_reader)
{
    const plan *p = w->p;

    for (node v = 0; v < p->nodes; v++) {
        const plan_node *r = &p->node[v];
        for (int k = 0; fusible(r) && k < r->n_in; k++) {
            const node u = r->in[k].src;
            if (u == NODE_NONE || r->cls == PN_MATMUL || r->count < SIBLING_MIN) continue;
            if (!plan_same(r, &r->in[k])) continue;
            if (last_reader[u] >= 0) try_merge(w, last_reader[u], v);
            last_reader[u] = v;
        }
    }
}

static void count_readers(const plan *p, int32_t *readers)
{
    for (node v = 0; v < p->nodes; v++) {
        const plan_node *r = &p->node[v];
        for (int k = 0; r->cls != PN_DEAD && r->cls != PN_LEAF && k < r->n_in; k++) {
            if (r->in[k].src != NODE_NONE) readers[r->in[k].src]++;
            if (r->in[k].index != NODE_NONE) readers[r->in[k].index]++;
        }
        if (r->at.kind == PLACE_OUTPUT) readers[v]++;
    }
}

static bool in_place(const plan *p, const plan_node *v)
{
    return v->at.kind == PLACE_OUTPUT && p->out[v->at.number].alias >= 0;
}

/* An addition of products that nobody else reads: they add into one memory themselves. */
static void sum_products(plan_work *w, const int32_t *readers)
{
    plan *p = w->p;

    for (node v = 0; v < graph_size(p->g); v++) {
        plan_node *r = &p->node[v];
        bool fits = r->cls == PN_POINT && r->op == OP_add && !in_place(p, r);
        for (int k = 0; fits && k < 2; k++) {
            const node u = r->in[k].src;
            fits = u != NODE_NONE && plan_same(r, &r->in[k]) && readers[u] == 1 &&
                   w->cluster[u] == w->cluster[v] &&
                   (p->node[u].cls == PN_MATMUL || p->node[u].summed);
        }
        if (!fits) continue;
        r->summed = true;
        for (node u = w->cluster[v]; u >= 0; u = w->next[u])
            if (p->node[u].into == r->in[0].src || p->node[u].into == r->in[1].src)
                p->node[u].into = v;
    }
}

drmad_status plan_group(plan_work *w)
{
    drmad_status st = DRMAD_OK;
    const size_t n = (size_t)w->p->nodes;
    int32_t *readers = NULL, *last = NULL;

    TRY(mem_alloc(w->p->ctx, n, sizeof *readers, &readers));
    TRY(mem_alloc(w->p->ctx, n, sizeof *last, &last));
    for (size_t v = 0; v < n; v++) last[v] = -1, w->cluster[v] = (int32_t)v, w->next[v] = -1;
    if (w->p->target.fuse) {
        count_readers(w->p, readers);
        merge_edges(w, readers, true);
        merge_edges(w, readers, false);
        merge_siblings(w, last);
        sum_products(w, readers);
    }
done:
    mem_free(w->p->ctx, readers);
    mem_free(w->p->ctx, last);
    return st;
}
