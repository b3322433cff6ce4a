/* The kernels of the CUDA backend, on the host driver, against naive loops in double. Odd sizes,
 * empty ones, all layouts. */
#include "kernel_fixture.h"

/* Single: some hundred terms of size 1; double likewise. */
static double tol_of(dtype t)
{
    return t == F32 ? 1e-5 : 1e-12;
}

/* ---- matmul ---- */

typedef struct product {
    int64_t batch, m, n, k;
    int ta, tb, add;
    gpu_kernel kernel;
    int64_t k_each;
} product;

static void multiply(const product *p, const double *a, const double *b, double *c)
{
    for (int64_t i = 0; i < p->batch * p->m * p->n; i++) {
        const int64_t which = i / (p->m * p->n), row = i / p->n % p->m, col = i % p->n;
        const double *x = a + which * p->m * p->k, *y = b + which * p->k * p->n;
        double sum = p->add ? c[i] : 0;
        for (int64_t k = 0; k < p->k; k++)
            sum += x[p->ta ? k * p->m + row : row * p->k + k] *
                   y[p->tb ? col * p->k + k : k * p->n + col];
        c[i] = sum;
    }
}

static void check_matmul(dtype t, const product *p)
{
    const int64_t count = p->batch * p->m * p->n;
    double *a, *b, *c;
    kx x;

    kx_open(&x, t, 3);
    matmul_args args = {.m = p->m,
                        .n = p->n,
                        .k = p->k,
                        .lda = p->ta ? p->m : p->k,
                        .ldb = p->tb ? p->k : p->n,
                        .ldc = p->n,
                        .batch = p->batch,
                        .a_step = p->m * p->k,
                        .b_step = p->k * p->n,
                        .c_step = p->m * p->n,
                        .k_each = p->k_each,
                        .ta = p->ta,
                        .tb = p->tb,
                        .accumulate = p->add};
    args.a = kx_numbers(&x, p->batch * p->m * p->k, &a);
    args.b = kx_numbers(&x, p->batch * p->k * p->n, &b);
    args.c = kx_numbers(&x, count, &c);
    multiply(p, a, b, c);
    kx_call(&x, p->kernel, &args, sizeof args);
    kx_compare(&x, "matmul", args.c, c, count, tol_of(t));
    free(a), free(b), free(c);
    kx_close(&x);
}

static const gpu_kernel matmuls[] = {GPU_matmul, GPU_matmul_small, GPU_matmul_large,
                                     GPU_matmul_narrow};

TEST(cuda_matmul_is_right_in_all_layouts_and_tiles)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1},    {1, 64, 64, 16},  {2, 65, 33, 17},
                                       {1, 130, 31, 5}, {3, 7, 150, 100}, {1, 5, 3, 0},
                                       {1, 0, 3, 4},    {0, 3, 3, 3}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(sizes) * COUNT(matmuls) * 4; i++) {
            const int64_t *s = sizes[i / 4 / COUNT(matmuls)];
            const product p = {.batch = s[0],
                               .m = s[1],
                               .n = s[2],
                               .k = s[3],
                               .ta = (int)(i & 1),
                               .tb = (int)(i >> 1 & 1),
                               .add = (int)(i % 3 == 0),
                               .kernel = matmuls[i / 4 % COUNT(matmuls)],
                               .k_each = 128};
            check_matmul((dtype)t, &p);
        }
}
