/* The inside of lowering a group: what its files share.
 *
 *   lower_group.c   instructions
 *   group_tiles.c   tiles, blocks, and sums that are spread over blocks
 *   group_regs.c    order of stores, registers */
#ifndef GROUP_BUILD_H
#define GROUP_BUILD_H
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"

enum { NO_OPERAND = INT32_MIN };

/* A value on its way into an instruction: f a or f a b; operands as in group_instr. */
typedef struct term {
    int32_t a, b;
    bool constant; /* f alone */
    double f;
} term;

typedef struct group_build {
    gpu_lower *l;
    const plan_step *s;
    dtype type;
    term *value;   /* by node, once it is computed */
    int32_t *uses; /* by node: reads within the step */
    group_instr *instr;
    group_access *access;
    group_sum sum[GROUP_SUMS];
    sum_item *item; /* sums that another call ends */
    int32_t instrs, accesses, regs, sums, items;
    int32_t dots; /* products computed in place: a thread then does one element at once */
    group_args args;
} group_build;

const plan_node *group_at(const group_build *b, node n);
int16_t group_new_access(group_build *b, void *at, dtype type); /* of the own element */

/* group_tiles.c */
void group_shape(group_build *b);      /* the iteration space */
void group_place_sums(group_build *b); /* tiles; where sums go */
void group_add_item(group_build *b, sum_item item);
drmad_status group_finish(group_build *b); /* emits the items */
void gpu_group_geometry(gpu_call *c);      /* of group and sum, for geometry.c */

/* group_regs.c */
void group_defer(group_build *b);
drmad_status group_share(group_build *b);
#endif
