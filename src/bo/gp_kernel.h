/* The loops over data of the Gaussian process, compiled once an instruction set.
 *
 * Points lie in columns: coordinate c of point j is x[c * ld + j], already divided by its
 * lengthscale; ld is a multiple of GP_PAD and columns are padded with anything finite. Results are
 * written up to the next multiple of GP_PAD; weights must be 0 there.
 *
 *   r2 = sum_c (at_c - x_jc)^2      k = (1 + sqrt(5) r + 5/3 r2) exp(-sqrt(5) r)
 *                                   h = 5/3 (1 + sqrt(5) r) exp(-sqrt(5) r) = -2 dk / d r2
 *
 * Source: Rasmussen and Williams, "Gaussian processes for machine learning" (2006), equation 4.17.
 * Threads: pure functions. */
#ifndef GP_KERNEL_H
#define GP_KERNEL_H
#include <stdint.h>

enum { GP_PAD = 8 };

typedef struct gp_loops {
    /* k[j] = scale k(at, x_j), h[j] = scale h(at, x_j) for j < n. h may be NULL. */
    void (*row)(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                double scale, double *k, double *h);
    /* out[c] = sum_j w_j (at_c - x_jc) */
    void (*moments)(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                    const double *w, double *out);
    /* out[c] += sum_j (w_j - a alpha_j) h_j (at_c - x_jc)^2 */
    void (*slopes)(int32_t n, int32_t columns, const double *x, int64_t ld, const double *at,
                   const double *w, double a, const double *alpha, const double *h, double *out);
    /* sum[j] += v[j]^2 */
    void (*squares)(int32_t n, const double *v, double *sum);
    double (*dot)(int32_t n, const double *a, const double *b);
} gp_loops;

/* Those for this processor. */
const gp_loops *gp_loops_best(void);

extern const gp_loops gp_loops_portable, gp_loops_avx2, gp_loops_avx512;
#endif
