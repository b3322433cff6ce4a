/* Products and convolutions by the fake libraries beside our own kernels, in the driver: orders,
 * transposes, steps, batches, groups, strides, what is added to, what lies askew; and what becomes
 * of a library that is absent, refuses, or fails. */
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "fake_cudart.h"
#include "exec/cuda/driver/library_api.h"
#include "test.h"

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

enum { MOST = 4096, MARGIN = 8 }; /* elements of a tensor; before and behind it */

typedef struct side {
    drmad_ctx *ctx;
    gpu *g;
    void *device[3];
    size_t size;   /* of an element */
    int64_t askew; /* elements in front of each tensor */
} side;

static const gpu_driver *driver(void)
{
    return drmad_cuda_driver();
}

static drmad_status try_open(side *s, drmad_ctx *ctx, const char *folders)
{
    drmad_status st = DRMAD_OK;

    *s = (side){.ctx = ctx, .size = 4};
    setenv("DRMAD_CUDA_LIBRARIES", folders, 1);
    TRY(driver()->open(ctx, 0, &s->g));
    for (int k = 0; k < 3; k++)
        TRY(driver()->alloc(s->g, ctx, (MOST + 2 * MARGIN) * sizeof(double), &s->device[k]));
done:
    return st;
}

static void open_side(side *s, const char *folders)
{
    fake_reset();
    CHECK_OK(test_ctx(), try_open(s, test_ctx(), folders));
}

static void close_side(side *s)
{
    for (int k = 0; s->g && k < 3; k++) driver()->free(s->g, s->device[k]);
    driver()->close(s->g);
    unsetenv("DRMAD_CUDA_LIBRARIES");
    CHECK_INT(fake.live, 0);
}

static void *tensor(const side *s, int k)
{
    return (char *)s->device[k] + (size_t)s->askew * s->size;
}

/* The same numbers each time. */
static drmad_status fill(const side *s)
{
    drmad_status st = DRMAD_OK;
    double f64[MOST + 2 * MARGIN];
    float f32[MOST + 2 * MARGIN];

    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < MOST + 2 * MARGIN; i++) {
            f64[i] = (double)((i * 7919 + k * 104729 + i * i % 127) % 2003) / 1001 - 1;
            f32[i] = (float)f64[i];
        }
        TRY(driver()->copy(s->g, s->ctx, COPY_UP, s->device[k],
                           s->size == 8 ? (void *)f64 : (void *)f32,
                           (MOST + 2 * MARGIN) * s->size));
    }
done:
    return st;
}

static void result(const side *s, double *out)
{
    float f32[MOST + 2 * MARGIN];
    const size_t bytes = (MOST + 2 * MARGIN) * s->size;

    CHECK_OK(s->ctx, driver()->copy(s->g, s->ctx, COPY_DOWN, s->size == 8 ? (void *)out : f32,
                                    s->device[2], bytes));
    for (int i = 0; s->size == 4 && i < MOST + 2 * MARGIN; i++) out[i] = f32[i];
}

/* Runs the call; by a library where `library`. */
static drmad_status run(side *s, gpu_call c, bool library)
{
    drmad_status st = DRMAD_OK;
    gpu_program *p = NULL;

    c.library = library;
    gpu_geometry(&c);
    TRY(fill(s));
    TRY(driver()->record(s->g, s->ctx, &c, 1, NULL, NULL, &p));
    TRY(fill(s)); /* a run before the recording has left nothing behind */
    TRY(driver()->run(s->g, s->ctx, p));
    TRY(driver()->wait(s->g, s->ctx));
done:
    if (s->g) driver()->forget(s->g, p);
    return st;
}

static bool takes(side *s, const gpu_call *c)
{
    bool taken = false;

    CHECK_OK(s->ctx, driver()->takes(s->g, s->ctx, c, &taken));
    return taken;
}

static void compare(side *s, const gpu_call *c, const char *what)
{
    double own[MOST + 2 * MARGIN], got[MOST + 2 * MARGIN];
    const double tol = s->size == 8 ? 1e-12 : 1e-5;
    const int sent = fake.products + fake.convolutions;

    CHECK_OK(s->ctx, run(s, *c, false));
    result(s, own);
    CHECK_INT(fake.products + fake.convolutions, sent);
    CHECK(takes(s, c));
    CHECK_OK(s->ctx, run(s, *c, true));
    result(s, got);
    CHECK_INT(fake.products + fake.convolutions, sent + 2); /* before the recording, and in it */
    for (int i = 0; i < MOST + 2 * MARGIN; i++)
        if (!(fabs(got[i] - own[i]) <= tol * (1 + fabs(own[i])))) {
            test_fail(__FILE__, __LINE__, "%s: element %d: %.9g, ours %.9g", what, i, got[i],
                      own[i]);
            break;
        }
}

/* ---- products ---- */

static gpu_call product(const side *s, int64_t m, int64_t n, int64_t k, int64_t batch)
{
    gpu_call c = {.kernel = GPU_matmul, .type = s->size == 8 ? F64 : F32};
    matmul_args *x = (matmul_args *)(void *)c.args;

    *x = (matmul_args){.a = tensor(s, 0), .b = tensor(s, 1), .c = tensor(s, 2)};
    x->m = m, x->n = n, x->k = k, x->batch = batch;
    x->lda = k, x->ldb = n, x->ldc = n;
    x->a_step = m * k, x->b_step = k * n, x->c_step = m * n;
    x->k_each = (k + 15) / 16 * 16, x->share_step = batch * m * n;
    return c;
}

/* All ways to lie, of one size. */
static void products_of(side *s, int64_t m, int64_t n, int64_t k, int64_t batch)
{
    for (int way = 0; way < 8; way++) {
        gpu_call c = product(s, m, n, k, batch);
        matmul_args *x = (matmul_args *)(void *)c.args;
        char what[128];
        x->ta = way & 1, x->tb = way >> 1 & 1, x->accumulate = way >> 2;
        x->lda = x->ta ? m : k, x->ldb = x->tb ? k : n;
        snprintf(what, sizeof what, "%s %d by %d by %d, batch %d%s%s%s, %d askew",
                 s->size == 8 ? "f64" : "f32", (int)m, (int)n, (int)k, (int)batch,
                 x->ta ? ", a turned" : "", x->tb ? ", b turned" : "",
                 x->accumulate ? ", added" : "", (int)s->askew);
        compare(s, &c, what);
    }
}

TEST(products_by_the_library_are_ours)
{
    for (size_t size = 4; size <= 8; size += 4)
        for (int64_t askew = 0; askew < 2; askew++) {
            side s;
            open_side(&s, FAKE_LIBRARIES);
            s.size = size, s.askew = askew;
            products_of(&s, 37, 21, 50, 1);
            products_of(&s, 1, 33, 16, 1);
            products_of(&s, 8, 16, 11, 3);
            CHECK_INT(fake.compute, size == 8 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F);
            close_side(&s);
        }
}

/* ---- convolutions ---- */

static const window_args windows[] = {
    {2, 9, 8, 4, 9, 6, 6, 3, 3, 1, 1, 1, 0, 1, 1, 1},
    {3, 8, 7, 3, 4, 4, 5, 3, 3, 2, 2, 1, 1, 1, 1, 1},  /* strides */
    {2, 9, 10, 4, 5, 9, 6, 3, 2, 1, 1, 0, 0, 2, 1, 2}, /* dilation, groups */
    {2, 7, 9, 8, 7, 5, 4, 1, 1, 1, 2, 0, 0, 1, 1, 1},  /* a point */
    {1, 6, 6, 6, 4, 6, 9, 3, 1, 1, 1, 0, 0, 1, 1, 3},  /* groups, not square */
    {2, 10, 11, 2, 3, 3, 4, 4, 5, 3, 4, 1, 1, 1, 1, 1} /* pixels that nothing touches */
};

static gpu_call convolution(const side *s, gpu_kernel k, const window_args *v, bool add)
{
    gpu_call c = {.kernel = k, .type = F32};
    conv_args *x = (conv_args *)(void *)c.args;
    const int64_t taps = v->kh * v->kw, terms = k == GPU_conv_dw       ? v->n * v->oh * v->ow
                                                : k == GPU_conv_dx_few ? taps * v->o / v->groups
                                                                       : taps * v->c / v->groups;

    *x = (conv_args){.a = tensor(s, 0), .b = tensor(s, 1), .y = tensor(s, 2), .v = *v};
    x->k = terms, x->k_each = (terms + 15) / 16 * 16;
    x->deep = (int32_t)(v->c / v->groups), x->out = (int32_t)(v->o / v->groups);
    x->share_step = v->o * taps * v->c / v->groups;
    x->accumulate = add;
    return c;
}

TEST(convolutions_by_the_library_are_ours)
{
    static const gpu_kernel kernels[] = {GPU_conv, GPU_conv_dx_few, GPU_conv_dw};

    for (int64_t askew = 0; askew < 2; askew++) {
        side s;
        open_side(&s, FAKE_LIBRARIES);
        s.askew = askew;
        for (size_t i = 0; i < COUNT(windows); i++)
            for (int k = 0; k < 6; k++) {
                const gpu_call c = convolution(&s, kernels[k / 2], &windows[i], k % 2);
                char what[64];
                snprintf(what, sizeof what, "window %d, kernel %d, added %d, %d askew", (int)i,
                         k / 2, k % 2, (int)askew);
                compare(&s, &c, what);
            }
        CHECK_INT(fake.math, CUDNN_FMA_MATH);
        close_side(&s);
    }
}

/* ---- which, and how ---- */

TEST(libraries_are_named_and_may_be_kept_out)
{
    static const char *const folders[] = {FAKE_LIBRARIES, ("/nowhere:" FAKE_LIBRARIES), "off"};
    gpu_info info;
    side s;

    for (int i = 0; i < 3; i++) {
        open_side(&s, folders[i]);
        CHECK_OK(s.ctx, driver()->info(s.g, &info));
        CHECK_STR(info.libraries, i < 2 ? "cuBLASLt 13.2.3, cuDNN 9.13.0" : "none");
        const gpu_call c = product(&s, 5, 6, 7, 1);
        CHECK(takes(&s, &c) == (i < 2));
        close_side(&s);
    }
}

TEST(double_convolutions_stay_ours)
{
    side s;

    open_side(&s, FAKE_LIBRARIES);
    gpu_call c = convolution(&s, GPU_conv, &windows[0], false);
    c.type = F64;
    CHECK(!takes(&s, &c));
    close_side(&s);
}

TEST(words_for_products_reach_the_libraries)
{
    static const struct {
        gpu_products how;
        int compute, math;
    } words[] = {{PRODUCTS_F32, CUBLAS_COMPUTE_32F, CUDNN_FMA_MATH},
                 {PRODUCTS_TF32, CUBLAS_COMPUTE_32F_FAST_TF32, CUDNN_TENSOR_OP_MATH},
                 {PRODUCTS_BF16, CUBLAS_COMPUTE_32F_FAST_16BF, CUDNN_TENSOR_OP_MATH}};

    for (size_t i = 0; i < COUNT(words); i++) {
        side s;
        open_side(&s, FAKE_LIBRARIES);
        CHECK_OK(s.ctx, driver()->products(s.g, s.ctx, words[i].how));
        const gpu_call a = product(&s, 5, 6, 7, 1);
        const gpu_call b = convolution(&s, GPU_conv_dw, &windows[0], false);
        compare(&s, &a, "a product");
        compare(&s, &b, "a convolution");
        CHECK_INT(fake.compute, words[i].compute);
        CHECK_INT(fake.math, words[i].math);
        close_side(&s);
    }
}

TEST(words_for_products_need_a_library)
{
    side s;

    open_side(&s, "off");
    CHECK_OK(s.ctx, driver()->products(s.g, s.ctx, PRODUCTS_F32));
    CHECK_FAILS(s.ctx, driver()->products(s.g, s.ctx, PRODUCTS_BF16), DRMAD_E_MISSING,
                "products: bf16 needs cuBLASLt, which was not found");
    close_side(&s);
}

/* A size is described once, whatever the number of programs. */
TEST(a_size_is_made_ready_once)
{
    side s;

    open_side(&s, FAKE_LIBRARIES);
    for (int i = 0; i < 2; i++) {
        const gpu_call c = product(&s, 5, 6, 7, 1), d = product(&s, 5, 6, 8, 1);
        if (i == 0) CHECK_INT(driver()->held(s.g), 0);
        CHECK(takes(&s, &c) && takes(&s, &d));
        CHECK_INT(driver()->held(s.g), 32 << 20); /* cuBLASLt's workspace */
        const int calls = fake.library_calls;
        CHECK(takes(&s, &c));
        CHECK_INT(fake.library_calls, calls);
        CHECK_OK(s.ctx, run(&s, c, true));
        CHECK_INT(fake.products, i == 0 ? 2 : 3);
    }
    close_side(&s);
}

/* Both libraries, our kernels among them and behind them, in one program. */
TEST(libraries_and_kernels_take_their_turns)
{
    double own[MOST + 2 * MARGIN], got[MOST + 2 * MARGIN];

    for (int by = 0; by < 2; by++) {
        gpu_program *p = NULL;
        gpu_call c[3];
        side s;
        open_side(&s, by ? FAKE_LIBRARIES : "off");
        c[0] = convolution(&s, GPU_conv, &windows[3], false);
        c[1] = product(&s, 7, 8, 9, 1), c[2] = product(&s, 7, 8, 9, 2);
        ((conv_args *)(void *)c[0].args)->y = tensor(&s, 1);
        ((matmul_args *)(void *)c[2].args)->accumulate = true;
        for (int i = 0; i < 3; i++) {
            c[i].library = takes(&s, &c[i]) && i != 1;
            CHECK(c[i].library == (by && i != 1));
            c[i].wave = i;
            gpu_geometry(&c[i]);
        }
        CHECK_OK(s.ctx, fill(&s));
        CHECK_OK(s.ctx, driver()->record(s.g, s.ctx, c, 3, NULL, NULL, &p));
        CHECK_INT(fake.launches, by ? 1 : 3);
        CHECK_OK(s.ctx, fill(&s));
        CHECK_OK(s.ctx, driver()->run(s.g, s.ctx, p));
        result(&s, by ? got : own);
        driver()->forget(s.g, p);
        close_side(&s);
    }
    for (int i = 0; i < MOST + 2 * MARGIN; i++) CHECK_NEAR(got[i], own[i], 1e-4);
}

/* Calls of a library are no part of a launch of several. */
TEST(calls_of_a_library_stay_alone)
{
    gpu_call c[3] = {{.kernel = GPU_matmul}, {.kernel = GPU_matmul}, {.kernel = GPU_matmul}};

    CHECK_INT(gpu_together(c, 3), 3);
    c[1].library = true;
    CHECK_INT(gpu_together(c, 3), 1);
    CHECK_INT(gpu_together(c + 1, 2), 1);
}

/* ---- refusals ---- */

TEST(what_a_library_refuses_is_ours)
{
    for (int refuse = 1; refuse <= 3; refuse++) {
        side s;
        open_side(&s, FAKE_LIBRARIES);
        fake.refuse = refuse;
        const gpu_call a = product(&s, 5, 6, 7, 1);
        const gpu_call b = convolution(&s, GPU_conv, &windows[0], false);
        const gpu_call c = convolution(&s, GPU_conv_dx_few, &windows[0], false);
        CHECK(takes(&s, &a) == (refuse == 3)); /* its workspace is asked for, not told */
        CHECK(takes(&s, &b) == (refuse == 3)); /* another algorithm needs none */
        CHECK(!takes(&s, &c));
        if (refuse == 3) compare(&s, &b, "a convolution without workspace");
        close_side(&s);
    }
}

/* It said that it could, and then cannot: our kernel runs, in the program that is recorded. */
TEST(what_a_library_refuses_late_is_ours_too)
{
    static const int refusal[] = {CUBLAS_STATUS_NOT_SUPPORTED, CUDNN_STATUS_NOT_SUPPORTED};
    double own[MOST + 2 * MARGIN], got[MOST + 2 * MARGIN];

    for (int k = 0; k < 2; k++) {
        side s;
        open_side(&s, FAKE_LIBRARIES);
        const gpu_call c =
            k == 0 ? product(&s, 5, 6, 7, 1) : convolution(&s, GPU_conv_dx_few, &windows[1], true);
        CHECK(takes(&s, &c));
        fake.library_fail_at = fake.library_calls, fake.library_status = refusal[k];
        CHECK_OK(s.ctx, run(&s, c, true));
        CHECK_INT(fake.products + fake.convolutions, 0);
        CHECK_INT(fake.launches, 1);
        result(&s, got);
        CHECK(!takes(&s, &c));
        CHECK_OK(s.ctx, run(&s, c, false));
        result(&s, own);
        CHECK(memcmp(got, own, sizeof own) == 0);
        close_side(&s);
    }
}

/* ---- failures ---- */

typedef struct story {
    side s;
    gpu_call c[2]; /* a product, a convolution */
    int first, last;
} story;

static drmad_status tell(drmad_ctx *ctx, story *y)
{
    drmad_status st = DRMAD_OK;
    bool taken;

    TRY(try_open(&y->s, ctx, FAKE_LIBRARIES));
    y->s.askew = 1;
    y->c[0] = product(&y->s, 5, 6, 7, 1);
    y->c[1] = convolution(&y->s, GPU_conv_dw, &windows[0], true);
    for (int i = y->first; i <= y->last; i++) {
        TRY(driver()->takes(y->s.g, ctx, &y->c[i], &taken));
        TRY(run(&y->s, y->c[i], taken));
    }
done:
    return st;
}

typedef struct loss {
    bool library;    /* else the runtime */
    int first, last; /* of the story */
    int status;
    drmad_status want;
    const char *text;
} loss;

/* Each call of the libraries, or of the runtime, fails in turn. Gives how many did. */
static int lose(loss l)
{
    drmad_ctx *ctx = test_ctx();
    int failed = 0;

    for (int n = 0; n < 300; n++) {
        story y = {.first = l.first, .last = l.last};
        fake_reset();
        if (l.library) fake.library_fail_at = n, fake.library_status = l.status;
        else fake.fail_at = n, fake.error = (cudaError_t)l.status;
        const drmad_status st = tell(ctx, &y);
        fake.fail_at = fake.library_fail_at = -1;
        CHECK(!fake.capturing);
        if (st != DRMAD_OK) {
            failed++;
            CHECK(st == l.want || (!l.library && st == DRMAD_E_MISSING));
            CHECK(!l.library || strstr(drmad_errmsg(ctx), l.text));
            if (y.s.g && st == DRMAD_E_IO) CHECK_FAILS(ctx, driver()->wait(y.s.g, ctx), st, l.text);
        }
        close_side(&y.s);
        if (n > (l.library ? fake.library_calls : fake.calls)) break;
    }
    return failed;
}

TEST(a_library_that_fails_is_named_with_its_own_words)
{
    const loss product = {true,       0,
                          0,          CUBLAS_STATUS_EXECUTION_FAILED,
                          DRMAD_E_IO, "the program failed to execute; DRMAD_CUDA_LIBRARIES=off"};
    const loss convolution = {true,       1,
                              1,          CUDNN_STATUS_EXECUTION_FAILED,
                              DRMAD_E_IO, ": CUDNN_STATUS_EXECUTION_FAILED; DRMAD_CUDA_LIB"};

    CHECK_INT(lose(product), 23);
    CHECK_INT(lose(convolution), 15);
}

TEST(memory_that_ends_in_a_library_is_told)
{
    const loss product = {
        true, 0, 0, CUBLAS_STATUS_ALLOC_FAILED, DRMAD_E_NOMEM, "is out of memory at cuBLASLt"};
    const loss convolution = {true,
                              1,
                              1,
                              CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
                              DRMAD_E_NOMEM,
                              "is out of memory at cuDNN"};

    CHECK_INT(lose(product), 23);
    CHECK_INT(lose(convolution), 15);
}

TEST(a_gpu_that_is_lost_or_full_beside_libraries)
{
    CHECK(lose((loss){false, 0, 1, cudaErrorLaunchFailure, DRMAD_E_IO, "launch failure"}) > 40);
    CHECK(lose((loss){false, 0, 1, cudaErrorMemoryAllocation, DRMAD_E_NOMEM, ""}) > 40);
}

static drmad_status tortured(drmad_ctx *ctx, void *arg)
{
    story y = {0};

    (void)arg;
    fake_reset();
    const drmad_status st = tell(ctx, &y);
    close_side(&y.s);
    return st;
}

TEST(host_memory_that_ends_beside_libraries)
{
    test_oom(tortured, NULL);
}
