/* The inside of lowering: what its three files share.
 *
 *   lower.c       the shape of the sub-tile, registers, the order of the passes
 *   lower_read.c  slots, and how operands get there
 *   lower_emit.c  which nodes one instruction does, and the instructions */
#ifndef LOWER_H
#define LOWER_H
#include "exec/cpu/cpu.h"

/* A value on its way into an instruction: the slot's times a factor, which most instructions do
 * on the side. */
typedef struct operand {
    int32_t slot;          /* -1: a constant */
    bool scalar, constant; /* scalar: one element for the whole sub-tile */
    double factor, value;  /* value: of the constant, its factor included */
} operand;

typedef struct lower {
    cpu_code *code;
    const plan *p;
    const plan_step *s;
    cpu_group *g;
    operand *value; /* by node, once it is computed */
    int32_t *uses;  /* by node: reads within the step; many when it has memory */
    int8_t *fold;   /* by node: 1 + the operand that its instruction computes too, 0 */
    bool *gone;     /* by node: done by its reader */
    int64_t size;   /* of an element */
    int32_t regs;
} lower;

const plan_node *lower_at(const lower *l, node n);
node lower_member(const lower *l, int32_t i);
bool lower_is_point(const lower *l, node u); /* does u pass through registers here? */

/* lower_read.c */
int32_t lower_reg(lower *l);
int32_t lower_slot(lower *l, node n, int64_t offset, int64_t row, int64_t col);
int32_t lower_dense(lower *l, node n, int64_t offset);
operand lower_get(lower *l, const plan_access *a);
int32_t lower_scalar(lower *l, operand o); /* without its factor, as all below */
int32_t lower_vector(lower *l, operand o);

/* lower_emit.c */
void lower_emit(lower *l);
#endif
