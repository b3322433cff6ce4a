/* What bench_conv compares with: oneDNN's convolutions where dnnl.h was there at compile time and
 * libdnnl is at run time, and im2col. One convolution at a time, with its operands. */
#ifndef CONV_RIVALS_H
#define CONV_RIVALS_H
#include "exec/cpu/conv.h"
#include "peak.h"
#include <dlfcn.h>
#include <math.h>
#if defined(__has_include)
#if __has_include(<dnnl.h>)
#include <dnnl.h>
#define HAVE_DNNL 1
#endif
#endif
#define COL_LINES 8 /* of im2col's matrix */

typedef struct rivals {
    float *x, *w, *y, *cols;
    void *packed, *sums, *work, *gemm_work;
#if defined(HAVE_DNNL)
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3]; /* of x, w, y */
    dnnl_exec_arg_t arg[3];
#endif
} rivals;

static inline void *rivals_numbers(int64_t count, size_t least)
{
    const size_t bytes =
        (size_t)count * sizeof(float) > least ? (size_t)count * sizeof(float) : least;
    float *x = aligned_alloc(64, (bytes + 127) / 64 * 64);

    if (!x) abort();
    for (int64_t i = 0; i < count; i++) x[i] = (float)(i * 7919 % 2003) / 1000 - 1;
    return x;
}

/* ---- oneDNN ---- */
#if defined(HAVE_DNNL)
#define DNNL_EACH(X)                                                                               \
    X(dnnl_engine_create)                                                                          \
    X(dnnl_engine_destroy)                                                                         \
    X(dnnl_stream_create) X(dnnl_stream_destroy) X(dnnl_stream_wait)                               \
        X(dnnl_memory_desc_init_by_tag) X(dnnl_convolution_forward_desc_init)                      \
            X(dnnl_convolution_backward_data_desc_init)                                            \
                X(dnnl_convolution_backward_weights_desc_init) X(dnnl_primitive_desc_create)       \
                    X(dnnl_primitive_desc_query_md) X(dnnl_primitive_desc_destroy)                 \
                        X(dnnl_primitive_create) X(dnnl_primitive_destroy)                         \
                            X(dnnl_primitive_execute) X(dnnl_memory_create) X(dnnl_memory_destroy) \
                                X(dnnl_version)

typedef struct dnnl_calls {
#define DNNL_FIELD(name) __typeof__(&name) name;
    DNNL_EACH(DNNL_FIELD)
} dnnl_calls;

/* NULL: it cannot be loaded. */
static inline const dnnl_calls *dnnl_get(void)
{
    static dnnl_calls calls;
    static int state;

    if (state) return state == 1 ? &calls : NULL;
    state = 2;
    void *lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return NULL;
#define DNNL_LOAD(name)                                                                            \
    *(void **)&calls.name = dlsym(lib, #name);                                                     \
    if (!calls.name) return NULL;
    DNNL_EACH(DNNL_LOAD)
    state = 1;
    return &calls;
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != dnnl_success) {                                                              \
            fprintf(stderr, "bench_conv: %s failed\n", #call);                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline dnnl_primitive_desc_t rivals_describe(const dnnl_calls *d, const rivals *r,
                                                    const conv *c)
{
    const window *v = &c->v;
    const dnnl_dims_t x = {c->n, c->ci, v->size[0], v->size[1]}, pad = {v->pad[0], v->pad[1]};
    const dnnl_dims_t w = {c->co, c->ci, v->kernel[0], v->kernel[1]};
    const dnnl_dims_t y = {c->n, c->co, window_out(v, 0), window_out(v, 1)};
    const dnnl_dims_t step = {v->stride[0], v->stride[1]};
    dnnl_memory_desc_t mx, mw, my;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t hint = NULL, out;

    MUST(d->dnnl_memory_desc_init_by_tag(&mx, 4, x, dnnl_f32, dnnl_nhwc));
    MUST(d->dnnl_memory_desc_init_by_tag(&mw, 4, w, dnnl_f32, dnnl_format_tag_any));
    MUST(d->dnnl_memory_desc_init_by_tag(&my, 4, y, dnnl_f32, dnnl_nhwc));
    MUST(d->dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training,
                                               dnnl_convolution_direct, &mx, &mw, NULL, &my, step,
                                               pad, pad));
    MUST(d->dnnl_primitive_desc_create(&out, &desc, NULL, r->engine, NULL));
    if (c->op == CONV_Y) return out;
    hint = out;
    if (c->op == CONV_DX)
        MUST(d->dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &mx, &mw,
                                                         &my, step, pad, pad));
    else
        MUST(d->dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &mx,
                                                            &mw, NULL, &my, step, pad, pad));
    MUST(d->dnnl_primitive_desc_create(&out, &desc, NULL, r->engine, hint));
    d->dnnl_primitive_desc_destroy(hint);
    return out;
}

static inline void rivals_onednn_open(rivals *r, const conv *c)
{
    const dnnl_calls *d = dnnl_get();
    static const dnnl_query_t what[3][3] = {
        {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
        {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md}};
    static const int args[3][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                   {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                   {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    void *const data[3] = {r->x, DNNL_MEMORY_ALLOCATE, r->y};

    if (!d) return;
    MUST(d->dnnl_engine_create(&r->engine, dnnl_cpu, 0));
    MUST(d->dnnl_stream_create(&r->stream, r->engine, dnnl_stream_default_flags));
    dnnl_primitive_desc_t pd = rivals_describe(d, r, c);
    for (int i = 0; i < 3; i++) {
        const dnnl_memory_desc_t *md = d->dnnl_primitive_desc_query_md(pd, what[c->op][i], 0);
        MUST(d->dnnl_memory_create(&r->memory[i], md, r->engine, data[i]));
        r->arg[i] = (dnnl_exec_arg_t){args[c->op][i], r->memory[i]};
    }
    MUST(d->dnnl_primitive_create(&r->primitive, pd));
    d->dnnl_primitive_desc_destroy(pd);
}

static inline void rivals_onednn(const rivals *r)
{
    const dnnl_calls *d = dnnl_get();

    MUST(d->dnnl_primitive_execute(r->primitive, r->stream, 3, r->arg));
    MUST(d->dnnl_stream_wait(r->stream));
}

static inline void rivals_onednn_close(rivals *r)
{
    const dnnl_calls *d = dnnl_get();

    if (!d) return;
    d->dnnl_primitive_destroy(r->primitive);
    for (int i = 0; i < 3; i++) d->dnnl_memory_destroy(r->memory[i]);
    d->dnnl_stream_destroy(r->stream);
    d->dnnl_engine_destroy(r->engine);
}

static inline bool rivals_onednn_ready(const rivals *r)
{
    return r->primitive != NULL;
}

static inline const char *rivals_version(void)
{
    static char text[32] = "not there";

    if (dnnl_get()) {
        const dnnl_version_t *v = dnnl_get()->dnnl_version();
        snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    }
    return text;
}
#else
static inline void rivals_onednn_open(rivals *r, const conv *c)
{
    (void)r, (void)c;
}
static inline void rivals_onednn(const rivals *r)
{
    (void)r;
}
static inline void rivals_onednn_close(rivals *r)
{
    (void)r;
}
static inline bool rivals_onednn_ready(const rivals *r)
{
    (void)r;
    return false;
}
static inline const char *rivals_version(void)
{
    return "not there";
}
#endif

/* ---- im2col ---- */

/* The matrix [pixels of some lines][kernel][ci] from x, or added back to it. */
static inline void rivals_cols(const conv *c, const rivals *r, int64_t line, int64_t lines,
                               bool back)
{
    const int64_t ow = window_out(&c->v, 1), oh = window_out(&c->v, 0), ci = c->ci;
    float *col = r->cols;

    for (int64_t n = line; n < line + lines; n++) {
        for (int64_t t = 0; t < ow * c->v.kernel[0] * c->v.kernel[1]; t++, col += ci) {
            const int64_t k = t % c->v.kernel[1], i = t / c->v.kernel[1] % c->v.kernel[0];
            const int64_t pixel = t / c->v.kernel[1] / c->v.kernel[0];
            const int64_t y = n % oh * c->v.stride[0] + i - c->v.pad[0];
            const int64_t x = pixel * c->v.stride[1] + k - c->v.pad[1];
            const bool in = y >= 0 && x >= 0 && y < c->v.size[0] && x < c->v.size[1];
            float *at = r->x + (in ? ((n / oh * c->v.size[0] + y) * c->v.size[1] + x) * ci : 0);
            if (!back && in) memcpy(col, at, (size_t)ci * sizeof *col);
            if (!back && !in) memset(col, 0, (size_t)ci * sizeof *col);
            for (int64_t q = 0; back && in && q < ci; q++) at[q] += col[q];
        }
    }
}

/* Weights as [co][kernel][ci]: their turning is not counted. */
static inline void rivals_im2col(const conv *c, const rivals *r)
{
    const int64_t ow = window_out(&c->v, 1), k = c->ci * c->v.kernel[0] * c->v.kernel[1];
    const int64_t lines = c->n * window_out(&c->v, 0);

    if (c->op == CONV_DX)
        memset(r->x, 0, (size_t)(c->n * c->v.size[0] * c->v.size[1] * c->ci) * sizeof *r->x);
    for (int64_t n = 0; n < lines; n += COL_LINES) {
        const int64_t some = lines - n < COL_LINES ? lines - n : COL_LINES, m = some * ow;
        float *y = r->y + n * ow * c->co;
        const gemm_shape s[3] = {
            {.m = m, .n = c->co, .k = k, .lda = k, .ldb = k, .ldc = c->co, .tb = true},
            {.m = m, .n = k, .k = c->co, .lda = c->co, .ldb = k, .ldc = k},
            {.m = c->co,
             .n = k,
             .k = m,
             .lda = c->co,
             .ldb = k,
             .ldc = k,
             .ta = true,
             .acc = n > 0}};
        if (c->op != CONV_DX) rivals_cols(c, r, n, some, false);
        if (c->op == CONV_Y) gemm_f32(c->isa, &s[0], r->cols, r->w, y, r->gemm_work);
        if (c->op == CONV_DX) gemm_f32(c->isa, &s[1], y, r->w, r->cols, r->gemm_work);
        if (c->op == CONV_DW) gemm_f32(c->isa, &s[2], y, r->cols, r->w, r->gemm_work);
        if (c->op == CONV_DX) rivals_cols(c, r, n, some, true);
    }
}

static inline void rivals_open(rivals *r, const conv *c)
{
    const int64_t out = window_out(&c->v, 0) * window_out(&c->v, 1);
    const int64_t k = c->ci * c->v.kernel[0] * c->v.kernel[1];

    *r = (rivals){.x = rivals_numbers(c->n * c->v.size[0] * c->v.size[1] * c->ci, 0),
                  .w = rivals_numbers(c->co * k, 0),
                  .y = rivals_numbers(c->n * out * c->co, 0),
                  .cols = rivals_numbers(COL_LINES * window_out(&c->v, 1) * k, 0),
                  .packed = rivals_numbers(0, c->packed),
                  .sums = rivals_numbers(0, c->sums),
                  .work = rivals_numbers(0, c->work),
                  .gemm_work = rivals_numbers(0, 64 << 20)};
    rivals_onednn_open(r, c);
}

static inline void rivals_close(rivals *r)
{
    rivals_onednn_close(r);
    free(r->x), free(r->w), free(r->y), free(r->cols);
    free(r->packed), free(r->sums), free(r->work), free(r->gemm_work);
}
#endif
