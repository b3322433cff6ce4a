/* Whole models: a multilayer perceptron with soft-max cross-entropy and hyperparameters of every
 * place they can enter a loss. Forward over reverse against reverse over reverse, differences,
 * symmetry, and the number of multiply-adds. */
#include "ad_fixture.h"

enum { LAYERS_MAX = 8 };

typedef struct net {
    int64_t batch, width[LAYERS_MAX + 1]; /* input, hidden..., classes */
    int layers;
    node (*activation)(graph *g, node x);
} net;

/* l2: one a layer and input unit. h: these, then label smoothing, example weights, input scale. */
typedef struct model {
    nodes w, l2, h;
    node loss;
} model;

static node bcast_mul(graph *g, node small, node x)
{
    return g_mul(g, g_bcast(g, small, *graph_shape(g, x)), x);
}

/* Adds a layer's weights and its l2 penalty, lambda_i / 2 sum_j w_ij^2; gives x w + b. */
static node dense(fx *f, const net *a, int layer, node x, model *m)
{
    int64_t in = a->width[layer], out = a->width[layer + 1];
    double size = 1.0 / sqrt((double)in);
    node w = fx_uniform(f, SHAPE(in, out), -size, size);
    node b = fx_uniform(f, SHAPE(1, out), -0.1, 0.1);
    node lambda = fx_uniform(f, SHAPE(in, 1), 0.1, 1.0);
    graph *g = f->g;

    nodes_add(&m->w, w);
    nodes_add(&m->w, b);
    nodes_add(&m->l2, lambda);
    m->loss =
        g_add(g, m->loss, g_scale(g, g_sum_all(g, bcast_mul(g, lambda, g_mul(g, w, w))), 0.5));
    return g_add(g, g_matmul(g, x, w, false, false), g_bcast(g, b, SHAPE(a->batch, out)));
}

/* -sum_k p_k log softmax(z)_k with p = (1 - s) onehot + s/K; [batch, 1] */
static node cross_entropy(graph *g, node z, node labels, node smoothing)
{
    shape s = *graph_shape(g, z);
    node keep = g_sub(g, g_ones_like(g, smoothing), smoothing);
    node hot = bcast_mul(g, keep, g_onehot(g, labels, s.dim[1], F64));
    node p = g_add(g, hot, g_bcast(g, g_scale(g, smoothing, 1.0 / (double)s.dim[1]), s));

    return g_sub(g, g_logsumexp(g, z), g_sum(g, g_mul(g, p, z), 2));
}

static model build(fx *f, const net *a)
{
    graph *g = f->g;
    int64_t classes = a->width[a->layers];
    node smoothing = fx_uniform(f, SHAPE(1, 1), 0.05, 0.2);
    node weight = fx_uniform(f, SHAPE(a->batch, 1), 0.5, 1.5);
    node scale = fx_uniform(f, SHAPE(1, a->width[0]), 0.5, 1.5);
    node x = fx_uniform(f, SHAPE(a->batch, a->width[0]), -1.0, 1.0);
    model m = {.loss = g_fill(g, F64, SHAPE(1, 1), 0.0)};

    x = bcast_mul(g, scale, x);
    for (int i = 0; i < a->layers; i++) {
        x = dense(f, a, i, x, &m);
        if (i + 1 < a->layers) x = a->activation(g, x);
    }
    node each = cross_entropy(g, x, fx_index(f, a->batch, classes), smoothing);
    m.loss = g_add(g, m.loss, g_scale(g, g_dot(g, weight, each), 1.0 / (double)a->batch));
    nodes_append(&m.h, &m.l2);
    nodes_add(&m.h, smoothing);
    nodes_add(&m.h, weight);
    nodes_add(&m.h, scale);
    CHECK_OK(test_ctx(), graph_status(g));
    return m;
}

static nodes gradient(fx *f, node loss, const nodes *x)
{
    nodes y = {1, {loss}}, one = {1, {g_ones_like(f->g, loss)}};

    return fx_vjp(f, &y, &one, x);
}

static nodes both(const nodes *a, const nodes *b)
{
    nodes all = *a;

    nodes_append(&all, b);
    return all;
}

static nodes part(const nodes *x, int from, int n)
{
    nodes some = {0};

    for (int i = 0; i < n; i++) nodes_add(&some, x->at[from + i]);
    return some;
}

static const net small_net = {.batch = 6, .width = {5, 4, 3, 4}, .layers = 3};

static node (*const activations[])(graph *g, node x) = {g_tanh, g_relu, g_softplus, g_gelu};

/* Both orders of differentiation are sums of the same few hundred products: 1e-13 is a thousand
 * roundings. */
TEST(forward_over_reverse_is_reverse_over_reverse)
{
    for (size_t i = 0; i < COUNT(activations); i++) {
        fx f;
        net a = small_net;
        a.activation = activations[i];
        fx_open(&f, 10 + i);
        model m = build(&f, &a);
        nodes x = both(&m.w, &m.h), g = gradient(&f, m.loss, &x), gw = part(&g, 0, m.w.n);
        nodes u = fx_like_all(&f, &m.w);

        nodes forward =
            fx_jvp(&f, &m.w, &u, &g); /* along (w: u, h: 0): H u, then the mixed product */
        nodes reverse = fx_vjp(&f, &gw, &u, &x);
        for (int k = 0; k < x.n; k++) {
            nodes one = part(&forward, k, 1), other = part(&reverse, k, 1);
            CHECK_NEAR(fx_distance(&f, &one, &other), 0.0, 1e-13);
        }
        nodes mixed = part(&forward, m.w.n, m.h.n);
        CHECK(fx_dot(&f, &mixed, &mixed, NULL) > 0.0);
        fx_close(&f);
    }
}

TEST(hessians_are_symmetric)
{
    for (size_t i = 0; i < COUNT(activations); i++) {
        fx f;
        net a = small_net;
        double size;
        a.activation = activations[i];
        fx_open(&f, 20 + i);
        model m = build(&f, &a);
        nodes x = both(&m.w, &m.h), g = gradient(&f, m.loss, &x);
        nodes u = fx_like_all(&f, &x), v = fx_like_all(&f, &x);
        nodes hu = fx_jvp(&f, &x, &u, &g), hv = fx_jvp(&f, &x, &v, &g);
        double vhu = fx_dot(&f, &v, &hu, &size);

        CHECK_NEAR(fx_dot(&f, &u, &hv, NULL), vhu, 1e-13 * size);
        fx_close(&f);
    }
}

/* The joint gradient as a function of (w, h), and of w alone: differences find both products. */
TEST(joint_gradient_gives_both_second_order_products)
{
    for (size_t i = 0; i < COUNT(activations); i++) {
        if (activations[i] == g_relu) continue; /* differences would cross its kinks */
        fx f;
        net a = small_net;
        a.activation = activations[i];
        fx_open(&f, 30 + i);
        model m = build(&f, &a);
        nodes x = both(&m.w, &m.h), g = gradient(&f, m.loss, &x), y = {1, {m.loss}};

        fx_check_derivs(&f, &y, &x, 1, &fx_smooth);
        fx_check_derivs(&f, &g, &x, 1, &fx_smooth);
        fx_check_derivs(&f, &g, &m.w, 1, &fx_smooth);
        fx_close(&f);
    }
}

TEST(pairing_is_the_product_with_the_gradient)
{
    for (size_t i = 0; i < COUNT(activations); i++) {
        fx f;
        net a = small_net;
        nodes pairs = {0};
        a.activation = activations[i];
        fx_open(&f, 40 + i);
        model m = build(&f, &a);
        nodes x = both(&m.w, &m.h), g = gradient(&f, m.loss, &x), u = fx_like_all(&f, &x);

        pairs.n = x.n;
        CHECK_OK(test_ctx(), ad_pairing(f.g, m.loss, x.n, x.at, u.at, pairs.at));
        for (int k = 0; k < x.n; k++) {
            nodes gk = part(&g, k, 1), uk = part(&u, k, 1);
            double size, want = fx_dot(&f, &gk, &uk, &size), *have = fx_value(&f, pairs.at[k]);
            CHECK_INT(shape_count(graph_shape(f.g, pairs.at[k])), 1);
            CHECK_NEAR(*have, want, 1e-13 * (1.0 + size));
            free(have);
        }
        fx_close(&f);
    }
}

/* -- cost */

/* Multiply-adds of the matrix products that the roots need. */
static int64_t products(const graph *g, const nodes *roots)
{
    bool *need = calloc((size_t)graph_size(g), sizeof *need);
    int64_t sum = 0;

    if (!need) abort();
    for (int i = 0; i < roots->n; i++) need[roots->at[i]] = true;
    for (node n = graph_size(g) - 1; n >= 0; n--) {
        const node_rec *r = graph_rec(g, n);
        if (!need[n]) continue;
        for (int i = 0; i < op_get(r->op)->arity; i++) need[r->in[i]] = true;
        if (r->op == OP_matmul)
            sum += shape_count(&r->shape) * graph_shape(g, r->in[0])->dim[!r->attr.ta];
    }
    free(need);
    return sum;
}

/* DESIGN 2: a training step costs 2W + W', the reverse step of SGD 3W + 5W', with W all weights
 * and W' all but the first layer's; the primal weight gradient is not among it, and pairings with
 * u cost no product at all. A piecewise linear net needs its first layer's primal cotangent for
 * the pairings alone: `spared` without them. */
static void check_cost(const net *a, int64_t spared)
{
    fx f;
    int64_t all = 0, rest = 0;
    nodes hu, pairs = {0};

    for (int i = 0; i < a->layers; i++) {
        all += a->width[i] * a->width[i + 1];
        rest += i > 0 ? a->width[i] * a->width[i + 1] : 0;
    }
    fx_open(&f, 50);
    model m = build(&f, a);
    nodes x = both(&m.w, &m.l2), g = gradient(&f, m.loss, &x), u = fx_like_all(&f, &m.w);
    CHECK_INT(products(f.g, &g), a->batch * (2 * all + rest));

    hu = fx_jvp(&f, &m.w, &u, &g);
    CHECK_INT(products(f.g, &hu), a->batch * (3 * all + 5 * rest - spared));
    pairs.n = m.w.n;
    CHECK_OK(test_ctx(), ad_pairing(f.g, m.loss, m.w.n, m.w.at, u.at, pairs.at));
    nodes_append(&hu, &pairs);
    CHECK_INT(products(f.g, &hu), a->batch * (3 * all + 5 * rest));
    fx_close(&f);
}

TEST(reverse_step_costs_what_the_design_says)
{
    net small = {.batch = 50, .width = {784, 50, 50, 50, 10}, .layers = 4, .activation = g_tanh};
    net large = {.batch = 128, .width = {784, 800, 800, 10}, .layers = 3, .activation = g_tanh};

    check_cost(&small, 0);
    check_cost(&large, 0);
    large.activation = g_relu;
    check_cost(&large, 800 * 800);
}

/* -- memory */

static drmad_status all_of_it(drmad_ctx *ctx, void *arg)
{
    graph *g = NULL;
    node out[2], one;
    drmad_status st = graph_new(ctx, &g);

    (void)arg;
    if (st != DRMAD_OK) return st;
    node w = graph_add_leaf(g, "w", F64, SHAPE(3, 4)), x = graph_add_leaf(g, "x", F64, SHAPE(2, 3));
    node u = graph_add_leaf(g, "u", F64, SHAPE(3, 4));
    node loss = g_sum_all(g, g_logsumexp(g, g_gelu(g, g_matmul(g, x, w, false, false))));
    one = g_ones_like(g, loss);
    TRY(ad_vjp(g, 1, &loss, &one, 1, &w, &out[0]));
    TRY(ad_jvp(g, 1, &w, &u, 1, &out[0], &out[1]));
    TRY(ad_pairing(g, loss, 1, &w, &u, &out[0]));
    TRY(ad_substitute(g, 1, &w, &u, 1, &loss, &out[0]));
    for (int i = 0; i < 300; i++) out[1] = g_scale(g, g_tanh(g, out[1]), 0.5); /* the arrays grow */
    st = graph_status(g);
done:
    graph_free(g);
    return st;
}

TEST(running_out_of_memory_leaves_nothing)
{
    test_oom(all_of_it, NULL);
}
