/* The CUDA backend over a driver (gpu.h). One backend a device; programs and trainers borrow it.
 * Backends share nothing. A backend, its programs and its memory belong to one thread at a time. */
#ifndef CUDA_H
#define CUDA_H
#include "exec/cuda/gpu.h"

/* Gives *out. Fails with what the driver's open says. Borrows the driver. */
drmad_status cuda_backend_new(drmad_ctx *ctx, const gpu_driver *d, int32_t device, backend **out);
/* gpu.h's products, before the backend's first program. DRMAD_E_MISSING: no library for them. */
drmad_status cuda_backend_products(backend *b, gpu_products how);
void cuda_backend_free(backend *b); /* NULL is fine; its programs and memory are gone before */

/* It takes no more than `bytes` of the GPU, the share of one of `trials` side by side; nothing is
 * taken yet. Without a share the GPU's own memory is the end. */
void cuda_backend_share(backend *b, size_t bytes, int32_t trials);
size_t cuda_backend_used(const backend *b); /* bytes of the GPU that it has taken */

/* Bytes of a GPU that all trials together may take: what is free, less a margin. Fails as
 * cuda_driver_find and the driver's open do. */
drmad_status cuda_memory(drmad_ctx *ctx, int32_t device, size_t *out);

/* Gives *out, the driver of libdrmad_cuda.so: of the file that DRMAD_CUDA_LIBRARY names, else the
 * one beside our own library, else the loader's. It is never unloaded. DRMAD_E_MISSING, with what
 * to do, when there is none or it is another build's. */
drmad_status cuda_driver_find(drmad_ctx *ctx, const gpu_driver **out);

/* "NVIDIA H100 80GB HBM3 (sm_90, 132 multiprocessors, ...)" of a GPU, into buf, always terminated.
 * Fails as cuda_driver_find and the driver's open do. */
drmad_status cuda_describe(drmad_ctx *ctx, int32_t device, char *buf, size_t size);
#endif
