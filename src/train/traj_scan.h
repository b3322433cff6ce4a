/* Finds the weights that have left their grid cell: the one pass over all weights that the grid
 * makes each step. Compiled once an instruction set (traj_scan_isa.c). Inside room train only. */
#ifndef TRAJ_SCAN_H
#define TRAJ_SCAN_H
#include "exec/cpu/gemm.h" /* cpu_isa */

/* A block of w and hat stays in L1 until its hits are sent. */
enum { SCAN_BLOCK = 1024, SCAN_SLACK = 8 };

/* Writes to `hits` (SCAN_BLOCK + SCAN_SLACK long) the i in [0, n) with not |w_i - hat_i| <=
 * half, in order, and gives their number. NaN is a hit. n <= SCAN_BLOCK, a multiple of 16. */
typedef int traj_scan_f32_fn(const float *w, const float *hat, float half, int n, uint16_t *hits);
typedef int traj_scan_f64_fn(const double *w, const double *hat, double half, int n,
                             uint16_t *hits);

traj_scan_f32_fn traj_scan_f32_portable, traj_scan_f32_avx2, traj_scan_f32_avx512;
traj_scan_f64_fn traj_scan_f64_portable, traj_scan_f64_avx2, traj_scan_f64_avx512;
#endif
