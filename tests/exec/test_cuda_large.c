/* Large products, which a library of the driver's may take: what is then emitted, whole and with
 * the shapes that the library sees; that it is right; and what the words for products round. */
#include "gpu_driver.h"
#include "run_fixture.h"

typedef struct subject {
    const char *what;
    gpu_kernel kernel;
    int32_t folds; /* beside it: a weight's gradient is turned */
} subject;

static const subject subjects[] = {
    {"a product", GPU_matmul, 0},
    {"a convolution", GPU_conv, 0},
    {"its image's gradient", GPU_conv_dx_few, 0},
    {"its weight's gradient", GPU_conv_dw, 1},
};

static const window over = {{16, 16}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1, 0};

/* 64 by 64 of 4096 terms, or so many pixels: a little more than 2^24 multiply-adds. With `less`, a
 * little fewer. */
static node build(rx *x, gpu_kernel k, bool less)
{
    const int64_t n = less ? 6 : 8;

    if (k == GPU_matmul)
        return g_matmul(x->g, rx_leaf(x, SHAPE(less ? 4095 : 4096, 64)),
                        rx_leaf(x, SHAPE(64, less ? 4095 : 4096)), true, true);
    const node image = k == GPU_conv_dx_few ? 0 : rx_leaf(x, SHAPE(n, 16, 16, 16));
    const node y = k == GPU_conv ? 0 : rx_leaf(x, SHAPE(n, 16, 16, 64));
    if (k == GPU_conv_dw) return g_conv_dw(x->g, image, y, over);
    const node w = rx_leaf(x, SHAPE(64, 16, 3, 3));
    return k == GPU_conv ? g_conv(x->g, image, w, over) : g_conv_dx(x->g, y, w, over);
}

/* ---- the host's driver, taking all that it is asked for, and what is recorded ---- */

static struct {
    int asked, library, folds, calls;
    gpu_kernel kernel;
} seen;

static drmad_status takes(gpu *g, drmad_ctx *ctx, const gpu_call *c, bool *out)
{
    (void)g, (void)ctx, (void)c;
    seen.asked++;
    *out = true;
    return DRMAD_OK;
}

static drmad_status record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    seen.library = seen.folds = 0, seen.calls = n;
    for (int32_t i = 0; i < n; i++) {
        seen.folds += calls[i].kernel == GPU_fold;
        if (!calls[i].library) continue;
        seen.library++;
        seen.kernel = calls[i].kernel;
    }
    return gpu_host_driver.record(g, ctx, calls, n, up, down, out);
}

/* The values of node y over driver d. */
static float *values(rx *x, const gpu_driver *d, gpu_products how, node y)
{
    const plan_output out = {y, -1};
    drmad_status st = DRMAD_OK;
    backend *on = NULL;
    program *prog = NULL;
    plan *p = NULL;
    float *v = malloc(rx_out_bytes(x, &out) + 1);

    memset(&seen, 0, sizeof seen);
    TRY(cuda_backend_new(x->ctx, d, 0, &on));
    TRY(cuda_backend_products(on, how));
    TRY(plan_new(x->ctx, x->g, &out, 1, on->target, &p));
    TRY(program_new(x->ctx, p, on, &prog));
    for (int32_t i = 0; i < graph_leaves(x->g); i++) program_set_leaf(prog, i, x->data[i]);
    program_set_output(prog, 0, v);
    TRY(program_run(prog));
done:
    CHECK_OK(x->ctx, st);
    program_free(prog);
    plan_free(p);
    cuda_backend_free(on);
    return v;
}

/* The largest difference, as a share of the largest value. */
static double apart(const float *a, const float *b, int64_t n)
{
    double most = 0, worst = 0;

    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    return worst / most;
}

TEST(cuda_large_products_go_to_a_library_whole)
{
    gpu_driver d = gpu_host_driver;

    d.takes = takes, d.record = record;
    for (size_t i = 0; i < COUNT(subjects); i++) {
        const subject *s = &subjects[i];
        rx x;
        rx_open(&x, F32, 7);
        const node y = build(&x, s->kernel, false);
        const int64_t n = shape_count(graph_shape(x.g, y));
        float *want = values(&x, &gpu_host_driver, PRODUCTS_F32, y);
        float *got = values(&x, &d, PRODUCTS_F32, y);
        if (seen.library != 1 || seen.kernel != s->kernel || seen.folds != s->folds)
            test_fail(__FILE__, __LINE__, "%s: %d calls of a library, %d folds", s->what,
                      seen.library, seen.folds);
        const double most = apart(got, want, n);
        if (!(most < 1e-5)) test_fail(__FILE__, __LINE__, "%s: %.3g apart", s->what, most);
        free(got), free(want);
        rx_close(&x);
    }
}

TEST(cuda_smaller_products_are_not_offered)
{
    gpu_driver d = gpu_host_driver;

    d.takes = takes, d.record = record;
    for (size_t i = 0; i < COUNT(subjects); i++) {
        rx x;
        rx_open(&x, F32, 7);
        free(values(&x, &d, PRODUCTS_F32, build(&x, subjects[i].kernel, true)));
        CHECK_INT(seen.asked, 0);
        CHECK_INT(seen.library, 0);
        CHECK(seen.calls > 0);
        rx_close(&x);
    }
}

/* The driver of the tests, where it has libraries; else the host's. */
static const gpu_driver *rounding_driver(void)
{
    const gpu_driver *d = gpu_test_driver();
    backend *on = NULL;

    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), d, 0, &on));
    const drmad_status st = cuda_backend_products(on, PRODUCTS_TF32);
    CHECK(st == DRMAD_OK || st == DRMAD_E_MISSING);
    cuda_backend_free(on);
    return st == DRMAD_OK ? d : &gpu_host_driver;
}

/* Operands lose half a unit of the 10th or 7th bit each, at most; convolutions the 10th. A library
 * may do better, the host driver does just that. */
TEST(cuda_words_round_the_operands_of_large_products)
{
    static const double unit[2] = {1.0 / 1024, 1.0 / 128};
    const gpu_driver *d = rounding_driver();

    for (int bf16 = 0; bf16 < 2; bf16++)
        for (size_t i = 0; i < COUNT(subjects); i += 3) {
            const double u = unit[bf16 && subjects[i].kernel == GPU_matmul];
            rx x;
            rx_open(&x, F32, 7);
            const node y = build(&x, subjects[i].kernel, false);
            const int64_t n = shape_count(graph_shape(x.g, y));
            float *want = values(&x, &gpu_host_driver, PRODUCTS_F32, y);
            float *got = values(&x, d, bf16 ? PRODUCTS_BF16 : PRODUCTS_TF32, y);
            const double most = apart(got, want, n);
            if (!(most < u && (d != &gpu_host_driver || most > u / 50)))
                test_fail(__FILE__, __LINE__, "%s: %.3g apart", subjects[i].what, most);
            free(got), free(want);
            rx_close(&x);
        }
}

/* ---- on the device, by its libraries where it has them, beside the CPU ---- */

static node product_of(rx *x, int way)
{
    const int64_t k = 4099, m = 68, n = 65;
    const bool ta = way & 1, tb = way & 2;

    if (way & 4)
        return g_matmul(x->g, rx_leaf(x, SHAPE(3, 96, 700)), rx_leaf(x, SHAPE(3, 700, 97)), false,
                        false);
    return g_matmul(x->g, rx_leaf(x, ta ? SHAPE(k, m) : SHAPE(m, k)),
                    rx_leaf(x, tb ? SHAPE(n, k) : SHAPE(k, n)), ta, tb);
}

/* Strides, dilation, groups, a point, three channels. */
static const window windows[] = {
    {{16, 16}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1, 0},
    {{33, 31}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 1, 0},
    {{16, 17}, {3, 2}, {1, 1}, {1, 0}, {2, 1}, 2, 0},
    {{32, 32}, {1, 1}, {2, 2}, {0, 0}, {1, 1}, 1, 0},
};

static node convolution_of(rx *x, int way)
{
    const window v = windows[way / 3];
    const int64_t n = 48, c = 32, o = 64, h = window_out(&v, 0), w = window_out(&v, 1);
    const shape image = SHAPE(n, v.size[0], v.size[1], c), y = SHAPE(n, h, w, o);
    const shape weight = SHAPE(o, c / v.groups, v.kernel[0], v.kernel[1]);

    if (way % 3 == 0) return g_conv(x->g, rx_leaf(x, image), rx_leaf(x, weight), v);
    if (way % 3 == 1) return g_conv_dx(x->g, rx_leaf(x, y), rx_leaf(x, weight), v);
    return g_conv_dw(x->g, rx_leaf(x, image), rx_leaf(x, y), v);
}

/* On the host driver, which is slow and has no libraries, two of the cases. */
TEST(cuda_large_products_are_as_on_the_cpu)
{
    enum { PRODUCTS = 5 };
    const bool on_host = gpu_test_driver() == &gpu_host_driver;
    const int count = PRODUCTS + 3 * (int)COUNT(windows);

    for (int i = 0; i < count; i += on_host ? 14 : 1) {
        void *want;
        rx x;
        rx_open(&x, F32, 11);
        const node y = i < PRODUCTS ? product_of(&x, i) : convolution_of(&x, i - PRODUCTS);
        CHECK_OK(x.ctx, graph_status(x.g));
        rx_run(&x, 1, &(plan_output){y, -1}, 1, false, &want);
        float *got = values(&x, gpu_test_driver(), PRODUCTS_F32, y);
        const double most = apart(got, want, shape_count(graph_shape(x.g, y)));
        if (!(most < 1e-5)) test_fail(__FILE__, __LINE__, "case %d: %.3g apart", i, most);
        free(got), free(want);
        rx_close(&x);
    }
}
