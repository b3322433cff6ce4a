/* Vectors where the library cannot touch them: on a GPU that only the caller drives (PyTorch with
 * CUDA, over a library built for CPUs). The caller lends memory and computes; the library keeps the
 * loop, the trajectory, the adjoint recursion, the hyperparameters and the outer optimiser.
 *
 * Addresses are what `alloc` gave, plus whole elements; the library adds to them and never reads or
 * writes there. Everything that drmad/model.h calls a vector (w, u, g, hu, dw) is such an address
 * then; example weights and their rows stay in host memory.
 *
 * No step copies a vector to the host or back: start weights, dF/dw, at a change of phase the
 * hyperparameters and their derivatives, and now and then |w~| are all that travels.
 *
 * A program is text, one line for each operation, operands before users:
 *
 *   NUMBER OPERATION TYPE SHAPE OPERANDS ATTRIBUTES...       and then, for output 0, 1, ...
 *   out NUMBER
 *
 *   7 matmul f64 3,4 5,6 ta tb      SHAPE and OPERANDS: numbers with commas, "-" for none
 *   leaf          leaf=N            the value at leaf[N]
 *   fill, scale   f=HEX             the 64 bits of a double
 *   sum           axes=0,2          which keep length 1; in bcast they had it
 *   permute       perm=1,0          dimension i of the result is the operand's perm[i]
 *   slice, pad    axis=0 from=3     from: the first index, of the operand or in the result
 *   matmul        ta, tb            where that operand is transposed; rank 2, or 3 with a batch
 *   iota          axis=0
 *   uniform, normal   site=N
 *   conv, conv_dx, conv_dw, sumpool, spread, maxpool_arg
 *                 size=H,W kernel=H,W stride=.. pad=.. dilation=.. groups=N
 *
 * Operations: src/ops/ops.def, without those on integers or images, which a caller's model never
 * needs (gather, scatter_add, onehot, argmax, take, put, conv, ...). TYPE: f32, f64.
 * Elementwise operands have equal shapes. */
#ifndef DRMAD_DEVICE_H
#define DRMAD_DEVICE_H
#include "drmad/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each but free and release gives a drmad_status, as the functions of model.h do. */

/* *out = zeroed memory on the device, its address a multiple of 8. */
typedef int drmad_device_alloc_fn(void *user, size_t bytes, void **out);
typedef void drmad_device_free_fn(void *user, void *memory);

/* `way` 0: from device to device; 1: from host to device; 2: from device to host. `from` NULL:
 * zeros, on the device. Never overlapping. */
typedef int drmad_device_copy_fn(void *user, void *to, const void *from, size_t bytes, int way);

/* *program = whatever stands for the program `text`. */
typedef int drmad_device_compile_fn(void *user, const char *text, int64_t *program);
typedef void drmad_device_release_fn(void *user, int64_t program);

/* Runs a program: leaf[n] is where leaf n lies (NULL: not read), out[i] where output i goes. A leaf
 * of one element may lie in host memory, to be read during the call; all other addresses are the
 * device's. An output may lie where a leaf lies: every leaf counts as read before any output is
 * written. */
typedef int drmad_device_run_fn(void *user, int64_t program, const void *const *leaf,
                                void *const *out);

/* Vectors of studies over `m` lie where `alloc` says. Both calls are needed, before the study. */
DRMAD_API drmad_status drmad_model_set_memory(drmad_model *m, drmad_device_alloc_fn *alloc,
                                              drmad_device_free_fn *free,
                                              drmad_device_copy_fn *copy, void *user);
DRMAD_API drmad_status drmad_model_set_programs(drmad_model *m, drmad_device_compile_fn *compile,
                                                drmad_device_run_fn *run,
                                                drmad_device_release_fn *release, void *user);

#ifdef __cplusplus
}
#endif
#endif
