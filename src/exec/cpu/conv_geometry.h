/* Along one axis, a convolution as sums over taps. With CONV_Y and CONV_DW, output pixel r reads
 * the input at r * stride + k * dilation - pad for each tap k. CONV_DX turns that round: pixel r
 * of dx reads dy at (r + pad - k * dilation) / stride where that is whole, so r % stride decides
 * which taps there are: that is the phase of r. */
#ifndef CONV_GEOMETRY_H
#define CONV_GEOMETRY_H
#include "exec/cpu/conv.h"

typedef struct conv_axis {
    int64_t outs, ins; /* pixels of the result, of the operand that is read */
    int64_t phases;    /* result pixel r is number r / phases of phase r % phases */
    int64_t step;      /* operand pixels from one number to the next */
    int64_t low, high; /* operand pixels that are read: low <= i < high, also outside the image */
    int64_t span;      /* of them, at most, for one result pixel and the phases around it */
} conv_axis;

conv_axis conv_axis_of(const conv *c, int axis);
/* The taps of a phase: tap k[i] reads operand pixel number * step + at[i]; at ascends. Gives their
 * count, at most v.kernel[axis]. */
int64_t conv_taps(const conv *c, int axis, int64_t phase, int64_t *k, int64_t *at);

static inline int64_t conv_phase_outs(const conv_axis *x, int64_t phase)
{
    return phase < x->outs ? (x->outs - phase + x->phases - 1) / x->phases : 0;
}

/* Channels of the operand and of the result (DW: of y), in all and in one group. */
static inline int64_t conv_from(const conv *c)
{
    return c->op == CONV_DX ? c->co : c->ci;
}
static inline int64_t conv_to(const conv *c)
{
    return c->op == CONV_DX ? c->ci : c->co;
}
static inline int64_t conv_from_group(const conv *c)
{
    return conv_from(c) / c->v.groups;
}
static inline int64_t conv_to_group(const conv *c)
{
    return conv_to(c) / c->v.groups;
}
static inline int64_t conv_area(const conv *c)
{
    return (int64_t)c->v.kernel[0] * c->v.kernel[1];
}
#endif
