#include "preset_fixture.h"
#include "base/rng.h"

/* A leaf of draws: normal around `mean`, the same in both types, or whole numbers below `below`. */
static node leaf(scene *e, dtype t, shape s, double mean, double size, int32_t below)
{
    const int32_t number = graph_leaves(e->g);
    const rng_key key = {17, 0, (uint32_t)number};
    void *data = calloc((size_t)shape_count(&s), sizeof(double));

    for (int64_t i = 0; i < shape_count(&s); i++)
        if (t == I32) ((int32_t *)data)[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)below);
        else dtype_put(t, data, i, (float)(mean + size * rng_normal(key, (uint64_t)i)));
    e->data[number] = data;
    return graph_add_leaf(e->g, "leaf", t, s);
}

static node weights(scene *e, const param *p)
{
    const shape *s = &p->shape;
    const bool about_one = p->role == PARAM_STAT || (p->role == PARAM_NORM && s->rank == 1);
    const double fan = s->rank > 1 ? (double)(p->count / s->dim[0]) : 1;

    return leaf(e, e->type, *s, about_one ? 1 : 0, about_one ? 0.1 : 1 / sqrt(fan), 0);
}

static void build(scene *e, bool train, bool products)
{
    graph *g = e->g;
    const int32_t n = e->p->n;
    shape x = {.rank = e->s->input.rank + 1, .dim = {e->batch}};
    nn_pass pass = nn_evaluation();

    pass.train = train, pass.next = e->next;
    for (int32_t i = 0; i < x.rank - 1; i++) x.dim[i + 1] = e->s->input.dim[i];
    for (int32_t i = 0; i < n; i++) e->w[i] = weights(e, &e->p->at[i]);
    for (int32_t i = 0; i < n; i++) e->u[i] = leaf(e, e->type, e->p->at[i].shape, 0, 0.1, 0);
    node in = leaf(e, e->s->tokens ? I32 : e->type, x, 0, 1, CLASSES);
    node labels = e->s->tokens ? leaf(e, I32, x, 0, 0, CLASSES)
                               : leaf(e, I32, SHAPE(e->batch), 0, 0, CLASSES);
    if (train) pass.key = leaf(e, I32, SHAPE(4), 0, 0, 1 << 30);
    node z = nn_forward(g, e->s, e->w, in, &pass);
    node loss = g_sum_all(g, nn_row_loss(g, LOSS_CROSS_ENTROPY, z, labels, NULL));
    node one = g_ones_like(g, loss);
    CHECK_OK(e->ctx, ad_vjp(g, 1, &loss, &one, n, e->w, e->grad));
    e->out[e->outs++] = loss;
    for (int32_t i = 0; i < n; i++)
        if (e->grad[i] != NODE_NONE) e->out[e->outs++] = e->grad[i];
    if (products) {
        CHECK_OK(e->ctx, ad_jvp(g, n, e->w, e->u, n, e->grad, e->grad));
        for (int32_t i = 0; i < n; i++)
            if (e->grad[i] != NODE_NONE) e->out[e->outs++] = e->grad[i];
    }
    for (int32_t i = 0; i < n; i++)
        if (e->next[i] != NODE_NONE) e->out[e->outs++] = e->next[i];
}

void **scene_outputs(const scene *e)
{
    void **y = calloc((size_t)e->outs, sizeof *y);

    for (int i = 0; i < e->outs; i++)
        y[i] = calloc((size_t)shape_count(graph_shape(e->g, e->out[i])), sizeof(double));
    return y;
}

void scene_outputs_free(const scene *e, void **y)
{
    for (int i = 0; i < e->outs; i++) free(y[i]);
    free(y);
}

drmad_status scene_run_on(scene *e, const backend *on, const plan_target *target, void *const *y)
{
    drmad_status st = DRMAD_OK;
    plan *p = NULL;
    program *prog = NULL;
    plan_output *out = calloc((size_t)e->outs, sizeof *out);

    for (int i = 0; i < e->outs; i++) out[i] = (plan_output){e->out[i], -1};
    TRY(plan_new(e->ctx, e->g, out, e->outs, target, &p));
    TRY(program_new(e->ctx, p, on, &prog));
    for (int32_t i = 0; i < graph_leaves(e->g); i++) program_set_leaf(prog, i, e->data[i]);
    for (int i = 0; i < e->outs; i++) program_set_output(prog, i, y[i]);
    TRY(program_run(prog));
done:
    program_free(prog);
    plan_free(p);
    free(out);
    return st;
}

drmad_status scene_run(scene *e, const plan_target *target, void *const *y)
{
    return scene_run_on(e, &backend_cpu, target, y);
}

size_t scene_bytes(scene *e, const backend *on)
{
    plan_output *out = calloc((size_t)e->outs, sizeof *out);
    program *prog = NULL;
    size_t bytes = 0;
    plan *p = NULL;

    for (int i = 0; i < e->outs; i++) out[i] = (plan_output){e->out[i], -1};
    CHECK_OK(e->ctx, plan_new(e->ctx, e->g, out, e->outs, on->target, &p));
    if (p) CHECK_OK(e->ctx, program_new(e->ctx, p, on, &prog));
    if (prog) bytes = program_bytes(prog);
    program_free(prog);
    plan_free(p);
    free(out);
    return bytes;
}

static scene *open(const nn_preset *p, dtype type, bool train, bool products, int64_t batch)
{
    scene *e = calloc(1, sizeof *e);

    e->ctx = test_ctx();
    e->type = type;
    e->batch = batch;
    CHECK_OK(e->ctx, nn_from_preset(e->ctx, p, &e->s));
    CHECK_OK(e->ctx, params_new(e->ctx, &e->p));
    CHECK_OK(e->ctx, nn_params(e->s, e->p));
    CHECK_OK(e->ctx, graph_new(e->ctx, &e->g));
    build(e, train, products);
    CHECK_OK(e->ctx, graph_status(e->g));
    return e;
}

scene *scene_open(const nn_preset *p, dtype type, bool train, int64_t batch)
{
    return open(p, type, train, false, batch);
}

scene *scene_open_products(const nn_preset *p, dtype type, bool train, int64_t batch)
{
    return open(p, type, train, true, batch);
}

int scene_gradients(const scene *e)
{
    int n = 0;

    for (int32_t i = 0; i < e->p->n; i++) n += e->grad[i] != NODE_NONE;
    return n;
}

drmad_status scene_keep_bf16(scene *e, size_t least)
{
    node y[TENSORS_MAX];
    ad_forward f = {.y = y, .w = e->w, .parameters = e->p->n};

    y[f.n++] = e->out[0];
    for (int32_t i = 0; i < e->p->n; i++)
        if (e->next[i] != NODE_NONE) y[f.n++] = e->next[i];
    return ad_keep_bf16(e->g, &f, least, scene_gradients(e), e->out + 1);
}

void scene_close(scene *e)
{
    for (int i = 0; i < LEAVES_MAX; i++) free(e->data[i]);
    graph_free(e->g);
    params_free(e->p);
    nn_free(e->s);
    free(e);
}
