/* What must hold of every plan; for tests of plan/ and exec/. */
#ifndef PLAN_CHECK_H
#define PLAN_CHECK_H
#include "plan/plan.h"
#include "test.h"

/* Every result that shares memory with another lives at another time, or takes over in the very
 * step in which the other dies. */
static inline void check_memory(const plan *p)
{
    for (node a = 0; a < p->nodes; a++)
        for (node b = 0; b < a; b++) {
            const plan_node *u = &p->node[a], *v = &p->node[b];
            if (u->at.kind != PLACE_ARENA || v->at.kind != PLACE_ARENA) continue;
            if (u->at.offset >= v->at.offset + v->bytes || v->at.offset >= u->at.offset + u->bytes)
                continue;
            const plan_node *first = u->step < v->step ? u : v, *second = first == u ? v : u;
            const bool takes_over = first->last == second->step &&
                                    first->at.offset == second->at.offset &&
                                    first->bytes == second->bytes && second->cls == PN_POINT;
            if (first->step == second->step || (first->last >= second->step && !takes_over))
                test_fail(__FILE__, __LINE__, "nodes %d and %d share memory while both live", a, b);
        }
}

/* Every operand is there when it is read. */
static inline void check_order(const plan *p)
{
    for (int32_t i = 0; i < p->steps; i++)
        for (int32_t j = 0; j < p->step[i].n; j++) {
            const plan_node *v = &p->node[p->order[p->step[i].first + j]];
            for (int k = 0; k < v->n_in; k++) {
                const node u = v->in[k].src;
                if (u == NODE_NONE || p->node[u].cls == PN_LEAF) continue;
                CHECK(p->node[u].step <= i);
                CHECK(p->node[u].step == i || p->node[u].kept);
            }
        }
}
#endif
