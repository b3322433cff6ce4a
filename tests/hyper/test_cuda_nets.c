/* Training and hypergradients of whole nets on the CUDA backend, over the host's driver, against
 * the CPU's. */
#include "exec/cuda/cuda.h"
#include "net_scene.h"

/* The gradient twice: its bits do not change. */
static drmad_status gradient(scene *e, double *out, walk_report *r)
{
    const size_t bytes = (size_t)e->s->total * sizeof *out;
    drmad_status st = DRMAD_OK;

    TRY(walker_gradient(e->w, e->values, 9, &e->valid, r, e->grad));
    memcpy(out, e->grad, bytes);
    if (!e->spec.on) return DRMAD_OK;
    TRY(walker_gradient(e->w, e->values, 9, &e->valid, r, e->grad));
    if (memcmp(out, e->grad, bytes) != 0)
        test_fail(__FILE__, __LINE__, "%s: other bits in the second run", e->spec.on->name);
done:
    return st;
}

/* The largest difference, over the largest value. */
static double distance(int64_t n, const double *a, const double *b)
{
    double most = 0, off = 0;

    for (int64_t i = 0; i < n; i++) {
        if (fabs(b[i]) > most) most = fabs(b[i]);
        if (!(fabs(a[i] - b[i]) <= off)) off = fabs(a[i] - b[i]);
    }
    return off / most;
}

static double cosine(int64_t n, const double *a, const double *b)
{
    double ab = 0, aa = 0, bb = 0;

    for (int64_t i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static double *weights(scene *e)
{
    const int64_t n = e->params->total;
    double *out = calloc((size_t)n, sizeof *out);
    const void *w;

    CHECK_OK(e->ctx, trainer_read_weights(e->t, &w));
    for (int64_t i = 0; i < n; i++) out[i] = dtype_get(e->spec.dtype, w, i);
    return out;
}

/* In F64 to roundings that training has carried on; in F32 the direction. */
static void compare(const net_case *c, scene *here, scene *there)
{
    const int64_t n = here->s->total, total = here->params->total;
    const bool wide = here->spec.dtype == F64;
    double *g = calloc((size_t)n, sizeof *g), *h = calloc((size_t)n, sizeof *h);
    walk_report r, q;

    CHECK_OK(here->ctx, gradient(here, g, &r));
    CHECK_OK(here->ctx, gradient(there, h, &q));
    double *w = weights(here), *v = weights(there);
    if (wide && !(distance(total, v, w) <= 1e-10 && distance(n, h, g) <= 1e-10))
        test_fail(__FILE__, __LINE__, "%s: weights differ by %g, gradient by %g", c->name,
                  distance(total, v, w), distance(n, h, g));
    if (!wide && !(cosine(total, v, w) >= 0.9999 && cosine(n, h, g) >= 0.9999))
        test_fail(__FILE__, __LINE__, "%s: cosines 1 - %g of weights, 1 - %g of the gradient",
                  c->name, 1 - cosine(total, v, w), 1 - cosine(n, h, g));
    CHECK_NEAR(q.value.loss, r.value.loss, (wide ? 1e-10 : 1e-3) * fabs(r.value.loss));
    free(g), free(h), free(w), free(v);
}

static void check_net(const net_case *c, dtype type)
{
    drmad_ctx *ctx = test_ctx();
    scene here = {0}, there = {0};
    backend *on = NULL;

    CHECK_OK(ctx, cuda_backend_new(ctx, &gpu_host_driver, 0, &on));
    const drmad_status st = scene_open(&here, c, type, NULL);
    CHECK_OK(ctx, st);
    const drmad_status at = scene_open(&there, c, type, on);
    CHECK_OK(ctx, at);
    if (st == DRMAD_OK && at == DRMAD_OK) compare(c, &here, &there);
    scene_close(&here);
    scene_close(&there);
    cuda_backend_free(on);
}

TEST(cuda_nets_are_as_on_the_cpu)
{
    const walk_spec full = {.trajectory = TRAJ_FULL, .stride = 1};
    const walk_spec replay = {.trajectory = TRAJ_REPLAY, .stride = 1};
    const int64_t some = test_sanitized() ? 2 : test_count(4, 100);
    const net_case cases[] = {
        {.name = "mlp",
         .walk = full,
         .steps = test_sanitized() ? 10 : 100,
         .layers = 3,
         .sizes = {20, 16, 12, NET_CLASSES}},
        {.name = "lenet5",
         .preset =
             {.kind = NN_LENET5, .input = SHAPE(28, 28, 1), .classes = NET_CLASSES, .dropout = 0.3},
         .walk = replay,
         .steps = some},
        {.name = "resnet8",
         .preset =
             {.kind = NN_RESNET8, .input = SHAPE(8, 8, 3), .classes = NET_CLASSES, .width = 4},
         .walk = full,
         .steps = some},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        check_net(&cases[i], F64);
        if (!test_sanitized()) check_net(&cases[i], F32);
    }
}
