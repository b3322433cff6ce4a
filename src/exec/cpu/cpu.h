/* The CPU's form of a plan. A step is products over a grid of tiles, then on each tile a small
 * program: loads that spread what is not dense, instructions of ew.h, sums. It runs over sub-tiles
 * of some hundred elements that stay in the first-level cache.
 *
 *   lower*.c       group -> program: instructions, registers, where in-place results are written
 *   run_group.c    runs a step's products and program over its tiles
 *   run_plain.c    the steps that are neither: permutations, scatter, soft-max sums, ...
 *   run_conv.c, run_pool.c, run_draw.c   of these, weights of convolutions, pooling, draws
 *   backend_cpu.c  binding, lanes, the run loop */
#ifndef CPU_H
#define CPU_H
#include "exec/backend.h"
#include "exec/cpu/conv.h"
#include "exec/cpu/tile.h"

enum {
    SUB_TILE_BYTES = 4096,   /* of a register */
    CHUNK = 32768,           /* elements of a tile without products */
    CPU_SPREAD_MIN = 1 << 19 /* multiply-adds or elementwise operations of a step; measured: below,
                              * waking a thread costs more */
};

/* Where an operand or result lies. Address of element (r, c): base + r*row + c*col, all in
 * bytes. */
typedef enum slot_kind {
    SLOT_LEAF,
    SLOT_OUT,
    SLOT_ARENA,
    SLOT_TILE,
    SLOT_REG,
    SLOT_CONST
} slot_kind;

typedef struct cpu_slot {
    slot_kind kind;
    int32_t number; /* leaf, output, tile buffer, register, constant */
    size_t offset;  /* from its base, bytes */
    int64_t row, col;
} cpu_slot;

typedef enum load_kind {
    LOAD_SPLAT,  /* one element everywhere */
    LOAD_COLS,   /* a row under each other */
    LOAD_ROWS,   /* a column beside each other */
    LOAD_CAST,   /* dense, of another type */
    LOAD_GATHER, /* rows of a table */
    LOAD_ONEHOT,
    LOAD_ANY /* AT_ONE, AT_COL, AT_ROW of another type: element by element */
} load_kind;

typedef struct cpu_load {
    load_kind kind;
    access_mode mode;    /* LOAD_ANY */
    dtype type;          /* in memory */
    int32_t y, a, index; /* slots */
    int64_t rows;        /* LOAD_GATHER: of the table */
    double scale;        /* LOAD_CAST, LOAD_GATHER: y is this times what is read */
} cpu_load;

typedef struct cpu_instr {
    ew_fn *fn;
    ew_op op;
    int32_t y, a, b, c; /* slots; unused ones equal y */
    double s;
} cpu_instr;

typedef struct cpu_sum {
    access_mode to;
    int32_t a, b;   /* b >= 0: sum of products */
    int32_t y;      /* slot of the result */
    double scale;   /* of the result; 1 for AT_COL */
    size_t partial; /* where its partial results start, bytes */
} cpu_sum;

typedef struct cpu_group {
    int64_t rows, cols, sub_rows, sub_cols;
    cpu_slot *slot;
    int32_t *moving;         /* slots whose address differs from one sub-tile to the next */
    cpu_load *once, *each;   /* at the start of a tile, of a sub-tile */
    cpu_instr *instr, *late; /* late: results that overwrite what the others read */
    cpu_sum *sum;
    int32_t slots, movings, onces, eachs, instrs, lates, sums, regs;
} cpu_group;

typedef struct cpu_gemm {
    gemm_shape shape; /* of a whole tile; of one matrix of a batch */
    cpu_slot a, b, c;
    int64_t a_row, b_col;      /* bytes from one row of C, one column of C, to the next */
    int64_t line;              /* rows of C of one matrix; of one line of pixels; 0: neither */
    size_t a_matrix, b_matrix; /* bytes from one matrix of a batch to the next */
    conv conv;                 /* lines > 0: of this instead */
    size_t packed;             /* its weight's place in cpu_code.scratch */
} cpu_gemm;

typedef struct cpu_step {
    const plan_step *plan;
    cpu_gemm *gemm;
    int32_t gemms;
    cpu_group group;                                        /* no slots: nothing to run */
    int64_t rows, cols, tile_rows, tile_cols, down, across; /* the grid */
    bool spread;                                            /* worth more than one thread */
    conv conv;                                              /* of a plain step */
} cpu_step;

/* What one thread needs for a tile. As many as threads; a tile takes a free one. */
typedef struct cpu_lane {
    atomic_flag taken;
    char *regs, *tiles, *work; /* work: of the products */
    uintptr_t *base, *at;      /* by slot */
    double *row_sum;
} cpu_lane;

typedef struct cpu_code {
    drmad_ctx *ctx;
    const plan *plan;
    cpu_isa isa;
    cpu_step *step;
    double *constant; /* F64 */
    float *constant_f32;
    int32_t constants, constants_room;
    cpu_lane *lane;
    int32_t lanes;
    char *partial;                       /* sums of tiles, until they are added in order */
    char *scratch;                       /* of plain steps; packed weights of convolutions */
    size_t regs, slots, tiles, row_sums; /* most of any step: what a lane holds */
    size_t tile_room, work_bytes, partial_bytes, scratch_bytes;
    const bound_memory *memory; /* of the current run */
    atomic_llong bad_index,
        bad_rows; /* an index outside its table, and how long that is; 0 rows: none */
} cpu_code;

drmad_status cpu_lower(cpu_code *code, cpu_step *s);
uintptr_t cpu_base(const cpu_code *code, const cpu_lane *lane, const cpu_slot *slot, dtype t);
cpu_slot cpu_memory(const plan *p, node n, int64_t offset);
void cpu_run_group(cpu_code *code, const cpu_step *s);
void cpu_run_plain(cpu_code *code, const cpu_step *s);
size_t cpu_plain_scratch(const plan *p, const plan_step *s);
conv cpu_conv_of(cpu_isa isa, const plan *p, node n); /* the convolution of a node, prepared */
cpu_lane *cpu_take_lane(cpu_code *code);              /* one that nobody has; give it back */
void cpu_give_lane(cpu_lane *lane);
void cpu_bad_index(cpu_code *code, int64_t index, int64_t rows);
#endif
