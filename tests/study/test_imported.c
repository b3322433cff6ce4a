/* An imported net is the list of layers that it was: the same numbers in training, evaluation, row
 * losses and hypergradients; and the calls of drmad/graph.h, with what they refuse. */
#include "ad/ad.h"
#include "drmad/graph.h"
#include "exec/backend.h"
#include "hyper/walk.h"
#include "import/import.h"
#include "imported.h"
#include "setup/setup.h"
#include "train/trainer.h"

enum { IN = 6, HIDDEN = 5, OUT = 3, N = 40, BATCH = 8, STEPS = 12 };

/* 6-5-3 with ReLU and cross-entropy, as the exporter writes it; `%s` is the dtype. */
static const char net_text[] =
    "{\"drmad_graph\":1,\"producer\":\"test\",\"dtype\":\"%s\",\"batch\":{\"size\":8,\"any\":true},"
    "\"inputs\":["
    "{\"name\":\"x\",\"role\":\"batch\",\"dtype\":\"%s\",\"shape\":[[\"batch\",1],6]},"
    "{\"name\":\"y\",\"role\":\"label\",\"dtype\":\"i64\",\"shape\":[[\"batch\",1]]},"
    "{\"name\":\"w0\",\"role\":\"parameter\",\"full\":\"layers.0.weight\",\"kind\":\"weight\","
    "\"layer\":0,\"dtype\":\"%s\",\"shape\":[5,6]},"
    "{\"name\":\"b0\",\"role\":\"parameter\",\"full\":\"layers.0.bias\",\"kind\":\"bias\","
    "\"layer\":0,\"dtype\":\"%s\",\"shape\":[5]},"
    "{\"name\":\"w1\",\"role\":\"parameter\",\"full\":\"layers.1.weight\",\"kind\":\"weight\","
    "\"layer\":1,\"dtype\":\"%s\",\"shape\":[3,5]},"
    "{\"name\":\"b1\",\"role\":\"parameter\",\"full\":\"layers.1.bias\",\"kind\":\"bias\","
    "\"layer\":1,\"dtype\":\"%s\",\"shape\":[3]}],"
    "\"train\":%s,\"buffers\":{}},\"evaluate\":%s}}";
static const char part_text[] =
    "{\"nodes\":["
    "{\"name\":\"t0\",\"op\":\"permute\",\"in\":[\"w0\"],\"attr\":{\"dims\":[1,0]},"
    "\"shape\":[6,5],\"dtype\":\"%s\",\"module\":\"layers.0\"},"
    "{\"name\":\"a\",\"op\":\"addmm\",\"in\":[\"b0\",\"x\",\"t0\"],\"shape\":[[\"batch\",1],5],"
    "\"dtype\":\"%s\",\"module\":\"layers.0\"},"
    "{\"name\":\"r\",\"op\":\"relu\",\"in\":[\"a\"],\"shape\":[[\"batch\",1],5],"
    "\"dtype\":\"%s\",\"module\":\"\"},"
    "{\"name\":\"t1\",\"op\":\"permute\",\"in\":[\"w1\"],\"attr\":{\"dims\":[1,0]},"
    "\"shape\":[5,3],\"dtype\":\"%s\",\"module\":\"layers.1\"},"
    "{\"name\":\"z\",\"op\":\"addmm\",\"in\":[\"b1\",\"r\",\"t1\"],\"shape\":[[\"batch\",1],3],"
    "\"dtype\":\"%s\",\"module\":\"layers.1\"},"
    "{\"name\":\"p\",\"op\":\"_log_softmax\",\"in\":[\"z\"],\"attr\":{\"dim\":1},"
    "\"shape\":[[\"batch\",1],3],\"dtype\":\"%s\",\"module\":\"\"},"
    "{\"name\":\"l\",\"op\":\"nll_loss_forward\",\"in\":[\"p\",\"y\"],\"attr\":{\"reduction\":1},"
    "\"shape\":[],\"dtype\":\"%s\",\"module\":\"\"}],\"loss\":\"l\",\"scores\":\"z\"";

typedef struct fixture {
    nn_spec *net;
    param_table *params;
    imported *import;
    float rows[N * IN];
    int32_t labels[N], list[N];
    float start[512];
} fixture;

static void write_net(const char *dir, const char *type)
{
    char part[4096], text[16384];

    snprintf(part, sizeof part, part_text, type, type, type, type, type, type, type);
    snprintf(text, sizeof text, net_text, type, type, type, type, type, type, part, part);
    write_text(dir, "graph.json", text);
}

static void open_fixture(fixture *f, const char *dir)
{
    drmad_ctx *ctx = test_ctx();
    const rng_key key = {3, 0, 1};
    double w[512];
    st_tensor t[4];

    memset(f, 0, sizeof *f);
    CHECK_OK(ctx, nn_mlp(ctx, (const int64_t[]){IN, HIDDEN, OUT}, 2, NN_RELU, &f->net));
    f->net->draws = (nn_draws){.std = 0.7, .bias = BIAS_LIKE_WEIGHT};
    CHECK_OK(ctx, params_new(ctx, &f->params));
    CHECK_OK(ctx, nn_params(f->net, f->params));
    nn_draw(f->net, f->params, 11, w);
    for (int64_t i = 0; i < f->params->total; i++) f->start[i] = (float)w[i];
    for (int i = 0; i < 4; i++) {
        const param *p = &f->params->at[i];
        t[i] = (st_tensor){p->name, F32, p->shape, f->start + p->offset};
    }
    for (int i = 0; i < N * IN; i++) f->rows[i] = (float)rng_normal(key, (uint64_t)i);
    for (int i = 0; i < N; i++) f->list[i] = i, f->labels[i] = (i * 5 + i / 7) % OUT;
    write_net(dir, "f32");
    write_tensors(dir, "weights.safetensors", t, 4);
    CHECK_OK(ctx, import_open(ctx, dir, &f->import));
}

static void close_fixture(fixture *f)
{
    nn_free(f->net);
    params_free(f->params);
    import_close(f->import);
}

/* What a training and a walk back give. */
typedef struct outcome {
    float w[512];
    double loss, error, row[N - 3], slope[8];
    int64_t macs;
} outcome;

static void run(const fixture *f, module m, outcome *out)
{
    static const hyper_decl decls[] = {
        {HYPER_LR, PER_TENSOR, NULL, 1, .multiplier = true, .low = 0.1, .high = 10, .start = 1},
        {HYPER_L2, PER_GLOBAL, NULL, 1, .low = 1e-5, .high = 1, .start = 1e-3},
        {HYPER_LOSS_WEIGHT, PER_CLASS, NULL, 1, .low = 0.1, .high = 4, .start = 1.5}};
    drmad_ctx *ctx = test_ctx();
    const space_facts facts = {.steps = STEPS, .examples = N, .classes = OUT, .inputs = IN};
    examples e = {.rows = f->rows,
                  .type = F32,
                  .n = N,
                  .width = IN,
                  .scale = 1,
                  .list = f->list,
                  .labels = f->labels,
                  .count = N};
    double start[512], raw[16], values[16], dw[512], dh[16];
    space *s = NULL;
    trainer *t = NULL;
    walker *k = NULL;
    walk_report r;
    train_report done;
    eval_result result;

    memset(out, 0, sizeof *out);
    for (int i = 0; i < 512; i++) start[i] = f->start[i];
    CHECK_OK(ctx, space_new(ctx, f->params, &facts, decls, COUNT(decls), &s));
    if (!s) return;
    const train_spec spec = {.dtype = F32,
                             .model = m,
                             .params = f->params,
                             .optim = {.kind = OPTIM_SGD, .buffer = true},
                             .rate = {.rate = 0.1, .steps = STEPS},
                             .momentum = 0.9,
                             .init_scale = 1,
                             .steps = STEPS,
                             .batch = BATCH,
                             .train = e,
                             .space = s,
                             .start = start};
    CHECK_OK(ctx, trainer_new(ctx, &spec, &t));
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    if (t) CHECK_OK(ctx, walker_new(ctx, t, &walk, &k));
    if (!k) return;
    space_start(s, raw);
    space_values(s, raw, values);
    CHECK_OK(ctx, trainer_run(t, values, 5, NULL, &done));
    memcpy(out->w, trainer_weights(t), (size_t)f->params->total * sizeof(float));
    e.count = N - 3;
    CHECK_OK(ctx, trainer_eval(t, &e, values, &result, dw, dh));
    out->loss = result.loss, out->error = result.error;
    CHECK_OK(ctx, trainer_row_losses(t, &e, values, out->row));
    CHECK_OK(ctx, walker_gradient(k, values, 5, &e, &r, dh));
    memcpy(out->slope, dh, sizeof(double) * (size_t)s->total);
    out->macs = trainer_step_macs(t);
    walker_free(k);
    trainer_free(t);
    space_free(s);
}

TEST(an_imported_net_trains_as_its_layers_do)
{
    fixture f;
    outcome layers, taken;

    open_fixture(&f, test_scratch());
    run(&f, nn_module(f.net), &layers);
    run(&f, f.import->module, &taken);
    CHECK(layers.macs > 0 && layers.loss > 0);
    for (int i = 0; i < 8; i++) CHECK(layers.slope[i] != 0);
    CHECK(layers.w[0] != f.start[0]);
    CHECK_INT(taken.macs, layers.macs);
    /* the same operations; some sums take their terms in another order: rounding of f32 over 12
     * steps */
    for (int64_t i = 0; i < f.params->total; i++)
        CHECK_NEAR((double)taken.w[i], (double)layers.w[i], 1e-6);
    for (int i = 0; i < N - 3; i++) CHECK_NEAR(taken.row[i], layers.row[i], 1e-5);
    for (int i = 0; i < 8; i++)
        CHECK_NEAR(taken.slope[i], layers.slope[i], 1e-5 * fabs(layers.slope[0]));
    CHECK_NEAR(taken.loss, layers.loss, 1e-6);
    CHECK_NEAR(taken.error, layers.error, 0);
    CHECK_INT(f.import->module.masks, 1);
    CHECK_INT(f.import->module.mask_size(&f.import->module, 0), HIDDEN);
    CHECK_INT(f.import->module.macs, IN * HIDDEN + HIDDEN * OUT);
    close_fixture(&f);
}

/* mean((x w' - t)^2) with targets t as a second input. */
static const char regression_text[] =
    "{\"drmad_graph\":1,\"producer\":\"test\",\"dtype\":\"f32\",\"batch\":{\"size\":8,\"any\":true}"
    ","
    "\"inputs\":["
    "{\"name\":\"x\",\"role\":\"batch\",\"dtype\":\"f32\",\"shape\":[[\"batch\",1],6]},"
    "{\"name\":\"t\",\"role\":\"batch\",\"dtype\":\"f32\",\"shape\":[[\"batch\",1],2]},"
    "{\"name\":\"w\",\"role\":\"parameter\",\"full\":\"w\",\"kind\":\"weight\",\"layer\":0,"
    "\"dtype\":\"f32\",\"shape\":[2,6]}],\"train\":%s,\"buffers\":{}},\"evaluate\":%s}}";
static const char regression_part[] =
    "{\"nodes\":["
    "{\"name\":\"v\",\"op\":\"permute\",\"in\":[\"w\"],\"attr\":{\"dims\":[1,0]},\"shape\":[6,2],"
    "\"dtype\":\"f32\"},"
    "{\"name\":\"y\",\"op\":\"mm\",\"in\":[\"x\",\"v\"],\"shape\":[[\"batch\",1],2],\"dtype\":"
    "\"f32\"},"
    "{\"name\":\"d\",\"op\":\"sub\",\"in\":[\"y\",\"t\"],\"shape\":[[\"batch\",1],2],\"dtype\":"
    "\"f32\"},"
    "{\"name\":\"q\",\"op\":\"mul\",\"in\":[\"d\",\"d\"],\"shape\":[[\"batch\",1],2],\"dtype\":"
    "\"f32\"},"
    "{\"name\":\"l\",\"op\":\"mean\",\"in\":[\"q\"],\"shape\":[],\"dtype\":\"f32\"}],\"loss\":"
    "\"l\"";

/* Naive row losses. */
static double regression_row(const float *x, const float *t, const float *w)
{
    double sum = 0;

    for (int o = 0; o < 2; o++) {
        double y = -(double)t[o];
        for (int i = 0; i < IN; i++) y += (double)x[i] * (double)w[o * IN + i];
        sum += y * y / 2;
    }
    return sum;
}

TEST(a_second_input_goes_with_its_example)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    const space_facts facts = {.steps = 1, .examples = N, .inputs = IN};
    float rows[N * IN], targets[N * 2], w[2 * IN];
    int32_t list[N], labels[N] = {0};
    double loss[N - 3];
    char text[8192];
    imported *m = NULL;
    space *s = NULL;
    trainer *t = NULL;
    train_report done;

    for (int i = 0; i < N * IN; i++) rows[i] = (float)rng_normal((rng_key){7, 0, 1}, (uint64_t)i);
    for (int i = 0; i < N * 2; i++) targets[i] = (float)rng_normal((rng_key){8, 0, 1}, (uint64_t)i);
    for (int i = 0; i < 2 * IN; i++) w[i] = (float)rng_normal((rng_key){9, 0, 1}, (uint64_t)i);
    for (int i = 0; i < N; i++) list[i] = (i * 7) % N;
    snprintf(text, sizeof text, regression_text, regression_part, regression_part);
    write_text(dir, "graph.json", text);
    const st_tensor tensor = {"w", F32, SHAPE(2, IN), w};
    write_tensors(dir, "weights.safetensors", &tensor, 1);
    CHECK_OK(ctx, import_open(ctx, dir, &m));
    if (!m) return;
    CHECK_OK(ctx, space_new(ctx, m->params, &facts, NULL, 0, &s));
    examples e = {.rows = rows,
                  .type = F32,
                  .n = N,
                  .width = IN,
                  .scale = 1,
                  .list = list,
                  .labels = labels,
                  .count = N,
                  .more = {targets}};
    const train_spec spec = {.dtype = F32,
                             .model = m->module,
                             .params = m->params,
                             .optim = {.kind = OPTIM_SGD},
                             .rate = {.rate = 0, .steps = 1},
                             .init_scale = 1,
                             .steps = 1,
                             .batch = BATCH,
                             .order = BATCH_SEQUENTIAL,
                             .train = e,
                             .space = s};
    CHECK_OK(ctx, trainer_new(ctx, &spec, &t));
    if (t) CHECK_OK(ctx, trainer_run(t, NULL, 5, NULL, &done));
    double mean = 0;
    for (int i = 0; i < BATCH; i++)
        mean += regression_row(rows + list[i] * IN, targets + list[i] * 2, w) / BATCH;
    CHECK_NEAR(done.first_loss, mean, 1e-5 * mean);
    e.count = N - 3;
    if (t) CHECK_OK(ctx, trainer_row_losses(t, &e, NULL, loss));
    for (int i = 0; i < N - 3; i++) {
        const double want = regression_row(rows + list[i] * IN, targets + list[i] * 2, w);
        CHECK_NEAR(loss[i], want, 1e-5 * (want + 0.01));
    }
    trainer_free(t);
    space_free(s);
    import_close(m);
}

/* ---- drmad/graph.h ---- */

/* Loss, gradient and product with the direction of the fixture's batch, flat as its weights. */
typedef struct numbers {
    float loss, gradient[512], direction[512], product[512];
} numbers;

/* From a graph that is only evaluated here: what our own derivatives are is proved elsewhere. */
static void compute(const fixture *f, numbers *out)
{
    drmad_ctx *ctx = test_ctx();
    const param_table *p = f->params;
    const int32_t n = p->n;
    graph *g = NULL;
    import_nodes in = {0};
    const nn_pass pass = {.train = true, .key = NODE_NONE};
    node grad[4], u[4], hu[4];
    plan_output y[9];
    plan *q = NULL;
    program *run_it = NULL;
    bool whole;

    CHECK_OK(ctx, graph_new(ctx, &g));
    CHECK_OK(ctx, import_leaves(g, f->import, BATCH, &in));
    const module_result r = import_build(g, f->import, in.w, &in.batch, &pass, &whole, NULL);
    node l = g_scale(g, g_sum_all(g, r.rows), 1.0 / BATCH), one = g_ones_like(g, l);
    for (int i = 0; i < n; i++) u[i] = graph_add_leaf(g, "u", F32, p->at[i].shape);
    CHECK_OK(ctx, ad_vjp(g, 1, &l, &one, n, in.w, grad));
    CHECK_OK(ctx, ad_jvp(g, n, in.w, u, n, grad, hu));
    y[0] = (plan_output){l, -1};
    for (int i = 0; i < n; i++) y[1 + i] = (plan_output){grad[i], -1};
    for (int i = 0; i < n; i++) y[1 + n + i] = (plan_output){hu[i], -1};
    CHECK_OK(ctx, plan_new(ctx, g, y, 1 + 2 * n, backend_cpu.target, &q));
    CHECK_OK(ctx, program_new(ctx, q, &backend_cpu, &run_it));
    for (int64_t i = 0; i < p->total; i++)
        out->direction[i] = (float)rng_normal((rng_key){1, 2, 3}, (uint64_t)i);
    program_set_leaf(run_it, (int32_t)graph_rec(g, in.batch.x)->attr.n, f->rows);
    program_set_leaf(run_it, (int32_t)graph_rec(g, in.batch.labels)->attr.n, f->labels);
    for (int i = 0; i < n; i++) {
        program_set_leaf(run_it, (int32_t)graph_rec(g, in.w[i])->attr.n,
                         f->start + p->at[i].offset);
        program_set_leaf(run_it, (int32_t)graph_rec(g, u[i])->attr.n,
                         out->direction + p->at[i].offset);
        program_set_output(run_it, 1 + i, out->gradient + p->at[i].offset);
        program_set_output(run_it, 1 + n + i, out->product + p->at[i].offset);
    }
    program_set_output(run_it, 0, &out->loss);
    CHECK_OK(ctx, program_run(run_it));
    program_free(run_it);
    plan_free(q);
    import_leaves_free(f->import, &in);
    graph_free(g);
}

static void write_parity(const char *dir, const fixture *f)
{
    static const double nothing[2 * 16];
    const param_table *p = f->params;
    numbers v;
    st_tensor t[24];
    char names[12][64];
    int32_t k = 0;

    compute(f, &v);
    const double loss = (double)v.loss;
    t[k++] = (st_tensor){"input/x", F32, SHAPE(BATCH, IN), f->rows};
    t[k++] = (st_tensor){"input/y", I32, SHAPE(BATCH), f->labels};
    t[k++] = (st_tensor){"loss", F64, {.rank = 0}, &loss};
    t[k++] = (st_tensor){"evaluate_loss", F64, {.rank = 0}, &loss};
    t[k++] = (st_tensor){"nodes", F64, SHAPE(7, 2), nothing};
    for (int i = 0; i < p->n; i++) {
        const float *const at[] = {v.gradient, v.direction, v.product};
        static const char *const kind[] = {"gradient", "direction", "product"};
        for (int w = 0; w < 3; w++) {
            char *name = names[3 * i + w];
            snprintf(name, sizeof names[0], "%s/%s", kind[w], p->at[i].name);
            t[k++] = (st_tensor){name, F32, p->at[i].shape, at[w] + p->at[i].offset};
        }
    }
    write_tensors(dir, "parity.safetensors", t, k);
}

static int halved_start(void *user, uint64_t seed, void *w)
{
    int *calls = user;

    (void)seed;
    ((float *)w)[0] *= 0.5f;
    (*calls)++;
    return 0;
}

static int own_order(void *user, uint64_t seed, int64_t step, int32_t *out)
{
    (void)user, (void)seed;
    for (int i = 0; i < BATCH; i++) out[i] = (int32_t)((step * 3 + i) % N);
    return 0;
}

static double number_in(const char *json, const char *key)
{
    char name[64];

    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, name);
    CHECK(at != NULL);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

TEST(a_folder_is_trained_on_the_callers_rows)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    const char *const lines[] = {"train.steps=12", "optimizer.lr=0.1", "output.dir=", "seed=4"};
    char out[512];
    const char *all[] = {lines[0], lines[1], out, lines[3]};
    int64_t labels[N];
    int calls = 0;
    fixture f;
    drmad_model *m = NULL;
    drmad_study *s = NULL;

    snprintf(out, sizeof out, "output.dir=%s/run", dir);
    open_fixture(&f, dir);
    write_parity(dir, &f);
    for (int i = 0; i < N; i++) labels[i] = f.labels[i];
    CHECK_OK(ctx, drmad_model_import(ctx, dir, &m));
    if (!m) return;
    CHECK_INT(drmad_model_inputs(m), 2);
    CHECK_STR(drmad_model_input_name(m, 0), "x");
    CHECK_STR(drmad_model_input_type(m, 1), "i64");
    CHECK_INT(drmad_model_input_width(m, 0), IN);
    CHECK(drmad_model_input_name(m, 2) == NULL);
    CHECK_INT(drmad_model_find(m, "layers.1.weight"), 2);
    CHECK_INT(drmad_model_find(m, "layers.9.weight"), -1);
    CHECK(strstr(drmad_model_text(m), "_log_softmax 1") != NULL);
    CHECK_NEAR(number_in(drmad_model_json(m), "parameters"), 53, 0);
    CHECK_FAILS(ctx, drmad_model_bind(m, 0, "x", f.rows, N), DRMAD_E_USAGE, "has 0 examples");
    CHECK_OK(ctx, drmad_model_set_data(m, "mine", N, N - 3, 0, BATCH));
    CHECK_FAILS(ctx, drmad_model_study(m, all, 4, &s), DRMAD_E_USAGE, "no rows of x in part 0");
    CHECK_FAILS(ctx, drmad_model_bind(m, 0, "z", f.rows, N), DRMAD_E_USAGE, "no input is called");
    CHECK_FAILS(ctx, drmad_model_bind(m, 1, "x", f.rows, N), DRMAD_E_USAGE, "part 1");
    CHECK_OK(ctx, drmad_model_bind(m, 0, "x", f.rows, N));
    CHECK_OK(ctx, drmad_model_bind(m, 1, "x", f.rows, N - 3));
    labels[5] = -100;
    CHECK_FAILS(ctx, drmad_model_bind(m, 0, "y", labels, N), DRMAD_E_DATA, "element 5 is -100");
    labels[5] = f.labels[5];
    CHECK_OK(ctx, drmad_model_bind(m, 0, "y", labels, N));
    CHECK_OK(ctx, drmad_model_bind(m, 1, "y", labels, N - 3));
    CHECK_OK(ctx, drmad_model_set_sources(m, halved_start, own_order, &calls));
    CHECK_OK(ctx, drmad_model_study(m, all, 4, &s));
    if (s) CHECK_OK(ctx, drmad_study_train(s, 0));
    CHECK(calls > 0);
    drmad_study_free(s);
    const char *const order[] = {"train.order=sequential"};
    CHECK_FAILS(ctx, drmad_model_study(m, order, 1, &s), DRMAD_E_CONFIG, "train.order");
    const char *const own[] = {"model.preset=lenet5"};
    CHECK_FAILS(ctx, drmad_model_study(m, own, 1, &s), DRMAD_E_CONFIG, "model.preset");
    drmad_model_free(m);
    close_fixture(&f);
}

/* ---- start weights ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

TEST(each_seed_has_the_folders_weights_or_its_own_order_of_them)
{
    enum { SEEDS = 3 };
    fixture f;
    double w[SEEDS][512];

    open_fixture(&f, test_scratch());
    const module *m = &f.import->module;
    for (int i = 0; i < 2; i++) m->draw(m, f.params, 5 + (uint64_t)i, w[i]);
    for (int32_t i = 0; i < f.params->n; i++)
        for (int64_t e = 0; e < f.params->at[i].count; e++) {
            const int64_t at = f.params->at[i].offset + e; /* between tensors lies nothing */
            CHECK_NEAR(w[0][at], (double)f.start[at], 0);
            CHECK_NEAR(w[1][at], (double)f.start[at], 0);
        }
    f.import->redraws = true;
    for (int i = 0; i < SEEDS; i++) m->draw(m, f.params, 5 + (uint64_t)i % 2, w[i]);
    for (int32_t i = 0; i < f.params->n; i++) {
        const param *p = &f.params->at[i];
        const size_t n = (size_t)p->count, bytes = n * sizeof(double);
        double before[512];
        for (size_t e = 0; e < n; e++) before[e] = (double)f.start[(size_t)p->offset + e];
        CHECK(memcmp(w[0] + p->offset, w[2] + p->offset, bytes) == 0);
        CHECK(n < 5 || memcmp(w[0] + p->offset, w[1] + p->offset, bytes) != 0);
        qsort(before, n, sizeof *before, ascending);
        qsort(w[0] + p->offset, n, sizeof *before, ascending);
        CHECK(memcmp(w[0] + p->offset, before, bytes) == 0);
    }
    close_fixture(&f);
}

/* ---- what a set-up lends ---- */

static void write_npy(const char *dir, const char *name, const char *type, const char *dims,
                      const void *data, size_t bytes)
{
    char path[512], head[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    if (!f) return;
    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\x01\0\x76\0", 10);
    const int n = snprintf(head + 10, sizeof head - 10,
                           "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, dims);
    head[10 + n] = ' ', head[127] = '\n';
    CHECK(fwrite(head, sizeof head, 1, f) == 1 && fwrite(data, bytes, 1, f) == 1);
    fclose(f);
}

TEST(a_folder_is_read_once_for_set_ups_that_lend)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char folder[512], data[512], file[512];
    fixture f;
    config *cfg = NULL;
    setup *first = NULL, *second = NULL, *alone = NULL;

    open_fixture(&f, dir);
    write_parity(dir, &f);
    write_npy(dir, "x.npy", "<f4", "40, 6", f.rows, sizeof f.rows);
    write_npy(dir, "y.npy", "<i4", "40,", f.labels, sizeof f.labels);
    snprintf(folder, sizeof folder, "model.import=%s", dir);
    snprintf(data, sizeof data, "data.dir=%s", dir);
    snprintf(file, sizeof file, "%s/graph.json", dir);
    const char *const lines[] = {folder,
                                 data,
                                 "data.kind=npy",
                                 "data.images=x.npy",
                                 "data.labels=y.npy",
                                 "data.train=20",
                                 "data.valid=20",
                                 "data.test=0",
                                 "data.scale=1",
                                 "train.batch=8",
                                 "train.steps=2"};
    CHECK_OK(ctx, config_load(ctx, NULL, lines, COUNT(lines), &cfg));
    CHECK_OK(ctx, setup_new(ctx, cfg, NULL, NULL, &first));
    CHECK(remove(file) == 0);
    CHECK_FAILS(ctx, setup_new(ctx, cfg, NULL, NULL, &alone), DRMAD_E_IO, "graph.json");
    CHECK_OK(ctx, setup_new(ctx, cfg, NULL, first, &second));
    if (second) CHECK_OK(ctx, setup_tie(second, 0, false, NULL));
    CHECK(second && second->import != first->import);
    CHECK(second && !second->import->redraws);
    CHECK_OK(ctx, config_set(cfg, "distill.study", "t.yaml"));
    CHECK_FAILS(ctx, setup_new(ctx, cfg, NULL, first, &alone), DRMAD_E_CONFIG,
                "export it with the teacher's term in that loss");
    setup_free(second);
    setup_free(first);
    config_free(cfg);
    close_fixture(&f);
}

/* The lender's outputs, one of them moved so that it is known again. */
TEST(a_teacher_is_asked_once_for_set_ups_that_lend)
{
    enum { LINES = 10 };
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char out[512], study[512], weights[512];
    const char *lines[LINES + 2] = {"data.kind=synthetic-digits",
                                    "data.train=30",
                                    "data.valid=20",
                                    "data.test=0",
                                    "model.layers=[auto, 5, auto]",
                                    "train.batch=10",
                                    "train.steps=2",
                                    "retrain.seeds=1",
                                    out,
                                    "seed=3"};
    drmad_study *s = NULL;
    config *cfg = NULL;
    setup *first = NULL, *second = NULL, *other = NULL;

    snprintf(out, sizeof out, "output.dir=%s/t", dir);
    snprintf(study, sizeof study, "distill.study=%s/t/study.yaml", dir);
    snprintf(weights, sizeof weights, "distill.weights=%s/t/weights.safetensors", dir);
    CHECK_OK(ctx, drmad_study_load(ctx, NULL, lines, LINES, &s));
    if (s) CHECK_OK(ctx, drmad_study_train(s, 0));
    drmad_study_free(s);
    lines[LINES] = study, lines[LINES + 1] = weights;
    CHECK_OK(ctx, config_load(ctx, NULL, lines, LINES + 2, &cfg));
    CHECK_OK(ctx, setup_new(ctx, cfg, NULL, NULL, &first));
    CHECK_OK(ctx, setup_tie(first, 0, false, NULL));
    float *logits = (float *)(uintptr_t)first->spec.teacher;
    const size_t at = (size_t)first->spec.train.list[0] * 10;
    CHECK(logits[at] != 0);
    logits[at] += 1;
    CHECK_OK(ctx, setup_new(ctx, cfg, NULL, first, &second));
    CHECK_OK(ctx, setup_tie(second, 0, false, NULL));
    CHECK(second->spec.teacher != first->spec.teacher);
    CHECK_NEAR(((const float *)second->spec.teacher)[at], logits[at], 0);
    CHECK_OK(ctx, setup_new(ctx, cfg, NULL, first, &other));
    CHECK_OK(ctx, setup_split(other, 77)); /* other examples: asked for itself */
    CHECK_OK(ctx, setup_tie(other, 0, false, NULL));
    CHECK(((const float *)other->spec.teacher)[at] != logits[at]);
    setup_free(other);
    setup_free(second);
    setup_free(first);
    config_free(cfg);
}
