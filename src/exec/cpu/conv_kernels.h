/* The kernels behind conv.c: F32 once an instruction set, F64 once. */
#ifndef CONV_KERNELS_H
#define CONV_KERNELS_H
#include "exec/cpu/conv.h"

#define CONV_DECLARE(suffix)                                                                       \
    void conv_sizes_##suffix(conv *c); /* packed, sums, work */                                    \
    void conv_pack_##suffix(const conv *c, const void *w, void *packed, void *work);               \
    void conv_run_##suffix(const conv *c, const conv_memory *m, int64_t from, int64_t to,          \
                           void *work);                                                            \
    void conv_dw_tile_##suffix(const conv *c, const conv_memory *m, int64_t tile, void *work);     \
    void conv_put_##suffix(const conv *c, const void *sums, void *dw, int64_t from, int64_t to);
CONV_DECLARE(portable)
CONV_DECLARE(avx2)
CONV_DECLARE(avx512)
CONV_DECLARE(f64)
#endif
