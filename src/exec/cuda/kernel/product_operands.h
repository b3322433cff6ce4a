/* The three tensors of a product or convolution, as its call's arguments give them: they are dense.
 */
#ifndef PRODUCT_OPERANDS_H
#define PRODUCT_OPERANDS_H
#include "exec/cuda/gpu.h"

typedef struct product_operands {
    void *at[3];      /* operands in the operation's order, then the result */
    int64_t count[3]; /* elements */
    bool accumulate;
} product_operands;

static inline bool is_matmul(const gpu_call *c)
{
    return c->kernel == GPU_matmul;
}

static inline const matmul_args *matmul_of(const gpu_call *c)
{
    return (const matmul_args *)(const void *)c->args;
}

static inline const conv_args *conv_of(const gpu_call *c)
{
    return (const conv_args *)(const void *)c->args;
}

static inline product_operands operands_of_conv(const gpu_call *c)
{
    const conv_args *x = conv_of(c);
    const window_args *v = &x->v;
    const int64_t image = v->n * v->h * v->w * v->c, y = v->n * v->oh * v->ow * v->o;
    const int64_t weight = v->o * v->kh * v->kw * (v->c / v->groups);
    product_operands o = {.at = {(void *)(uintptr_t)x->a, (void *)(uintptr_t)x->b, x->y},
                          .accumulate = x->accumulate};

    o.count[0] = c->kernel == GPU_conv_dx_few ? y : image;
    o.count[1] = c->kernel == GPU_conv_dw ? y : weight;
    o.count[2] = c->kernel == GPU_conv ? y : c->kernel == GPU_conv_dx_few ? image : weight;
    return o;
}

/* Of GPU_matmul, GPU_conv, GPU_conv_dx_few or GPU_conv_dw. */
static inline product_operands operands_of(const gpu_call *c)
{
    const matmul_args *x = matmul_of(c);

    if (!is_matmul(c)) return operands_of_conv(c);
    return (product_operands){
        .at = {(void *)(uintptr_t)x->a, (void *)(uintptr_t)x->b, x->c},
        .count = {x->batch * x->m * x->k, x->batch * x->k * x->n, x->batch * x->m * x->n},
        .accumulate = x->accumulate};
}
#endif
