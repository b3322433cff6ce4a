/* The plan in words: one line a node, under one a step, then the totals. */
#include "plan/plan_inside.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct text {
    char line[512];
    size_t used;
} text;

static void add(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(text *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    const int n = vsnprintf(t->line + t->used, sizeof t->line - t->used, fmt, ap);
    va_end(ap);
    if (n > 0) t->used += (size_t)n;
    if (t->used >= sizeof t->line) t->used = sizeof t->line - 1;
}

static void add_access(const plan *p, text *t, const plan_access *a)
{
    static const char *const how[] = {
        [AT_ONE] = "one",       [AT_SAME] = "",         [AT_COL] = "col", [AT_ROW] = "row",
        [AT_GATHER] = "gather", [AT_ONEHOT] = "onehot", [AT_CONST] = ""};

    if (a->mode == AT_CONST) {
        add(t, "%g", a->value);
        return;
    }
    add(t, "%s", how[a->mode]);
    if (a->src != NODE_NONE) add(t, "%%%d", a->src);
    if (a->index != NODE_NONE) add(t, "[%%%d]", a->index);
    if (a->offset) add(t, "+%" PRId64, a->offset);
    if (a->src != NODE_NONE && a->type != p->node[a->src].type) add(t, ":%s", dtype_name(a->type));
}

static void add_place(const plan *p, text *t, const plan_node *v)
{
    switch (v->at.kind) {
    case PLACE_ARENA: add(t, "  at %zu, %zu bytes", v->at.offset, v->bytes); break;
    case PLACE_OUTPUT: add(t, "  output %d", v->at.number); break;
    case PLACE_TILE: add(t, "  tile %d", v->at.number); break;
    default: break;
    }
    if (v->at.kind == PLACE_OUTPUT && p->out[v->at.number].alias >= 0)
        add(t, " over %s", graph_leaf_name(p->g, p->out[v->at.number].alias));
}

static void explain_node(const plan *p, node n, void (*line)(void *, const char *), void *user)
{
    const plan_node *v = &p->node[n];
    const node_rec *r = v->op >= 0 ? graph_rec(p->g, v->of) : NULL;
    char dims[128];
    text t = {.used = 0};

    add(&t, "    %%%d = %s(", n, v->op >= 0 ? op_get(v->op)->name : "copy");
    for (int k = 0; k < v->n_in; k++) {
        if (k) add(&t, ", ");
        add_access(p, &t, &v->in[k]);
    }
    if (v->op == OP_scale) add(&t, ", %g", r->attr.f);
    add(&t, ")%s%s", v->op == OP_matmul && r->attr.ta ? " ta" : "",
        v->op == OP_matmul && r->attr.tb ? " tb" : "");
    if (r) add(&t, " %s", shape_print(&r->shape, dims, sizeof dims));
    if (v->cls == PN_MATMUL && v->into != n) add(&t, "  adds into %%%d", v->into);
    if (v->kept) add_place(p, &t, v);
    line(user, t.line);
}

static void explain_step(const plan *p, int32_t i, void (*line)(void *, const char *), void *user)
{
    const plan_step *s = &p->step[i];
    text t = {.used = 0};

    add(&t, "step %d: %d matmul, %d elementwise, %d sums over %" PRId64 " %s", i, s->matmuls,
        s->points, s->sums, s->count, dtype_name(s->type));
    if (s->macs) add(&t, ", %" PRId64 " flop", 2 * s->macs);
    if (s->matmuls && s->tile_rows * s->tile_cols < s->count)
        add(&t, ", tiles [%" PRId64 ",%" PRId64 "]", s->tile_rows, s->tile_cols);
    line(user, t.line);
    for (int32_t j = 0; j < s->n; j++) explain_node(p, p->order[s->first + j], line, user);
}

void plan_explain(const plan *p, void (*line)(void *user, const char *text), void *user)
{
    const plan_counts *c = &p->counts;
    text t = {.used = 0};

    for (int32_t i = 0; i < p->steps; i++) explain_step(p, i, line, user);
    add(&t,
        "total: %d steps, %d groups, %d matmuls of %" PRId64
        " multiply-adds, %d others, %zu arena bytes",
        c->steps, c->groups, c->matmuls, c->macs, c->plains, c->arena);
    line(user, t.line);
}
