/* What is used of cuBLASLt (12 and 13) and cuDNN 9, in their own names: enough to compile without
 * their headers, which come in packages of half a gigabyte and more. tests/cuda/library_headers.c
 * compares each number and struct with the real headers, where they are; with
 * DRMAD_LIBRARY_HEADERS those take the place of what is declared here. */
#ifndef LIBRARY_API_H
#define LIBRARY_API_H
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#define CUBLASLT_VALUES(V)                                                                         \
    V(CUBLAS_STATUS_SUCCESS, 0)                                                                    \
    V(CUBLAS_STATUS_ALLOC_FAILED, 3)                                                               \
    V(CUBLAS_STATUS_INVALID_VALUE, 7)                                                              \
    V(CUBLAS_STATUS_ARCH_MISMATCH, 8)                                                              \
    V(CUBLAS_STATUS_EXECUTION_FAILED, 13)                                                          \
    V(CUBLAS_STATUS_NOT_SUPPORTED, 15)                                                             \
    V(CUBLAS_OP_N, 0)                                                                              \
    V(CUBLAS_OP_T, 1)                                                                              \
    V(CUBLAS_COMPUTE_32F, 68)                                                                      \
    V(CUBLAS_COMPUTE_64F, 70)                                                                      \
    V(CUBLAS_COMPUTE_32F_FAST_16BF, 75)                                                            \
    V(CUBLAS_COMPUTE_32F_FAST_TF32, 77)                                                            \
    V(CUBLASLT_MATMUL_DESC_TRANSA, 3)                                                              \
    V(CUBLASLT_MATMUL_DESC_TRANSB, 4)                                                              \
    V(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5)                                                       \
    V(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6)                                              \
    V(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)                                                 \
    V(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3)                                               \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5)                                               \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6)                                               \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7)                                               \
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)                                               \
    V(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)

#define CUDNN_VALUES(V)                                                                            \
    V(CUDNN_STATUS_SUCCESS, 0)                                                                     \
    V(CUDNN_STATUS_BAD_PARAM, 2000)                                                                \
    V(CUDNN_STATUS_NOT_SUPPORTED, 3000)                                                            \
    V(CUDNN_STATUS_INTERNAL_ERROR, 4000)                                                           \
    V(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, 4004)                                  \
    V(CUDNN_STATUS_EXECUTION_FAILED, 5000)                                                         \
    V(CUDNN_DATA_FLOAT, 0)                                                                         \
    V(CUDNN_TENSOR_NHWC, 1)                                                                        \
    V(CUDNN_CROSS_CORRELATION, 1)                                                                  \
    V(CUDNN_TENSOR_OP_MATH, 1)                                                                     \
    V(CUDNN_FMA_MATH, 3)                                                                           \
    V(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, 0)                                                 \
    V(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, 1)                                         \
    V(CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, 1)                                                        \
    V(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, 1)

/* Fields' offsets and structs' sizes. */
#define LIBRARY_LAYOUTS(FIELD, SIZE)                                                               \
    SIZE(cublasLtMatmulAlgo_t, 64)                                                                 \
    FIELD(cublasLtMatmulHeuristicResult_t, workspaceSize, 64)                                      \
    FIELD(cublasLtMatmulHeuristicResult_t, state, 72)                                              \
    SIZE(cublasLtMatmulHeuristicResult_t, 96)

#ifdef DRMAD_LIBRARY_HEADERS
#include <cublasLt.h>
#include <cudnn.h>
#else
#include <library_types.h>

#define LIBRARY_VALUE(name, number) name = number,
enum { CUBLASLT_VALUES(LIBRARY_VALUE) };
enum { CUDNN_VALUES(LIBRARY_VALUE) };
#undef LIBRARY_VALUE

/* ---- cuBLASLt: matrices lie by columns ---- */

typedef int cublasStatus_t, cublasComputeType_t, cublasLtMatmulDescAttributes_t;
typedef int cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t;
typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct lt_desc *cublasLtMatmulDesc_t;
typedef struct lt_layout *cublasLtMatrixLayout_t;
typedef struct lt_preference *cublasLtMatmulPreference_t;

typedef struct cublasLtMatmulAlgo_t {
    uint64_t data[8];
} cublasLtMatmulAlgo_t;

typedef struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int reserved[4];
} cublasLtMatmulHeuristicResult_t;

#define LIBRARY_FIELD_AT(type, field, at)                                                          \
    _Static_assert(offsetof(type, field) == (at), #type "." #field);
#define LIBRARY_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type);
LIBRARY_LAYOUTS(LIBRARY_FIELD_AT, LIBRARY_SIZE)
#undef LIBRARY_FIELD_AT
#undef LIBRARY_SIZE

size_t cublasLtGetVersion(void);
const char *cublasLtGetStatusString(cublasStatus_t status);
cublasStatus_t cublasLtCreate(cublasLtHandle_t *out);
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h);
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale);
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d);
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes);
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld);
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l);
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t which,
                                                const void *value, size_t bytes);
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out);
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p);
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes);
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t y,
                                              cublasLtMatmulPreference_t p, int wanted,
                                              cublasLtMatmulHeuristicResult_t *out, int *n);
/* y = alpha op(a) op(b) + beta c */
cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_is, const void *b,
                              cublasLtMatrixLayout_t b_is, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_is, void *y, cublasLtMatrixLayout_t y_is,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream);

/* ---- cuDNN ---- */

typedef int cudnnStatus_t, cudnnTensorFormat_t, cudnnDataType_t, cudnnConvolutionMode_t;
typedef int cudnnMathType_t, cudnnConvolutionFwdAlgo_t, cudnnConvolutionBwdDataAlgo_t;
typedef int cudnnConvolutionBwdFilterAlgo_t;
typedef struct cudnnContext *cudnnHandle_t;
typedef struct cudnnTensorStruct *cudnnTensorDescriptor_t;
typedef struct cudnnFilterStruct *cudnnFilterDescriptor_t;
typedef struct cudnnConvolutionStruct *cudnnConvolutionDescriptor_t;

size_t cudnnGetVersion(void);
const char *cudnnGetErrorString(cudnnStatus_t status);
cudnnStatus_t cudnnCreate(cudnnHandle_t *out);
cudnnStatus_t cudnnDestroy(cudnnHandle_t h);
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream);
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *out);
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d);
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w);
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *out);
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d);
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w);
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *out);
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d);
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute);
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t type);
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups);
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t h, cudnnTensorDescriptor_t x,
                                                      cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t d,
                                                      cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algo,
                                                      size_t *bytes);
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t h, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t dx, cudnnConvolutionBwdDataAlgo_t algo,
    size_t *bytes);
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t d, cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t algo, size_t *bytes);
/* y = alpha conv(x, w) + beta y, and likewise */
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha,
                                      cudnnTensorDescriptor_t xd, const void *x,
                                      cudnnFilterDescriptor_t wd, const void *w,
                                      cudnnConvolutionDescriptor_t d,
                                      cudnnConvolutionFwdAlgo_t algo, void *workspace, size_t bytes,
                                      const void *beta, cudnnTensorDescriptor_t yd, void *y);
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha,
                                           cudnnFilterDescriptor_t wd, const void *w,
                                           cudnnTensorDescriptor_t dyd, const void *dy,
                                           cudnnConvolutionDescriptor_t d,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *workspace,
                                           size_t bytes, const void *beta,
                                           cudnnTensorDescriptor_t dxd, void *dx);
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha,
                                             cudnnTensorDescriptor_t xd, const void *x,
                                             cudnnTensorDescriptor_t dyd, const void *dy,
                                             cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace,
                                             size_t bytes, const void *beta,
                                             cudnnFilterDescriptor_t dwd, void *dw);
#endif
#endif
