/* The inside of a plan's code: what its files share.
 *
 *   gpu_code.c    made and given up; its calls, of one run and of several
 *   gpu_places.c  how what is bound to leaves and outputs gets to the calls
 *   gpu_run.c     runs: put by, sent, waited for */
#ifndef CODE_INSIDE_H
#define CODE_INSIDE_H
#include "exec/cuda/gpu_code.h"
#include "exec/cuda/lower/gpu_lower.h"

enum {
    ALIGN = 256, /* of what lies in a block */
    BATCHES = 4, /* programs are of 1, 2, 4 and 8 runs */
    BATCH = 1 << (BATCHES - 1),
    RING = 4 * BATCH,
    RING_ALONE = 8, /* blocks of runs that go off one by one */
    RING_AHEAD = 3  /* and whose blocks travel ahead: one is used, one travels, one is filled */
};

typedef enum gpu_way { WAY_UNUSED, WAY_NEW, WAY_DIRECT, WAY_STAGED, WAY_MOVING } gpu_way;

typedef struct gpu_slot {
    gpu_way way;
    size_t bytes, at; /* at: in the block, staged */
    void *device;     /* what calls use, unless it is staged */
    void *own;        /* moving: memory to give back, of this and slots behind it */
} gpu_slot;

/* Leaves or outputs. */
typedef struct gpu_slots {
    gpu_slot *at;
    int32_t n;
    int32_t *moving; /* those, by their memory's address when they began to move */
    int32_t movings;
} gpu_slots;

/* What a run moves about on the device, before its calls and behind them. */
typedef struct gpu_carry {
    carry_table before, after;
} gpu_carry;

/* Of the ring: the blocks of a run, and programs that begin with it. */
typedef struct gpu_seat {
    void *up, *down; /* page-locked; of a code with batches the first seat's are for all seats */
    gpu_program *program[BATCHES]; /* of 1 << k runs */
    gpu_program *with;             /* that its run went off with */
} gpu_seat;

struct gpu_code {
    drmad_ctx *ctx;
    gpu_state *state;
    const plan *plan;
    gpu_slots leaf, out;
    const void **leaf_at; /* addresses for lowering */
    void **out_at;
    gpu_lower lower;
    void *tape, *tapes; /* on the device: of a batch's first run, of the others */
    size_t tape_bytes, scratch_bytes, own_bytes;
    size_t staged_bytes, up_bytes, down_bytes; /* of a run; up: staged, then a gpu_carry */
    size_t carried;                            /* bytes that its calls are for; 0: no such calls */
    int32_t calls;
    bool flags, begun;
    bool batched; /* runs may be put by; there are blocks for BATCH on the device */
    bool ahead;   /* what is staged travels beside the run before; there are blocks for each seat */
    bool narrow;  /* for these there is no room */
    bool made;    /* the blocks are as they must be */
    void *up, *down;
    gpu_seat seat[RING];
    void **sent;       /* by seat and output: where the output of a run under way goes */
    int32_t head;      /* the seat of the oldest run under way; 0 where there is none */
    int32_t in_flight; /* runs under way, in the seats from there on, round the ring */
    int32_t waiting;   /* of those the last ones, which are put by */
};

static inline size_t code_round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static inline int32_t code_seats(const gpu_code *c)
{
    return c->batched ? RING : c->ahead ? RING_AHEAD : RING_ALONE;
}

/* Blocks, and tapes, of runs on the device. */
static inline int32_t code_parts(const gpu_code *c)
{
    return c->batched ? BATCH : c->ahead ? RING_AHEAD : 1;
}

/* Of the i-th of the runs under way; the next one's is that of c->in_flight. */
static inline int32_t code_seat(const gpu_code *c, int32_t i)
{
    return (c->head + i) % code_seats(c);
}

/* A program of `runs` runs from seat `first` on. */
drmad_status code_record(gpu_code *c, int32_t first, int32_t runs, gpu_program **out);
void code_forget(gpu_code *c);                                /* all programs */
void code_free_blocks(gpu_code *c);                           /* and the blocks */
char *code_block(const gpu_code *c, int32_t seat, bool down); /* in host memory */

/* Finds how what is bound gets to the calls, and makes places and blocks for it; *in_calls: all
 * that moves does so by *x, else the driver must copy it. May wait for the device. */
drmad_status code_settle(gpu_code *c, const bound_memory *m, gpu_carry *x, bool *in_calls);
void *code_address(const gpu_slot *v, void *block); /* what calls use */
/* What moves to its place, or from there where `back`, by the driver. */
drmad_status code_copy_moving(const gpu_code *c, const gpu_slots *s, const void *const *memory,
                              bool back);

drmad_status code_send(gpu_code *c); /* what is put by */
#endif
