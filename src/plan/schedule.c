/* The order of the steps: of all that could run now, the step that gives back most memory; among
 * equals the one whose operands are youngest, which walks depth first. A step that only spreads out
 * again what is kept in BF16 runs when a reader is chosen, not when it could: it would undo what
 * keeping so little was for. */
#include "plan/plan_inside.h"

typedef struct order {
    plan_work *w;
    int32_t *group; /* first node of each group still to run, rising */
    int32_t groups;
    int32_t *readers; /* by node: groups that have yet to read it */
    int32_t *done;    /* by group: the step that ran it, -1 */
    bool *late;       /* by group: runs when a reader is chosen */
    int32_t self;     /* the candidate; its own members do not count */
    bool ready;
    int32_t youngest; /* the last step that the candidate waits for */
    int32_t wants;    /* a late group that the candidate waits for; -1 */
} order;

/* ---- late groups ---- */

/* Nothing but elementwise work on what is kept in BF16 and on arrays that are small beside it. */
static bool is_late(const plan_work *w, int32_t group)
{
    const plan *p = w->p;
    bool half = false;

    for (node v = group; v >= 0; v = w->next[v]) {
        const plan_node *r = &p->node[v];
        if (r->cls != PN_POINT || r->at.kind == PLACE_OUTPUT) return false;
        for (int k = 0; k < r->n_in; k++) {
            const node u = r->in[k].src;
            if (u == NODE_NONE || w->cluster[u] == group || p->node[u].cls == PN_LEAF) continue;
            half |= p->node[u].type == BF16;
            if (p->node[u].type != BF16 && 2 * p->node[u].size > r->count) return false;
        }
    }
    return half;
}

/* ---- which groups could run ---- */

static bool is_ready(order *o, int32_t group);

/* With all that a late group waits for, it counts as if it had run. */
static void see_late(order *o, int32_t group)
{
    const order before = *o;
    const bool ready = is_ready(o, group);

    *o = before;
    o->ready &= ready;
    o->wants = group;
}

static void see_dep(void *user, node dep, bool hard)
{
    order *o = user;
    const int32_t group = o->w->cluster[dep];

    (void)hard;
    if (o->w->p->node[dep].cls == PN_LEAF || group == o->self) return;
    if (o->done[group] < 0 && o->late[group]) see_late(o, group);
    else if (o->done[group] < 0) o->ready = false;
    else if (o->done[group] > o->youngest) o->youngest = o->done[group];
}

static bool is_ready(order *o, int32_t group)
{
    o->ready = true;
    o->youngest = o->wants = -1;
    o->self = group;
    for (node v = group; v >= 0 && o->ready; v = o->w->next[v]) plan_deps(o->w, v, see_dep, o);
    return o->ready;
}

/* Calls with each node that the group reads from memory, once. */
typedef void read_fn(order *o, node src, int64_t *sum);

static int64_t each_read(order *o, int32_t group, read_fn *fn)
{
    plan_work *w = o->w;
    int64_t sum = 0;

    w->stamp++;
    for (node v = group; v >= 0; v = w->next[v]) {
        const plan_node *r = &w->p->node[v];
        for (int k = 0; k < 2 * r->n_in; k++) {
            const node u = k % 2 ? r->in[k / 2].index : r->in[k / 2].src;
            if (u == NODE_NONE || w->cluster[u] == group || w->mark[u] == w->stamp) continue;
            w->mark[u] = w->stamp;
            fn(o, u, &sum);
        }
    }
    return sum;
}

static void add_reader(order *o, node u, int64_t *sum)
{
    (void)sum;
    o->readers[u]++;
}

static void drop_reader(order *o, node u, int64_t *sum)
{
    (void)sum;
    o->readers[u]--;
}

static void freed_bytes(order *o, node u, int64_t *sum)
{
    const plan_node *v = &o->w->p->node[u];

    if (v->cls != PN_LEAF && v->at.kind == PLACE_NONE && o->readers[u] == 1 &&
        o->done[o->w->cluster[u]] >= 0)
        *sum += (int64_t)v->bytes;
}

static int64_t gain(order *o, int32_t group)
{
    int64_t bytes = each_read(o, group, freed_bytes);

    for (node v = group; v >= 0; v = o->w->next[v]) {
        const plan_node *r = &o->w->p->node[v];
        if (o->readers[v] > 0 && r->at.kind == PLACE_NONE) bytes -= (int64_t)r->bytes;
    }
    return bytes;
}

/* What needs memory: whatever is read outside its own group, sums, products, outputs. */
static void mark_kept(plan_work *w)
{
    plan *p = w->p;

    for (node v = 0; v < p->nodes; v++) {
        plan_node *r = &p->node[v];
        if (r->cls == PN_DEAD || r->cls == PN_LEAF) continue;
        if (r->cls == PN_SUM || r->cls == PN_PLAIN || r->at.kind == PLACE_OUTPUT) r->kept = true;
        if (r->cls == PN_MATMUL) p->node[r->into].kept = true;
        for (int k = 0; k < 2 * r->n_in; k++) {
            const node u = k % 2 ? r->in[k / 2].index : r->in[k / 2].src;
            if (u != NODE_NONE && w->cluster[u] != w->cluster[v]) p->node[u].kept = true;
        }
    }
}

static void drop_group(order *o, int32_t group)
{
    int32_t i = 0;

    while (o->group[i] != group) i++;
    for (o->groups--; i < o->groups; i++) o->group[i] = o->group[i + 1];
}

/* Removes it from the list; -1 when none can run. */
static int32_t take_best(order *o, int32_t step)
{
    int64_t best_gain = 0;
    int32_t best = -1, best_young = -1;

    for (int32_t i = 0; i < o->groups; i++) {
        if (o->late[o->group[i]] || !is_ready(o, o->group[i])) continue;
        const int32_t young = o->youngest;
        const int64_t bytes = gain(o, o->group[i]);
        if (best >= 0 && (bytes < best_gain || (bytes == best_gain && young <= best_young)))
            continue;
        best = i, best_gain = bytes, best_young = young;
    }
    if (best < 0) return -1;
    int32_t group = o->group[best];
    while (is_ready(o, group) && o->wants >= 0) group = o->wants;
    drop_group(o, group);
    each_read(o, group, drop_reader);
    o->done[group] = step;
    return group;
}

/* Multiply-adds of a product or convolution; those of its border are counted as if they were. */
static int64_t macs_of(const plan *p, node v)
{
    const node_rec *r = graph_rec(p->g, p->node[v].of);
    const shape *a = graph_shape(p->g, r->in[0]), *b = graph_shape(p->g, r->in[1]);
    const int64_t taps = (int64_t)r->attr.window.kernel[0] * r->attr.window.kernel[1];

    switch (r->op) {
    case OP_matmul: return p->node[v].count * a->dim[a->rank - (r->attr.ta ? 2 : 1)];
    case OP_conv: return p->node[v].count * taps * b->dim[1];
    case OP_conv_dx: return shape_count(a) * taps * b->dim[1];
    case OP_conv_dw: return shape_count(b) * taps * r->shape.dim[1];
    default: return 0;
    }
}

static void add_step(plan_work *w, int32_t group)
{
    plan *p = w->p;
    plan_step *s = &p->step[p->steps];
    const int32_t before = p->steps > 0 ? p->step[p->steps - 1].first + p->step[p->steps - 1].n : 0;

    *s = (plan_step){
        .first = before, .type = plan_type(&p->node[group]), .count = p->node[group].count};
    for (node v = group; v >= 0; v = w->next[v]) {
        plan_node *r = &p->node[v];
        r->step = p->steps;
        p->order[s->first + s->n++] = v;
        if (r->cols) s->cols = r->cols;
        s->points += r->cls == PN_POINT && !r->summed;
        s->sums += r->cls == PN_SUM;
        s->matmuls += r->cls == PN_MATMUL;
        if (r->line) s->line = r->line;
        if (r->cls == PN_MATMUL || r->cls == PN_PLAIN) s->macs += macs_of(p, v);
    }
    p->steps++;
}

drmad_status plan_schedule(plan_work *w)
{
    drmad_status st = DRMAD_OK;
    plan *p = w->p;
    order o = {.w = w};
    const size_t n = (size_t)p->nodes + 1;

    TRY(mem_alloc(p->ctx, n, sizeof *o.group, &o.group));
    TRY(mem_alloc(p->ctx, n, sizeof *o.readers, &o.readers));
    TRY(mem_alloc(p->ctx, n, sizeof *o.done, &o.done));
    TRY(mem_alloc(p->ctx, n, sizeof *o.late, &o.late));
    mark_kept(w);
    for (node v = 0; v < p->nodes; v++) {
        o.done[v] = -1;
        if (p->node[v].cls == PN_DEAD || p->node[v].cls == PN_LEAF || w->cluster[v] != v) continue;
        o.late[v] = is_late(w, v);
        o.group[o.groups++] = v;
    }
    for (int32_t i = 0; i < o.groups; i++) each_read(&o, o.group[i], add_reader);
    TRY(mem_alloc(p->ctx, n, sizeof *p->order, &p->order));
    TRY(mem_alloc(p->ctx, (size_t)o.groups + 1, sizeof *p->step, &p->step));
    while (o.groups > 0) {
        const int32_t group = take_best(&o, p->steps);
        if (group < 0) TRY(FAIL(p->ctx, DRMAD_E_INTERNAL, "plan: the steps wait for each other"));
        add_step(w, group);
    }
done:
    mem_free(p->ctx, o.group);
    mem_free(p->ctx, o.readers);
    mem_free(p->ctx, o.done);
    mem_free(p->ctx, o.late);
    return st;
}
