/* The arguments of group and sum, elementwise work and what is summed of it, and the tape that they
 * run.
 *
 * The iteration space is [rows, cols]. A block does a tile of it, GROUP_THREADS / tx rows at a time
 * with tx threads a row; a thread does `lanes` neighbours of a row at once, GROUP_LANES or one. A
 * value of the program that it runs is one of GROUP_REGS registers, GROUP_LANES wide. Stores come
 * where nothing that is read later lies in their place. */
#ifndef GROUP_ARGS_H
#define GROUP_ARGS_H
#include <stdint.h>

enum { TYPE_F32, TYPE_F64, TYPE_I32, TYPE_U8, TYPE_BF16 }; /* as dtype of tensor/tensor.h */

enum {
    GROUP_THREADS = 256,
    GROUP_LANES = 4,
    GROUP_SUMS = 8,
    GROUP_REGS = 24 /* values at once; more wait in memory */
};

/* How an operand is read: access_mode of plan/plan.h. */
typedef enum group_mode {
    GROUP_CONST,
    GROUP_ONE,
    GROUP_SAME,
    GROUP_COL,
    GROUP_ROW,
    GROUP_GATHER,
    GROUP_ONEHOT,
    GROUP_DOT /* an element of a small product, computed where it is read */
} group_mode;

/* Element (r, c) is sum over i < k of a[r a_row + i a_k] b[i b_k + c b_col]. */
typedef struct group_dot {
    const void *a, *b;
    int64_t k, a_row, a_k, b_k, b_col;
} group_dot;

typedef struct group_access {
    void *at;             /* first element; DOT: a group_dot */
    const int32_t *index; /* GATHER, ONEHOT */
    int64_t rows;         /* GATHER: of the table */
    double value;         /* CONST */
    int32_t mode, type;   /* type: a dtype */
} group_access;

typedef enum group_op {
    GROUP_COPY, /* f a */
    GROUP_ADD,  /* f a + g b */
    GROUP_MUL,  /* f a b */
    GROUP_FMA,  /* f a b + g c */
    GROUP_EXP,  /* of f a, as all below */
    GROUP_LOG,
    GROUP_SQRT,
    GROUP_RECIP,
    GROUP_TANH,
    GROUP_SIGMOID,
    GROUP_SOFTPLUS,
    GROUP_ERF,
    GROUP_STEP,
    GROUP_SIGN,
    GROUP_SUM,     /* sum y gets f a */
    GROUP_SUM_PAIR /* sum y gets f a b */
} group_op;

/* Operands: a register, or ~i for access i. */
typedef struct group_instr {
    int16_t op, y, a, b, c;
    int16_t store; /* -1, or the access that takes the result besides */
    double f, g;
    float f32, g32; /* the same: single kernels do not convert */
} group_instr;

typedef enum sum_to { SUM_ALL, SUM_COLS, SUM_ROWS } sum_to; /* to one; to [cols]; to [rows] */

/* Where a sum goes: the result, or doubles that a call of sum adds up: one a block for SUM_ALL,
 * [down, cols] for SUM_COLS, [rows, across] for SUM_ROWS. */
typedef struct group_sum {
    void *y;
    double scale; /* of the result */
    int32_t to, partial;
} group_sum;

typedef struct group_args {
    const group_instr *instr;
    const group_access *access;
    const group_sum *sum;
    uint64_t *bad;
    int64_t rows, cols;
    int64_t tile_rows, tile_cols; /* multiples of what threads do at once, or all */
    int32_t down, across;         /* blocks */
    int32_t tx, lanes;            /* powers of two */
    int32_t instrs, sums, row_sums;
} group_args;

/* Sums of several matrices [rows, cols], of doubles where `partial` is set. */
enum { SUM_ITEMS = 8, SUM_COLS_WIDE = 8 /* threads side by side for SUM_COLS */ };

typedef struct sum_item {
    const void *a;
    void *y;
    int64_t rows, cols;
    double scale;
    int32_t to, partial;
    int32_t first; /* block */
    int32_t pad;
} sum_item;

typedef struct sum_args {
    sum_item item[SUM_ITEMS];
    int32_t items, pad;
} sum_args;
#endif
