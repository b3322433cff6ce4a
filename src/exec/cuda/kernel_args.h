/* The arguments of every kernel: plain data, at most GPU_ARGS_MAX bytes, no type that C and C++
 * lay out differently. Addresses are the device's and point at the first element. */
#ifndef KERNEL_ARGS_H
#define KERNEL_ARGS_H
#include <stdint.h>

enum { WALK_MAX = 8 }; /* axes */

/* [batch] c = a b, or c += a b. Rows lie behind one another; lda, ldb: elements from one row to the
 * next as it lies in memory, before it is transposed. */
typedef struct matmul_args {
    const void *a, *b;
    void *c;
    int64_t m, n, k, lda, ldb, ldc;
    int64_t batch, a_step, b_step, c_step; /* elements from one matrix to the next */
    int32_t ta, tb, accumulate;
} matmul_args;

/* The three convolutions and pooling share a geometry: image [n, h, w, c], result [n, oh, ow, o],
 * weight [o, c / groups, kh, kw]; named as those of conv whichever of the three is computed. */
typedef struct conv_args {
    const void *a, *b; /* operands in the operation's order */
    void *y;
    int64_t n, h, w, c, oh, ow, o;
    int32_t kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
    int32_t accumulate;
} conv_args;
#endif
