/* Running a plan. A backend turns a plan into code once; the program then runs it on the memory
 * bound to the graph's leaves and to the plan's outputs, any number of times, without allocating.
 *
 *   program_new(ctx, plan, &backend_cpu, &p);
 *   program_set_leaf(p, number, memory); ...  program_set_output(p, i, memory); ...
 *   program_run(p);
 *
 * Bound memory is borrowed. An output may be bound to the memory of the leaf that it may
 * overwrite (plan_output.alias); apart from that, no output may overlap a leaf or another
 * output. Ownership: new gives, free takes. One thread at a time. */
#ifndef BACKEND_H
#define BACKEND_H
#include "plan/plan.h"

typedef struct bound_memory {
    const void *const *leaf; /* by number */
    void *const *out;        /* by output */
    void *arena;
    /* Outputs in host memory may come, and errors be told, as late as `wait`; the run itself may
     * begin as late as whatever else uses the device. */
    bool later;
} bound_memory;

/* Passes over flat vectors on a device, for the grid trajectory: of memory of the device, which
 * stays. Vectors are of `total` elements, and spans multiples of PASS_EACH; so is total.
 *
 *   cross    each weight's hat moves by whole tau to within tau/2 of it; those that move go to the
 *            list in their order, `by` so many tau; PASS_NAN or PASS_FAR where w is not a number or
 *            farther than a million, and hat stays. Those of a span with tau 0 are passed by.
 *   uncross  back again, by the list
 *   rise     cells of averaged squares (train/traj_cells.h) rise: a list likewise; PASS_NEW: from
 *            no cell. `m` is the inverse of the numbers' m
 *   fall     back by the list; hat: their lower bounds then
 *   squares  sums of squares of w: PASS_SHARES doubles for each span, to be added up
 */
typedef enum pass_kind { PASS_CROSS, PASS_UNCROSS, PASS_RISE, PASS_FALL, PASS_SQUARES } pass_kind;

typedef struct pass_span {
    int64_t offset, count;
    double tau;
} pass_span;

enum {
    PASS_EACH = 16,
    PASS_SHARES = 32,
    PASS_NAN = INT32_MIN,
    PASS_FAR = INT32_MIN + 1,
    PASS_NEW = INT32_MIN + 2
};

typedef struct pass_move {
    int32_t at, by; /* at: in the flat vector */
} pass_move;

typedef struct pass_list {
    int64_t count;
    pass_move move[]; /* room for [total] */
} pass_list;

typedef struct pass_spec {
    pass_kind kind;
    dtype type;
    const void *from; /* cross, squares: w; rise: averaged squares */
    void *hat;        /* cross, uncross, fall */
    void *cells;      /* rise, fall: uint16_t each, k less INT16_MIN; 0: no cell */
    int32_t spans;
    int64_t total;
} pass_spec;

/* Of a run; rise and fall: cell 0 begins at m 2^e. */
typedef struct pass_numbers {
    const pass_span *span; /* by offset */
    double m;
    int64_t e;
} pass_numbers;

enum { BACKEND_VERSION = 6 };

/* Within the device; from the host to it; back. */
typedef enum copy_way { COPY_WITHIN, COPY_UP, COPY_DOWN } copy_way;

/* What a device offers. `code` is the backend's own form of a plan. A backend with state lies in
 * front of it (device.h). */
typedef struct backend backend;
struct backend {
    int version;
    const char *name;
    const plan_target *target;
    bool host; /* its memory is the host's */
    /* Not the host's, but its programs take a host address for any leaf and output too: such a leaf
     * is copied there before each run, such an output back after it. */
    bool mixed;
    bool arena; /* wants bound_memory.arena */
    drmad_status (*bind)(const backend *b, drmad_ctx *ctx, const plan *p, void **code);
    drmad_status (*run)(void *code, const bound_memory *m);
    /* Until at most `leave` runs of this code are under way; gives the first error of those that
     * are done and were `later`. After an error none is under way. NULL: no run ever is. */
    drmad_status (*wait)(void *code, int32_t leave);
    void (*release)(void *code);       /* NULL is fine */
    size_t (*bytes)(const void *code); /* memory it holds */
    /* Device memory, zeroed. */
    drmad_status (*alloc)(const backend *b, drmad_ctx *ctx, size_t bytes, void **out);
    void (*free)(const backend *b, drmad_ctx *ctx, void *ptr); /* NULL is fine */
    /* `from` NULL: zeros, COPY_WITHIN. In order with runs. */
    drmad_status (*copy)(const backend *b, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes);
    /* Page-locked memory of the host, and copies that nobody waits for: up from it, in order with
     * runs; down to it, of what is there then, beside later runs, which must not write that before
     * `copied` returns. After a copy up it may change when a later run has been waited for, or by a
     * later copy down. NULL: there are none. */
    drmad_status (*alloc_host)(const backend *b, drmad_ctx *ctx, size_t bytes, void **out);
    void (*free_host)(const backend *b, drmad_ctx *ctx, void *ptr); /* NULL is fine */
    drmad_status (*copy_later)(const backend *b, drmad_ctx *ctx, copy_way way, void *to,
                               const void *from, size_t bytes);
    drmad_status (*copied)(const backend *b, drmad_ctx *ctx); /* until all copies down are done */
    /* How many bytes may still be taken. NULL: that is not known. */
    drmad_status (*room)(const backend *b, size_t *out);
    /* Passes, to be run any number of times; a run may go on when the call returns. pass_block:
     * what the last run has found, a pass_list or sums, when it is there; of uncross and fall,
     * before each run, the pass_list that it takes, to be filled in. DRMAD_E_MODEL: more than
     * INT32_MAX elements. NULL: there are none. */
    drmad_status (*pass_new)(const backend *b, drmad_ctx *ctx, const pass_spec *p, void **out);
    drmad_status (*pass_run)(void *pass, const pass_numbers *n);
    drmad_status (*pass_block)(void *pass, void *out_ptr);
    void (*pass_free)(void *pass); /* NULL is fine */
};

extern const backend backend_cpu;

/* mem_alloc on the backend's memory. */
drmad_status backend_alloc(const backend *b, drmad_ctx *ctx, size_t count, size_t size,
                           void *out_ptr);

typedef struct program program;

/* Borrows the plan, which must outlive the program. */
drmad_status program_new(drmad_ctx *ctx, const plan *p, const backend *b, program **out);
void program_free(program *p); /* NULL is fine */
void program_set_leaf(program *p, int32_t number, const void *memory);
bool program_reads(const program *p, int32_t number); /* whether a leaf must have memory */
void program_set_output(program *p, int32_t i, void *memory);
/* Fails with DRMAD_E_USAGE when a leaf that the plan reads, or an output, has no memory, and
 * with DRMAD_E_DATA when an index points outside its table. */
drmad_status program_run(program *p);
/* The same, but the host need not wait for it: outputs in host memory come at the latest with a
 * program_wait that does not leave the run under way, and so do errors. Leaves in host memory may
 * change at once. */
drmad_status program_run_later(program *p);
drmad_status program_wait(program *p, int32_t leave); /* until at most so many are under way */
size_t program_bytes(const program *p); /* arena and work space */
#endif
