/* Products by cuBLASLt. Its matrices lie by columns, ours by rows, so it computes y' = b' a': what
 * lies in memory as our b, rows first, is its first operand as it stands. */
#include "exec/cuda/driver/cuda_library.h"
#include "exec/cuda/driver/library_api.h"
#include "exec/cuda/kernel/product_operands.h"

#define FUNCTIONS(F)                                                                               \
    F(cublasLtGetVersion)                                                                          \
    F(cublasLtGetStatusString)                                                                     \
    F(cublasLtCreate)                                                                              \
    F(cublasLtDestroy)                                                                             \
    F(cublasLtMatmulDescCreate)                                                                    \
    F(cublasLtMatmulDescDestroy)                                                                   \
    F(cublasLtMatmulDescSetAttribute)                                                              \
    F(cublasLtMatrixLayoutCreate)                                                                  \
    F(cublasLtMatrixLayoutDestroy)                                                                 \
    F(cublasLtMatrixLayoutSetAttribute)                                                            \
    F(cublasLtMatmulPreferenceCreate)                                                              \
    F(cublasLtMatmulPreferenceDestroy)                                                             \
    F(cublasLtMatmulPreferenceSetAttribute)                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)                                                              \
    F(cublasLtMatmul)

typedef struct library_table {
    FUNCTIONS(LIBRARY_FIELD)
} library_table;

static const library_symbol symbols[] = {FUNCTIONS(LIBRARY_SYMBOL)};

typedef struct lt {
    library_table f;
    cublasLtHandle_t handle;
} lt;

typedef struct lt_product {
    cublasLtMatmulDesc_t how;
    cublasLtMatrixLayout_t a, b, y; /* its a and b: our b and a */
    cublasLtMatmulAlgo_t algo;
} lt_product;

enum { WORKSPACE = 32 << 20 }; /* what NVIDIA's manual advises for Hopper */

static drmad_status answered(cuda_library *l, drmad_ctx *ctx, const lt *it, cublasStatus_t s,
                             const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS) return DRMAD_OK;
    if (s == CUBLAS_STATUS_ALLOC_FAILED) return cuda_no_memory(l->g, ctx, "cuBLASLt", 0);
    return cuda_library_failed(l->g, ctx, "cuBLASLt", what, it->f.cublasLtGetStatusString(s));
}

/* ---- opening ---- */

static const library_file files[] = {{.name = "libcublasLt.so.13"}, {.name = "libcublasLt.so.12"}};

static size_t version_of(const void *it)
{
    return ((const lt *)it)->f.cublasLtGetVersion();
}

static void end(void *it)
{
    const lt *x = it;

    if (x->handle) x->f.cublasLtDestroy(x->handle);
}

static drmad_status start(cuda_library *l, drmad_ctx *ctx, void *it)
{
    lt *x = it;

    if (x->handle) return DRMAD_OK;
    return answered(l, ctx, x, x->f.cublasLtCreate(&x->handle), "starting it");
}

/* ---- plans ---- */

/* A matrix of `rows` rows as it lies in our memory. */
static cublasStatus_t new_layout(const lt *it, dtype t, const int64_t is[3], const int64_t batch[2],
                                 cublasLtMatrixLayout_t *out)
{
    const int32_t count = (int32_t)batch[0];
    cublasStatus_t s = it->f.cublasLtMatrixLayoutCreate(out, t == F64 ? CUDA_R_64F : CUDA_R_32F,
                                                        (uint64_t)is[1], (uint64_t)is[0], is[2]);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = it->f.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                   sizeof count);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = it->f.cublasLtMatrixLayoutSetAttribute(
            *out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch[1], sizeof batch[1]);
    return s;
}

static cublasStatus_t new_how(const lt *it, gpu_products products, const gpu_call *c,
                              cublasLtMatmulDesc_t *out)
{
    const matmul_args *m = matmul_of(c);
    const int32_t turn_a = m->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t turn_b = m->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasComputeType_t compute = c->type == F64              ? CUBLAS_COMPUTE_64F
                                        : products == PRODUCTS_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                        : products == PRODUCTS_BF16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                                    : CUBLAS_COMPUTE_32F;
    cublasStatus_t s =
        it->f.cublasLtMatmulDescCreate(out, compute, c->type == F64 ? CUDA_R_64F : CUDA_R_32F);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = it->f.cublasLtMatmulDescSetAttribute(*out, CUBLASLT_MATMUL_DESC_TRANSA, &turn_a,
                                                 sizeof turn_a);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = it->f.cublasLtMatmulDescSetAttribute(*out, CUBLASLT_MATMUL_DESC_TRANSB, &turn_b,
                                                 sizeof turn_b);
    return s;
}

static cublasStatus_t describe(const lt *it, gpu_products products, const gpu_call *c,
                               lt_product *p)
{
    const matmul_args *m = matmul_of(c);
    const int64_t a[] = {m->ta ? m->k : m->m, m->ta ? m->m : m->k, m->lda};
    const int64_t b[] = {m->tb ? m->n : m->k, m->tb ? m->k : m->n, m->ldb};
    const int64_t y[] = {m->m, m->n, m->ldc};
    cublasStatus_t s = new_how(it, products, c, &p->how);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = new_layout(it, c->type, b, (int64_t[]){m->batch, m->b_step}, &p->a);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = new_layout(it, c->type, a, (int64_t[]){m->batch, m->a_step}, &p->b);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = new_layout(it, c->type, y, (int64_t[]){m->batch, m->c_step}, &p->y);
    return s;
}

/* Sums along k may be cut, but then are added up out of the workspace, in order. */
static cublasStatus_t prefer(const lt *it, cublasLtMatmulPreference_t p)
{
    const uint64_t room = WORKSPACE;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, align = LIBRARY_ALIGN;
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        const void *value;
        size_t bytes;
    } set[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align, sizeof align},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align, sizeof align},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align, sizeof align},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align, sizeof align},
    };
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;

    for (size_t i = 0; i < COUNT(set) && s == CUBLAS_STATUS_SUCCESS; i++)
        s = it->f.cublasLtMatmulPreferenceSetAttribute(p, set[i].which, set[i].value, set[i].bytes);
    return s;
}

static cublasStatus_t choose(const lt *it, lt_product *p)
{
    cublasLtMatmulHeuristicResult_t found = {.state = CUBLAS_STATUS_NOT_SUPPORTED};
    cublasLtMatmulPreference_t wish = NULL;
    cublasStatus_t s = it->f.cublasLtMatmulPreferenceCreate(&wish);
    int n = 0;

    if (s == CUBLAS_STATUS_SUCCESS) s = prefer(it, wish);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = it->f.cublasLtMatmulAlgoGetHeuristic(it->handle, p->how, p->a, p->b, p->y, p->y, wish,
                                                 1, &found, &n);
    if (wish) it->f.cublasLtMatmulPreferenceDestroy(wish);
    if (s == CUBLAS_STATUS_SUCCESS) s = n > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED;
    p->algo = found.algo;
    return s;
}

static void drop(cuda_library *l, void *it, void *made)
{
    const lt *x = it;
    lt_product *p = made;

    if (!p) return;
    if (p->how) x->f.cublasLtMatmulDescDestroy(p->how);
    if (p->a) x->f.cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) x->f.cublasLtMatrixLayoutDestroy(p->b);
    if (p->y) x->f.cublasLtMatrixLayoutDestroy(p->y);
    mem_free(l->ctx, p);
}

static bool is_refusal(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE ||
           s == CUBLAS_STATUS_ARCH_MISMATCH;
}

/* What came of a try. */
static drmad_status judge(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan *to,
                          cublasStatus_t s)
{
    const lt *it = l->of[LIBRARY_CUBLASLT].it;
    const matmul_args *m = matmul_of(c);

    to->refused = is_refusal(s);
    if (!to->refused) return answered(l, ctx, it, s, "a product");
    base_log(ctx, LOG_DETAIL, "cuBLASLt refuses a product of %lld by %lld by %lld: %s",
             (long long)m->m, (long long)m->n, (long long)m->k, it->f.cublasLtGetStatusString(s));
    return DRMAD_OK;
}

static drmad_status make(cuda_library *l, drmad_ctx *ctx, void *it, const gpu_call *c,
                         library_plan *to)
{
    drmad_status st = DRMAD_OK;
    lt_product *p = NULL;

    TRY(mem_alloc(l->ctx, 1, sizeof *p, &p));
    cublasStatus_t s = describe(it, l->products, c, p);
    if (s == CUBLAS_STATUS_SUCCESS) s = choose(it, p);
    TRY(judge(l, ctx, c, to, s));
    to->made = p, p = NULL;
done:
    drop(l, it, p);
    return st;
}

static drmad_status run(cuda_library *l, drmad_ctx *ctx, const gpu_call *c, library_plan *to,
                        void *const at[3])
{
    static const float f32[] = {0, 1};
    static const double f64[] = {0, 1};
    const lt *it = l->of[LIBRARY_CUBLASLT].it;
    const lt_product *p = to->made;
    const int add = matmul_of(c)->accumulate != 0;
    const void *alpha = c->type == F64 ? (const void *)&f64[1] : &f32[1];
    const void *beta = c->type == F64 ? (const void *)&f64[add] : &f32[add];

    return judge(l, ctx, c, to,
                 it->f.cublasLtMatmul(it->handle, p->how, alpha, at[1], p->a, at[0], p->b, beta,
                                      at[2], p->y, at[2], p->y, &p->algo,
                                      l->of[LIBRARY_CUBLASLT].workspace, WORKSPACE, l->stream));
}

const library_kind library_cublaslt = {
    .workspace = WORKSPACE,
    .source = {.what = "cuBLASLt",
               .oldest = "cuBLASLt 12",
               .symbols = symbols,
               .n = COUNT(symbols)},
    .files = files,
    .n = COUNT(files),
    .bytes = sizeof(lt),
    .version = version_of,
    .end = end,
    .start = start,
    .make = make,
    .drop = drop,
    .run = run,
};
