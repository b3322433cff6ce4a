/* The node store alone: ops are bare numbers here. */
#include "graph/graph.h"
#include "test.h"

enum { SOME_OP = 5, OTHER_OP = 6 };

static node_rec pair(int32_t op, node a, node b)
{
    return (node_rec){.op = op, .dtype = F64, .in = {a, b, NODE_NONE}, .shape = SHAPE(2, 3)};
}

TEST(equal_records_are_one_node)
{
    graph *g;
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    node a = graph_add_leaf(g, "a", F64, SHAPE(2, 3)), b = graph_add_leaf(g, "b", F64, SHAPE(2, 3));
    node_rec r = pair(SOME_OP, a, b), swapped = pair(SOME_OP, b, a), other = pair(OTHER_OP, a, b);
    node_rec wide = r, turned = r, factor = r;
    wide.dtype = F32;
    turned.shape = SHAPE(3, 2);
    factor.attr.f = 0.5;

    node n = graph_add(g, &r);
    CHECK_INT(graph_add(g, &r), n);
    node apart[] = {a,
                    b,
                    n,
                    graph_add(g, &swapped),
                    graph_add(g, &other),
                    graph_add(g, &wide),
                    graph_add(g, &turned),
                    graph_add(g, &factor)};
    for (size_t i = 0; i < COUNT(apart); i++)
        for (size_t k = 0; k < i; k++) CHECK(apart[i] != apart[k]);
    CHECK_INT(graph_size(g), COUNT(apart));
    graph_free(g);
}

TEST(padding_and_unused_dimensions_do_not_tell_records_apart)
{
    graph *g;
    node_rec r[2];
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));

    for (int i = 0; i < 2; i++) {
        memset(&r[i], i ? 0xff : 0, sizeof r[i]);
        r[i].op = SOME_OP, r[i].dtype = F32;
        for (int k = 0; k < OPERANDS_MAX; k++) r[i].in[k] = NODE_NONE;
        r[i].shape.rank = 1;
        r[i].shape.dim[0] = 4;
        memset(&r[i].attr, 0, sizeof r[i].attr);
    }
    CHECK_INT(graph_add(g, &r[0]), graph_add(g, &r[1]));
    graph_free(g);
}

TEST(leaves_are_numbered_named_and_never_merged)
{
    graph *g;
    char name[] = "weight";
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    node a = graph_add_leaf(g, name, F32, SHAPE(4)), b = graph_add_leaf(g, name, F32, SHAPE(4));
    name[0] = '?'; /* names are copied */

    CHECK(a != b);
    CHECK_INT(graph_leaves(g), 2);
    CHECK_INT(graph_leaf(g, 1), b);
    CHECK_STR(graph_leaf_name(g, 0), "weight");
    CHECK_INT(graph_dtype(g, b), F32);
    graph_free(g);
}

/* Many times the first size of every array: what was there stays, and is still found. */
TEST(growth_keeps_nodes_and_finds_them)
{
    enum { MANY = 5000 };
    graph *g;
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    for (int i = 0; i < 100; i++) graph_add_leaf(g, "x", F64, SHAPE(2, 3));
    node_rec r = pair(SOME_OP, 0, 0);
    for (int i = 0; i < MANY; i++) {
        r.attr.n = i;
        CHECK_INT(graph_add(g, &r), 100 + i);
    }
    for (int i = 0; i < MANY; i++) {
        r.attr.n = i;
        CHECK_INT(graph_add(g, graph_rec(g, 100 + i)), 100 + i);
        CHECK_INT(graph_add(g, &r), 100 + i);
        CHECK_INT(graph_rec(g, 100 + i)->attr.n, i);
    }
    CHECK_INT(graph_size(g), 100 + MANY);
    graph_free(g);
}

TEST(the_first_error_sticks)
{
    graph *g;
    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    node a = graph_add_leaf(g, "a", F64, SHAPE(2, 3));
    node_rec r = pair(SOME_OP, a, a);

    CHECK_OK(test_ctx(), graph_status(g));
    CHECK_INT(graph_fail(g, "first %d", 1), NODE_NONE);
    CHECK_INT(graph_fail(g, "second"), NODE_NONE);
    CHECK_FAILS(test_ctx(), graph_status(g), DRMAD_E_MODEL, "first 1");
    CHECK_INT(graph_add(g, &r), NODE_NONE);
    CHECK_INT(graph_add_leaf(g, "b", F64, SHAPE(2)), NODE_NONE);
    CHECK_INT(graph_size(g), 1);
    CHECK_INT(graph_shape(g, NODE_NONE)->rank, 0);
    graph_free(g);
}

TEST(impossible_shapes_are_refused)
{
    const int64_t huge = INT64_MAX / 2;
    const struct {
        shape s;
        const char *text;
    } bad[] = {
        {SHAPE(2, 0), "[2,0]: expected dimensions of at least 1"},
        {SHAPE(-3), "[-3]: expected dimensions of at least 1"},
        {SHAPE(huge, 4), "a size that can be counted"},
        {{.rank = RANK_MAX + 1}, "shape of rank 7, expected 0 to 6"},
        {{.rank = -1}, "shape of rank -1"},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        graph *g;
        CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
        CHECK_INT(graph_add_leaf(g, "x", F32, bad[i].s), NODE_NONE);
        CHECK_FAILS(test_ctx(), graph_status(g), DRMAD_E_MODEL, bad[i].text);
        CHECK_INT(graph_leaves(g), 0);
        graph_free(g);
    }
}

static drmad_status grow_graph(drmad_ctx *ctx, void *arg)
{
    graph *g = NULL;
    drmad_status st = graph_new(ctx, &g);

    (void)arg;
    if (st != DRMAD_OK) return st;
    for (int i = 0; i < 40; i++) graph_add_leaf(g, "x", F64, SHAPE(2, 3));
    node_rec r = pair(SOME_OP, 0, 0);
    for (int i = 0; i < 600; i++) r.attr.n = i, graph_add(g, &r);
    st = graph_status(g);
    graph_free(g);
    return st;
}

TEST(running_out_of_memory_leaves_nothing)
{
    test_oom(grow_graph, NULL);
}
