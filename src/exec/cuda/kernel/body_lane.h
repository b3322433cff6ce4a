/* How the threads of a block fetch an operand's part of a tile, `edge` rows (or columns) and a step
 * of k's, n elements each, and where in shared memory it lies: k first, [step][edge].
 *
 * Where an operand's k are neighbours in memory a thread takes n of them in a row ("along"), else
 * up to 4 neighbouring rows or columns at a time ("across"). Threads that store what they took
 * along have different k: row k's columns are swapped by groups, so that these stores and the
 * vectors that are read lie in different banks. */
#ifndef BODY_LANE_H
#define BODY_LANE_H
#include "exec/cuda/kernel/body.h"

typedef struct gpu_lane {
    int32_t edge, n; /* constants, powers of two: n <= step */
    bool along;
} gpu_lane;

/* Neighbours that a thread takes across. */
GPU_BODY int32_t lane_run(gpu_lane l)
{
    return l.n < 4 ? l.n : 4;
}

/* a / b and a % b of numbers that are not negative, b a power of two: without a sign, one
 * instruction. */
GPU_BODY int32_t lane_div(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a / (uint32_t)b);
}

GPU_BODY int32_t lane_mod(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a % (uint32_t)b);
}

/* The thread's row or column; across, the first of a run. */
GPU_BODY int32_t lane_of(gpu_lane l, int32_t thread)
{
    const int32_t run = lane_run(l);

    return l.along ? lane_div(thread, GPU_THREADS / l.edge) : lane_mod(thread, l.edge / run) * run;
}

/* Its first k. */
GPU_BODY int32_t lane_k(gpu_lane l, int32_t thread)
{
    return l.along ? lane_mod(thread, GPU_THREADS / l.edge) * l.n
                   : lane_div(thread, l.edge / lane_run(l));
}

/* Across: from its first k to that of element i. */
GPU_BODY int32_t lane_pass(gpu_lane l, int32_t i)
{
    return i * GPU_THREADS / l.edge;
}

/* The place of column c in row k is c ^ this: not less than 4 unless runs are shorter. Of k + p,
 * where p is a pass or what a warp does at once, it is this of k ^ this of p. */
GPU_BODY int32_t lane_swap(gpu_lane l, int32_t k)
{
    return lane_div(k, l.n) * (l.edge / 8);
}
/* Where the thread's first element goes. */
GPU_BODY int32_t lane_place(gpu_lane l, int32_t thread)
{
    const int32_t k = lane_k(l, thread);

    return k * l.edge + (lane_of(l, thread) ^ lane_swap(l, k));
}
#endif
