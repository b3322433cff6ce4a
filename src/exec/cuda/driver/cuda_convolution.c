/* The three convolutions by cuDNN: images [n, h, w, c] and weights [o, kh, kw, c / groups] are its
 * NHWC tensors and filters. Through the functions that cuDNN 9 calls legacy, for they let us name
 * the algorithm: implicit products only, which are deterministic in all three directions and keep
 * F32's digits, as Winograd's and Fourier's do not. bf16 is no type of these for F32 tensors, so
 * both words mean TF32 here. */
#include "exec/cuda/driver/cuda_library.h"
#include "exec/cuda/driver/library_api.h"
#include "exec/cuda/kernel/product_operands.h"

#define FUNCTIONS(F)                                                                               \
    F(cudnnGetVersion)                                                                             \
    F(cudnnGetErrorString)                                                                         \
    F(cudnnCreate)                                                                                 \
    F(cudnnDestroy)                                                                                \
    F(cudnnSetStream)                                                                              \
    F(cudnnCreateTensorDescriptor)                                                                 \
    F(cudnnDestroyTensorDescriptor)                                                                \
    F(cudnnSetTensor4dDescriptor)                                                                  \
    F(cudnnCreateFilterDescriptor)                                                                 \
    F(cudnnDestroyFilterDescriptor)                                                                \
    F(cudnnSetFilter4dDescriptor)                                                                  \
    F(cudnnCreateConvolutionDescriptor)                                                            \
    F(cudnnDestroyConvolutionDescriptor)                                                           \
    F(cudnnSetConvolution2dDescriptor)                                                             \
    F(cudnnSetConvolutionMathType)                                                                 \
    F(cudnnSetConvolutionGroupCount)                                                               \
    F(cudnnGetConvolutionForwardWorkspaceSize)                                                     \
    F(cudnnGetConvolutionBackwardDataWorkspaceSize)                                                \
    F(cudnnGetConvolutionBackwardFilterWorkspaceSize)                                              \
    F(cudnnConvolutionForward)                                                                     \
    F(cudnnConvolutionBackwardData)                                                                \
    F(cudnnConvolutionBackwardFilter)

typedef struct library_table {
    FUNCTIONS(LIBRARY_FIELD)
} library_table;

static const library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

typedef struct dnn {
    library_table f;
    cudnnHandle_t handle;
} dnn;

typedef struct dnn_conv {
    cudnnTensorDescriptor_t image, y;
    cudnnFilterDescriptor_t weight;
    cudnnConvolutionDescriptor_t how;
    cudnnConvolutionFwdAlgo_t forward;
    size_t workspace;
} dnn_conv;

/* Room to turn an image and a result of some 100 MB, where an algorithm has no kernel for how they
 * lie; what needs more is refused. */
enum { WORKSPACE = 256 << 20 };

static drmad_status answered(cuda_library *l, drmad_ctx *ctx, const dnn *it, cudnnStatus_t s,
                             const char *what)
{
    if (s == CUDNN_STATUS_SUCCESS) return DRMAD_OK;
    if (s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        return cuda_no_memory(l->g, ctx, "cuDNN", 0);
    return cuda_library_failed(l->g, ctx, "cuDNN", what, it->f.cudnnGetErrorString(s));
}

/* ---- opening ---- */

static const library_file files[] = {{.name = "libcudnn.so.9"}};

static size_t version_of(const void *it)
{
    return ((const dnn *)it)->f.cudnnGetVersion();
}

static void end(void *it)
{
    const dnn *x = it;

    if (x->handle) x->f.cudnnDestroy(x->handle);
}

static drmad_status start(cuda_library *l, drmad_ctx *ctx, void *it)
{
    dnn *x = it;
    drmad_status st = DRMAD_OK;

    if (!x->handle) TRY(answered(l, ctx, x, x->f.cudnnCreate(&x->handle), "starting it"));
    TRY(answered(l, ctx, x, x->f.cudnnSetStream(x->handle, l->stream), "taking our stream"));
done:
    return st;
}

/* ---- plans ---- */

static cudnnStatus_t new_tensor(const dnn *it, const int64_t nhwc[4], cudnnTensorDescriptor_t *out)
{
    const cudnnStatus_t s = it->f.cudnnCreateTensorDescriptor(out);

    if (s != CUDNN_STATUS_SUCCESS) return s;
    return it->f.cudnnSetTensor4dDescriptor(*out, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, (int)nhwc[0],
                                            (int)nhwc[3], (int)nhwc[1], (int)nhwc[2]);
}

static cudnnStatus_t new_filter(const dnn *it, const window_args *v, cudnnFilterDescriptor_t *out)
{
    const cudnnStatus_t s = it->f.cudnnCreateFilterDescriptor(out);

    if (s != CUDNN_STATUS_SUCCESS) return s;
    return it->f.cudnnSetFilter4dDescriptor(*out, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, (int)v->o,
                                            (int)(v->c / v->groups), v->kh, v->kw);
}

static cudnnStatus_t new_how(const dnn *it, gpu_products products, const window_args *v,
                             cudnnConvolutionDescriptor_t *out)
{
    cudnnStatus_t s = it->f.cudnnCreateConvolutionDescriptor(out);

    if (s == CUDNN_STATUS_SUCCESS)
        s = it->f.cudnnSetConvolution2dDescriptor(*out, v->pad_h, v->pad_w, v->stride_h,
                                                  v->stride_w, v->dilation_h, v->dilation_w,
                                                  CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
    if (s == CUDNN_STATUS_SUCCESS)
        s = it->f.cudnnSetConvolutionMathType(
            *out, products == PRODUCTS_F32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH);
    if (s == CUDNN_STATUS_SUCCESS) s = it->f.cudnnSetConvolutionGroupCount(*out, v->groups);
    return s;
}

static cudnnStatus_t describe(const dnn *it, gpu_products products, const window_args *v,
                              dnn_conv *p)
{
    cudnnStatus_t s = new_tensor(it, (int64_t[]){v->n, v->h, v->w, v->c}, &p->image);

    if (s == CUDNN_STATUS_SUCCESS) s = new_tensor(it, (int64_t[]){v->n, v->oh, v->ow, v->o}, &p->y);
    if (s == CUDNN_STATUS_SUCCESS) s = new_filter(it, v, &p->weight);
    if (s == CUDNN_STATUS_SUCCESS) s = new_how(it, products, v, &p->how);
    return s;
}

static cudnnStatus_t ask(const dnn *it, gpu_kernel k, dnn_conv *p)
{
    const library_table *f = &it->f;

    if (k == GPU_conv_dx_few)
        return f->cudnnGetConvolutionBackwardDataWorkspaceSize(
            it->handle, p->weight, p->y, p->how, p->image, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
            &p->workspace);
    if (k == GPU_conv_dw)
        return f->cudnnGetConvolutionBackwardFilterWorkspaceSize(
            it->handle, p->image, p->y, p->how, p->weight, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
            &p->workspace);
    return f->cudnnGetConvolutionForwardWorkspaceSize(it->handle, p->image, p->weight, p->how, p->y,
                                                      p->forward, &p->workspace);
}

static bool is_refusal(cudnnStatus_t s)
{
    const int kind = (int)s / 1000 * 1000;

    return kind == CUDNN_STATUS_NOT_SUPPORTED || kind == CUDNN_STATUS_BAD_PARAM;
}

/* Whether cuDNN can do it, and within the workspace. Forwards there is a second way, which needs
 * none. */
static cudnnStatus_t choose(const dnn *it, gpu_kernel k, dnn_conv *p)
{
    p->forward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    cudnnStatus_t s = ask(it, k, p);

    if (k == GPU_conv && (is_refusal(s) || p->workspace > WORKSPACE)) {
        p->forward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
        s = ask(it, k, p);
    }
    return s == CUDNN_STATUS_SUCCESS && p->workspace > WORKSPACE ? CUDNN_STATUS_NOT_SUPPORTED : s;
}

static void drop(cuda_library *l, void *it, void *made)
{
    const dnn *x = it;
    dnn_conv *p = made;

    if (!p) return;
    if (p->image) x->f.cudnnDestroyTensorDescriptor(p->image);
    if (p->y) x->f.cudnnDestroyTensorDescriptor(p->y);
    if (p->weight) x->f.cudnnDestroyFilterDescriptor(p->weight);
    if (p->how) x->f.cudnnDestroyConvolutionDescriptor(p->how);
    mem_free(l->ctx, p);
}

/* What came of a try. */
static drmad_status judge(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan *to,
                          cudnnStatus_t s)
{
    const dnn *it = l->of[LIBRARY_CUDNN].it;
    const window_args *v = &conv_of(c)->v;

    to->refused = is_refusal(s);
    if (!to->refused) return answered(l, ctx, it, s, "a convolution");
    base_log(ctx, LOG_DETAIL,
             "cuDNN refuses a %s of images %lldx%lldx%lldx%lld, kernel %dx%d, %lld channels in %d "
             "groups: %s",
             c->kernel == GPU_conv          ? "convolution"
             : c->kernel == GPU_conv_dx_few ? "gradient to the image"
                                            : "gradient to the weight",
             (long long)v->n, (long long)v->h, (long long)v->w, (long long)v->c, v->kh, v->kw,
             (long long)v->o, v->groups, it->f.cudnnGetErrorString(s));
    return DRMAD_OK;
}

static drmad_status make(cuda_library *l, drmad_ctx *ctx, void *it, const gpu_call *c,
                         library_plan *to)
{
    drmad_status st = DRMAD_OK;
    dnn_conv *p = NULL;

    TRY(mem_alloc(l->ctx, 1, sizeof *p, &p));
    cudnnStatus_t s = describe(it, l->products, &conv_of(c)->v, p);
    if (s == CUDNN_STATUS_SUCCESS) s = choose(it, c->kernel, p);
    TRY(judge(l, ctx, c, to, s));
    to->made = p, p = NULL;
done:
    drop(l, it, p);
    return st;
}

static drmad_status run(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan *to,
                        void *const at[3])
{
    static const float zero = 0, one = 1;
    const dnn *it = l->of[LIBRARY_CUDNN].it;
    const dnn_conv *p = to->made;
    const float *beta = conv_of(c)->accumulate ? &one : &zero;
    void *room = l->of[LIBRARY_CUDNN].workspace;
    cudnnStatus_t s;

    if (c->kernel == GPU_conv)
        s = it->f.cudnnConvolutionForward(it->handle, &one, p->image, at[0], p->weight, at[1],
                                          p->how, p->forward, room, p->workspace, beta, p->y,
                                          at[2]);
    else if (c->kernel == GPU_conv_dx_few)
        s = it->f.cudnnConvolutionBackwardData(it->handle, &one, p->weight, at[1], p->y, at[0],
                                               p->how, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, room,
                                               p->workspace, beta, p->image, at[2]);
    else
        s = it->f.cudnnConvolutionBackwardFilter(it->handle, &one, p->image, at[0], p->y, at[1],
                                                 p->how, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, room,
                                                 p->workspace, beta, p->weight, at[2]);
    return judge(l, ctx, c, to, s);
}

const library_kind library_cudnn = {
    .workspace = WORKSPACE,
    .source = {.what = "cuDNN", .oldest = "cuDNN 9", .symbols = symbols, .n = COUNT(symbols)},
    .files = files,
    .n = COUNT(files),
    .bytes = sizeof(dnn),
    .version = version_of,
    .end = end,
    .start = start,
    .make = make,
    .drop = drop,
    .run = run,
};
