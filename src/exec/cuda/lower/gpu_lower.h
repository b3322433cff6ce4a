/* Lowering: a plan's steps, one by one, to calls (gpu.h). It goes over the plan twice with the same
 * code: once to count, with addresses that nobody reads (program_new), and again when a program is
 * recorded and the addresses are known, for each of its runs. So what is emitted may depend on
 * shapes and types, never on addresses; but that where an output lies over its leaf, as it does
 * when counting, there may be more of it.
 *
 *   gpu_code.c       calls it
 *   gpu_lower.c      addresses, scratch, tape, emitting
 *   gpu_waves.c      which calls may run at once
 *   lower_plain.c, lower_product.c, lower_library.c, lower_group.c */
#ifndef GPU_LOWER_H
#define GPU_LOWER_H
#include "exec/cuda/lower/gpu_waves.h"

typedef struct gpu_lower {
    drmad_ctx *ctx;
    const gpu_driver *d; /* with g: asked which products its libraries take */
    gpu *g;
    const plan *plan;
    const void *const *leaf; /* by number, on the device */
    void *const *out;        /* by output, on the device */
    void *arena;
    uint64_t *bad;  /* for bad_index of body.h: an argument of all that read an index */
    gpu_call *call; /* NULL: counting */
    int32_t calls, call_room;
    bool flags;    /* a call may write *bad */
    void *scratch; /* on the device */
    size_t scratch_used, scratch_most;
    bool apart;    /* each result has memory of its own, in scratch, and calls are put into waves */
    size_t *place; /* apart: by node, where in scratch */
    gpu_waves waves;
    void *tape, *tape_device; /* the host's copy and where it goes */
    size_t tape_used, tape_room;
} gpu_lower;

/* Addresses of a node's result, and of the first element that an access reads. */
void *gpu_result(const gpu_lower *l, node n);
const void *gpu_operand(const gpu_lower *l, const plan_access *a);
const int32_t *gpu_index(const gpu_lower *l, const plan_access *a); /* of a->index */

/* Gives device memory, 256-aligned, not zeroed, for this product, group or plain step. */
void *gpu_scratch(gpu_lower *l, size_t bytes);
/* Gives the device's address of a copy of data that lies there before the calls run. */
const void *gpu_tape(gpu_lower *l, const void *data, size_t bytes);
/* A call of kernel k with a copy of its arguments; geometry.c chooses its blocks. */
drmad_status gpu_emit(gpu_lower *l, gpu_kernel k, dtype t, const void *args, size_t bytes);

void gpu_emit_call(gpu_lower *l, const gpu_call *c); /* one that is ready */
/* Is the product large, and does the driver take it (gpu.h)? Addresses need not be known yet. Then
 * it is emitted whole: k in one share. */
drmad_status gpu_library_takes(gpu_lower *l, gpu_kernel k, dtype t, const void *args, bool *out);
void gpu_emit_library(gpu_lower *l, gpu_kernel k, dtype t, const void *args);

drmad_status gpu_lower_steps(gpu_lower *l); /* all of the plan */

drmad_status gpu_lower_plain(gpu_lower *l, const plan_step *s);   /* every PN_PLAIN op */
drmad_status gpu_lower_product(gpu_lower *l, node n, bool first); /* first: of its memory */
/* Is product n so small that its group computes its elements where it reads them? */
bool gpu_is_dot(const gpu_lower *l, node n);
drmad_status gpu_lower_group(gpu_lower *l, const plan_step *s); /* points and sums */
void gpu_geometry(gpu_call *c); /* from kernel, type and arguments: blocks, threads, shared */
#endif
