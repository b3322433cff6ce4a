/* The CUDA backend over a driver (gpu.h). One backend a device; programs and trainers borrow it.
 * Backends share nothing. A backend, its programs and its memory belong to one thread at a time. */
#ifndef CUDA_H
#define CUDA_H
#include "exec/cuda/gpu.h"

/* Gives *out. Fails with what the driver's open says. Borrows the driver. */
drmad_status cuda_backend_new(drmad_ctx *ctx, const gpu_driver *d, int32_t device, backend **out);
void cuda_backend_free(backend *b); /* NULL is fine; its programs and memory are gone before */
#endif
