/* libcudnn.so.9 for tests: as fake_cublaslt.c. */
#include "exec/cuda/driver/library_api.h"
#include "fake_cudart.h"
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 12 };

struct cudnnContext {
    cudaStream_t stream;
};

/* Of images n, c, h, w; of weights k, c / groups, h, w. */
struct cudnnTensorStruct {
    cudnnTensorFormat_t format;
    cudnnDataType_t type;
    int n, c, h, w;
};

struct cudnnFilterStruct {
    struct cudnnTensorStruct is;
};

struct cudnnConvolutionStruct {
    int pad[2], stride[2], dilation[2], groups, math;
    cudnnConvolutionMode_t mode;
    cudnnDataType_t compute;
};

#define CALL()                                                                                     \
    do {                                                                                           \
        if (fake.library_calls++ == fake.library_fail_at) return fake.library_status;              \
    } while (0)

static cudnnStatus_t make(void **out, size_t bytes)
{
    CALL();
    *out = calloc(1, bytes);
    fake.live++;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t unmake(void *p)
{
    free(p);
    fake.live--;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return 91300;
}

const char *cudnnGetErrorString(cudnnStatus_t s)
{
    return s == CUDNN_STATUS_EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED" : "another status";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    return make((void **)out, sizeof **out);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    return unmake(h);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    CALL();
    h->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- descriptions ---- */

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *out)
{
    return make((void **)out, sizeof **out);
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d)
{
    return unmake(d);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    CALL();
    *d = (struct cudnnTensorStruct){format, type, n, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *out)
{
    return make((void **)out, sizeof **out);
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d)
{
    return unmake(d);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    CALL();
    d->is = (struct cudnnTensorStruct){format, type, k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *out)
{
    return make((void **)out, sizeof **out);
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d)
{
    return unmake(d);
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute)
{
    CALL();
    *d = (struct cudnnConvolutionStruct){.pad = {pad_h, pad_w},
                                         .stride = {stride_h, stride_w},
                                         .dilation = {dilation_h, dilation_w},
                                         .groups = 1,
                                         .mode = mode,
                                         .compute = compute};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t type)
{
    CALL();
    d->math = type;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups)
{
    CALL();
    d->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- whether it can ---- */

static bool is_right(const struct cudnnTensorStruct *t)
{
    return t->format == CUDNN_TENSOR_NHWC && t->type == CUDNN_DATA_FLOAT && t->n > 0 && t->c > 0 &&
           t->h > 0 && t->w > 0;
}

static int out_of(const struct cudnnConvolutionStruct *d, int axis, int size, int taps)
{
    return 1 + (size + 2 * d->pad[axis] - (d->dilation[axis] * (taps - 1) + 1)) / d->stride[axis];
}

static cudnnStatus_t can(cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t wd,
                         cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t y, size_t *bytes)
{
    const struct cudnnTensorStruct *w = &wd->is;

    CALL();
    if (fake.refuse == 1 || fake.refuse == 2) return CUDNN_STATUS_NOT_SUPPORTED + 2;
    if (!h->stream || !is_right(x) || !is_right(w) || !is_right(y) || d->groups < 1 ||
        d->mode != CUDNN_CROSS_CORRELATION || d->compute != CUDNN_DATA_FLOAT || x->n != y->n ||
        x->c != w->c * d->groups || y->c != w->n || w->n % d->groups != 0 ||
        y->h != out_of(d, 0, x->h, w->h) || y->w != out_of(d, 1, x->w, w->w))
        return CUDNN_STATUS_BAD_PARAM;
    *bytes = fake.refuse == 3 ? SIZE_MAX / 4 : ROOM;
    return CUDNN_STATUS_SUCCESS;
}

/* Like the real one, forwards there is a way that needs no workspace. */
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t h, cudnnTensorDescriptor_t x,
                                                      cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t d,
                                                      cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t *bytes)
{
    const cudnnStatus_t s = can(h, x, w, d, y, bytes);

    if (algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM) *bytes = 0;
    return s;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t h, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t dx, cudnnConvolutionBwdDataAlgo_t algo,
    size_t *bytes)
{
    if (algo != CUDNN_CONVOLUTION_BWD_DATA_ALGO_1) return CUDNN_STATUS_NOT_SUPPORTED;
    return can(h, dx, w, d, dy, bytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t d, cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algo, size_t *bytes)
{
    if (algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1) return CUDNN_STATUS_NOT_SUPPORTED;
    return can(h, x, dw, d, dy, bytes);
}

/* ---- convolutions ---- */

typedef enum way { FORWARD, TO_IMAGE, TO_WEIGHT } way;

/* Tensors in the order image, weight, result; `to` is the one that is computed. */
typedef struct job {
    way to;
    struct cudnnTensorStruct is[3];
    struct cudnnConvolutionStruct d;
    void *at[3], *workspace;
    size_t room;
    float alpha, beta;
} job;

static size_t elements(const struct cudnnTensorStruct *t)
{
    return (size_t)t->n * (size_t)t->c * (size_t)t->h * (size_t)t->w;
}

static size_t place(const struct cudnnTensorStruct *t, int n, int y, int x, int c)
{
    return (((size_t)n * (size_t)t->h + (size_t)y) * (size_t)t->w + (size_t)x) * (size_t)t->c +
           (size_t)c;
}

/* All that one element of the weight takes part in. */
static void tap(const job *o, double *const v[3], const int k[4])
{
    const struct cudnnTensorStruct *x = &o->is[0], *w = &o->is[1], *r = &o->is[2];
    const struct cudnnConvolutionStruct *d = &o->d;
    const size_t wi = place(w, k[0], k[1], k[2], k[3]);
    const int channel = k[0] / (w->n / d->groups) * w->c + k[3];

    for (int n = 0; n < r->n; n++)
        for (int p = 0; p < r->h * r->w; p++) {
            const int y_at = p / r->w * d->stride[0] - d->pad[0] + k[1] * d->dilation[0];
            const int x_at = p % r->w * d->stride[1] - d->pad[1] + k[2] * d->dilation[1];
            if (y_at < 0 || y_at >= x->h || x_at < 0 || x_at >= x->w) continue;
            const size_t xi = place(x, n, y_at, x_at, channel);
            const size_t ri = place(r, n, p / r->w, p % r->w, k[0]);
            if (o->to == FORWARD) v[3][ri] += v[0][xi] * v[1][wi];
            else if (o->to == TO_IMAGE) v[3][xi] += v[2][ri] * v[1][wi];
            else v[3][wi] += v[0][xi] * v[2][ri];
        }
}

static void convolve(const job *o, double *const v[3])
{
    const struct cudnnTensorStruct *w = &o->is[1];

    for (int k = 0; k < w->n; k++)
        for (int y = 0; y < w->h; y++)
            for (int x = 0; x < w->w; x++)
                for (int c = 0; c < w->c; c++) tap(o, v, (int[]){k, y, x, c});
}

static void run(const void *what)
{
    const job *o = what;
    const int into = o->to == FORWARD ? 2 : o->to == TO_IMAGE ? 0 : 1;
    const size_t count = elements(&o->is[into]);
    double *v[4] = {0};
    float *raw;

    for (int k = 0; k < 3; k++) {
        const size_t n = elements(&o->is[k]);
        v[k] = calloc(n, sizeof *v[k]), raw = malloc(n * sizeof *raw);
        fake_read(raw, o->at[k], n * sizeof *raw);
        for (size_t i = 0; i < n; i++) v[k][i] = raw[i];
        free(raw);
    }
    v[3] = calloc(count, sizeof *v[3]), raw = malloc(count * sizeof *raw);
    convolve(o, v);
    for (size_t i = 0; i < count; i++)
        raw[i] = (float)(o->alpha * v[3][i] + (o->beta != 0 ? o->beta * v[into][i] : 0));
    fake_write(o->at[into], raw, count * sizeof *raw);
    free(raw);
    raw = calloc(1, o->room + 1);
    if (o->room) fake_write(o->workspace, raw, o->room);
    free(raw);
    for (int k = 0; k < 4; k++) free(v[k]);
}

static bool straight(const void *at)
{
    return (uintptr_t)at % 16 == 0;
}

static cudnnStatus_t send(cudnnHandle_t h, cudnnConvolutionDescriptor_t d, job *o, size_t room)
{
    CALL();
    if (!h->stream || !straight(o->at[0]) || !straight(o->at[1]) || !straight(o->at[2]) ||
        !straight(o->workspace) || o->room != room)
        return CUDNN_STATUS_EXECUTION_FAILED;
    o->d = *d;
    fake.math = d->math;
    fake.convolutions++;
    return fake_later(run, o, sizeof *o) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                        : CUDNN_STATUS_EXECUTION_FAILED;
}

#define PLACE(p) ((void *)(uintptr_t)(p))

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha,
                                      cudnnTensorDescriptor_t xd, const void *x,
                                      cudnnFilterDescriptor_t wd, const void *w,
                                      cudnnConvolutionDescriptor_t d,
                                      cudnnConvolutionFwdAlgo_t algo, void *workspace, size_t bytes,
                                      const void *beta, cudnnTensorDescriptor_t yd, void *y)
{
    job o = {.to = FORWARD, .is = {*xd, wd->is, *yd}, .at = {PLACE(x), PLACE(w), y}};

    o.workspace = workspace, o.room = bytes;
    o.alpha = *(const float *)alpha, o.beta = *(const float *)beta;
    return send(h, d, &o, algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? 0 : ROOM);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha,
                                           cudnnFilterDescriptor_t wd, const void *w,
                                           cudnnTensorDescriptor_t dyd, const void *dy,
                                           cudnnConvolutionDescriptor_t d,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *workspace,
                                           size_t bytes, const void *beta,
                                           cudnnTensorDescriptor_t dxd, void *dx)
{
    job o = {.to = TO_IMAGE, .is = {*dxd, wd->is, *dyd}, .at = {dx, PLACE(w), PLACE(dy)}};

    o.workspace = workspace, o.room = bytes;
    o.alpha = *(const float *)alpha, o.beta = *(const float *)beta;
    if (algo != CUDNN_CONVOLUTION_BWD_DATA_ALGO_1) return CUDNN_STATUS_EXECUTION_FAILED;
    return send(h, d, &o, ROOM);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha,
                                             cudnnTensorDescriptor_t xd, const void *x,
                                             cudnnTensorDescriptor_t dyd, const void *dy,
                                             cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace,
                                             size_t bytes, const void *beta,
                                             cudnnFilterDescriptor_t dwd, void *dw)
{
    job o = {.to = TO_WEIGHT, .is = {*xd, dwd->is, *dyd}, .at = {PLACE(x), dw, PLACE(dy)}};

    o.workspace = workspace, o.room = bytes;
    o.alpha = *(const float *)alpha, o.beta = *(const float *)beta;
    if (algo != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1) return CUDNN_STATUS_EXECUTION_FAILED;
    return send(h, d, &o, ROOM);
}
