/* Random graphs of all operations. Values stay below some hundred. */
#ifndef RANDOM_GRAPH_H
#define RANDOM_GRAPH_H
#include "run_fixture.h"

/* Fills x's empty graph up to `nodes` values, at most 90; gives the number of outputs. */
int random_graph(rx *x, int nodes, plan_output *out); /* out: RX_OUTS */
#endif
