/* What of a program's calls the kernel `walk` (body_walk.h) takes, and its lists: data alone, which
 * drivers send to the device and launch. */
#ifndef GPU_WALK_H
#define GPU_WALK_H
#include "exec/cuda/kernel/body_walk.h"
#include "exec/cuda/gpu.h"

/* How its blocks wait for one another. */
typedef enum gpu_walk_how {
    GPU_WALK_NOT,    /* there is no walking */
    GPU_WALK_GRID,   /* all blocks that find room on the GPU at once */
    GPU_WALK_CLUSTER /* GPU_CLUSTER blocks that are neighbours */
} gpu_walk_how;

enum { GPU_CLUSTER = 16 };

/* Of the device, at least. */
typedef struct gpu_walk_limits {
    int32_t blocks; /* at once */
    size_t shared;  /* bytes of a block's shared memory */
} gpu_walk_limits;

/* Neighbouring waves that are one launch. */
typedef struct gpu_walk_run {
    int32_t call, calls; /* from, how many */
    int32_t waves;       /* two or more */
    int32_t widest;      /* blocks of a wave at most: more would have nothing to do */
    int32_t blocks;      /* of the grid: the driver's choice; 0: the calls are launched as usual */
    size_t at, bytes;    /* of the list, in `text` */
    size_t shared;       /* of the calls' own; a block has its copy of the list besides, before */
} gpu_walk_run;

typedef struct gpu_walk {
    gpu_walk_run *run; /* by call */
    int32_t runs;
    unsigned char *text;
    size_t bytes; /* of text */
} gpu_walk;

/* From the environment's DRMAD_CUDA_WALK: grid, cluster, or nothing; refuses anything else. */
drmad_status gpu_walk_asked(drmad_ctx *ctx, gpu_walk_how *out);

/* Gives *out, to be freed also after an error: the runs of a list of calls. */
drmad_status gpu_walk_find(drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_walk_limits *m, gpu_walk *out);
void gpu_walk_free(drmad_ctx *ctx, gpu_walk *w);

/* The run that begins with a call and has blocks; NULL: none. */
const gpu_walk_run *gpu_walk_at(const gpu_walk *w, int32_t call);
#endif
