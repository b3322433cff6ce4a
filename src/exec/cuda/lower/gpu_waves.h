/* The order of a program's calls: waves of calls that may run at once, so that those of one kernel
 * become one launch. For small nets, which cost what their launches cost; each of their results has
 * memory of its own, for memory that is used again would make calls wait. */
#ifndef GPU_WAVES_H
#define GPU_WAVES_H
#include "exec/cuda/gpu.h"

typedef struct gpu_span {
    uintptr_t from, to; /* addresses */
    bool writes;
} gpu_span;

typedef struct gpu_unit {
    int32_t call, span; /* its first */
    int32_t wave;
} gpu_unit;

typedef struct gpu_waves {
    gpu_unit *unit;
    gpu_span *span;
    int32_t units, unit_room, spans, span_room;
} gpu_waves;

drmad_status gpu_unit_begin(gpu_waves *w, drmad_ctx *ctx, int32_t call);
drmad_status gpu_unit_uses(gpu_waves *w, drmad_ctx *ctx, gpu_span s); /* the unit begun last */
/* Sorts the calls into waves, in each by kernel and type. */
drmad_status gpu_waves_arrange(gpu_waves *w, drmad_ctx *ctx, gpu_call *call, int32_t calls);
void gpu_waves_free(gpu_waves *w, drmad_ctx *ctx);
#endif
