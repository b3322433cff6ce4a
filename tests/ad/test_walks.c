/* Where derivatives go and where they do not: the walks of ad/ on graphs of a few nodes. */
#include "ad_fixture.h"

static node leaf(graph *g, const char *name)
{
    return graph_add_leaf(g, name, F64, SHAPE(2, 3));
}

static graph *open_graph(void)
{
    graph *g;

    CHECK_OK(test_ctx(), graph_new(test_ctx(), &g));
    return g;
}

TEST(zero_derivatives_are_no_nodes)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), b = leaf(g, "b"), c = leaf(g, "c"), none = NODE_NONE;
    node index = graph_add_leaf(g, "index", I32, SHAPE(4));
    node y = g_mul(g, g_exp(g, a), g_sign(g, b)), rows = g_gather(g, a, index), out[3];
    node rows_c = graph_add_leaf(g, "rows_c", F64, SHAPE(4, 3));
    int32_t size = graph_size(g);

    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &none, 1, &a, out)); /* no cotangent */
    CHECK_INT(out[0], NODE_NONE);
    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 1, &b, out)); /* through sign */
    CHECK_INT(out[0], NODE_NONE);
    CHECK_OK(test_ctx(), ad_vjp(g, 1, &rows, &rows_c, 1, &index, out)); /* to an integer */
    CHECK_INT(out[0], NODE_NONE);
    CHECK_OK(test_ctx(), ad_jvp(g, 1, &b, &c, 1, &y, out));
    CHECK_INT(out[0], NODE_NONE);
    CHECK_OK(test_ctx(), ad_jvp(g, 1, &a, &none, 1, &y, out));
    CHECK_INT(out[0], NODE_NONE);
    CHECK_INT(graph_size(g), size);
    CHECK_OK(test_ctx(), ad_pairing(g, g_sum_all(g, y), 1, &a, &none, out));
    CHECK_INT(out[0], NODE_NONE);
    graph_free(g);
}

/* y = tanh(a) + exp(b), asked for a alone: nothing may be made of exp(b). */
TEST(only_nodes_on_the_way_get_derivatives)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), b = leaf(g, "b"), c = leaf(g, "c"), d;
    node e = g_exp(g, b), y = g_add(g, g_tanh(g, a), e);
    int32_t size = graph_size(g);

    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 1, &a, &d));
    CHECK_OK(test_ctx(), ad_jvp(g, 1, &a, &c, 1, &y, &d));
    for (node n = size; n < graph_size(g); n++)
        for (int i = 0; i < OPERANDS_MAX; i++) CHECK(graph_rec(g, n)->in[i] != e);
    CHECK_INT(graph_size(g),
              size + 5); /* 1, t^2, 1 - t^2, (1 - t^2) c for both modes; a folded 0 */

    size = graph_size(g);
    CHECK_OK(test_ctx(), ad_jvp(g, 2, (node[]){a, b}, (node[]){c, c}, 1, &a, &d));
    CHECK_INT(d, c); /* a node is its own derivative, and y was not asked for */
    CHECK_INT(graph_size(g), size);
    graph_free(g);
}

/* y = tanh(a) exp(b): the cotangent of exp(b) would be a node of its own, and leads nowhere. */
TEST(cotangents_that_lead_nowhere_are_not_made)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), b = leaf(g, "b"), c = leaf(g, "c"), d;
    node y = g_mul(g, g_tanh(g, a), g_exp(g, b));
    int32_t size = graph_size(g);

    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 1, &a, &d));
    CHECK_INT(graph_size(g), size + 5); /* c e^b, 1, t^2, 1 - t^2, their product */
    graph_free(g);
}

/* The gradient of w has w's shape; nothing else here has. */
TEST(pairing_makes_no_gradient)
{
    graph *g = open_graph();
    node x = leaf(g, "x"), w = graph_add_leaf(g, "w", F64, SHAPE(3, 4)), pairs;
    node u = graph_add_leaf(g, "u", F64, SHAPE(3, 4));
    node loss = g_sum_all(g, g_tanh(g, g_matmul(g, x, w, false, false)));
    int32_t size = graph_size(g);

    CHECK_OK(test_ctx(), ad_pairing(g, loss, 1, &w, &u, &pairs));
    for (node n = size; n < graph_size(g); n++)
        CHECK(!shape_same(graph_shape(g, n), graph_shape(g, w)));
    graph_free(g);
}

TEST(casts_cast_the_cotangent_back)
{
    graph *g = open_graph();
    node x = leaf(g, "x"), c = graph_add_leaf(g, "c", F32, SHAPE(2, 3)), y = g_cast(g, x, F32), d;

    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 1, &x, &d));
    CHECK_INT(d, g_cast(g, c, F64));
    graph_free(g);
}

/* y = exp(t), t = tanh(a): both a and t get the whole derivative, and tangents of both add up. */
TEST(paths_go_on_past_another_x)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), c = leaf(g, "c"), u = leaf(g, "u"), v = leaf(g, "v");
    node t = g_tanh(g, a), y = g_exp(g, t), x[2] = {a, t}, d[2], only, du, sum;
    node ones = g_ones_like(g, t), slope = g_sub(g, ones, g_mul(g, t, t));

    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 2, x, d));
    CHECK_OK(test_ctx(), ad_vjp(g, 1, &y, &c, 1, &a, &only));
    CHECK_INT(d[0], only);
    CHECK_INT(d[1], g_mul(g, y, c));
    CHECK_INT(d[0], g_mul(g, slope, d[1]));

    CHECK_OK(test_ctx(), ad_jvp(g, 2, x, (node[]){u, v}, 1, &y, &du));
    CHECK_INT(du, g_mul(g, y, g_add(g, v, g_mul(g, slope, u))));

    node loss = g_sum_all(g, y), pairs[2];
    CHECK_OK(test_ctx(), ad_pairing(g, loss, 2, x, (node[]){u, v}, pairs));
    CHECK_OK(test_ctx(), ad_pairing(g, loss, 1, &t, (node[]){v}, &sum));
    CHECK_INT(pairs[1], sum);
    CHECK_OK(test_ctx(), ad_pairing(g, loss, 1, &a, (node[]){u}, &sum));
    CHECK_INT(pairs[0], sum);
    graph_free(g);
}

TEST(several_outputs_add_up)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), b = leaf(g, "b"), c = leaf(g, "c"), d, y[2];

    y[0] = g_scale(g, a, 3.0), y[1] = a;
    CHECK_OK(test_ctx(), ad_vjp(g, 2, y, (node[]){b, c}, 1, &a, &d));
    CHECK_INT(d, g_add(g, c, g_scale(g, b, 3.0)));
    graph_free(g);
}

TEST(a_loss_pairs_with_itself_and_uses_of_other_ranks)
{
    fx f;
    fx_open(&f, 60);
    node w = fx_uniform(&f, SHAPE(2, 3), -1.0, 1.0), flat = g_reshape(f.g, w, SHAPE(6)), u, out;
    node loss = g_add(f.g, g_reshape(f.g, g_sum_all(f.g, g_exp(f.g, flat)), SHAPE(1, 1)),
                      g_sum_all(f.g, g_mul(f.g, w, g_tanh(f.g, w))));
    nodes x = {1, {w}}, y = {1, {loss}}, one = {1, {g_ones_like(f.g, loss)}};
    nodes g = fx_vjp(&f, &y, &one, &x), us;

    u = fx_like(&f, w);
    us = (nodes){1, {u}};
    CHECK_OK(test_ctx(), ad_pairing(f.g, loss, 1, &w, &u, &out));
    double *have = fx_value(&f, out);
    CHECK_NEAR(*have, fx_dot(&f, &g, &us, NULL), 1e-14); /* a dozen terms near 1 */
    free(have);
    u = fx_like(&f, loss);
    CHECK_OK(test_ctx(), ad_pairing(f.g, loss, 1, &loss, &u, &out));
    CHECK_INT(out, u);
    fx_close(&f);
}

/* Hash-consing makes the proof: the rebuilt expression is the one built from the replacement. */
TEST(substitution_rebuilds_above_what_it_replaces)
{
    graph *g = open_graph();
    node a = leaf(g, "a"), b = leaf(g, "b"), c = leaf(g, "c"), t = g_tanh(g, a), out[4];
    node y[4] = {g_mul(g, t, g_exp(g, b)), g_exp(g, b), t, a};
    node step = g_mul(g, a, g_step(g, a));

    CHECK_OK(test_ctx(), ad_substitute(g, 1, &a, &c, 4, y, out));
    CHECK_INT(out[0], g_mul(g, g_tanh(g, c), g_exp(g, b)));
    CHECK_INT(out[1], y[1]);
    CHECK_INT(out[2], g_tanh(g, c));
    CHECK_INT(out[3], c);
    CHECK_OK(test_ctx(), ad_substitute(g, 2, (node[]){a, t}, (node[]){b, c}, 1, y, out));
    CHECK_INT(out[0], g_mul(g, c, g_exp(g, b))); /* t itself is replaced, not rebuilt */
    CHECK_OK(test_ctx(), ad_substitute(g, 1, (node[]){g_step(g, a)}, &b, 1, &step, out));
    CHECK_INT(out[0], g_mul(g, a, b)); /* a stored mask in place of step(a) */
    CHECK_OK(test_ctx(), ad_substitute(g, 2, (node[]){a, b}, (node[]){b, a}, 1, y, out));
    CHECK_INT(out[0], g_mul(g, g_tanh(g, b), g_exp(g, a))); /* at once, not in turn */
    graph_free(g);
}

TEST(what_does_not_fit_is_refused)
{
    for (int i = 0; i < 5; i++) {
        graph *g = open_graph();
        node a = leaf(g, "a"), b = graph_add_leaf(g, "b", F64, SHAPE(3, 2)), out[1] = {0};
        node single = graph_add_leaf(g, "s", F32, SHAPE(2, 3)), y = g_exp(g, a);
        switch (i) {
        case 0:
            CHECK_FAILS(test_ctx(), ad_vjp(g, 1, &y, &b, 1, &a, out), DRMAD_E_MODEL,
                        "ad_vjp: cotangent: f64[3,2] for a node of f64[2,3], expected the same");
            break;
        case 1:
            CHECK_FAILS(test_ctx(), ad_jvp(g, 1, &a, &single, 1, &y, out), DRMAD_E_MODEL,
                        "ad_jvp: tangent: f32[2,3] for a node of f64[2,3]");
            break;
        case 2:
            CHECK_FAILS(test_ctx(), ad_substitute(g, 1, &a, &b, 1, &y, out), DRMAD_E_MODEL,
                        "ad_substitute: replacement: f64[3,2]");
            break;
        case 3:
            CHECK_FAILS(test_ctx(), ad_pairing(g, y, 1, &a, &a, out), DRMAD_E_MODEL,
                        "ad_pairing: the loss has 6 elements, expected 1");
            break;
        default:
            g_add(g, a, b);
            CHECK_FAILS(test_ctx(), ad_vjp(g, 1, &y, &a, 1, &a, out), DRMAD_E_MODEL,
                        "add(f64[2,3], f64[3,2])");
        }
        CHECK_INT(out[0], NODE_NONE);
        graph_free(g);
    }
}

/* x comes back from BF16: each of its derivatives would be one of its 8 bits. */
TEST(no_derivative_passes_bf16)
{
    for (int mode = 0; mode < 3; mode++) {
        graph *g = open_graph();
        node a = graph_add_leaf(g, "a", F32, SHAPE(2, 3));
        node x = g_cast(g, g_cast(g, a, BF16), F32), y = g_sum_all(g, g_mul(g, x, a));
        node one = g_ones_like(g, y), d;
        if (mode == 0) ad_vjp(g, 1, &y, &one, 1, &a, &d);
        if (mode == 1) ad_jvp(g, 1, &a, &a, 1, &y, &d);
        if (mode == 2) ad_pairing(g, y, 1, &a, &a, &d);
        CHECK_FAILS(test_ctx(), graph_status(g), DRMAD_E_MODEL, "whose 8 bits are too few");
        graph_free(g);
    }
}
