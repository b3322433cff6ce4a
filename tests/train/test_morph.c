/* Net2Net keeps the function: every layer of every preset wider and deeper, in F32, evaluated by
 * the engine before and after; what cannot grow is refused by name. And what copies take of an
 * optimiser's vectors: the new net's gradient is the morph of the old one's. */
#include "ad/ad.h"
#include "exec/backend.h"
#include "nn/morph.h"
#include "test.h"

enum { BATCH = 4, CLASSES = 5 };

/* A net with its parameters and one batch. */
typedef struct scene {
    drmad_ctx *ctx;
    nn_spec *s;
    param_table *p;
    double *w; /* flat */
} scene;

static const struct {
    cfg_preset kind;
    const char *name;
    shape input;
    int64_t width, depth;
} presets[] = {
    {NN_LENET5, "lenet5", {.rank = 3, .dim = {28, 28, 1}}, 0, 0},
    {NN_RESNET8, "resnet8", {.rank = 3, .dim = {16, 16, 3}}, 8, 0},
    {NN_RESNET20, "resnet20", {.rank = 3, .dim = {8, 8, 3}}, 4, 0},
    {NN_RESNET18, "resnet18", {.rank = 3, .dim = {16, 16, 3}}, 4, 0},
    {NN_RESNET34, "resnet34", {.rank = 3, .dim = {16, 16, 3}}, 4, 0},
    {NN_RESNET50, "resnet50", {.rank = 3, .dim = {16, 16, 3}}, 4, 0},
    {NN_WRN_16_1, "wrn-16-1", {.rank = 3, .dim = {8, 8, 3}}, 4, 0},
    {NN_VIT_TINY, "vit-tiny", {.rank = 3, .dim = {8, 8, 3}}, 12, 2},
    {NN_GPT_NANO, "gpt-nano", {.rank = 1, .dim = {6}}, 12, 2},
};

static const shape *output_shape(const scene *e)
{
    return nn_output(e->s);
}

/* Draws as at the start of training, but with norms, biases and running statistics that have moved
 * from theirs. */
static void draw(scene *e)
{
    CHECK_OK(e->ctx, mem_alloc(e->ctx, (size_t)e->p->total, sizeof *e->w, &e->w));
    nn_draw(e->s, e->p, 3, e->w);
    for (int32_t i = 0; i < e->p->n; i++) {
        const param *q = &e->p->at[i];
        const rng_key key = {5, 0, rng_site(q->name)};
        const double size = q->role == PARAM_STAT || q->role == PARAM_NORM ? 0.2 : 0.02;

        for (int64_t k = 0; k < q->count; k++)
            e->w[q->offset + k] += size * rng_normal(key, (uint64_t)k);
        for (int64_t k = 0; k < q->count && strstr(q->name, "running_var"); k++)
            e->w[q->offset + k] = fabs(e->w[q->offset + k]) + 0.1;
    }
}

static void scene_close(scene *e)
{
    mem_free(e->ctx, e->w);
    params_free(e->p);
    e->w = NULL, e->p = NULL;
}

static void scene_table(scene *e)
{
    CHECK_OK(e->ctx, params_new(e->ctx, &e->p));
    CHECK_OK(e->ctx, nn_params(e->s, e->p));
}

/* Leaves of one graph and their data. */
typedef struct leaves {
    graph *g;
    void *data[800];
} leaves;

static node leaf(leaves *l, dtype t, shape s, void *data)
{
    l->data[graph_leaves(l->g)] = data;
    return graph_add_leaf(l->g, "leaf", t, s);
}

static void *in_type(dtype t, const double *x, int64_t n)
{
    void *out = calloc((size_t)n, sizeof(double));

    for (int64_t i = 0; i < n; i++)
        if (t == F32) ((float *)out)[i] = (float)x[i];
        else ((double *)out)[i] = x[i];
    return out;
}

static node input(leaves *l, const scene *e, dtype t)
{
    shape x = {.rank = e->s->input.rank + 1, .dim = {BATCH}};

    for (int32_t i = 0; i < e->s->input.rank; i++) x.dim[i + 1] = e->s->input.dim[i];
    const int64_t n = shape_count(&x);
    double *data = calloc((size_t)n, sizeof *data);
    for (int64_t i = 0; i < n; i++) data[i] = rng_normal((rng_key){9, 0, 1}, (uint64_t)i);
    void *typed = in_type(t, data, n);
    for (int64_t i = 0; e->s->tokens && i < n; i++)
        ((int32_t *)typed)[i] = (int32_t)rng_below((rng_key){9, 0, 2}, (uint64_t)i, CLASSES);
    free(data);
    return leaf(l, e->s->tokens ? I32 : t, x, typed);
}

static void run(const scene *e, leaves *l, int n, const node *y, void *const *to)
{
    plan_output out[200];
    plan *p = NULL;
    program *prog = NULL;

    for (int i = 0; i < n; i++) out[i] = (plan_output){y[i], -1};
    CHECK_OK(e->ctx, graph_status(l->g));
    CHECK_OK(e->ctx, plan_new(e->ctx, l->g, out, n, backend_cpu.target, &p));
    CHECK_OK(e->ctx, program_new(e->ctx, p, &backend_cpu, &prog));
    for (int32_t i = 0; i < graph_leaves(l->g); i++) program_set_leaf(prog, i, l->data[i]);
    for (int i = 0; i < n; i++) program_set_output(prog, i, to[i]);
    CHECK_OK(e->ctx, program_run(prog));
    program_free(prog);
    plan_free(p);
    for (int32_t i = 0; i < graph_leaves(l->g); i++) free(l->data[i]);
    graph_free(l->g);
}

static node forward(const scene *e, leaves *l, dtype t, node *w)
{
    const nn_pass pass = {.train = false, .key = NODE_NONE};

    CHECK_OK(e->ctx, graph_new(e->ctx, &l->g));
    for (int32_t i = 0; i < e->p->n; i++)
        w[i] =
            leaf(l, t, e->p->at[i].shape, in_type(t, e->w + e->p->at[i].offset, e->p->at[i].count));
    return nn_forward(l->g, e->s, w, input(l, e, t), &pass);
}

/* The outputs in evaluation, F32. */
static float *outputs(const scene *e)
{
    float *y = calloc((size_t)(BATCH * shape_count(output_shape(e))), sizeof *y);
    node w[400];
    leaves l;

    node z = forward(e, &l, F32, w);
    run(e, &l, 1, &z, (void *[]){y});
    return y;
}

/* How far apart, over the largest output. */
static double apart(const scene *a, const float *x, const float *y)
{
    const int64_t n = BATCH * shape_count(output_shape(a));
    double most = 0, most_apart = 0;

    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i]));
        most_apart = fmax(most_apart, fabs((double)x[i] - (double)y[i]));
    }
    return most_apart / most;
}

/* The morphed scene; borrows the morph's net. */
static scene grown(const scene *e, const morph *m, double noise)
{
    scene g = {.ctx = e->ctx, .s = m->net};

    scene_table(&g);
    CHECK_OK(g.ctx, mem_alloc(g.ctx, (size_t)g.p->total, sizeof *g.w, &g.w));
    morph_apply(m, e->p, g.p, MORPH_WEIGHTS, noise, e->w, g.w);
    return g;
}

static void check_kept(const scene *e, const float *before, const morph *m, const char *what)
{
    scene g = grown(e, m, 0);
    float *after = outputs(&g);
    const double off = apart(e, before, after);

    if (!(off <= 1e-5)) test_fail(__FILE__, __LINE__, "%s: off by %g", what, off);
    free(after);
    scene_close(&g);
}

static bool can(drmad_ctx *ctx, drmad_status st, const char *what)
{
    if (st != DRMAD_OK && (st != DRMAD_E_CONFIG || !strstr(drmad_errmsg(ctx), "layer ")))
        test_fail(__FILE__, __LINE__, "%s: status %d, %s", what, (int)st, drmad_errmsg(ctx));
    return st == DRMAD_OK;
}

static void open_preset(scene *e, size_t i)
{
    const nn_preset p = {.kind = presets[i].kind,
                         .input = presets[i].input,
                         .classes = CLASSES,
                         .width = presets[i].width,
                         .depth = presets[i].depth,
                         .small_stem = true};

    *e = (scene){.ctx = test_ctx()};
    CHECK_OK(e->ctx, nn_from_preset(e->ctx, &p, &e->s));
    scene_table(e);
    draw(e);
}

static void open_mlp(scene *e)
{
    *e = (scene){.ctx = test_ctx()};
    CHECK_OK(e->ctx, nn_mlp(e->ctx, (const int64_t[]){12, 7, 6, CLASSES}, 3, NN_RELU, &e->s));
    scene_table(e);
    draw(e);
}

/* Every layer by half and to double its size, and deeper; gives how often each went. */
static void grow_everywhere(const scene *e, const char *name, int *wider, int *deeper)
{
    float *before = outputs(e);
    char what[160];

    *wider = *deeper = 0;
    for (int32_t i = 0; i < e->s->n; i++) {
        const nn_layer *l = &e->s->at[i];
        if (l->kind != NN_LINEAR && l->kind != NN_CONV && l->kind != NN_EMBEDDING) continue;
        for (int k = 0; k < 3; k++) {
            const int64_t n = k == 0 ? l->out + (l->out + 1) / 2 : 2 * l->out;
            morph *m = NULL;

            snprintf(what, sizeof what, "%s, %s %s", name, l->name, k < 2 ? "wider" : "deeper");
            const drmad_status st =
                k < 2 ? morph_wider(e->s, l->name, n, 7, &m) : morph_deeper(e->s, l->name, &m);
            if (!can(e->ctx, st, what)) continue;
            check_kept(e, before, m, what);
            *(k < 2 ? wider : deeper) += 1;
            morph_free(m);
        }
    }
    free(before);
}

TEST(a_morph_keeps_the_function_of_every_preset)
{
    /* Of LeNet all but the last layer; of residual nets each block's inner layers and each stage's
     * sum by any of its layers (wrn-16-1 too); of ViT the inner layer of each block by half and to
     * the double, and the stream of tokens to the double alone; of GPT the inner layers, for the
     * stream is the embedding's, which the head shares. Deeper only where there is a ReLU. */
    static const int wider[] = {8, 18, 42, 40, 72, 106, 32, 9, 4};
    static const int deeper[] = {4, 4, 10, 9, 17, 33, 7, 0, 0};
    scene e;
    int w, d;

    for (size_t i = 0; i < COUNT(presets); i++) {
        open_preset(&e, i);
        grow_everywhere(&e, presets[i].name, &w, &d);
        if (w != wider[i] || d != deeper[i])
            test_fail(__FILE__, __LINE__, "%s: %d wider, %d deeper", presets[i].name, w, d);
        nn_free(e.s);
        scene_close(&e);
    }
    open_mlp(&e);
    grow_everywhere(&e, "mlp", &w, &d);
    CHECK_INT(w, 4);
    CHECK_INT(d, 2);
    nn_free(e.s);
    scene_close(&e);
}

/* Heads go along: their outputs stay too, and they are no reader in the way of a deeper net. */
TEST(a_morph_keeps_auxiliary_heads)
{
    static const char *const morphs[] = {"wider conv1=9", "wider fc1=200", "deeper conv2"};
    scene e;
    morph *m;

    open_preset(&e, 0);
    scene_close(&e);
    CHECK_OK(e.ctx, nn_add_head(e.s, "relu1", "a", 1));
    CHECK_OK(e.ctx, nn_add_head(e.s, "conv2", "b", 1));
    CHECK_OK(e.ctx, nn_add_head(e.s, "fc1", "c", 1));
    scene_table(&e);
    draw(&e);
    for (int i = 0; i < 9; i++) { /* as if a head gave the net's outputs */
        const char *head = (const char *[]){"a", "b", "c"}[i % 3];

        CHECK_OK(e.ctx, morph_parse(e.s, morphs[i / 3], 1, &m));
        CHECK_STR(m->net->at[m->net->output].name, "fc3");
        e.s->output = nn_find(e.s, head);
        m->net->output = nn_find(m->net, head);
        float *before = outputs(&e);
        check_kept(&e, before, m, head);
        free(before);
        e.s->output = nn_find(e.s, "fc3");
        morph_free(m);
    }
    CHECK_FAILS(e.ctx, morph_wider(e.s, "a", 12, 7, &m), DRMAD_E_CONFIG, "are those of the net");
    nn_free(e.s);
    scene_close(&e);
}

/* ---- noise ---- */

TEST(noise_parts_the_copies_and_is_as_large_as_asked)
{
    scene e;
    morph *m;

    open_preset(&e, 0);
    float *before = outputs(&e);
    CHECK_OK(e.ctx, morph_wider(e.s, "conv2", 24, 7, &m));
    double off[2];
    for (int k = 0; k < 2; k++) {
        scene g = grown(&e, m, k ? 1e-2 : 1e-3);
        const int32_t i = m->net->at[nn_find(m->net, "conv2")].first;
        const param *p = &g.p->at[i];
        const int64_t each = p->count / p->shape.dim[0];
        const double *copy = g.w + p->offset + 16 * each;
        const double *parent = g.w + p->offset + m->at[i].map[0]->from[16] * each;
        double square = 0, noise = 0;

        for (int64_t j = 0; j < 16 * each; j++) square += pow(g.w[p->offset + j], 2);
        for (int64_t j = 0; j < each; j++) noise += pow(copy[j] - parent[j], 2);
        noise = sqrt(noise / (double)each) / sqrt(square / (double)(16 * each));
        CHECK_NEAR(noise, k ? 1e-2 : 1e-3, k ? 2e-3 : 2e-4); /* of 150 draws */
        float *after = outputs(&g);
        off[k] = apart(&e, before, after);
        free(after);
        scene_close(&g);
    }
    CHECK(off[1] > 1e-5 && off[1] < 1e-2); /* outputs move less than weights */
    CHECK(off[1] > 5 * off[0] && off[1] < 20 * off[0]);
    free(before);
    morph_free(m);
    nn_free(e.s);
    scene_close(&e);
}

/* ---- the optimiser's vectors ---- */

/* dL/dw, flat, of the sum of squares of the outputs, in double. */
static double *gradient(const scene *e)
{
    double *grad = calloc((size_t)e->p->total, sizeof *grad);
    node w[400], g[400], y[400];
    void *to[400];
    leaves l;
    int n = 0;

    const node z = forward(e, &l, F64, w);
    node loss = g_sum_all(l.g, g_mul(l.g, z, z)), one = g_ones_like(l.g, loss);
    CHECK_OK(e->ctx, ad_vjp(l.g, 1, &loss, &one, e->p->n, w, g));
    for (int32_t i = 0; i < e->p->n; i++) {
        if (g[i] == NODE_NONE || e->p->at[i].role == PARAM_STAT) continue;
        y[n] = g[i], to[n++] = grad + e->p->at[i].offset;
    }
    run(e, &l, n, y, to);
    return grad;
}

static void check_gradient(const char *preset, const char *layer, int64_t outputs)
{
    double most = 0, off = 0;
    morph *m;
    scene e;
    size_t i = 0;

    while (strcmp(presets[i].name, preset) != 0) i++;
    open_preset(&e, i);
    CHECK_OK(e.ctx, morph_wider(e.s, layer, outputs, 7, &m));
    scene g = grown(&e, m, 0);
    double *old = gradient(&e), *now = gradient(&g);
    double *want = calloc((size_t)g.p->total, sizeof *want);
    morph_apply(m, e.p, g.p, MORPH_GRADIENTS, 0, old, want);
    for (int64_t k = 0; k < g.p->total; k++) {
        most = fmax(most, fabs(want[k]));
        off = fmax(off, fabs(want[k] - now[k]));
    }
    if (!(off <= 1e-11 * most))
        test_fail(__FILE__, __LINE__, "%s, %s: off by %g of %g", preset, layer, off, most);
    free(old), free(now), free(want);
    scene_close(&g);
    morph_free(m);
    nn_free(e.s);
    scene_close(&e);
}

TEST(gradients_of_copies_are_shares_of_their_parents)
{
    check_gradient("lenet5", "conv2", 29);
    check_gradient("lenet5", "fc1", 150);
    check_gradient("resnet8", "layer2.0.conv1", 20);
    check_gradient("resnet8", "layer2.0.conv2", 30); /* and its short cut, and stage 3 reads it */
    check_gradient("wrn-16-1", "block1.layer.1.conv2", 7);
    check_gradient("vit-tiny", "patch_embed.proj", 24);
    check_gradient("gpt-nano", "transformer.h.0.mlp.c_fc", 50);
}

/* Of two equal copies each has half of the gradient and a quarter of its square. */
TEST(squares_and_steps_go_along)
{
    double *old, *now;
    morph *m;
    scene e;

    open_mlp(&e);
    CHECK_OK(e.ctx, morph_wider(e.s, "layers.0", 14, 7, &m));
    scene g = {.ctx = e.ctx, .s = m->net};
    scene_table(&g);
    old = calloc((size_t)e.p->total, sizeof *old);
    now = calloc((size_t)g.p->total, sizeof *now);
    for (int64_t k = 0; k < e.p->total; k++) old[k] = 1 + (double)k;
    const morph_columns *c = m->at[0].map[0];
    morph_apply(m, e.p, g.p, MORPH_SQUARES, 0, old, now);
    CHECK_NEAR(now[g.p->at[1].offset + 9], old[e.p->at[1].offset + c->from[9]] / 4, 1e-15);
    CHECK_NEAR(now[g.p->at[2].offset + 9], old[e.p->at[2].offset + c->from[9]], 1e-15);
    morph_apply(m, e.p, g.p, MORPH_STEPS, 0, old, now);
    CHECK_NEAR(now[g.p->at[1].offset + 9], old[e.p->at[1].offset + c->from[9]], 1e-15);
    scene_close(&g);
    morph_free(m);
    /* a new layer: nothing yet of gradients, of squares the mean of the layer before */
    CHECK_OK(e.ctx, morph_deeper(e.s, "layers.1", &m));
    g = (scene){.ctx = e.ctx, .s = m->net};
    scene_table(&g);
    now = realloc(now, (size_t)g.p->total * sizeof *now);
    morph_apply(m, e.p, g.p, MORPH_SQUARES, 0, old, now);
    CHECK_STR(g.p->at[4].name, "layers.1_2.weight");
    CHECK_NEAR(now[g.p->at[4].offset], old[e.p->at[2].offset] + (7 * 6 - 1) / 2.0, 1e-12);
    morph_apply(m, e.p, g.p, MORPH_GRADIENTS, 0, old, now);
    CHECK_NEAR(now[g.p->at[4].offset], 0, 0);
    free(old), free(now);
    scene_close(&g);
    morph_free(m);
    nn_free(e.s);
    scene_close(&e);
}

/* ---- what cannot grow ---- */

static void check_refused(const char *preset, const char *layer, int64_t outputs, const char *text)
{
    morph *m = NULL;
    size_t i = 0;
    scene e;

    while (strcmp(presets[i].name, preset) != 0) i++;
    open_preset(&e, i);
    const drmad_status st =
        outputs ? morph_wider(e.s, layer, outputs, 7, &m) : morph_deeper(e.s, layer, &m);
    if (st != DRMAD_E_CONFIG || !strstr(drmad_errmsg(e.ctx), text) || m)
        test_fail(__FILE__, __LINE__, "%s, %s: status %d, \"%s\"", preset, layer, (int)st,
                  drmad_errmsg(e.ctx));
    nn_free(e.s);
    scene_close(&e);
}

TEST(what_cannot_grow_is_refused_by_name)
{
    check_refused("lenet5", "conv9", 9, "no layer is called \"conv9\"");
    check_refused("lenet5", "relu1", 9, "layer relu1 (relu): only linear, conv and embedding");
    check_refused("lenet5", "conv1", 6, "layer conv1 (conv): has 6 outputs; 6 are no more");
    check_refused("lenet5", "fc3", 9, "layer fc3 (linear): its outputs are those of the net");
    check_refused("lenet5", "fc3", 0, "layer fc3 (linear): has no ReLU of its own");
    check_refused("lenet5", "pool1", 0, "layer pool1 (max_pool): only behind linear and conv");
    check_refused("resnet18", "layer1.0.conv2", 0, "layer layer1.0.conv2 (conv): has no ReLU");
    check_refused("vit-tiny", "patch_embed.proj", 20,
                  "layer blocks.0.norm1 (layer_norm): its statistics stay");
    check_refused("vit-tiny", "blocks.0.attn.qkv", 72,
                  "layer blocks.0.attn (attention): its heads cannot be widened");
    check_refused("vit-tiny", "blocks.0.mlp.fc1", 0,
                  "layer blocks.0.mlp.fc1 (linear): has no ReLU");
    check_refused("gpt-nano", "transformer.wte", 24,
                  "layer lm_head (linear): its weight is an embedding's too");
}

static drmad_status grow_some(drmad_ctx *ctx, void *arg)
{
    const nn_preset p = {
        .kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = CLASSES, .width = 2};
    drmad_status st = DRMAD_OK;
    nn_spec *s = NULL;
    morph *m = NULL, *n = NULL;

    (void)arg;
    TRY(nn_from_preset(ctx, &p, &s));
    TRY(morph_parse(s, "wider layer2.0.conv2=7", 1, &m));
    TRY(morph_parse(m->net, "deeper layer3.0.conv1", 2, &n));
done:
    morph_free(n);
    morph_free(m);
    nn_free(s);
    return st;
}

TEST(f19_a_morph_without_memory_leaves_nothing)
{
    test_oom(grow_some, NULL);
}
