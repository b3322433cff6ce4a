/* Convolutions and pooling of the CUDA backend, on the host driver, against naive loops in
 * double. */
#include "kernel_fixture.h"

static double tol_of(dtype t)
{
    return t == F32 ? 1e-5 : 1e-12;
}

static window_args window_of(const int64_t s[7], const int32_t k[8])
{
    window_args v = {.n = s[0], .h = s[1], .w = s[2], .c = s[3], .o = s[4]};

    v.kh = k[0], v.kw = k[1], v.stride_h = k[2], v.stride_w = k[3];
    v.pad_h = k[4], v.pad_w = k[5], v.dilation_h = k[6], v.dilation_w = k[7];
    v.groups = (int32_t)s[5];
    v.oh = (v.h + 2 * v.pad_h - v.dilation_h * (v.kh - 1) - 1) / v.stride_h + 1;
    v.ow = (v.w + 2 * v.pad_w - v.dilation_w * (v.kw - 1) - 1) / v.stride_w + 1;
    return v;
}

/* The image's pixel under a tap of result pixel (y, x), -1: none. */
static int64_t pixel_under(const window_args *v, int64_t n, int64_t y, int64_t x, int64_t tap)
{
    const int64_t h = y * v->stride_h - v->pad_h + tap / v->kw * v->dilation_h;
    const int64_t w = x * v->stride_w - v->pad_w + tap % v->kw * v->dilation_w;

    return h < 0 || h >= v->h || w < 0 || w >= v->w ? -1 : (n * v->h + h) * v->w + w;
}

/* One of the three is NULL: the one to be added to. weight: [o, taps, c / groups]. */
typedef struct trio {
    const double *image, *weight, *result;
    double *out;
} trio;

static void convolve(const window_args *v, const trio *d)
{
    const int64_t per = v->c / v->groups, taps = v->kh * v->kw;

    for (int64_t p = 0; p < v->n * v->oh * v->ow; p++)
        for (int64_t e = 0; e < taps * v->o * per; e++) {
            const int64_t c = e % per, tap = e / per % taps, o = e / per / taps;
            const int64_t under =
                pixel_under(v, p / v->ow / v->oh, p / v->ow % v->oh, p % v->ow, tap);
            if (under < 0) continue;
            const int64_t i = under * v->c + o / (v->o / v->groups) * per + c, y = p * v->o + o;
            if (!d->result) d->out[y] += d->image[i] * d->weight[e];
            else if (!d->image) d->out[i] += d->result[y] * d->weight[e];
            else d->out[e] += d->image[i] * d->result[y];
        }
}

static const int64_t image_sizes[][7] = {{2, 7, 6, 3, 5, 1},
                                         {1, 5, 9, 4, 6, 2},
                                         {3, 4, 4, 40, 36, 1},
                                         {2, 6, 5, 6, 6, 6},
                                         {0, 5, 5, 2, 2, 1}};
static const int32_t windows[][8] = {{1, 1, 1, 1, 0, 0, 1, 1}, {3, 3, 1, 1, 1, 1, 1, 1},
                                     {3, 2, 2, 1, 1, 0, 1, 2}, {2, 3, 3, 2, 0, 2, 1, 1},
                                     {3, 3, 2, 2, 2, 2, 2, 1}, {3, 3, 3, 2, 2, 3, 2, 3}};

static const struct {
    int kind; /* 0 conv, 1 conv_dx, 2 conv_dw */
    gpu_kernel kernel;
} convs[] = {{0, GPU_conv},          {0, GPU_conv_small},    {0, GPU_conv_large},
             {0, GPU_conv_narrow},   {0, GPU_conv_few},      {1, GPU_conv_dx},
             {1, GPU_conv_dx_small}, {1, GPU_conv_dx_large}, {1, GPU_conv_dx_narrow},
             {1, GPU_conv_dx_few},   {2, GPU_conv_dw},       {2, GPU_conv_dw_small},
             {2, GPU_conv_dw_few},   {0, GPU_conv_tall},     {1, GPU_conv_dx_tall},
             {2, GPU_conv_dw_large}, {2, GPU_conv_dw_wide}};

/* What the kernels are told of a window besides it. */
static conv_args args_of(const window_args *v, int kind)
{
    conv_args x = {
        .v = *v, .deep = (int32_t)(v->c / v->groups), .out = (int32_t)(v->o / v->groups)};

    x.k = kind == 2 ? v->n * v->oh * v->ow : v->kh * v->kw * (kind == 1 ? x.out : x.deep);
    return x;
}

/* The weight as kernels of conv_dx by tiles want it, of [o, taps, c / groups]. */
static const void *by_phases(kx *x, const conv_args *a, const double *w)
{
    const window_args *v = &a->v;
    const int64_t phases = v->stride_h * v->stride_w, slot = v->groups * a->k * a->deep;
    char *to = calloc((size_t)(phases * slot) + 1, 8);

    for (int64_t i = 0; i < phases; i++) {
        int64_t n = i * slot;
        for (int64_t e = 0; e < v->groups * v->kh * v->kw; e++) {
            const int64_t g = e / (v->kh * v->kw), tap = e % (v->kh * v->kw);
            if (tap / v->kw * v->dilation_h % v->stride_h != i / v->stride_w) continue;
            if (tap % v->kw * v->dilation_w % v->stride_w != i % v->stride_w) continue;
            for (int64_t j = 0; j < a->out * a->deep; j++)
                dtype_put(
                    x->type, to, n++,
                    w[((g * a->out + j / a->deep) * v->kh * v->kw + tap) * a->deep + j % a->deep]);
        }
    }
    const void *up = kx_up(x, to, (size_t)(phases * slot) * dtype_size(x->type));
    free(to);
    return up;
}

/* k_each 0: all of k in one piece, added to what is there. Else its shares, then their sum. */
static void check_conv(dtype t, const window_args *v, int kind, gpu_kernel k, int64_t k_each)
{
    const int64_t size[3] = {v->n * v->h * v->w * v->c, v->o * v->kh * v->kw * (v->c / v->groups),
                             v->n * v->oh * v->ow * v->o};
    const int operand[3][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}}; /* of the above: a, b, y */
    const int64_t count = size[operand[kind][2]];
    double *a, *b, *y;
    kx x;

    kx_open(&x, t, 5);
    conv_args args = args_of(v, kind);
    args.k_each = k_each ? k_each : 1 << 20, args.share_step = count;
    args.accumulate = kind != 2 && !k_each;
    args.a = kx_numbers(&x, size[operand[kind][0]], &a);
    args.b = kx_numbers(&x, size[operand[kind][1]], &b);
    if (kind == 1 && k != GPU_conv_dx_few) args.b = by_phases(&x, &args, b);
    void *to = args.y = kx_numbers(&x, count, &y);
    fold_args sum = {.to = to, .r = 1, .p = count, .q = 1, .share_step = count};
    sum.shares = k_each && args.k > k_each ? (args.k + k_each - 1) / k_each : 1;
    if (k_each) sum.from = args.y = kx_new(&x, (size_t)(sum.shares * count) * dtype_size(t));
    if (!args.accumulate) memset(y, 0, (size_t)count * sizeof *y);
    const trio d = {.image = kind == 1 ? NULL : a,
                    .weight = kind == 2 ? NULL : b,
                    .result = kind == 0   ? NULL
                              : kind == 1 ? a
                                          : b,
                    .out = y};
    convolve(v, &d);
    kx_call(&x, k, &args, sizeof args);
    if (k_each) KX_CALL(&x, fold, &sum);
    kx_compare(&x, kind == 0 ? "conv" : kind == 1 ? "conv_dx" : "conv_dw", to, y, count, tol_of(t));
    free(a), free(b), free(y);
    kx_close(&x);
}

TEST(cuda_convolutions_are_right_for_all_windows_groups_and_tiles)
{
    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(image_sizes) * COUNT(windows); i++) {
            const window_args v =
                window_of(image_sizes[i / COUNT(windows)], windows[i % COUNT(windows)]);
            for (size_t k = 0; k < COUNT(convs); k++)
                if (kx_has((dtype)t, convs[k].kernel))
                    check_conv((dtype)t, &v, convs[k].kind, convs[k].kernel, 0);
        }
}

/* Shares that end within a tap, beyond a phase's last, behind the last of k. */
TEST(cuda_convolutions_are_summed_over_shares)
{
    static const struct {
        int kind;
        gpu_kernel kernel;
        int64_t k_each;
    } cut[] = {{0, GPU_conv, 48},          {0, GPU_conv_small, 80},    {0, GPU_conv_large, 16},
               {1, GPU_conv_dx, 80},       {1, GPU_conv_dx_small, 16}, {1, GPU_conv_dx_tall, 48},
               {2, GPU_conv_dw_large, 16}, {2, GPU_conv_dw_wide, 32}};

    for (size_t i = 0; i < 2 * COUNT(windows) * COUNT(cut); i++) {
        const size_t w = i / COUNT(cut) % COUNT(windows), k = i % COUNT(cut);
        const window_args v =
            window_of(image_sizes[2 * (i / COUNT(cut) / COUNT(windows))], windows[w]);
        check_conv(F32, &v, cut[k].kind, cut[k].kernel, cut[k].k_each);
    }
}

/* Shares of the pixels, and back to the weight's own layout. */
static void check_shares(const window_args *v, gpu_kernel k)
{
    const int64_t per = v->c / v->groups, taps = v->kh * v->kw, count = v->o * taps * per;
    const int64_t pixels = v->n * v->oh * v->ow, shares = (pixels + 15) / 16;
    double *a, *b, *y = calloc((size_t)count, sizeof *y);
    double *want = calloc((size_t)count, sizeof *want);
    kx x;

    kx_open(&x, F64, 6);
    conv_args args = args_of(v, 2);
    args.k_each = 16, args.share_step = count;
    args.a = kx_numbers(&x, v->n * v->h * v->w * v->c, &a);
    args.b = kx_numbers(&x, pixels * v->o, &b);
    args.y = kx_new(&x, (size_t)(shares * count) * sizeof *y);
    fold_args sum = {.from = args.y, .shares = shares, .share_step = count};
    sum.r = v->o, sum.p = taps, sum.q = per;
    sum.to = kx_new(&x, (size_t)count * sizeof *y);
    convolve(v, &(trio){.image = a, .result = b, .out = y});
    for (int64_t e = 0; e < count; e++) /* [o, taps, c] -> [o, c, taps] */
        want[(e / per / taps * per + e % per) * taps + e / per % taps] = y[e];
    CHECK(shares > 1);
    kx_call(&x, k, &args, sizeof args);
    KX_CALL(&x, fold, &sum);
    kx_compare(&x, "shares of conv_dw", sum.to, want, count, 1e-13);
    free(a), free(b), free(y), free(want);
    kx_close(&x);
}

TEST(cuda_weights_of_convolutions_are_summed_over_shares)
{
    const window_args one = window_of(image_sizes[0], windows[2]);
    const window_args groups = window_of(image_sizes[3], windows[1]);

    check_shares(&one, GPU_conv_dw);
    check_shares(&one, GPU_conv_dw_small);
    check_shares(&groups, GPU_conv_dw_few);
}

/* Where the largest under each window lies: the first of equals. */
static int64_t largest_under(const window_args *v, const double *a, int64_t i)
{
    const int64_t p = i / v->c;
    int64_t best = -1;

    for (int64_t tap = 0; tap < v->kh * v->kw; tap++) {
        const int64_t under = pixel_under(v, p / v->ow / v->oh, p / v->ow % v->oh, p % v->ow, tap);
        const int64_t at = under * v->c + i % v->c;
        if (under >= 0 && (best < 0 || a[at] > a[best])) best = at;
    }
    return best;
}

static double sum_under(const window_args *v, const double *a, int64_t i)
{
    const int64_t p = i / v->c;
    double sum = 0;

    for (int64_t tap = 0; tap < v->kh * v->kw; tap++) {
        const int64_t under = pixel_under(v, p / v->ow / v->oh, p / v->ow % v->oh, p % v->ow, tap);
        if (under >= 0) sum += a[under * v->c + i % v->c];
    }
    return sum;
}

static void add_under(const window_args *v, const double *a, int64_t i, double *y)
{
    const int64_t p = i / v->c;

    for (int64_t tap = 0; tap < v->kh * v->kw; tap++) {
        const int64_t under = pixel_under(v, p / v->ow / v->oh, p / v->ow % v->oh, p % v->ow, tap);
        if (under >= 0) y[under * v->c + i % v->c] += a[i];
    }
}

static void check_pools(dtype t, const window_args *v)
{
    const int64_t images = v->n * v->h * v->w * v->c, results = v->n * v->oh * v->ow * v->c;
    double *a, *b, *sums = calloc((size_t)results + 1, sizeof *sums);
    double *spread = calloc((size_t)images + 1, sizeof *spread);
    double *put = calloc((size_t)images + 1, sizeof *put);
    int32_t *at = calloc((size_t)results + 1, sizeof *at);
    kx x;

    kx_open(&x, t, 7);
    pool_args args = {.v = *v, .a = kx_numbers(&x, images, &a)};
    pool_args back = {.v = *v, .a = kx_numbers(&x, results, &b)};
    void *sum = kx_new(&x, (size_t)results * 8), *image = kx_new(&x, (size_t)images * 8);
    int32_t *index = kx_new(&x, (size_t)results * sizeof *index);
    for (int64_t i = 0; i < results; i++) {
        sums[i] = sum_under(v, a, i);
        add_under(v, b, i, spread);
        put[largest_under(v, a, i)] += b[i];
    }
    args.y = sum, back.y = image;
    KX_CALL(&x, sumpool, &args);
    kx_compare(&x, "sumpool", sum, sums, results, tol_of(t));
    KX_CALL(&x, spread, &back);
    kx_compare(&x, "spread", image, spread, images, tol_of(t));
    args.y = index, back.index = index;
    KX_CALL(&x, maxpool, &args);
    kx_down(&x, at, index, (size_t)results * sizeof *at);
    for (int64_t i = 0; i < results; i++)
        if (at[i] != largest_under(v, a, i)) CHECK_INT(at[i], largest_under(v, a, i));
    KX_CALL(&x, put, &back);
    kx_compare(&x, "put", image, put, images, tol_of(t));
    free(a), free(b), free(sums), free(spread), free(put), free(at);
    kx_close(&x);
}

TEST(cuda_pooling_is_right_there_and_back)
{
    /* Windows that see a pixel everywhere. */
    static const int32_t pools[][8] = {{2, 2, 2, 2, 0, 0, 1, 1},
                                       {3, 3, 1, 1, 1, 1, 1, 1},
                                       {3, 2, 2, 1, 1, 0, 1, 2},
                                       {2, 2, 3, 3, 0, 0, 1, 1}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(image_sizes) * COUNT(pools); i++) {
            const window_args v = window_of(image_sizes[i / COUNT(pools)], pools[i % COUNT(pools)]);
            check_pools((dtype)t, &v);
        }
}
