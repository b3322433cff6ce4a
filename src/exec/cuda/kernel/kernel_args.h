/* The arguments of every kernel: plain data, at most GPU_ARGS_MAX bytes, no type that C and C++
 * lay out differently. Addresses are the device's and point at the first element. */
#ifndef KERNEL_ARGS_H
#define KERNEL_ARGS_H
#include "exec/cuda/kernel/group_args.h"
#include <stdint.h>

enum { GPU_MANY = 8 }; /* calls of one launch at most */
enum { WALK_MAX = 6 }; /* axes */

/* [batch] c = a b, or c += a b. Rows lie behind one another; lda, ldb: elements from one row to the
 * next as it lies in memory, before it is transposed. k is cut into shares of k_each, a
 * multiple of 16, not 0; share i writes its part to c + i * share_step, for fold to add. */
typedef struct matmul_args {
    const void *a, *b;
    void *c;
    int64_t m, n, k, lda, ldb, ldc;
    int64_t batch, a_step, b_step, c_step; /* elements from one matrix to the next */
    int64_t k_each, share_step;
    int32_t ta, tb, accumulate;
} matmul_args;
typedef matmul_args matmul_small_args, matmul_large_args, matmul_narrow_args, matmul_tall_args;

/* The three convolutions and pooling share a geometry: image [n, h, w, c], result [n, oh, ow, o];
 * named as those of conv whichever of them is computed. The weight is [o, kh, kw, c / groups]: what
 * lies in memory as [o, c / groups, kh, kw] is moved before, and after. For conv_dx by tiles it is
 * [groups, taps, o / groups, c / groups] for each of its phases (body_window.h), of the phase's
 * taps; from phase to phase are groups * k * c / groups elements. */
typedef struct window_args {
    int64_t n, h, w, c, oh, ow, o;
    int32_t kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
} window_args;

typedef struct conv_args {
    const void *a, *b; /* operands in the operation's order */
    void *y;
    window_args v;
    int64_t k; /* of conv: taps x channels; of conv_dx the same, in the phase that has most; of
                * conv_dw: pixels of y */
    int64_t k_each, share_step; /* as in matmul_args; a phase of conv_dx may end earlier */
    int32_t deep, out;          /* channels of a group: of the image, of the result */
    int32_t accumulate;
} conv_args;
typedef conv_args conv_small_args, conv_large_args, conv_narrow_args, conv_tall_args, conv_dx_args;
typedef conv_args conv_dx_small_args, conv_dx_large_args, conv_dx_narrow_args;
typedef conv_args conv_dx_tall_args, conv_dw_args, conv_dw_small_args, conv_dw_large_args;
typedef conv_args conv_dw_wide_args;
typedef conv_args conv_few_args, conv_dx_few_args, conv_dw_few_args;

/* to[(r * q + j) * p + i] = sum over shares of from[share * share_step + (r * p + i) * q + j], or
 * added to what is there. */
typedef struct fold_args {
    const void *from;
    void *to;
    int64_t shares, share_step, r, p, q;
    int32_t accumulate;
} fold_args;

/* Element (i0, i1, ...) of y, as it lies, is a's at sum (i_k - shift_k) from_k, or 0 where
 * i_k - shift_k is outside [0, limit_k). Counted in elements of `size` bytes. */
typedef struct move_args {
    const void *a;
    void *y;
    int32_t rank, size; /* 1, 4 or 8 */
    int64_t count;
    int64_t dim[WALK_MAX], from[WALK_MAX], shift[WALK_MAX], limit[WALK_MAX];
} move_args;

/* Pieces of memory, each to its place: none is written that another reads or writes. The table lies
 * on the device, and is filled by the run. */
enum { CARRY_MAX = 20 };

typedef struct carry_piece {
    const void *from;
    void *to;
    int64_t bytes;
} carry_piece;

typedef struct carry_table {
    int64_t pieces;
    carry_piece piece[CARRY_MAX];
} carry_table;

typedef struct carry_args {
    const carry_table *table;
    int64_t bytes; /* of a run, about: for so many there are threads */
} carry_args;

/* The same as move without shift and limit, where a's elements lie beside each other along another
 * axis than the last: by squares, so that both are gone through in their own order. */
typedef struct turn_args {
    const void *a;
    void *y;
    int32_t rank, size, axis; /* from[axis] = 1; not the last */
    int64_t count;
    int64_t dim[WALK_MAX], from[WALK_MAX];
} turn_args;

/* Element (i0, i1, ...) of y, as it lies, is the sum of a's at sum i_k step_k + sum j_k step_k over
 * all j: the first `kept` axes are i's, the others j's. In double, rounded once. */
typedef struct sum_any_args {
    const void *a;
    void *y;
    int32_t kept, rank;
    int64_t count, terms; /* of y; of each sum */
    int64_t dim[WALK_MAX], step[WALK_MAX];
} sum_any_args;

/* y[i] = a[index[i]], rows of `cols` elements. */
typedef struct gather_args {
    const void *a;
    const int32_t *index;
    void *y;
    uint64_t *bad;
    int64_t n, rows, cols; /* n: indices; rows: of a */
    int32_t size;          /* of an element: 1, 4 or 8 */
} gather_args;
typedef gather_args take_args; /* cols = 1 */

/* y[index[i]] += a[i], rows of `cols` elements, from 0. by_index: rows that no index names are left
 * as they are, and the work grows with n * n, not with rows * n. */
typedef struct scatter_args {
    const void *a;
    const int32_t *index;
    void *y;
    uint64_t *bad;
    int64_t n, rows, cols; /* n: indices; rows: of y */
    int32_t by_index;
} scatter_args;

typedef struct cast_args {
    const void *a;
    void *y;
    int64_t count;
    int32_t from, to; /* dtypes */
} cast_args;

/* y[i] = i / inner % dim */
typedef struct iota_args {
    void *y;
    int64_t count, inner, dim;
    int32_t to; /* dtype */
} iota_args;

typedef struct rows_args {
    const void *a;
    void *y; /* argmax: int32_t */
    int64_t rows, cols;
} rows_args;
typedef rows_args argmax_args, rowmax_args, logsumexp_args;

/* sumpool, maxpool: image a -> y (maxpool: int32_t, places in a). spread: result a -> image y.
 * put: result a -> image y, by maxpool's index. */
typedef struct pool_args {
    const void *a;
    const int32_t *index;
    void *y;
    window_args v; /* o and groups are not used */
} pool_args;
typedef pool_args sumpool_args, spread_args, maxpool_args, put_args;

/* exec/backend.h, passes: the numbers of a run, its spans and its list lie as there. */
typedef struct grid_numbers {
    double m;
    int64_t e;
} grid_numbers;

typedef struct grid_span {
    int64_t offset, count;
    double tau;
} grid_span;

typedef struct grid_move {
    int32_t at, by;
} grid_move;

enum {
    GRID_EACH = 16,
    GRID_NAN = INT32_MIN, /* as `by`: not a number; too many cells; from no cell */
    GRID_FAR = INT32_MIN + 1,
    GRID_NEW = INT32_MIN + 2,
    GRID_FAR_MAX = 1 << 20,
    GRID_SINGLES = 4,
    GRID_SHARES = 32 /* of a span */
};

/* Those that have moved go to a list, in their order. A chunk are those of a block, GRID_EACH a
 * thread. */
typedef struct pick_args {
    const void *from; /* w, or averaged squares */
    void *hat;        /* NULL: squares */
    uint16_t *cells;  /* squares: [total], their cells; 0: none yet */
    const grid_numbers *numbers;
    const grid_span *span; /* by offset */
    int32_t spans;
    int32_t *before;     /* [chunks]. tally: how many a chunk has; offsets: all before it */
    int64_t *count;      /* of all chunks, by offsets */
    grid_move *move;     /* by pick */
    int64_t chunks, total;
} pick_args;
typedef pick_args tally_args, offsets_args;

/* And back, by the list. */
typedef struct uncross_args {
    void *hat; /* of fall: lower bounds of the cells, by lows */
    uint16_t *cells;
    const grid_numbers *numbers;
    const grid_span *span;
    int32_t spans;
    const int64_t *count; /* at most total */
    const grid_move *move;
    int64_t total;
} uncross_args;
typedef uncross_args fall_args, lows_args;

typedef struct squares_args {
    const void *from;
    const grid_span *span;
    int32_t spans;
    double *sum; /* [spans GRID_SHARES] */
} squares_args;

typedef struct draw_args {
    const uint32_t *key; /* seed low, seed high, step */
    void *y;
    int64_t count;
    uint32_t site;
} draw_args;
typedef draw_args uniform_args, normal_args;
#endif
