/* libcublasLt.so.13 for tests: naive loops over the very descriptions that it is given, in the
 * memory of the fake runtime. What the real one would take amiss is refused. */
#include "exec/cuda/driver/library_api.h"
#include "fake_cudart.h"
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16, MAGIC = 0x600d };

struct cublasLtContext {
    int open;
};

struct lt_desc {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    int32_t turn_a, turn_b;
};

struct lt_layout {
    cudaDataType_t type;
    int64_t rows, cols, ld, step;
    int32_t batch;
};

struct lt_preference {
    uint64_t room;
    uint32_t reduction, align[4];
};

#define CALL()                                                                                     \
    do {                                                                                           \
        if (fake.library_calls++ == fake.library_fail_at) return fake.library_status;              \
    } while (0)

static cublasStatus_t make(void **out, size_t bytes)
{
    CALL();
    *out = calloc(1, bytes);
    fake.live++;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t unmake(void *p)
{
    free(p);
    fake.live--;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
    return 130203;
}

const char *cublasLtGetStatusString(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_EXECUTION_FAILED ? "the program failed to execute" : "another status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    return make((void **)out, sizeof **out);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    return unmake(h);
}

/* ---- descriptions ---- */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    const cublasStatus_t s = make((void **)out, sizeof **out);

    if (s == CUBLAS_STATUS_SUCCESS) **out = (struct lt_desc){.compute = compute, .scale = scale};
    return s;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    return unmake(d);
}

static cublasStatus_t put(void *to, size_t room, const void *value, size_t bytes)
{
    if (!to || bytes != room) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes)
{
    CALL();
    return put(which == CUBLASLT_MATMUL_DESC_TRANSA   ? &d->turn_a
               : which == CUBLASLT_MATMUL_DESC_TRANSB ? &d->turn_b
                                                      : NULL,
               sizeof d->turn_a, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    const cublasStatus_t s = make((void **)out, sizeof **out);

    if (s != CUBLAS_STATUS_SUCCESS) return s;
    **out = (struct lt_layout){
        .type = type, .rows = (int64_t)rows, .cols = (int64_t)cols, .ld = ld, .batch = 1};
    return ld >= (int64_t)rows ? s : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    return unmake(l);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t which,
                                                const void *value, size_t bytes)
{
    CALL();
    if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)
        return put(&l->batch, sizeof l->batch, value, bytes);
    return put(which == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET ? &l->step : NULL,
               sizeof l->step, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    return make((void **)out, sizeof **out);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    return unmake(p);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes)
{
    const int align = which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;

    CALL();
    if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return put(&p->room, sizeof p->room, value, bytes);
    if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        return put(&p->reduction, sizeof p->reduction, value, bytes);
    return put(align >= 0 && align < 4 ? &p->align[align] : NULL, sizeof p->align[0], value, bytes);
}

/* ---- products ---- */

/* Rows, columns, terms of y = op(a) op(b); false: they do not go together. */
static bool sizes_of(const struct lt_desc *d, const struct lt_layout *a, const struct lt_layout *b,
                     const struct lt_layout *y, int64_t n[3])
{
    n[0] = y->rows, n[1] = y->cols;
    n[2] = d->turn_a == CUBLAS_OP_T ? a->rows : a->cols;
    return (d->turn_a == CUBLAS_OP_T ? a->cols : a->rows) == n[0] &&
           (d->turn_b == CUBLAS_OP_T ? b->rows : b->cols) == n[1] &&
           (d->turn_b == CUBLAS_OP_T ? b->cols : b->rows) == n[2] && a->batch == y->batch &&
           b->batch == y->batch && a->type == y->type && b->type == y->type &&
           (d->scale == CUDA_R_64F) == (y->type == CUDA_R_64F) &&
           (d->compute == CUBLAS_COMPUTE_64F) == (y->type == CUDA_R_64F);
}

static uint64_t hash_of(const int64_t n[3])
{
    return (uint64_t)(n[0] * 1000003 + n[1] * 1009 + n[2]);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t y,
                                              cublasLtMatmulPreference_t p, int wanted,
                                              cublasLtMatmulHeuristicResult_t *out, int *n)
{
    int64_t size[3];

    CALL();
    *n = 0;
    if (fake.refuse == 1) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!h || !sizes_of(d, a, b, y, size) || c != y || wanted < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p->room < ROOM || p->reduction & ~(uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int k = 0; k < 4; k++)
        if (p->align[k] != 16) return CUBLAS_STATUS_INVALID_VALUE;
    *n = fake.refuse == 2 ? 0 : 1;
    *out = (cublasLtMatmulHeuristicResult_t){.workspaceSize = ROOM};
    out->algo.data[0] = MAGIC, out->algo.data[7] = hash_of(size);
    return CUBLAS_STATUS_SUCCESS;
}

typedef struct job {
    struct lt_desc d;
    struct lt_layout a, b, y;
    const void *a_at, *b_at;
    void *y_at, *workspace;
    double alpha, beta;
} job;

static size_t elements(const struct lt_layout *l)
{
    return (size_t)((l->batch - 1) * l->step + (l->cols - 1) * l->ld + l->rows);
}

static double *read_all(const struct lt_layout *l, const void *at)
{
    const size_t n = elements(l), size = l->type == CUDA_R_64F ? 8 : 4;
    double *v = malloc((n + 1) * sizeof *v);
    char *raw = malloc(n * size + 1);

    fake_read(raw, at, n * size);
    for (size_t i = 0; i < n; i++) v[i] = size == 8 ? ((double *)raw)[i] : ((float *)raw)[i];
    free(raw);
    return v;
}

static double element(const double *v, const struct lt_layout *l, bool turned, int64_t i, int64_t j)
{
    return turned ? v[j + i * l->ld] : v[i + j * l->ld];
}

static void multiply(const job *o, const double *a, const double *b, double *y)
{
    const bool ta = o->d.turn_a == CUBLAS_OP_T, tb = o->d.turn_b == CUBLAS_OP_T;
    const int64_t terms = ta ? o->a.rows : o->a.cols;

    for (int64_t i = 0; i < o->y.rows; i++)
        for (int64_t j = 0; j < o->y.cols; j++) {
            double sum = 0;
            for (int64_t k = 0; k < terms; k++)
                sum += element(a, &o->a, ta, i, k) * element(b, &o->b, tb, k, j);
            double *to = &y[i + j * o->y.ld];
            *to = o->alpha * sum + (o->beta != 0 ? o->beta * *to : 0);
        }
}

static void run(const void *what)
{
    const job *o = what;
    double *a = read_all(&o->a, o->a_at), *b = read_all(&o->b, o->b_at);
    double *y = read_all(&o->y, o->y_at);
    const size_t n = elements(&o->y);
    char *used = malloc(ROOM);

    for (int32_t k = 0; k < o->y.batch; k++)
        multiply(o, a + k * o->a.step, b + k * o->b.step, y + k * o->y.step);
    float *single = malloc((n + 1) * sizeof *single);
    for (size_t i = 0; i < n; i++) single[i] = (float)y[i];
    if (o->y.type == CUDA_R_64F) fake_write(o->y_at, y, n * sizeof *y);
    else fake_write(o->y_at, single, n * sizeof *single);
    memset(used, 0x55, ROOM);
    fake_write(o->workspace, used, ROOM);
    free(used), free(single), free(y), free(b), free(a);
}

static double number(const void *at, cudaDataType_t type)
{
    return type == CUDA_R_64F ? *(const double *)at : (double)*(const float *)at;
}

static bool straight(const void *at)
{
    return (uintptr_t)at % 16 == 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_is, const void *b,
                              cublasLtMatrixLayout_t b_is, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_is, void *y, cublasLtMatrixLayout_t y_is,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream)
{
    int64_t size[3];

    CALL();
    if (!h || !stream || c != y || c_is != y_is || !sizes_of(d, a_is, b_is, y_is, size) ||
        algo->data[0] != MAGIC || algo->data[7] != hash_of(size) || bytes < ROOM || !straight(a) ||
        !straight(b) || !straight(y) || !straight(workspace))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    const job o = {.d = *d,
                   .a = *a_is,
                   .b = *b_is,
                   .y = *y_is,
                   .a_at = a,
                   .b_at = b,
                   .y_at = y,
                   .workspace = workspace,
                   .alpha = number(alpha, d->scale),
                   .beta = number(beta, d->scale)};
    fake.compute = d->compute;
    fake.products++;
    return fake_later(run, &o, sizeof o) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                        : CUBLAS_STATUS_EXECUTION_FAILED;
}
