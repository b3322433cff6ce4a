/* Products in double: for proof, not for speed. A block of op(B), DEEP x WIDE, is packed into
 * `work` without its
 * transpose; each row of op(A) then runs along it with WIDE sums in registers. */
#include "exec/cpu/gemm_isa.h"

enum { DEEP = 256, WIDE = 16 };

size_t GEMM_ISA(gemm_f64_work)(const gemm_shape *s)
{
    (void)s;
    return DEEP * WIDE * sizeof(double);
}

static void pack(const gemm_shape *s, const double *b, int64_t deep, int64_t wide, double *out)
{
    int64_t step_p = s->tb ? 1 : s->ldb, step_j = s->tb ? s->ldb : 1;

    for (int64_t p = 0; p < deep; p++)
        for (int64_t j = 0; j < WIDE; j++)
            out[p * WIDE + j] = j < wide ? b[p * step_p + j * step_j] : 0;
}

static void row(const double *a, int64_t step, const double *b, int64_t deep, double *sum)
{
    double acc[WIDE] = {0};

    for (int64_t p = 0; p < deep; p++)
        for (int j = 0; j < WIDE; j++) acc[j] += a[p * step] * b[p * WIDE + j];
    for (int j = 0; j < WIDE; j++) sum[j] = acc[j];
}

static void block(const gemm_shape *s, const double *a, const double *b, double *c,
                  const int64_t size[2], bool acc)
{
    double sum[WIDE];
    int64_t step_i = s->ta ? 1 : s->lda, step_p = s->ta ? s->lda : 1;

    for (int64_t i = 0; i < s->m; i++) {
        row(a + i * step_i, step_p, b, size[0], sum);
        for (int64_t j = 0; j < size[1]; j++)
            c[i * s->ldc + j] = acc ? c[i * s->ldc + j] + sum[j] : sum[j];
    }
}

void GEMM_ISA(gemm_f64)(const gemm_shape *s, const double *a, const double *b, double *c,
                        void *work)
{
    for (int64_t j = 0; j < s->n; j += WIDE) {
        for (int64_t p = 0; p < s->k || p == 0;
             p += DEEP) { /* k = 0: one empty block writes the zeros */
            int64_t size[2] = {s->k - p < DEEP ? s->k - p : DEEP,
                               s->n - j < WIDE ? s->n - j : WIDE};

            if (size[0] > 0)
                pack(s, b + (s->tb ? j * s->ldb + p : p * s->ldb + j), size[0], size[1], work);
            block(s, a + (s->ta ? p * s->lda : p), work, c + j, size, s->acc || p > 0);
        }
    }
}
