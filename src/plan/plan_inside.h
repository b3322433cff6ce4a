/* The passes of plan.c, and what they share. */
#ifndef PLAN_INSIDE_H
#define PLAN_INSIDE_H
#include "plan/plan.h"

/* A node's memory: a leaf or a computed node, and where in it the value starts. */
typedef struct plan_ref {
    node base;
    int64_t offset;
} plan_ref;

/* `from` must run before `to` for another reason than its value: `to` overwrites what `from`
 * reads. */
typedef struct plan_edge {
    node from, to;
} plan_edge;

typedef struct plan_work {
    plan *p;
    plan_edge *edge;
    int32_t edges, edge_room;
    int32_t *cluster; /* by node: the smallest node of its group; itself when alone */
    int32_t *next;    /* by node: the next of its group in rising order, -1 */
    int32_t *mark;    /* by node: visited when equal to `stamp` */
    int32_t stamp;
    node *stack;
    int32_t room; /* of the arrays by node, and of plan->node */
} plan_work;

drmad_status plan_trace(plan *p);
plan_ref plan_resolve(const graph *g, node n);
drmad_status plan_attach(plan_work *w);
drmad_status plan_group(plan_work *w);
drmad_status plan_recompute(plan_work *w);
drmad_status plan_schedule(plan_work *w);
drmad_status plan_place(plan_work *w);

/* Calls fn for every node that v must come after: what it reads, and `from` of its edges. */
typedef void plan_dep_fn(void *user, node dep, bool hard);
void plan_deps(const plan_work *w, node v, plan_dep_fn *fn, void *user);
drmad_status plan_add_edge(plan_work *w, node from, node to);
#endif
