/* Outputs. Each is written by the step that computes it, straight into the memory bound to it; a
 * copy is added where the value is a leaf, a view, or already another output's. An output that
 * may overwrite a leaf runs after every other reader of that leaf; where that is impossible its
 * value goes through the arena and is copied last. So binding an output to its leaf's memory, or
 * to any other, is always right. */
#include "plan/plan_inside.h"

bool plan_same(const plan_node *reader, const plan_access *a)
{
    return a->mode == AT_SAME && a->offset == 0 && a->type == plan_type(reader);
}

/* A copy of `count` elements of `ref`; the node array has room (plan.c). */
static node add_copy(plan *p, plan_ref ref, dtype t, int64_t count)
{
    plan_node *v = &p->node[p->nodes];

    *v = (plan_node){.cls = PN_POINT,
                     .op = -1,
                     .of = NODE_NONE,
                     .type = t,
                     .n_in = 1,
                     .count = count,
                     .size = count,
                     .last = -1,
                     .into = p->nodes,
                     .bytes = (size_t)count * dtype_size(t)};
    v->in[0] = (plan_access){
        .mode = AT_SAME, .type = t, .src = ref.base, .offset = ref.offset, .index = NODE_NONE};
    return p->nodes++;
}

/* Output i gets its writer: the node itself where it can be, else a copy. From here on out[i].y
 * is it. */
static void choose_writer(plan *p, int32_t i)
{
    const int64_t size = shape_count(graph_shape(p->g, p->out[i].y));
    const plan_ref ref = plan_resolve(p->g, p->out[i].y);
    const plan_node *v = &p->node[ref.base];
    const bool whole = ref.offset == 0 && v->size == size;

    p->out[i].y = ref.base;
    if (v->cls == PN_LEAF || !whole || v->at.kind != PLACE_NONE)
        p->out[i].y = add_copy(p, ref, v->type, size);
    p->node[p->out[i].y].at = (place){.kind = PLACE_OUTPUT, .number = i};
}

/* The writer leaves output i; a copy of its value, made when all else has run, takes over. */
static void stage(plan *p, int32_t i)
{
    const node y = p->out[i].y;

    p->node[y].at = (place){0};
    p->out[i].y = add_copy(p, (plan_ref){y, 0}, p->node[y].type, p->node[y].size);
    p->node[p->out[i].y].at = (place){.kind = PLACE_OUTPUT, .number = i};
}

/* Does v read u, and if so, only at v's own element? */
static bool reads(const plan_node *v, node u, bool *hard)
{
    bool any = false;

    for (int k = 0; k < v->n_in && v->cls != PN_DEAD && v->cls != PN_LEAF; k++) {
        if (v->in[k].src != u && v->in[k].index != u) continue;
        any = true;
        const bool follows = v->cls == PN_POINT || v->cls == PN_SUM;
        if (!follows || v->in[k].index == u || !plan_same(v, &v->in[k])) *hard = true;
    }
    return any;
}

void plan_deps(const plan_work *w, node v, plan_dep_fn *fn, void *user)
{
    const plan_node *r = &w->p->node[v];

    for (int k = 0; k < r->n_in && r->cls != PN_LEAF; k++) {
        const plan_access *a = &r->in[k];
        const bool point = r->cls == PN_POINT || r->cls == PN_SUM;
        if (a->src != NODE_NONE)
            fn(user, a->src, !point || !plan_same(r, a) || w->p->node[a->src].cls == PN_SUM);
        if (a->index != NODE_NONE) fn(user, a->index, true);
    }
    if (r->at.kind != PLACE_OUTPUT) return;
    for (int32_t e = 0; e < w->edges; e++) {
        if (w->edge[e].to != v) continue;
        bool hard = r->cls != PN_POINT;
        reads(&w->p->node[w->edge[e].from], graph_leaf(w->p->g, w->p->out[r->at.number].alias),
              &hard);
        fn(user, w->edge[e].from, hard);
    }
}

typedef struct search {
    plan_work *w;
    int32_t top;
} search;

static void push(void *user, node dep, bool hard)
{
    search *s = user;

    (void)hard;
    if (s->w->mark[dep] == s->w->stamp) return;
    s->w->mark[dep] = s->w->stamp;
    s->w->stack[s->top++] = dep;
}

/* Must v come after u? */
static bool depends(plan_work *w, node v, node u)
{
    search s = {w, 0};

    w->stamp++;
    push(&s, v, false);
    while (s.top > 0 && w->mark[u] != w->stamp) plan_deps(w, w->stack[--s.top], push, &s);
    return w->mark[u] == w->stamp;
}

drmad_status plan_add_edge(plan_work *w, node from, node to)
{
    drmad_status st = DRMAD_OK;

    if (w->edges == w->edge_room) {
        const size_t room = (size_t)w->edge_room, more = room ? 2 * room : 64;
        TRY(mem_resize(w->p->ctx, &w->edge, room, more, sizeof *w->edge));
        w->edge_room = (int32_t)more;
    }
    w->edge[w->edges++] = (plan_edge){from, to};
done:
    return st;
}

/* Edges from every other reader of output i's leaf; *clash when one of them needs the output. */
static drmad_status order_readers(plan_work *w, int32_t i, bool *clash)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    const node leaf = graph_leaf(p->g, p->out[i].alias), y = p->out[i].y;

    for (node v = 0; v < p->nodes && !*clash; v++) {
        bool hard = p->node[v].cls == PN_SUM && v == y;
        if (!reads(&p->node[v], leaf, &hard)) continue;
        if (v == y) *clash = hard;
        else if (depends(w, v, y)) *clash = true;
        else TRY(plan_add_edge(w, v, y));
    }
done:
    return st;
}

drmad_status plan_attach(plan_work *w)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    bool clash;

    for (int32_t i = 0; i < p->outs; i++) choose_writer(p, i);
    do {
        clash = false;
        w->edges = 0;
        for (int32_t i = 0; i < p->outs && !clash; i++) {
            if (p->out[i].alias < 0) continue;
            TRY(order_readers(w, i, &clash));
            if (clash) stage(p, i);
        }
    } while (clash);
done:
    return st;
}
