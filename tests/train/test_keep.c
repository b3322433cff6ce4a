/* Gradients that read what BF16 has kept: how far from those of F32, at what part of the memory,
 * and that nothing else changes. */
#include "plan/plan_check.h"
#include "base/rng.h"
#include "preset_fixture.h"

/* |a - b|/|b| of output i. */
static double distance(const scene *e, int i, const float *a, const float *b)
{
    double apart = 0, size = 0;

    for (int64_t k = 0; k < shape_count(graph_shape(e->g, e->out[i])); k++) {
        apart += pow((double)a[k] - (double)b[k], 2);
        size += pow((double)b[k], 2);
    }
    return size > 0 ? sqrt(apart / size) : sqrt(apart);
}

static int32_t narrow_nodes(const graph *g)
{
    int32_t n = 0;

    for (node v = 0; v < graph_size(g); v++) n += graph_dtype(g, v) == BF16;
    return n;
}

/* A plan of the outputs that is sound, and its arena. */
static size_t arena_of(const scene *e, const plan_target *target)
{
    plan_output out[3 * TENSORS_MAX];
    plan *p = NULL;

    for (int i = 0; i < e->outs; i++) out[i] = (plan_output){e->out[i], -1};
    CHECK_OK(e->ctx, plan_new(e->ctx, e->g, out, e->outs, target, &p));
    if (!p) return 0;
    check_memory(p);
    check_order(p);
    const size_t arena = p->counts.arena;
    plan_free(p);
    return arena;
}

/* `most`: of the arena of F32. Each kept value is off by at most 2^-9 of itself. That reaches a
 * gradient through each layer above it, with signs as they fall: up to 2^-7 of a tensor's norm
 * through twenty of them. The loss and the next statistics are those of F32, where both are
 * computed step by step; fused, a product may be rounded once or twice. */
static void check(const char *name, const nn_preset *p, int64_t batch, double most)
{
    scene *whole = scene_open(p, F32, true, batch), *half = scene_open(p, F32, true, batch);
    void **want = scene_outputs(whole), **y = scene_outputs(half);
    plan_target apart = *backend_cpu.target, small = *backend_cpu.target;
    double worst = 0;

    apart.fuse = false;
    small.recompute_bytes = 1 << 10; /* nets here are smaller than what it is for */
    CHECK_OK(half->ctx, scene_keep_bf16(half, 1 << 10));
    CHECK(narrow_nodes(half->g) > 4);
    const double share = (double)arena_of(half, &small) / (double)arena_of(whole, &small);
    if (!(share <= most)) test_fail(__FILE__, __LINE__, "%s: %g of the memory", name, share);
    CHECK_OK(whole->ctx, scene_run(whole, &apart, want));
    for (int fuse = 0; fuse < 2; fuse++) {
        CHECK_OK(half->ctx, scene_run(half, fuse ? &small : &apart, y));
        for (int i = 0; i < half->outs; i++) {
            const bool gradient = i > 0 && i <= scene_gradients(half);
            const double d = distance(half, i, y[i], want[i]);
            if (!(d <= (gradient ? 0x1p-7 : fuse ? 1e-6 : 0)))
                test_fail(__FILE__, __LINE__, "%s: output %d is off by %g", name, i, d);
            worst = fmax(worst, d);
        }
    }
    CHECK(worst > 0x1p-13); /* the gradient has seen BF16 */
    scene_outputs_free(whole, want);
    scene_outputs_free(half, y);
    scene_close(whole);
    scene_close(half);
}

TEST(gradients_of_what_bf16_kept_are_near_those_of_f32)
{
    check("lenet5",
          &(nn_preset){
              .kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = CLASSES, .dropout = 0.3},
          8, 0.86);
    check("resnet8",
          &(nn_preset){.kind = NN_RESNET8, .input = SHAPE(16, 16, 3), .classes = CLASSES}, 8, 0.62);
    check("wrn-16-1",
          &(nn_preset){.kind = NN_WRN_16_1, .input = SHAPE(16, 16, 3), .classes = CLASSES}, 8, 0.6);
    check("vit-tiny",
          &(nn_preset){.kind = NN_VIT_TINY,
                       .input = SHAPE(16, 16, 3),
                       .classes = CLASSES,
                       .depth = 3,
                       .patch = 4,
                       .dropout = 0.2},
          4, 0.5);
}

/* One dense layer behind a tanh: dW = x'c, where each x is off by at most 2^-9 of itself. Element
 * by element, |error| <= 2^-9 |x|'|c|; besides, a sum of 64 terms in F32. */
TEST(a_gradient_is_off_by_what_rounding_can_do)
{
    enum { B = 64, IN = 40, OUT = 30 };
    static float a[B * IN], w[IN * OUT], c[B * OUT], dw[IN * OUT];
    drmad_ctx *ctx = test_ctx();
    float *const data[] = {a, w, c};
    const size_t size[] = {COUNT(a), COUNT(w), COUNT(c)};
    graph *g;
    plan *p = NULL;
    program *prog = NULL;
    double off = 0;

    CHECK_OK(ctx, graph_new(ctx, &g));
    node in = graph_add_leaf(g, "a", F32, SHAPE(B, IN)), x = g_tanh(g, in);
    node weight = graph_add_leaf(g, "w", F32, SHAPE(IN, OUT));
    node y =
        g_dot(g, graph_add_leaf(g, "c", F32, SHAPE(B, OUT)), g_matmul(g, x, weight, false, false));
    node one = g_ones_like(g, y), grad;
    CHECK_OK(ctx, ad_vjp(g, 1, &y, &one, 1, &weight, &grad));
    CHECK_OK(ctx, ad_keep_bf16(g, &(ad_forward){&y, &weight, 1, 1}, 1, 1, &grad));
    CHECK_OK(ctx, plan_new(ctx, g, &(plan_output){grad, -1}, 1, backend_cpu.target, &p));
    CHECK_OK(ctx, program_new(ctx, p, &backend_cpu, &prog));
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < size[i]; k++)
            data[i][k] = (float)rng_normal((rng_key){3, 0, (uint32_t)i}, k);
        program_set_leaf(prog, i, data[i]);
    }
    program_set_output(prog, 0, dw);
    CHECK_OK(ctx, program_run(prog));
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < OUT; j++) {
            double exact = 0, most = 0;
            for (int b = 0; b < B; b++) {
                const double t = tanh((double)a[b * IN + i]) * (double)c[b * OUT + j];
                exact += t, most += fabs(t);
            }
            const double error = fabs((double)dw[i * OUT + j] - exact);
            CHECK(error <= (0x1p-9 + 64 * 0x1p-23) * most);
            off = fmax(off, error / most);
        }
    CHECK(off > 0x1p-13);
    program_free(prog);
    plan_free(p);
    graph_free(g);
}

/* A mask is step of what was kept of its ReLU; what follows from weights alone stays as it is. */
TEST(masks_are_exact_and_weights_are_not_rounded)
{
    drmad_ctx *ctx = test_ctx();
    graph *g;

    CHECK_OK(ctx, graph_new(ctx, &g));
    node a = graph_add_leaf(g, "a", F32, SHAPE(32, 16)),
         w = graph_add_leaf(g, "w", F32, SHAPE(16, 8));
    node x = g_exp(g, a), r = g_relu(g, g_sub(g, x, g_fill_like(g, x, 1)));
    node y =
        g_sum_all(g, g_tanh(g, g_matmul(g, r, g_permute(g, w, (int32_t[]){0, 1}), false, false)));
    node wide = g_exp(g, w), both = g_add(g, y, g_sum_all(g, g_mul(g, wide, wide)));
    node one = g_ones_like(g, both), grad[2], to[2] = {a, w};
    CHECK_OK(ctx, ad_vjp(g, 1, &both, &one, 2, to, grad));
    CHECK_OK(ctx, ad_keep_bf16(g, &(ad_forward){&both, &w, 1, 1}, 512, 2, grad));
    const int32_t halves = narrow_nodes(g);
    CHECK_INT(halves, 3); /* exp a, relu, tanh; not exp w */
    bool found = false;
    for (node v = 0; v < graph_size(g); v++) {
        const node_rec *s = graph_rec(g, v);
        found |= s->op == OP_step && graph_rec(g, s->in[0])->op == OP_cast;
        if (s->dtype == BF16)
            CHECK(s->in[0] == x || s->in[0] == r || graph_rec(g, s->in[0])->op == OP_tanh);
    }
    CHECK(found);
    graph_free(g);
}

static drmad_status keep_it(drmad_ctx *ctx, void *arg)
{
    drmad_status st = DRMAD_OK;
    graph *g = NULL;

    (void)arg;
    TRY(graph_new(ctx, &g));
    node a = graph_add_leaf(g, "a", F32, SHAPE(8, 8)), y = g_sum_all(g, g_tanh(g, g_exp(g, a)));
    node one = g_ones_like(g, y), grad;
    TRY(ad_vjp(g, 1, &y, &one, 1, &a, &grad));
    TRY(ad_keep_bf16(g, &(ad_forward){&y, NULL, 1, 0}, 1, 1, &grad));
done:
    graph_free(g);
    return st;
}

TEST(every_allocation_of_keeping_may_fail)
{
    test_oom(keep_it, NULL);
}
