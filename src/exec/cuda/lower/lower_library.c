/* Which products go to a library of the driver's (gpu.h): those with so many multiply-adds that its
 * tiles pay for a launch of its own. Smaller ones stay with our kernels, in launches with others of
 * their wave. A matter of sizes alone. */
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/product_operands.h"
#include <string.h>

enum { LARGE = 1 << 24 }; /* not measured: a GPU has yet to say (docs/CUDA.md) */

static double macs_of(const gpu_call *c)
{
    const matmul_args *m = matmul_of(c);
    const window_args *v = &conv_of(c)->v;

    if (is_matmul(c)) return (double)m->batch * (double)m->m * (double)m->n * (double)m->k;
    return (double)v->n * (double)v->oh * (double)v->ow * (double)v->o *
           (double)(v->c / v->groups) * v->kh * v->kw;
}

/* The library counts elements and sizes in 32 bits. */
static bool fits(const gpu_call *c)
{
    const product_operands o = operands_of(c);

    return o.count[0] <= INT32_MAX && o.count[1] <= INT32_MAX && o.count[2] <= INT32_MAX;
}

static gpu_call call_of(gpu_kernel k, dtype t, const void *args)
{
    gpu_call c = {.kernel = k, .type = t, .library = true};

    memcpy(c.args, args, k == GPU_matmul ? sizeof(matmul_args) : sizeof(conv_args));
    return c;
}

drmad_status gpu_library_takes(gpu_lower *l, gpu_kernel k, dtype t, const void *args, bool *out)
{
    const gpu_call c = call_of(k, t, args);

    *out = false;
    if (macs_of(&c) < LARGE || !fits(&c)) return DRMAD_OK;
    return l->d->takes(l->g, l->ctx, &c, out);
}

void gpu_emit_library(gpu_lower *l, gpu_kernel k, dtype t, const void *args)
{
    gpu_call c = call_of(k, t, args);

    gpu_geometry(&c); /* for our kernel, should the library refuse it in the end */
    gpu_emit_call(l, &c);
}
