/* A job: one graph, its plan and program, and for every leaf and output the slot of memory it is
 * bound to. Slots belong to the trainer: a job is run again and again while the pointers in the
 * slots move (state_t, state_{t+1}, ...). */
#ifndef JOB_H
#define JOB_H
#include "exec/backend.h"
#include "optim/optim.h"
#include "train/train.h"

typedef enum slot_id {
    SLOT_NONE, /* nothing: a leaf that no live node may read */
    /* Flat states, each a slot for the weights and one behind it for each of the buffers: */
    SLOT_W,                                 /* the one a step starts from */
    SLOT_W1 = SLOT_W + OPTIM_VECTORS,       /* the one it leads to */
    SLOT_W_OUT = SLOT_W1 + OPTIM_VECTORS,   /* where a training step writes */
    SLOT_WCOT = SLOT_W_OUT + OPTIM_VECTORS, /* its cotangent, overwritten in place */
    SLOT_WTAN = SLOT_WCOT + OPTIM_VECTORS,  /* its tangent, overwritten in place */
    SLOT_WGRAD = SLOT_WTAN + OPTIM_VECTORS, /* flat: dF/dw of one evaluation chunk */
    SLOT_ROWS,                              /* training: the whole table; evaluation: one chunk */
    SLOT_LABELS,                            /* i32 [B] */
    SLOT_INDEX,                             /* i32 [B]: rows of the table */
    SLOT_MORE,                              /* of each further input, as SLOT_ROWS */
    SLOT_CONSTANTS = SLOT_MORE + MORE_MAX,  /* the module's */
    SLOT_KEY,                               /* i32 [4]: seed and step of the random masks */
    SLOT_ROW_WEIGHT,                        /* [B,1]: 0 pads an evaluation chunk */
    SLOT_ROW_LOSS,                          /* [B,1] */
    SLOT_G,
    SLOT_U,
    SLOT_HU, /* flat, oracle only: gradient, direction and product */
    SLOT_LR,
    SLOT_MU,     /* one element: base rate, momentum where the space has
                                            * no say */
    SLOT_NUMBER, /* one element: each optim_number */
    SLOT_GAIN = SLOT_NUMBER + OPTIM_GAIN,
    SLOT_LR_COT = SLOT_NUMBER + OPTIM_NUMBERS,
    SLOT_LR_TAN, /* one element: of the base rate where the space tunes the schedule */
    SLOT_FADE,   /* one element: of the regression */
    SLOT_LOSS,
    SLOT_CORRECT, /* one element */
    SLOT_LOW, /* flat: lower bounds of the averaged squares, where a trajectory gives those alone */
    SLOT_PREVIOUS, /* flat: what the regression pulls towards */
    SLOT_TEACHER,  /* [rows of the data, outputs] */
    SLOT_OUTPUT,   /* evaluation: outputs of one chunk */
    /* On a device, the training set's tables: rows, then each further input */
    SLOT_TABLE,
    SLOT_TABLE_MORE,
    SLOT_TABLE_LAST = SLOT_TABLE_MORE + MORE_MAX - 1,
    SLOT_FIXED_COUNT /* then: per use value, cotangent, tangent, inverse; masks; momentum sums */
} slot_id;

typedef struct slot_ref {
    int32_t slot;
    int64_t offset; /* bytes */
} slot_ref;

typedef struct job {
    drmad_ctx *ctx;
    const backend *on;
    graph *g;
    plan *plan;
    program *prog;
    slot_ref *leaf; /* by leaf number */
    int32_t leaves;
    slot_ref *out;
    node *out_node;
    int32_t *out_alias; /* leaf number, or -1 */
    int32_t outs;
} job;

drmad_status job_new(drmad_ctx *ctx, const backend *on, job **out); /* borrows `on` */
void job_free(job *j);                                              /* NULL is fine */
/* A leaf bound to `ref`. The first error sticks in the graph. */
node job_leaf(job *j, const char *name, dtype t, shape s, slot_ref ref);
/* An output; alias: a leaf's node whose memory it may overwrite, or NODE_NONE. A NODE_NONE output
 * is a zero: an error. */
drmad_status job_output(job *j, node y, slot_ref ref, node alias);
drmad_status job_compile(job *j);
bool job_reads(const job *j, slot_id slot); /* whether it reads a leaf bound to `slot` */
drmad_status job_run(job *j, void *const slots[]);
/* As program_run_later; until job_wait the host must not read what it writes. */
drmad_status job_run_later(job *j, void *const slots[]);
drmad_status job_wait(job *j, int32_t leave); /* until at most so many runs are under way */
#endif
