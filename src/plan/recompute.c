/* What is cheap to compute again is not kept. A large value that other steps read at their own
 * element, and that follows in a few cheap instructions from what is in memory anyway, is computed
 * again by each of them: a read or two of something else instead of a write and a read, and the
 * value's memory is free. So a normalised image lives only as what it was normalised from, and the
 * mask of a ReLU not at all. */
#include "plan/plan_inside.h"

enum { CHAIN_MAX = 6, SOURCES_MAX = 2, OVER_MAX = 4 };

/* How a value follows from what is kept. */
typedef struct chain {
    node source[SOURCES_MAX];
    node over[OVER_MAX];        /* leaves among what it reads over which outputs are written */
    int8_t sources, overs, ops; /* ops 0: it cannot */
    int64_t cols;
} chain;

typedef struct recompute {
    plan_work *w;
    chain *chain;      /* by node */
    bool *kept;        /* by node: in memory, and will be */
    bool *hard;        /* by node: somebody reads it in another way than at his own element */
    bool *again;       /* by node: not kept, though other groups read it */
    node *writer;      /* by node: the output that is written over that leaf, NODE_NONE */
    node *last;        /* by node: its last reader */
    node *clone;       /* by node: its clone in the group that is being rewritten */
    int32_t originals; /* nodes before there were clones */
} recompute;

static bool is_cheap(int32_t op)
{
    return op == OP_add || op == OP_sub || op == OP_mul || op == OP_scale || op == OP_step ||
           op == OP_sign;
}

static bool runs(const plan_node *v)
{
    return v->cls != PN_DEAD && v->cls != PN_LEAF;
}

/* ---- who reads what ---- */

static bool at_own_element(const plan *p, const plan_node *reader, const plan_access *a)
{
    return (reader->cls == PN_POINT || reader->cls == PN_SUM) && plan_same(reader, a) &&
           reader->count == p->node[a->src].count;
}

static void see_reads(recompute *x, node v)
{
    const plan *p = x->w->p;
    const plan_node *r = &p->node[v];

    for (int k = 0; k < r->n_in && runs(r); k++) {
        const plan_access *a = &r->in[k];
        if (a->index != NODE_NONE) x->hard[a->index] = x->kept[a->index] = true;
        if (a->src == NODE_NONE) continue;
        if (v > x->last[a->src]) x->last[a->src] = v;
        if (!at_own_element(p, r, a)) x->hard[a->src] = true;
        if (x->hard[a->src] || x->w->cluster[a->src] != x->w->cluster[v]) x->kept[a->src] = true;
    }
}

static void see_all(recompute *x)
{
    const plan *p = x->w->p;

    for (node v = 0; v < p->nodes; v++) x->last[v] = -1, x->writer[v] = NODE_NONE;
    for (int32_t i = 0; i < p->outs; i++)
        if (p->out[i].alias >= 0) x->writer[graph_leaf(p->g, p->out[i].alias)] = p->out[i].y;
    for (node v = 0; v < p->nodes; v++) see_reads(x, v);
    for (node v = 0; v < p->nodes; v++) {
        const plan_node *r = &p->node[v];
        if (r->cls == PN_LEAF || r->at.kind == PLACE_OUTPUT) x->kept[v] = true;
        if (r->cls == PN_MATMUL && r->into != v) x->kept[v] = false;
    }
}

/* ---- what follows from what ---- */

static bool add_once(node *list, int8_t *n, int most, node u)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == u) return true;
    if (*n == most) return false;
    list[(*n)++] = u;
    return true;
}

static bool add_source(chain *c, node u)
{
    return add_once(c->source, &c->sources, SOURCES_MAX, u);
}

static bool add_over(const recompute *x, chain *c, node u)
{
    return u == NODE_NONE || x->writer[u] == NODE_NONE || add_once(c->over, &c->overs, OVER_MAX, u);
}

static bool add_cols(chain *c, int64_t cols)
{
    if (cols && c->cols && cols != c->cols) return false;
    if (cols) c->cols = cols;
    return true;
}

/* Adds what operand `a` of v follows from. */
static bool add_operand(const recompute *x, chain *c, const plan_node *v, const plan_access *a)
{
    const plan *p = x->w->p;

    if (a->mode == AT_CONST) return true;
    if (!add_over(x, c, a->src) || !add_over(x, c, a->index)) return false;
    if (a->src == NODE_NONE || !at_own_element(p, v, a))
        return a->mode != AT_SAME || add_source(c, a->src);
    if (x->kept[a->src] && !x->again[a->src]) return add_source(c, a->src);
    const chain *u = &x->chain[a->src];
    for (int i = 0; i < u->sources; i++)
        if (!add_source(c, u->source[i])) return false;
    for (int i = 0; i < u->overs; i++)
        if (!add_over(x, c, u->over[i])) return false;
    c->ops = (int8_t)(c->ops + u->ops);
    return u->ops > 0 && add_cols(c, u->cols);
}

static chain chain_of(const recompute *x, node n)
{
    const plan_node *v = &x->w->p->node[n];
    chain c = {.ops = 1, .cols = v->cols};
    bool ok = v->cls == PN_POINT && !v->summed && is_cheap(v->op);

    for (int k = 0; ok && k < v->n_in; k++) ok = add_operand(x, &c, v, &v->in[k]);
    return ok && c.ops <= CHAIN_MAX ? c : (chain){.ops = 0};
}

typedef struct search {
    plan_work *w;
    int32_t top;
} search;

static void push_group(void *user, node dep, bool hard)
{
    search *s = user;
    const int32_t group = s->w->cluster[dep];

    (void)hard;
    if (s->w->mark[group] == s->w->stamp) return;
    s->w->mark[group] = s->w->stamp;
    s->w->stack[s->top++] = group;
}

/* Must the group of `late` come after that of `early`, or are they one? */
static bool comes_after(plan_work *w, node late, node early)
{
    search s = {w, 0};

    w->stamp++;
    push_group(&s, late, false);
    while (s.top > 0 && w->mark[w->cluster[early]] != w->stamp)
        for (node v = w->stack[--s.top]; v >= 0; v = w->next[v]) plan_deps(w, v, push_group, &s);
    return w->mark[w->cluster[early]] == w->stamp;
}

static bool reads(const plan_node *r, node v)
{
    bool found = false;

    for (int k = 0; runs(r) && k < r->n_in; k++) found |= r->in[k].src == v;
    return found;
}

/* Can the group of reader r have v's chain: are its columns those, and can it run before what the
 * chain reads is overwritten? */
static bool fits(const recompute *x, node v, node r)
{
    plan_work *w = x->w;
    const chain *c = &x->chain[v];

    for (node m = w->cluster[r]; m >= 0; m = w->next[m])
        if (!add_cols(&(chain){.cols = c->cols}, w->p->node[m].cols)) return false;
    for (int i = 0; i < c->overs; i++)
        if (comes_after(w, r, x->writer[c->over[i]])) return false;
    return true;
}

static bool readers_fit(const recompute *x, node v)
{
    const plan_work *w = x->w;

    for (node r = 0; r <= x->last[v]; r++)
        if (w->cluster[r] != w->cluster[v] && reads(&w->p->node[r], v) && !fits(x, v, r))
            return false;
    return true;
}

/* Readers that will read a leaf for v's sake run before it is overwritten. */
static drmad_status order_readers(const recompute *x, node v)
{
    drmad_status st = DRMAD_OK;
    plan_work *w = x->w;
    const chain *c = &x->chain[v];

    for (node r = 0; r <= x->last[v] && c->overs > 0; r++)
        for (int i = 0; i < c->overs && reads(&w->p->node[r], v); i++)
            if (w->cluster[r] != w->cluster[v]) TRY(plan_add_edge(w, r, x->writer[c->over[i]]));
done:
    return st;
}

/* At most one source may live longer for v's sake: no more memory than v's. */
static bool pays(const recompute *x, node v)
{
    const chain *c = &x->chain[v];
    int longer = 0;

    for (int i = 0; i < c->sources; i++)
        longer += x->w->p->node[c->source[i]].cls != PN_LEAF && x->last[c->source[i]] < x->last[v];
    return longer <= 1;
}

static drmad_status choose(recompute *x, node n)
{
    drmad_status st = DRMAD_OK;
    const plan *p = x->w->p;
    const plan_node *v = &p->node[n];

    x->chain[n] = chain_of(x, n);
    if (x->chain[n].ops == 0 || !x->kept[n] || x->hard[n] || v->at.kind != PLACE_NONE) goto done;
    if (v->bytes < p->target.recompute_bytes || !pays(x, n) || !readers_fit(x, n)) goto done;
    TRY(order_readers(x, n));
    x->again[n] = true;
    for (int i = 0; i < x->chain[n].sources; i++) {
        node *last = &x->last[x->chain[n].source[i]];
        if (*last < x->last[n]) *last = x->last[n];
    }
done:
    return st;
}

/* ---- rewriting the groups ---- */

static drmad_status add_node(plan_work *w, const plan_node *v, node *out)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    const size_t room = (size_t)w->room, more = 2 * room;
    int32_t **arrays[] = {&w->cluster, &w->next, &w->mark, &w->stack};
    const plan_node copy = *v;

    if (p->nodes == w->room) {
        TRY(mem_resize(p->ctx, &p->node, room, more, sizeof *p->node));
        for (size_t i = 0; i < COUNT(arrays); i++)
            TRY(mem_resize(p->ctx, arrays[i], room, more, sizeof **arrays[i]));
        w->room = (int32_t)more;
    }
    p->node[p->nodes] = copy;
    p->node[p->nodes].into = p->nodes;
    *out = p->nodes++;
done:
    return st;
}

/* A group while clones come into its list. */
typedef struct list {
    int32_t group, head;
    node before; /* the member behind which clones go; -1: none yet */
} list;

static drmad_status read_again(recompute *x, list *l, node reader, int k);

/* The clone of v in the group, made on first use; its operands' clones come before it. */
static drmad_status make_clone(recompute *x, list *l, node v, node *out)
{
    drmad_status st = DRMAD_OK;
    plan_work *w = x->w;

    *out = x->clone[v];
    if (*out != NODE_NONE) goto done;
    TRY(add_node(w, &w->p->node[v], out));
    w->cluster[*out] = -1;
    for (int k = 0; k < w->p->node[v].n_in; k++) TRY(read_again(x, l, *out, k));
    x->clone[v] = *out;
    w->next[*out] = l->before < 0 ? l->head : w->next[l->before];
    if (l->before < 0) l->head = *out;
    else w->next[l->before] = *out;
    l->before = *out;
done:
    return st;
}

/* Operand k of a member or clone: from a clone, where what it reads is not in memory. */
static drmad_status read_again(recompute *x, list *l, node reader, int k)
{
    drmad_status st = DRMAD_OK;
    plan_work *w = x->w;
    node u = w->p->node[reader].in[k].src, to;

    if (u == NODE_NONE || w->cluster[u] == l->group) goto done;
    if (u >= x->originals) u = w->p->node[u].of; /* a clone of the group that `reader` is from */
    if (w->p->node[u].cls != PN_POINT || (x->kept[u] && !x->again[u])) goto done;
    TRY(make_clone(x, l, u, &to));
    w->p->node[reader].in[k].src = to;
done:
    return st;
}

static drmad_status rewrite_group(recompute *x, int32_t group)
{
    drmad_status st = DRMAD_OK;
    plan_work *w = x->w;
    list l = {.group = group, .head = group, .before = -1};

    for (int32_t i = 0; i < x->originals; i++) x->clone[i] = NODE_NONE;
    for (node v = group; v >= 0; l.before = v, v = w->next[v])
        for (int k = 0; k < w->p->node[v].n_in && w->p->node[v].cls != PN_MATMUL; k++)
            TRY(read_again(x, &l, v, k));
    for (node v = l.head; v >= 0; v = w->next[v]) w->cluster[v] = l.head;
done:
    return st;
}

/* ---- what nobody reads any more ---- */

static void count_reads(const plan *p, int32_t *reads)
{
    for (node v = 0; v < p->nodes; v++)
        for (int k = 0; runs(&p->node[v]) && k < p->node[v].n_in; k++)
            if (p->node[v].in[k].src != NODE_NONE) reads[p->node[v].in[k].src]++;
}

static void unlink_dead(plan_work *w, int32_t group)
{
    int32_t head = -1, tail = -1;

    for (node v = group; v >= 0; v = w->next[v]) {
        if (w->p->node[v].cls == PN_DEAD) continue;
        if (tail >= 0) w->next[tail] = v;
        else head = v;
        tail = v;
    }
    if (tail >= 0) w->next[tail] = -1;
    for (node v = head; v >= 0; v = w->next[v]) w->cluster[v] = head;
}

/* Whose clones have edges of their own. */
static void drop_edges(plan_work *w)
{
    int32_t kept = 0;

    for (int32_t e = 0; e < w->edges; e++)
        if (w->p->node[w->edge[e].from].cls != PN_DEAD) w->edge[kept++] = w->edge[e];
    w->edges = kept;
}

static drmad_status drop_unread(recompute *x)
{
    drmad_status st = DRMAD_OK;
    plan *p = x->w->p;
    int32_t *reads = NULL;

    TRY(mem_alloc(p->ctx, (size_t)p->nodes, sizeof *reads, &reads));
    count_reads(p, reads);
    for (node v = graph_size(p->g) - 1; v >= 0; v--) {
        plan_node *r = &p->node[v];
        if (r->cls != PN_POINT || r->at.kind != PLACE_NONE || reads[v] > 0) continue;
        r->cls = PN_DEAD;
        for (int k = 0; k < r->n_in; k++)
            if (r->in[k].src != NODE_NONE) reads[r->in[k].src]--;
    }
    for (node v = 0; v < p->nodes; v++)
        if (x->w->cluster[v] == v) unlink_dead(x->w, v);
    drop_edges(x->w);
done:
    mem_free(p->ctx, reads);
    return st;
}

drmad_status plan_recompute(plan_work *w)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    recompute x = {.w = w, .originals = p->nodes};
    const size_t n = (size_t)p->nodes;

    if (!p->target.fuse || p->target.recompute_bytes == 0) return DRMAD_OK;
    TRY(mem_alloc(p->ctx, n, sizeof *x.chain, &x.chain));
    TRY(mem_alloc(p->ctx, n, sizeof *x.kept, &x.kept));
    TRY(mem_alloc(p->ctx, n, sizeof *x.hard, &x.hard));
    TRY(mem_alloc(p->ctx, n, sizeof *x.again, &x.again));
    TRY(mem_alloc(p->ctx, n, sizeof *x.writer, &x.writer));
    TRY(mem_alloc(p->ctx, n, sizeof *x.last, &x.last));
    TRY(mem_alloc(p->ctx, n, sizeof *x.clone, &x.clone));
    see_all(&x);
    for (node v = 0; v < graph_size(p->g); v++) TRY(choose(&x, v));
    for (node v = 0; v < x.originals; v++)
        if (w->cluster[v] == v && runs(&p->node[v])) TRY(rewrite_group(&x, v));
    TRY(drop_unread(&x));
done:
    mem_free(p->ctx, x.chain);
    mem_free(p->ctx, x.kept);
    mem_free(p->ctx, x.hard);
    mem_free(p->ctx, x.again);
    mem_free(p->ctx, x.writer);
    mem_free(p->ctx, x.last);
    mem_free(p->ctx, x.clone);
    return st;
}
