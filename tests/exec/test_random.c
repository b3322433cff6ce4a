/* Random graphs: every way of running them gives what the naive evaluator gives. */
#include "random_graph.h"

static void check_random(dtype t, uint64_t seed, int nodes, double tol)
{
    rx x;
    plan_output out[RX_OUTS];

    rx_open(&x, t, seed);
    x.bf16 = true;
    const int n = random_graph(&x, nodes, out);
    rx_check(&x, n, out, tol);
    rx_close(&x);
}

/* Values stay below some hundred, depth below 40, so 1e-13 relative to the largest is some
 * hundred roundings. */
TEST(random_graphs_in_double)
{
    for (int i = 0; i < test_count(150, 2000); i++)
        check_random(F64, (uint64_t)i, 12 + i % 40, 1e-12);
}

/* Single: the evaluator rounds after each node, the program not within fused pairs, and exp,
 * recip and soft-max in chains of 40 pass a rounding (6e-8) on some ten times over. */
TEST(random_graphs_in_single)
{
    for (int i = 0; i < test_count(150, 2000); i++)
        check_random(F32, (uint64_t)i, 12 + i % 24, 1e-4);
}
